-- Who is to sign in (`login_hint`) may be somebody's address: sealed under the request's name, which the browser alone has, so that nothing of
-- who is erased lies about here.
alter table authorization_request add column sealed_hint bytea;
update authorization_request set request = request - 'login_hint';
