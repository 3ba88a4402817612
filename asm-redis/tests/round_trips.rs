//! What a verb costs, as a proxy before the server counts it: one round trip each.

mod given;

use std::{num::NonZeroUsize, time::Duration};

use asm_core::*;
use asm_redis::RedisDriver;
use asm_servers::{Counts, Proxy, Server};
use asm_testkit::{
    expect,
    given::{self as make, HOLD, TTL},
};
use given::{beside, run, until, verbs, waiters};

/// Records that go with the script, and records that go ahead of it.
const SIZES: [usize; 3] = [100, 64 << 10, 1 << 20];

#[test]
fn each_verb_of_the_record_is_one_round_trip() {
    run(async {
        let counted = Counted::start().await;
        let driver = &counted.driver;
        for size in SIZES {
            let key = make::key();
            let req = make::create(make::bytes(size));
            let proof = req.stamp.proofs.current;
            expect::created(counted.one(driver.create(&key, req)).await);
            let snapshot = expect::found(counted.one(driver.open(&key, make::open())).await);
            let save = make::save(&snapshot, make::bytes(size));
            expect::written(counted.one(driver.save(&key, save)).await);
            // A refusal brings the record along.
            let stale = make::save(&snapshot, make::bytes(size));
            let fresh = expect::conflict(counted.one(driver.save(&key, stale)).await);
            assert_eq!(fresh.data.len(), size);
            expect::touched(
                counted
                    .one(driver.touch(&key, make::touch(&fresh, TTL)))
                    .await,
            );
            let claim = make::claim();
            let open = make::open_locked(claim.clone(), proof);
            let (snapshot, lock) = expect::found_with(counted.one(driver.open(&key, open)).await);
            assert!(matches!(lock, OpenedLock::Held(_)), "{lock:?}");
            let unlocked = make::save(&snapshot, make::bytes(size));
            let locked = counted.one(driver.save(&key, unlocked)).await;
            expect::exactly(locked, &Written::Locked);
            let save = make::save_held(claim.token, &snapshot, make::bytes(size));
            expect::written(counted.one(driver.save(&key, save)).await);
            let deleted = counted.one(driver.delete(&key, make::log_out())).await;
            expect::exactly(deleted, &Deleted::Done);
            expect::missing(counted.one(driver.open(&key, make::open())).await);
            let nothing = counted.one(driver.delete(&key, make::log_out())).await;
            expect::exactly(nothing, &Deleted::Nothing);
        }
    });
}

/// Beside its place, so that it does not travel through a script.
#[test]
fn a_record_above_a_kibibyte_goes_ahead_of_its_script() {
    run(async {
        let counted = Counted::start().await;
        let driver = &counted.driver;
        for (size, ahead) in [(100, 0), (1024, 0), (1025, 1), (64 << 10, 1)] {
            let key = make::key();
            let create = make::create(make::bytes(size));
            let (created, counts) = counted.counting(driver.create(&key, create)).await;
            expect::created(created);
            assert_eq!(counts.of("SET"), ahead, "{size}: {counts:?}");
            let snapshot = make::read(driver, &key).await;
            let save = make::save(&snapshot, make::bytes(size));
            let (written, counts) = counted.counting(driver.save(&key, save)).await;
            expect::written(written);
            assert_eq!(counts.of("SET"), ahead, "{size}: {counts:?}");
        }
    });
}

#[test]
fn each_verb_of_the_lock_is_one_round_trip() {
    run(async {
        let counted = Counted::start().await;
        let driver = &counted.driver;
        for size in SIZES {
            let req = make::create(make::bytes(size));
            let (key, snapshot) = make::stored_as(driver, req).await;
            let wish = LockWish {
                known: None,
                ..make::attempt(&snapshot)
            };
            let token = wish.claim.token;
            let (fence, brought) = expect::held_with(counted.one(driver.acquire(&key, wish)).await);
            assert_eq!(brought.expect("asked for").data.len(), size);
            let busy = driver.acquire(&key, make::attempt(&snapshot));
            expect::exactly(counted.one(busy).await, &Acquired::Busy);
            expect::renewed(counted.one(driver.renew(&key, &token, 2 * HOLD)).await);
            let state = counted.one(driver.inspect(&key)).await.expect("a look");
            assert_eq!(state.holder.expect("a holder").fence, fence);
            let broken = counted.one(driver.break_lock(&key, Some(fence))).await;
            assert_eq!(expect::broken(broken), fence);
            let lost = counted.one(driver.release(&key, &token)).await;
            expect::exactly(lost, &Released::NotHeld);
        }
    });
}

