//! What consumers look like, for `/openapi.json`; `http.rs` writes and reads them, and a test holds the two together.

// Read by the derive macros alone.
#![expect(dead_code, reason = "descriptions: nothing is ever made of these")]

use std::collections::BTreeMap;

use utoipa::{IntoParams, ToSchema};

/// A system that keeps a copy of people.
#[derive(ToSchema)]
#[schema(as = Consumer)]
pub(crate) struct ConsumerShape {
    name: String,
    /// The client that reads as this consumer.
    client_id: String,
    /// The view: what the consumer calls a field, and the member of a person that it shows (`email`, `external_ids.billing`).
    fields: BTreeMap<String, String>,
    version: i64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// Whether its feed is there to its end; a new one takes some seconds for a million people.
    ready: bool,
    /// Up to where it has acknowledged its feed.
    position: i64,
    #[schema(format = DateTime, required)]
    acknowledged_at: Option<String>,
    lag: LagShape,
}

/// How far behind a consumer is.
#[derive(ToSchema)]
#[schema(as = Lag)]
pub(crate) struct LagShape {
    /// Changes that it has not acknowledged, counted up to 100,000.
    changes: i64,
    /// Since the oldest of them.
    seconds: i64,
}

/// All consumers.
#[derive(ToSchema)]
#[schema(as = ConsumerList)]
pub(crate) struct ConsumerListShape {
    items: Vec<ConsumerShape>,
    /// Always null: there are at most 50.
    #[schema(required)]
    next: Option<String>,
}

/// What is registered.
#[derive(ToSchema)]
#[schema(as = ConsumerWrite)]
pub(crate) struct ConsumerWriteShape {
    client_id: String,
    fields: BTreeMap<String, String>,
}

/// What a consumer has applied.
#[derive(ToSchema)]
#[schema(as = Acknowledgement)]
pub(crate) struct AcknowledgementShape {
    /// A `next` of its feed.
    next: String,
}

/// What a copy of the consumer's view should be, in numbers.
#[derive(ToSchema)]
#[schema(as = Digest)]
pub(crate) struct DigestShape {
    buckets: i32,
    /// People in all.
    people: i64,
    /// The place in the feed that the digests are of.
    position: i64,
    /// The same as a cursor.
    next: String,
    items: Vec<BucketShape>,
}

/// One bucket.
#[derive(ToSchema)]
#[schema(as = Bucket)]
pub(crate) struct BucketShape {
    bucket: i64,
    people: i64,
    /// 16 hexadecimal digits.
    digest: String,
}

/// What a digest is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DigestParams {
    /// How many buckets, a power of two; 64 unless asked for otherwise.
    #[param(minimum = 1, maximum = 4096)]
    buckets: Option<u32>,
}
