//! From a cookie to a person: looked up at each request, so whoever is disabled, or whose session was ended, is out at once on
//! every replica.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use tower_sessions::Session;
use tower_sessions::session::Error;
use uuid::Uuid;

use super::store::VisitorRow;
use super::{SessionData, Stage, store};
use crate::app::App;
use crate::cx::{Actor, Cx};
use crate::http::{Form, PageError};
use crate::kernel::{Fault, Secret};
use crate::users::{SignIn, Status};

/// Keeps the tokens of sessions and those of login attempts apart.
const CSRF_KIND: &str = "session";

/// Somebody at a page: perhaps a person whom we know.
pub(crate) struct Visitor {
    pub(crate) session: Session,
    /// Who has come how far; only people who are still let in.
    pub(crate) known: Option<(SignIn, SessionData)>,
    pub(crate) cx: Cx,
}

/// A person who is signed in. Whoever is not is sent to the login page.
pub(crate) struct SignedIn {
    pub(crate) session: Session,
    pub(crate) person: SignIn,
    pub(crate) data: SessionData,
    pub(crate) cx: Cx,
}

impl FromRequestParts<App> for Visitor {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, PageError> {
        let Ok(cx) = Cx::from_request_parts(parts, app).await;
        let session = parts.extensions.get::<Session>().cloned();
        let session = session.ok_or_else(|| {
            Fault::internal("reading the session", "the route has no session layer")
        })?;
        let found = match session.id() {
            Some(id) => {
                let mut connection = cx.connection().await?;
                store::find_visitor(&id, cx.now, &mut connection).await?
            }
            None => None,
        };
        let Some(row) = found else {
            // Has tower-sessions see for itself, so that a cookie of nothing goes with the answer.
            let data = session.get::<SessionData>(SessionData::KEY);
            data.await.map_err(fault)?;
            return Ok(Self {
                session,
                known: None,
                cx,
            });
        };
        let (person, data) = told_apart(row)?;
        let person = Some(person).filter(|p| {
            let demanded = data.stage == Stage::SignedIn || p.password_change_required;
            p.status == Status::Active && p.tokens_valid_from == data.valid_from && demanded
        });
        let cx = match &person {
            Some(p) if data.stage == Stage::SignedIn => cx.acting(Actor::Session { user_id: p.id }),
            _ => cx,
        };
        Ok(Self {
            session,
            known: person.map(|p| (p, data)),
            cx,
        })
    }
}

/// The person, and what their session says.
fn told_apart(row: VisitorRow) -> Result<(SignIn, SessionData), Fault> {
    let status = Status::parse(&row.status).ok_or_else(|| {
        let user = format!("user {}", row.user_id);
        Fault::internal("reading a person's status", user)
    })?;
    let person = SignIn {
        id: row.user_id,
        status,
        admin: row.admin,
        email: row.email,
        username: row.username,
        name: row.name,
        password_hash: row.password_hash.map(Secret::new),
        password_change_required: row.password_change_required,
        tokens_valid_from: row.tokens_valid_from,
    };
    Ok((person, row.data))
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let Visitor { session, known, cx } = Visitor::from_request_parts(parts, app)
            .await
            .map_err(IntoResponse::into_response)?;
        match known {
            Some((person, data)) if data.stage == Stage::SignedIn => Ok(Self {
                session,
                person,
                data,
                cx,
            }),
            _ => Err(Redirect::to("/login").into_response()),
        }
    }
}

/// The CSRF token of the forms on a page shown to the holder of this session.
pub(crate) fn form_token(session: &Session, cx: &Cx) -> String {
    cx.app.csrf.token(CSRF_KIND, &session_id(session))
}

/// Takes the form's CSRF token; whoever sends another than this session's is sent back (checklist 82).
pub(crate) fn check_form(form: &mut Form, session: &Session, cx: &Cx) -> Result<(), PageError> {
    let sent = form.take_text("csrf").unwrap_or_default();
    if cx.app.csrf.check(CSRF_KIND, &session_id(session), &sent) {
        Ok(())
    } else {
        Err(PageError::foreign_form())
    }
}

/// The session's id, which only its browser and we know.
fn session_id(session: &Session) -> String {
    session.id().map(|id| id.to_string()).unwrap_or_default()
}

/// Whoever was signed in at this browser until now.
pub(super) async fn before(session: &Session) -> Result<Option<SessionData>, Fault> {
    let data = session.get::<SessionData>(SessionData::KEY);
    let data = data.await.map_err(fault)?;
    Ok(data.filter(|data| data.stage == Stage::SignedIn))
}

/// Begins a session for this person, under a new id: whatever id the browser came with is dead (checklist 73, 74). Who proves themselves
/// again goes on with the session that they have (`public_id`).
pub(super) async fn begin(
    session: &Session,
    person: &SignIn,
    stage: Stage,
    public_id: Uuid,
    cx: &Cx,
) -> Result<SessionData, Fault> {
    let data = SessionData {
        user_id: person.id,
        public_id,
        stage,
        admin: person.admin,
        began_at: cx.now,
        valid_from: person.tokens_valid_from,
        ip: cx.origin.ip.map(|ip| ip.to_string()),
        user_agent: cx.origin.user_agent.clone(),
    };
    session.clear().await;
    session
        .insert(SessionData::KEY, &data)
        .await
        .map_err(fault)?;
    session.cycle_id().await.map_err(fault)?;
    // Written here, where a database that is away becomes an honest answer.
    session.save().await.map_err(fault)?;
    Ok(data)
}

/// Ends the session on the server; the cookie goes with the answer.
pub(super) async fn end(session: &Session) -> Result<(), Fault> {
    session.flush().await.map_err(fault)
}

fn fault(error: Error) -> Fault {
    match error {
        Error::Store(cause) => Fault::unavailable("asking for a session", cause),
        other => Fault::internal("reading a session", other),
    }
}
