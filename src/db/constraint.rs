//! Constraint names turned into domain errors: uniqueness is the constraint's job, no `select` comes first.

use crate::kernel::Fault;

/// A constraint's name and the error that it means.
pub(crate) type Rule<E> = (&'static str, fn() -> E);

pub(crate) trait OnConstraint<T>: Sized {
    /// Gives `error` where the constraint of that name refused the row; everything else is our fault.
    fn on_constraint<E: From<Fault>>(self, rules: &[Rule<E>]) -> Result<T, E>;
}

impl<T> OnConstraint<T> for Result<T, sqlx::Error> {
    fn on_constraint<E: From<Fault>>(self, rules: &[Rule<E>]) -> Result<T, E> {
        self.map_err(|cause| {
            let name = cause.as_database_error().and_then(|e| e.constraint());
            match name.and_then(|name| rules.iter().find(|(known, _)| *known == name)) {
                Some((_, error)) => error(),
                None => Fault::from(cause).into(),
            }
        })
    }
}
