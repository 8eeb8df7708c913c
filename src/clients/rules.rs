//! What a registration may say: one list of rules for every way in (REST, command line, dynamic registration).

use url::Url;

use super::uris::{
    HTTPS_URI, ORIGIN, REDIRECT_URI, WEB_URI, is_https_uri, is_origin, is_redirect_uri, is_web_uri,
};
use super::{AuthMethod, Grant, KeySource, Registration, RegistrationError};
use crate::config::Issuer;
use crate::kernel::span::Span;

impl Registration {
    /// Checks the whole; all that is wrong is told at once.
    pub(crate) fn check(&self, issuer: &Issuer) -> Result<(), Vec<RegistrationError>> {
        let mut rules = Rules(Vec::new());
        self.check_who(&mut rules);
        self.check_tokens(issuer, &mut rules);
        self.check_sign_on(&mut rules);
        self.check_about(&mut rules);
        if rules.0.is_empty() {
            Ok(())
        } else {
            Err(rules.0)
        }
    }

    /// Its name, and how it proves itself.
    fn check_who(&self, rules: &mut Rules) {
        rules.hold(
            is_line(&self.name, 200),
            "client_name",
            "1 to 200 characters, none of them a control character",
        );
        let public = self.auth_method == AuthMethod::None;
        // RFC 6749 §4.4: confidential clients only; the password grant needs somebody to hold to account too.
        let machine = self.may(Grant::ClientCredentials) || self.may(Grant::Password);
        rules.hold(
            !(public && machine),
            "token_endpoint_auth_method",
            "a secret or a key: the grants client_credentials and password are for confidential clients only",
        );
        rules.hold(
            !public || self.sign_on.require_pkce,
            "require_pkce",
            "true, or a client that proves itself (RFC 9700 §2.1.1)",
        );
        let asserts = self.auth_method == AuthMethod::PrivateKeyJwt;
        rules.hold(
            asserts == self.assertion_alg.is_some(),
            "token_endpoint_auth_signing_alg",
            "an algorithm with private_key_jwt, and none with any other method",
        );
        rules.hold(
            !asserts || self.keys.is_some(),
            "jwks",
            "jwks or jwks_uri with private_key_jwt",
        );
        match (&self.keys, self.assertion_alg) {
            (Some(KeySource::ByValue(set)), Some(alg)) => {
                rules.hold(
                    set.has(alg),
                    "jwks",
                    "a key for token_endpoint_auth_signing_alg",
                );
            }
            (Some(KeySource::ByUri(uri)), _) => rules.hold(is_web_uri(uri), "jwks_uri", WEB_URI),
            _ => {}
        }
    }

    /// What tokens it may have.
    fn check_tokens(&self, issuer: &Issuer, rules: &mut Rules) {
        rules.hold(
            !self.grants.is_empty() || self.serves.is_some(),
            "grant_types",
            "at least one, or `serves`",
        );
        rules.hold(
            !self.may(Grant::RefreshToken) || self.may(Grant::AuthorizationCode),
            "grant_types",
            "authorization_code with refresh_token",
        );
        rules.hold(
            self.password_grant_until.is_none() || self.may(Grant::Password),
            "password_grant_until",
            "the password grant with it",
        );
        rules.hold(self.audiences.len() <= 100, "audiences", "at most 100");
        rules.hold(
            self.audiences.iter().all(|uri| is_audience(uri, issuer)),
            "audiences",
            AUDIENCE,
        );
        rules.hold(
            self.serves.iter().all(|uri| is_audience(uri, issuer)),
            "serves",
            AUDIENCE,
        );
        let s = &self.sign_on;
        for (part, life, most, expected) in [
            (
                "access_token_lifetime",
                self.access_token_lifetime,
                Span::hours(24),
                "1 minute to 24 hours",
            ),
            (
                "id_token_lifetime",
                s.id_token_lifetime,
                Span::hours(24),
                "1 minute to 24 hours",
            ),
            (
                "refresh_token_idle_lifetime",
                s.refresh_token_idle_lifetime,
                Span::days(400),
                "1 minute to 400 days",
            ),
            (
                "refresh_token_lifetime",
                s.refresh_token_lifetime,
                Span::days(400),
                "1 minute to 400 days",
            ),
        ] {
            let fits = life.is_none_or(|life| (Span::minutes(1)..=most).contains(&life));
            rules.hold(fits, part, expected);
        }
    }

