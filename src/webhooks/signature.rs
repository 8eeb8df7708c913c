//! Signatures after the Standard Webhooks specification: HMAC-SHA-256 over id, time and body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use time::OffsetDateTime;

use crate::kernel::{Secret, random};

const PREFIX: &str = "whsec_";
/// 264 random bits: a number of bytes that base64 writes without `=`.
const BYTES: usize = 33;

/// What a webhook's messages are signed with; its receiver has the same.
#[derive(Clone)]
pub(super) struct SigningSecret(Secret<Vec<u8>>);

impl SigningSecret {
    /// A new one whose text holds neither `+` nor `/`, so that it reads the same in both alphabets of base64.
    pub(super) fn new() -> Self {
        loop {
            let bytes = random::bytes::<BYTES>().to_vec();
            let secret = Self(Secret::new(bytes));
            if !secret.text().expose().contains(['+', '/']) {
                return secret;
            }
        }
    }

    pub(super) fn from_stored(bytes: Secret<Vec<u8>>) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.expose()
    }

    /// As it is shown once: `whsec_…`.
    pub(super) fn text(&self) -> Secret<String> {
        Secret::new(format!("{PREFIX}{}", STANDARD.encode(self.bytes())))
    }

    /// One signature: `v1,…`.
    pub(super) fn sign(&self, id: &str, at: OffsetDateTime, body: &[u8]) -> String {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(self.bytes()).expect("any length");
        mac.update(format!("{id}.{}.", at.unix_timestamp()).as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_specification_does() {
        // S-E29: the vector of the specification's own libraries.
        let bytes = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let secret = SigningSecret::from_stored(Secret::new(bytes));
        let at = OffsetDateTime::from_unix_timestamp(1_614_265_330).unwrap();
        let signed = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            at,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_written_in_one_alphabet() {
        for _ in 0..20 {
            let text = SigningSecret::new().text();
            let rest = text.expose().strip_prefix("whsec_").unwrap();
            assert!(rest.len() == 44 && rest.bytes().all(|b| b.is_ascii_alphanumeric()));
        }
    }
}
