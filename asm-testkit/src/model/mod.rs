//! A driver and the model, side by side.
//!
//! [`check`] makes up random histories of every verb, in which several requests wait for locks, time
//! passes, requests are sent again, and much is wrong: epochs, proofs, tokens, versions. Each is
//! played to the driver and to `asm-entry`'s `Entry`, and every answer is compared. A history in
//! which they differ is shrunk to a short one, and shown.
//!
//! ```no_run
//! use asm_testkit::{Harness, model};
//!
//! /// The body of a test, for whichever harness your driver has.
//! fn answers_as_the_model_does<H: Harness>(start: fn() -> H) {
//!     model::check(move || async move { start() }, model::Options::default());
//! }
//! ```
//!
//! What the contract leaves to a driver is not compared: the store's time itself, which number a
//! fence or a generation has (it must grow), for how long more than four released tokens are
//! remembered.

mod plan;
mod run;
mod seen;
mod tally;
mod world;

use std::{
    any::Any,
    cell::RefCell,
    fmt,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::LocalBoxFuture};
use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};
use proptest_state_machine::ReferenceStateMachine;
use tokio::runtime::{Builder, Runtime};

pub use self::tally::Tally;
use self::{
    plan::Deed,
    run::{Log, Run},
    world::{Model, World},
};
use crate::Harness;

/// How long and how hard to compare.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many answers to compare at least, and a third of how many at most: it goes on until
    /// every outcome was frequent enough. 100,000 by default.
    pub calls: u64,
    /// How often every outcome of every verb must occur at least. 100 by default.
    pub each: u64,
    /// How many deeds a history has. 150 by default.
    pub length: usize,
    /// What chance starts from. By default the number in the environment variable
    /// `ASM_MODEL_SEED`, else another one each time.
    pub seed: Option<u64>,
    /// By how much more than the driver's `ttl_resolution` a time may be off, for stores whose time
    /// goes on by itself. Zero by default.
    pub slack: Duration,
    /// How long, by the wall clock, something that should happen may take. A minute by default, which
    /// a machine under load may need.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            calls: 100_000,
            each: 100,
            length: 150,
            seed: None,
            slack: Duration::ZERO,
            patience: Duration::from_secs(60),
        }
    }
}

/// A history in which the driver and the model differ, as short as it could be made.
#[derive(Clone, Debug)]
pub struct Difference {
    /// What chance started from.
    pub seed: u64,
    /// How many deeds the history has.
    pub deeds: usize,
    /// How they differ.
    pub reason: String,
    history: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the driver is not as the model: {}\n{}with ASM_MODEL_SEED={}",
            self.reason, self.history, self.seed
        )
    }
}

