//! Passwords: the pool that hashes them, the policy for new ones, and the one check of those presented, with its throttle.

mod argon;
mod check;
mod hash;
pub(crate) mod policy;
pub(crate) mod throttle;

pub(crate) use check::{Checked, Present, Via, check, check_person, is_present};
pub(crate) use hash::Hasher;
pub(crate) use policy::PolicyError;
