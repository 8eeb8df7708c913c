//! What people are found by: the words of their name, address and username, cut into suffixes, so that a part of a word is the
//! beginning of a row in an index.

use std::collections::BTreeSet;

use super::fold;
use super::model::Fields;

/// Characters that a fragment has at least, and that are looked at of a word.
pub(super) const SHORTEST: usize = 3;
pub(super) const LONGEST: usize = 64;
/// Bytes of a name that lists are ordered by and that are searched.
const NAME: usize = 255;

/// The name as lists are ordered by it; empty without a name.
pub(super) fn name_folded(name: Option<&str>) -> String {
    let mut folded = fold(name.unwrap_or(""));
    folded.truncate(folded.floor_char_boundary(NAME));
    folded
}

/// The rows that the person has in the index. Of two of which one begins the other the longer will do: whatever begins the shorter begins it too.
pub(super) fn suffixes(fields: &Fields) -> BTreeSet<String> {
    let name = name_folded(fields.name.as_deref());
    let others = [&fields.email, &fields.username];
    let others = others.into_iter().flatten().map(|text| fold(text));
    let mut suffixes = BTreeSet::new();
    for text in others.chain([name]) {
        for word in words(&text) {
            let starts: Vec<usize> = word.char_indices().map(|(at, _)| at).collect();
            let starts = &starts[..(starts.len() + 1).saturating_sub(SHORTEST)];
            suffixes.extend(starts.iter().map(|at| word[*at..].to_owned()));
        }
    }
    let begins_next = |(suffix, next): (&String, &String)| {
        next.starts_with(suffix.as_str()).then(|| suffix.clone())
    };
    let pairs = suffixes.iter().zip(suffixes.iter().skip(1));
    let needless: Vec<String> = pairs.filter_map(begins_next).collect();
    for suffix in &needless {
        suffixes.remove(suffix);
    }
    suffixes
}

/// The words of a folded text, each cut off where it gets too long.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let within = |c: char| c.is_alphanumeric() || !(c.is_ascii() || c.is_whitespace());
    text.split(move |c| !within(c))
        .filter(|word| !word.is_empty())
        .map(|word| match word.char_indices().nth(LONGEST) {
            Some((end, _)) => &word[..end],
            None => word,
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(name: &str, email: &str) -> Fields {
        Fields {
            name: Some(name.to_owned()),
            email: Some(email.to_owned()),
            ..Fields::default()
        }
    }

    #[test]
    fn a_person_is_cut_into_suffixes() {
        let found = suffixes(&fields("Ada Li", "ADA.Jörg@x.example"));
        let expected = [
            "ada", "ample", "example", "jörg", "mple", "ple", "xample", "örg",
        ];
        assert_eq!(
            found.iter().map(String::as_str).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn what_begins_another_has_no_row() {
        let found = suffixes(&fields("Banana", "bananas@x"));
        let expected = ["ananas", "anas", "bananas", "nanas", "nas"];
        assert_eq!(
            found.iter().map(String::as_str).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn rows_are_bounded() {
        let long = "a".repeat(5000);
        assert!(suffixes(&fields(&long, &long)).len() <= LONGEST);
        assert_eq!(name_folded(Some(&"é".repeat(255))).len(), 254);
    }

    proptest! {
        /// What a search promises: whoever has the fragment within a word is in the range that begins with it.
        #[test]
        fn a_part_of_a_word_begins_a_suffix(name in "\\PC{0,30}", from in 0..30_usize, length in 3..8_usize) {
            let folded = name_folded(Some(&name));
            let found = suffixes(&fields(&name, "x"));
            for word in words(&folded) {
                let part: String = word.chars().skip(from).take(length).collect();
                if part.chars().count() >= SHORTEST {
                    prop_assert!(found.iter().any(|suffix| suffix.starts_with(&part)), "{} in {:?}", part, found);
                }
            }
            for suffix in &found {
                prop_assert!(folded.contains(suffix.as_str()));
            }
        }
    }
}