#[test]
fn a_locked_request_is_two_round_trips() {
    run(async {
        let counted = Counted::start().await;
        let driver = &counted.driver;
        for size in SIZES {
            let req = make::create(make::bytes(size));
            let proof = req.stamp.proofs.current;
            let (key, _) = make::stored_as(driver, req).await;
            let before = counted.proxy.counts();
            for _ in 0..10 {
                let claim = make::claim();
                let open = make::open_locked(claim.clone(), proof);
                let (snapshot, lock) = expect::found_with(driver.open(&key, open).await);
                assert!(matches!(lock, OpenedLock::Held(_)), "{lock:?}");
                let save = make::save_and_release(claim.token, &snapshot, make::bytes(size));
                expect::written(driver.save(&key, save).await);
            }
            let counts = counted.proxy.counts().since(&before);
            assert_eq!(counts.round_trips, 2 * 10, "{size} bytes: {counts:?}");
        }
    });
}

#[test]
fn each_verb_of_the_facets_is_one_round_trip() {
    run(async {
        let counted = Counted::start().await;
        let driver = &counted.driver;
        let (key, snapshot) = make::stored(driver).await;
        let fields = driver.fields().expect("the facet");
        for change in verbs::changes() {
            let write = FieldWrite {
                name: FieldName::new("n").expect("a name"),
                epoch: snapshot.stamp.epoch,
                op: make::op(),
                resend: None,
                change,
            };
            counted
                .one(fields.write_field(&key, write))
                .await
                .expect("an answer");
        }
        let read = FieldRead {
            name: FieldName::new("n").expect("a name"),
            epoch: snapshot.stamp.epoch,
            items: None,
        };
        let value = expect::value(counted.one(fields.read_field(&key, read)).await);
        assert!(matches!(value, FieldValue::List(_)), "{value:?}");

        let subjects = driver.subjects().expect("the facet");
        let subject = make::subject();
        let reserve = Reserve {
            key,
            ttl: TTL,
            cap: None,
        };
        let reserved = counted.one(subjects.reserve(&subject, reserve)).await;
        assert!(
            matches!(reserved, Ok(Reserved::Done { .. })),
            "{reserved:?}"
        );
        let revoked = counted.one(subjects.revoke(&subject, None)).await;
        assert_eq!(revoked.expect("an answer").keys, [key]);
        let forgot = counted.one(subjects.forget(&subject, vec![key])).await;
        assert_eq!(forgot.expect("an answer"), 1);
    });
}

/// The listening connection is another than that of the calls.
#[test]
fn a_subscription_is_one_round_trip_and_what_it_brings_is_none() {
    run(async {
        let counted = Counted::start().await;
        let driver = &counted.driver;
        let (key, snapshot) = make::stored(driver).await;
        let feed = driver.changes().expect("the facet");
        let subscribe = |to: &Snapshot| Subscribe {
            epoch: to.stamp.epoch,
            buffer: NonZeroUsize::MIN.saturating_add(99),
        };
        // The first one makes the connection.
        let first = expect::live(feed.subscribe(&key, subscribe(&snapshot)).await);
        let (key, snapshot) = make::stored(driver).await;
        let before = counted.proxy.counts();
        let again = expect::live(feed.subscribe(&key, subscribe(&snapshot)).await);
        let counts = counted.proxy.counts().since(&before);
        // The record may have to be looked at, beside the subscription itself.
        assert_eq!(counts.of("SUBSCRIBE"), 1, "{counts:?}");
        assert!(counts.round_trips <= 2, "{counts:?}");
        drop((first, again));
    });
}

