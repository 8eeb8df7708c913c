//! The grants, one file each. A grant looks at the request and decides; it never mints.

pub(super) mod client_credentials;
pub(super) mod password;
mod request;

use request::registered;
pub(super) use request::{GrantRequest, PasswordRequest, Wish};
