//! Runs a case: a runtime of its own, a watchdog, and a look at what is left over.

use std::{
    any::Any,
    env, fmt,
    future::Future,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use asm_core::{CONTRACT, Driver};
use futures_util::{FutureExt, future::LocalBoxFuture};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    time::timeout,
};

use crate::{
    Case, Facet, Harness,
    canaries::{Canaries, Watch},
    clock::turns,
    harness::{Through, Wrap},
};

/// A driver under test: how to make a storage of it, and what it claims.
///
/// [`conformance!`](crate::conformance) makes one; a test that wants to know whether some driver
/// fails some case makes its own and asks [`Suite::check`].
#[derive(Clone)]
pub struct Suite {
    start: Start,
    facets: Vec<Facet>,
    deviations: Vec<Deviation>,
    patience: Duration,
    canaries: bool,
}

type Start = Arc<dyn Fn() -> LocalBoxFuture<'static, Box<dyn Harness>> + Send + Sync>;

#[derive(Clone, Copy)]
struct Deviation {
    module: &'static str,
    case: &'static str,
    why: &'static str,
}

/// How a case reaches the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As [`Harness::connect`] answers it.
    Direct,
    /// From behind one more pointer.
    BehindArc,
}

/// Why a case failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(String);

/// The variable of the environment that has every suite look for [canaries](Suite::with_canaries).
const CANARIES: &str = "ASM_CANARIES";

/// How long a case may take by the wall clock, before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);

impl Suite {
    /// The suite of a driver whose storages are made by `start`, without facets or deviations.
    #[must_use]
    pub fn new<H, F>(start: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        H: Harness,
        F: Future<Output = H> + 'static,
    {
        Self {
            start: Arc::new(move || {
                start()
                    .map(|made| Box::new(made) as Box<dyn Harness>)
                    .boxed_local()
            }),
            facets: Vec::new(),
            deviations: Vec::new(),
            patience: PATIENCE,
            canaries: env::var_os(CANARIES).is_some(),
        }
    }

    /// Declares that the driver has exactly these facets.
    #[must_use]
    pub fn facets(mut self, facets: &[Facet]) -> Self {
        self.facets = facets.to_vec();
        self
    }

    /// Declares a case that the driver does not pass, and why.
    #[must_use]
    pub fn deviation(
        mut self,
        module: &'static str,
        case: &'static str,
        why: &'static str,
    ) -> Self {
        self.deviations.push(Deviation { module, case, why });
        self
    }

    /// Searches what each case shows for its secrets: tokens, op ids, proofs, data, and what was
    /// drawn for sessions. A case fails in which one is found in a log line at any level, in an error
    /// of a driver or one of its causes, or in the text with which it fails.
    ///
    /// It costs about a quarter of the time that cases on memory take, so it is off unless it is
    /// asked for: by this, or for all suites of a run by the environment, `ASM_CANARIES=1`. To
    /// hear threads that no case runs on, those of a driver say, it sets the process's default
    /// subscriber, unless there is one.
    #[must_use]
    pub fn with_canaries(mut self) -> Self {
        self.canaries = true;
        self
    }

    /// Wraps every driver that the harness connects: in a layer, or in a broken one that some case
    /// should fail.
    #[must_use]
    pub fn through(
        mut self,
        wrap: impl Fn(Arc<dyn Driver>) -> Arc<dyn Driver> + Send + Sync + 'static,
    ) -> Self {
        let (start, wrap): (Start, Wrap) = (self.start, Arc::new(wrap));
        self.start = Arc::new(move || {
            let (start, wrap) = (Arc::clone(&start), Arc::clone(&wrap));
            async move {
                let harness = start().await;
                Box::new(Through { harness, wrap }) as Box<dyn Harness>
            }
            .boxed_local()
        });
        self
    }

    /// Lets a case take that long by the wall clock, instead of a minute, before it counts as hung.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The body of a test: panics unless the case passes, or deviates as declared.
    pub fn run(&self, way: Way, module: &str, name: &str) {
        let case = Case::named(module, name)
            .unwrap_or_else(|| panic!("there is no case {module}::{name}"));
        let outcome = self.check(way, case);
        match (self.deviation_of(case), outcome) {
            (None, Ok(())) => {}
            (None, Err(failure)) => panic!("{case}: {failure}\n  {}", case.sentence),
            (Some(_), Err(_)) => {}
            (Some(deviation), Ok(())) => panic!(
                "{case} passes: strike out the deviation \"{}\"",
                deviation.why
            ),
        }
    }

    /// Whether the driver passes the case, on a fresh storage; deviations are not looked at.
    ///
    /// # Errors
    /// What the case, or the harness's `stop` after it, panicked with; or that it hung; or that it
    /// left tasks running; or that it [showed a secret](Self::with_canaries).
    pub fn check(&self, way: Way, case: &'static Case) -> Result<(), Failure> {
        let suite = self.clone();
        watched(&case.to_string(), self.patience, move || {
            on_fresh_storage(&suite, way, case)
        })
    }

    /// Panics unless the driver was written for the contract of this kit.
    pub fn check_contract(&self) {
        self.look(|harness| {
            async move {
                let info = harness.connect().await.info();
                assert_eq!(
                    info.contract, CONTRACT,
                    "{} keeps another contract than this kit tests",
                    info.name
                );
            }
            .boxed_local()
        });
    }

    /// Panics unless the driver has the facets that were declared, and no other.
    pub fn check_facets(&self) {
        let declared = self.facets.clone();
        self.look(move |harness| {
            let declared = declared.clone();
            async move {
                let driver = harness.connect().await;
                for facet in Facet::ALL {
                    match (facet.is_in(&*driver), declared.contains(&facet)) {
                        (true, false) => panic!("the driver has {facet:?}, which was not declared"),
                        (false, true) => panic!("the driver lacks {facet:?}, which was declared"),
                        _ => {}
                    }
                }
            }
            .boxed_local()
        });
    }

    /// Panics when a deviation was declared of a case that does not run on this driver.
    pub fn check_deviations(&self) {
        for Deviation { module, case, .. } in &self.deviations {
            let known = Case::named(module, case);
            assert!(
                known.is_some_and(|case| case.needs.met_by(&self.facets)),
                "a deviation names {module}::{case}, which does not run on this driver"
            );
        }
    }

    fn deviation_of(&self, case: &Case) -> Option<&Deviation> {
        self.deviations
            .iter()
            .find(|deviation| deviation.module == case.module && deviation.case == case.name)
    }

    /// A case of the kit itself, on both ways.
    fn look(
        &self,
        body: impl Fn(Box<dyn Harness>) -> LocalBoxFuture<'static, ()> + Send + Clone + 'static,
    ) {
        for way in [Way::Direct, Way::BehindArc] {
            let (start, body) = (Arc::clone(&self.start), body.clone());
            let outcome = watched("declaration", self.patience, move || {
                runtime().block_on(async { body(way.to(start().await)).await });
                Ok(())
            });
            if let Err(failure) = outcome {
                panic!("{failure}");
            }
        }
    }
}

impl Way {
    /// From behind a pointer, a facet or an overridden method is lost that the forwarding forgot.
    fn to(self, harness: Box<dyn Harness>) -> Box<dyn Harness> {
        match self {
            Self::Direct => harness,
            Self::BehindArc => Box::new(Through {
                harness,
                wrap: Arc::new(|driver| Arc::new(driver)),
            }),
        }
    }
}

impl Failure {
    fn hung(patience: Duration) -> Self {
        Self(format!("hung for {patience:?}"))
    }

    fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Self(
            text.unwrap_or("panicked with something that is no text")
                .to_owned(),
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite")
            .field("facets", &self.facets)
            .field("deviations", &self.deviations.len())
            .finish_non_exhaustive()
    }
}

/// Runs it on a thread of its own, for as long as patience lasts. A thread that never yields is left
/// behind: there is no way to end it.
pub(crate) fn watched(
    name: &str,
    patience: Duration,
    body: impl FnOnce() -> Result<(), Failure> + Send + 'static,
) -> Result<(), Failure> {
    let (report, outcome) = mpsc::channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let outcome = panic::catch_unwind(AssertUnwindSafe(body));
            // Nobody listens any more when patience was over first.
            let _ = report.send(outcome.unwrap_or_else(|panic| Err(Failure::from_panic(&*panic))));
        })
        .expect("a thread for the case");
    match outcome.recv_timeout(patience) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => Err(Failure::hung(patience)),
        Err(RecvTimeoutError::Disconnected) => Err(Failure("ended without a word".to_owned())),
    }
}

fn on_fresh_storage(suite: &Suite, way: Way, case: &Case) -> Result<(), Failure> {
    let watch = suite.canaries.then(Watch::begin);
    let runtime = runtime();
    let outcome = runtime.block_on(async {
        let went = async {
            let harness = way.to((suite.start)().await);
            let harness = match &watch {
                Some(watch) => watch.over(harness),
                None => harness,
            };
            let went = caught(case.run(&*harness)).await;
            // What the case has dropped comes to its end.
            turns().await;
            let stopped = caught(harness.stop()).await;
            went.and(stopped)?;
            drop(harness);
            all_tasks_ended().await;
            Ok(())
        };
        // Nobody listens any more by then; it ends so as not to be in the way of other cases.
        timeout(suite.patience, went).await
    });
    let outcome = outcome.unwrap_or_else(|_| {
        runtime.shutdown_background();
        Err(Failure::hung(suite.patience))
    });
    match &watch {
        Some(watch) => shows_no_secret(outcome, &watch.canaries),
        None => outcome,
    }
}

/// A case that showed a secret has failed, whatever it was about.
fn shows_no_secret(outcome: Result<(), Failure>, canaries: &Canaries) -> Result<(), Failure> {
    if let Err(failure) = &outcome {
        canaries.heard("this failure", failure.to_string());
    }
    let shown_by = canaries.shown_by();
    if shown_by.is_empty() {
        return outcome;
    }
    let by = shown_by.into_iter().collect::<Vec<_>>().join(", ");
    let told = outcome.err().map(|failure| format!("{failure}\n  "));
    let told = told.unwrap_or_default();
    Err(Failure(format!("{told}a secret was shown by {by}")))
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the case")
}

async fn caught(body: impl Future<Output = ()>) -> Result<(), Failure> {
    AssertUnwindSafe(body)
        .catch_unwind()
        .await
        .map_err(|panic| Failure::from_panic(&*panic))
}

/// Whoever leaves a task behind hangs here, and the watchdog says so.
async fn all_tasks_ended() {
    while Handle::current().metrics().num_alive_tasks() > 0 {
        tokio::task::yield_now().await;
    }
}
