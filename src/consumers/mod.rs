//! Consumers: systems that keep a copy of people. Each is a client with a name and a view; it reads its own feed, says how far it has come,
//! and compares its copy with ours by digests.

mod cache;
mod guard;
pub(crate) mod http;
mod model;
mod operations;
mod reader;
mod shapes;
mod store;
mod waiting;

pub(crate) use cache::Consumers;
pub(crate) use guard::{Shown, within_view};
pub(crate) use model::{Consumer, Lag, View};
pub(crate) use reader::reader;
pub(crate) use store::{orphan, sweep};
pub(crate) use waiting::waiting;
