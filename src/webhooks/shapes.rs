//! What webhooks look like, for `/openapi.json`; a test holds this and real answers together.

// Read by the derive macros alone.
#![expect(dead_code, reason = "descriptions: nothing is ever made of these")]

use utoipa::{IntoParams, ToSchema};

/// An address that is told of changes.
#[derive(ToSchema)]
#[schema(as = Webhook)]
pub(super) struct WebhookShape {
    id: String,
    /// An https URL.
    url: String,
    description: Option<String>,
    /// The consumer whose view it is sent; null: everything, as the API shows it.
    consumer: Option<String>,
    paused: bool,
    /// `whsec_…`, where it is new: shown once and never again.
    secret: Option<String>,
    /// Messages are signed with the secret before, too, until then.
    #[schema(format = DateTime)]
    previous_secret_until: Option<String>,
    version: i64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    status: WebhookStatusShape,
}

/// How its deliveries stand.
#[derive(ToSchema)]
#[schema(as = WebhookStatus)]
pub(super) struct WebhookStatusShape {
    /// `delivering`, `down` (tried again at `next_attempt_at`) or `paused`.
    state: String,
    /// Every change up to here was received, or waits, or was given up.
    position: i64,
    /// When the oldest change happened that it has not been sent.
    #[schema(format = DateTime)]
    behind_since: Option<String>,
    /// What is being sent once more.
    replay: Option<PlacesShape>,
    /// In a row.
    failures: i32,
    #[schema(format = DateTime)]
    next_attempt_at: Option<String>,
    last_error: Option<String>,
    #[schema(format = DateTime)]
    last_error_at: Option<String>,
    #[schema(format = DateTime)]
    last_delivered_at: Option<String>,
    /// People whose newest change was not taken and is tried again.
    waiting: i64,
    /// People whose newest change was given up.
    dead: i64,
}

/// The changes after the one place, up to the other.
#[derive(ToSchema)]
#[schema(as = Places)]
pub(super) struct PlacesShape {
    after: i64,
    until: i64,
}

#[derive(ToSchema)]
#[schema(as = WebhookList)]
pub(super) struct WebhookListShape {
    items: Vec<WebhookShape>,
    next: Option<String>,
}

/// A new webhook.
#[derive(ToSchema)]
#[schema(as = WebhookNew)]
pub(super) struct WebhookNewShape {
    url: String,
    description: Option<String>,
    /// A consumer's name.
    consumer: Option<String>,
    paused: Option<bool>,
    /// `now` (unless said otherwise) or `beginning`: with everybody there is.
    from: Option<String>,
}

/// What may change; null removes the description.
#[derive(ToSchema)]
#[schema(as = WebhookWrite)]
pub(super) struct WebhookWriteShape {
    url: Option<String>,
    description: Option<String>,
    paused: Option<bool>,
}

#[derive(ToSchema)]
#[schema(as = WebhookRotate)]
pub(super) struct RotateShape {
    /// How long messages are signed with the old secret too: 24 hours unless said otherwise, at most 30 days.
    overlap_seconds: Option<u32>,
}

/// One of: places, times, or what was given up.
#[derive(ToSchema)]
#[schema(as = WebhookReplay)]
pub(super) struct ReplayShape {
    /// The changes after this place…
    after: Option<i64>,
    /// …up to this one.
    until: Option<i64>,
    /// Those that happened from this time on…
    #[schema(format = DateTime)]
    since: Option<String>,
    /// …before this one.
    #[schema(format = DateTime)]
    before: Option<String>,
    /// What was given up.
    dead: Option<bool>,
}

#[derive(ToSchema)]
#[schema(as = WebhookReplayed)]
pub(super) struct ReplayedShape {
    /// How many people's changes are sent once more.
    people: i64,
}

#[derive(ToSchema)]
#[schema(as = WebhookTried)]
pub(super) struct TriedShape {
    delivered: bool,
    /// What the receiver answered.
    status: Option<u16>,
    error: Option<String>,
    duration_ms: u64,
}

/// A person whose newest change was given up.
#[derive(ToSchema)]
#[schema(as = WebhookDead)]
pub(super) struct DeadShape {
    user_id: String,
    attempts: i32,
    #[schema(format = DateTime)]
    failed_at: String,
    #[schema(format = DateTime)]
    dead_at: String,
    error: String,
}

#[derive(ToSchema)]
#[schema(as = WebhookDeadList)]
pub(super) struct DeadListShape {
    items: Vec<DeadShape>,
    next: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParams {
    /// Items in a page; 50 unless asked for otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// A `next` of the same list.
    after: Option<String>,
}
