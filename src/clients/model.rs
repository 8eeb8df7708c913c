//! What a client is, and what a registration may say.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;
use url::Url;

use crate::config::Issuer;
use crate::jose::Alg;
use crate::kernel::span::Span;
use crate::kernel::{ClientId, ScopeSet, TokenHash};

/// How a client proves itself (RFC 7591 §2, `token_endpoint_auth_method`). Each client has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthMethod {
    ClientSecretBasic,
    ClientSecretPost,
    /// A public client: it names itself and proves nothing.
    None,
}

impl AuthMethod {
    pub(crate) const ALL: [Self; 3] = [Self::ClientSecretBasic, Self::ClientSecretPost, Self::None];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::None => "none",
        }
    }
}

/// A grant that a client may be registered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    ClientCredentials,
    Password,
}

impl Grant {
    pub(crate) const ALL: [Self; 2] = [Self::ClientCredentials, Self::Password];

    /// The `grant_type` (RFC 6749 §4.3.2, §4.4.2).
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::Password => "password",
        }
    }
}

/// What was given is none of the known names, which the text lists.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownName(String);

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected one of {}", self.0)
    }
}

impl std::error::Error for UnknownName {}

fn one_of<T: Copy>(
    all: &[T],
    name: impl Fn(T) -> &'static str,
    given: &str,
) -> Result<T, UnknownName> {
    let unknown = || {
        UnknownName(
            all.iter()
                .map(|known| name(*known))
                .collect::<Vec<_>>()
                .join(", "),
        )
    };
    all.iter()
        .copied()
        .find(|known| name(*known) == given)
        .ok_or_else(unknown)
}

impl FromStr for AuthMethod {
    type Err = UnknownName;

    fn from_str(given: &str) -> Result<Self, UnknownName> {
        one_of(&Self::ALL, Self::as_str, given)
    }
}

impl FromStr for Grant {
    type Err = UnknownName;

    fn from_str(given: &str) -> Result<Self, UnknownName> {
        one_of(&Self::ALL, Self::as_str, given)
    }
}

/// A registered client.
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) registration: Registration,
    pub(crate) secrets: Vec<StoredSecret>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
}

/// A secret's hash, and when it ends.
pub(crate) struct StoredSecret {
    pub(crate) hash: TokenHash,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) expires_at: Option<OffsetDateTime>,
}

/// What the operator says of a client.
#[derive(Clone)]
pub(crate) struct Registration {
    pub(crate) name: String,
    pub(crate) auth_method: AuthMethod,
    pub(crate) grants: Vec<Grant>,
    pub(crate) scopes: ScopeSet,
    /// Audiences that the client may ask tokens for.
    pub(crate) audiences: Vec<String>,
    /// The audience that the client is.
    pub(crate) serves: Option<String>,
    pub(crate) signing_alg: Alg,
    pub(crate) access_token_lifetime: Option<Span>,
    /// The password grant ends then.
    pub(crate) password_grant_until: Option<OffsetDateTime>,
}

/// A registration that is refused: which part, and what is expected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RegistrationError {
    pub(crate) part: &'static str,
    pub(crate) expected: &'static str,
}

impl fmt::Display for RegistrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}", self.part, self.expected)
    }
}