    /// How people sign in to it, and out.
    fn check_sign_on(&self, rules: &mut Rules) {
        let s = &self.sign_on;
        rules.hold(
            self.may(Grant::AuthorizationCode) != s.redirect_uris.is_empty(),
            "redirect_uris",
            "at least one with the grant authorization_code, and none without",
        );
        for (part, uris) in [
            ("redirect_uris", &s.redirect_uris),
            ("post_logout_redirect_uris", &s.post_logout_redirect_uris),
        ] {
            rules.hold(uris.len() <= 50, part, "at most 50");
            rules.hold(
                uris.iter()
                    .all(|uri| is_redirect_uri(uri, s.application_type)),
                part,
                REDIRECT_URI,
            );
        }
        // A page can't keep a secret: whoever has one calls from a server, which asks for nobody's leave.
        let page = self.auth_method == AuthMethod::None && self.may(Grant::AuthorizationCode);
        rules.hold(
            s.cors_origins.is_empty() || page,
            "cors_origins",
            "none, or a public client with the grant authorization_code",
        );
        rules.hold(s.cors_origins.len() <= 20, "cors_origins", "at most 20");
        rules.hold(
            s.cors_origins.iter().all(|origin| is_origin(origin)),
            "cors_origins",
            ORIGIN,
        );
        rules.hold(
            !s.response_modes.is_empty(),
            "response_modes",
            "at least one of query and form_post",
        );
        rules.hold(
            s.initiate_login_uri.iter().all(|uri| is_https_uri(uri)),
            "initiate_login_uri",
            HTTPS_URI,
        );
        rules.hold(
            s.backchannel_logout_uri.iter().all(|uri| is_web_uri(uri)),
            "backchannel_logout_uri",
            WEB_URI,
        );
    }

    /// What people are told of it: links that a page may show.
    fn check_about(&self, rules: &mut Rules) {
        let a = &self.about;
        for (part, uri) in [
            ("client_uri", &a.client_uri),
            ("logo_uri", &a.logo_uri),
            ("policy_uri", &a.policy_uri),
            ("tos_uri", &a.tos_uri),
        ] {
            rules.hold(uri.iter().all(|uri| is_web_uri(uri)), part, WEB_URI);
        }
        rules.hold(
            a.contacts.len() <= 10 && a.contacts.iter().all(|contact| is_line(contact, 254)),
            "contacts",
            "at most 10 lines of 1 to 254 characters",
        );
    }
}

struct Rules(Vec<RegistrationError>);

impl Rules {
    fn hold(&mut self, holds: bool, part: &'static str, expected: &'static str) {
        if !holds {
            self.0.push(RegistrationError {
                part: part.into(),
                detail: format!("Expected {expected}."),
            });
        }
    }
}

/// Control characters, and those that turn the direction of a line or hide in it, forge what people read.
fn is_line(text: &str, most: usize) -> bool {
    let plain = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
    };
    (1..=most).contains(&text.chars().count()) && text.chars().all(plain)
}

const AUDIENCE: &str = "absolute URIs without fragment that are not below the issuer";

