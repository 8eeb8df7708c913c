//! Form bodies, read once and strictly: the right media type, at most 64 KiB, UTF-8, each parameter once (RFC 6749 §3.1, §3.2).

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};

use super::json::read_body;
use crate::kernel::secret::Secret;

const MAX_BYTES: usize = 64 * 1024;

/// Parameters that a form or a query may have.
const MAX_FIELDS: usize = 100;

/// The parameters of a form. Taking one removes it; values may be secrets, so there is no `Debug`.
pub(crate) struct Form(Vec<(String, Secret<String>)>);

/// Why a form was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormError {
    NotAForm,
    TooLarge,
    TooSlow,
    Malformed,
    Repeated,
}

impl FormError {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NotAForm | Self::Malformed | Self::Repeated => StatusCode::BAD_REQUEST,
        }
    }

    pub(crate) fn told(self) -> &'static str {
        match self {
            Self::NotAForm => "The body must be application/x-www-form-urlencoded.",
            Self::TooLarge => "The body is too large.",
            Self::TooSlow => "The body did not arrive in time.",
            Self::Malformed => "The body could not be read.",
            Self::Repeated => "A parameter is given more than once.",
        }
    }
}

impl Form {
    /// Reads `a=b&c=d`. A parameter without a value counts as not sent (RFC 6749 §3.1); only those in `may_repeat` may repeat.
    pub(crate) fn parse(bytes: &[u8], may_repeat: &[&str]) -> Result<Self, FormError> {
        let Self(mut fields) = Self::parse_keeping_empty(bytes, may_repeat)?;
        fields.retain(|(_, value)| !value.expose().is_empty());
        Ok(Self(fields))
    }

    /// The same, but a parameter with an empty value counts as sent.
    pub(super) fn parse_keeping_empty(
        bytes: &[u8],
        may_repeat: &[&str],
    ) -> Result<Self, FormError> {
        let (form, repeated) = Self::read_all(bytes, may_repeat)?;
        if repeated.is_empty() {
            Ok(form)
        } else {
            Err(FormError::Repeated)
        }
    }

    /// Like [`Form::parse`], but gives the names of what is repeated beside the form, which has the first of each.
    pub(crate) fn parse_noting_repeats(
        bytes: &[u8],
        may_repeat: &[&str],
    ) -> Result<(Self, Vec<String>), FormError> {
        let (Self(mut fields), repeated) = Self::read_all(bytes, may_repeat)?;
        fields.retain(|(_, value)| !value.expose().is_empty());
        Ok((Self(fields), repeated))
    }

    /// Whether the headers say that the body is a form.
    pub(crate) fn is_announced(headers: &HeaderMap) -> bool {
        headers
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|v| {
                v.split(';')
                    .next()
                    .unwrap_or("")
                    .trim()
                    .eq_ignore_ascii_case("application/x-www-form-urlencoded")
            })
    }

    /// The body of a request whose media type is a form's, as it is.
    pub(crate) async fn read(request: Request) -> Result<Bytes, FormError> {
        if !Self::is_announced(request.headers()) {
            return Err(FormError::NotAForm);
        }
        read_body(request, MAX_BYTES).await
    }

    fn read_all(bytes: &[u8], may_repeat: &[&str]) -> Result<(Self, Vec<String>), FormError> {
        let mut fields: Vec<(String, Secret<String>)> = Vec::new();
        let mut repeated = Vec::new();
        for pair in bytes.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.iter().position(|b| *b == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            let (name, value) = (decode(name)?, decode(value)?);
            if fields.iter().any(|(have, _)| *have == name) && !may_repeat.contains(&name.as_str())
            {
                repeated.push(name);
                if repeated.len() == MAX_FIELDS {
                    return Err(FormError::Malformed);
                }
                continue;
            }
            // Each is held against all before it: unbounded, a form of 64 KiB would be a second's work.
            if fields.len() == MAX_FIELDS {
                return Err(FormError::Malformed);
            }
            fields.push((name, Secret::new(value)));
        }
        Ok((Self(fields), repeated))
    }

    /// Takes a parameter out; `None` where it was not sent or is empty.
    pub(crate) fn take(&mut self, name: &str) -> Option<Secret<String>> {
        let at = self.0.iter().position(|(have, _)| have == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// The names of what was not taken.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Takes a parameter that is no secret.
    pub(crate) fn take_text(&mut self, name: &str) -> Option<String> {
        self.take(name).map(|value| value.expose().clone())
    }
}

/// Decodes `+` and `%XX`; a broken escape, a NUL, or bytes that are not UTF-8 are refused.
pub(crate) fn decode(bytes: &[u8]) -> Result<String, FormError> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' => out.push(b' '),
            b'%' => {
                let [high, low, tail @ ..] = rest else {
                    return Err(FormError::Malformed);
                };
                let digit = |b: &u8| (*b as char).to_digit(16).ok_or(FormError::Malformed);
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "two hexadecimal digits are a byte"
                )]
                out.push((digit(high)? * 16 + digit(low)?) as u8);
                rest = tail;
            }
            other => out.push(*other),
        }
    }
    if out.contains(&0) {
        return Err(FormError::Malformed);
    }
    String::from_utf8(out).map_err(|_| FormError::Malformed)
}

impl<S: Sync> FromRequest<S> for Form {
    type Rejection = FormError;

    async fn from_request(request: Request, _: &S) -> Result<Self, FormError> {
        Self::parse(&Self::read(request).await?, &["resource"])
    }
}

impl axum::response::IntoResponse for FormError {
    fn into_response(self) -> axum::response::Response {
        super::OAuthError::invalid_request(self.told())
            .status(self.status())
            .into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_parameter_once() {
        let mut form = Form::parse(b"a=1+2%2B&b=&c=%C3%A9&&d", &[]).ok().unwrap();
        assert_eq!(form.take_text("a").as_deref(), Some("1 2+"));
        assert_eq!(form.take_text("a"), None);
        assert_eq!(form.take_text("b"), None, "an empty value counts as absent");
        assert_eq!(form.take_text("c").as_deref(), Some("é"));
        assert_eq!(
            Form::parse(b"a=1&a=1", &[]).err(),
            Some(FormError::Repeated)
        );
        assert_eq!(
            Form::parse(b"a=1&%61=", &[]).err(),
            Some(FormError::Repeated)
        );
        assert!(Form::parse(b"a=1&a=2", &["a"]).is_ok());
    }

    #[test]
    fn refuses_what_could_be_read_two_ways() {
        for bad in [&b"a=%"[..], b"a=%4", b"a=%zz", b"a=%00", b"a=%ff", b"%+=1"] {
            assert_eq!(
                Form::parse(bad, &[]).err(),
                Some(FormError::Malformed),
                "{bad:?}"
            );
        }
    }
}
