//! Consumers: systems that keep a copy of people, each with a view of them.

mod model;
mod reader;

pub(crate) use model::View;
pub(crate) use reader::reader;
