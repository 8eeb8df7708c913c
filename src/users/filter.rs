//! Which people a list is of, and in which order: what is asked for, and which combinations an index serves.

use time::OffsetDateTime;

use super::fold;
use super::model::Status;
use super::words::{self, LONGEST, SHORTEST};

/// Words of a search.
const WORDS: usize = 8;

/// Which people, all conditions together, in which order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) email: Option<String>,
    pub(crate) username: Option<String>,
    /// A system and the person's key in it.
    pub(crate) external_id: Option<(String, String)>,
    pub(crate) q: Option<Search>,
    /// An attribute's name and value, as the index holds them.
    pub(crate) attribute: Option<(String, String)>,
    pub(crate) status: Option<Status>,
    /// Changed at this time or later.
    pub(crate) updated_since: Option<OffsetDateTime>,
    /// Only who is deleted, in place of only who is not.
    pub(crate) deleted: bool,
    /// `None`: by id, by time of change with `updated_since`, and a search in its own order.
    pub(crate) sort: Option<Sort>,
}

/// An order of a list, and whether it runs backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sort {
    pub(super) by: By,
    pub(super) backwards: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// By time of creation.
    Id,
    UpdatedAt,
    Name,
}

impl Sort {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (by, backwards) = match text.strip_prefix('-') {
            Some(by) => (by, true),
            None => (text, false),
        };
        let by = match by {
            "id" => By::Id,
            "updated_at" => By::UpdatedAt,
            "name" => By::Name,
            _ => return None,
        };
        Some(Self { by, backwards })
    }

    pub(super) fn columns(self) -> String {
        let direction = if self.backwards { "desc" } else { "asc" };
        match self.by {
            By::Id => format!("id {direction}"),
            By::UpdatedAt => format!("updated_at {direction}, id {direction}"),
            By::Name => format!("name_folded {direction}, id {direction}"),
        }
    }
}

/// The words of a search, folded; those within another left out. The first are long enough for the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Search {
    pub(super) long: Vec<String>,
    pub(super) short: Vec<String>,
}

impl Search {
    /// Fails with what is expected.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let folded = fold(text);
        let mut words: Vec<&str> = words::words(&folded).collect();
        words.sort_unstable();
        words.dedup();
        if words.len() > WORDS || words.iter().any(|w| w.chars().count() >= LONGEST) {
            return Err("Expected at most 8 words of fewer than 64 characters.");
        }
        let alone = words
            .iter()
            .filter(|word| !words.iter().any(|w| w != *word && w.contains(**word)));
        let (long, short): (Vec<_>, Vec<_>) = alone
            .map(|word| (*word).to_owned())
            .partition(|word| word.chars().count() >= SHORTEST);
        if long.is_empty() {
            return Err("Expected a word, or part of one, of three letters or more.");
        }
        Ok(Self { long, short })
    }
}

impl Filter {
    /// Names the list: a cursor of one is no cursor of another.
    pub(crate) fn name(&self) -> String {
        let since = self.updated_since.map(OffsetDateTime::unix_timestamp_nanos);
        format!(
            "users {:?}",
            (
                (&self.email, &self.username, &self.external_id),
                (&self.q, &self.attribute, self.status, self.deleted),
                (since, self.sort),
            )
        )
    }

    /// The parameters that no index serves together; none where one does.
    pub(crate) fn unserved(&self) -> Vec<&'static str> {
        let unique = self.is_unique();
        let given = [
            ("email", self.email.is_some()),
            ("username", self.username.is_some()),
            ("external_id", self.external_id.is_some()),
            ("deleted", self.deleted),
            ("q", self.q.is_some()),
            ("attributes", self.attribute.is_some()),
            ("status", self.deleted && self.status.is_some()),
            ("updated_since", self.updated_since.is_some()),
            ("sort", self.sort.is_some()),
        ];
        let by = self.sort.map(|sort| sort.by);
        let served = if self.deleted {
            let further = self.q.is_some() || self.attribute.is_some() || self.status.is_some();
            !further && self.updated_since.is_none() && matches!(by, None | Some(By::Id))
        } else if self.q.is_some() {
            !unique && self.attribute.is_none() && self.updated_since.is_none() && by.is_none()
        } else if self.attribute.is_some() {
            !unique && self.updated_since.is_none() && matches!(by, None | Some(By::Id))
        } else {
            // At most one person: their order is any.
            unique || self.updated_since.is_none() || matches!(by, None | Some(By::UpdatedAt))
        };
        let given = given
            .into_iter()
            .filter(|(_, is)| *is)
            .map(|(name, _)| name);
        if served { Vec::new() } else { given.collect() }
    }

    /// Whether it names one person at most.
    pub(super) fn is_unique(&self) -> bool {
        self.email.is_some() || self.username.is_some() || self.external_id.is_some()
    }

    /// Whether it is found by what people from before there was a search have only once the job has come to them.
    pub(crate) fn needs_index(&self) -> bool {
        self.q.is_some() || self.order().by == By::Name
    }

    pub(super) fn order(&self) -> Sort {
        let by = if self.updated_since.is_some() {
            By::UpdatedAt
        } else {
            By::Id
        };
        self.sort.unwrap_or(Sort {
            by,
            backwards: false,
        })
    }

    pub(super) fn walks(&self) -> bool {
        self.q.is_some() || self.attribute.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_its_words() {
        let search = |text| Search::parse(text).map(|s| (s.long, s.short));
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            search("ADA ada@Exam da l% li"),
            Ok((words(&["ada", "exam"]), words(&["li"])))
        );
        for bad in ["", "ad", "a b c", "%%%", "_'"] {
            assert!(search(bad).is_err(), "{bad}");
        }
        let long = "a".repeat(64);
        assert!(search(&long).is_err());
        assert!(search("aaa bbb ccc ddd eee fff ggg hhh iii").is_err());
    }
}
