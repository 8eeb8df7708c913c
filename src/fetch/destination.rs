//! A URL that Doorward may be sent to, as somebody typed it.

use std::fmt;
use std::str::FromStr;

use axum::http::Uri;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::{Host, Url};

use super::FetchError;

/// Characters of a URL at most.
const LONGEST: usize = 2_048;

/// An absolute http or https URL in its plainest spelling: no user, no fragment, and a host that reads the same to every parser.
/// Whether its address is permitted is asked at each connection, not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    url: Url,
    uri: Uri,
}

impl Destination {
    pub(crate) fn as_str(&self) -> &str {
        self.url.as_str()
    }

    pub(super) fn uri(&self) -> Uri {
        self.uri.clone()
    }

    pub(super) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    pub(super) fn host(&self) -> Option<Host<&str>> {
        self.url.host()
    }

    pub(super) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(443)
    }

    /// Scheme, host and port: who is spoken to.
    pub(crate) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

impl FromStr for Destination {
    type Err = FetchError;

    /// Refuses what two parsers might read in two ways: decimal, octal, hexadecimal or shortened IPv4, IPv6 in full, users, backslashes,
    /// names with a trailing dot or outside ASCII (an international name is given as `xn--…`).
    fn from_str(text: &str) -> Result<Self, FetchError> {
        let refuse = |why| Err(FetchError::Url(why));
        if text.len() > LONGEST {
            return refuse("at most 2,048 characters");
        }
        if text.bytes().any(|b| !b.is_ascii_graphic() || b == b'\\') {
            return refuse("without blanks, backslashes and characters outside ASCII");
        }
        let Ok(url) = Url::parse(text) else {
            return refuse("an absolute URL");
        };
        if !matches!(url.scheme(), "https" | "http") {
            return refuse("an https URL");
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return refuse("without user and fragment");
        }
        let Some(host) = url.host_str() else {
            return refuse("an absolute URL");
        };
        if host.ends_with('.') || host.contains('%') {
            return refuse("a host without trailing dot");
        }
        if url.port() == Some(0) {
            return refuse("a port from 1 to 65535");
        }
        // What the parser made of the host must be what stands there.
        let plain = format!("{}://{host}", url.scheme());
        let head = text.split_at_checked(plain.len());
        let is_plain = head.is_some_and(|(head, rest)| {
            head.eq_ignore_ascii_case(&plain)
                && (rest.is_empty() || rest.starts_with([':', '/', '?']))
        });
        if !is_plain {
            return refuse("a host in its plainest spelling");
        }
        match url.as_str().parse() {
            Ok(uri) => Ok(Self { url, uri }),
            Err(_) => refuse("an absolute URL"),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Destination {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Destination {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_spelling() {
        // S-159
        for bad in [
            "",
            "https://",
            "hooks.example/path",
            "//hooks.example/path",
            "/path",
            "ftp://hooks.example/",
            "file:///etc/passwd",
            "gopher://hooks.example/",
            "javascript:alert(1)",
            "data:text/plain,x",
            "https:hooks.example/",
            "https:/hooks.example/",
            "https:///hooks.example/",
            "https:\\\\hooks.example\\",
            "https://hooks.example\\@127.0.0.1/",
            "https://user@hooks.example/",
            "https://user:pass@hooks.example/",
            "https://hooks.example@127.0.0.1/",
            "https://:@hooks.example/",
            "https://@hooks.example/",
            "https://hooks.example/#fragment",
            "https://hooks.example./",
            "https://127.0.0.1./",
            "https://hooks.example:0/",
            "https://hooks.example:99999/",
            "https://hooks.example:x/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.0.0.1/",
            "https://0177.0.0.1/",
            "https://017700000001/",
            "https://127.1/",
            "https://127.0.1/",
            "https://0/",
            "https://127.0.0.1%00.hooks.example/",
            "https://127.0.0.01/",
            "https://1.1.1.256/",
            "https://%31%32%37.0.0.1/",
            "https://127%2e0.0.1/",
            "https://①②⑦.⓪.⓪.①/",
            "https://127。0。0。1/",
            "https://hooks。example/",
            "https://bücher.example/",
            "https://[0:0:0:0:0:0:0:1]/",
            "https://[::127.0.0.1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::1%25lo]/",
            "https://[::1/",
            "https://::1/",
            "https://hooks.example /",
            " https://hooks.example/",
            "https://hooks.example/\r\nHost: inside",
            "https://ho\toks.example/",
            "https://hooks.example/\u{202e}",
        ] {
            assert!(bad.parse::<Destination>().is_err(), "{bad:?}");
        }
        let long = format!("https://hooks.example/{}", "a".repeat(LONGEST));
        assert!(long.parse::<Destination>().is_err());
        for good in [
            "https://hooks.example",
            "https://hooks.example/in?tenant=1&x=%7B",
            "HTTPS://Hooks.Example/in",
            "https://hooks.example:8443/in",
            "https://hooks.example:443/in",
            "https://xn--bcher-kva.example/in",
            "https://192.0.2.1/in",
            "https://[2001:db8::1]:8443/in",
            "http://localhost:4000/in",
        ] {
            assert!(good.parse::<Destination>().is_ok(), "{good:?}");
        }
        let one: Destination = "https://hooks.example:443/in".parse().unwrap();
        assert_eq!((one.port(), one.is_https()), (443, true));
        assert_eq!(one.origin(), "https://hooks.example");
    }
}
