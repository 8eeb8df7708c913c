//! Rules that a type can't say: bounds, and rules across settings.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::{Config, SettingsError};
use crate::kernel::span::Span;

/// Fails with the setting's name and what is expected of it.
pub(super) fn check(config: &Config) -> Result<(), SettingsError> {
    let Config {
        database,
        http,
        tls,
        tokens,
        keys,
        passwords,
        throttle,
        sessions,
        log,
        ..
    } = config;
    rule(
        database.max_connections >= 1,
        "database.max_connections",
        "1 or more",
    )?;
    rule(
        http.max_connections_per_address >= 1,
        "http.max_connections_per_address",
        "1 or more",
    )?;
    rule(
        http.max_connections >= 1,
        "http.max_connections",
        "1 or more",
    )?;
    rule(
        tls.certificate.is_some() == tls.key.is_some(),
        "tls.certificate and tls.key",
        "both or neither",
    )?;
    rule(
        tls.certificate.is_none() || config.issuer.is_https(),
        "issuer",
        "https where tls.certificate is set",
    )?;
    for (span, name) in [
        (database.acquire_timeout, "database.acquire_timeout"),
        (database.statement_timeout, "database.statement_timeout"),
        (http.header_timeout, "http.header_timeout"),
        (http.body_timeout, "http.body_timeout"),
        (http.handler_timeout, "http.handler_timeout"),
        (http.idle_timeout, "http.idle_timeout"),
        (passwords.max_wait, "passwords.max_wait"),
        (sessions.idle, "sessions.idle"),
        (sessions.admin_idle, "sessions.admin_idle"),
    ] {
        rule(span >= Span::seconds(1), name, "at least 1s")?;
    }
    rule(
        tokens.access_token_lifetime >= Span::minutes(1)
            && tokens.access_token_lifetime <= Span::hours(24),
        "tokens.access_token_lifetime",
        "1m to 24h",
    )?;
    rule(
        tokens.id_token_lifetime >= Span::minutes(1) && tokens.id_token_lifetime <= Span::hours(24),
        "tokens.id_token_lifetime",
        "1m to 24h",
    )?;
    rule(
        tokens.refresh_token_idle_lifetime >= Span::minutes(1)
            && tokens.refresh_token_idle_lifetime <= tokens.refresh_token_lifetime
            && tokens.refresh_token_lifetime <= Span::days(366),
        "tokens.refresh_token_idle_lifetime and tokens.refresh_token_lifetime",
        "at least 1m, idle no longer than the other, and that at most 366d",
    )?;
    rule(
        tokens.refresh_token_grace <= Span::minutes(1),
        "tokens.refresh_token_grace",
        "at most 1m",
    )?;
    rule(
        [2048, 3072, 4096].contains(&keys.rsa_bits),
        "keys.rsa_bits",
        "2048, 3072 or 4096",
    )?;
    rule(
        keys.jwks_max_age >= Span::seconds(1) && keys.jwks_max_age <= Span::hours(24),
        "keys.jwks_max_age",
        "1s to 24h",
    )?;
    rule(
        keys.lifetime >= keys.jwks_max_age,
        "keys.lifetime",
        "keys.jwks_max_age or longer",
    )?;

    // OWASP's equal rows: 19 MiB with two passes, 46 MiB with one (checklist 103).
    let enough = (passwords.memory_kib >= 19_456 && passwords.iterations >= 2)
        || (passwords.memory_kib >= 47_104 && passwords.iterations >= 1);
    rule(
        enough,
        "passwords.memory_kib and passwords.iterations",
        "at least 19456 and 2, or 47104 and 1",
    )?;
    rule(
        (1..=16).contains(&passwords.parallelism),
        "passwords.parallelism",
        "1 to 16",
    )?;
    rule(
        passwords.memory_budget_mib.saturating_mul(1024) >= passwords.memory_kib,
        "passwords.memory_budget_mib",
        "room for one hash (passwords.memory_kib) at least",
    )?;
    rule(passwords.queue >= 1, "passwords.queue", "1 or more")?;
    rule(
        (8..=64).contains(&passwords.min_length),
        "passwords.min_length",
        "8 to 64",
    )?;
    rule(
        (1..=100).contains(&throttle.max_failures) && throttle.free_failures >= 1,
        "throttle.max_failures and throttle.free_failures",
        "1 to 100, and 1 or more",
    )?;
    for (burst, per_hour, name) in [
        (
            throttle.address_burst,
            throttle.address_per_hour,
            "throttle.address_burst and throttle.address_per_hour",
        ),
        (
            throttle.pair_burst,
            throttle.pair_per_hour,
            "throttle.pair_burst and throttle.pair_per_hour",
        ),
        (
            throttle.global_burst,
            throttle.global_per_hour,
            "throttle.global_burst and throttle.global_per_hour",
        ),
    ] {
        rule(burst >= 1 && per_hour >= 1, name, "1 or more")?;
    }
    for (idle, absolute, name) in [
        (
            sessions.idle,
            sessions.absolute,
            "sessions.idle and sessions.absolute",
        ),
        (
            sessions.admin_idle,
            sessions.admin_absolute,
            "sessions.admin_idle and sessions.admin_absolute",
        ),
    ] {
        rule(
            idle <= absolute && absolute <= Span::days(30),
            name,
            "idle no longer than absolute, and absolute at most 30d",
        )?;
    }
    rule(
        sessions.max_per_user >= 1,
        "sessions.max_per_user",
        "1 or more",
    )?;
    rule(
        is_filter(&log.filter),
        "log.filter",
        "a level (error, warn, info, debug), or directives such as doorward=debug,warn",
    )
}

/// A word by itself would be taken for a target, and everything else for silenced: it must be a level.
fn is_filter(text: &str) -> bool {
    let mut words = text.split(',').filter(|part| !part.contains(['=', '[']));
    words.all(|word| word.trim().parse::<LevelFilter>().is_ok()) && EnvFilter::try_new(text).is_ok()
}

fn rule(holds: bool, setting: &str, expected: &str) -> Result<(), SettingsError> {
    if holds {
        Ok(())
    } else {
        Err(SettingsError::expected(setting, expected))
    }
}
