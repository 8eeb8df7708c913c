//! `/login` and its steps. Where an application asked for the sign-in, each page names its request, which the server keeps
//! ([`authorize::find`]), and each step goes on to what is due next ([`authorize::go_on`]).

use askama::Template;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};

use super::attempt;
use crate::authorize::{self, Due, Interaction, Refused};
use crate::credentials::{self, Checked, Via};
use crate::cx::{Actor, Cx};
use crate::http::shapes::PageRefusals;
use crate::http::{Form, PageError, PageForm, assets_version, come_again, page, too_many};
use crate::kernel::Secret;
use crate::sessions::{self, SessionData, Stage, Visitor, check_form, form_token};
use crate::users::{self, ChoiceError, SignIn};

/// Whatever is wrong, this is all that is said (checklist 93).
const REFUSED: &str = "That address or password is not right.";
/// What the client hears when the person does not want to sign in.
pub(crate) const DENIED: Refused = Refused::new("access_denied", "The person did not agree.");

/// The request that a page belongs to, as its template needs it.
struct ForApplication<'a> {
    /// Names the request.
    request: &'a str,
    /// The application's name.
    name: &'a str,
}

impl<'a> ForApplication<'a> {
    fn of(interaction: Option<&'a Interaction>) -> Option<Self> {
        interaction.map(|interaction| Self {
            request: &interaction.name,
            name: interaction.application(),
        })
    }
}

#[derive(Template)]
#[template(path = "login/sign_in.html")]
struct SignInPage<'a> {
    assets: &'a str,
    csrf: &'a str,
    username: &'a str,
    application: Option<ForApplication<'a>>,
    problem: Option<String>,
}

#[derive(Template)]
#[template(path = "login/account.html")]
struct AccountPage<'a> {
    assets: &'a str,
    csrf: &'a str,
    application: ForApplication<'a>,
    name: Option<&'a str>,
    identifier: &'a str,
}

#[derive(Template)]
#[template(path = "login/new_password.html")]
struct NewPasswordPage<'a> {
    assets: &'a str,
    csrf: &'a str,
    username: &'a str,
    application: Option<ForApplication<'a>>,
    min_length: u32,
    problem: Option<String>,
}

/// `GET /login`.
#[utoipa::path(get, path = "/login", tag = "people", params(("request" = Option<String>, Query, description = "Names the authorization request that asked for the sign-in")), responses((status = 200, description = "A page", content_type = "text/html", body = String), (status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn get(
    Visitor { session, known, cx }: Visitor,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, PageError> {
    let interaction = interaction(authorize::named(uri.query()), &headers, &cx).await?;
    let due = match &interaction {
        Some(interaction) => interaction.step(&known, &cx).await?.due,
        None => match &known {
            Some((_, data)) if data.stage == Stage::SignedIn => {
                return Ok(Redirect::to("/account").into_response());
            }
            Some(_) => Due::NewPassword,
            None => Due::SignIn,
        },
    };
    // Somebody who is asked which account to go on with may take another.
    let another = uri.query().is_some_and(|query| query.ends_with("&other"));
    match (due, &known) {
        (Due::NewPassword, Some((person, _))) => {
            let token = form_token(&session, &cx);
            let ok = StatusCode::OK;
            new_password_page(ok, &token, person, interaction.as_ref(), None, &cx)
        }
        (Due::SignIn, _) => first_page(interaction.as_ref(), &headers, &cx),
        (Due::ChooseAccount, _) if another => first_page(interaction.as_ref(), &headers, &cx),
        _ => match &interaction {
            Some(interaction) => authorize::go_on(interaction, &known, &cx).await,
            None => Ok(Redirect::to("/account").into_response()),
        },
    }
}