/// RFC 8707 §2: an absolute URI without a fragment. What lies below the issuer is Doorward's own and not to be given away.
fn is_audience(uri: &str, issuer: &Issuer) -> bool {
    let plain = uri.len() <= 500 && uri.bytes().all(|b| b.is_ascii_graphic());
    let ours = uri == issuer.as_str() || uri.starts_with(&issuer.join("/"));
    plain && !uri.contains('#') && !ours && Url::parse(uri).is_ok()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde_json::{Value, json};
    use time::OffsetDateTime;

    use super::*;
    use crate::clients::{ApplicationType, SignOn};
    use crate::jose::{Alg, KeySet, PrivateKey};

    fn registration() -> Registration {
        Registration {
            grants: vec![Grant::ClientCredentials],
            audiences: vec!["https://billing.example".to_owned()],
            ..Registration::new("shop")
        }
    }

    fn web() -> Registration {
        Registration {
            grants: vec![Grant::AuthorizationCode],
            sign_on: SignOn {
                redirect_uris: vec!["https://shop.example/cb".to_owned()],
                ..SignOn::default()
            },
            ..Registration::new("shop")
        }
    }

    fn refused_of(
        mut registration: Registration,
        change: impl FnOnce(&mut Registration),
    ) -> Vec<Cow<'static, str>> {
        change(&mut registration);
        let wrong = registration.check(&Issuer::default()).err();
        wrong
            .unwrap_or_default()
            .into_iter()
            .map(|e| e.part)
            .collect()
    }

    fn refused(change: impl FnOnce(&mut Registration)) -> Vec<Cow<'static, str>> {
        refused_of(registration(), change)
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn a_registration_is_checked_as_a_whole() {
        assert_eq!(refused(|_| {}), NONE);
        assert_eq!(refused(|r| r.name = String::new()), ["client_name"]);
        assert_eq!(refused(|r| r.name = "a\nb".to_owned()), ["client_name"]);
        assert_eq!(
            refused(|r| r.name = "a\u{202e}b".to_owned()),
            ["client_name"]
        );
        assert_eq!(refused(|r| r.grants.clear()), ["grant_types"]);
        assert_eq!(
            refused(|r| r.password_grant_until = Some(OffsetDateTime::UNIX_EPOCH)),
            ["password_grant_until"]
        );
        assert_eq!(
            refused(|r| r.access_token_lifetime = Some(Span::seconds(59))),
            ["access_token_lifetime"]
        );
        let two = refused(|r| {
            r.name = String::new();
            r.sign_on.refresh_token_lifetime = Some(Span::days(401));
        });
        assert_eq!(two, ["client_name", "refresh_token_lifetime"]);
    }

    #[test]
    fn machine_grants_are_for_confidential_clients() {
        // S-27, S-28
        for grant in [Grant::ClientCredentials, Grant::Password] {
            let public = |r: &mut Registration| {
                r.auth_method = AuthMethod::None;
                r.grants = vec![grant];
            };
            assert_eq!(refused(public), ["token_endpoint_auth_method"]);
        }
    }

    #[test]
    fn a_code_needs_somewhere_to_go_and_a_public_client_pkce() {
        assert_eq!(refused_of(web(), |_| {}), NONE);
        assert_eq!(
            refused_of(web(), |r| r.sign_on.redirect_uris.clear()),
            ["redirect_uris"]
        );
        assert_eq!(
            refused(|r| r.sign_on.redirect_uris = web().sign_on.redirect_uris),
            ["redirect_uris"]
        );
        assert_eq!(refused_of(web(), |r| r.sign_on.require_pkce = false), NONE);
        let public = |r: &mut Registration| {
            r.auth_method = AuthMethod::None;
            r.sign_on.require_pkce = false;
        };
        assert_eq!(refused_of(web(), public), ["require_pkce"]);
        assert_eq!(
            refused(|r| r.grants.push(Grant::RefreshToken)),
            ["grant_types"]
        );
        assert_eq!(
            refused_of(web(), |r| r.sign_on.response_modes.clear()),
            ["response_modes"]
        );
        let app = |r: &mut Registration| {
            r.sign_on.redirect_uris = vec!["com.example.shop:/cb".to_owned()];
        };
        assert_eq!(refused_of(web(), app), ["redirect_uris"]);
        let native = |r: &mut Registration| {
            app(r);
            r.sign_on.application_type = ApplicationType::Native;
        };
        assert_eq!(refused_of(web(), native), NONE);
    }

    #[test]
    fn a_login_is_begun_elsewhere_by_https_alone() {
        let begun_at = |uri: &str| {
            refused_of(web(), |r| {
                r.sign_on.initiate_login_uri = Some(uri.to_owned());
            })
        };
        assert_eq!(begun_at("https://shop.example/begin"), NONE);
        for bad in ["http://localhost:9000/begin", "https://a@b/", "begin"] {
            assert_eq!(begun_at(bad), ["initiate_login_uri"], "{bad}");
        }
    }

    #[test]
    fn an_assertion_needs_an_algorithm_and_a_key_for_it() {
        // S-38
        let key = Value::Object(PrivateKey::generate(Alg::Es256, 2048).unwrap().public());
        let keys = || {
            KeySet::read(json!({ "keys": [key] }))
                .ok()
                .map(KeySource::ByValue)
        };
        let asserts = |alg, keys| {
            refused(move |r| {
                r.auth_method = AuthMethod::PrivateKeyJwt;
                r.assertion_alg = alg;
                r.keys = keys;
            })
        };
        assert_eq!(asserts(Some(Alg::Es256), keys()), NONE);
        assert_eq!(asserts(Some(Alg::EdDsa), keys()), ["jwks"]);
        assert_eq!(asserts(Some(Alg::Es256), None), ["jwks"]);
        assert_eq!(asserts(None, keys()), ["token_endpoint_auth_signing_alg"]);
        assert_eq!(
            refused(|r| r.assertion_alg = Some(Alg::Es256)),
            ["token_endpoint_auth_signing_alg"]
        );
        let by_uri = |uri: &str| asserts(Some(Alg::Es256), Some(KeySource::ByUri(uri.to_owned())));
        assert_eq!(by_uri("https://shop.example/jwks.json"), NONE);
        for bad in [
            "http://shop.example/jwks",
            "file:///jwks",
            "jwks",
            "https://a@b/",
        ] {
            assert_eq!(by_uri(bad), ["jwks_uri"], "{bad}");
        }
    }

    #[test]
    fn what_people_are_told_is_a_link_of_the_web() {
        // S-163
        for bad in [
            "javascript:alert(1)",
            "data:image/png;base64,AA",
            "http://shop.example/logo",
        ] {
            assert_eq!(
                refused(|r| r.about.logo_uri = Some(bad.to_owned())),
                ["logo_uri"]
            );
            assert_eq!(
                refused(|r| r.about.policy_uri = Some(bad.to_owned())),
                ["policy_uri"]
            );
            assert_eq!(
                refused(|r| r.about.tos_uri = Some(bad.to_owned())),
                ["tos_uri"]
            );
        }
        assert_eq!(
            refused(|r| r.about.contacts = vec!["a\r\nb".to_owned()]),
            ["contacts"]
        );
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
                ["audiences"],
                "{bad}"
            );
            assert_eq!(
                refused(|r| r.serves = Some(bad.to_owned())),
                ["serves"],
                "{bad}"
            );
        }
        assert_eq!(
            refused(|r| r.audiences = vec!["urn:example:billing".to_owned()]),
            NONE
        );
    }
}
