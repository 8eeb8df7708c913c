//! `doorward client …`.

mod args;
mod run;

pub(super) use args::ClientCommand;
pub(super) use run::run;