/// The empty form, and the cookie that binds the attempt to this browser.
fn first_page(
    interaction: Option<&Interaction>,
    headers: &HeaderMap,
    cx: &Cx,
) -> Result<Response, PageError> {
    let issuer = &cx.app.config.issuer;
    let (attempt, fresh) = attempt::present_or_fresh(headers, issuer);
    let hint = interaction.and_then(|i| i.request.login_hint.as_deref());
    let attempt_text = attempt.expose();
    let ok = StatusCode::OK;
    let mut response = sign_in_page(ok, attempt_text, hint.unwrap_or(""), interaction, None, cx)?;
    if fresh {
        let cookie = attempt::cookie(&attempt, issuer)?;
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// The request that a page or a form names. A name that is none of this browser's ends here.
async fn interaction(
    name: Option<String>,
    headers: &HeaderMap,
    cx: &Cx,
) -> Result<Option<Interaction>, PageError> {
    match name {
        Some(name) => authorize::find(&name, headers, cx).await.map(Some),
        None => Ok(None),
    }
}

/// Goes on with the request, or to the account where there is none.
async fn go_on(
    interaction: Option<&Interaction>,
    person: SignIn,
    data: SessionData,
    cx: &Cx,
) -> Result<Response, PageError> {
    match interaction {
        Some(interaction) => authorize::go_on(interaction, &Some((person, data)), cx).await,
        None => Ok(Redirect::to("/account").into_response()),
    }
}

/// Whether the form is one of this browser's own sign-in pages; gives what binds it.
fn check_attempt(
    form: &mut Form,
    headers: &HeaderMap,
    cx: &Cx,
) -> Result<Secret<String>, PageError> {
    let attempt =
        attempt::present(headers, &cx.app.config.issuer).ok_or_else(PageError::foreign_form)?;
    let token = form.take_text("csrf").unwrap_or_default();
    if cx.app.csrf.check("login", attempt.expose(), &token) {
        Ok(attempt)
    } else {
        Err(PageError::foreign_form())
    }
}

/// `POST /login`.
#[utoipa::path(post, path = "/login", tag = "people", responses((status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn post(
    Visitor { session, cx, .. }: Visitor,
    headers: HeaderMap,
    PageForm(mut form): PageForm,
) -> Result<Response, PageError> {
    let attempt = check_attempt(&mut form, &headers, &cx)?;
    let interaction = interaction(form.take_text("request"), &headers, &cx).await?;
    let interaction = interaction.as_ref();
    let username: String = form
        .take_text("username")
        .unwrap_or_default()
        .trim()
        .chars()
        .take(254)
        .collect();
    let again = |status, problem| {
        let attempt = attempt.expose();
        sign_in_page(status, attempt, &username, interaction, Some(problem), &cx)
    };
    let Some(password) = form.take("password").filter(|_| !username.is_empty()) else {
        return again(StatusCode::UNPROCESSABLE_ENTITY, REFUSED.to_owned());
    };
    match credentials::check(&username, &password, Via::Page, &cx).await? {
        Checked::Welcome(person) => {
            let data = sessions::sign_in(&session, &person, &cx).await?;
            go_on(interaction, person, data, &cx).await
        }
        Checked::MustChangePassword(person) => {
            let data = sessions::demand_new_password(&session, &person, &cx).await?;
            match interaction {
                Some(_) => go_on(interaction, person, data, &cx).await,
                None => Ok(Redirect::to("/login").into_response()),
            }
        }
        Checked::Refused => again(StatusCode::UNPROCESSABLE_ENTITY, REFUSED.to_owned()),
        Checked::TooMany { retry_after } => {
            let response = again(StatusCode::TOO_MANY_REQUESTS, too_many(retry_after))?;
            Ok(come_again(response, retry_after))
        }
    }
}

/// `POST /login/cancel`: back to the application, which is told; whatever session there is stays as it is (checklist 10).
#[utoipa::path(post, path = "/login/cancel", tag = "people", responses((status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn post_cancel(
    cx: Cx,
    headers: HeaderMap,
    PageForm(mut form): PageForm,
) -> Result<Response, PageError> {
    check_attempt(&mut form, &headers, &cx)?;
    let interaction = interaction(form.take_text("request"), &headers, &cx).await?;
    match interaction {
        Some(interaction) => authorize::deny(&interaction, DENIED, &cx).await,
        None => Ok(Redirect::to("/login").into_response()),
    }
}

/// `GET /login/account`: which account to go on with (`prompt=select_account`).
#[utoipa::path(get, path = "/login/account", tag = "people", params(("request" = String, Query, description = "Names the authorization request")), responses((status = 200, description = "A page", content_type = "text/html", body = String), (status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn get_account(
    Visitor { session, known, cx }: Visitor,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, PageError> {
    let name = authorize::named(uri.query()).ok_or_else(PageError::not_found)?;
    let interaction = authorize::find(&name, &headers, &cx).await?;
    let due = interaction.step(&known, &cx).await?.due;
    let (Due::ChooseAccount, Some((person, _))) = (due, &known) else {
        return authorize::go_on(&interaction, &known, &cx).await;
    };
    let template = AccountPage {
        assets: assets_version(),
        csrf: &form_token(&session, &cx),
        application: ForApplication {
            request: &interaction.name,
            name: interaction.application(),
        },
        name: person.name.as_deref(),
        identifier: person.identifier(),
    };
    Ok(interaction.page(page(StatusCode::OK, &template)?))
}

