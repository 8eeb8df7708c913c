//! CSRF tokens: bound to what the browser holds (a session's id, or a login attempt's cookie), so there is nothing to store.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::kernel::seal::{SealingKeys, mac};
use crate::kernel::secret::Secret;

/// Makes and checks tokens under a key of their own.
#[derive(Clone)]
pub(crate) struct Csrf(Vec<Secret<[u8; 32]>>);

impl Csrf {
    pub(crate) fn new(keys: &SealingKeys) -> Self {
        Self(keys.derive("csrf"))
    }

    /// The token of the forms on a page shown to the holder of `bound`; `kind` keeps sessions and login attempts apart.
    pub(crate) fn token(&self, kind: &'static str, bound: &str) -> String {
        URL_SAFE_NO_PAD.encode(mac(&self.0[0], &[kind.as_bytes(), bound.as_bytes()]))
    }

    /// Whether `sent` is the token for `bound`, compared in constant time.
    pub(crate) fn check(&self, kind: &'static str, bound: &str, sent: &str) -> bool {
        let Ok(sent) = URL_SAFE_NO_PAD.decode(sent) else {
            return false;
        };
        self.0.iter().any(|key| {
            mac(key, &[kind.as_bytes(), bound.as_bytes()])
                .ct_eq(sent.as_slice())
                .into()
        })
    }
}
