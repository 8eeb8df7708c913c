//! `/account` and what belongs to it.

use askama::Template;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use time::OffsetDateTime;
use uuid::Uuid;

use super::again::{self, Act};
use super::applications::{self, Application, Login};
use super::device;
use crate::consent;
use crate::credentials::{self, Checked};
use crate::cx::Cx;
use crate::families;
use crate::http::shapes::PageRefusals;
use crate::http::{Form, PageError, PageForm, assets_version, come_again, page, too_many};
use crate::kernel::clock::rfc3339;
use crate::kernel::{ClientId, FamilyId, Secret, scope};
use crate::sessions::{self, SessionRow, SignedIn, check_form, form_token};
use crate::users::{self, ChoiceError, SignIn};

#[derive(Template)]
#[template(path = "account/overview.html")]
struct OverviewPage<'a> {
    assets: &'a str,
    csrf: &'a str,
    name: Option<&'a str>,
    email: Option<&'a str>,
    username: Option<&'a str>,
    done: Option<&'a str>,
    alarms: Vec<AlarmView>,
    sessions: Vec<SessionView>,
    applications: Vec<ApplicationView>,
}

struct AlarmView {
    name: String,
    at: String,
    at_words: String,
}

struct ApplicationView {
    client_id: String,
    name: String,
    /// When, and in words.
    last_used: Option<(String, String)>,
    /// What the person let it do, in words.
    may: Vec<String>,
    logins: Vec<LoginView>,
}

struct LoginView {
    family: String,
    /// The device, in words.
    place: String,
    is_this: bool,
    began: String,
    began_words: String,
    last_used: String,
    last_used_words: String,
    offline: bool,
}

struct SessionView {
    public_id: Uuid,
    device: String,
    ip: Option<String>,
    last_seen: String,
    last_seen_words: String,
    /// Names, separated by commas.
    applications: String,
    is_this: bool,
}

#[derive(Template)]
#[template(path = "account/password.html")]
struct PasswordPage<'a> {
    assets: &'a str,
    csrf: &'a str,
    username: &'a str,
    min_length: u32,
    problem: Option<String>,
}

/// `GET /account`.
#[utoipa::path(get, path = "/account", tag = "people", responses((status = 200, description = "A page", content_type = "text/html", body = String), (status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn get(
    SignedIn {
        session,
        person,
        data,
        cx,
    }: SignedIn,
    uri: Uri,
) -> Result<Response, PageError> {
    let sessions = {
        let mut connection = cx.connection().await?;
        sessions::list(person.id, cx.now, &mut connection).await?
    };
    let (applications, alarms) = applications::list(person.id, &cx).await?;
    // One of our own sentences, by name: nothing of the address is shown.
    let done = match uri.query() {
        Some("done=password") => {
            Some("Your password is changed. Everywhere else you have been signed out.")
        }
        Some("done=session") => Some("That session has ended."),
        Some("done=login") => Some("The application is signed out there."),
        Some("done=application") => Some("That application has no access any more."),
        _ => None,
    };
    let application_views = applications
        .iter()
        .map(|application| application_view(application, &sessions, data.public_id, cx.now))
        .collect();
    let template = OverviewPage {
        assets: assets_version(),
        csrf: &form_token(&session, &cx),
        name: person.name.as_deref(),
        email: person.email.as_deref(),
        username: person.username.as_deref(),
        done,
        sessions: sessions
            .into_iter()
            .map(|row| view(row, &applications, data.public_id, cx.now))
            .collect(),
        alarms: alarms
            .into_iter()
            .map(|alarm| AlarmView {
                name: alarm.name,
                at: rfc3339(alarm.at),
                at_words: ago(cx.now - alarm.at),
            })
            .collect(),
        applications: application_views,
    };
    page(StatusCode::OK, &template)
}

