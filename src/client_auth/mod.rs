//! How a client proves itself at the token endpoint and its like (RFC 6749 §2.3).

mod form;
mod secret;

pub(crate) use form::ClientForm;
