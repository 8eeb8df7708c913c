//! A signing key and the steps of its life.

use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::jose::{Alg, PrivateKey};
use crate::kernel::seal::SealingKeys;

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
    /// When a retiring key goes.
    pub(crate) gone_at: Option<OffsetDateTime>,
}

impl SigningKey {
    /// A key at the step where its life begins; the private half is sealed for it.
    pub(super) fn seal(
        private: &PrivateKey,
        alg: Alg,
        step: Step,
        sealing: &SealingKeys,
        now: OffsetDateTime,
    ) -> Self {
        let public = private.public();
        let kid = public.get("kid").and_then(Value::as_str);
        let kid = kid.unwrap_or_default().to_owned();
        let plain = private.to_json();
        Self {
            sealed_private: sealing.seal(&Self::purpose(&kid), plain.expose().as_bytes()),
            kid,
            alg,
            step,
            public,
            created_at: now,
            current_at: (step == Step::Current).then_some(now),
            retiring_at: None,
            gone_at: None,
        }
    }

    /// What the private half is sealed for: this key and no other.
    pub(super) fn purpose(kid: &str) -> String {
        format!("signing_key/{kid}")
    }
}
