//! Keys: the one that seals, those of people, and those that sign, with the JWKS that publishes them.

mod bootstrap;
pub(crate) mod http;
mod model;
pub(crate) mod person;
mod ring;
pub(crate) mod rotation;
mod sealing;
mod store;

pub(crate) use bootstrap::{Bootstrapped, bootstrap};
pub(crate) use model::{SigningKey, Step};
pub(crate) use ring::{KeyRing, Keys};
pub(crate) use rotation::RotateError;
pub(crate) use store::list;
