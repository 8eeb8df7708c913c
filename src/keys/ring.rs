//! The keys in memory: ready to sign and to verify, and published. Served also while the database is away.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Bytes;
use serde_json::json;
use sqlx::PgConnection;
use tokio::sync::Notify;

use super::{SigningKey, Step, store};
use crate::http::Document;
use crate::jose::{Alg, PrivateKey, Signer, Verifier};
use crate::kernel::Fault;
use crate::kernel::seal::SealingKeys;
use crate::kernel::span::Span;

/// All keys that count now.
pub(crate) struct Keys {
    current: HashMap<Alg, Signer>,
    verifiers: HashMap<String, Verifier>,
    pub(crate) jwks: Document,
    all: Vec<SigningKey>,
}

impl Keys {
    /// What signs with this algorithm now.
    pub(crate) fn signer(&self, alg: Alg) -> Result<&Signer, Fault> {
        self.current.get(&alg).ok_or_else(|| {
            Fault::internal(
                "looking for a signing key",
                format!("no current key for {}", alg.as_str()),
            )
        })
    }

    /// All of them, oldest first, as they are stored.
    pub(crate) fn all(&self) -> &[SigningKey] {
        &self.all
    }

    /// One of our keys by its `kid`.
    pub(crate) fn verifier(&self, kid: &str) -> Option<&Verifier> {
        self.verifiers.get(kid)
    }
}

/// Holds [`Keys`] and renews them when another replica changed something.
pub(crate) struct KeyRing {
    max_age: Span,
    keys: RwLock<Arc<Keys>>,
    outdated: Notify,
}

impl KeyRing {
    pub(super) fn new(
        keys: Vec<SigningKey>,
        sealing: &SealingKeys,
        max_age: Span,
    ) -> Result<Self, Fault> {
        Ok(Self {
            max_age,
            keys: RwLock::new(Arc::new(load(keys, sealing, max_age)?)),
            outdated: Notify::new(),
        })
    }

    /// The keys of this moment.
    pub(crate) fn now(&self) -> Arc<Keys> {
        self.keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Says that the database holds something else by now.
    pub(crate) fn outdate(&self) {
        self.outdated.notify_one();
    }

    /// Waits for [`KeyRing::outdate`].
    pub(crate) async fn outdated(&self) {
        self.outdated.notified().await;
    }

    /// Reads them anew from the database.
    pub(crate) async fn reload(
        &self,
        sealing: &SealingKeys,
        db: &mut PgConnection,
    ) -> Result<(), Fault> {
        let fresh = Arc::new(load(store::list(db).await?, sealing, self.max_age)?);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

fn load(keys: Vec<SigningKey>, sealing: &SealingKeys, max_age: Span) -> Result<Keys, Fault> {
    let mut current = HashMap::new();
    let mut verifiers = HashMap::new();
    for key in &keys {
        verifiers.insert(
            key.kid.clone(),
            Verifier::from_public(key.alg, &key.public)?,
        );
        if key.step != Step::Retiring {
            let private = sealing.open(&SigningKey::purpose(&key.kid), &key.sealed_private).map_err(|_| {
                let text = format!("the signing key {} was sealed under another key than the present sealing key; restore the right one (docs/operations.md)", key.kid);
                Fault::internal("opening the signing keys", text)
            })?;
            // The next one is opened too: that it can't be is better known before it is its turn.
            let signer = PrivateKey::from_json(key.alg, private.expose())?.signer(&key.kid)?;
            if key.step == Step::Current {
                current.insert(key.alg, signer);
            }
        }
    }
    let jwks = json!({ "keys": keys.iter().map(|key| &key.public).collect::<Vec<_>>() });
    Ok(Keys {
        all: keys,
        current,
        verifiers,
        jwks: Document::new(
            Bytes::from(jwks.to_string()),
            "application/jwk-set+json",
            max_age,
        ),
    })
}
