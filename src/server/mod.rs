//! The listener: accepts connections, bounds what strangers can hold of us, and stops without cutting anybody off.

mod connection;
mod listener;
mod patience;
mod tls;

pub(crate) use listener::run;
pub(crate) use tls::Doorkeeper;
