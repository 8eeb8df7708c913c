//! The instruments themselves, and the registry that knows their names.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{
    Authorization, Cache, CacheAnswer, Delivery, Door, FetchOutcome, Fetched, FetchedFor, Notice,
    NoticeOutcome, Purpose, Refusal, Refused, Request, Route, Token, TokenError, Webhook,
};

/// Upper bounds in seconds: a token takes a tenth of a millisecond, a login some tens.
const SECONDS: [f64; 12] = [
    0.000_25, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// All that is counted while the program runs. Cheap to touch: atomics behind a read lock.
pub(crate) struct Meters {
    registry: Registry,
    requests: Family<Request, Counter>,
    durations: Family<Route, Histogram>,
    tokens: Family<Token, Counter>,
    token_errors: Family<TokenError, Counter>,
    authorizations: Family<Authorization, Counter>,
    sign_ins: Counter,
    refused: Family<Refused, Counter>,
    cache: Family<Cache, Counter>,
    fetches: Family<Fetched, Counter>,
    fetch_durations: Family<FetchedFor, Histogram>,
    deliveries: Family<Delivery, Counter>,
    webhook_lag: Family<Webhook, Gauge>,
    webhook_waiting: Family<Webhook, Gauge>,
    webhook_dead: Family<Webhook, Gauge>,
    notices: Family<Notice, Counter>,
    /// Hashes that wait.
    pub(crate) hash_queue: Gauge,
    /// From being asked to being begun.
    pub(crate) hash_wait: Histogram,
    /// Hashes that were refused because the queue was full or the wait too long.
    pub(crate) hash_refused: Counter,
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Meters {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("doorward");
        let durations = Family::<Route, Histogram>::new_with_constructor(seconds);
        let meters = Self {
            requests: Family::default(),
            durations,
            tokens: Family::default(),
            token_errors: Family::default(),
            authorizations: Family::default(),
            sign_ins: Counter::default(),
            refused: Family::default(),
            cache: Family::default(),
            fetches: Family::default(),
            fetch_durations: Family::new_with_constructor(seconds),
            deliveries: Family::default(),
            webhook_lag: Family::default(),
            webhook_waiting: Family::default(),
            webhook_dead: Family::default(),
            notices: Family::default(),
            hash_queue: Gauge::default(),
            hash_wait: seconds(),
            hash_refused: Counter::default(),
            registry: Registry::default(),
        };
        registry.register(
            "http_requests",
            "Requests answered, by route, method and status",
            meters.requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "From a request's head to its answer, by route",
            Unit::Seconds,
            meters.durations.clone(),
        );
        registry.register(
            "tokens_issued",
            "Access tokens issued, by grant and client",
            meters.tokens.clone(),
        );
        registry.register(
            "token_errors",
            "Requests below /oauth2/ refused with an OAuth error (RFC 6749), by its code",
            meters.token_errors.clone(),
        );
        registry.register(
            "authorizations",
            "Authorization requests answered, by what the client was told: code, or an error",
            meters.authorizations.clone(),
        );
        registry.register(
            "sign_ins",
            "People signed in at the login page",
            meters.sign_ins.clone(),
        );
        registry.register(
            "passwords_refused",
            "Passwords refused, by door and reason (the throttle's are too_many)",
            meters.refused.clone(),
        );
        registry.register(
            "client_cache_lookups",
            "Look-ups of clients in memory, by what came of them",
            meters.cache.clone(),
        );
        registry.register(
            "fetches",
            "Exchanges with other servers, by purpose and outcome",
            meters.fetches.clone(),
        );
        registry.register_with_unit(
            "fetch_duration",
            "How long exchanges with other servers took, by purpose",
            Unit::Seconds,
            meters.fetch_durations.clone(),
        );
        registry.register(
            "webhook_deliveries",
            "Messages to webhooks, by webhook and outcome",
            meters.deliveries.clone(),
        );
        registry.register_with_unit(
            "webhook_lag",
            "Since the oldest change that a webhook has not been sent",
            Unit::Seconds,
            meters.webhook_lag.clone(),
        );
        registry.register(
            "webhook_waiting",
            "People whose change a webhook did not take and is sent again",
            meters.webhook_waiting.clone(),
        );
        registry.register(
            "webhook_dead",
            "People whose change was given up",
            meters.webhook_dead.clone(),
        );
        // There from the start, so that nothing at all can be told from nothing asked.
        for purpose in [Purpose::Keys, Purpose::Logout, Purpose::Webhook] {
            let done = Fetched {
                purpose,
                outcome: FetchOutcome::Done,
            };
            drop(meters.fetches.get_or_create(&done));
        }
        registry.register(
            "logout_notices",
            "Applications told that a session ended, by what came of it",
            meters.notices.clone(),
        );
        registry.register(
            "hash_queue",
            "Password hashes that wait for a thread",
            meters.hash_queue.clone(),
        );
        registry.register_with_unit(
            "hash_wait",
            "How long password hashes waited for a thread",
            Unit::Seconds,
            meters.hash_wait.clone(),
        );
        registry.register(
            "hash_refused",
            "Password hashes refused because the queue was full or the wait too long",
            meters.hash_refused.clone(),
        );
        Self { registry, ..meters }
    }

    /// A request was answered.
    pub(crate) fn answered(&self, route: &str, method: &'static str, status: u16, seconds: f64) {
        let route = Route {
            route: route.to_owned(),
        };
        self.durations.get_or_create(&route).observe(seconds);
        let request = Request {
            route: route.route,
            method,
            status,
        };
        self.requests.get_or_create(&request).inc();
    }

    /// A token was issued to a registered client.
    pub(crate) fn token(&self, grant: &'static str, client: &str) {
        let token = Token {
            grant,
            client: client.to_owned(),
        };
        self.tokens.get_or_create(&token).inc();
    }

    pub(crate) fn token_error(&self, error: &'static str) {
        self.token_errors.get_or_create(&TokenError { error }).inc();
    }

    /// An authorization request was answered.
    pub(crate) fn authorized(&self, answer: &'static str) {
        let label = Authorization { answer };
        self.authorizations.get_or_create(&label).inc();
    }

    pub(crate) fn signed_in(&self) {
        self.sign_ins.inc();
    }

    pub(crate) fn password_refused(&self, door: Door, reason: Refusal) {
        self.refused.get_or_create(&Refused { door, reason }).inc();
    }

    pub(crate) fn cache(&self, answer: CacheAnswer) {
        self.cache.get_or_create(&Cache { answer }).inc();
    }

    /// Another server was turned to.
    pub(crate) fn fetched(&self, purpose: Purpose, outcome: FetchOutcome, seconds: f64) {
        self.fetches
            .get_or_create(&Fetched { purpose, outcome })
            .inc();
        self.fetch_durations
            .get_or_create(&FetchedFor { purpose })
            .observe(seconds);
    }

    /// A webhook was sent a message.
    pub(crate) fn webhook_delivered(&self, webhook: &str, received: bool) {
        let delivery = Delivery {
            webhook: webhook.to_owned(),
            outcome: if received { "received" } else { "failed" },
        };
        self.deliveries.get_or_create(&delivery).inc();
    }

    /// How a webhook that this replica delivers stands.
    pub(crate) fn webhook_lags(&self, webhook: &str, seconds: i64, waiting: i64, dead: i64) {
        let webhook = Webhook {
            webhook: webhook.to_owned(),
        };
        self.webhook_lag.get_or_create(&webhook).set(seconds);
        self.webhook_waiting.get_or_create(&webhook).set(waiting);
        self.webhook_dead.get_or_create(&webhook).set(dead);
    }

    /// Another replica delivers it, or nobody any more.
    pub(crate) fn webhook_gone(&self, webhook: &str) {
        let webhook = Webhook {
            webhook: webhook.to_owned(),
        };
        for gauge in [&self.webhook_lag, &self.webhook_waiting, &self.webhook_dead] {
            gauge.remove(&webhook);
        }
    }

    /// An application was to be told that a session ended.
    pub(crate) fn notice(&self, outcome: NoticeOutcome) {
        self.notices.get_or_create(&Notice { outcome }).inc();
    }

    /// Everything counted, in OpenMetrics text with its end mark: nothing may follow.
    pub(crate) fn write(&self, text: &mut String) -> std::fmt::Result {
        encode(text, &self.registry)
    }
}
