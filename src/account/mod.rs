//! People's own pages: who they are, where they are signed in, their password.

mod device;
pub(crate) mod page;
