//! Leaving: at our own page, at an application that sends its user here (OpenID Connect RP-Initiated Logout 1.0), and telling every
//! application that somebody left (Back-Channel Logout 1.0).

mod back_channel;
pub(crate) mod page;
mod rp_initiated;

pub(crate) use back_channel::deliver;
