//! The private PostgreSQL cluster that is used when no `DATABASE_URL` is set: run from the system's binaries, on a Unix socket only, with
//! full durability. The server and the commands share it; whoever leaves it last stops it, also one that a killed server left behind.

mod binaries;
mod cluster;
mod error;
mod owner;
mod processes;
mod sharing;

pub(crate) use cluster::Cluster;
pub(crate) use error::EmbeddedError;
