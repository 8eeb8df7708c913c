//! The policy for new passwords (NIST SP 800-63B-4 §3.1.1.2): long, not too long, and not one that is tried first. No rules of
//! composition, no expiry.

use std::collections::HashSet;
use std::fmt;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;

use crate::config::Passwords;

/// Bytes that a password may have. It is never cut.
const MAX_BYTES: usize = 1024;

/// Passwords that are tried first and are long enough, one a line, folded.
static BLOCKLIST: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    include_str!("blocklist.txt")
        .lines()
        .filter(|line| !line.is_empty())
        .collect()
});

/// Why a password is refused, in words for whoever chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PolicyError {
    TooShort(u32),
    TooLong,
    Common,
    Repetitive,
    AboutYou,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(least) => write!(f, "Use at least {least} characters. A few words in a row are easy to remember."),
            Self::TooLong => f.write_str("Use at most 1,024 bytes."),
            Self::Common => f.write_str("This password is among those that are tried first. Choose another."),
            Self::Repetitive => f.write_str("This password repeats itself or counts up. Choose another."),
            Self::AboutYou => f.write_str("This password is too close to a name or address of yours, or of this service. Choose another."),
        }
    }
}

/// Checks a new password. `known` is what is known of the person: address, username, name.
pub(crate) fn check(
    password: &str,
    known: [&Option<String>; 3],
    settings: &Passwords,
) -> Result<(), PolicyError> {
    if password.len() > MAX_BYTES {
        return Err(PolicyError::TooLong);
    }
    let normal: String = password.nfc().collect();
    if normal.chars().count() < settings.min_length as usize {
        return Err(PolicyError::TooShort(settings.min_length));
    }
    let folded = crate::users::fold(&normal);
    let bare: String = folded.chars().filter(|c| c.is_alphanumeric()).collect();
    if BLOCKLIST.contains(folded.as_str()) || BLOCKLIST.contains(bare.as_str()) {
        return Err(PolicyError::Common);
    }
    if is_repetitive(&bare) {
        return Err(PolicyError::Repetitive);
    }
    if is_about(&bare, known) {
        return Err(PolicyError::AboutYou);
    }
    Ok(())
}

/// A short piece over and over, or a run of neighbours (`123456…`, `abcdef…`).
fn is_repetitive(bare: &str) -> bool {
    let chars: Vec<char> = bare.chars().collect();
    let repeats = (1..=4).any(|period| {
        chars
            .iter()
            .zip(chars.iter().skip(period))
            .all(|(a, b)| a == b)
    });
    let steps = chars
        .windows(2)
        .filter(|pair| (pair[0] as u32).abs_diff(pair[1] as u32) <= 1)
        .count();
    repeats || steps * 10 >= chars.len().saturating_sub(1) * 9
}

/// What is left when the names are taken out is too little to be a password.
fn is_about(bare: &str, known: [&Option<String>; 3]) -> bool {
    let mut rest = bare.to_owned();
    let parts = known.into_iter().flatten().flat_map(|text| {
        let folded = crate::users::fold(text);
        let whole: String = folded.chars().filter(|c| c.is_alphanumeric()).collect();
        let mut parts: Vec<String> = folded
            .split(|c: char| !c.is_alphanumeric())
            .map(str::to_owned)
            .collect();
        parts.insert(0, whole);
        parts
    });
    let mut parts: Vec<String> = parts
        .chain(["doorward".to_owned(), "password".to_owned()])
        .filter(|part| part.chars().count() >= 4)
        .collect();
    // The longest first: what is left of a part is no part any more.
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    for part in &parts {
        rest = rest.replace(part.as_str(), "");
    }
    rest.chars().count() < 6 && rest.len() < bare.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(password: &str) -> Result<(), PolicyError> {
        check(
            password,
            ["ada.lovelace@example.com", "ada", "Ada Lovelace"]
                .map(|text| Some(text.to_owned()))
                .each_ref(),
            &Passwords::default(),
        )
    }

    #[test]
    fn length_is_counted_in_characters() {
        // S-98, S-99
        assert_eq!(verdict("wordy rivers 7"), Err(PolicyError::TooShort(15)));
        assert_eq!(verdict("wordy rivers 77"), Ok(()));
        assert_eq!(verdict("éàüöñçßøåæœłžšč"), Ok(()), "15 code points");
        assert_eq!(
            verdict(&"e\u{301}x".repeat(7)),
            Err(PolicyError::TooShort(15)),
            "composed before it is counted"
        );
        let long: String = (0..1024u32)
            .map(|i| char::from(b'a' + u8::try_from(i * i % 23).unwrap()))
            .collect();
        assert_eq!(verdict(&long[..64]), Ok(()));
        assert_eq!(verdict(&long), Ok(()));
        assert_eq!(verdict(&format!("{long}x")), Err(PolicyError::TooLong));
    }

    #[test]
    fn no_composition_is_asked_for() {
        // S-100
        for fine in [
            "all lower case letters",
            "839204758293047",
            "               x y z w v u",
            "ÄÖÜ only upper case",
        ] {
            assert_ne!(verdict(fine), Err(PolicyError::Common), "{fine}");
        }
        assert_eq!(verdict("unremarkable words in a row"), Ok(()));
    }

    #[test]
    fn what_is_tried_first_is_refused() {
        for (bad, why) in [
            ("correct horse battery staple", PolicyError::Common),
            ("CorrectHorseBatteryStaple", PolicyError::Common),
            ("qwertyuiopasdfgh", PolicyError::Common),
            ("aaaaaaaaaaaaaaaa", PolicyError::Repetitive),
            ("abcabcabcabcabcabc", PolicyError::Repetitive),
            ("1234567890123456", PolicyError::Repetitive),
            ("Ada.Lovelace@example.com", PolicyError::AboutYou),
            ("adalovelace2026!", PolicyError::AboutYou),
            ("Doorward-password1", PolicyError::AboutYou),
        ] {
            assert_eq!(verdict(bad), Err(why), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn spaces_are_kept_and_nothing_is_cut(password in "\\PC{0,80}") {
            // S-101
            let long = verdict(&password) != Err(PolicyError::TooShort(15));
            let composed: String = password.nfc().collect();
            prop_assert_eq!(long, composed.chars().count() >= 15);
        }
    }
}
