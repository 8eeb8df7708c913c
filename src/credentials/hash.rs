//! The pool that hashes: threads of its own, niced and few, so that a storm of logins slows logins and nothing else.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::Params;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::argon::{self, Memory, OUTPUT};
use crate::config::Passwords;
use crate::kernel::{Fault, Secret, clock};
use crate::meters::Meters;

/// How much below the request threads the hashing threads stand.
const NICENESS: i32 = 10;

/// What a password is to a stored hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    /// Right, under parameters that are no longer the present ones.
    RightButOld,
    Wrong,
}

/// The pool. Its threads end when it is dropped.
pub(crate) struct Hasher {
    queue: Arc<Queue>,
    params: Params,
    /// A hash with the present parameters that no password has: what the unknown are checked against.
    dummy: Secret<String>,
    max_wait: Duration,
    /// As many as may be hashed and wait: the one bound of the queue.
    places: Arc<Semaphore>,
    meters: Arc<Meters>,
}

/// The right to hash, one at a time. Held by whoever does other work before it, and by each hash until it is done.
#[derive(Clone)]
pub(crate) struct Place(
    #[expect(dead_code, reason = "held, and given back when dropped")] Arc<OwnedSemaphorePermit>,
);

struct Queue {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

struct Job {
    work: Work,
    asked: Instant,
    _place: Place,
}

enum Work {
    Hash {
        password: Secret<String>,
        params: Params,
        answer: oneshot::Sender<Option<Secret<String>>>,
    },
    Verify {
        password: Secret<String>,
        phc: Secret<String>,
        answer: oneshot::Sender<Option<bool>>,
    },
}

impl Work {
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Hash { answer, .. } => answer.is_closed(),
            Self::Verify { answer, .. } => answer.is_closed(),
        }
    }
}

impl Hasher {
    /// Starts the threads: as many as the settings or the cores say, within the memory budget.
    pub(crate) fn start(settings: &Passwords, meters: Arc<Meters>) -> Result<Self, Fault> {
        let fault = |e: argon2::Error| Fault::internal("setting up Argon2id", e.to_string());
        let params = Params::new(
            settings.memory_kib,
            settings.iterations,
            settings.parallelism,
            Some(OUTPUT),
        )
        .map_err(fault)?;
        let cores =
            std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        let wanted = if settings.threads == 0 {
            cores
        } else {
            settings.threads
        };
        let affordable =
            (settings.memory_budget_mib.saturating_mul(1024) / settings.memory_kib).max(1);
        let queue = Arc::new(Queue {
            state: Mutex::default(),
            ready: Condvar::new(),
        });
        let max_wait = settings.max_wait.std();
        let threads = wanted.min(affordable);
        for number in 0..threads {
            let (queue, meters) = (queue.clone(), meters.clone());
            let thread = std::thread::Builder::new().name(format!("hash-{number}"));
            thread
                .spawn(move || work(&queue, max_wait, &meters))
                .map_err(|e| Fault::internal("starting a hashing thread", e))?;
        }
        Ok(Self {
            queue,
            dummy: argon::nobodys(&params),
            params,
            max_wait,
            places: Arc::new(Semaphore::new((settings.queue + threads) as usize)),
            meters,
        })
    }

    /// Takes a place, before anything is asked of the database for an attempt: in a storm that would cost more than the refusal. Full
    /// means full: whoever does not fit is told at once (checklist 176).
    pub(crate) fn place(&self) -> Result<Place, Fault> {
        let permit = self.places.clone().try_acquire_owned();
        permit.map(|permit| Place(Arc::new(permit))).map_err(|_| {
            self.meters.hash_refused.inc();
            Fault::overloaded("hashing: the queue is full")
        })
    }

