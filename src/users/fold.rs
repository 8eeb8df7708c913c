//! How identifiers are compared: without regard to case, in any language (Unicode default case folding between two NFC passes).

use unicode_normalization::UnicodeNormalization;

/// Folds an e-mail address or username into what decides uniqueness.
pub(crate) fn fold(text: &str) -> String {
    let composed: String = text.nfc().collect();
    caseless::default_case_fold_str(&composed).nfc().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fold;

    #[test]
    fn folds_what_people_take_for_the_same() {
        // S-158
        for (a, b) in [
            ("Ada@Example.COM", "ada@example.com"),
            ("STRASSE", "straße"),
            ("É", "e\u{301}"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("K", "\u{212a}"),
        ] {
            assert_eq!(fold(a), fold(b), "{a} {b}");
        }
        assert_ne!(
            fold("ada"),
            fold("adа"),
            "a Cyrillic letter is another letter"
        );
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "\\PC{0,40}") {
            prop_assert_eq!(fold(&fold(&text)), fold(&text));
        }

        #[test]
        fn composition_and_ascii_case_do_not_count(text in "\\PC{0,40}") {
            use unicode_normalization::UnicodeNormalization;
            let decomposed: String = text.nfd().collect();
            prop_assert_eq!(fold(&decomposed), fold(&text));
            prop_assert_eq!(fold(&text.to_ascii_uppercase()), fold(&text.to_ascii_lowercase()));
        }
    }
}
