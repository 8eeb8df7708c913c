//! App: everything that lives as long as the program. Built once, cloned cheaply.

use std::ops::Deref;
use std::sync::Arc;

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use crate::authorize::SeenChallenges;
use crate::client_auth::{ClientKeys, Failures};
use crate::clients::Clients;
use crate::config::{self, Config};
use crate::consumers::Consumers;
use crate::credentials::Hasher;
use crate::db::{self, Cursors, HandedOut, Trust};
use crate::discovery;
use crate::events::News;
use crate::fetch::Fetcher;
use crate::http::{Csrf, RequestIds};
use crate::jobs::{self, Tasks};
use crate::kernel::Fault;
use crate::kernel::clock::Clock;
use crate::kernel::seal::SealingKeys;
use crate::keys::{self, Bootstrapped, KeyRing};
use crate::meters::Meters;
use crate::ops::watch::Watch;
use crate::token::{SeenTokens, Unrevoked};
use crate::users::{Attributes, Index};

/// The program's parts.
#[derive(Clone)]
pub struct App(Arc<Parts>);

pub struct Parts {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pool: PgPool,
    pub(crate) handed_out: HandedOut,
    /// For what a pooler in transaction mode can't carry: LISTEN, and the standing jobs' locks.
    pub(crate) direct: PgConnectOptions,
    pub(crate) trust: Trust,
    pub(crate) cursors: Cursors,
    pub(crate) csrf: Csrf,
    pub(crate) sealing: SealingKeys,
    pub(crate) keyring: KeyRing,
    pub(crate) clients: Clients,
    pub(crate) client_keys: ClientKeys,
    pub(crate) hasher: Hasher,
    pub(crate) index: Index,
    pub(crate) attributes: Attributes,
    pub(crate) tasks: Tasks,
    pub(crate) seen: SeenTokens,
    pub(crate) unrevoked: Unrevoked,
    pub(crate) failures: Failures,
    pub(crate) challenges: SeenChallenges,
    pub(crate) watch: Watch,
    /// Whether somebody collects traces.
    pub(crate) traced: bool,
    pub(crate) request_ids: RequestIds,
    pub(crate) consumers: Consumers,
    pub(crate) news: News,
    pub(crate) metadata: discovery::Documents,
    pub(crate) meters: Arc<Meters>,
    /// Whatever goes out to other servers goes through it.
    pub(crate) fetcher: Fetcher,
}

impl App {
    /// Builds the program over a database that answers: migrates it, loads or makes its keys.
    pub(crate) async fn build(
        config: Config,
        database: Databases,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Fault> {
        db::migrate(&database.direct).await?;
        let unhurried = db::unhurried(database.direct.clone());
        let (pool, handed_out) = db::connect(database.pooled, &config.database);
        let Bootstrapped { sealing, ring } =
            keys::bootstrap(&config, &unhurried, clock.now()).await?;
        let meters = Arc::new(Meters::new());
        let fetcher = Fetcher::new(&config.fetch, meters.clone())?;
        let hasher = Hasher::start(&config.passwords, meters.clone())?;
        Ok(Self(Arc::new(Parts {
            clock,
            pool,
            handed_out,
            direct: db::standing(database.direct),
            trust: Trust::new(),
            cursors: Cursors::new(&sealing),
            csrf: Csrf::new(&sealing),
            keyring: ring,
            sealing,
            clients: Clients::new(),
            client_keys: ClientKeys::new(),
            hasher,
            index: Index::default(),
            attributes: Attributes::default(),
            tasks: Tasks::new(),
            seen: SeenTokens::new(),
            unrevoked: Unrevoked::new(),
            failures: Failures::new(),
            challenges: SeenChallenges::new(),
            watch: Watch::default(),
            traced: config::wants_traces(),
            request_ids: RequestIds::new(),
            consumers: Consumers::new(),
            news: News::new(),
            metadata: discovery::Documents::new(&config)?,
            meters,
            fetcher,
            config,
        })))
    }

    /// Starts what runs beside the requests of a server.
    pub(crate) fn start_jobs(&self) {
        jobs::start(self);
    }

    /// Gives the database its connections back.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// How to reach the database: through a pooler perhaps, and directly.
#[derive(Clone)]
pub struct Databases {
    pub pooled: PgConnectOptions,
    pub direct: PgConnectOptions,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
