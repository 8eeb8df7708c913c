//! JSON as strangers send it, read strictly: a key given twice, depth without end, and numbers that others would read
//! differently are refused, because two readers of one document must not see two meanings (RFC 8725 §3.7, RFC 8259 §4).

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Arrays and objects within one another that are read at most. What is put together here of parts that were read is held to it too: whoever
/// reads it back bounds depth as well (serde_json at 128).
pub(crate) const MAX_DEPTH: usize = 32;

/// The largest whole number that every JSON reader holds exactly (RFC 8259 §6).
const MAX_SAFE: u64 = 1 << 53;

/// Reads one JSON document. Fails with a text for the sender: not JSON, not UTF-8, a double key, too deep, too large a number.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, String> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }
        .deserialize(&mut reader)
        .map_err(|e| e.to_string())?;
    reader.end().map_err(|e| e.to_string())?;
    Ok(value)
}

/// Whether `value` has at most `levels` arrays and objects within one another. Looks no deeper than that.
pub(crate) fn is_within(levels: usize, value: &Value) -> bool {
    let within = |value: &Value| levels > 0 && is_within(levels - 1, value);
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(within),
        Value::Object(members) => levels > 0 && members.values().all(within),
        _ => true,
    }
}

struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: de::Error>(&self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            Err(E::custom("deeper than 32 levels"))
        } else {
            Ok(Self {
                depth: self.depth + 1,
            })
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Value, E> {
        if v.unsigned_abs() > MAX_SAFE {
            Err(E::custom("a number beyond 2^53"))
        } else {
            Ok(v.into())
        }
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Value, E> {
        if v > MAX_SAFE {
            Err(E::custom("a number beyond 2^53"))
        } else {
            Ok(v.into())
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "the bound is a power of two")]
    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Value, E> {
        if v.abs() > MAX_SAFE as f64 {
            return Err(E::custom("a number beyond 2^53"));
        }
        Number::from_f64(v)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.deeper()?)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(de::Error::custom("a key is given twice"));
            }
            let value = map.next_value_seed(self.deeper()?)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_json() {
        let text = r#"{"a":[1,-2,3.5,null,true,"x"],"b":{}}"#;
        assert_eq!(
            parse(text.as_bytes()).map(|v| v.to_string()),
            Ok(text.to_owned())
        );
    }

    #[test]
    fn refuses_what_readers_would_disagree_about() {
        // S-51
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            "[9007199254740993]",
            "[1e300]",
            "{} {}",
            "",
            "{",
            "\u{feff}{}",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn refuses_depth_without_end() {
        // S-173
        let nested = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(parse(&nested(32)).is_ok());
        assert!(parse(&nested(33)).is_err());
        assert!(parse(&nested(100_000)).is_err());
        let value = parse(&nested(32)).unwrap();
        assert!(is_within(32, &value) && !is_within(31, &value));
        assert!(is_within(0, &Value::Null));
    }
}
