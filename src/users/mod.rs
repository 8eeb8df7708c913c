//! People: the single source of truth for who they are, and its REST API.

pub(crate) mod attributes;
pub(crate) mod batch;
mod change;
mod claims;
mod document;
mod documents;
mod export;
mod filter;
mod fold;
pub(crate) mod history;
pub(crate) mod http;
mod index;
mod leave;
mod life;
mod model;
mod operations;
mod password;
mod patch;
mod search;
pub(crate) mod shapes;
mod store;
mod validate;
mod words;

pub(crate) use attributes::Attributes;
pub(crate) use claims::{claim_names, is_claim, opens};
pub(crate) use document::OWNED;
pub(crate) use documents::documents;
pub(crate) use filter::Filter;
pub(crate) use fold::fold;
pub(crate) use index::{Index, index_older};
pub(crate) use leave::end_sessions;
pub(crate) use model::{SignIn, Status, User, epoch};
pub(crate) use operations::{UserError, create, get, list};
pub(crate) use password::{
    ChoiceError, SetPassword, choose_password, renew_password_hash, set_password,
};
pub(crate) use store::{any, find_many, find_sign_in, find_standing, find_version};
