//! How a client proves itself at the token endpoint and its like (RFC 6749 §2.3).

mod assertion;
mod failures;
mod form;
mod keys;
mod secret;

pub(crate) use failures::Failures;
pub(crate) use form::ClientForm;
pub(crate) use keys::ClientKeys;
#[cfg(test)]
pub(crate) use {assertion::fuzzed_assertion, form::fuzzed_basic};
