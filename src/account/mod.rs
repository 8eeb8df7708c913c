//! People's own pages: who they are, where they are signed in, their applications, their password.

mod again;
mod applications;
mod device;
pub(crate) mod page;
