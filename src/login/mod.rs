//! Signing in and out: the throttle, and the pages.

pub(crate) mod page;
pub(crate) mod throttle;
