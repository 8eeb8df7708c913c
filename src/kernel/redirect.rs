//! Whether a request may name a redirect URI: byte by byte as it was registered (RFC 9700 §2.1), but for the port of a native
//! application on the loopback address, which it learns only when it runs (RFC 8252 §7.3). Nothing is parsed, decoded or normalised.

use url::{Host, Url};

/// What a registration leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoopbackPort {
    AsRegistered,
    /// Native applications.
    Any,
}

/// `http://127.0.0.1` and `http://[::1]`, in these spellings alone; `localhost` is a name that anybody may point elsewhere.
const LOOPBACK: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];

/// Whether `asked` is one of the `registered` ones.
pub(crate) fn is_registered(asked: &str, registered: &[String], port: LoopbackPort) -> bool {
    registered.iter().any(|known| {
        known == asked
            || (port == LoopbackPort::Any && {
                let (known, asked) = (without_port(known), without_port(asked));
                known.is_some() && known == asked
            })
    })
}

/// A loopback URI in two parts, around its port; `None` for any other URI.
fn without_port(uri: &str) -> Option<(&str, &str)> {
    let host = LOOPBACK.into_iter().find(|host| uri.starts_with(host))?;
    let (host, rest) = uri.split_at(host.len());
    let rest = match rest.strip_prefix(':') {
        Some(rest) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let port = &rest[..digits];
            if port.starts_with('0') || port.parse::<u16>().is_err() {
                return None;
            }
            &rest[digits..]
        }
        None => rest,
    };
    (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest))
}

/// Whether a host's name is one that a page's policy has words for: letters, digits, hyphens and dots (CSP 3 §2.3.1). A URL may hold more,
/// such as the `;` that ends a policy's rule.
pub(crate) fn is_plain_host(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    !name.is_empty() && name.bytes().all(plain)
}

/// What a page's `form-action` must name so that a browser follows its form to `uri`: the origin, or the scheme where an application has
/// one of its own.
pub(crate) fn form_target(uri: &str) -> String {
    let Ok(url) = Url::parse(uri) else {
        return String::new();
    };
    match (url.scheme(), url.host()) {
        ("http" | "https", Some(Host::Ipv4(_))) => url.origin().ascii_serialization(),
        ("http" | "https", Some(Host::Domain(name))) if is_plain_host(name) => {
            url.origin().ascii_serialization()
        }
        // A policy has no words for an IPv6 address, or for a name that was registered before names had to be plain.
        (scheme, _) => format!("{scheme}:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(asked: &str, registered: &str) -> bool {
        is_registered(asked, &[registered.to_owned()], LoopbackPort::Any)
    }

    #[test]
    fn a_uri_is_compared_byte_by_byte() {
        // S-124, S-127
        let known = "https://shop.example/cb?a=%2f";
        for other in [
            "https://shop.example/cb?a=%2F",
            "https://shop.example/cb",
            "https://shop.example/cb?a=%2f&b=1",
            "https://shop.example/CB?a=%2f",
            "https://SHOP.example/cb?a=%2f",
            "https://shop.example:443/cb?a=%2f",
            "https://shop.example/./cb?a=%2f",
            "https://shop.example/cb/?a=%2f",
            "https://shop.example/cb;x?a=%2f",
            "https://shop.example/cb?a=%2f#x",
            " https://shop.example/cb?a=%2f",
            "http://shop.example/cb?a=%2f",
            "",
        ] {
            assert!(!native(other, known), "{other}");
        }
        assert!(native(known, known));
    }

    #[test]
    fn a_native_application_brings_its_own_port() {
        // S-124, S-126
        for (asked, known) in [
            ("http://127.0.0.1:49152/cb", "http://127.0.0.1/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:8000/cb"),
            ("http://[::1]:1/cb?x=1", "http://[::1]/cb?x=1"),
            ("http://127.0.0.1:65535", "http://127.0.0.1"),
        ] {
            assert!(native(asked, known), "{asked}");
            let web = is_registered(asked, &[known.to_owned()], LoopbackPort::AsRegistered);
            assert!(!web, "{asked}: a web application says its port");
        }
        for (asked, known) in [
            ("http://localhost:1/cb", "http://localhost/cb"),
            ("http://localhost/cb", "http://127.0.0.1/cb"),
            ("http://[::1]/cb", "http://127.0.0.1/cb"),
            ("http://127.0.0.1:1/cb", "https://127.0.0.1/cb"),
            ("https://127.0.0.1:1/cb", "https://127.0.0.1/cb"),
            ("http://127.0.0.1:1/CB", "http://127.0.0.1/cb"),
            ("http://127.0.0.1:1/cb?x", "http://127.0.0.1/cb"),
            ("http://127.0.0.1.evil.example/cb", "http://127.0.0.1/cb"),
            ("http://127.0.0.1:1@evil.example/cb", "http://127.0.0.1/cb"),
            ("http://127.0.0.1@evil.example/cb", "http://127.0.0.1/cb"),
            ("http://127.0.0.1:/cb", "http://127.0.0.1/cb"),
            ("http://127.0.0.1:0/cb", "http://127.0.0.1/cb"),
            ("http://127.0.0.1:065/cb", "http://127.0.0.1/cb"),
            ("http://127.0.0.1:65536/cb", "http://127.0.0.1/cb"),
            ("http://127.0.0.1:+1/cb", "http://127.0.0.1/cb"),
            ("http://127.0.0.2/cb", "http://127.0.0.1/cb"),
        ] {
            assert!(!native(asked, known), "{asked} {known}");
        }
    }

    #[test]
    fn a_policy_says_what_it_is_to_say_and_no_more() {
        // S-85
        for (uri, target) in [
            ("https://shop.example/cb?a=b", "https://shop.example"),
            ("https://shop.example:8443/cb", "https://shop.example:8443"),
            ("http://127.0.0.1:3000/cb", "http://127.0.0.1:3000"),
            ("http://[::1]:3000/cb", "http:"),
            ("com.example.shop:/cb", "com.example.shop:"),
            ("https://a;script-src.example/cb", "https:"),
            ("https://a,b.example/cb", "https:"),
            ("https://'self'/cb", "https:"),
            ("https://a_b.example/cb", "https:"),
            ("nonsense", ""),
        ] {
            assert_eq!(form_target(uri), target, "{uri}");
        }
    }

    proptest::proptest! {
        /// S-129: whatever is taken is registered, once the loopback port is gone.
        #[test]
        fn what_is_taken_is_registered(
            known in "http://(127\\.0\\.0\\.1|\\[::1\\]|localhost)(:[0-9]{1,5})?(/[a-c]{0,2})?(\\?x)?",
            asked in "http://(127\\.0\\.0\\.1|\\[::1\\]|localhost)(:[0-9]{0,6})?[@/:?.]{0,2}([a-c]{0,2})?(\\?x)?",
        ) {
            for asked in [&asked, &known] {
                if native(asked, &known) {
                    let bare = |uri: &str| {
                        let (head, rest) = uri.split_at("http://".len());
                        let host = rest.find(']').map_or(0, |at| at + 1);
                        let colon = rest[host..].find(':').map(|at| host + at);
                        let path = rest.find(['/', '?']).unwrap_or(rest.len());
                        let end = colon.filter(|at| *at < path).unwrap_or(path);
                        format!("{head}{}{}", &rest[..end], &rest[path..])
                    };
                    assert!(asked == &known || (bare(asked) == bare(&known) && !asked.contains("localhost")));
                }
            }
        }
    }
}