impl Registration {
    /// Checks the whole.
    pub(crate) fn check(&self, issuer: &Issuer) -> Result<(), RegistrationError> {
        let rule = |holds, part, expected| {
            if holds {
                Ok(())
            } else {
                Err(RegistrationError { part, expected })
            }
        };
        let name_fits = (1..=200).contains(&self.name.chars().count())
            && !self.name.chars().any(char::is_control);
        rule(
            name_fits,
            "name",
            "1 to 200 characters, none of them a control character",
        )?;
        rule(
            !self.grants.is_empty() || self.serves.is_some(),
            "grant",
            "at least one, or `serves`",
        )?;
        let machine = self
            .grants
            .iter()
            .all(|grant| matches!(grant, Grant::ClientCredentials | Grant::Password));
        let public = self.auth_method == AuthMethod::None;
        // RFC 6749 §4.4: confidential clients only; the password grant needs somebody to hold to account too.
        rule(
            !(public && machine && !self.grants.is_empty()),
            "auth-method",
            "a secret: these grants are for confidential clients only",
        )?;
        rule(
            self.password_grant_until.is_none() || self.grants.contains(&Grant::Password),
            "password-until",
            "the password grant with it",
        )?;
        rule(self.audiences.len() <= 100, "audience", "at most 100")?;
        rule(
            self.audiences.iter().all(|uri| is_audience(uri, issuer)),
            "audience",
            AUDIENCE,
        )?;
        rule(
            self.serves
                .as_deref()
                .is_none_or(|uri| is_audience(uri, issuer)),
            "serves",
            AUDIENCE,
        )?;
        let lifetime_fits = self
            .access_token_lifetime
            .is_none_or(|life| (Span::minutes(1)..=Span::hours(24)).contains(&life));
        rule(lifetime_fits, "access-token-lifetime", "1m to 24h")
    }

    pub(crate) fn may(&self, grant: Grant) -> bool {
        self.grants.contains(&grant)
    }
}

const AUDIENCE: &str = "an absolute URI without fragment that is not below the issuer";

/// RFC 8707 §2: an absolute URI without a fragment. What lies below the issuer is Doorward's own and not to be given away.
fn is_audience(uri: &str, issuer: &Issuer) -> bool {
    let plain = uri.len() <= 500 && uri.bytes().all(|b| b.is_ascii_graphic());
    let ours = uri == issuer.as_str() || uri.starts_with(&issuer.join("/"));
    plain && !uri.contains('#') && !ours && Url::parse(uri).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration() -> Registration {
        Registration {
            name: "shop".to_owned(),
            auth_method: AuthMethod::ClientSecretBasic,
            grants: vec![Grant::ClientCredentials],
            scopes: ScopeSet::default(),
            audiences: vec!["https://billing.example".to_owned()],
            serves: None,
            signing_alg: Alg::Es256,
            access_token_lifetime: None,
            password_grant_until: None,
        }
    }

    fn refused(change: impl Fn(&mut Registration)) -> Option<&'static str> {
        let mut changed = registration();
        change(&mut changed);
        changed.check(&Issuer::default()).err().map(|e| e.part)
    }

    #[test]
    fn a_registration_is_checked_as_a_whole() {
        assert_eq!(refused(|_| {}), None);
        assert_eq!(refused(|r| r.name = String::new()), Some("name"));
        assert_eq!(refused(|r| r.name = "a\nb".to_owned()), Some("name"));
        assert_eq!(refused(|r| r.grants.clear()), Some("grant"));
        assert_eq!(
            refused(|r| r.password_grant_until = Some(OffsetDateTime::UNIX_EPOCH)),
            Some("password-until")
        );
        assert_eq!(
            refused(|r| r.access_token_lifetime = Some(Span::seconds(59))),
            Some("access-token-lifetime")
        );
    }

    #[test]
    fn machine_grants_are_for_confidential_clients() {
        // S-27, S-28
        for grant in [Grant::ClientCredentials, Grant::Password] {
            let public = |r: &mut Registration| {
                r.auth_method = AuthMethod::None;
                r.grants = vec![grant];
            };
            assert_eq!(refused(public), Some("auth-method"));
        }
    }

    #[test]
    fn audiences_are_absolute_and_never_ours() {
        // E4
        for bad in [
            "billing",
            "https://a#b",
            "https://a b",
            "",
            "http://localhost:8080/api",
            "http://localhost:8080",
            "é:x",
        ] {
            assert_eq!(
                refused(|r| r.audiences = vec![bad.to_owned()]),
                Some("audience"),
                "{bad}"
            );
            assert_eq!(
                refused(|r| r.serves = Some(bad.to_owned())),
                Some("serves"),
                "{bad}"
            );
        }
        assert_eq!(
            refused(|r| r.audiences = vec!["urn:example:billing".to_owned()]),
            None
        );
    }
}
