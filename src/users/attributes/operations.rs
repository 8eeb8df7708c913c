//! Declaring what people's attributes are, and holding people against it.

use serde_json::Value;
use sqlx::PgConnection;

use super::super::document::Wrong;
use super::super::model::Fields;
use super::super::operations::UserError;
use super::{Declared, store};
use crate::audit::{self, Action, Change, Target};
use crate::cx::Cx;
use crate::db::OnConstraint;
use crate::http::IfMatch;

/// Declares what people's attributes are from now on. People who are there stay as they are: whoever changes somebody's attributes makes
/// them fit.
pub(super) async fn declare(
    schema: Value,
    if_match: &IfMatch,
    cx: &Cx,
) -> Result<Declared, UserError> {
    cx.all_scopes()?;
    let mut tx = cx.begin().await?;
    let before = store::newest(&mut tx).await?;
    let present = before.as_ref().map_or(0, |(version, ..)| *version);
    if !if_match.allows(present) {
        return Err(UserError::Stale);
    }
    let declared = Declared::new(present + 1, schema, cx.now).map_err(UserError::Invalid)?;
    store::insert(declared.version, &declared.schema, cx.now, &mut tx)
        .await
        .on_constraint(&[("attribute_schema_pkey", || UserError::Stale)])?;
    audit::record(
        Action::AttributesDeclared,
        Target::AttributeSchema(declared.version),
        Change {
            before: before.map(|(_, schema, _)| schema),
            after: Some(declared.schema.clone()),
        },
        &mut tx,
        cx,
    )
    .await?;
    tx.commit().await?;
    Ok(declared)
}

/// Refuses attributes that are not as declared. Those that a change leaves alone may be older than the schema.
pub(in crate::users) async fn judge_attributes(
    before: Option<&Fields>,
    after: &Fields,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<(), UserError> {
    let same = before.map_or(after.attributes.is_empty(), |b| {
        b.attributes == after.attributes
    });
    if same {
        return Ok(());
    }
    let wrong = match cx.app.attributes.present(db).await? {
        Some(declared) => declared.judge(&after.attributes),
        None if after.attributes.is_empty() => Vec::new(),
        None => vec![Wrong::new("attributes", "No attributes are declared.")],
    };
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(UserError::Invalid(wrong))
    }
}
