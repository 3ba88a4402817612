//! What networks and servers do to calls.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use asm_core::{Clock, Driver, Error, ErrorKind, Key, LockToken, Result};
use async_trait::async_trait;
use tokio::task::yield_now;

use crate::{Call, Layer, Layered, Verb};

/// Troubles the calls on a driver: by script, by chance, or at every await.
///
/// ```
/// # use asm_core::{Driver, Key, Save, SessionStore, Written};
/// use asm_testkit::{Chaos, Fault, ManualClock, Verb};
///
/// # async fn example(driver: impl Driver, key: Key, save: Save) -> asm_core::Result<()> {
/// let driver = Chaos::over(driver, ManualClock::new());
/// driver.layer().next(Verb::Save, Fault::LostAnswer);
/// assert!(driver.save(&key, save.clone()).await.is_err());
/// let again = Save { resend: true, ..save };
/// assert!(matches!(driver.save(&key, again).await?, Written::Done { .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Chaos<D> {
    inner: D,
    clock: Arc<dyn Clock>,
    plan: Mutex<Plan>,
}

/// What can happen to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not reach the driver; the caller is told this.
    Refused(ErrorKind),
    /// It happens, and the caller is told `Timeout`.
    LostAnswer,
    /// It is sent after this long.
    Late(Duration),
    /// It is sent, then sent again, as clients do that resend by themselves; the caller is given the
    /// second answer.
    Twice,
}

/// How likely faults are, each between 0 and 1. What is left is the share of calls that go well.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Odds {
    /// Of [`Fault::Refused`], as `Unavailable`.
    pub refused: f64,
    /// Of [`Fault::LostAnswer`].
    pub lost_answer: f64,
    /// Of [`Fault::Twice`].
    pub twice: f64,
    /// Of [`Fault::Late`].
    pub late: f64,
    /// How late a late call is at most.
    pub delay: Duration,
}

#[derive(Debug, Default)]
struct Plan {
    script: BTreeMap<Verb, VecDeque<Fault>>,
    chance: Option<(fastrand::Rng, Odds)>,
    pauses: usize,
    struck: Vec<(Verb, Fault)>,
}

impl<D: Driver> Chaos<D> {
    /// A driver that passes everything on until it is told otherwise. Delays are waited for on this
    /// clock.
    #[must_use]
    pub fn over(driver: D, clock: impl Clock) -> Layered<Self> {
        Layered::new(Self {
            inner: driver,
            clock: Arc::new(clock),
            plan: Mutex::default(),
        })
    }

    /// Lets this happen to the next call of that verb, after what is planned for it already.
    pub fn next(&self, verb: Verb, fault: Fault) {
        self.plan().script.entry(verb).or_default().push_back(fault);
    }

    /// Lets faults happen by chance to calls that nothing else is planned for. The same seed makes
    /// the same faults for the same calls.
    pub fn at_random(&self, seed: u64, odds: Odds) {
        self.plan().chance = Some((fastrand::Rng::with_seed(seed), odds));
    }

    /// Makes every call wait that many times before it reaches the driver, and as often before its
    /// answer is given: places to be cancelled at, also with drivers that never wait.
    pub fn pause(&self, times: usize) {
        self.plan().pauses = times;
    }

    /// What happened so far, in order.
    #[must_use]
    pub fn struck(&self) -> Vec<(Verb, Fault)> {
        self.plan().struck.clone()
    }

    async fn pauses(&self) {
        let pauses = self.plan().pauses;
        for _ in 0..pauses {
            yield_now().await;
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn strike(&mut self, verb: Verb) -> Option<Fault> {
        let scripted = self.script.get_mut(&verb).and_then(VecDeque::pop_front);
        let fault =
            scripted.or_else(|| self.chance.as_mut().and_then(|(rng, odds)| odds.roll(rng)))?;
        self.struck.push((verb, fault));
        Some(fault)
    }
}

impl Odds {
    fn roll(&self, rng: &mut fastrand::Rng) -> Option<Fault> {
        let mut rolled = rng.f64();
        let late = Fault::Late(self.delay.mul_f64(rng.f64()));
        [
            (self.refused, Fault::Refused(ErrorKind::Unavailable)),
            (self.lost_answer, Fault::LostAnswer),
            (self.twice, Fault::Twice),
            (self.late, late),
        ]
        .into_iter()
        .find_map(|(odds, fault)| {
            rolled -= odds;
            (rolled < 0.0).then_some(fault)
        })
    }
}

#[async_trait]
impl<D: Driver> Layer for Chaos<D> {
    fn inner(&self) -> &dyn Driver {
        &self.inner
    }

    async fn around<T: Send + 'static>(&self, call: Call<'_, T>) -> Result<T> {
        self.pauses().await;
        let fault = self.plan().strike(call.verb);
        match fault {
            Some(Fault::Refused(kind)) => {
                return Err(trouble(kind, "the call never arrived", call.verb));
            }
            Some(Fault::Late(by)) => self.clock.sleep(by).await,
            Some(Fault::LostAnswer | Fault::Twice) | None => {}
        }
        let mut answer = call.send().await;
        // From here on the driver cannot know that its caller has gone.
        let unclaimed = Unclaimed {
            driver: &self.inner,
            lock: call.lock,
        };
        if fault == Some(Fault::Twice) {
            answer = call.send_again().await;
        }
        self.pauses().await;
        unclaimed.claim();
        if fault == Some(Fault::LostAnswer) {
            return Err(trouble(
                ErrorKind::Timeout,
                "the answer was lost",
                call.verb,
            ));
        }
        answer
    }
}

/// Gives a lock back that was perhaps granted and whose taker was dropped before it knew.
struct Unclaimed<'a, D: Driver> {
    driver: &'a D,
    lock: Option<(Key, LockToken)>,
}

impl<D: Driver> Unclaimed<'_, D> {
    fn claim(mut self) {
        self.lock = None;
    }
}

impl<D: Driver> Drop for Unclaimed<'_, D> {
    fn drop(&mut self) {
        if let Some((key, token)) = &self.lock {
            self.driver.abandon(key, token);
        }
    }
}

fn trouble(kind: ErrorKind, message: &'static str, verb: Verb) -> Error {
    Error::new(kind, message).during(verb.name()).by("chaos")
}
