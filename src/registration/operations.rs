//! Registering oneself, and managing that; and the initial access tokens that let somebody in.

use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::model::{self, new_initial_token, new_registration_token};
use super::store::{self, Bounds, Owner, Registered};
use super::{Allowance, InitialToken};
use crate::audit::{self, Action, Change, Target};
use crate::clients::{self, Client, ClientError, Grant, Registration, RegistrationError, Update};
use crate::config::RegistrationMode;
use crate::cx::{Actor, Cx};
use crate::families;
use crate::http::IfMatch;
use crate::idempotency::{Claim, ClaimError};
use crate::kernel::id::uuid_v7;
use crate::kernel::network::household;
use crate::kernel::scope::PERSONAL;
use crate::kernel::span::Span;
use crate::kernel::{ClientId, Fault, ScopeSet, Secret, TokenHash};

/// How long what an address registered counts against it.
const HOUR: Duration = Duration::hours(1);
/// How many times as often as it may register clients, an address may change them.
const CHANGES: u32 = 3;
/// How long a stranger's client is kept that nobody signs in to.
const UNUSED: Duration = Duration::hours(24);
/// Uses of one initial access token.
const MOST_USES: u32 = 1000;
const LONGEST_LIFE: Span = Span::days(90);

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

/// Why an initial access token is not made.
#[derive(Debug)]
pub(crate) enum InitialTokenError {
    Invalid(Vec<RegistrationError>),
    Claim(ClaimError),
    Fault(Fault),
}

impl From<Fault> for InitialTokenError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<sqlx::Error> for InitialTokenError {
    fn from(cause: sqlx::Error) -> Self {
        Self::Fault(cause.into())
    }
}

impl From<ClaimError> for InitialTokenError {
    fn from(error: ClaimError) -> Self {
        Self::Claim(error)
    }
}

/// A new initial access token with the one look at it, or as it was told to an earlier request with the same key.
pub(crate) struct Told {
    pub(crate) view: Value,
    pub(crate) earlier: bool,
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

/// Makes an initial access token; it is told here and never again.
pub(crate) async fn create_token(
    allowance: Allowance,
    uses: u32,
    life: Span,
    claim: Option<&Claim>,
    cx: &Cx,
) -> Result<Told, InitialTokenError> {
    let mut wrong = Vec::new();
    let mut hold = |holds: bool, part: &'static str, expected: &str| {
        if !holds {
            wrong.push(RegistrationError {
                part: part.into(),
                detail: format!("Expected {expected}."),
            });
        }
    };
    let grants = allowance.grants.iter().map(|grant| grant.parse::<Grant>());
    hold(
        grants.clone().count() > 0
            && grants
                .into_iter()
                .all(|grant| grant.is_ok_and(|grant| grant != Grant::Password)),
        "grant_types",
        "authorization_code, refresh_token or client_credentials: nobody registers the password grant for themselves",
    );
    hold((1..=MOST_USES).contains(&uses), "uses", "1 to 1000");
    hold(
        (Span::minutes(1)..=LONGEST_LIFE).contains(&life),
        "expires_in",
        "a minute to 90 days, in seconds",
    );
    if !wrong.is_empty() {
        return Err(InitialTokenError::Invalid(wrong));
    }
    let secret = new_initial_token();
    let token = InitialToken {
        id: uuid_v7(cx.now),
        allowance,
        uses_left: i32::try_from(uses).unwrap_or(1),
        created_at: cx.now,
        expires_at: cx.now + life.time(),
    };
    let mut tx = cx.begin().await?;
    if let Some(claim) = claim
        && let Some(view) = claim.redeem(&mut tx, cx).await?
    {
        let earlier = true;
        return Ok(Told { view, earlier });
    }
    store::insert_token(&token, &TokenHash::of(secret.expose()), &mut tx).await?;
    let change = Change {
        before: None,
        after: Some(token.view()),
    };
    audit::record(
        Action::InitialTokenCreated,
        Target::InitialToken(token.id),
        change,
        &mut tx,
        cx,
    )
    .await?;
    let mut view = token.view();
    view["initial_access_token"] = json!(secret.expose());
    if let Some(claim) = claim {
        claim.keep(&view, None, &mut tx, cx).await?;
    }
    tx.commit().await?;
    let earlier = false;
    Ok(Told { view, earlier })
}

