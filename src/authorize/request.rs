//! A request as the client typed it: its parameters, each at most once, before anything of them is believed.

use crate::http::{Form, FormError};

/// What [`super::checks`] looks at.
pub(super) struct Raw {
    form: Form,
    /// Parameters that were given more than once.
    repeated: Vec<String>,
}

impl Raw {
    /// Reads a query, a form, or both: a parameter in each is one given twice (checklist 3).
    pub(super) fn parse(query: &str, body: &[u8]) -> Result<Self, FormError> {
        let all = [query.as_bytes(), body].join(&b'&');
        let (form, repeated) = Form::parse_noting_repeats(&all, &["resource"])?;
        Ok(Self { form, repeated })
    }

    /// Takes a parameter; an empty one counts as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.form.take_text(name)
    }

    /// Takes a parameter that may repeat.
    pub(super) fn take_all(&mut self, name: &str) -> Vec<String> {
        std::iter::from_fn(|| self.form.take_text(name)).collect()
    }

    pub(super) fn is_repeated(&self, name: &str) -> bool {
        self.repeated.iter().any(|repeated| repeated == name)
    }

    pub(super) fn repeats_any(&self) -> bool {
        !self.repeated.is_empty()
    }
}
