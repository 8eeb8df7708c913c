//! What people are found by, and bringing it up to this release: people from before it have no words yet.

mod store;

use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::{Connection, PgConnection};

pub(super) use store::{hold_external_ids, index, listed, pairs, searched_attributes};

use crate::cx::Cx;
use crate::kernel::Fault;

/// People whose words are written in one transaction.
const BATCH: i64 = 500;

/// Whether everybody is found who should be; once they are, nobody asks again.
#[derive(Default)]
pub(crate) struct Index(AtomicBool);

impl Index {
    pub(crate) async fn is_whole(&self, db: &mut PgConnection) -> Result<bool, Fault> {
        if !self.0.load(Ordering::Acquire) && store::is_indexed(db).await? {
            self.0.store(true, Ordering::Release);
        }
        Ok(self.0.load(Ordering::Acquire))
    }
}

/// Writes the words of whoever has none yet. Several replicas may do it at once: each takes people whom no other holds.
pub(crate) async fn index_older(cx: &Cx) -> Result<(), Fault> {
    let mut connection = cx.connection().await?;
    loop {
        let mut tx = connection.begin().await?;
        let written = store::index_older(BATCH, &mut tx).await?;
        tx.commit().await?;
        if written == 0 {
            return Ok(());
        }
    }
}