/// `POST /login/account`: goes on with the account that is signed in, or back to the application, which is told.
#[utoipa::path(post, path = "/login/account", tag = "people", responses((status = 200, description = "The answer, as a form that sends itself", content_type = "text/html", body = String), (status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn post_account(
    Visitor { session, known, cx }: Visitor,
    headers: HeaderMap,
    PageForm(mut form): PageForm,
) -> Result<Response, PageError> {
    check_form(&mut form, &session, &cx)?;
    let name = form.take_text("request").ok_or_else(PageError::not_found)?;
    let interaction = authorize::find(&name, &headers, &cx).await?;
    match form.take_text("decision").as_deref() {
        Some("allow") => authorize::choose(interaction, &known, &cx).await,
        Some("deny") => authorize::deny(&interaction, DENIED, &cx).await,
        _ => authorize::go_on(&interaction, &known, &cx).await,
    }
}

/// `POST /login/new-password`: the step after a right password where a new one is demanded.
#[utoipa::path(post, path = "/login/new-password", tag = "people", responses((status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn post_new_password(
    Visitor { session, known, cx }: Visitor,
    headers: HeaderMap,
    PageForm(mut form): PageForm,
) -> Result<Response, PageError> {
    // Whoever is not at this step begins at the first (checklist 18).
    let Some((person, _)) = known.filter(|(_, data)| data.stage == Stage::NewPassword) else {
        return Ok(Redirect::to("/login").into_response());
    };
    let token = form_token(&session, &cx);
    check_form(&mut form, &session, &cx)?;
    let interaction = interaction(form.take_text("request"), &headers, &cx).await?;
    let interaction = interaction.as_ref();
    let password = form
        .take("new_password")
        .unwrap_or_else(|| Secret::new(String::new()));
    let cx = cx.acting(Actor::Session { user_id: person.id });
    let again = |status, problem| {
        new_password_page(status, &token, &person, interaction, Some(problem), &cx)
    };
    let person = match users::choose_password(&person, &password, &cx).await {
        Ok(person) => person,
        Err(ChoiceError::Fault(fault)) => return Err(fault.into()),
        Err(ChoiceError::TooMany { retry_after }) => {
            let response = again(StatusCode::TOO_MANY_REQUESTS, too_many(retry_after))?;
            return Ok(come_again(response, retry_after));
        }
        Err(problem) => return again(StatusCode::UNPROCESSABLE_ENTITY, problem.to_string()),
    };
    let data = sessions::sign_in(&session, &person, &cx).await?;
    go_on(interaction, person, data, &cx).await
}

fn sign_in_page(
    status: StatusCode,
    attempt: &str,
    username: &str,
    interaction: Option<&Interaction>,
    problem: Option<String>,
    cx: &Cx,
) -> Result<Response, PageError> {
    let csrf = cx.app.csrf.token("login", attempt);
    let template = SignInPage {
        assets: assets_version(),
        csrf: &csrf,
        username,
        application: ForApplication::of(interaction),
        problem,
    };
    of_flow(interaction, page(status, &template)?)
}

fn new_password_page(
    status: StatusCode,
    csrf: &str,
    person: &SignIn,
    interaction: Option<&Interaction>,
    problem: Option<String>,
    cx: &Cx,
) -> Result<Response, PageError> {
    let template = NewPasswordPage {
        assets: assets_version(),
        csrf,
        username: person.identifier(),
        application: ForApplication::of(interaction),
        min_length: cx.app.config.passwords.min_length,
        problem,
    };
    of_flow(interaction, page(status, &template)?)
}

/// A page whose forms may lead back to the application.
fn of_flow(interaction: Option<&Interaction>, response: Response) -> Result<Response, PageError> {
    Ok(match interaction {
        Some(interaction) => interaction.page(response),
        None => response,
    })
}
