//! What the tests share: a PostgreSQL of their own, servers on it, clients, and the command line.

pub mod client;
pub mod cluster;
pub mod command;
pub mod proxy;
pub mod server;
pub mod wire;

pub use client::{Answer, TestClient};
pub use proxy::Proxy;
pub use server::{Server, eventually};
pub use wire::Wire;
