//! What happened to people: appended inside the change, then numbered, then read by whoever needs to know.

mod feed;
pub(crate) mod http;
mod model;
mod news;
mod outbox;
mod sequencer;
mod shapes;
mod store;
mod stream;

pub(crate) use feed::{BUCKETS, Change, Reader};
pub(crate) use model::{EventKind, changed_members};
pub(crate) use news::News;
pub(crate) use outbox::{append, append_update};
pub(crate) use sequencer::{Round, Sequencer};
