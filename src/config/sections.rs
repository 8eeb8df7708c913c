//! One struct per room, every field documented; `docs/configuration.md` says the same to operators.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;

use super::issuer::Issuer;
use super::lists::{networks, ports};
use crate::kernel::secret::Secret;
use crate::kernel::span::Span;

/// All settings.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address that the server listens on. `DOORWARD_LISTEN`.
    pub listen: SocketAddr,
    /// The issuer: an https URL (http for loopback hosts) without path, query or fragment. `DOORWARD_ISSUER`.
    pub issuer: Issuer,
    /// Where the embedded PostgreSQL and generated secrets live. `DOORWARD_DATA_DIR`.
    pub data_dir: PathBuf,
    /// Where `sealing.key` lives. `DOORWARD_KEYS_DIR`.
    pub keys_dir: PathBuf,
    pub database: Database,
    pub http: Http,
    pub fetch: Fetch,
    pub tls: Tls,
    pub tokens: Tokens,
    pub keys: Keys,
    pub passwords: Passwords,
    pub throttle: Throttle,
    pub sessions: Sessions,
    pub registration: Registration,
    pub ops: Ops,
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            issuer: Issuer::default(),
            data_dir: PathBuf::from("./data"),
            keys_dir: PathBuf::from("./keys"),
            database: Database::default(),
            http: Http::default(),
            fetch: Fetch::default(),
            tls: Tls::default(),
            tokens: Tokens::default(),
            keys: Keys::default(),
            passwords: Passwords::default(),
            throttle: Throttle::default(),
            sessions: Sessions::default(),
            registration: Registration::default(),
            ops: Ops::default(),
            log: Log::default(),
        }
    }
}

/// The store.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `postgres://…`; absent: the embedded default. `DATABASE_URL`.
    pub url: Option<Secret<String>>,
    /// The connection for what a pooler in transaction mode can't carry (LISTEN, migrations); absent: `url`.
    pub direct_url: Option<Secret<String>>,
    /// Connections in the pool, 1 or more.
    pub max_connections: u32,
    /// How long a request waits for a connection before it is told 503.
    pub acquire_timeout: Span,
    /// How long a statement may run.
    pub statement_timeout: Span,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: None,
            direct_url: None,
            max_connections: 16,
            acquire_timeout: Span::seconds(2),
            statement_timeout: Span::seconds(5),
        }
    }
}

/// TLS of our own; without it, a proxy ends TLS.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The certificate's chain in PEM, ours first.
    pub certificate: Option<PathBuf>,
    /// Its private key in PEM.
    pub key: Option<PathBuf>,
}

/// Limits on every request, and whom to believe about its origin.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Networks of the proxies whose `X-Forwarded-For` is believed; exempt from the limit on connections.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Connections that one address may hold.
    pub max_connections_per_address: u32,
    /// From a request's first byte (or the connection's opening) to the end of its head.
    pub header_timeout: Span,
    /// From the head's end to the body's end.
    pub body_timeout: Span,
    /// What a handler may take.
    pub handler_timeout: Span,
    /// How long a connection may stay idle.
    pub idle_timeout: Span,
    /// Connections of everybody together.
    pub max_connections: u32,
    /// How long a stop still takes requests while `/readyz` says that it stops, so that load balancers hear of it.
    pub drain_timeout: Span,
    /// How long a stop then waits for what is under way.
    pub shutdown_timeout: Span,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            max_connections_per_address: 256,
            max_connections: 10_000,
            drain_timeout: Span::seconds(1),
            header_timeout: Span::seconds(10),
            body_timeout: Span::seconds(15),
            handler_timeout: Span::seconds(10),
            idle_timeout: Span::seconds(60),
            shutdown_timeout: Span::seconds(10),
        }
    }
}

/// Clients that register themselves (RFC 7591).
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Registration {
    /// `off`, `token` (with an initial access token) or `open`.
    pub mode: RegistrationMode,
    /// Clients that have registered themselves without a token, at most, and as many with one.
    pub max_clients: u32,
    /// Clients that one address may register in an hour without a token; it may change them three times as often.
    pub max_per_address: u32,
}

/// Who may register a client for themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegistrationMode {
    #[default]
    Off,
    Token,
    Open,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            mode: RegistrationMode::Off,
            max_clients: 1000,
            max_per_address: 20,
        }
    }
}

/// Whom Doorward turns to by itself: clients' key sets, sign-out notices, webhooks.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fetch {
    /// Networks that it may reach beside the public internet, there on any port; http too, on this machine.
    #[serde(deserialize_with = "networks")]
    pub allowed_networks: Vec<IpNet>,
    /// Ports that it may reach in the public internet.
    #[serde(deserialize_with = "ports")]
    pub allowed_ports: Vec<u16>,
    /// Root certificates in PEM, beside the system's.
    pub extra_roots: Option<PathBuf>,
}