    /// Hashes a new password into a PHC string.
    pub(crate) async fn hash(
        &self,
        place: &Place,
        password: &Secret<String>,
    ) -> Result<Secret<String>, Fault> {
        let (answer, answered) = oneshot::channel();
        let work = Work::Hash {
            password: argon::normal(password),
            params: self.params.clone(),
            answer,
        };
        self.enqueue(work, place);
        match self.wait(answered).await? {
            Some(phc) => Ok(phc),
            None => Err(Fault::internal("hashing a password", "Argon2id refused")),
        }
    }

    /// Checks a password against a stored hash; with none, against one that nobody has, at the same cost.
    pub(crate) async fn verify(
        &self,
        place: &Place,
        password: &Secret<String>,
        stored: Option<&Secret<String>>,
    ) -> Result<Verdict, Fault> {
        let phc = stored.unwrap_or(&self.dummy).clone();
        let old = !argon::is_made_with(&phc, &self.params);
        let (answer, answered) = oneshot::channel();
        let work = Work::Verify {
            password: argon::normal(password),
            phc,
            answer,
        };
        self.enqueue(work, place);
        match (self.wait(answered).await?, stored) {
            (Some(true), Some(_)) if old => Ok(Verdict::RightButOld),
            (Some(true), Some(_)) => Ok(Verdict::Right),
            (Some(_), _) => Ok(Verdict::Wrong),
            (None, _) => Err(Fault::internal(
                "checking a password",
                "the stored hash can't be read",
            )),
        }
    }

    fn enqueue(&self, work: Work, place: &Place) {
        self.meters.hash_queue.inc();
        let mut state = self
            .queue
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.jobs.push_back(Job {
            work,
            asked: clock::monotonic(),
            _place: place.clone(),
        });
        drop(state);
        self.queue.ready.notify_one();
    }

    async fn wait<T>(&self, answered: oneshot::Receiver<T>) -> Result<T, Fault> {
        // A job that was dropped for waiting too long has dropped its sender.
        let patience = self.max_wait + Duration::from_secs(5);
        match tokio::time::timeout(patience, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => {
                self.meters.hash_refused.inc();
                Err(Fault::overloaded("hashing: the wait was too long"))
            }
        }
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        self.queue
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
        self.queue.ready.notify_all();
    }
}

