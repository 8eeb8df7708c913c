//! The grants, one file each. A grant looks at the request and decides; it never mints.

pub(super) mod authorization_code;
pub(super) mod client_credentials;
pub(super) mod password;
pub(super) mod refresh_token;
mod request;

use request::registered;
pub(super) use request::{CodeRequest, GrantRequest, PasswordRequest, RefreshRequest, Wish};
