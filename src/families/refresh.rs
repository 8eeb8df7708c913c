//! Refresh tokens: opaque, kept as a hash, spent at each use. What came after one is kept for a moment, sealed so that only its holder
//! can have it told again.

use crate::db::spend::{Kind, Token};
use crate::kernel::Secret;
use crate::kernel::seal::SealingKeys;

/// How often an answer that got lost may be asked for again.
pub(crate) const GRACE_REPEATS: i32 = 3;
const PURPOSE: &str = "refresh_token/successor";

/// The kind. All that a refresh token stands for, its family says.
pub(crate) struct Refresh;

impl Kind for Refresh {
    const NAME: &'static str = "rt";
    type Data = ();
}

pub(crate) type RefreshToken = Token<Refresh>;

/// `successor` under a key that only the holder of `presented` can make.
pub(crate) fn sealed(successor: &RefreshToken, presented: &RefreshToken) -> Vec<u8> {
    let plain = successor.secret().expose().as_bytes();
    SealingKeys::of_holder(presented.secret()).seal(PURPOSE, plain)
}

/// The successor again; `None` where it is none.
pub(crate) fn unsealed(sealed: &[u8], presented: &RefreshToken) -> Option<RefreshToken> {
    let keys = SealingKeys::of_holder(presented.secret());
    let plain = keys.open(PURPOSE, sealed).ok()?;
    let text = std::str::from_utf8(plain.expose()).ok()?.to_owned();
    Token::parse(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_holder_is_told_again() {
        // S-64
        let (first, second, other) = (Token::new(), Token::new(), Token::new());
        let kept = sealed(&second, &first);
        let told = unsealed(&kept, &first).unwrap();
        assert_eq!(told.secret().expose(), second.secret().expose());
        assert!(unsealed(&kept, &other).is_none());
    }
}
