//! Clients: services that take tokens, as the operator registered them.

mod cache;
mod document;
mod model;
mod operations;
mod registration;
mod sign_on;
mod store;
mod uris;

pub(crate) use cache::Clients;
pub(crate) use model::{AuthMethod, Client, Grant, StoredSecret};
pub(crate) use operations::{ClientError, create, delete, rotate_secret};
pub(crate) use registration::{KeySource, Registration, RegistrationError};
pub(crate) use sign_on::{About, ApplicationType, ResponseMode, SignOn};
pub(crate) use store::{any, find, list, longest_token_lifetime};
