//! `/login`, `/login/new-password` and `/logout`.

use askama::Template;
use axum::http::header::{COOKIE, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

use crate::audit::{self, Action, Change, Target};
use crate::config::Issuer;
use crate::credentials::{self, Checked, Via};
use crate::cx::{Actor, Cx};
use crate::http::{PageError, PageForm, assets_version, page};
use crate::kernel::{Secret, random};
use crate::sessions::{self, SignedIn, Stage, Visitor};
use crate::users::{self, SignIn};

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
pub(crate) async fn get(
    Visitor { session, known, cx }: Visitor,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    match known {
        Some((_, data)) if data.stage == Stage::SignedIn => {
            Ok(Redirect::to("/account").into_response())
        }
        Some((person, _)) => new_password_page(&session_token(&session, &cx)?, &person, None, &cx),
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
            sessions::begin(&session, person.id, person.admin, Stage::SignedIn, &cx).await?;
            record(Action::SignedIn, &person, &cx).await?;
            Ok(Redirect::to("/account").into_response())
        }
        Checked::MustChangePassword(person) => {
            sessions::begin(&session, person.id, person.admin, Stage::NewPassword, &cx).await?;
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
            let problem = format!(
                "Too many attempts. Please wait {} and try again.",
                in_words(retry_after)
            );
            let mut response = sign_in_page(
                StatusCode::TOO_MANY_REQUESTS,
                attempt.expose(),
                &username,
                Some(problem),
                &cx,
            )?;
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(retry_after));
            Ok(response)
        }
    }
}

/// `POST /login/new-password`: the step after a right password where a new one is demanded.
pub(crate) async fn post_new_password(
    Visitor { session, known, cx }: Visitor,
    PageForm(mut form): PageForm,
) -> Result<Response, PageError> {
    // Whoever is not at this step begins at the first (checklist 18).
    let Some((person, _)) = known.filter(|(_, data)| data.stage == Stage::NewPassword) else {
        return Ok(Redirect::to("/login").into_response());
    };
    let token = session_token(&session, &cx)?;
    if !cx.app.csrf.check(
        "session",
        &session_id(&session),
        &form.take_text("csrf").unwrap_or_default(),
    ) {
        return Err(PageError::foreign_form());
    }
    let password = form
        .take("new_password")
        .unwrap_or_else(|| Secret::new(String::new()));
    if let Err(problem) = check_new(&password, &person, &cx).await? {
        return new_password_page(&token, &person, Some(problem), &cx);
    }
    let hash = cx.app.hasher.hash(&password).await?;
    let cx = cx.acting(Actor::Session { user_id: person.id });
    let mut tx = cx.begin().await?;
    users::change_password(person.id, &hash, &mut tx, &cx).await?;
    tx.commit().await?;
    sessions::begin(&session, person.id, person.admin, Stage::SignedIn, &cx).await?;
    record(Action::SignedIn, &person, &cx).await?;
    Ok(Redirect::to("/account").into_response())
}

/// `GET /logout`: asks; changes nothing (checklist 83).
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
            csrf: &session_token(&session, &cx)?,
            who,
        },
    )
}

/// `POST /logout`: ends the session on the server.
pub(crate) async fn post_logout(
    SignedIn {
        session,
        person,
        cx,
        ..
    }: SignedIn,
    PageForm(mut form): PageForm,
) -> Result<Response, PageError> {
    if !cx.app.csrf.check(
        "session",
        &session_id(&session),
        &form.take_text("csrf").unwrap_or_default(),
    ) {
        return Err(PageError::foreign_form());
    }
    sessions::end(&session).await?;
    record(Action::SignedOut, &person, &cx).await?;
    // Chromium keeps pages of `no-store` for its back button; this makes it drop them (checklist 76, ASVS 14.3.1).
    let forget = [(HeaderName::from_static("clear-site-data"), "\"cache\"")];
    Ok((forget, Redirect::to("/login")).into_response())
}

/// Checks a person's new password: the policy, and that it is not the one they have.
pub(crate) async fn check_new(
    password: &Secret<String>,
    person: &SignIn,
    cx: &Cx,
) -> Result<Result<(), String>, PageError> {
    let known: Vec<&str> = [&person.email, &person.username, &person.name]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    if let Err(problem) =
        credentials::policy::check(password.expose(), &known, &cx.app.config.passwords)
    {
        return Ok(Err(problem.to_string()));
    }
    let same = cx
        .app
        .hasher
        .verify(password, person.password_hash.as_ref())
        .await?
        != credentials::Verdict::Wrong;
    Ok(if same {
        Err("That is the password you have. Choose another.".to_owned())
    } else {
        Ok(())
    })
}

/// The token of the forms on a signed-in page.
pub(crate) fn session_token(
    session: &tower_sessions::Session,
    cx: &Cx,
) -> Result<String, PageError> {
    Ok(cx.app.csrf.token("session", &session_id(session)))
}

/// The session's id, which only its browser and we know.
pub(crate) fn session_id(session: &tower_sessions::Session) -> String {
    session.id().map(|id| id.to_string()).unwrap_or_default()
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
    csrf: &str,
    person: &SignIn,
    problem: Option<String>,
    cx: &Cx,
) -> Result<Response, PageError> {
    let status = if problem.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let username = person
        .email
        .as_deref()
        .or(person.username.as_deref())
        .unwrap_or("");
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

async fn record(action: Action, person: &SignIn, cx: &Cx) -> Result<(), PageError> {
    let cx = match cx.actor {
        Actor::Nobody => cx.acting(Actor::Session { user_id: person.id }),
        _ => cx.clone(),
    };
    let mut connection = cx.connection().await?;
    Ok(audit::record(
        action,
        Target::User(person.id),
        Change::default(),
        &mut connection,
        &cx,
    )
    .await?)
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

/// A wait, for people.
pub(crate) fn in_words(seconds: u32) -> String {
    match seconds {
        0..=1 => "a second".to_owned(),
        2..=90 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}
