//! Who reads, now.

use super::Consumer;
use crate::cx::{Actor, Cx};
use crate::events::Reader;
use crate::http::{BearerError, Problem};
use crate::users;

impl Consumer {
    /// Reads the consumer's own feed, in its view.
    pub(crate) fn reader(&self) -> Reader {
        Reader {
            feed: self.feed,
            view: Some(self.view.clone()),
            part: None,
        }
    }
}

/// What the caller may read: the consumer's own feed and view where their client is one, everybody's otherwise. Asked again by whoever
/// has waited: fails with 401 where the caller would not be let in any more.
pub(crate) async fn reader(cx: &Cx) -> Result<Reader, Problem> {
    let client = match &cx.actor {
        Actor::Client { id, .. } => id,
        Actor::Person { id, client_id, .. } => {
            let standing = users::find_standing(*id, &mut *cx.connection().await?).await?;
            if !standing.is_some_and(|s| s.active && s.admin) {
                return Err(BearerError::InvalidToken.into());
            }
            client_id
        }
        Actor::Nobody | Actor::Session { .. } => return Err(BearerError::InvalidToken.into()),
        Actor::Operator | Actor::System => return Ok(Reader::everybodys()),
    };
    if cx.app.clients.find(client, cx).await?.is_none() {
        return Err(BearerError::InvalidToken.into());
    }
    let consumer = cx.app.consumers.of_client(client, cx).await?;
    Ok(consumer.map_or_else(Reader::everybodys, |consumer| consumer.reader()))
}
