//! What strangers send, made up: each reader gets mutations of good input for a bounded time, from a seed, and must neither panic nor take
//! what it would not write. `DOORWARD_FUZZ_SECONDS` and `DOORWARD_FUZZ_SEED` go further than `make test` does.

use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::client_auth::fuzzed_assertion;
use crate::db::Cursors;
use crate::http::{Form, fuzzed};
use crate::jose::{Alg, Expected, PrivateKey, Typ, Verifier, verify};
use crate::kernel::seal::SealingKeys;
use crate::kernel::{ScopeSet, Secret, json};

/// SplitMix64: a seed is a run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap_or(0)
    }

    /// One of the seeds, with some bytes changed, cut, doubled, or taken from another seed.
    fn mutate(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        const ODD: [&[u8]; 16] = [
            b"",
            b"%",
            b"%zz",
            b"%00",
            b"=",
            b"&",
            b"==",
            b".",
            b"..",
            b"\0",
            b"\r\n",
            b"\"",
            b"\\u0000",
            b"\xff\xfe",
            b"[[[[[[[[",
            b"18446744073709551616",
        ];
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 => bytes.truncate(at),
                2 => {
                    let piece = ODD[self.below(ODD.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
                3 => {
                    let end = (at + self.below(16)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
                4 => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len() + 1);
                    bytes.splice(at.., other[from..].iter().copied());
                }
                _ => bytes.insert(at, self.next().to_le_bytes()[0]),
            }
        }
        bytes
    }
}

/// Feeds `target` for as long as is allowed; gives how often.
fn fuzz(seeds: &[&[u8]], mut target: impl FnMut(&[u8])) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's own knobs, and its stopwatch"
    )]
    let (seconds, seed, began) = (
        std::env::var("DOORWARD_FUZZ_SECONDS"),
        std::env::var("DOORWARD_FUZZ_SEED"),
        Instant::now(),
    );
    let number = |text: Result<String, _>, default| {
        text.ok().and_then(|t| t.parse().ok()).unwrap_or(default)
    };
    let seconds = Duration::from_millis(number(seconds, 1) * 1000);
    let mut chance = Chance(number(seed, 77));
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|s| s.to_vec()).collect();
    for seed in &seeds {
        target(seed);
    }
    let mut runs = 0_u64;
    while runs < 1000 || began.elapsed() < seconds {
        target(&chance.mutate(&seeds));
        runs += 1;
    }
}

#[test]
fn forms() {
    fuzz(
        &[
            b"grant_type=client_credentials&scope=a+b&resource=https%3A%2F%2Fa.example",
            b"grant_type=password&username=ada%40example.com&password=%F0%9F%9A%AA+x",
            b"a=&a&&=b",
        ],
        |bytes| {
            if let Ok(mut form) = Form::parse(bytes, &["resource"]) {
                let _ = form.take("password");
                let _ = form
                    .take_text("scope")
                    .map(|s| ScopeSet::parse(&s).map(|s| s.to_string()));
            }
        },
    );
}

#[test]
fn basic_credentials() {
    fuzz(
        &[
            b"Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3",
            b"bAsIc YTpi",
            b"Basic YSUzQWI6Yw==",
        ],
        |bytes| {
            if let Ok(text) = std::str::from_utf8(bytes) {
                let _ = crate::client_auth::fuzzed_basic(text);
            }
        },
    );
}

#[test]
fn tokens() {
    let key = PrivateKey::generate(Alg::EdDsa, 2048).unwrap();
    let public = key.public();
    let kid = public["kid"].as_str().unwrap().to_owned();
    let verifier = Verifier::from_public(Alg::EdDsa, &public).unwrap();
    let claims = serde_json::json!({ "iss": "https://i", "aud": "https://a", "exp": 4_000_000_000_i64, "sub": "x" });
    let good = key
        .signer(&kid)
        .unwrap()
        .sign(Typ::AccessToken, &claims)
        .unwrap();
    let expected = Expected {
        typ: Typ::AccessToken,
        issuer: "https://i",
        audience: Some("https://a"),
        now: time::OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap(),
    };
    let none = good.replacen(good.split('.').next().unwrap(), "eyJhbGciOiJub25lIn0", 1);
    fuzz(
        &[good.as_bytes(), none.as_bytes(), b"a.b.c", b"..."],
        |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else {
                return;
            };
            if verify(text, &expected, |k| (k == kid).then_some(&verifier)).is_ok() {
                assert_eq!(text, good, "only what was signed is taken");
            }
        },
    );
}

#[test]
fn cursors() {
    let cursors = Cursors::new(&SealingKeys::new(vec![Secret::new([7; 32])]).unwrap());
    let good = cursors.encode("list", &("ada", 7));
    fuzz(&[good.as_bytes(), b"AAAA", b""], |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        if cursors.decode::<(String, i64)>("list", text).is_ok() {
            assert_eq!(text, good, "only what was made is taken");
        }
    });
}

#[test]
fn cookies_and_headers() {
    fuzz(
        &[
            b"doorward-login=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA; doorward=x",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            b"\"1\", W/\"2\", *",
            b"192.0.2.1, 10.0.0.1",
        ],
        |bytes| {
            let Ok(value) = HeaderValue::from_bytes(bytes) else {
                return;
            };
            let mut headers = HeaderMap::new();
            for name in [
                header::COOKIE,
                header::IF_NONE_MATCH,
                header::IF_MATCH,
                header::FORWARDED,
            ] {
                headers.insert(name, value.clone());
            }
            headers.insert("x-forwarded-for", value.clone());
            headers.insert("traceparent", value);
            crate::login::attempt::fuzzed(&headers);
            fuzzed(&headers);
        },
    );
}

#[test]
fn json_documents() {
    fuzz(
        &[
            br#"{"email":"ada@example.com","address":{"country":"UK"},"admin":false}"#,
            br#"{"a":[1,-2.5e3,null,true,"\ud83d\udeaa \n"],"a":1}"#,
            b"9007199254740993",
        ],
        |bytes| {
            if let Ok(value) = json::parse(bytes) {
                assert!(
                    json::parse(value.to_string().as_bytes()).is_ok(),
                    "what was read is read again"
                );
            }
        },
    );
}

#[test]
fn assertions() {
    let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let header = part(r#"{"alg":"ES256","kid":"a","typ":"JWT"}"#);
    let claims = part(
        r#"{"iss":"c_a","sub":"c_a","aud":"https://i","exp":1800000060,"iat":1800000000,"jti":"x"}"#,
    );
    let others = part(r#"{"iss":"c_b","sub":"c_a","aud":["https://i"],"exp":1e9}"#);
    let now = time::OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
    let good = format!("{header}.{claims}.AAAA");
    assert!(fuzzed_assertion(&good, now));
    fuzz(
        &[
            good.as_bytes(),
            format!("{header}.{others}.").as_bytes(),
            b"..",
        ],
        |bytes| {
            let _ = fuzzed_assertion(&String::from_utf8_lossy(bytes), now);
        },
    );
}
