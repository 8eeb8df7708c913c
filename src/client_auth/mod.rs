//! How a client proves itself at the token endpoint and its like (RFC 6749 §2.3).

mod failures;
mod form;
mod secret;

pub(crate) use failures::Failures;
pub(crate) use form::ClientForm;
#[cfg(test)]
pub(crate) use form::fuzzed_basic;
