//! People as JSON text, many at once: written straight from their rows, without a value for each member in between, because a feed that is read
//! from its beginning is a million of them. `User::to_json` says what they look like, and the feed's tests hold the two together.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::kernel::clock::rfc3339;
use crate::kernel::{Fault, UserId};

/// Those of these people who are there, as the API shows them.
pub(crate) async fn documents(
    ids: &[UserId],
    db: &mut PgConnection,
) -> Result<HashMap<UserId, String>, Fault> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"
        select id as "id: UserId", version, status, admin, email, email_verified, username, phone_number, phone_number_verified,
               name, claims::text as "claims!", nullif(external_ids, '{}')::text as external_ids,
               nullif(attributes, '{}')::text as attributes, password_change_required, created_at, updated_at
          from "user"
         where id = any ($1)
           and deleted_at is null"#,
        &ids,
    )
    .fetch_all(db)
    .await?;
    let mut documents = HashMap::with_capacity(rows.len());
    for row in rows {
        let mut json = Document::of(row.id);
        json.text("email", row.email.as_deref());
        json.text("username", row.username.as_deref());
        json.text("phone_number", row.phone_number.as_deref());
        json.text("name", row.name.as_deref());
        json.json("email_verified", boolean(row.email_verified));
        json.json("phone_number_verified", boolean(row.phone_number_verified));
        json.text("status", Some(&row.status));
        json.json("admin", boolean(row.admin));
        json.members(&row.claims);
        if let Some(external_ids) = &row.external_ids {
            json.json("external_ids", external_ids);
        }
        if let Some(attributes) = &row.attributes {
            json.json("attributes", attributes);
        }
        let demanded = boolean(row.password_change_required);
        json.json("password_change_required", demanded);
        json.json("version", &row.version.to_string());
        json.text("created_at", Some(&rfc3339(row.created_at)));
        json.text("updated_at", Some(&rfc3339(row.updated_at)));
        documents.insert(row.id, json.end());
    }
    Ok(documents)
}

fn boolean(is: bool) -> &'static str {
    if is { "true" } else { "false" }
}

/// An object that is being written.
struct Document(String);

impl Document {
    fn of(id: UserId) -> Self {
        let mut json = String::with_capacity(512);
        json.push_str("{\"id\":\"");
        json.push_str(&id.to_string());
        json.push('"');
        Self(json)
    }

    /// A member that is JSON already.
    fn json(&mut self, name: &str, value: &str) {
        self.0.push_str(",\"");
        self.0.push_str(name);
        self.0.push_str("\":");
        self.0.push_str(value);
    }

    /// A text, where there is one.
    fn text(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        let plain = |b: u8| b >= b' ' && b != b'"' && b != b'\\';
        if value.bytes().all(plain) {
            self.json(name, "\"");
            self.0.push_str(value);
            self.0.push('"');
        } else {
            self.json(name, &serde_json::Value::from(value).to_string());
        }
    }

    /// The members of another object.
    fn members(&mut self, object: &str) {
        let inner = object
            .strip_prefix('{')
            .and_then(|o| o.strip_suffix('}'))
            .unwrap_or("");
        if !inner.is_empty() {
            self.0.push(',');
            self.0.push_str(inner);
        }
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_json(text in any::<String>(), claims in prop::collection::hash_map("[a-z]{1,5}", any::<String>(), 0..4)) {
            let id = UserId(Uuid::nil());
            let mut document = Document::of(id);
            document.text("none", None);
            document.text("TEXT", Some(&text));
            document.json("FLAG", boolean(true));
            document.members(&json!(claims).to_string());
            let read: Value = serde_json::from_str(&document.end()).unwrap();
            let mut expected = json!({"id": id, "TEXT": text, "FLAG": true});
            for (name, value) in claims {
                expected[name] = json!(value);
            }
            prop_assert_eq!(read, expected);
        }
    }
}