/// A contended lock: open, which is busy; a ticket; a claim when it was handed over; save with
/// release. While it waits it asks nothing.
#[test]
fn a_contended_lock_is_four_round_trips_and_none_while_it_waits() {
    run(async {
        let counted = Counted::start().await;
        let holder = given::driver(&counted.server).await;
        let driver = &counted.driver;
        // The connection that listens is there from the first waiter on.
        counted.waited_once(&holder).await;

        let req = make::create(make::data());
        let proof = req.stamp.proofs.current;
        let (key, snapshot) = make::stored_as(&holder, req).await;
        let (held, _) = make::held(&holder, &key, &snapshot).await;
        let before = counted.proxy.counts();
        let open = make::open_locked(make::claim(), proof);
        let (snapshot, lock) = expect::found_with(driver.open(&key, open).await);
        assert_eq!(lock, OpenedLock::Busy);
        let wish = make::wish(&snapshot);
        let token = wish.claim.token;
        let waiting = tokio::spawn({
            let driver = driver.clone();
            async move { driver.acquire(&key, wish).await }
        });
        until(async || waiters(&holder, &key).await == 1).await;
        // The server has the ticket before its answer has come through the proxy.
        let so_far = || counted.proxy.counts().since(&before);
        until(async || so_far().answers == so_far().commands).await;
        let queued = so_far();
        assert_eq!(queued.round_trips, 2, "{queued:?}");

        // However much happens meanwhile, also to the session itself.
        for _ in 0..500 {
            make::stored(&holder).await;
            make::read(&holder, &key).await;
        }
        assert_eq!(counted.proxy.counts().since(&before), queued);

        let released = holder.release(&key, &held).await;
        expect::exactly(released, &Released::Done);
        expect::held(waiting.await.expect("a waiter"));
        let save = make::save_and_release(token, &snapshot, make::data());
        expect::written(driver.save(&key, save).await);
        let counts = counted.proxy.counts().since(&before);
        assert_eq!(counts.round_trips, 4, "{counts:?}");
        assert_eq!(driver.counters().wakes, 2, "this one and the first");
    });
}

/// Two connections of a driver, before a server that is asked by nobody else.
struct Counted {
    server: Server,
    proxy: Proxy,
    driver: RedisDriver,
}

impl Counted {
    async fn start() -> Self {
        let server = beside(|| Server::start().expect("a server")).await;
        let proxy = Proxy::start(server.addr()).expect("a proxy");
        let builder = RedisDriver::builder()
            .url(proxy.url())
            // Nobody rechecks while a test looks.
            .recheck(Duration::from_secs(3600));
        let driver = given::connected(builder).await;
        make::stored(&driver).await;
        Self {
            server,
            proxy,
            driver,
        }
    }

    /// Fails unless the call was one round trip.
    #[track_caller]
    fn one<'a, T: 'a>(
        &'a self,
        call: impl Future<Output = T> + 'a,
    ) -> impl Future<Output = T> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let (answer, counts) = self.counting(call).await;
            assert_eq!(counts.round_trips, 1, "{caller}: {counts:?}");
            assert_eq!(counts.connections, 0, "{caller}: {counts:?}");
            // Nor does anything go on behind it.
            assert_eq!(self.driver.counters().under_way, 0, "{caller}");
            answer
        }
    }

    async fn counting<T>(&self, call: impl Future<Output = T>) -> (T, Counts) {
        let before = self.proxy.counts();
        let answer = call.await;
        (answer, self.proxy.counts().since(&before))
    }

    async fn waited_once(&self, holder: &RedisDriver) {
        let (key, snapshot) = make::stored(holder).await;
        let (held, _) = make::held(holder, &key, &snapshot).await;
        let waiting = tokio::spawn({
            let (driver, wish) = (self.driver.clone(), make::wish(&snapshot));
            async move { driver.acquire(&key, wish).await }
        });
        until(async || waiters(holder, &key).await == 1).await;
        expect::exactly(holder.release(&key, &held).await, &Released::Done);
        expect::held(waiting.await.expect("a waiter"));
    }
}
