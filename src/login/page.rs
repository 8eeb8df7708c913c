//! `/login`, `/login/new-password` and `/logout`.

use askama::Template;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

use crate::config::Issuer;
use crate::credentials::{self, Checked, Via};
use crate::cx::{Actor, Cx};
use crate::http::shapes::PageRefusals;
use crate::http::{PageError, PageForm, assets_version, come_again, page, too_many};
use crate::kernel::{Secret, random};
use crate::sessions::{self, SignedIn, Stage, Visitor, check_form, form_token};
use crate::users::{self, ChoiceError, SignIn};

/// Whatever is wrong, this is all that is said (checklist 93).
const REFUSED: &str = "That address or password is not right.";

#[derive(Template)]
#[template(path = "login/sign_in.html")]
struct SignInPage<'a> {
    assets: &'a str,
    csrf: &'a str,
    username: &'a str,
    problem: Option<String>,
}

#[derive(Template)]
#[template(path = "login/new_password.html")]
struct NewPasswordPage<'a> {
    assets: &'a str,
    csrf: &'a str,
    username: &'a str,
    min_length: u32,
    problem: Option<String>,
}

#[derive(Template)]
#[template(path = "login/sign_out.html")]
struct SignOutPage<'a> {
    assets: &'a str,
    csrf: &'a str,
    who: &'a str,
}

/// `GET /login`.
#[utoipa::path(get, path = "/login", tag = "people", responses((status = 200, description = "A page", content_type = "text/html", body = String), (status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn get(
    Visitor { session, known, cx }: Visitor,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    match known {
        Some((_, data)) if data.stage == Stage::SignedIn => {
            Ok(Redirect::to("/account").into_response())
        }
        Some((person, _)) => new_password_page(
            StatusCode::OK,
            &form_token(&session, &cx),
            &person,
            None,
            &cx,
        ),
        None => {
            // A planted cookie does no harm: it binds this attempt to whoever has it, and signs in nobody.
            let attempt = attempt_cookie(&headers, &cx.app.config.issuer);
            let fresh = attempt.is_none().then(random::token);
            let attempt = attempt
                .as_ref()
                .or(fresh.as_ref())
                .map_or("", |a| a.expose());
            let mut response = sign_in_page(StatusCode::OK, attempt, "", None, &cx)?;
            if let Some(fresh) = &fresh {
                response.headers_mut().insert(
                    SET_COOKIE,
                    set_attempt_cookie(fresh, &cx.app.config.issuer)?,
                );
            }
            Ok(response)
        }
    }
}

/// `POST /login`.
#[utoipa::path(post, path = "/login", tag = "people", responses((status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn post(
    Visitor { session, cx, .. }: Visitor,
    headers: HeaderMap,
    PageForm(mut form): PageForm,
) -> Result<Response, PageError> {
    let attempt =
        attempt_cookie(&headers, &cx.app.config.issuer).ok_or_else(PageError::foreign_form)?;
    let token = form.take_text("csrf").unwrap_or_default();
    if !cx.app.csrf.check("login", attempt.expose(), &token) {
        return Err(PageError::foreign_form());
    }
    let username: String = form
        .take_text("username")
        .unwrap_or_default()
        .trim()
        .chars()
        .take(254)
        .collect();
    let Some(password) = form.take("password").filter(|_| !username.is_empty()) else {
        return sign_in_page(
            StatusCode::UNPROCESSABLE_ENTITY,
            attempt.expose(),
            &username,
            Some(REFUSED.to_owned()),
            &cx,
        );
    };
    match credentials::check(&username, &password, Via::Page, &cx).await? {
        Checked::Welcome(person) => {
            sessions::sign_in(&session, &person, &cx).await?;
            Ok(Redirect::to("/account").into_response())
        }
        Checked::MustChangePassword(person) => {
            sessions::demand_new_password(&session, &person, &cx).await?;
            Ok(Redirect::to("/login").into_response())
        }
        Checked::Refused => sign_in_page(
            StatusCode::UNPROCESSABLE_ENTITY,
            attempt.expose(),
            &username,
            Some(REFUSED.to_owned()),
            &cx,
        ),
        Checked::TooMany { retry_after } => {
            let response = sign_in_page(
                StatusCode::TOO_MANY_REQUESTS,
                attempt.expose(),
                &username,
                Some(too_many(retry_after)),
                &cx,
            )?;
            Ok(come_again(response, retry_after))
        }
    }
}

