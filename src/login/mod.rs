//! Signing in and out.

pub(crate) mod attempt;
pub(crate) mod page;
