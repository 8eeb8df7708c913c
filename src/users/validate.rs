//! What the fields of a person may hold.

use serde_json::{Map, Value};
use time::{Date, Month};
use url::Url;

use super::document::Wrong;
use super::model::Fields;
use crate::kernel::json;

/// Characters of names and the like, and of addresses and URLs.
const LINE: usize = 255;
const LONG: usize = 1000;
/// Systems in which a person may have an id, and bytes of a person's attributes.
const SYSTEMS: usize = 16;
const ATTRIBUTES: usize = 16 * 1024;

/// Checks the whole person; all that is wrong is told at once.
pub(super) fn validate(fields: &Fields) -> Result<(), Vec<Wrong>> {
    let mut wrong = Vec::new();
    let mut check = |name: &str, value: Option<&String>, rule: fn(&str) -> bool, expected: &str| {
        if value.is_some_and(|value| !rule(value)) {
            wrong.push(Wrong::new(name, format!("Expected {expected}.")));
        }
    };
    let claims = &fields.claims;
    check(
        "email",
        fields.email.as_ref(),
        is_email,
        "an e-mail address of at most 254 characters",
    );
    check(
        "username",
        fields.username.as_ref(),
        is_username,
        "1 to 128 characters without @, spaces at the ends or control characters",
    );
    check(
        "phone_number",
        fields.phone_number.as_ref(),
        is_phone_number,
        "an E.164 number such as +4930123456",
    );
    for (name, value) in [
        ("name", &fields.name),
        ("given_name", &claims.given_name),
        ("family_name", &claims.family_name),
        ("middle_name", &claims.middle_name),
        ("nickname", &claims.nickname),
        ("preferred_username", &claims.preferred_username),
        ("gender", &claims.gender),
    ] {
        check(
            name,
            value.as_ref(),
            is_line,
            "one line of 1 to 255 characters",
        );
    }
    for (name, value) in [
        ("profile", &claims.profile),
        ("picture", &claims.picture),
        ("website", &claims.website),
    ] {
        check(
            name,
            value.as_ref(),
            is_web_url,
            "an http or https URL of at most 1000 characters",
        );
    }
    check(
        "birthdate",
        claims.birthdate.as_ref(),
        is_birthdate,
        "YYYY-MM-DD, 0000-MM-DD or YYYY",
    );
    check(
        "zoneinfo",
        claims.zoneinfo.as_ref(),
        is_zoneinfo,
        "a time zone's name such as Europe/Berlin",
    );
    check(
        "locale",
        claims.locale.as_ref(),
        is_locale,
        "a language tag such as de-CH",
    );
    if let Some(address) = &claims.address {
        check(
            "address/formatted",
            address.formatted.as_ref(),
            is_text,
            "1 to 1000 characters",
        );
        check(
            "address/street_address",
            address.street_address.as_ref(),
            is_text,
            "1 to 1000 characters",
        );
        for (name, value) in [
            ("address/locality", &address.locality),
            ("address/region", &address.region),
            ("address/postal_code", &address.postal_code),
            ("address/country", &address.country),
        ] {
            check(
                name,
                value.as_ref(),
                is_line,
                "one line of 1 to 255 characters",
            );
        }
    }
    for w in &mut wrong {
        w.pointer = w.pointer.replace("~1", "/");
    }
    if fields.email.is_none()
        && fields.username.is_none()
        && fields.phone_number.is_none()
        && fields.external_ids.is_empty()
    {
        wrong.push(Wrong {
            pointer: String::new(),
            detail: "Expected at least one of email, username, phone_number and external_ids."
                .to_owned(),
        });
    }
    if fields.external_ids.len() > SYSTEMS {
        let detail = format!("Expected at most {SYSTEMS} systems.");
        wrong.push(Wrong::new("external_ids", detail));
    }
    for (system, id) in &fields.external_ids {
        if !is_system(system) || !is_external_id(id) {
            let detail = "Expected a system's name of 1 to 32 of a-z, 0-9, - and _, and an id of 1 to 128 characters.";
            wrong.push(Wrong::new(system, detail).within("external_ids"));
        }
    }
    if !is_storable(&fields.attributes) {
        let detail =
            "Expected at most 16 KiB and 31 levels of nesting, without the character U+0000.";
        wrong.push(Wrong::new("attributes", detail));
    }
    if fields.email_verified && fields.email.is_none() {
        wrong.push(Wrong::new(
            "email_verified",
            "There is no address that could be verified.",
        ));
    }
    if fields.phone_number_verified && fields.phone_number.is_none() {
        wrong.push(Wrong::new(
            "phone_number_verified",
            "There is no number that could be verified.",
        ));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Control characters, and those that turn the direction of a line or hide in it, forge what people read.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn is_line(text: &str) -> bool {
    (1..=LINE).contains(&text.chars().count()) && text.chars().all(is_plain)
}

/// Several lines are fine (Core §5.1.1).
fn is_text(text: &str) -> bool {
    (1..=LONG).contains(&text.chars().count())
        && text.chars().all(|c| is_plain(c) || c == '\n' || c == '\r')
}

/// One `@` with something sensible on either side; whether mail arrives, only a mail can tell. No header syntax (RFC 5321 §4.5.3.1).
pub(crate) fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let sober = |c: char| {
        is_plain(c)
            && !c.is_whitespace()
            && !matches!(
                c,
                '@' | '<' | '>' | '(' | ')' | '[' | ']' | ',' | ';' | ':' | '\\' | '"'
            )
    };
    let dots = |part: &str| !part.starts_with('.') && !part.ends_with('.') && !part.contains("..");
    let labels = domain.split('.').all(|label| {
        !label.is_empty()
            && label.chars().count() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
    });
    text.len() <= 254
        && (1..=64).contains(&local.len())
        && !domain.is_empty()
        && text.chars().all(|c| sober(c) || c == '@')
        && domain.chars().all(sober)
        && dots(local)
        && dots(domain)
        && labels
}

fn is_username(text: &str) -> bool {
    (1..=128).contains(&text.chars().count())
        && !text.contains('@')
        && text.trim() == text
        && text.chars().all(is_plain)
}

/// The name of another system: a closed alphabet, so that `billing:cus_81` is read in one way.
pub(super) fn is_system(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
}

pub(super) fn is_external_id(text: &str) -> bool {
    (1..=128).contains(&text.chars().count()) && text.trim() == text && text.chars().all(is_plain)
}

/// PostgreSQL's texts hold no U+0000, and a person who is too deep could be read by nobody, by ourselves least (kernel::json).
fn is_storable(attributes: &Map<String, Value>) -> bool {
    fn holds_nul(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(items) => items.iter().any(holds_nul),
            Value::Object(members) => members
                .iter()
                .any(|(name, value)| name.contains('\0') || holds_nul(value)),
            _ => false,
        }
    }
    // Beside the person and the attributes themselves.
    let levels = json::MAX_DEPTH - 2;
    if !attributes.values().all(|v| json::is_within(levels, v)) {
        return false;
    }
    let nul = attributes
        .iter()
        .any(|(name, value)| name.contains('\0') || holds_nul(value));
    !nul && serde_json::to_string(attributes).is_ok_and(|text| text.len() <= ATTRIBUTES)
}

