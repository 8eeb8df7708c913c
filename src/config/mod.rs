//! Settings: one typed structure; defaults ← `doorward.toml` ← environment ← flags. Nothing outside this room reads the environment.

mod check;
#[cfg(test)]
mod documented;
mod issuer;
mod lists;
mod load;
mod sections;

pub use issuer::Issuer;
pub(crate) use load::wants_traces;
pub use load::{Flags, SettingsError, load};
pub use sections::{
    Config, Database, Fetch, Http, Keys, Log, LogFormat, Ops, Passwords, Registration,
    RegistrationMode, Sessions, Throttle, Tls, Tokens,
};