/// Ends an initial access token; whether there was one.
pub(crate) async fn delete_token(id: Uuid, cx: &Cx) -> Result<bool, Fault> {
    let mut tx = cx.begin().await?;
    if !store::delete_token(id, &mut tx).await? {
        return Ok(false);
    }
    audit::record(
        Action::InitialTokenDeleted,
        Target::InitialToken(id),
        Change::default(),
        &mut tx,
        cx,
    )
    .await?;
    tx.commit().await?;
    Ok(true)
}

impl InitialToken {
    /// What is told of it: all but the token.
    pub(crate) fn view(&self) -> Value {
        let time = crate::kernel::clock::rfc3339;
        json!({
            "id": self.id,
            "grant_types": self.allowance.grants,
            "require_pkce": self.allowance.require_pkce,
            "uses_left": self.uses_left,
            "created_at": time(self.created_at),
            "expires_at": time(self.expires_at),
        })
    }
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

/// The registration that the metadata make of the client as it is.
fn revised(
    mut metadata: Map<String, Value>,
    before: &Client,
    now: OffsetDateTime,
) -> Result<Registration, Vec<RegistrationError>> {
    let wrong = |part: &'static str, detail: &str| {
        vec![RegistrationError {
            part: part.into(),
            detail: detail.to_owned(),
        }]
    };
    let named = metadata.remove("client_id");
    if named.as_ref().and_then(Value::as_str) != Some(before.id.as_str()) {
        return Err(wrong("client_id", "Expected the client's own."));
    }
    for name in [
        "registration_access_token",
        "registration_client_uri",
        "client_secret_expires_at",
        "client_id_issued_at",
    ] {
        if metadata.contains_key(name) {
            return Err(wrong(name, "This is not sent back (RFC 7592 §2.2)."));
        }
    }
    if let Some(secret) = metadata.remove("client_secret") {
        let sent = TokenHash::of(secret.as_str().unwrap_or(""));
        let live = before.secrets.iter().filter(|s| s.is_live(now));
        if live.filter(|s| s.hash.matches(&sent)).count() == 0 {
            return Err(wrong(
                "client_secret",
                "Expected the client's own; it can't be chosen.",
            ));
        }
    }
    let allowance = Allowance {
        grants: before
            .registration
            .grants
            .iter()
            .map(|grant| grant.as_str().to_owned())
            .chain(Allowance::of_strangers().grants)
            .collect(),
        require_pkce: before.registration.sign_on.require_pkce,
    };
    read(metadata, &allowance, Some(&before.registration))
}

/// Deletes the client (RFC 7592 §2.3).
pub(super) async fn remove(id: &ClientId, token: &str, cx: &Cx) -> Result<(), RegistrationFailure> {
    admit_to_change(id, token, cx).await?;
    Ok(clients::delete(id, &IfMatch::Any, &acting(id, cx)).await?)
}

/// Deletes what is over: tokens, budgets, what clients that are gone still counted for, and strangers' clients that nobody signed in to
/// within a day and that no operator made his own.
pub(crate) async fn sweep(cx: &Cx) -> Result<(), Fault> {
    let over: Vec<ClientId> = {
        let mut connection = cx.connection().await?;
        while store::sweep(cx.now - HOUR, cx.now, &mut connection).await? > 0 {}
        let unused = store::list_unused(&mut connection).await?;
        let ids: Vec<String> = unused.iter().map(|(id, _)| id.to_string()).collect();
        let used = families::used_among(&ids, &mut connection).await?;
        store::note_used(&used, cx.now, &mut connection).await?;
        let over = unused.into_iter().filter(|(id, registered_at)| {
            *registered_at <= cx.now - UNUSED && !used.iter().any(|used| used == id.as_str())
        });
        over.map(|(id, _)| id).collect()
    };
    for id in over {
        match delete_unused(&id, cx).await {
            Ok(()) | Err(ClientError::Unknown) => {}
            Err(ClientError::Fault(fault)) => return Err(fault),
            Err(_) => tracing::warn!(client.id = %id, "an unused client could not be deleted"),
        }
    }
    Ok(())
}