fn is_phone_number(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

fn is_web_url(text: &str) -> bool {
    text.len() <= LONG
        && text.chars().all(is_plain)
        && Url::parse(text)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Core §5.1: `0000` as the year where it is not told, the year alone where the day is not.
fn is_birthdate(text: &str) -> bool {
    let number = |part: &str, digits: usize| -> Option<i32> {
        (part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))
            .then(|| part.parse().ok())?
    };
    let parts: Vec<&str> = text.split('-').collect();
    match parts[..] {
        [year] => number(year, 4).is_some_and(|year| year > 0),
        [year, month, day] => (|| {
            let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
            let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
            // A leap year stands for the one that is not told.
            Date::from_calendar_date(
                if year == 0 { 2000 } else { year },
                month,
                u8::try_from(day).ok()?,
            )
            .ok()
        })()
        .is_some(),
        _ => false,
    }
}

fn is_zoneinfo(text: &str) -> bool {
    text.len() <= 64
        && text.split('/').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+'))
        })
}

/// BCP 47's shape; an underscore for the hyphen is common and allowed (Core §5.1).
fn is_locale(text: &str) -> bool {
    let mut parts = text.split(['-', '_']);
    let language = parts
        .next()
        .is_some_and(|p| (2..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphabetic()));
    text.len() <= 35
        && language
        && parts.all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(rule: fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(rule(text), "{text:?} is good");
        }
        for text in bad {
            assert!(!rule(text), "{text:?} is bad");
        }
    }

    #[test]
    fn addresses_of_mail() {
        // S-112
        let long = format!("{}@example.com", "a".repeat(65));
        holds(
            is_email,
            &[
                "ada@example.com",
                "a+b@x.y",
                "ada.l@sub.example.co.uk",
                "jörg@bücher.example",
                "a@localhost",
                "o'hara@x.y",
            ],
            &[
                "",
                "@",
                "a@",
                "@b",
                "a@b@c",
                "a b@c.d",
                "a@b\r\nBcc: x@y",
                "a\0@b",
                "<a@b>",
                "a@b,c@d",
                ".a@b",
                "a.@b",
                "a..b@c",
                "a@-b",
                "a@b..c",
                "\"a\"@b",
                &long,
            ],
        );
    }

    #[test]
    fn usernames_phones_dates_and_the_rest() {
        holds(
            is_username,
            &["ada", "a b", "阿达"],
            &["", "a@b", " a", "a ", "a\n", "a\u{202e}b"],
        );
        holds(
            is_phone_number,
            &["+4930123456"],
            &[
                "4930123456",
                "+0301234567",
                "+49 30",
                "+",
                "+1234567890123456",
            ],
        );
        holds(
            is_birthdate,
            &["1815-12-10", "0000-02-29", "1815"],
            &[
                "",
                "0000",
                "1815-13-01",
                "1815-02-29",
                "1815-1-1",
                "15-01-01",
                "1815-12",
            ],
        );
        holds(
            is_zoneinfo,
            &["Europe/Berlin", "UTC", "Etc/GMT+1"],
            &["", "/", "Europe/", "a b"],
        );
        holds(
            is_locale,
            &["en", "de-CH", "zh_Hant", "pt_BR"],
            &["", "e", "en-", "en us", "123"],
        );
        holds(
            is_web_url,
            &["https://x.y/z"],
            &["", "x.y", "javascript:alert(1)", "ftp://x", "https://"],
        );
        holds(
            is_line,
            &["Ada Lovelace"],
            &["", "a\nb", "a\0", "\u{202e}evil"],
        );
    }
}
