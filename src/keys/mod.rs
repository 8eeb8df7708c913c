//! Keys: the key that seals, and the keys that sign.

mod sealing;

pub(crate) use sealing::sealing_keys;
