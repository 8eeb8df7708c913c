//! What the tests share: a PostgreSQL of their own, servers on it, clients, and the command line.

pub(crate) mod api;
pub(crate) mod browser;
pub(crate) mod chromium;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod command;
pub(crate) mod copy;
pub(crate) mod described;
pub(crate) mod leaving;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod racing;
pub(crate) mod server;
pub(crate) mod sign_on;
pub(crate) mod statements;
pub(crate) mod webhook_sink;
pub(crate) mod wire;

pub(crate) use browser::{Browser, csrf};
pub(crate) use client::{Answer, TestClient};
pub(crate) use copy::Copy;
pub(crate) use described::{Described, members};
pub(crate) use racing::all;
pub(crate) use server::{Server, eventually};
pub(crate) use wire::Wire;