impl Default for Fetch {
    fn default() -> Self {
        Self {
            allowed_networks: Vec::new(),
            allowed_ports: vec![443, 8443],
            extra_roots: None,
        }
    }
}

/// Lifetimes of tokens.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// Access tokens, unless the client's registration says otherwise.
    pub access_token_lifetime: Span,
    /// ID tokens, unless the client's registration says otherwise.
    pub id_token_lifetime: Span,
    /// How long a refresh token may lie unused, unless the client's registration says otherwise.
    pub refresh_token_idle_lifetime: Span,
    /// How long refreshing may go on after the login, unless the client's registration says otherwise.
    pub refresh_token_lifetime: Span,
    /// How long a refresh token that was used may be shown again, because the answer got lost; at most a minute.
    pub refresh_token_grace: Span,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            access_token_lifetime: Span::minutes(10),
            id_token_lifetime: Span::minutes(10),
            refresh_token_idle_lifetime: Span::days(7),
            refresh_token_lifetime: Span::days(30),
            refresh_token_grace: Span::seconds(10),
        }
    }
}

/// Signing keys and the key that seals them.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// Bits of a new RSA key: 2048, 3072 or 4096.
    pub rsa_bits: u32,
    /// What `Cache-Control` allows of JWKS and discovery.
    pub jwks_max_age: Span,
    /// How long a key signs before the next one takes over.
    pub lifetime: Span,
    /// The sealing keys, newest first, separated by commas, each 32 bytes in base64url; absent: `sealing.key` in the keys folder.
    pub sealing_key: Option<Secret<String>>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            rsa_bits: 2048,
            jwks_max_age: Span::minutes(5),
            lifetime: Span::days(90),
            sealing_key: None,
        }
    }
}

/// Hashing and the policy for passwords.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Passwords {
    /// Argon2id: KiB of memory, at least 19456.
    pub memory_kib: u32,
    /// Argon2id: passes, at least 2 (1 from 47104 KiB on).
    pub iterations: u32,
    /// Argon2id: lanes.
    pub parallelism: u32,
    /// Threads that hash; 0: one for each core.
    pub threads: u32,
    /// MiB that all hashes under way may hold together; bounds the threads.
    pub memory_budget_mib: u32,
    /// Hashes that may wait; more are told 503.
    pub queue: u32,
    /// How long a hash may wait before it is told 503.
    pub max_wait: Span,
    /// Characters that a password needs.
    pub min_length: u32,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            iterations: 2,
            parallelism: 1,
            threads: 0,
            memory_budget_mib: 256,
            queue: 64,
            max_wait: Span::seconds(5),
            min_length: 15,
        }
    }
}

/// Failed attempts at passwords. Rates are buckets: `…_burst` at once, then `…_per_hour`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Throttle {
    /// Failures from one address (a client of the password grant has a hundred times as many).
    pub address_burst: u32,
    pub address_per_hour: u32,
    /// Failures for one account from one address.
    pub pair_burst: u32,
    pub pair_per_hour: u32,
    /// Failures of everybody together.
    pub global_burst: u32,
    pub global_per_hour: u32,
    /// Consecutive failures after which an account waits 1 s, then twice as long each time, up to an hour.
    pub free_failures: u32,
    /// Consecutive failures after which an account's password is refused until an admin sets a new one; at most 100.
    pub max_failures: u32,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            address_burst: 30,
            address_per_hour: 120,
            pair_burst: 20,
            pair_per_hour: 60,
            global_burst: 10_000,
            global_per_hour: 100_000,
            free_failures: 5,
            max_failures: 100,
        }
    }
}

/// Browser sessions; none of the lives may be over 30 days.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sessions {
    /// Ends a session that nobody used for so long.
    pub idle: Span,
    /// Ends a session however it is used.
    pub absolute: Span,
    /// The same for people with `admin`.
    pub admin_idle: Span,
    pub admin_absolute: Span,
    /// Sessions that one person may have; the oldest goes.
    pub max_per_user: u32,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            idle: Span::hours(1),
            absolute: Span::hours(24),
            admin_idle: Span::minutes(15),
            admin_absolute: Span::hours(12),
            max_per_user: 50,
        }
    }
}

/// What operators look at.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ops {
    /// A listener of its own for `/metrics`, `/healthz` and `/readyz`; absent: `/metrics` is for loopback callers alone.
    pub listen: Option<SocketAddr>,
}

/// Logs, always on standard error.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `auto`: text to a terminal, JSON elsewhere.
    pub format: LogFormat,
    /// What is logged: `info`, or directives like `doorward=debug,warn`.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            filter: "info,sqlx=warn,tower_sessions_core=error".to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Auto,
    Text,
    Json,
}
