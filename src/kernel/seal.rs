//! Sealing: authenticated encryption of what the database keeps but must not be able to read, and keys derived by label.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{Secret, random};

const NONCE: usize = 24;

/// The sealing keys, newest first: the first seals, all open. Each is 256 random bits from outside the database.
#[derive(Clone)]
pub(crate) struct SealingKeys(Vec<Secret<[u8; 32]>>);

/// A key that seals one person's data, itself kept sealed.
pub(crate) struct DataKey(Secret<[u8; 32]>);

/// What was sealed can't be opened: another key, another purpose, or changed bytes.
#[derive(Debug)]
pub(crate) struct Unopenable;

impl SealingKeys {
    /// `None` for an empty list.
    pub(crate) fn new(newest_first: Vec<Secret<[u8; 32]>>) -> Option<Self> {
        if newest_first.is_empty() {
            None
        } else {
            Some(Self(newest_first))
        }
    }

    /// The key that only the holder of a token of 256 random bits can make: what it seals, the database can't open.
    pub(crate) fn of_holder(token: &Secret<String>) -> Self {
        Self(vec![expand(token.expose().as_bytes(), "holder")])
    }

    /// Seals `plain` with a fresh nonce (XChaCha20-Poly1305). `purpose` is authenticated too: what was sealed as one thing
    /// (`signing_key/<kid>`) never opens as another. Gives nonce and ciphertext in one piece.
    pub(crate) fn seal(&self, purpose: &str, plain: &[u8]) -> Vec<u8> {
        seal(&cipher(&self.0[0]), purpose, plain)
    }

    /// Opens what any of the keys sealed for this purpose.
    pub(crate) fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Secret<Vec<u8>>, Unopenable> {
        self.0
            .iter()
            .find_map(|key| open(&cipher(key), purpose, sealed).ok())
            .ok_or(Unopenable)
    }

    /// Seals under the newest key what an older one sealed; `None`: it is under the newest already.
    pub(crate) fn renew(
        &self,
        purpose: &str,
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, Unopenable> {
        if open(&cipher(&self.0[0]), purpose, sealed).is_ok() {
            return Ok(None);
        }
        let plain = self.open(purpose, sealed)?;
        Ok(Some(self.seal(purpose, plain.expose())))
    }

    /// Names the keys without telling anything of them, newest first: what is stored says which of them opens it.
    pub(crate) fn names(&self) -> Vec<[u8; 8]> {
        let name = |key: Secret<[u8; 32]>| {
            let mut name = [0; 8];
            name.copy_from_slice(&key.expose()[..8]);
            name
        };
        self.derive("name").into_iter().map(name).collect()
    }

    /// A key of its own for one purpose (HKDF-SHA-256, RFC 5869), from each sealing key, newest first: the first makes, all check.
    pub(crate) fn derive(&self, label: &'static str) -> Vec<Secret<[u8; 32]>> {
        self.0.iter().map(|key| derive(key, label)).collect()
    }
}

impl DataKey {
    /// 256 random bits.
    pub(crate) fn fresh() -> Self {
        Self(Secret::new(random::bytes()))
    }

    /// The key itself, to be sealed.
    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// `None` for what has another length.
    pub(crate) fn from_bytes(bytes: &Secret<Vec<u8>>) -> Option<Self> {
        let key = bytes.expose().as_slice().try_into().ok()?;
        Some(Self(Secret::new(key)))
    }

    /// Like [`SealingKeys::seal`].
    pub(crate) fn seal(&self, purpose: &str, plain: &[u8]) -> Vec<u8> {
        seal(&self.cipher(), purpose, plain)
    }

    /// Like [`SealingKeys::open`].
    pub(crate) fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Secret<Vec<u8>>, Unopenable> {
        open(&self.cipher(), purpose, sealed)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.0.expose()))
    }
}

fn seal(cipher: &XChaCha20Poly1305, purpose: &str, plain: &[u8]) -> Vec<u8> {
    let nonce = random::bytes::<NONCE>();
    let payload = Payload {
        msg: plain,
        aad: purpose.as_bytes(),
    };
    #[expect(
        clippy::expect_used,
        reason = "the cipher refuses only messages of more than 256 GiB"
    )]
    let sealed = cipher
        .encrypt(&XNonce::from(nonce), payload)
        .expect("the message is short");
    [nonce.as_slice(), &sealed].concat()
}