/// `POST /login/new-password`: the step after a right password where a new one is demanded.
#[utoipa::path(post, path = "/login/new-password", tag = "people", responses((status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn post_new_password(
    Visitor { session, known, cx }: Visitor,
    PageForm(mut form): PageForm,
) -> Result<Response, PageError> {
    // Whoever is not at this step begins at the first (checklist 18).
    let Some((person, _)) = known.filter(|(_, data)| data.stage == Stage::NewPassword) else {
        return Ok(Redirect::to("/login").into_response());
    };
    let token = form_token(&session, &cx);
    check_form(&mut form, &session, &cx)?;
    let password = form
        .take("new_password")
        .unwrap_or_else(|| Secret::new(String::new()));
    let cx = cx.acting(Actor::Session { user_id: person.id });
    let person = match users::choose_password(&person, &password, &cx).await {
        Ok(person) => person,
        Err(ChoiceError::Fault(fault)) => return Err(fault.into()),
        Err(ChoiceError::TooMany { retry_after }) => {
            let problem = Some(too_many(retry_after));
            let status = StatusCode::TOO_MANY_REQUESTS;
            let response = new_password_page(status, &token, &person, problem, &cx)?;
            return Ok(come_again(response, retry_after));
        }
        Err(problem) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let problem = Some(problem.to_string());
            return new_password_page(status, &token, &person, problem, &cx);
        }
    };
    sessions::sign_in(&session, &person, &cx).await?;
    Ok(Redirect::to("/account").into_response())
}

/// `GET /logout`: asks; changes nothing (checklist 83).
#[utoipa::path(get, path = "/logout", tag = "people", responses((status = 200, description = "A page", content_type = "text/html", body = String), (status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn get_logout(
    SignedIn {
        session,
        person,
        cx,
        ..
    }: SignedIn,
) -> Result<Response, PageError> {
    let who = person
        .name
        .as_deref()
        .or(person.email.as_deref())
        .or(person.username.as_deref())
        .unwrap_or("yourself");
    page(
        StatusCode::OK,
        &SignOutPage {
            assets: assets_version(),
            csrf: &form_token(&session, &cx),
            who,
        },
    )
}

/// `POST /logout`: ends the session on the server.
#[utoipa::path(post, path = "/logout", tag = "people", responses((status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn post_logout(
    SignedIn {
        session,
        person,
        data,
        cx,
    }: SignedIn,
    PageForm(mut form): PageForm,
) -> Result<Response, PageError> {
    check_form(&mut form, &session, &cx)?;
    sessions::sign_out(&session, &data, &person, &cx).await?;
    // Chromium keeps pages of `no-store` for its back button; this makes it drop them (checklist 76, ASVS 14.3.1).
    let forget = [(HeaderName::from_static("clear-site-data"), "\"cache\"")];
    Ok((forget, Redirect::to("/login")).into_response())
}

fn sign_in_page(
    status: StatusCode,
    attempt: &str,
    username: &str,
    problem: Option<String>,
    cx: &Cx,
) -> Result<Response, PageError> {
    let csrf = cx.app.csrf.token("login", attempt);
    page(
        status,
        &SignInPage {
            assets: assets_version(),
            csrf: &csrf,
            username,
            problem,
        },
    )
}

fn new_password_page(
    status: StatusCode,
    csrf: &str,
    person: &SignIn,
    problem: Option<String>,
    cx: &Cx,
) -> Result<Response, PageError> {
    let username = person.identifier();
    page(
        status,
        &NewPasswordPage {
            assets: assets_version(),
            csrf,
            username,
            min_length: cx.app.config.passwords.min_length,
            problem,
        },
    )
}

/// The cookie that binds a login attempt to the browser that began it (checklist 74, 82). It is not a session: nothing is stored.
fn attempt_cookie(headers: &HeaderMap, issuer: &Issuer) -> Option<Secret<String>> {
    let name = sessions::cookie_name("doorward-login", issuer);
    let cookies = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'));
    let value = cookies
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(n, _)| *n == name)?
        .1;
    let plausible = value.len() == 43
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    plausible.then(|| Secret::new(value.to_owned()))
}

fn set_attempt_cookie(value: &Secret<String>, issuer: &Issuer) -> Result<HeaderValue, PageError> {
    let secure = if issuer.is_https() { "; Secure" } else { "" };
    let cookie = format!(
        "{}={}; Path=/; HttpOnly; SameSite=Lax{secure}",
        sessions::cookie_name("doorward-login", issuer),
        value.expose()
    );
    let mut cookie = HeaderValue::try_from(cookie)
        .map_err(|e| crate::kernel::Fault::internal("setting a cookie", e))?;
    cookie.set_sensitive(true);
    Ok(cookie)
}

/// For the fuzzer.
#[cfg(test)]
pub(crate) fn fuzzed_cookie(headers: &HeaderMap) {
    attempt_cookie(headers, &Issuer::default());
}
