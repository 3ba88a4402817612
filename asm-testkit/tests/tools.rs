//! The tools: clock, layers, counting, chaos, cancelling.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use asm_core::{
    Clock, Create, Driver, ErrorKind, LockState, LockStore, Released, Save, SessionStore,
};
use asm_memory::MemoryDriver;
use asm_testkit::{
    Chaos, Counting, Facet, Fault, Layered, ManualClock, Odds, Verb, cancel_at, count_awaits,
    expect, given,
};
use tokio::task::yield_now;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn clock_stands_still_until_it_is_moved() {
    let clock = ManualClock::new();
    let began = clock.now();
    let sleep = tokio::spawn(clock.sleep(SECOND));
    for _ in 0..1000 {
        yield_now().await;
    }
    assert_eq!(clock.now(), began);
    assert!(!sleep.is_finished());
    clock.clone().advance(SECOND).await;
    assert_eq!(clock.now().since(began), SECOND);
    assert!(sleep.is_finished());
    assert_eq!(clock.sleepers(), 0);
}

#[tokio::test]
async fn clock_fires_timers_in_order_each_at_its_time() {
    let (clock, fired) = (ManualClock::new(), Arc::new(Mutex::new(Vec::new())));
    let began = clock.now();
    for seconds in [5, 1, 3, 1] {
        let (clock, fired) = (clock.clone(), Arc::clone(&fired));
        tokio::spawn(async move {
            clock.sleep(seconds * SECOND).await;
            // A timer that is set on the way is met on the way.
            clock.sleep(SECOND).await;
            fired
                .lock()
                .expect("a log")
                .push((seconds, clock.now().since(began).as_secs()));
        });
    }
    clock.advance(5 * SECOND).await;
    assert_eq!(*fired.lock().expect("a log"), [(1, 2), (1, 2), (3, 4)]);
    clock.advance(SECOND).await;
    assert_eq!(fired.lock().expect("a log").last(), Some(&(5, 6)));
}

#[tokio::test]
async fn clock_forgets_a_sleeper_that_was_dropped() {
    let clock = ManualClock::new();
    let sleep = clock.sleep(SECOND);
    assert_eq!(clock.sleepers(), 1);
    drop(sleep);
    assert_eq!(clock.sleepers(), 0);
    clock.sleep(Duration::ZERO).await;
}

#[tokio::test]
async fn counting_counts_each_verb_of_stores_and_facets() {
    let driver = Counting::over(MemoryDriver::new());
    let (key, snapshot) = given::stored(&driver).await;
    let (token, _) = given::held(&driver, &key, &snapshot).await;
    let before = driver.layer().calls();
    before.expect(&[(Verb::Create, 1), (Verb::Open, 1), (Verb::Acquire, 1)]);
    driver.abandon(&key, &token);
    given::swept(&driver).await;
    let calls = driver.layer().calls().since(&before);
    assert_eq!((calls.of(Verb::Abandon), calls.of(Verb::Open)), (1, 0));
    assert!(calls.of(Verb::Sweep) > 0);
    assert_eq!(driver.layer().take().total(), 4 + calls.of(Verb::Sweep));
    driver.layer().take().expect(&[]);
}

#[tokio::test]
#[should_panic(expected = "expected these calls: 1 save; there were: 1 open")]
async fn counting_tells_what_was_called_instead() {
    let driver = Counting::over(MemoryDriver::new());
    expect::missing(driver.open(&given::key(), given::open()).await);
    driver.layer().take().expect(&[(Verb::Save, 1)]);
}

#[tokio::test]
async fn layers_keep_every_facet() {
    let driver = Counting::over(Chaos::over(MemoryDriver::new(), ManualClock::new()));
    for facet in Facet::ALL {
        assert!(facet.is_in(&driver), "{facet:?}");
    }
    assert_eq!(driver.info().name, "memory");
}