fn open(
    cipher: &XChaCha20Poly1305,
    purpose: &str,
    sealed: &[u8],
) -> Result<Secret<Vec<u8>>, Unopenable> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE>().ok_or(Unopenable)?;
    let payload = Payload {
        msg: body,
        aad: purpose.as_bytes(),
    };
    let plain = cipher.decrypt(&XNonce::from(*nonce), payload);
    plain.map(Secret::new).map_err(|_| Unopenable)
}

/// HMAC-SHA-256 over the parts, each preceded by its length so that no two lists of parts look alike.
pub(crate) fn mac(key: &Secret<[u8; 32]>, parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key.expose()).expect("any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn cipher(key: &Secret<[u8; 32]>) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(*derive(key, "seal").expose()))
}

fn derive(key: &Secret<[u8; 32]>, label: &str) -> Secret<[u8; 32]> {
    expand(key.expose(), label)
}

fn expand(secret: &[u8], label: &str) -> Secret<[u8; 32]> {
    let mut out = [0; 32];
    #[expect(clippy::expect_used, reason = "32 bytes are within HKDF's 255 blocks")]
    Hkdf::<Sha256>::new(Some(b"doorward"), secret)
        .expand(label.as_bytes(), &mut out)
        .expect("32 bytes");
    Secret::new(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(seeds: &[u8]) -> SealingKeys {
        SealingKeys::new(seeds.iter().map(|s| Secret::new([*s; 32])).collect()).unwrap()
    }

    #[test]
    fn opens_what_it_sealed_for_the_same_purpose_alone() {
        // S-53
        let sealed = keys(&[1]).seal("a", b"plain");
        assert_eq!(keys(&[1]).open("a", &sealed).unwrap().expose(), b"plain");
        assert_eq!(keys(&[2, 1]).open("a", &sealed).unwrap().expose(), b"plain");
        assert!(keys(&[1]).open("b", &sealed).is_err());
        assert!(keys(&[2]).open("a", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keys(&[1]).open("a", &changed).is_err(), "byte {at}");
        }
        assert!(keys(&[1]).open("a", &sealed[..10]).is_err());
        assert_ne!(sealed, keys(&[1]).seal("a", b"plain"), "the nonce is fresh");
    }

    #[test]
    fn what_an_older_key_sealed_is_sealed_anew_once() {
        let sealed = keys(&[1]).seal("a", b"plain");
        let renewed = keys(&[2, 1]).renew("a", &sealed).unwrap().unwrap();
        assert_eq!(keys(&[2]).open("a", &renewed).unwrap().expose(), b"plain");
        assert!(keys(&[2, 1]).renew("a", &renewed).unwrap().is_none());
        assert!(keys(&[2, 1]).renew("b", &sealed).is_err());
        assert!(keys(&[3, 2]).renew("a", &sealed).is_err());
    }

    #[test]
    fn a_persons_key_opens_what_it_sealed_alone() {
        // S-53
        let (one, other) = (DataKey::fresh(), DataKey::fresh());
        let sealed = one.seal("a", b"plain");
        assert_eq!(one.open("a", &sealed).unwrap().expose(), b"plain");
        assert!(one.open("b", &sealed).is_err() && other.open("a", &sealed).is_err());
        let copy = DataKey::from_bytes(&Secret::new(one.expose().to_vec())).unwrap();
        assert_eq!(copy.open("a", &sealed).unwrap().expose(), b"plain");
        assert!(DataKey::from_bytes(&Secret::new(vec![1; 31])).is_none());
    }

    #[test]
    fn keys_have_names_of_their_own() {
        assert_eq!(keys(&[2, 1]).names()[1..], keys(&[1]).names());
        assert_ne!(keys(&[2]).names(), keys(&[1]).names());
    }

    #[test]
    fn labels_give_keys_of_their_own() {
        // S-58
        let keys = keys(&[1]);
        assert_ne!(
            keys.derive("csrf")[0].expose(),
            keys.derive("cursor")[0].expose()
        );
    }
}
