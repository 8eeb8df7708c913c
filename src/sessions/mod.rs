//! Browser sessions: who is signed in where.

mod cookie;
mod everybody;
mod guard;
pub(crate) mod http;
mod model;
mod operations;
mod shapes;
mod store;

pub(crate) use cookie::{layer, name as cookie_name};
pub(crate) use everybody::{EverybodysError, end_everybodys};
pub(crate) use guard::{SignedIn, Visitor, check_form, form_token};
pub(crate) use model::{SessionData, Stage};
pub(crate) use operations::{demand_new_password, end_all, end_one, sign_in, sign_out};
pub(crate) use store::{SessionRow, SessionTable, list, sweep};
