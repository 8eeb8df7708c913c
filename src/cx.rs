//! Cx: one request or job: the program, the time, who acts, and from where.

use std::net::IpAddr;
use std::ops::DerefMut;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use sqlx::{PgConnection, Postgres, Transaction};
use time::OffsetDateTime;

use crate::app::App;
use crate::kernel::scope;
use crate::kernel::{ClientId, Fault, ScopeSet, UserId};

/// What an operation needs to know beside its arguments. `now` is read once, so all rows of one request agree.
#[derive(Clone)]
pub(crate) struct Cx {
    pub(crate) app: App,
    pub(crate) now: OffsetDateTime,
    pub(crate) actor: Actor,
    pub(crate) origin: Arc<Origin>,
}

/// Who acts.
#[derive(Clone, Debug)]
pub(crate) enum Actor {
    /// Nobody has been proven.
    Nobody,
    /// A client with a token of its own.
    Client { id: ClientId, scope: ScopeSet },
    /// A person, through a client.
    Person {
        id: UserId,
        client_id: ClientId,
        scope: ScopeSet,
    },
    /// A person at their own pages.
    Session { user_id: UserId },
    /// Whoever runs the command line: the operator.
    Operator,
    /// Doorward itself: first start, jobs.
    System,
}

impl Actor {
    /// The person who acts, at their own pages or through a client.
    pub(crate) fn person(&self) -> Option<UserId> {
        match self {
            Self::Person { id, .. } => Some(*id),
            Self::Session { user_id } => Some(*user_id),
            Self::Nobody | Self::Client { .. } | Self::Operator | Self::System => None,
        }
    }

    /// Whether the actor holds one of Doorward's own scopes.
    pub(crate) fn holds(&self, own: &str) -> bool {
        match self {
            Self::Client { scope, .. } | Self::Person { scope, .. } => scope.contains(own),
            Self::Operator | Self::System => true,
            Self::Nobody | Self::Session { .. } => false,
        }
    }

    /// Whether the actor holds all four of Doorward's scopes, as whoever administers it does.
    pub(crate) fn holds_all_scopes(&self) -> bool {
        scope::OWN.iter().all(|own| self.holds(own))
    }
}

/// The actor does not hold all four of Doorward's scopes.
pub(crate) struct ScopesMissing;

/// Where a request came from, for audit rows and logs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// The client's address, after the proxies that the settings name; none for the command line and jobs.
    pub(crate) ip: Option<IpAddr>,
    /// At most 256 characters of `User-Agent`.
    pub(crate) user_agent: Option<String>,
    pub(crate) request_id: String,
    /// Why, in the caller's own words (`Doorward-Reason`).
    pub(crate) reason: Option<String>,
    /// How the change came, where it is not a request of its own: `batch`, `import`.
    pub(crate) via: Option<&'static str>,
}

impl Cx {
    /// For the command line and jobs.
    pub(crate) fn internal(app: &App, actor: Actor) -> Self {
        Self {
            app: app.clone(),
            now: app.clock.now(),
            actor,
            origin: Arc::default(),
        }
    }

    /// Begins a transaction: one connection for the whole request.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Postgres>, Fault> {
        Ok(self.app.pool.begin().await?)
    }

    /// A connection for single statements.
    pub(crate) async fn connection(
        &self,
    ) -> Result<impl DerefMut<Target = PgConnection> + use<>, Fault> {
        Ok(self.app.pool.acquire().await?)
    }

    /// Refuses whoever does not hold all four of Doorward's scopes.
    pub(crate) fn all_scopes(&self) -> Result<(), ScopesMissing> {
        if self.actor.holds_all_scopes() {
            Ok(())
        } else {
            Err(ScopesMissing)
        }
    }

    /// The same request as the way by which what it changes comes: `batch`, `import`.
    pub(crate) fn via(&self, via: &'static str) -> Self {
        let origin = Origin {
            via: Some(via),
            ..(*self.origin).clone()
        };
        Self {
            origin: Arc::new(origin),
            ..self.clone()
        }
    }

    /// The same request, acted by somebody who has been proven meanwhile.
    pub(crate) fn acting(&self, actor: Actor) -> Self {
        Self {
            actor,
            ..self.clone()
        }
    }
}

impl FromRequestParts<App> for Cx {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        Ok(Self {
            app: app.clone(),
            now: app.clock.now(),
            actor: parts.extensions.get().cloned().unwrap_or(Actor::Nobody),
            origin: parts.extensions.get().cloned().unwrap_or_default(),
        })
    }
}
