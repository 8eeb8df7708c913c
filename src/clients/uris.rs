//! What a URI of a registration may hold (RFC 9700 §2.1, RFC 8252 §7). Which of them a request may name is another question
//! (kernel/redirect.rs).

use url::{Host, Url};

use super::ApplicationType;
use crate::kernel::redirect::is_plain_host;

/// Bytes of a URI.
const LONGEST: usize = 2000;

/// Names of an answer's own parameters: one that is registered would be read in its place (checklist 128).
const OF_ANSWERS: [&str; 10] = [
    "code",
    "state",
    "iss",
    "error",
    "error_description",
    "error_uri",
    "id_token",
    "access_token",
    "session_state",
    "response",
];

/// What [`is_redirect_uri`] takes, for people.
pub(super) const REDIRECT_URI: &str = "an https URI, http on 127.0.0.1, [::1] or localhost, or for a native application a scheme with a dot in it; spelled plainly, \
     the host of letters, digits, hyphens and dots, without fragment, user, wildcard, `..`, encoded slash or dot, or an answer's own parameters";

/// What [`is_web_uri`] takes, for people.
pub(super) const WEB_URI: &str = "an https URI (http on loopback hosts only), spelled plainly, the host of letters, digits, hyphens and dots, without fragment or user";

pub(super) const HTTPS_URI: &str = "an https URI, spelled plainly, the host of letters, digits, hyphens and dots, without fragment or user";

/// Where a login may be begun by somebody else: https alone (OpenID Connect Core §4).
pub(super) fn is_https_uri(uri: &str) -> bool {
    uri.starts_with("https://") && is_web_uri(uri)
}

/// A URI that a browser may be sent to with an answer (checklist 125, 128, E21).
pub(super) fn is_redirect_uri(uri: &str, application: ApplicationType) -> bool {
    let plain = !uri.contains('*') && !uri.contains("..") && !hides_structure(uri);
    plain && (is_web_uri(uri) || is_app_uri(uri, application)) && !answers_itself(uri)
}

/// A URI of the web as it stands in a registration: https, or http on a loopback host.
pub(super) fn is_web_uri(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return false;
    };
    let Some(url) = parse(uri) else {
        return false;
    };
    let Some(host) = url.host() else {
        return false;
    };
    let secure = match scheme {
        "https" => true,
        "http" => is_loopback(&host),
        _ => false,
    };
    // One spelling of the host: what a browser would make of another (127.1, %61.example) is not for us to guess.
    let authority = rest.split(['/', '?']).next().unwrap_or("");
    let port = authority
        .rsplit_once(':')
        .map(|(_, port)| port)
        .filter(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let named = match port {
        Some(port) => &authority[..authority.len() - port.len() - 1],
        None => authority,
    };
    secure && has_a_plain_name(&host) && named.eq_ignore_ascii_case(&host.to_string())
}

/// A name, or an address that a page's policy can name; and this machine, where a native application waits.
fn has_a_plain_name(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => is_plain_host(name),
        Host::Ipv4(_) => true,
        Host::Ipv6(ip) => *ip == std::net::Ipv6Addr::LOCALHOST,
    }
}

/// What [`is_origin`] takes, for people.
pub(super) const ORIGIN: &str = "origins as browsers write them, https (http on loopback hosts only), without a slash at the end";

/// An origin as browsers write it (RFC 6454 §6.1): lower case, without the scheme's own port, without a path.
pub(super) fn is_origin(text: &str) -> bool {
    let url = parse(text).filter(|_| is_web_uri(text));
    url.is_some_and(|url| url.origin().ascii_serialization() == text)
}

/// An application's own scheme: a domain the other way round, so that it has a dot (RFC 8252 §7.1, E21).
fn is_app_uri(uri: &str, application: ApplicationType) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else {
        return false;
    };
    let labels = scheme.split('.').all(|label| {
        label.starts_with(|c: char| c.is_ascii_lowercase())
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    });
    application == ApplicationType::Native
        && scheme.contains('.')
        && labels
        && rest.starts_with('/')
        && !rest.contains('@')
        && parse(uri).is_some()
}