fn application_view(
    application: &Application,
    sessions: &[SessionRow],
    this: Uuid,
    now: OffsetDateTime,
) -> ApplicationView {
    let granted = application
        .granted
        .iter()
        .filter(|name| *name != scope::OPENID);
    let granted: Vec<String> = granted.cloned().collect();
    let may = consent::wishes(&granted)
        .into_iter()
        .map(|wish| match wish.name {
            Some(name) => format!("{} {name}", wish.words),
            None => wish.words,
        });
    ApplicationView {
        client_id: application.client_id.to_string(),
        name: application.name.clone(),
        last_used: application
            .last_used_at
            .map(|at| (rfc3339(at), ago(now - at))),
        may: may.collect(),
        logins: application
            .logins
            .iter()
            .map(|login| login_view(login, sessions, this, now))
            .collect(),
    }
}

fn login_view(
    login: &Login,
    sessions: &[SessionRow],
    this: Uuid,
    now: OffsetDateTime,
) -> LoginView {
    let session = sessions.iter().find(|row| row.public_id == login.session);
    LoginView {
        family: login.family.0.to_string(),
        place: match session {
            Some(row) => device::name(row.user_agent.as_deref()),
            None => "A browser that is signed out here".to_owned(),
        },
        is_this: login.session == this,
        began: rfc3339(login.began_at),
        began_words: ago(now - login.began_at),
        last_used: rfc3339(login.last_used_at),
        last_used_words: ago(now - login.last_used_at),
        offline: login.offline,
    }
}

fn view(
    row: SessionRow,
    applications: &[Application],
    this: Uuid,
    now: OffsetDateTime,
) -> SessionView {
    let opened = applications.iter().filter(|application| {
        let mut logins = application.logins.iter();
        logins.any(|login| login.session == row.public_id)
    });
    let opened: Vec<&str> = opened
        .map(|application| application.name.as_str())
        .collect();
    SessionView {
        applications: opened.join(", "),
        public_id: row.public_id,
        device: device::name(row.user_agent.as_deref()),
        ip: row.ip,
        last_seen: rfc3339(row.last_seen_at),
        last_seen_words: ago(now - row.last_seen_at),
        is_this: row.public_id == this,
    }
}

fn ago(span: time::Duration) -> String {
    match span.whole_minutes() {
        ..=1 => "just now".to_owned(),
        minutes @ 2..=90 => format!("{minutes} minutes ago"),
        minutes @ 91..=2880 => format!("{} hours ago", (minutes + 30) / 60),
        minutes => format!("{} days ago", (minutes + 720) / 1440),
    }
}

/// `POST /account/sessions/end`.
#[utoipa::path(post, path = "/account/sessions/end", tag = "people", responses((status = 200, description = "A page that asks for the password", content_type = "text/html", body = String), (status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn post_end_session(
    signed_in: SignedIn,
    PageForm(mut form): PageForm,
) -> Result<Response, PageError> {
    check_form(&mut form, &signed_in.session, &signed_in.cx)?;
    let which = form
        .take_text("session")
        .and_then(|id| id.parse::<Uuid>().ok())
        .ok_or_else(PageError::not_found)?;
    end(Act::EndSession(which), signed_in, form).await
}

/// `POST /account/applications/end`: ends one login of an application.
#[utoipa::path(post, path = "/account/applications/end", tag = "people", responses((status = 200, description = "A page that asks for the password", content_type = "text/html", body = String), (status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn post_end_login(
    signed_in: SignedIn,
    PageForm(mut form): PageForm,
) -> Result<Response, PageError> {
    check_form(&mut form, &signed_in.session, &signed_in.cx)?;
    let which = form
        .take_text("login")
        .and_then(|id| id.parse::<Uuid>().ok())
        .ok_or_else(PageError::not_found)?;
    end(Act::EndLogin(FamilyId(which)), signed_in, form).await
}

