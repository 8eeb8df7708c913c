//! The password once more, before something is ended by whoever sits at a browser that was left open (checklist 78).

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use time::Duration;
use uuid::Uuid;

use crate::credentials::{self, Checked};
use crate::http::{Form, PageError, assets_version, come_again, page, too_many};
use crate::kernel::{ClientId, FamilyId};
use crate::sessions::{self, SignedIn, form_token};

/// How long a proof is good for.
const LATELY: Duration = Duration::minutes(5);

/// What is about to be done.
pub(super) enum Act {
    EndSession(Uuid),
    /// One login of an application.
    EndLogin(FamilyId),
    RemoveApplication(ClientId),
}

impl Act {
    /// The address of its form, and the field that says which.
    fn form(&self) -> (&'static str, &'static str, String) {
        match self {
            Self::EndSession(id) => ("/account/sessions/end", "session", id.to_string()),
            Self::EndLogin(id) => ("/account/applications/end", "login", id.0.to_string()),
            Self::RemoveApplication(id) => {
                ("/account/applications/remove", "client_id", id.to_string())
            }
        }
    }

    fn words(&self) -> &'static str {
        match self {
            Self::EndSession(_) => "Before we end that session, please enter your password.",
            Self::EndLogin(_) => "Before we sign you out there, please enter your password.",
            Self::RemoveApplication(_) => {
                "Before we remove the access of that application, please enter your password."
            }
        }
    }
}

#[derive(Template)]
#[template(path = "account/again.html")]
struct AgainPage<'a> {
    assets: &'a str,
    csrf: &'a str,
    username: &'a str,
    words: &'a str,
    action: &'a str,
    field: &'a str,
    value: &'a str,
    problem: Option<String>,
}

/// The page that asks for the password, where the person did not prove themselves lately and the form holds none that is right. One that
/// is goes through the login page's own check, throttle included, and is a sign-in like any other: it begins the time anew.
pub(super) async fn demanded(
    act: &Act,
    signed_in: &SignedIn,
    mut form: Form,
) -> Result<Option<Response>, PageError> {
    let SignedIn {
        session,
        person,
        data,
        cx,
    } = signed_in;
    if cx.now - data.began_at < LATELY {
        return Ok(None);
    }
    let ask = |status, problem| {
        let (action, field, value) = act.form();
        let template = AgainPage {
            assets: assets_version(),
            csrf: &form_token(session, cx),
            username: person.identifier(),
            words: act.words(),
            action,
            field,
            value: &value,
            problem,
        };
        page(status, &template)
    };
    let Some(password) = form.take("password") else {
        return ask(StatusCode::OK, None).map(Some);
    };
    match credentials::check_person(person.clone(), &password, cx).await? {
        Checked::Welcome(person) | Checked::MustChangePassword(person) => {
            sessions::sign_in(session, &person, cx).await?;
            Ok(None)
        }
        Checked::Refused => {
            let problem = "That password is not right.".to_owned();
            ask(StatusCode::UNPROCESSABLE_ENTITY, Some(problem)).map(Some)
        }
        Checked::TooMany { retry_after } => {
            let response = ask(StatusCode::TOO_MANY_REQUESTS, Some(too_many(retry_after)))?;
            Ok(Some(come_again(response, retry_after)))
        }
    }
}
