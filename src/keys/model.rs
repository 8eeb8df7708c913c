//! A signing key and the steps of its life.

use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::jose::Alg;

/// Where a key stands: next (published), current (signs), retiring (published until its last token has expired).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Step {
    Next,
    Current,
    Retiring,
}

impl Step {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Current => "current",
            Self::Retiring => "retiring",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Next, Self::Current, Self::Retiring]
            .into_iter()
            .find(|step| step.as_str() == text)
    }
}

/// A signing key as it is stored: its private half sealed.
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) alg: Alg,
    pub(crate) step: Step,
    pub(crate) public: Map<String, Value>,
    pub(crate) sealed_private: Vec<u8>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) current_at: Option<OffsetDateTime>,
    pub(crate) retiring_at: Option<OffsetDateTime>,
}

impl SigningKey {
    /// What the private half is sealed for: this key and no other.
    pub(super) fn purpose(kid: &str) -> String {
        format!("signing_key/{kid}")
    }
}
