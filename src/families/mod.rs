//! Token families: all that a client got by one sign-in, which lives and ends as one; and the refresh tokens that carry it on.

mod model;
mod operations;
mod refresh;
mod store;

pub(crate) use model::{EndReason, Family, FamilyRow, Standing};
pub(crate) use operations::{
    Record, begin, end, end_of_consent, end_of_session, end_of_user, end_own, replayed,
};
pub(crate) use refresh::{GRACE_REPEATS, RefreshToken, sealed, unsealed};
pub(crate) use store::{
    find, find_refreshable, list, list_replayed, list_sessions, sweep, used_among,
};
