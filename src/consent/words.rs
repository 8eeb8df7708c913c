//! What scopes and claims mean, in plain words.

use crate::kernel::scope;

/// One thing that is asked for.
pub(crate) struct Wish {
    pub(crate) words: String,
    /// The scope's own name, where there are no words of ours for it.
    pub(crate) name: Option<String>,
}

/// Characters of a name that are shown (checklist 12).
const SHOWN: usize = 60;

const WORDS: [(&str, &str); 10] = [
    ("openid", "Know that it is you"),
    (
        "profile",
        "See your name and the other facts of your profile",
    ),
    ("email", "See your e-mail address"),
    ("phone", "See your phone number"),
    ("address", "See your postal address"),
    (
        "offline_access",
        "Go on doing this while you are signed out",
    ),
    ("users:read", "Read everybody in the directory, as you may"),
    (
        "users:write",
        "Change everybody in the directory, as you may",
    ),
    (
        "clients:read",
        "Read which applications are registered, as you may",
    ),
    (
        "clients:write",
        "Change which applications are registered, as you may",
    ),
];

/// The words for what [`crate::authorize`] says is asked, in the order of [`WORDS`]; `offline_access`, which is about all the others, last.
pub(crate) fn wishes(asked: &[String]) -> Vec<Wish> {
    let place = |name: &&String| {
        let place = WORDS.iter().position(|(known, _)| known == name);
        (*name == scope::OFFLINE_ACCESS, place.unwrap_or(WORDS.len()))
    };
    let mut asked: Vec<&String> = asked.iter().collect();
    asked.sort_by_key(place);
    asked.into_iter().map(|name| wish(name)).collect()
}

fn wish(name: &str) -> Wish {
    let short: String = name.chars().take(SHOWN).collect();
    if let Some((_, words)) = WORDS.into_iter().find(|(known, _)| *known == name) {
        return Wish {
            words: words.to_owned(),
            name: None,
        };
    }
    if let Some(claim) = short.strip_prefix("claim:") {
        return Wish {
            words: format!("See your {}", claim.replace('_', " ")),
            name: None,
        };
    }
    Wish {
        words: "Act for you in another service:".to_owned(),
        name: Some(short),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_words() {
        // S-12
        let words = |name: &str| {
            let wish = wish(name);
            (wish.words, wish.name)
        };
        assert_eq!(words("openid").0, "Know that it is you");
        assert_eq!(words("claim:phone_number").0, "See your phone number");
        let (_, name) = words(&"x".repeat(4000));
        assert_eq!(name.map(|n| n.len()), Some(SHOWN));
    }

    #[test]
    fn what_goes_on_stands_last() {
        let asked = ["offline_access", "orders:read", "address", "openid"].map(str::to_owned);
        let told: Vec<_> = wishes(&asked).into_iter().map(|wish| wish.words).collect();
        let expected = [
            "Know that it is you",
            "See your postal address",
            "Act for you in another service:",
            "Go on doing this while you are signed out",
        ];
        assert_eq!(told, expected);
    }
}