/// A thread's life.
fn work(queue: &Queue, max_wait: Duration, meters: &Meters) {
    // Being refused this only costs the others some latency.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
    let mut memory = Memory::new();
    loop {
        let job = {
            let mut state = queue.state.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                if state.closed {
                    return;
                }
                if let Some(job) = state.jobs.pop_front() {
                    break job;
                }
                state = queue
                    .ready
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        };
        meters.hash_queue.dec();
        meters.hash_wait.observe(job.asked.elapsed().as_secs_f64());
        if job.work.is_abandoned() || job.asked.elapsed() > max_wait {
            continue;
        }
        match job.work {
            Work::Hash {
                password,
                params,
                answer,
            } => {
                let _ = answer.send(argon::hash(&password, &params, &mut memory));
            }
            Work::Verify {
                password,
                phc,
                answer,
            } => {
                let _ = answer.send(argon::matches(&password, &phc, &mut memory));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(settings: &Passwords) -> Hasher {
        Hasher::start(settings, Arc::new(Meters::new())).unwrap()
    }

    fn place(hasher: &Hasher) -> Place {
        hasher.place().unwrap()
    }

    fn settings() -> Passwords {
        Passwords::default()
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[tokio::test]
    async fn knows_its_own_hashes() {
        let hasher = start(&settings());
        let phc = hasher
            .hash(&place(&hasher), &secret("correct horse"))
            .await
            .unwrap();
        assert!(
            phc.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "the parameters of the settings"
        );
        assert_eq!(
            hasher
                .verify(&place(&hasher), &secret("correct horse"), Some(&phc))
                .await
                .unwrap(),
            Verdict::Right
        );
        assert_eq!(
            hasher
                .verify(&place(&hasher), &secret("Correct horse"), Some(&phc))
                .await
                .unwrap(),
            Verdict::Wrong
        );
        assert_eq!(
            hasher
                .verify(&place(&hasher), &secret("correct horse "), Some(&phc))
                .await
                .unwrap(),
            Verdict::Wrong,
            "spaces count"
        );
        assert_eq!(
            hasher
                .verify(&place(&hasher), &secret("correct horse"), None)
                .await
                .unwrap(),
            Verdict::Wrong
        );
        assert!(
            hasher
                .verify(&place(&hasher), &secret("x"), Some(&secret("nonsense")))
                .await
                .is_err()
        );
        let other = hasher
            .hash(&place(&hasher), &secret("correct horse"))
            .await
            .unwrap();
        assert_ne!(phc.expose(), other.expose(), "the salt is fresh");
    }

    #[tokio::test]
    async fn composition_does_not_count() {
        // S-101
        let hasher = start(&settings());
        let phc = hasher
            .hash(&place(&hasher), &secret("caf\u{e9}"))
            .await
            .unwrap();
        assert_eq!(
            hasher
                .verify(&place(&hasher), &secret("cafe\u{301}"), Some(&phc))
                .await
                .unwrap(),
            Verdict::Right
        );
    }

    #[tokio::test]
    async fn the_rust_crates_own_phc_strings_are_taken() {
        // Made by the reference implementation: echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1 -l 24
        let phc =
            secret("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b/dWRWJTmaaJObG");
        let hasher = start(&settings());
        // The verdict speaks of older parameters only where the password is right.
        assert_ne!(
            hasher
                .verify(&place(&hasher), &secret("nope"), Some(&phc))
                .await
                .unwrap(),
            Verdict::RightButOld
        );
    }

    #[tokio::test]
    async fn older_parameters_are_told() {
        let old = start(&Passwords {
            iterations: 3,
            ..settings()
        });
        let phc = old.hash(&place(&old), &secret("x")).await.unwrap();
        let hasher = start(&settings());
        assert_eq!(
            hasher
                .verify(&place(&hasher), &secret("x"), Some(&phc))
                .await
                .unwrap(),
            Verdict::RightButOld
        );
        assert_eq!(
            hasher
                .verify(&place(&hasher), &secret("y"), Some(&phc))
                .await
                .unwrap(),
            Verdict::Wrong
        );
    }

    #[tokio::test]
    async fn a_full_queue_says_so_at_once() {
        // S-176
        let hasher = Arc::new(start(&Passwords {
            threads: 1,
            queue: 2,
            ..settings()
        }));
        let asked = (0..12).map(|_| async { hasher.hash(&hasher.place()?, &PASSWORD).await });
        let started = clock::monotonic();
        static PASSWORD: std::sync::LazyLock<Secret<String>> =
            std::sync::LazyLock::new(|| Secret::new("x".to_owned()));
        let mut refused = 0;
        for result in futures_of(asked).await {
            if let Err(fault) = result {
                assert_eq!(fault.kind, crate::kernel::fault::FaultKind::Overloaded);
                refused += 1;
            }
        }
        assert!(
            refused >= 8,
            "{refused} of 12 refused after {:?}",
            started.elapsed()
        );
    }

    /// All of them at once.
    async fn futures_of<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
        let mut pinned: Vec<_> = futures.map(|f| (Box::pin(f), None)).collect();
        std::future::poll_fn(|cx| {
            let mut pending = false;
            for (future, result) in &mut pinned {
                if result.is_none() {
                    match future.as_mut().poll(cx) {
                        std::task::Poll::Ready(value) => *result = Some(value),
                        std::task::Poll::Pending => pending = true,
                    }
                }
            }
            if pending {
                std::task::Poll::Pending
            } else {
                std::task::Poll::Ready(())
            }
        })
        .await;
        pinned
            .into_iter()
            .filter_map(|(_, result)| result)
            .collect()
    }
}
