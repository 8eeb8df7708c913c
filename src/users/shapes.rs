//! What the directory's documents look like, for `/openapi.json`; `document.rs` writes and reads them, and a test holds the two together.

// Read by the derive macros alone.
#![expect(dead_code, reason = "descriptions: nothing is ever made of these")]

use std::collections::BTreeMap;

use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::model::{Address, Status};
use crate::http::shapes::ProblemShape;

/// A person.
#[derive(ToSchema)]
#[schema(as = User)]
pub(crate) struct UserShape {
    #[schema(read_only)]
    id: String,
    #[schema(read_only)]
    version: i64,
    #[schema(format = DateTime, read_only)]
    created_at: String,
    #[schema(format = DateTime, read_only)]
    updated_at: String,
    #[schema(read_only)]
    password_change_required: bool,
    email: Option<String>,
    email_verified: bool,
    username: Option<String>,
    phone_number: Option<String>,
    phone_number_verified: bool,
    status: Status,
    admin: bool,
    name: Option<String>,
    given_name: Option<String>,
    family_name: Option<String>,
    middle_name: Option<String>,
    nickname: Option<String>,
    preferred_username: Option<String>,
    profile: Option<String>,
    picture: Option<String>,
    website: Option<String>,
    gender: Option<String>,
    birthdate: Option<String>,
    zoneinfo: Option<String>,
    locale: Option<String>,
    address: Option<Address>,
    external_ids: Option<BTreeMap<String, String>>,
    #[schema(value_type = Option<Object>)]
    attributes: Option<()>,
}

/// What callers write of a person: at least one of `email`, `username`, `phone_number` and `external_ids`.
#[derive(ToSchema)]
#[schema(as = UserWrite)]
pub(crate) struct UserWriteShape {
    #[schema(max_length = 254)]
    email: Option<String>,
    email_verified: Option<bool>,
    /// Without `@`.
    #[schema(min_length = 1, max_length = 128)]
    username: Option<String>,
    /// E.164.
    #[schema(pattern = r"^\+[1-9][0-9]{1,14}$")]
    phone_number: Option<String>,
    phone_number_verified: Option<bool>,
    status: Option<Status>,
    admin: Option<bool>,
    #[schema(min_length = 1, max_length = 255)]
    name: Option<String>,
    #[schema(min_length = 1, max_length = 255)]
    given_name: Option<String>,
    #[schema(min_length = 1, max_length = 255)]
    family_name: Option<String>,
    #[schema(min_length = 1, max_length = 255)]
    middle_name: Option<String>,
    #[schema(min_length = 1, max_length = 255)]
    nickname: Option<String>,
    #[schema(min_length = 1, max_length = 255)]
    preferred_username: Option<String>,
    profile: Option<String>,
    picture: Option<String>,
    website: Option<String>,
    #[schema(min_length = 1, max_length = 255)]
    gender: Option<String>,
    birthdate: Option<String>,
    zoneinfo: Option<String>,
    locale: Option<String>,
    address: Option<Address>,
    /// The person's key in each other system, such as `{"billing": "cus_81"}`.
    external_ids: Option<BTreeMap<String, String>>,
    /// As declared by `PUT /api/v1/users/schema`.
    #[schema(value_type = Option<Object>)]
    attributes: Option<()>,
}

/// A page of people.
#[derive(ToSchema)]
#[schema(as = UserList)]
pub(crate) struct UserListShape {
    items: Vec<UserShape>,
    /// Where the list goes on; null at its end.
    #[schema(required)]
    next: Option<String>,
}

/// Operations on people, 1 to 1,000.
#[derive(ToSchema)]
#[schema(as = Batch)]
pub(crate) struct BatchShape {
    #[schema(min_items = 1, max_items = 1000)]
    operations: Vec<BatchOperationShape>,
}

/// One of them.
#[derive(ToSchema)]
#[schema(as = BatchOperation)]
pub(crate) struct BatchOperationShape {
    op: BatchOpShape,
    /// Of everything but `create`.
    id: Option<String>,
    /// The ETag that the person must have, as in `If-Match`.
    if_match: Option<String>,
    /// The person of `create` and `replace`, the merge patch of `update`.
    user: Option<UserWriteShape>,
}

#[derive(ToSchema)]
#[schema(as = BatchOp, rename_all = "lowercase")]
pub(crate) enum BatchOpShape {
    Create,
    Update,
    Replace,
    Delete,
}

/// A result for each operation, in their order.
#[derive(ToSchema)]
#[schema(as = BatchResults)]
pub(crate) struct BatchResultsShape {
    results: Vec<BatchResultShape>,
}

/// What an operation came to: what the single request would have been answered.
#[derive(ToSchema)]
#[schema(as = BatchResult)]
pub(crate) struct BatchResultShape {
    status: u16,
    id: Option<String>,
    etag: Option<String>,
    problem: Option<ProblemShape>,
}

/// What people's attributes are declared to be.
#[derive(ToSchema)]
#[schema(as = AttributeSchema)]
pub(crate) struct SchemaShape {
    version: i64,
    /// A JSON Schema (draft 2020-12); `x-filter` marks the attributes that lists are filtered by.
    #[schema(value_type = Object)]
    schema: (),
    #[schema(format = DateTime)]
    created_at: String,
}

/// A password that an admin sets.
#[derive(ToSchema)]
#[schema(as = PasswordWrite)]
pub(crate) struct PasswordShape {
    #[schema(write_only, format = Password)]
    password: String,
    /// It is good for one sign-in, at which they choose their own.
    change_required: Option<bool>,
}

/// What a list is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// People in a page; 50 unless asked for otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// A `next` of the same list.
    after: Option<String>,
    /// Exactly this address, without regard to case.
    email: Option<String>,
    /// Exactly this username, without regard to case.
    username: Option<String>,
    /// Exactly this key in that system, such as `billing:cus_81`.
    external_id: Option<String>,
    /// Parts of words of the name, address or username, each of three letters or more; in an order of its own.
    q: Option<String>,
    /// `attributes.NAME=VALUE`, for one attribute that is declared with `x-filter`.
    #[param(rename = "attributes.NAME")]
    attribute: Option<String>,
    status: Option<Status>,
    /// Changed at or after this time (RFC 3339).
    #[param(format = DateTime)]
    updated_since: Option<String>,
    /// Those who are deleted and not erased, instead of the others; with `email` and `username` alone.
    deleted: Option<bool>,
    /// `id`, `updated_at` or `name`, with `-` before it for backwards.
    sort: Option<String>,
}

/// What a change of a person may wait for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitParams {
    /// Answer once the consumer of this name has applied the change (docs/propagation.md).
    wait: Option<String>,
}

/// What a change of a person may come with.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct ChangeHeaders {
    /// `wait=` and for how many seconds: 10 unless given, 30 at most.
    #[param(rename = "Prefer")]
    prefer: Option<String>,
    /// Why, for the history: one line, at most 500 characters. An erasure keeps none.
    #[param(rename = "Doorward-Reason")]
    reason: Option<String>,
}

/// The change is made; the consumer that was waited for does not have it yet
#[derive(IntoResponses)]
#[response(status = 202, headers(("Doorward-Wait" = String, description = "The consumer; pending")))]
pub(crate) struct Pending;
