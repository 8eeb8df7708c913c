//! Signing in and out.

pub(crate) mod page;

#[cfg(test)]
pub(crate) use page::fuzzed_cookie;
