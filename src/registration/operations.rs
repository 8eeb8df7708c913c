//! Registering oneself, and managing that.

use serde_json::{Map, Value};

use super::Allowance;
use super::metadata::{read, revised};
use super::model::{self, HOUR, new_registration_token};
use super::store::{self, Bounds, Owner, Registered};
use crate::clients::{self, Client, ClientError, RegistrationError, Update};
use crate::config::RegistrationMode;
use crate::cx::{Actor, Cx};
use crate::http::IfMatch;
use crate::kernel::network::household;
use crate::kernel::{ClientId, Fault, ScopeSet, Secret, TokenHash};

/// How many times as often as it may register clients, an address may change them.
const CHANGES: u32 = 3;
/// Why a client is not registered, or not let near its registration.
#[derive(Debug)]
pub(crate) enum RegistrationFailure {
    /// No token was sent where one is needed.
    NoToken,
    /// The token is none, was used up, has expired, or is of another client.
    BadToken,
    /// Too many registered themselves.
    NoRoom,
    /// They were changed too often; when to come again, in seconds.
    TooOften(u32),
    /// An operator gave the client more than it may manage by itself.
    OutOfReach,
    Invalid(Vec<RegistrationError>),
    Fault(Fault),
}

impl From<Fault> for RegistrationFailure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<sqlx::Error> for RegistrationFailure {
    fn from(cause: sqlx::Error) -> Self {
        Self::Fault(cause.into())
    }
}

impl From<ClientError> for RegistrationFailure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Invalid(wrong) => Self::Invalid(wrong),
            ClientError::Above(_) => Self::OutOfReach,
            ClientError::Unknown => Self::BadToken,
            ClientError::Fault(fault) => Self::Fault(fault),
            // What a client that registers itself can't bring about: it serves nothing and names no version, secret or key.
            other @ (ClientError::ServesTaken
            | ClientError::NoSecrets
            | ClientError::TooManySecrets
            | ClientError::Stale
            | ClientError::Claim(_)) => Self::Fault(Fault::internal(
                "registering a client",
                format!("{other:?}"),
            )),
        }
    }
}

/// A client as its owner sees it.
pub(super) struct Managed {
    pub(super) client: Client,
    /// Where one was just made.
    pub(super) secret: Option<Secret<String>>,
    pub(super) token: Secret<String>,
}

/// Registers a client by what it says of itself (RFC 7591 §3.1).
pub(super) async fn register(
    metadata: Map<String, Value>,
    token: Option<&str>,
    cx: &Cx,
) -> Result<Managed, RegistrationFailure> {
    let settings = &cx.app.config.registration;
    let mut tx = cx.begin().await?;
    let (initial_token, allowance) = match (settings.mode, token) {
        (RegistrationMode::Off | RegistrationMode::Token, None) => {
            return Err(RegistrationFailure::NoToken);
        }
        (RegistrationMode::Open, None) => (None, Allowance::of_strangers()),
        (_, Some(token)) => {
            let hash = model::initial_token(token).ok_or(RegistrationFailure::BadToken)?;
            let spent = store::spend_use(&hash, cx.now, &mut tx).await?;
            let (id, allowance) = spent.ok_or(RegistrationFailure::BadToken)?;
            (Some(id), allowance)
        }
    };
    let registration = read(metadata, &allowance, None).map_err(RegistrationFailure::Invalid)?;
    let created = clients::create_in(registration, &mut tx, cx).await?;
    let token = new_registration_token();
    let household = cx.origin.ip.filter(|_| initial_token.is_none());
    let registered = Registered {
        client: &created.client.id,
        hash: &TokenHash::of(token.expose()),
        initial_token,
        household: household.map(|ip| self::household(ip).to_string()),
    };
    let bounds = Bounds {
        clients: i64::from(settings.max_clients),
        of_household: i64::from(settings.max_per_address),
        within: HOUR,
    };
    if !store::insert_registered(&registered, &bounds, cx.now, &mut tx).await? {
        return Err(RegistrationFailure::NoRoom);
    }
    tx.commit().await?;
    cx.app.clients.forget(created.client.id.as_str());
    Ok(Managed {
        client: created.client,
        secret: created.secret,
        token,
    })
}

/// The registration, for whoever holds its token (RFC 7592 §2.1).
pub(super) async fn show(
    id: &ClientId,
    token: &str,
    cx: &Cx,
) -> Result<Managed, RegistrationFailure> {
    admit(id, token, cx).await?;
    Ok(Managed {
        client: clients::get(id, cx).await?,
        secret: None,
        token: Secret::new(token.to_owned()),
    })
}

/// Replaces the registration (RFC 7592 §2.2). What an operator set stays, also while it is set; a client that begins to prove itself with a
/// secret gets one.
pub(super) async fn replace(
    id: &ClientId,
    token: &str,
    metadata: Map<String, Value>,
    cx: &Cx,
) -> Result<Managed, RegistrationFailure> {
    admit_to_change(id, token, cx).await?;
    let cx = &acting(id, cx);
    let now = cx.now;
    let revise = move |before: &Client| revised(metadata, before, now);
    let update = Update::Revise(Box::new(revise));
    let client = clients::update(id, update, &IfMatch::Any, cx).await?;
    let lacks_one = !client.secrets.iter().any(|s| s.is_live(cx.now));
    let secret = if client.registration.auth_method.has_secret() && lacks_one {
        let told = clients::add_secret(id, None, None, cx).await?;
        let secret = told.view["client_secret"].as_str();
        secret.map(|secret| Secret::new(secret.to_owned()))
    } else {
        None
    };
    Ok(Managed {
        client,
        secret,
        token: Secret::new(token.to_owned()),
    })
}

/// Deletes the client (RFC 7592 §2.3).
pub(super) async fn remove(id: &ClientId, token: &str, cx: &Cx) -> Result<(), RegistrationFailure> {
    admit_to_change(id, token, cx).await?;
    Ok(clients::delete(id, &IfMatch::Any, &acting(id, cx)).await?)
}

/// Whether the token is the one of this client's registration.
async fn admit(id: &ClientId, token: &str, cx: &Cx) -> Result<Owner, RegistrationFailure> {
    let hash = model::registration_token(token).ok_or(RegistrationFailure::BadToken)?;
    let found = store::find_registered(&hash, &mut *cx.connection().await?).await?;
    found
        .filter(|owner| owner.client == *id)
        .ok_or(RegistrationFailure::BadToken)
}

/// The same for whoever changes something: each change is written down and told to all replicas, so there are only so many (E33).
async fn admit_to_change(id: &ClientId, token: &str, cx: &Cx) -> Result<(), RegistrationFailure> {
    let owner = admit(id, token, cx).await?;
    let settings = &cx.app.config.registration;
    let changes = settings.max_per_address.saturating_mul(CHANGES).max(1);
    let burst = i32::try_from(changes).unwrap_or(i32::MAX);
    let mut connection = cx.connection().await?;
    let step = HOUR / burst;
    if store::spend_change(&owner.holder, burst, step, cx.now, &mut connection).await? {
        Ok(())
    } else {
        let wait = u32::try_from(step.whole_seconds()).unwrap_or(1);
        Err(RegistrationFailure::TooOften(wait.max(1)))
    }
}

/// The client acts, and holds nothing of Doorward's: what an operator raised is out of its reach.
fn acting(id: &ClientId, cx: &Cx) -> Cx {
    cx.acting(Actor::Client {
        id: id.clone(),
        scope: ScopeSet::default(),
    })
}
