//! Clients: services that take tokens, as the operator registered them.

mod cache;
mod model;
mod operations;
mod store;

pub(crate) use cache::Clients;
pub(crate) use model::{AuthMethod, Client, Grant, Registration, RegistrationError, StoredSecret};
pub(crate) use operations::{ClientError, create, delete, rotate_secret};
pub(crate) use store::{any, find, list, longest_token_lifetime};