/// Printable ASCII without what a parser would bend, read as a URL without fragment and user.
fn parse(uri: &str) -> Option<Url> {
    let plain = uri.len() <= LONGEST
        && uri.bytes().all(|b| b.is_ascii_graphic())
        && !uri.contains(['\\', '#', '"', '<', '>', '`', '{', '}', '|', '^']);
    let url = plain.then(|| Url::parse(uri).ok()).flatten()?;
    let nobody = url.username().is_empty() && url.password().is_none();
    nobody.then_some(url)
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(ip) => *ip == std::net::Ipv4Addr::LOCALHOST,
        Host::Ipv6(ip) => *ip == std::net::Ipv6Addr::LOCALHOST,
    }
}

/// Slash, backslash, dot, percent or a control character in percent-encoding: read differently by whoever decodes first.
fn hides_structure(uri: &str) -> bool {
    uri.match_indices('%').any(|(at, _)| {
        let encoded = uri.get(at + 1..at + 3);
        let byte = encoded.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        byte.is_none_or(|b| matches!(b, b'/' | b'\\' | b'.' | b'%') || b.is_ascii_control())
    })
}

fn answers_itself(uri: &str) -> bool {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes()).any(|(name, _)| OF_ANSWERS.contains(&name.as_ref()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_redirect_uri_has_one_reading() {
        // S-125
        for good in [
            "https://shop.example/cb",
            "https://shop.example",
            "https://shop.example:8443/a/b;c?tenant=1",
            "https://Shop.example/CB",
            "http://localhost:3000/cb",
            "http://127.0.0.1/cb",
            "http://[::1]:9/cb",
            "https://192.0.2.1/cb",
            "https://shop.example/a%20b",
        ] {
            assert!(is_redirect_uri(good, ApplicationType::Web), "{good}");
        }
        for bad in [
            "",
            "/cb",
            "shop.example/cb",
            "//shop.example/cb",
            "http://shop.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://localhost.evil.example/cb",
            "http://127.0.0.2/cb",
            "http://127.1/cb",
            "http://2130706433/cb",
            "http://[::ffff:127.0.0.1]/cb",
            "HTTPS://shop.example/cb",
            "https:shop.example/cb",
            "https:/shop.example/cb",
            "https:///cb",
            "https://shop.example/cb#",
            "https://shop.example/cb#part",
            "https://user@shop.example/cb",
            "https://user:pass@shop.example/cb",
            "https://@shop.example/cb",
            "https://:@shop.example/cb",
            "https://*.shop.example/cb",
            "https://shop.example/*",
            "https://shop.example/a/../b",
            "https://shop.example/..",
            "https://shop.example/a%2fb",
            "https://shop.example/a%2Fb",
            "https://shop.example/%2e%2E/b",
            "https://shop.example/a%5cb",
            "https://shop.example/a%252fb",
            "https://shop.example/a%0d%0ab",
            "https://shop.example/a%00",
            "https://shop.example/a%zz",
            "https://shop.example/a%",
            "https://shop.example\\@evil.example/cb",
            "https://shop.example/a\\b",
            "https://shop.example/a b",
            "https://shop.example/a\tb",
            "https://shop.example/a\r\nb",
            "https://shöp.example/cb",
            "https://shop.example/ö",
            "https://sh%6fp.example/cb",
            "https://shop.example:/cb:x@evil.example",
            "https://shop;script-src.example/cb",
            "https://shop,evil.example/cb",
            "https://shop'.example/cb",
            "https://shop_.example/cb",
            "https://shop!$&()+=~.example/cb",
            "https://[2001:db8::1]/cb",
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "javascript://shop.example/%0aalert(1)",
            "data:text/html,x",
            "DATA:text/html,x",
            "file:///etc/passwd",
            "blob:https://shop.example/x",
            "vbscript:x",
            "about:blank",
            "ftp://shop.example/cb",
        ] {
            for application in [ApplicationType::Web, ApplicationType::Native] {
                assert!(!is_redirect_uri(bad, application), "{bad}");
            }
        }
        let long = format!("https://shop.example/{}", "a".repeat(LONGEST));
        assert!(!is_redirect_uri(&long, ApplicationType::Web));
    }

    #[test]
    fn an_origin_is_what_browsers_send() {
        // S-87
        for good in [
            "https://shop.example",
            "https://shop.example:8443",
            "http://localhost:3000",
            "http://127.0.0.1:3000",
            "http://[::1]:3000",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "null",
            "https://shop.example/",
            "https://shop.example/app",
            "https://shop.example?",
            "https://shop.example:443",
            "https://Shop.example",
            "https://*.shop.example",
            "http://shop.example",
            "https://user@shop.example",
            "shop.example",
            "file://",
            "com.example.shop://",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }

    #[test]
    fn an_answers_own_parameters_are_not_registered() {
        // S-128
        for name in OF_ANSWERS {
            for uri in [
                format!("https://shop.example/cb?{name}=x"),
                format!("https://shop.example/cb?a=b&{name}"),
                format!("com.example.shop:/cb?{name}=x"),
            ] {
                assert!(!is_redirect_uri(&uri, ApplicationType::Native), "{uri}");
            }
        }
        let hidden = "https://shop.example/cb?%63ode=x";
        assert!(!is_redirect_uri(hidden, ApplicationType::Web));
        let other = "https://shop.example/cb?codename=x";
        assert!(is_redirect_uri(other, ApplicationType::Web));
    }

    #[test]
    fn an_applications_own_scheme_is_a_domain_of_a_native_one() {
        // S-E21
        for good in ["com.example.shop:/cb", "com.example.shop://cb/a?b=c"] {
            assert!(is_redirect_uri(good, ApplicationType::Native), "{good}");
            assert!(!is_redirect_uri(good, ApplicationType::Web), "{good}");
        }
        for bad in [
            "shop:/cb",
            "shop://cb",
            "com.example.shop:cb",
            "com.example.shop:",
            "Com.example.shop:/cb",
            ".example:/cb",
            "com..shop:/cb",
            "com.example.shop:/cb#a",
            "com.example.shop://user@cb",
            "com.example.shop:/a/../b",
        ] {
            assert!(!is_redirect_uri(bad, ApplicationType::Native), "{bad}");
        }
        // A native application may use what the web uses as well (RFC 8252 §7.2, §7.3).
        for good in ["https://shop.example/cb", "http://127.0.0.1/cb"] {
            assert!(is_redirect_uri(good, ApplicationType::Native), "{good}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_has_one_reading(
            scheme in "https|http|com\\.example\\.shop|HTTPS|javascript|shop",
            colon in ":|:/|://|:///",
            rest in "(localhost|127\\.0\\.0\\.1|shop\\.example|\\[::1\\])?[a-zA-Z0-9.@:%/?#*\\\\ =&;,'_-]{0,24}",
        ) {
            // S-125, S-128, S-129: what matching compares byte by byte is what a browser goes to.
            let uri = format!("{scheme}{colon}{rest}");
            if is_redirect_uri(&uri, ApplicationType::Native) {
                let url = Url::parse(&uri).unwrap();
                prop_assert!(url.fragment().is_none() && url.username().is_empty() && url.password().is_none());
                prop_assert!(uri.starts_with(&format!("{}:/", url.scheme())), "{}", uri);
                prop_assert!(url.path() == "/" || uri.contains(url.path()), "{}", uri);
                let web = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url.host().unwrap()));
                prop_assert!(web || url.scheme().contains('.'), "{}", uri);
                if web {
                    // S-85: what pages of the flow say where their forms may lead.
                    let host = url.host_str().unwrap();
                    prop_assert!(host == "[::1]" || host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)), "{}", uri);
                }
                prop_assert!(url.query_pairs().all(|(name, _)| !OF_ANSWERS.contains(&name.as_ref())));
                prop_assert!(!uri.contains(['*', '\\', ' ', '#']), "{}", uri);
            }
        }
    }
}
