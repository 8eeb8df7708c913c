//! The `claims` parameter (OpenID Connect Core §5.5): what a client asks for by name.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::kernel::json;

/// Bytes of the parameter, and claims in it, that are looked at (checklist 174).
const MAX_BYTES: usize = 4096;
const MAX_CLAIMS: usize = 100;

/// What was asked for; nobody is told more than their scopes and these open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) id_token: Vec<String>,
    pub(crate) userinfo: Vec<String>,
    /// `acr` values of which one must be met; empty where none must.
    pub(crate) essential_acr: Vec<String>,
    /// The subject that the ID token must have.
    pub(crate) subject: Option<String>,
}

/// It is not what §5.5 describes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Claims {
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        if text.len() > MAX_BYTES {
            return Err(Malformed);
        }
        let Ok(Value::Object(document)) = json::parse(text.as_bytes()) else {
            return Err(Malformed);
        };
        let member = |name: &str| match document.get(name) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(asked)) if asked.len() <= MAX_CLAIMS => Ok(asked.clone()),
            Some(_) => Err(Malformed),
        };
        let (id_token, userinfo) = (member("id_token")?, member("userinfo")?);
        for wish in id_token.values().chain(userinfo.values()) {
            if !(wish.is_null() || wish.is_object()) {
                return Err(Malformed);
            }
        }
        let is = |wish: &Value, name: &str| wish.get(name) == Some(&Value::Bool(true));
        let essential_acr = id_token
            .get("acr")
            .filter(|wish| is(wish, "essential"))
            .map(values)
            .unwrap_or_default();
        let subject = [&id_token, &userinfo]
            .into_iter()
            .filter_map(|of| of.get("sub")?.get("value")?.as_str())
            .next();
        Ok(Self {
            subject: subject.map(str::to_owned),
            essential_acr,
            id_token: id_token.keys().cloned().collect(),
            userinfo: userinfo.keys().cloned().collect(),
        })
    }

    /// Every claim that was asked for by name, each once.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.id_token.iter().map(String::as_str).collect();
        for name in &self.userinfo {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }
}

/// `value` and `values` of a wish.
fn values(wish: &Value) -> Vec<String> {
    let one = wish.get("value").into_iter();
    let several = wish.get("values").and_then(Value::as_array);
    one.chain(several.into_iter().flatten())
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_example_of_the_specification() {
        let claims = Claims::parse(
            r#"{"userinfo":{"given_name":{"essential":true},"nickname":null,"email":{"essential":true},"http://example.info/claims/groups":null},
                "id_token":{"auth_time":{"essential":true},"acr":{"values":["urn:mace:incommon:iap:silver"]}}}"#,
        )
        .unwrap();
        assert_eq!(claims.id_token, ["auth_time", "acr"]);
        assert_eq!(claims.userinfo.len(), 4);
        assert!(claims.essential_acr.is_empty(), "voluntary");
        let essential = r#"{"id_token":{"acr":{"essential":true,"values":["2"],"value":"3"},"sub":{"value":"x"}}}"#;
        let claims = Claims::parse(essential).unwrap();
        assert_eq!(claims.essential_acr, ["3", "2"]);
        assert_eq!(claims.subject.as_deref(), Some("x"));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        // S-174
        let many = (0..101)
            .map(|i| format!("\"c{i}\":null"))
            .collect::<Vec<_>>();
        for bad in [
            "",
            "[]",
            "{",
            r#"{"userinfo":1}"#,
            r#"{"userinfo":{"a":1}}"#,
            r#"{"id_token":{"a":null,"a":null}}"#,
            &format!("{{\"userinfo\":{{{}}}}}", many.join(",")),
            &format!("{{\"x\":\"{}\"}}", "a".repeat(4096)),
        ] {
            assert_eq!(Claims::parse(bad), Err(Malformed), "{bad}");
        }
        assert!(Claims::parse("{}").is_ok());
    }
}
