//! Who may make and change which client: nobody gives away, or takes over, what they do not hold (checklist 149).
//!
//! A client is worth what it may do, so the same question is asked of it as it is and as it would be, whatever is done with it:
//! made, changed, given a secret, deleted. Whoever may set a client's secret, keys or redirect URIs can act as that client.

use super::{Grant, Registration};
use crate::cx::Cx;
use crate::kernel::scope;

/// What the caller lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// One of Doorward's own scopes that the client has.
    Scope(&'static str),
    /// All of Doorward's own scopes: the client is first-party, or has the password grant.
    Operator,
}

/// Whether the actor may make this registration, or touch a client that has it.
pub(super) fn check(registration: &Registration, cx: &Cx) -> Result<(), Rank> {
    if cx.actor.holds_all_scopes() {
        return Ok(());
    }
    // Nobody consents to what a first-party client does, and passwords are typed into a client of that grant.
    if registration.sign_on.first_party || registration.may(Grant::Password) {
        return Err(Rank::Operator);
    }
    let lacking = scope::OWN
        .into_iter()
        .find(|own| registration.scopes.contains(own) && !cx.actor.holds(own));
    lacking.map_or(Ok(()), |own| Err(Rank::Scope(own)))
}
