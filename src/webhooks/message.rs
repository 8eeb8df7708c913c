//! What is sent: a change as the feed has it, with its signatures.

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::signature::SigningSecret;
use crate::events::Change;
use crate::fetch::{Post, Purpose};
use crate::kernel::{FeedId, clock};

/// A message before it is signed; its id stays the same however often it is sent.
pub(super) struct Message {
    id: String,
    body: String,
}

impl Message {
    /// Tells of a change. One that is replayed, or told anew in another view, has an id of its own: a receiver that remembers ids takes it.
    pub(super) fn of(change: &Change, feed: FeedId, webhook: Uuid, replay: Option<i32>) -> Self {
        // The places of a consumer's new feed are those that everybody's had.
        let mut id = format!("chg_{}_{}_{}", feed.0, change.position, webhook.simple());
        if let Some(replay) = replay {
            id.push_str(&format!("_{replay}"));
        }
        let at = clock::rfc3339(change.occurred_at);
        let mut body = format!(r#"{{"type":"{}","timestamp":"{at}","data":"#, change.kind);
        change.write(&mut body);
        body.push('}');
        Self { id, body }
    }

    /// Tells of nothing: for trying a webhook out.
    pub(super) fn test(webhook: Uuid, now: OffsetDateTime) -> Self {
        let at = clock::rfc3339(now);
        let body =
            json!({ "type": "webhook.test", "timestamp": at, "data": { "webhook_id": webhook } });
        Self {
            id: format!("test_{}", crate::kernel::id::uuid_v7(now).simple()),
            body: body.to_string(),
        }
    }

    /// Signed at this time with each of the secrets, so that a receiver that knows any of them takes it.
    pub(super) fn sign(self, secrets: &[SigningSecret], now: OffsetDateTime) -> Post {
        let signatures: Vec<String> = secrets
            .iter()
            .map(|secret| secret.sign(&self.id, now, self.body.as_bytes()))
            .collect();
        let headers = [
            ("webhook-id", self.id),
            ("webhook-timestamp", now.unix_timestamp().to_string()),
            ("webhook-signature", signatures.join(" ")),
        ];
        let headers = headers.into_iter().filter_map(|(name, value)| {
            let value = HeaderValue::try_from(value).ok()?;
            Some((HeaderName::from_static(name), value))
        });
        Post {
            purpose: Purpose::Webhook,
            content_type: "application/json",
            headers: headers.collect(),
            body: Bytes::from(self.body),
        }
    }
}
