//! A person out of everything at an admin's word.

use super::operations::{UserError, admins_only, get};
use super::store;
use crate::audit::{self, Action, Change, Target};
use crate::cx::Cx;
use crate::kernel::UserId;
use crate::sessions;

/// Ends the person's sessions and all tokens that were given out for them, `offline_access` and the password grant's too; who they are and
/// their password stay (checklist 78).
pub(crate) async fn end_sessions(id: UserId, cx: &Cx) -> Result<(), UserError> {
    admins_only(get(id, cx).await?.fields.admin, cx)?;
    let mut tx = cx.begin().await?;
    let admin = store::begin_epoch(id, cx.now, &mut tx).await?;
    admins_only(admin.ok_or(UserError::Unknown)?, cx)?;
    sessions::end_all(id, &mut tx, cx).await?;
    let target = Target::User(id);
    audit::record(Action::SessionEnded, target, Change::default(), &mut tx, cx).await?;
    Ok(tx.commit().await?)
}