#[tokio::test]
async fn chaos_strikes_by_script() {
    let (clock, driver) = chaotic();
    let (key, before) = given::stored(&driver).await;
    let chaos = driver.layer();

    chaos.next(Verb::Save, Fault::Refused(ErrorKind::NotReady));
    let save = given::save(&before, "one");
    expect::failure(driver.save(&key, save.clone()).await, ErrorKind::NotReady);
    assert_eq!(given::read(&driver, &key).await.version, before.version);

    chaos.next(Verb::Save, Fault::LostAnswer);
    expect::failure(driver.save(&key, save.clone()).await, ErrorKind::Timeout);
    let after = given::read(&driver, &key).await;
    assert_eq!(after.version.number, before.version.number + 1);
    let again = Save {
        resend: true,
        ..save
    };
    assert_eq!(
        expect::written(driver.save(&key, again).await),
        after.version
    );

    chaos.next(Verb::Save, Fault::Twice);
    let version = expect::written(driver.save(&key, given::save(&after, "two")).await);
    assert_eq!(version.number, after.version.number + 1);

    chaos.next(Verb::Open, Fault::Late(SECOND));
    let driver = Arc::new(driver);
    let late = tokio::spawn({
        let driver = Arc::clone(&driver);
        async move { given::read(&*driver, &key).await }
    });
    clock.advance(SECOND / 2).await;
    assert!(!late.is_finished());
    clock.advance(SECOND / 2).await;
    assert_eq!(late.await.expect("an open").version, version);
    let struck: Vec<_> = driver
        .layer()
        .struck()
        .into_iter()
        .map(|(verb, _)| verb)
        .collect();
    assert_eq!(struck, [Verb::Save, Verb::Save, Verb::Save, Verb::Open]);
}

#[tokio::test]
async fn chaos_of_one_seed_is_the_same_chaos() {
    let odds = Odds {
        refused: 0.2,
        lost_answer: 0.2,
        twice: 0.2,
        ..Odds::default()
    };
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let (_, driver) = chaotic();
        let (key, _) = given::stored(&driver).await;
        driver.layer().at_random(seed, odds);
        for _ in 0..200 {
            let _ = driver.open(&key, given::open()).await;
        }
        runs.push(driver.layer().struck());
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    for fault in [
        Fault::Refused(ErrorKind::Unavailable),
        Fault::LostAnswer,
        Fault::Twice,
    ] {
        let times = runs[0]
            .iter()
            .filter(|(_, struck)| *struck == fault)
            .count();
        assert!(
            (10..80).contains(&times),
            "{fault:?} struck {times} of 200 times"
        );
    }
}

#[tokio::test]
async fn chaos_takes_no_lock_for_one_who_has_gone() {
    let (_, driver) = chaotic();
    driver.layer().pause(2);
    let (key, snapshot) = given::stored(&driver).await;
    let (_, awaits) = count_awaits(driver.inspect(&key)).await;
    assert_eq!(awaits, 4);
    for n in 1..=awaits {
        let cancelled = cancel_at(n, driver.acquire(&key, given::wish(&snapshot))).await;
        assert_eq!(
            cancelled.map(drop),
            None,
            "met fewer awaits than there were"
        );
        expect::exactly(driver.inspect(&key).await, &LockState::default());

        let key = given::key();
        let born = Create {
            lock: Some(given::claim()),
            ..given::create(given::data())
        };
        assert!(cancel_at(n, driver.create(&key, born)).await.is_none());
        expect::exactly(driver.inspect(&key).await, &LockState::default());
    }
    let (token, _) = given::held(&driver, &key, &snapshot).await;
    expect::exactly(driver.release(&key, &token).await, &Released::Done);
}

#[tokio::test]
async fn awaits_are_counted_and_met() {
    let waits = async |count: usize| {
        for _ in 0..count {
            yield_now().await;
        }
        count
    };
    for count in 0..5 {
        assert_eq!(count_awaits(waits(count)).await, (count, count));
        for n in 1..=count {
            assert_eq!(cancel_at(n, waits(count)).await, None);
        }
        assert_eq!(cancel_at(count + 1, waits(count)).await, Some(count));
    }
}

fn chaotic() -> (ManualClock, Layered<Chaos<MemoryDriver>>) {
    let clock = ManualClock::new();
    let driver = MemoryDriver::builder()
        .clock(Arc::new(clock.clone()))
        .build();
    (clock.clone(), Chaos::over(driver, clock))
}
