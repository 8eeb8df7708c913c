//! The advisory locks, all of them, so that no two share a number. They last as long as their transaction.

/// The one notifier that has the round ([`super::notify`]).
pub(crate) const NOTIFIER: i64 = 0x646f_6f72_0001;
/// Whoever changes signing keys.
pub(crate) const SIGNING_KEYS: i64 = 0x646f_6f72_0002;
/// Of several replicas that start on an empty store, the one that makes the first people.
pub(crate) const FIRST_START: i64 = 0x646f_6f72_0003;
/// Whoever gives changes their places in the feeds.
pub(crate) const SEQUENCER: i64 = 0x646f_6f72_0004;
/// Whoever registers or removes consumers.
pub(crate) const CONSUMERS: i64 = 0x646f_6f72_0005;
/// Clients that register themselves, one after the other: their number is bounded.
pub(crate) const REGISTRATION: i64 = 0x646f_6f72_0006;
/// Whoever deletes what is left of feeds that nobody reads any more.
pub(crate) const FEED_SWEEP: i64 = 0x646f_6f72_0007;