/// `POST /account/applications/remove`: takes consent back and ends all that the application has (checklist 70).
#[utoipa::path(post, path = "/account/applications/remove", tag = "people", responses((status = 200, description = "A page that asks for the password", content_type = "text/html", body = String), (status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn post_remove_application(
    signed_in: SignedIn,
    PageForm(mut form): PageForm,
) -> Result<Response, PageError> {
    check_form(&mut form, &signed_in.session, &signed_in.cx)?;
    let which = form
        .take_text("client_id")
        .and_then(|id| id.parse::<ClientId>().ok())
        .ok_or_else(PageError::not_found)?;
    end(Act::RemoveApplication(which), signed_in, form).await
}

/// Ends something, of whoever proved themselves lately (checklist 78).
async fn end(act: Act, signed_in: SignedIn, form: Form) -> Result<Response, PageError> {
    if let Some(page) = again::demanded(&act, &signed_in, form).await? {
        return Ok(page);
    }
    let SignedIn { person, cx, .. } = signed_in;
    let done = match act {
        Act::EndSession(which) => {
            sessions::end_one(which, person.id, &cx).await?;
            "session"
        }
        Act::EndLogin(which) => {
            families::end_own(which, person.id, &cx).await?;
            "login"
        }
        Act::RemoveApplication(which) => {
            consent::withdraw(person.id, &which, &cx).await?;
            "application"
        }
    };
    Ok(Redirect::to(&format!("/account?done={done}")).into_response())
}

/// `GET /account/password`.
#[utoipa::path(get, path = "/account/password", tag = "people", responses((status = 200, description = "A page", content_type = "text/html", body = String), (status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn get_password(
    SignedIn {
        session,
        person,
        cx,
        ..
    }: SignedIn,
) -> Result<Response, PageError> {
    password_page(
        StatusCode::OK,
        &form_token(&session, &cx),
        &person,
        None,
        &cx,
    )
}

/// `POST /account/password`: needs the present password, ends everything else (checklist 104).
#[utoipa::path(post, path = "/account/password", tag = "people", responses((status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn post_password(
    SignedIn {
        session,
        person,
        cx,
        ..
    }: SignedIn,
    PageForm(mut form): PageForm,
) -> Result<Response, PageError> {
    check_form(&mut form, &session, &cx)?;
    let token = form_token(&session, &cx);
    let mut take = |name: &str| {
        form.take(name)
            .unwrap_or_else(|| Secret::new(String::new()))
    };
    let (present, new) = (take("password"), take("new_password"));
    let refuse =
        |status, problem: String| password_page(status, &token, &person, Some(problem), &cx);

    let too_many_tries = |retry_after| {
        let response = refuse(StatusCode::TOO_MANY_REQUESTS, too_many(retry_after))?;
        Ok(come_again(response, retry_after))
    };

    // The login page's own check, throttle included (checklist 92).
    match credentials::check_person(person.clone(), &present, &cx).await? {
        Checked::Welcome(_) | Checked::MustChangePassword(_) => {}
        Checked::Refused => {
            return refuse(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Your current password is not right.".to_owned(),
            );
        }
        Checked::TooMany { retry_after } => return too_many_tries(retry_after),
    }
    let person = match users::choose_password(&person, &new, &cx).await {
        Ok(person) => person,
        Err(ChoiceError::Fault(fault)) => return Err(fault.into()),
        Err(ChoiceError::TooMany { retry_after }) => return too_many_tries(retry_after),
        Err(problem) => return refuse(StatusCode::UNPROCESSABLE_ENTITY, problem.to_string()),
    };
    sessions::sign_in(&session, &person, &cx).await?;
    Ok(Redirect::to("/account?done=password").into_response())
}

fn password_page(
    status: StatusCode,
    csrf: &str,
    person: &SignIn,
    problem: Option<String>,
    cx: &Cx,
) -> Result<Response, PageError> {
    let username = person.identifier();
    page(
        status,
        &PasswordPage {
            assets: assets_version(),
            csrf,
            username,
            min_length: cx.app.config.passwords.min_length,
            problem,
        },
    )
}
