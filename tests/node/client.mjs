// A relying party over openid-client, for tests/it/stock_clients.rs: says where to send the browser, reads where it came back, and does
// everything that an application does in between. One line of JSON for each step.
import { createInterface } from "node:readline";
import { Issuer, generators } from "openid-client";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, AFTERWARDS } = process.env;
const say = (step) => process.stdout.write(`${JSON.stringify(step)}\n`);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const issuer = await Issuer.discover(ISSUER);
const client = new issuer.Client({
  client_id: CLIENT_ID,
  client_secret: CLIENT_SECRET,
  redirect_uris: [REDIRECT_URI],
  response_types: ["code"],
});

const [code_verifier, state, nonce] = [generators.codeVerifier(), generators.state(), generators.nonce()];
say({
  go_to: client.authorizationUrl({
    scope: "openid email",
    code_challenge: generators.codeChallenge(code_verifier),
    code_challenge_method: "S256",
    state,
    nonce,
  }),
});

// The library checks state, iss, signature, issuer, audience, nonce, at_hash and times.
const came_back = client.callbackParams((await lines.next()).value);
const first = await client.callback(REDIRECT_URI, came_back, { code_verifier, state, nonce });
const person = await client.userinfo(first);
say({ claims: first.claims(), person, introspected: await client.introspect(first.access_token) });

const second = await client.refresh(first);
say({ rotated: second.refresh_token !== first.refresh_token, claims: second.claims(), person: await client.userinfo(second) });

say({ go_to: client.endSessionUrl({ id_token_hint: second, post_logout_redirect_uri: AFTERWARDS, state: "bye" }) });
await lines.next();
const refused = await client.refresh(second).then(() => "", (error) => error.error);
await client.revoke(second.refresh_token);
say({ refused, introspected: await client.introspect(second.access_token) });
