//! Passwords: the pool that hashes them, the policy for new ones, and the one check of those presented, with its throttle.

mod check;
mod hash;
pub(crate) mod policy;
pub(crate) mod throttle;

pub(crate) use check::{Checked, Via, check, check_person};
pub(crate) use hash::{Hasher, Verdict};
pub(crate) use policy::PolicyError;