async fn delete_unused(id: &ClientId, cx: &Cx) -> Result<(), ClientError> {
    let client = clients::get(id, cx).await?;
    if is_a_strangers(&client.registration) {
        // Not one that an operator makes his own this very moment.
        return match clients::delete(id, &IfMatch::OneOf(vec![client.version]), cx).await {
            Err(ClientError::Stale) => Ok(()),
            done => done,
        };
    }
    let mut connection = cx.connection().await?;
    store::note_used(&[id.to_string()], cx.now, &mut connection).await?;
    Ok(())
}

/// Whether it is no more than a stranger could have registered.
fn is_a_strangers(registration: &Registration) -> bool {
    let mut bare = registration.clone();
    keep_operators(&mut bare, &Registration::new(""));
    let allowance = Allowance::of_strangers();
    let may = |grant: &Grant| allowance.grants.iter().any(|may| may == grant.as_str());
    bare.to_json() == registration.to_json()
        && registration.sign_on.require_pkce
        && registration.grants.iter().all(may)
        && registration
            .scopes
            .iter()
            .all(|name| PERSONAL.contains(&name))
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

impl Allowance {
    /// For whoever comes without a token.
    pub(crate) fn of_strangers() -> Self {
        let grants = [Grant::AuthorizationCode, Grant::RefreshToken];
        Self {
            grants: grants.map(|grant| grant.as_str().to_owned()).to_vec(),
            require_pkce: true,
        }
    }
}

/// The registration that the metadata make, within the allowance; `before` is what an operator's members stay as.
fn read(
    mut metadata: Map<String, Value>,
    allowance: &Allowance,
    before: Option<&Registration>,
) -> Result<Registration, Vec<RegistrationError>> {
    // RFC 7591 §2: the defaults of what is left out.
    let absent =
        |metadata: &Map<String, Value>, name: &str| metadata.get(name).is_none_or(Value::is_null);
    if absent(&metadata, "grant_types") {
        metadata.insert("grant_types".to_owned(), json!(["authorization_code"]));
    }
    if absent(&metadata, "client_name") {
        let first = metadata.get("redirect_uris").and_then(|uris| uris.get(0));
        let host = first.and_then(Value::as_str).and_then(host_of);
        let name = host.unwrap_or_else(|| "Unnamed application".to_owned());
        metadata.insert("client_name".to_owned(), json!(name));
    }
    let scope_is_sent = !absent(&metadata, "scope");
    let mut registration = Registration::from_metadata(metadata)?;
    let mut wrong = Vec::new();
    let mut refuse = |part: &'static str, detail: String| {
        wrong.push(RegistrationError {
            part: part.into(),
            detail,
        });
    };
    let beyond = registration
        .grants
        .iter()
        .find(|grant| !allowance.grants.iter().any(|may| may == grant.as_str()));
    if let Some(grant) = beyond {
        refuse(
            "grant_types",
            format!("{} is not to be had here.", grant.as_str()),
        );
    }
    if scope_is_sent {
        let given = |name: &str| before.is_some_and(|before| before.scopes.contains(name));
        let strange = |name: &&str| !PERSONAL.contains(name) && !given(name);
        if registration.scopes.iter().any(|name| strange(&name)) {
            refuse("scope", format!("Expected some of {}.", PERSONAL.join(" ")));
        }
    } else {
        registration.scopes = match before {
            Some(before) => before.scopes.clone(),
            None => ScopeSet::parse(&PERSONAL.join(" ")).unwrap_or_default(),
        };
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    registration.sign_on.require_pkce =
        allowance.require_pkce || !registration.auth_method.proves();
    if let Some(before) = before {
        keep_operators(&mut registration, before);
    }
    Ok(registration)
}

/// What an operator alone sets stays as it was.
fn keep_operators(registration: &mut Registration, before: &Registration) {
    registration.audiences.clone_from(&before.audiences);
    registration.serves.clone_from(&before.serves);
    registration.signing_alg = before.signing_alg;
    registration.access_token_lifetime = before.access_token_lifetime;
    registration.password_grant_until = before.password_grant_until;
    let (now, was) = (&mut registration.sign_on, &before.sign_on);
    now.first_party = was.first_party;
    now.id_token_lifetime = was.id_token_lifetime;
    now.refresh_token_lifetime = was.refresh_token_lifetime;
    now.refresh_token_idle_lifetime = was.refresh_token_idle_lifetime;
}

/// What an application without a name is called: the host that its users are sent to.
fn host_of(uri: &str) -> Option<String> {
    Some(url::Url::parse(uri).ok()?.host_str()?.to_owned())
}
