//! What is to be done next before a request may be answered. Asked anew at each step, of what the server knows alone: nothing that a
//! browser sends moves anybody on (checklist 18).

use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{Prompt, Refused, Request};
use crate::kernel::UserId;

/// The one answer to a client whose person is not the one who sits there: whether anybody does, and who, is not told.
pub(super) const SIGN_IN: Refused = Refused::new("login_required", "The person must sign in.");

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    SignIn,
    /// The password was right, and a new one is demanded.
    NewPassword,
    ChooseAccount,
    Consent,
    /// Everything is done: the answer is a code.
    Answer,
    Refuse(Refused),
}

/// Who sits at the browser.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present {
    pub(super) user_id: UserId,
    pub(super) session: Uuid,
    /// Whether they are signed in, or still owe a new password.
    pub(super) signed_in: bool,
    pub(super) proven_at: OffsetDateTime,
}

/// The step that is due for `present` (`None`: nobody is known), who has chosen to go on with the session `chosen`; what they consented to
/// is asked where this says [`Due::Answer`].
pub(super) fn due(request: &Request, present: Option<Present>, chosen: Option<Uuid>) -> Due {
    let Some(present) = present else {
        return Due::SignIn;
    };
    if request
        .proven_since
        .is_some_and(|since| present.proven_at < since)
    {
        return Due::SignIn;
    }
    if !present.signed_in {
        return Due::NewPassword;
    }
    let fresh = present.proven_at >= request.asked_at;
    if request.wants(Prompt::SelectAccount) && !fresh && chosen != Some(present.session) {
        return Due::ChooseAccount;
    }
    // Never a silent switch of people (E2).
    if request
        .subject
        .is_some_and(|subject| subject != present.user_id)
    {
        return Due::Refuse(SIGN_IN);
    }
    Due::Answer
}

impl Due {
    /// The same where no page may be shown (`prompt=none`, Core §3.1.2.6).
    pub(super) fn silently(self) -> Self {
        let (error, told) = match self {
            Self::SignIn | Self::NewPassword => return Self::Refuse(SIGN_IN),
            Self::ChooseAccount => (
                "account_selection_required",
                "The person must choose an account.",
            ),
            Self::Consent => ("consent_required", "The person must be asked for consent."),
            Self::Answer | Self::Refuse(_) => return self,
        };
        Self::Refuse(Refused::new(error, told))
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::super::Claims;
    use super::super::model::{Back, Mode};
    use super::*;
    use crate::kernel::ClientId;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn request(prompt: &[Prompt]) -> Request {
        Request {
            client_id: ClientId::new(),
            back: Back {
                redirect_uri: String::new(),
                mode: Mode::Query,
                state: None,
            },
            scope: None,
            resources: Vec::new(),
            nonce: None,
            code_challenge: None,
            prompt: prompt.to_vec(),
            proven_since: prompt.contains(&Prompt::Login).then_some(NOW),
            subject: None,
            login_hint: None,
            claims: Claims::default(),
            asked_at: NOW,
        }
    }

    fn present(proven_at: OffsetDateTime) -> Present {
        Present {
            user_id: UserId::new(NOW),
            session: Uuid::nil(),
            signed_in: true,
            proven_at,
        }
    }

    #[test]
    fn each_step_comes_in_its_turn() {
        // S-10, S-18
        let earlier = Some(present(NOW - Duration::seconds(1)));
        let fresh = Some(present(NOW));
        let all = [Prompt::Login, Prompt::Consent, Prompt::SelectAccount];
        assert_eq!(due(&request(&[]), None, None), Due::SignIn);
        assert_eq!(due(&request(&[]), earlier, None), Due::Answer);
        assert_eq!(due(&request(&all), earlier, None), Due::SignIn);
        assert_eq!(due(&request(&all), fresh, None), Due::Answer);
        let choose = request(&[Prompt::SelectAccount]);
        assert_eq!(due(&choose, earlier, None), Due::ChooseAccount);
        assert_eq!(due(&choose, earlier, Some(Uuid::max())), Due::ChooseAccount);
        assert_eq!(due(&choose, earlier, Some(Uuid::nil())), Due::Answer);
        let owing = earlier.map(|p| Present {
            signed_in: false,
            ..p
        });
        assert_eq!(due(&request(&[]), owing, None), Due::NewPassword);
    }

    #[test]
    fn nobody_is_switched_in_silence() {
        // E2, S-9
        let mut request = request(&[Prompt::None]);
        request.subject = Some(UserId(Uuid::max()));
        let refused = due(&request, Some(present(NOW)), None);
        assert!(matches!(refused, Due::Refuse(r) if r.error == "login_required"));
        for (due, error) in [
            (Due::SignIn, "login_required"),
            (Due::NewPassword, "login_required"),
            (Due::ChooseAccount, "account_selection_required"),
            (Due::Consent, "consent_required"),
        ] {
            assert!(matches!(due.silently(), Due::Refuse(r) if r.error == error));
        }
        assert_eq!(Due::Answer.silently(), Due::Answer);
    }
}
