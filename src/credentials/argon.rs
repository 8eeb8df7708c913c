//! Argon2id itself, and the PHC strings that its hashes are kept as.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;

use crate::kernel::{Secret, random};

const SALT: usize = 16;
pub(super) const OUTPUT: usize = 32;

/// What a thread hashes in, kept from one hash to the next.
pub(super) type Memory = Vec<Block>;

/// A password in the form that is hashed: NFC, everything else as typed (NIST SP 800-63B-4 §3.1.1.2).
pub(super) fn normal(password: &Secret<String>) -> Secret<String> {
    Secret::new(password.expose().nfc().collect())
}

/// Hashes a password in its normal form, with a fresh salt.
pub(super) fn hash(
    password: &Secret<String>,
    params: &Params,
    memory: &mut Memory,
) -> Option<Secret<String>> {
    let salt = random::bytes::<SALT>();
    let output = compute(password, &salt, params, OUTPUT, memory)?;
    Some(Secret::new(phc(params, &salt, output.expose())))
}

/// Whether a password in its normal form has this hash, compared in constant time; `None` where the PHC string can't be read.
pub(super) fn matches(
    password: &Secret<String>,
    phc: &Secret<String>,
    memory: &mut Memory,
) -> Option<bool> {
    let kept = parse(phc.expose())?;
    let computed = compute(
        password,
        &kept.salt,
        &kept.params,
        kept.output.len(),
        memory,
    )?;
    Some(computed.expose().ct_eq(&kept.output).into())
}

/// Whether a hash was made with these parameters.
pub(super) fn is_made_with(phc: &Secret<String>, params: &Params) -> bool {
    parse(phc.expose()).is_some_and(|kept| kept.params == *params)
}

/// A hash that no password has: its output is random.
pub(super) fn nobodys(params: &Params) -> Secret<String> {
    Secret::new(phc(
        params,
        &random::bytes::<SALT>(),
        &random::bytes::<OUTPUT>(),
    ))
}

fn compute(
    password: &Secret<String>,
    salt: &[u8],
    params: &Params,
    length: usize,
    memory: &mut Memory,
) -> Option<Secret<Vec<u8>>> {
    memory.resize(params.block_count().max(memory.len()), Block::default());
    let mut output = Secret::new(vec![0; length]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into_with_memory(
            password.expose().as_bytes(),
            salt,
            output.expose_mut(),
            memory.as_mut_slice(),
        )
        .ok()?;
    Some(output)
}

fn phc(params: &Params, salt: &[u8], output: &[u8]) -> String {
    let (m, t, p) = (params.m_cost(), params.t_cost(), params.p_cost());
    format!(
        "$argon2id$v=19$m={m},t={t},p={p}${}${}",
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(output)
    )
}

struct Kept {
    params: Params,
    salt: Vec<u8>,
    output: Vec<u8>,
}

/// Reads `$argon2id$v=19$m=…,t=…,p=…$salt$output`.
fn parse(phc: &str) -> Option<Kept> {
    let ["", "argon2id", "v=19", costs, salt, output] = phc.split('$').collect::<Vec<_>>()[..]
    else {
        return None;
    };
    let [m, t, p] = costs.split(',').collect::<Vec<_>>()[..] else {
        return None;
    };
    let cost = |text: &str, name: &str| text.strip_prefix(name)?.parse::<u32>().ok();
    let (salt, output) = (
        STANDARD_NO_PAD.decode(salt).ok()?,
        STANDARD_NO_PAD.decode(output).ok()?,
    );
    let params = Params::new(
        cost(m, "m=")?,
        cost(t, "t=")?,
        cost(p, "p=")?,
        Some(output.len()),
    )
    .ok()?;
    Some(Kept {
        params,
        salt,
        output,
    })
}
