//! `/api/v1/users/{id}/history`.

use axum::Json;
use axum::response::Response;
use serde_json::{Value, json};

use super::shapes::{HistoryParams, HistoryShape};
use super::{entry, operations};
use crate::cx::Cx;
use crate::http::shapes::ApiRefusals;
use crate::http::{At, Problem, Query, private};
use crate::kernel::UserId;

/// `GET /api/v1/users/{id}/history`: the newest first.
#[utoipa::path(get, path = "/api/v1/users/{id}/history", tag = "users", params(("id" = String, Path, description = "The person's id; they may be deleted or erased"), HistoryParams), responses((status = 200, description = "A page of changes, the newest first", body = HistoryShape), ApiRefusals), security(("bearer" = ["users:read"])))]
pub(crate) async fn get(cx: Cx, At(id): At<UserId>, mut query: Query) -> Result<Response, Problem> {
    let wanted = query.take_limit()?;
    let after = query.take("after");
    query.finish()?;
    let name = format!("history {id}");
    let before = after
        .map(|cursor| cx.app.cursors.decode::<i64>(&name, &cursor))
        .transpose();
    let before = before.map_err(|_| Problem::no_cursor())?;
    let most = i64::try_from(wanted).unwrap_or(i64::MAX - 1) + 1;
    let mut changes = operations::list(id, before, most, &cx).await?;
    let more = changes.len() > wanted;
    changes.truncate(wanted);
    let next = changes
        .last()
        .filter(|_| more)
        .map(|last| cx.app.cursors.encode(&name, &last.version));
    let items: Vec<Value> = changes.iter().map(entry::to_json).collect();
    Ok(private(Json(json!({ "items": items, "next": next }))))
}