/// Compares the driver with the model; prints the seed, and how often what was answered.
///
/// # Panics
/// When they differ, with the history; and when an outcome was too rare to have been tried.
pub fn check<H, F>(setup: impl Fn() -> F + 'static, options: Options)
where
    H: Harness,
    F: Future<Output = H> + 'static,
{
    let each = options.each;
    let comparison = Comparison::new(setup, options);
    match comparison.run() {
        Ok(tally) => {
            println!("{tally}");
            let rare = tally.rarer_than(each, &comparison.facets());
            assert!(
                rare.is_empty(),
                "less than {each} times: {}",
                rare.join("; ")
            );
        }
        Err(difference) => panic!("{difference}"),
    }
}

/// Compares the driver with the model; prints the seed.
///
/// # Errors
/// The shortest history that was found in which they differ.
pub fn compare<H, F>(setup: impl Fn() -> F + 'static, options: Options) -> Result<Tally, Difference>
where
    H: Harness,
    F: Future<Output = H> + 'static,
{
    Comparison::new(setup, options).run()
}

/// What is compared, and how.
pub(crate) struct Comparison {
    start: Start,
    options: Options,
    seed: u64,
    runtime: Runtime,
}

type Start = Box<dyn Fn() -> LocalBoxFuture<'static, Box<dyn Harness>>>;

/// A history, as proptest hands it over, with a counter of what was played of it.
type History = (World, Vec<Deed>, Option<Arc<AtomicUsize>>);

impl Comparison {
    fn new<H, F>(setup: impl Fn() -> F + 'static, options: Options) -> Self
    where
        H: Harness,
        F: Future<Output = H> + 'static,
    {
        let start = move || {
            setup()
                .map(|made| Box::new(made) as Box<dyn Harness>)
                .boxed_local()
        };
        Self::of(Box::new(start), options)
    }

    pub(crate) fn of(start: Start, options: Options) -> Self {
        Self {
            start,
            seed: seed(&options),
            options,
            runtime: Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime for the comparison"),
        }
    }

    fn facets(&self) -> Vec<crate::Facet> {
        self.runtime.block_on(async {
            let harness = (self.start)().await;
            let facets = tally::facets(&*harness.connect().await);
            harness.stop().await;
            facets
        })
    }

    /// Goes through histories until there were as many calls as wished, of every outcome.
    pub(crate) fn run(&self) -> Result<Tally, Difference> {
        println!("ASM_MODEL_SEED={}", self.seed);
        let facets = self.facets();
        let mut runner = TestRunner::new_with_rng(
            Config {
                failure_persistence: None,
                max_shrink_iters: 10_000,
                max_shrink_time: 30_000,
                ..Config::default()
            },
            TestRng::from_seed(RngAlgorithm::ChaCha, &wide(self.seed)),
        );
        let histories = Model::sequential_strategy(self.options.length);
        let mut total = Tally::default();
        let (calls, each) = (self.options.calls, self.options.each);
        while total.calls() < calls
            || total.calls() < 3 * calls && !total.rarer_than(each, &facets).is_empty()
        {
            let tally = RefCell::new(Tally::default());
            let history = histories
                .new_tree(&mut runner)
                .expect("nothing is filtered");
            let outcome = runner.run_one(history, |history| {
                let played = self.play(history, Log::Off, &mut tally.borrow_mut());
                played.map_err(|wrong| TestCaseError::fail(wrong.reason))
            });
            match outcome {
                Ok(_) => {}
                Err(TestError::Fail(first, shortest)) => {
                    return Err(self.difference(shortest, first.message()));
                }
                Err(TestError::Abort(reason)) => panic!("the comparison ended: {reason}"),
            }
            total.add(tally.into_inner());
        }
        Ok(total)
    }

    /// Plays it once more, to show it.
    fn difference(&self, history: History, first: &str) -> Difference {
        let deeds = history.1.len();
        let wrong = self
            .play(history, Log::Kept, &mut Tally::default())
            .err()
            .unwrap_or_else(|| Wrong {
                reason: format!("{first}, but not always: it went well when it was played again"),
                log: String::new(),
            });
        Difference {
            seed: self.seed,
            deeds,
            reason: wrong.reason,
            history: wrong.log,
        }
    }

    /// Plays a history to the model and to the driver.
    fn play(&self, history: History, log: Log, tally: &mut Tally) -> Result<(), Wrong> {
        let (mut world, deeds, played) = history;
        self.runtime.block_on(async {
            let harness = (self.start)().await;
            let mut run = Run::new(&*harness, &self.options, log).await;
            let played = AssertUnwindSafe(async {
                for deed in &deeds {
                    if let Some(played) = &played {
                        played.fetch_add(1, Ordering::SeqCst);
                    }
                    world = Model::apply(world, deed);
                    run.deed(deed, &world, tally).await?;
                }
                Ok(())
            });
            let outcome = played.catch_unwind().await;
            let log = run.stop().await;
            let outcome = outcome.unwrap_or_else(|panic| Err(text(&*panic)));
            let stopped = AssertUnwindSafe(harness.stop()).catch_unwind().await;
            let stopped = stopped.map_err(|panic| text(&*panic));
            outcome.and(stopped).map_err(|reason| Wrong { reason, log })
        })
    }
}

/// How the driver and the model differ.
struct Wrong {
    reason: String,
    log: String,
}

fn seed(options: &Options) -> u64 {
    let given = std::env::var("ASM_MODEL_SEED").ok();
    let given = given.map(|seed| seed.parse().expect("ASM_MODEL_SEED is a number"));
    options.seed.or(given).unwrap_or_else(|| fastrand::u64(..))
}

fn wide(seed: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes
}

/// What somebody panicked with.
fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
        .to_owned()
}
