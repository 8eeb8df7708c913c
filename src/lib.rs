//! Doorward: the one place where a company's users live, and the one door that they and its services come in by.

pub mod app;
mod audit;
pub mod cli;
pub mod config;
mod cx;
mod db;
mod events;
mod http;
mod jobs;
pub mod kernel;
mod keys;
mod ops;
pub mod router;
pub mod running;
mod server;
