//! The suite itself: what it lets pass and what it does not.

use std::{
    fmt::{self, Debug, Formatter},
    future::pending,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use asm_core::{
    Clock, Driver, DriverInfo, Error, ErrorKind, Key, LockToken, Open, OpenLock, Opened, Result,
};
use asm_memory::MemoryDriver;
use asm_testkit::{CASES, Case, Facet, Harness, Layer, Layered, ManualClock, Needs, Suite, Way};
use async_trait::async_trait;
use base64ct::{Base64UrlUnpadded, Encoding};

const ALL: [Facet; 5] = Facet::ALL;

#[test]
fn a_healthy_driver_passes_each_way() {
    for way in [Way::Direct, Way::BehindArc] {
        memory().check(way, reads()).expect("a case that passes");
        memory().run(way, reads().module, reads().name);
    }
}

#[test]
fn a_failing_case_fails_its_test_with_name_message_and_sentence() {
    let suite = memory().through(broken);
    let failure = suite
        .check(Way::Direct, reads())
        .expect_err("a case that fails");
    assert!(
        failure.to_string().contains("no tape in the drive"),
        "{failure}"
    );

    let told = panic_of(|| suite.run(Way::Direct, reads().module, reads().name));
    for part in [reads().name, "no tape in the drive", reads().sentence] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn a_documented_deviation_must_really_fail() {
    let (module, name) = (reads().module, reads().name);
    let deviating = |suite: Suite| suite.deviation(module, name, "the tape is in the archive");
    deviating(memory().through(broken)).run(Way::Direct, module, name);

    let told = panic_of(|| deviating(memory()).run(Way::Direct, module, name));
    assert!(told.contains("the tape is in the archive"), "{told}");
}

#[test]
fn a_deviation_names_a_case_that_runs() {
    let fields = CASES
        .iter()
        .find(|case| case.needs == Needs::Facet(Facet::Fields))
        .expect("a case of fields");
    let suite = || memory().deviation(fields.module, fields.name, "no fields");
    suite().check_deviations();
    panic_of(|| suite().facets(&[]).check_deviations());
    panic_of(|| {
        memory()
            .deviation("locks", "no_such_case", "nothing")
            .check_deviations();
    });
}

#[test]
fn an_unknown_case_is_a_failure() {
    let told = panic_of(|| memory().run(Way::Direct, "locks", "no_such_case"));
    assert!(told.contains("no_such_case"), "{told}");
}

#[test]
fn facets_are_exactly_those_declared() {
    memory().check_facets();
    panic_of(|| memory().facets(&[]).check_facets());
    for hidden in ALL {
        let suite =
            memory().through(move |driver| Arc::new(Layered::new(Without { driver, hidden })));
        let told = panic_of(|| suite.check_facets());
        assert!(told.contains(&format!("{hidden:?}")), "{told}");
        let rest: Vec<_> = ALL.into_iter().filter(|facet| *facet != hidden).collect();
        suite.facets(&rest).check_facets();
    }
}

#[test]
fn another_contract_is_refused() {
    memory().check_contract();
    panic_of(|| {
        memory()
            .through(|driver| Arc::new(Layered::new(Outdated(driver))))
            .check_contract();
    });
}

#[test]
fn a_case_that_hangs_is_ended_by_the_watchdog() {
    let suite = memory()
        .through(|driver| Arc::new(Layered::new(Hanging(driver))))
        .patience(Duration::from_millis(50));
    let failure = suite
        .check(Way::Direct, reads())
        .expect_err("a case that hangs");
    assert!(failure.to_string().contains("hung"), "{failure}");
}

#[test]
fn a_task_left_behind_fails_the_case() {
    let suite = memory()
        .through(|driver| Arc::new(Layered::new(Littering(driver))))
        .patience(Duration::from_millis(50));
    suite
        .check(Way::Direct, reads())
        .expect_err("a case that left a task");
}

#[test]
fn stop_always_runs_and_can_fail_the_case() {
    let stops = Arc::new(AtomicUsize::new(0));
    let suite = |leaves: bool| {
        let stops = Arc::clone(&stops);
        Suite::new(move || {
            let (memory, stops) = (Memory::new(), Arc::clone(&stops));
            async move {
                Stopping {
                    memory,
                    stops,
                    leaves,
                }
            }
        })
    };
    suite(false)
        .check(Way::Direct, reads())
        .expect("a case that passes");
    assert_eq!(stops.load(Ordering::SeqCst), 1);
    suite(false)
        .through(broken)
        .check(Way::Direct, reads())
        .expect_err("a case that fails");
    assert_eq!(stops.load(Ordering::SeqCst), 2);
    let failure = suite(true)
        .check(Way::Direct, reads())
        .expect_err("a driver that leaves things");
    assert_eq!(failure.to_string(), "a staged write is left");
    assert_eq!(stops.load(Ordering::SeqCst), 3);
}

#[test]
fn a_case_fails_in_which_a_driver_shows_a_secret() {
    let leaks: [(&str, Leak); 5] = [
        ("the log of suite", |req| {
            let token = token(req);
            tracing::trace!(token = hex(&token), "opens");
            Ok(())
        }),
        ("the log of suite", |req| {
            let _span = tracing::trace_span!("open", token = ?token(req)).entered();
            Ok(())
        }),
        ("the failure of open", |req| {
            let wish = Base64UrlUnpadded::encode_string(&[b"wish:", &token(req)[..]].concat());
            Err(Error::new(ErrorKind::Unavailable, wish))
        }),
        ("the failure of open", |req| {
            let cause = hex(&token(req)).to_uppercase();
            Err(Error::new(ErrorKind::Unavailable, "it failed").because(cause))
        }),
        ("this failure", |req| {
            panic!("cannot open: {:?}", token(req))
        }),
    ];
    for (by, leak) in leaks {
        let leaking =
            move |driver| Arc::new(Layered::new(Leaking(driver, leak))) as Arc<dyn Driver>;
        let suite = memory().with_canaries().through(leaking);
        for way in [Way::Direct, Way::BehindArc] {
            let failure = suite.check(way, locks()).expect_err("a leak");
            let told = format!("a secret was shown by {by}");
            assert!(failure.to_string().contains(&told), "{failure}");
        }
    }
}

/// A case that opens with a lock.
fn locks() -> &'static Case {
    Case::named("locks", "expires_however_it_was_taken").expect("a case of that name")
}

/// A case that every driver passes.
fn reads() -> &'static Case {
    Case::named("locks", "reading_disturbs_nothing").expect("a case of that name")
}

