//! Browser sessions: who is signed in where.

mod cookie;
mod guard;
mod model;
mod store;

pub(crate) use cookie::{layer, name as cookie_name};
pub(crate) use guard::{SignedIn, Visitor, begin, end};
pub(crate) use model::{SessionData, Stage};
pub(crate) use store::{SessionRow, SessionTable, end_all, end_one, list, sweep};
