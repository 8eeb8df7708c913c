//! Clients: services that take tokens, as the operator registered them.

mod cache;
mod document;
pub(crate) mod http;
mod model;
mod operations;
mod rank;
mod registration;
mod rules;
mod shapes;
mod sign_on;
mod store;
mod uris;

pub(crate) use cache::Clients;
pub(crate) use model::{AuthMethod, Client, Grant, StoredSecret};
pub(crate) use operations::{
    ClientError, Update, add_secret, create, create_in, delete, end_secret, get, update,
};
pub(crate) use registration::{KeySource, Registration, RegistrationError, likely_alg};
pub(crate) use sign_on::{About, ApplicationType, ResponseMode, SignOn};
pub(crate) use store::{any, list, longest_token_lifetime};