fn memory() -> Suite {
    Suite::new(|| async { Memory::new() }).facets(&ALL)
}

fn broken(driver: Arc<dyn Driver>) -> Arc<dyn Driver> {
    Arc::new(Layered::new(Broken(driver)))
}

fn panic_of(body: impl FnOnce()) -> String {
    let panic = panic::catch_unwind(AssertUnwindSafe(body)).expect_err("a test that fails");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .expect("a panic with a message")
}

/// Fails every open.
#[derive(Debug)]
struct Broken(Arc<dyn Driver>);

#[async_trait]
impl Layer for Broken {
    fn inner(&self) -> &dyn Driver {
        &*self.0
    }
    async fn open(&self, _: &Key, _: Open) -> Result<Opened> {
        Err(Error::new(ErrorKind::Unavailable, "no tape in the drive"))
    }
}

/// Shows the token of every open that asks for the lock.
struct Leaking(Arc<dyn Driver>, Leak);

type Leak = fn(&OpenLock) -> Result<()>;

impl Debug for Leaking {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl Layer for Leaking {
    fn inner(&self) -> &dyn Driver {
        &*self.0
    }
    async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
        if let Some(lock) = &req.lock {
            (self.1)(lock)?;
        }
        self.0.open(key, req).await
    }
}

fn token(lock: &OpenLock) -> [u8; LockToken::LEN] {
    *lock.claim.token.as_bytes()
}

fn hex(token: &[u8]) -> String {
    token.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Never answers an open.
#[derive(Debug)]
struct Hanging(Arc<dyn Driver>);

#[async_trait]
impl Layer for Hanging {
    fn inner(&self) -> &dyn Driver {
        &*self.0
    }
    async fn open(&self, _: &Key, _: Open) -> Result<Opened> {
        pending().await
    }
}

/// Leaves a task with every open.
#[derive(Debug)]
struct Littering(Arc<dyn Driver>);

#[async_trait]
impl Layer for Littering {
    fn inner(&self) -> &dyn Driver {
        &*self.0
    }
    async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
        drop(tokio::spawn(pending::<()>()));
        self.inner().open(key, req).await
    }
}

/// Lacks a facet.
#[derive(Debug)]
struct Without {
    driver: Arc<dyn Driver>,
    hidden: Facet,
}

#[async_trait]
impl Layer for Without {
    fn inner(&self) -> &dyn Driver {
        &*self.driver
    }
    fn has(&self, facet: Facet) -> bool {
        facet != self.hidden && facet.is_in(self.inner())
    }
}

/// Was written for another contract.
#[derive(Debug)]
struct Outdated(Arc<dyn Driver>);

#[async_trait]
impl Layer for Outdated {
    fn inner(&self) -> &dyn Driver {
        &*self.0
    }
    fn info(&self) -> DriverInfo {
        let mut info = self.inner().info();
        info.contract += 1;
        info
    }
}

#[derive(Debug)]
struct Memory {
    clock: ManualClock,
    driver: MemoryDriver,
}

impl Memory {
    fn new() -> Self {
        let clock = ManualClock::new();
        let driver = MemoryDriver::builder()
            .clock(Arc::new(clock.clone()))
            .build();
        Self { clock, driver }
    }
}

#[async_trait]
impl Harness for Memory {
    async fn connect(&self) -> Arc<dyn Driver> {
        Arc::new(self.driver.clone())
    }
    async fn neighbour(&self) -> Arc<dyn Driver> {
        let clock = Arc::new(self.clock.clone());
        Arc::new(MemoryDriver::builder().clock(clock).build())
    }
    fn recheck(&self) -> Duration {
        Duration::from_secs(1)
    }
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }
    async fn advance(&self, by: Duration) {
        self.clock.advance(by).await;
    }
    async fn holdings(&self) -> usize {
        self.driver.sessions() + self.driver.subjects_indexed()
    }
    async fn stop(&self) {}
}

/// Counts its stops, and can have something left.
#[derive(Debug)]
struct Stopping {
    memory: Memory,
    stops: Arc<AtomicUsize>,
    leaves: bool,
}

#[async_trait]
impl Harness for Stopping {
    async fn connect(&self) -> Arc<dyn Driver> {
        self.memory.connect().await
    }
    async fn neighbour(&self) -> Arc<dyn Driver> {
        self.memory.neighbour().await
    }
    fn recheck(&self) -> Duration {
        self.memory.recheck()
    }
    fn clock(&self) -> Arc<dyn Clock> {
        self.memory.clock()
    }
    async fn advance(&self, by: Duration) {
        self.memory.advance(by).await;
    }
    async fn holdings(&self) -> usize {
        self.memory.holdings().await
    }
    async fn stop(&self) {
        self.stops.fetch_add(1, Ordering::SeqCst);
        assert!(!self.leaves, "a staged write is left");
    }
}
