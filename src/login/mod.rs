//! Signing in.

pub(crate) mod attempt;
pub(crate) mod page;
