//! A person out of everything at an admin's word.

use super::operations::{UserError, admins_only};
use super::store::find_for_update;
use crate::audit::{self, Action, Change, Target};
use crate::cx::Cx;
use crate::kernel::UserId;
use crate::sessions;

/// Ends the person's sessions and all that they gave to applications, `offline_access` too; who they are and their password stay (checklist 78).
pub(crate) async fn end_sessions(id: UserId, cx: &Cx) -> Result<(), UserError> {
    let mut tx = cx.begin().await?;
    let person = find_for_update(id, &mut tx)
        .await?
        .ok_or(UserError::Unknown)?;
    admins_only(person.fields.admin, cx)?;
    sessions::end_all(id, &mut tx, cx).await?;
    let target = Target::User(id);
    audit::record(Action::SessionEnded, target, Change::default(), &mut tx, cx).await?;
    Ok(tx.commit().await?)
}
