//! `/account` and what belongs to it.

use askama::Template;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use time::OffsetDateTime;
use uuid::Uuid;

use super::applications::{self, Application};
use super::device;
use crate::consent;
use crate::credentials::{self, Checked};
use crate::cx::Cx;
use crate::http::shapes::PageRefusals;
use crate::http::{PageError, PageForm, assets_version, come_again, page, too_many};
use crate::kernel::clock::rfc3339;
use crate::kernel::{ClientId, Secret, scope};
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
        Some("done=application") => Some("That application has no access any more."),
        _ => None,
    };
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
        applications: applications
            .iter()
            .map(|application| application_view(application, cx.now))
            .collect(),
    };
    page(StatusCode::OK, &template)
}

fn application_view(application: &Application, now: OffsetDateTime) -> ApplicationView {
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
        offline: application.offline,
    }
}

fn view(
    row: SessionRow,
    applications: &[Application],
    this: Uuid,
    now: OffsetDateTime,
) -> SessionView {
    let opened = applications
        .iter()
        .filter(|application| application.sessions.contains(&row.public_id));
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
#[utoipa::path(post, path = "/account/sessions/end", tag = "people", responses((status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn post_end_session(
    SignedIn {
        session,
        person,
        cx,
        ..
    }: SignedIn,
    PageForm(mut form): PageForm,
) -> Result<Response, PageError> {
    check_form(&mut form, &session, &cx)?;
    let which = form
        .take_text("session")
        .and_then(|id| id.parse::<Uuid>().ok())
        .ok_or_else(PageError::not_found)?;
    sessions::end_one(which, person.id, &cx).await?;
    Ok(Redirect::to("/account?done=session").into_response())
}

/// `POST /account/applications/remove`: takes consent back and ends all that the application has (checklist 70).
#[utoipa::path(post, path = "/account/applications/remove", tag = "people", responses((status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn post_remove_application(
    SignedIn {
        session,
        person,
        cx,
        ..
    }: SignedIn,
    PageForm(mut form): PageForm,
) -> Result<Response, PageError> {
    check_form(&mut form, &session, &cx)?;
    let which = form
        .take_text("client_id")
        .and_then(|id| id.parse::<ClientId>().ok())
        .ok_or_else(PageError::not_found)?;
    consent::withdraw(person.id, &which, &cx).await?;
    Ok(Redirect::to("/account?done=application").into_response())
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
