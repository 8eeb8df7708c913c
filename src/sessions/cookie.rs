//! The session cookie: `__Host-` and `Secure` exactly when the issuer is https (checklist 72).

use tower_sessions::cookie::SameSite;
use tower_sessions::{Expiry, SessionManagerLayer};

use super::SessionTable;
use crate::app::App;
use crate::config::Issuer;

/// The layer of all browser routes. How long a session lives, the table decides; the cookie goes with the browser.
pub(crate) fn layer(app: &App) -> SessionManagerLayer<SessionTable> {
    let table = SessionTable {
        pool: app.pool.clone(),
        clock: app.clock.clone(),
        settings: app.config.sessions.clone(),
    };
    SessionManagerLayer::new(table)
        .with_name(name("doorward", &app.config.issuer))
        .with_secure(app.config.issuer.is_https())
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_path("/")
        .with_expiry(Expiry::OnSessionEnd)
}

/// A cookie's name under this issuer.
pub(crate) fn name(plain: &str, issuer: &Issuer) -> String {
    if issuer.is_https() {
        format!("__Host-{plain}")
    } else {
        plain.to_owned()
    }
}
