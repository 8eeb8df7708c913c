//! What the tests share: a PostgreSQL of their own, servers on it, clients, and the command line.

pub mod client;
pub mod cluster;
pub mod command;
pub mod server;

pub use client::{Answer, TestClient};
pub use server::Server;
