//! A claim to one key: redeemed at the beginning of the transaction that makes something, kept at its end. The answer stands in that very
//! transaction, so a crash leaves both or neither; an advisory lock, not a row, says that a request is under way, so a crash leaves nothing
//! to clear up.

use serde_json::Value;
use sqlx::PgConnection;

use super::store::{self, Kept};
use crate::cx::{Actor, Cx};
use crate::http::{IdempotencyKey, Problem, ProblemKind};
use crate::kernel::seal::mac;
use crate::kernel::span::Span;
use crate::kernel::{Fault, UserId};

/// How long an answer is kept.
const LIFE: Span = Span::hours(24);

/// What a caller's key stands for. Keys of different callers, and of different things to make, are different keys.
pub(crate) struct Claim {
    /// Under each sealing key, newest first.
    keys: Vec<Vec<u8>>,
    requests: Vec<Vec<u8>>,
}

/// Something new as it is shown this once, with its secret.
pub(crate) struct Made {
    pub(crate) view: Value,
    /// By an earlier request with the same key.
    pub(crate) earlier: bool,
}

/// Why a request with a key is refused.
#[derive(Debug)]
pub(crate) enum ClaimError {
    /// The first is still under way.
    InFlight,
    /// The key came with another body before.
    OtherRequest,
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for ClaimError {
    fn from(fault: E) -> Self {
        Self::Fault(fault.into())
    }
}

impl Claim {
    /// `None` where no key was sent. `what`: the route.
    pub(crate) fn new(key: &IdempotencyKey, what: &str, body: &Value, cx: &Cx) -> Option<Self> {
        let key = key.0.as_ref()?;
        let caller = caller(&cx.actor);
        let body = body.to_string();
        let under = cx.app.sealing.derive("idempotency");
        let parts = [caller.as_bytes(), what.as_bytes(), key.as_bytes()];
        Some(Self {
            keys: under.iter().map(|k| mac(k, &parts).to_vec()).collect(),
            requests: under
                .iter()
                .map(|k| mac(k, &[body.as_bytes()]).to_vec())
                .collect(),
        })
    }

    /// The answer that the key has brought already; `None`: it is this transaction's to make. Until that ends, others are told that it is under way.
    pub(crate) async fn redeem(
        &self,
        db: &mut PgConnection,
        cx: &Cx,
    ) -> Result<Option<Value>, ClaimError> {
        // What is kept needs no lock: the next request with the key must not find this one under way.
        if let Some(kept) = store::find(&self.keys, cx.now, db).await? {
            return self.answer(&kept, cx).map(Some);
        }
        // Replicas differ on which key is the newest while another is coming in.
        if !store::lock(&self.keys, db).await? {
            return Err(ClaimError::InFlight);
        }
        // Another may have ended just before.
        let kept = store::find(&self.keys, cx.now, db).await?;
        kept.map(|kept| self.answer(&kept, cx)).transpose()
    }

    fn answer(&self, kept: &Kept, cx: &Cx) -> Result<Value, ClaimError> {
        if !self.requests.contains(&kept.request) {
            return Err(ClaimError::OtherRequest);
        }
        let opened = cx.app.sealing.open(&purpose(&kept.key), &kept.sealed);
        let answer =
            opened.map_err(|_| Fault::internal("opening a kept answer", "the key is gone"))?;
        let answer = serde_json::from_slice(answer.expose());
        Ok(answer.map_err(|e| Fault::internal("reading a kept answer", e))?)
    }

    /// Keeps the answer; `user` is the person whom it tells of.
    pub(crate) async fn keep(
        &self,
        answer: &Value,
        user: Option<UserId>,
        db: &mut PgConnection,
        cx: &Cx,
    ) -> Result<(), Fault> {
        let (key, request) = (&self.keys[0], &self.requests[0]);
        let plain = answer.to_string();
        let sealed = cx.app.sealing.seal(&purpose(key), plain.as_bytes());
        store::insert(key, request, user, &sealed, cx.now + LIFE.time(), db).await
    }
}

fn caller(actor: &Actor) -> String {
    match actor {
        Actor::Client { id, .. } => format!("client {id}"),
        Actor::Person { id, client_id, .. } => format!("person {id} {client_id}"),
        Actor::Session { user_id } => format!("session {user_id}"),
        Actor::Nobody | Actor::Operator | Actor::System => "nobody".to_owned(),
    }
}

fn purpose(key: &[u8]) -> String {
    let key: String = key.iter().map(|b| format!("{b:02x}")).collect();
    format!("idempotency/{key}")
}

impl From<ClaimError> for Problem {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::InFlight => Self::new(ProblemKind::RequestInFlight).retry_after(1),
            ClaimError::OtherRequest => Self::new(ProblemKind::KeyReused),
            ClaimError::Fault(fault) => fault.into(),
        }
    }
}
