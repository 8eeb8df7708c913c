//! Keyset cursors: where a list goes on. Authenticated and typed, so that only what we made is taken, and only for its own list.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;

use crate::kernel::seal::{SealingKeys, mac};
use crate::kernel::secret::Secret;

const TAG: usize = 16;
/// Characters of a cursor that are looked at.
const MAX_CHARS: usize = 1024;

/// Makes and reads cursors under a key of their own.
#[derive(Clone)]
pub(crate) struct Cursors(Vec<Secret<[u8; 32]>>);

/// Not a cursor that we made for this list with these filters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadCursor;

impl Cursors {
    pub(crate) fn new(keys: &SealingKeys) -> Self {
        Self(keys.derive("cursor"))
    }

    /// A cursor of the list named `list` (its path and filters: a cursor of another list is refused) at `position`.
    pub(crate) fn encode<P: Serialize>(&self, list: &str, position: &P) -> String {
        #[expect(
            clippy::expect_used,
            reason = "positions are plain structs of strings and numbers"
        )]
        let mut bytes = serde_json::to_vec(position).expect("a position is JSON");
        bytes.extend(tag(&self.0[0], list, &bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position that [`Cursors::encode`] was given for the same list.
    pub(crate) fn decode<P: DeserializeOwned>(
        &self,
        list: &str,
        cursor: &str,
    ) -> Result<P, BadCursor> {
        if cursor.len() > MAX_CHARS {
            return Err(BadCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| BadCursor)?;
        let (position, sent) = bytes.split_last_chunk::<TAG>().ok_or(BadCursor)?;
        let ours = self
            .0
            .iter()
            .any(|key| bool::from(tag(key, list, position).ct_eq(sent)));
        if ours {
            serde_json::from_slice(position).map_err(|_| BadCursor)
        } else {
            Err(BadCursor)
        }
    }
}

fn tag(key: &Secret<[u8; 32]>, list: &str, position: &[u8]) -> [u8; TAG] {
    let mut out = [0; TAG];
    out.copy_from_slice(&mac(key, &[list.as_bytes(), position])[..TAG]);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursors() -> Cursors {
        Cursors(vec![Secret::new([7; 32]), Secret::new([8; 32])])
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(position in any::<(String, i64)>(), list in ".{0,40}") {
            let cursor = cursors().encode(&list, &position);
            prop_assume!(cursor.len() <= MAX_CHARS);
            prop_assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(cursors().decode(&list, &cursor), Ok(position.clone()));
            // Made before the newest key came.
            let older = Cursors(vec![Secret::new([8; 32])]);
            prop_assert_eq!(cursors().decode(&list, &older.encode(&list, &position)), Ok(position));
        }

        #[test]
        fn what_we_did_not_make_is_refused(
            position in any::<(String, i64)>(), list in ".{0,40}", other in ".{0,40}", at in any::<prop::sample::Index>(), bit in 0..8_u8,
        ) {
            // S-153
            let cursor = cursors().encode(&list, &position);
            let mut bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let changed = URL_SAFE_NO_PAD.encode(bytes);
            prop_assert_eq!(cursors().decode::<(String, i64)>(&list, &changed), Err(BadCursor));
            prop_assert_eq!(cursors().decode::<(String, i64)>(&list, &cursor[1..]), Err(BadCursor));
            prop_assume!(other != list);
            prop_assert_eq!(cursors().decode::<(String, i64)>(&other, &cursor), Err(BadCursor));
        }

        #[test]
        fn no_text_is_a_cursor(text in ".{0,200}") {
            prop_assert_eq!(cursors().decode::<(String, i64)>("list", &text), Err(BadCursor));
        }
    }
}
