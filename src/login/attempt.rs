//! The cookie that binds a login attempt, and the authorization request that it answers, to the browser that began it (checklist 74, 82).
//! It is not a session: it lets nobody in.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

use crate::config::Issuer;
use crate::kernel::{Fault, Secret, random};
use crate::sessions;

/// The cookie as the browser sends it.
pub(crate) fn present(headers: &HeaderMap, issuer: &Issuer) -> Option<Secret<String>> {
    let name = sessions::cookie_name("doorward-login", issuer);
    let cookies = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'));
    let value = cookies
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(n, _)| *n == name)?
        .1;
    let plausible = value.len() == 43
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    plausible.then(|| Secret::new(value.to_owned()))
}

/// The cookie, and whether it is one that the browser does not have yet. A planted one does no harm: it binds an attempt to whoever has it,
/// and signs in nobody.
pub(crate) fn present_or_fresh(headers: &HeaderMap, issuer: &Issuer) -> (Secret<String>, bool) {
    match present(headers, issuer) {
        Some(attempt) => (attempt, false),
        None => (random::token(), true),
    }
}

/// The header that sets it.
pub(crate) fn cookie(value: &Secret<String>, issuer: &Issuer) -> Result<HeaderValue, Fault> {
    let secure = if issuer.is_https() { "; Secure" } else { "" };
    let cookie = format!(
        "{}={}; Path=/; HttpOnly; SameSite=Lax{secure}",
        sessions::cookie_name("doorward-login", issuer),
        value.expose()
    );
    let mut cookie =
        HeaderValue::try_from(cookie).map_err(|e| Fault::internal("setting a cookie", e))?;
    cookie.set_sensitive(true);
    Ok(cookie)
}

/// For the fuzzer.
#[cfg(test)]
pub(crate) fn fuzzed(headers: &HeaderMap) {
    present(headers, &Issuer::default());
}
