//! What networks and servers do to calls: what was acknowledged is there, nothing is there twice,
//! and nobody waits for somebody who is gone.

mod given;

use std::{
    num::{NonZeroU32, NonZeroUsize},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use asm_core::*;
use asm_redis::{RedisBuilder, RedisDriver};
use asm_servers::{Cluster, Direction, Fate, PATIENCE, Proxy, Sentinels, Server};
use asm_testkit::{cancel_at, expect, given as make};
use futures_util::{
    StreamExt,
    future::{self, Either, join_all},
};
use given::{
    beside, connected,
    ledger::{Counter, Found, Ledger, Outcome},
    quantile, run, run_in_still_time,
};
use tokio::{
    task::yield_now,
    time::{self, timeout},
};

const TASKS: u64 = 8;

#[test]
fn dropped_futures_leave_no_lock() {
    run(drop_futures(2_000));
}

#[test]
#[ignore = "takes minutes: the same with 100,000 that are dropped, which half of all are"]
fn a_hundred_thousand_dropped_futures_leave_no_lock() {
    run(drop_futures(220_000));
}

#[test]
fn lost_answers_have_the_effect_of_once() {
    run(lose_answers(300));
}

#[test]
#[ignore = "takes long: the same with 100,000 lost answers"]
fn a_hundred_thousand_lost_answers_have_the_effect_of_once() {
    run(lose_answers(100_000));
}

#[test]
fn every_call_ends_when_the_server_is_stopped() {
    run_in_still_time(stop_the_server(2, 3));
}

#[test]
fn every_call_ends_on_a_connection_that_is_half_dead() {
    run_in_still_time(half_open(2, 3));
}

#[test]
fn every_call_ends_when_sentinels_and_servers_are_stopped() {
    run_in_still_time(async {
        let group = beside(|| Sentinels::start().expect("sentinels")).await;
        let builder = given::on_sentinels(&group);
        let servers: Vec<_> = group.servers().iter().chain(group.sentinels()).collect();
        silence(builder, &servers, 2, 3).await;
    });
}

#[test]
fn every_call_ends_when_a_cluster_is_stopped() {
    run_in_still_time(async {
        let cluster = beside(|| Cluster::start().expect("a cluster")).await;
        let servers: Vec<_> = cluster.nodes().iter().collect();
        silence(given::on_cluster(&cluster), &servers, 2, 3).await;
    });
}

/// The master of some slots is gone, and nobody says who has them now.
#[test]
fn every_call_ends_when_one_of_a_cluster_is_gone_and_the_rest_stopped() {
    run_in_still_time(async {
        let cluster = beside(|| Cluster::start().expect("a cluster")).await;
        // The deadline of a call comes first.
        let builder = given::on_cluster(&cluster);
        let calls = Calls::prepare(builder, 10 * DEADLINE, 3).await;
        let name = format!("asm:{{{}}}", calls.counters[0].key);
        let slot = cluster.slot_of(&name).expect("a slot");
        let gone = cluster.owner(slot).expect("an owner");
        let others = (0..cluster.nodes().len()).filter(|node| *node != gone);
        for other in others {
            cluster.nodes()[other].stop().expect("a signal");
        }
        cluster.nodes()[gone].kill().expect("a signal");
        // The end of its connections is seen before time stands.
        for _ in 0..1_000 {
            yield_now().await;
        }
        calls.all_end().await;
    });
}

/// What one part of a call took is missing to those that follow.
#[test]
fn a_call_of_several_parts_has_one_deadline() {
    run_in_still_time(stall_at_each_part());
}

#[test]
#[ignore = "takes minutes: ten thousand calls, in every way and topology"]
fn ten_thousand_calls_end_when_nothing_answers() {
    run(async {
        stop_the_server(10, 85).await;
        half_open(5, 85).await;
        let group = beside(|| Sentinels::start().expect("sentinels")).await;
        let servers: Vec<_> = group.servers().iter().chain(group.sentinels()).collect();
        silence(given::on_sentinels(&group), &servers, 10, 85).await;
        let cluster = beside(|| Cluster::start().expect("a cluster")).await;
        let servers: Vec<_> = cluster.nodes().iter().collect();
        silence(given::on_cluster(&cluster), &servers, 10, 85).await;
    });
}

#[test]
fn forgotten_scripts_fail_no_call() {
    run(forget_scripts(2_000));
}

#[test]
#[ignore = "takes minutes: the same with 100,000 changes"]
fn forgotten_scripts_fail_none_of_a_hundred_thousand_calls() {
    run(forget_scripts(100_000));
}

#[test]
fn evicted_sessions_lose_no_update() {
    run(evict(20));
}

#[test]
#[ignore = "takes minutes: the same with 1,000 of them"]
fn a_thousand_evicted_sessions_lose_no_update() {
    run(evict(1_000));
}

/// What was sent before may have happened, whatever the server says the second time.
#[test]
fn a_refusal_of_what_was_sent_again_leaves_it_open() {
    run(refuse_what_is_sent_again());
}

/// Who breaks whatever lock there is, and is not answered, does not break the next one's.
#[test]
fn a_lock_that_is_broken_by_force_is_broken_once() {
    run(break_by_force());
}

/// Whoever gave up on an attempt, and released it, is not given the lock when the attempt arrives.
#[test]
fn an_attempt_that_arrives_after_its_release_takes_no_lock() {
    run(release_before_it_arrives());
}

/// Whoever copies keys may leave their lifetimes behind. Such a session is counted, and the next save
/// or touch gives it a life.
#[test]
fn a_lifetime_that_was_lost_comes_back() {
    run(lose_lifetimes());
}

/// A connection that listens and whose other end is gone is replaced, and followers are told.
#[test]
fn a_feed_on_a_connection_that_is_half_dead_goes_on() {
    run(listen_half_open());
}

#[test]
fn dropped_connections_lose_no_update() {
    run(drop_connections(1_500));
}

/// Futures are dropped at any of their awaits, and in between. What they may have taken is free for
/// the next one long before its hold is over; no answer is that of another session.
async fn drop_futures(times: u64) {
    let server = beside(|| Server::start().expect("a server")).await;
    // No hand-off lapses by itself, so that what is free again was undone.
    let builder = RedisDriver::builder()
        .url(server.url())
        .recheck(LEFT_BEHIND);
    let (driver, other) = (connected(builder.clone()).await, connected(builder).await);
    let tasks = (0..TASKS).map(|_| {
        let (driver, other) = (driver.clone(), other.clone());
        tokio::spawn(async move { drop_some(&driver, &other, times / TASKS).await })
    });
    let (mut took, mut dropped) = (Vec::new(), 0);
    for task in join_all(tasks).await {
        let (times, count) = task.expect("a task");
        took.extend(times);
        dropped += count;
    }
    assert_eq!(driver.counters().waiting, 0);
    given::until(async || driver.counters().under_way == 0).await;
    println!(
        "{dropped} futures dropped of {times}: 0 wrong answers, 0 locks left; free again after \
         p50 {:?}, p99 {:?}, max {:?}",
        quantile(&mut took, 0.5),
        quantile(&mut took, 0.99),
        quantile(&mut took, 1.0),
    );
    assert!(dropped > times / 4, "only {dropped} were dropped");
}

/// How long what nobody undoes would stay: longer than the next one waits, on any machine.
const LEFT_BEHIND: Duration = Duration::from_secs(600);

async fn drop_some(driver: &RedisDriver, other: &RedisDriver, times: u64) -> (Vec<Duration>, u64) {
    let (mut took, mut dropped) = (Vec::new(), 0);
    for _ in 0..times {
        let req = make::create(make::data());
        let (proof, data) = (req.stamp.proofs.current, req.data.clone());
        let (mut key, mut snapshot) = make::stored_as(other, req).await;
        let claim = Claim {
            hold: LEFT_BEHIND,
            ..make::claim()
        };
        let token = claim.token;
        let over = match fastrand::u8(0..5) {
            0 => some(driver.open(&key, make::open_locked(claim, proof))).await,
            1 => {
                let wish = LockWish {
                    claim,
                    ..make::wish(&snapshot)
                };
                some(driver.acquire(&key, wish)).await
            }
            // Behind another one, who releases meanwhile.
            2 => {
                let (held, _) = make::held(other, &key, &snapshot).await;
                let wish = LockWish {
                    claim,
                    ..make::wish(&snapshot)
                };
                let release = async {
                    moment().await;
                    other.release(&key, &held).await
                };
                let (over, released) =
                    future::join(some(driver.acquire(&key, wish)), release).await;
                expect::exactly(released, &Released::Done);
                over
            }
            3 => {
                key = make::key();
                let req = Create {
                    lock: Some(claim),
                    stamp: snapshot.stamp,
                    ..make::create(data.clone())
                };
                let over = some(driver.create(&key, req)).await;
                // It may not have come so far, and may still.
                match other
                    .create(
                        &key,
                        Create {
                            stamp: snapshot.stamp,
                            ..make::create(data.clone())
                        },
                    )
                    .await
                {
                    Ok(Created::Done { .. } | Created::Taken) => {}
                    wrong => panic!("{wrong:?}"),
                }
                snapshot = make::read(other, &key).await;
                over
            }
            _ => {
                let wish = LockWish {
                    claim,
                    ..make::attempt(&snapshot)
                };
                expect::held(driver.acquire(&key, wish).await);
                let save = make::save_and_release(token, &snapshot, data.clone());
                let over = some(driver.save(&key, save)).await;
                if !over {
                    // As whoever drops a session does.
                    driver.abandon(&key, &token);
                }
                over
            }
        };
        if over {
            let released = driver.release(&key, &token).await;
            released.expect("an answer");
        } else {
            dropped += 1;
        }
        let began = Instant::now();
        let wish = LockWish {
            wait: LEFT_BEHIND / 4,
            known: None,
            ..make::wish(&snapshot)
        };
        let token = wish.claim.token;
        let (_, found) = expect::held_with(other.acquire(&key, wish).await);
        assert_eq!(found.expect("asked for").data, data, "a wrong answer");
        expect::exactly(other.release(&key, &token).await, &Released::Done);
        // What was dropped may have come behind the next one, and what undoes it behind that.
        let mut again = time::interval(Duration::from_millis(1));
        while other.inspect(&key).await.expect("a look") != LockState::default() {
            again.tick().await;
        }
        took.push(began.elapsed());
        expect::exactly(other.delete(&key, make::log_out()).await, &Deleted::Done);
    }
    (took, dropped)
}

/// Some of the future: all of it, up to one of its awaits, or for a moment. Whether it came to its
/// end.
async fn some<T>(future: impl Future<Output = T>) -> bool {
    if fastrand::bool() {
        return cancel_at(fastrand::usize(1..6), future).await.is_some();
    }
    let first = future::select(Box::pin(future), Box::pin(moment())).await;
    matches!(first, Either::Left(_))
}

async fn moment() {
    for _ in 0..fastrand::usize(0..60) {
        yield_now().await;
    }
}

/// Calls are run, and nobody is told. Nothing happens twice, and nobody is told that somebody else
/// has what is his.
async fn lose_answers(losses: u64) {
    let server = beside(|| Server::start().expect("a server")).await;
    let proxy = Proxy::start(server.addr()).expect("a proxy");
    let direct = given::driver(&server).await;
    let shared = Counter::create(&direct).await;
    let ledger = Arc::new(Ledger::default());
    proxy.decide(|command| {
        let script = command.is("EVALSHA") || command.is("EVAL");
        match script && fastrand::u8(0..25) == 0 {
            true => Fate::LoseAnswer,
            false => Fate::Pass,
        }
    });
    let proxy = Arc::new(proxy);
    let tasks = (0..TASKS).map(|_| {
        let direct = direct.clone();
        let (proxy, ledger) = (Arc::clone(&proxy), Arc::clone(&ledger));
        tokio::spawn(async move {
            let builder = RedisDriver::builder().url(proxy.url()).without_check();
            let driver = connected(builder).await;
            let own = Counter::create(&direct).await;
            let mut added = 0;
            while proxy.counts().lost < losses {
                let locked = fastrand::bool();
                let began = Instant::now();
                let outcome = ledger.change(&driver, &own, locked).await;
                let took = began.elapsed();
                // Nobody else is there, so that a lock ends by its hold alone.
                assert!(
                    match outcome {
                        Outcome::Done | Outcome::Failed(_) => true,
                        Outcome::LockLost => took >= make::HOLD,
                        _ => false,
                    },
                    "{outcome:?} after {took:?}"
                );
                added = add(&driver, &direct, &own, added).await;
                ledger.change(&driver, &shared, fastrand::bool()).await;
            }
            assert_eq!(sum(&direct, &own).await, added, "a sum was doubled or lost");
            own
        })
    });
    let mut counters = vec![shared];
    for task in join_all(tasks).await {
        counters.push(task.expect("a task"));
    }
    proxy.pass();
    let found = ledger.find_all(&direct, &counters).await;
    let lost = proxy.counts().lost;
    println!(
        "{lost} answers lost: {} changes there, {} acknowledged, {} lost, 0 doubled, 0 false busy; \
         {ledger}",
        found.there, found.acknowledged, found.lost
    );
    assert_eq!(found.lost, 0);
    // The chain has each op once; whoever was not told is in it or not.
    assert!(found.there >= found.acknowledged);
    assert_eq!(ledger.count(Outcome::Busy), 0);
}

/// Adds one to the session's sum, until it is known whether it was added. Nobody else adds.
async fn add(driver: &RedisDriver, direct: &RedisDriver, counter: &Counter, before: i64) -> i64 {
    let mut write = FieldWrite {
        name: FieldName::new("sum").expect("a name"),
        epoch: counter.stamp.epoch,
        op: make::op(),
        resend: None,
        change: FieldChange::Incr(1),
    };
    let began = Instant::now();
    let fields = driver.fields().expect("the facet");
    loop {
        match fields.write_field(&counter.key, write.clone()).await {
            Ok(FieldWritten::Number(now)) => {
                assert_eq!(now, before + 1);
                return now;
            }
            Err(error) if error.is_retryable() => {
                // The deadline of a call comes on top.
                write.resend = Some(began.elapsed() + Duration::from_secs(2));
            }
            // Too many came after it for the server to remember.
            Err(error) if error.kind() == ErrorKind::Unknown => {
                let now = sum(direct, counter).await;
                assert!(now == before || now == before + 1, "{before}, then {now}");
                return now;
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn sum(driver: &RedisDriver, counter: &Counter) -> i64 {
    let read = FieldRead {
        name: FieldName::new("sum").expect("a name"),
        epoch: counter.stamp.epoch,
        items: None,
    };
    let fields = driver.fields().expect("the facet");
    match fields.read_field(&counter.key, read).await {
        Ok(FieldFound::Value(FieldValue::Number(sum))) => sum,
        Ok(FieldFound::Absent) => 0,
        other => panic!("{other:?}"),
    }
}

/// The server forgets its scripts all the time; it gets them again with the calls that need them.
async fn forget_scripts(changes: u64) {
    let server = Arc::new(beside(|| Server::start().expect("a server")).await);
    let driver = given::driver(&server).await;
    let over = Arc::new(AtomicBool::new(false));
    let forgetting = tokio::spawn({
        let (server, over) = (Arc::clone(&server), Arc::clone(&over));
        async move {
            let mut again = time::interval(Duration::from_millis(10));
            let mut times = 0;
            while !over.load(Ordering::Relaxed) {
                again.tick().await;
                let server = Arc::clone(&server);
                beside(move || server.call::<()>(&["SCRIPT", "FLUSH"]).expect("forgotten")).await;
                times += 1;
            }
            times
        }
    });
    let (ledger, counters) = load(&driver, changes, |_| async {}).await;
    over.store(true, Ordering::Relaxed);
    let times: u64 = forgetting.await.expect("a task");
    let found = ledger.find_all(&driver, &counters).await;
    println!(
        "scripts forgotten {times} times in {changes} changes, sent along {} times: {ledger}; {} \
         lost",
        driver.counters().scripts,
        found.lost
    );
    assert_eq!((ledger.failures(), found.lost), (0, 0));
    assert!(driver.counters().scripts > 0);
}

/// The server drops what is nearest to its end to make room, which is sessions and queues, or
/// whatever. A lock goes with its session: whoever holds it is told so when he saves.
async fn evict(sessions: u64) {
    for policy in ["volatile-ttl", "allkeys-random"] {
        let wishes = Server::builder()
            .memory(6 << 20, policy)
            .line("maxmemory-samples 64")
            .line("notify-keyspace-events Ee");
        let server = Arc::new(beside(|| wishes.start().expect("a server")).await);
        // The look at the server warns of it.
        let driver = given::driver(&server).await;
        let filler = asm_servers::connection(server.url()).await;
        let filler = filler.expect("a connection");
        let dropped = dropped_sessions(&server).await;
        let number = Arc::new(AtomicU64::new(0));
        let fill = move |_| {
            let (mut filler, number) = (filler.clone(), Arc::clone(&number));
            async move {
                // So large that what is not filler is a good part of all keys.
                let name = format!("filler:{}", number.fetch_add(1, Ordering::Relaxed));
                let mut more = redis::cmd("SET");
                more.arg(name).arg([0_u8; 64 << 10].as_slice());
                more.arg("EX").arg(10 * make::TTL.as_secs());
                more.exec_async(&mut filler).await.expect("stored");
            }
        };
        let (mut all, mut told) = (Found::default(), 0);
        while dropped.load(Ordering::Relaxed) < sessions {
            let (ledger, counters) = load(&driver, 200, fill.clone()).await;
            told += ledger.count(Outcome::Missing);
            all.add(ledger.find_all(&driver, &counters).await);
        }
        println!(
            "{policy}: {} keys dropped, of which {} were sessions: {told} changes were refused for it; \
             of the others {} acknowledged, {} lost",
            server.info("evicted_keys").expect("a count"),
            dropped.load(Ordering::Relaxed),
            all.acknowledged,
            all.lost
        );
        assert_eq!(all.lost, 0);
        assert!(told > 0, "nobody was told of a dropped session");
    }
}

/// How many sessions the server drops to make room.
async fn dropped_sessions(server: &Server) -> Arc<AtomicU64> {
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut listening = client.get_async_pubsub().await.expect("a connection");
    let dropped = "__keyevent@0__:evicted";
    listening.subscribe(dropped).await.expect("subscribed");
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        let mut names = listening.into_on_message();
        while let Some(name) = names.next().await {
            if name.get_payload_bytes().ends_with(b"}") {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    count
}

/// Every few milliseconds all connections end.
async fn drop_connections(changes: u64) {
    let server = beside(|| Server::start().expect("a server")).await;
    let proxy = Arc::new(Proxy::start(server.addr()).expect("a proxy"));
    let driver = connected(RedisDriver::builder().url(proxy.url())).await;
    let over = Arc::new(AtomicBool::new(false));
    let dropping = tokio::spawn({
        let (proxy, over) = (Arc::clone(&proxy), Arc::clone(&over));
        async move {
            let mut again = time::interval(Duration::from_millis(20));
            while !over.load(Ordering::Relaxed) {
                again.tick().await;
                proxy.drop_connections();
            }
        }
    });
    let (ledger, counters) = load(&driver, changes, |_| async {}).await;
    over.store(true, Ordering::Relaxed);
    dropping.await.expect("a task");
    let found = ledger.find_all(&driver, &counters).await;
    println!(
        "{} connections in {changes} changes: {ledger}; {} acknowledged, {} lost",
        proxy.counts().connections,
        found.acknowledged,
        found.lost
    );
    assert_eq!(found.lost, 0);
}

/// So many changes of sessions that are shared by several tasks, each with something between its
/// open and its save. A session that is gone is followed by a new one.
async fn load<F: Future<Output = ()> + Send>(
    driver: &RedisDriver,
    changes: u64,
    meanwhile: impl Fn(u64) -> F + Clone + Send + 'static,
) -> (Arc<Ledger>, Vec<Counter>) {
    let ledger = Arc::new(Ledger::default());
    let tasks = (0..TASKS / 2).map(|_| {
        let (driver, ledger) = (driver.clone(), Arc::clone(&ledger));
        let meanwhile = meanwhile.clone();
        tokio::spawn(async move {
            let mut counters = vec![Counter::create(&driver).await];
            for number in 0..changes / TASKS {
                let counter = counters[counters.len() - 1];
                // Two at a time.
                let one = ledger.change_while(&driver, &counter, true, meanwhile(number));
                let locked = number % 2 == 0;
                let other = ledger.change_while(&driver, &counter, locked, meanwhile(number));
                let outcomes = future::join(one, other).await;
                if outcomes.0 == Outcome::Missing || outcomes.1 == Outcome::Missing {
                    counters.push(Counter::create(&driver).await);
                }
            }
            counters
        })
    });
    let mut counters = Vec::new();
    for task in join_all(tasks).await {
        counters.extend(task.expect("a task"));
    }
    (ledger, counters)
}

async fn stop_the_server(rounds: u32, sessions: usize) {
    let server = beside(|| Server::start().expect("a server")).await;
    let builder = RedisDriver::builder().url(server.url());
    silence(builder, &[&server], rounds, sessions).await;
}

async fn half_open(rounds: u32, sessions: usize) {
    let server = beside(|| Server::start().expect("a server")).await;
    let proxy = Proxy::start(server.addr()).expect("a proxy");
    for direction in [Direction::ToServer, Direction::ToClient] {
        let builder = RedisDriver::builder().url(proxy.url());
        let calls = Calls::prepare(builder, DEADLINE * 3 / 4, sessions).await;
        for _ in 0..rounds {
            proxy.hold(direction);
            let mut late = calls.all_end().await;
            proxy.resume();
            calls.are_resolved().await;
            report(&format!("half open {direction:?}"), &mut late);
        }
    }
}

async fn refuse_what_is_sent_again() {
    let server = Arc::new(beside(|| Server::start().expect("a server")).await);
    let proxy = Proxy::start(server.addr()).expect("a proxy");
    let builder = RedisDriver::builder().url(proxy.url());
    let driver = connected(builder.deadline(Duration::from_secs(1))).await;
    let (key, snapshot) = make::stored(&driver).await;
    let upstream = Arc::clone(&server);
    lose_the_first_answer(&proxy, move || let_run_scripts(&upstream, false));
    let mut save = make::save(&snapshot, "once");
    let refused = driver.save(&key, save.clone()).await;
    let error = refused.expect_err("no script may run");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(driver.counters().resends > 0, "it was not sent again");
    proxy.pass();
    let_run_scripts(&server, true);
    save.resend = true;
    let version = expect::written(driver.save(&key, save).await);
    assert_eq!(version.number, snapshot.version.number + 1);
    assert_eq!(make::read(&driver, &key).await.version, version);
}

async fn break_by_force() {
    let server = beside(|| Server::start().expect("a server")).await;
    let proxy = Proxy::start(server.addr()).expect("a proxy");
    // No hand-off lapses while somebody looks.
    let on = |url| RedisDriver::builder().url(url).recheck(LEFT_BEHIND);
    let driver = connected(on(proxy.url())).await;
    let direct = connected(on(server.url())).await;
    let (key, snapshot) = make::stored(&direct).await;
    let (token, first) = make::held(&direct, &key, &snapshot).await;
    expect::renewed(direct.renew(&key, &token, LEFT_BEHIND).await);
    let mut waiting = Vec::new();
    // The first of them is woken by the answer, which is lost: it has to look by itself.
    for waiter in [&driver, &direct] {
        let wish = LockWish {
            wait: LEFT_BEHIND,
            ..make::wish(&snapshot)
        };
        let waiter = waiter.clone();
        let task = tokio::spawn(async move { waiter.acquire(&key, wish).await });
        waiting.push(task);
        given::until(async || given::waiters(&direct, &key).await == waiting.len()).await;
    }
    lose_the_first_answer(&proxy, || {});
    let broken = driver.break_lock(&key, None).await;
    let error = broken.expect_err("whether it happened is not known");
    assert!(error.is_retryable(), "{error:?}");
    let next = timeout(PATIENCE, waiting.remove(0)).await;
    let next = next.expect("long before it would look anyway");
    assert_eq!(expect::held(next.expect("a task")).get(), first.get() + 1);
    let state = direct.inspect(&key).await.expect("a look");
    assert_eq!(state.waiters.len(), 1);
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

async fn release_before_it_arrives() {
    let server = beside(|| Server::start().expect("a server")).await;
    let proxy = Proxy::start(server.addr()).expect("a proxy");
    let builder = RedisDriver::builder().url(proxy.url());
    let driver = connected(builder.deadline(DEADLINE)).await;
    let direct = given::driver(&server).await;
    let (key, snapshot) = make::stored(&direct).await;
    let mut sent = false;
    proxy.decide(move |command| {
        let first = command.is("EVALSHA") && !std::mem::replace(&mut sent, true);
        if first { Fate::Late } else { Fate::Pass }
    });
    let attempt = make::attempt(&snapshot);
    let token = attempt.claim.token;
    let unanswered = driver.acquire(&key, attempt).await;
    expect::failure(unanswered, ErrorKind::Timeout);
    let released = loop {
        match driver.release(&key, &token).await {
            Err(error) if error.is_retryable() => {}
            released => break released,
        }
    };
    expect::exactly(released, &Released::NotHeld);
    let scripts = || {
        let stats = server.command_stats().expect("an answer");
        let mut calls = stats.iter().filter(|(name, _)| name == "evalsha");
        calls.next().map_or(0, |(_, calls)| *calls)
    };
    let before = scripts();
    proxy.resume();
    given::until(async || scripts() > before).await;
    let state = direct.inspect(&key).await.expect("a look");
    assert_eq!(state, LockState::default());
}

async fn lose_lifetimes() {
    let server = beside(|| Server::start().expect("a server")).await;
    let driver = given::driver(&server).await;
    // Small and staged, by the script's common case and by the whole of it.
    for (size, renewed) in [
        (100, false),
        (100, true),
        (64 << 10, false),
        (64 << 10, true),
    ] {
        let (key, found) = make::stored_as(&driver, make::create(make::bytes(size))).await;
        let write = FieldWrite {
            name: FieldName::new("sum").expect("a name"),
            epoch: found.stamp.epoch,
            op: make::op(),
            resend: None,
            change: FieldChange::Incr(1),
        };
        let fields = driver.fields().expect("the facet");
        fields.write_field(&key, write).await.expect("written");
        let names = ["", ":fields"].map(|part| format!("asm:{{{key}}}{part}"));
        let lose = async || {
            let before = driver.counters().lost_lifetimes;
            for name in &names {
                let lost = server.call::<bool>(&["PERSIST", name]);
                assert!(lost.expect("an answer"), "{name}");
            }
            let found = make::read(&driver, &key).await;
            let counted = driver.counters().lost_lifetimes - before;
            assert_eq!((found.left, counted), (None, 1));
            found
        };
        let lives = async || {
            let left = make::read(&driver, &key).await.left;
            assert!(left.is_some_and(|left| left <= make::TTL), "{left:?}");
            for name in &names {
                let left = server.call::<i64>(&["PTTL", name]).expect("an answer");
                assert!(left > 0, "{name}: {left}");
            }
        };
        let found = lose().await;
        let mut save = make::save(&found, make::bytes(size));
        if renewed {
            save.stamp.epoch = make::epoch();
        }
        expect::written(driver.save(&key, save).await);
        lives().await;
        let found = lose().await;
        expect::touched(driver.touch(&key, make::touch(&found, make::TTL)).await);
        lives().await;
    }
}

/// Of scripts; a new connection has commands of its own. Something happens before each of the next.
fn lose_the_first_answer(proxy: &Proxy, then: impl Fn() + Send + 'static) {
    let mut sent = 0;
    proxy.decide(move |command| {
        if command.is("EVALSHA") {
            sent += 1;
            if sent == 1 {
                return Fate::LoseAnswer;
            }
            then();
        }
        Fate::Pass
    });
}

fn let_run_scripts(server: &Server, allowed: bool) {
    let scripts = if allowed { "+evalsha" } else { "-evalsha" };
    let set = ["ACL", "SETUSER", "default", scripts];
    server.call::<()>(&set).expect("an answer");
}

async fn listen_half_open() {
    let server = beside(|| Server::start().expect("a server")).await;
    let proxy = Proxy::start(server.addr()).expect("a proxy");
    let builder = RedisDriver::builder().url(proxy.url());
    let builder = builder.recheck(Duration::from_millis(20));
    let driver = connected(builder.deadline(DEADLINE)).await;
    let direct = given::driver(&server).await;
    let feed = driver.changes().expect("the facet");
    // What comes of a session, once the connection that listens is held and given up.
    let unheard = async |key: &Key, snapshot: &Snapshot| {
        let subscribe = Subscribe {
            epoch: snapshot.stamp.epoch,
            buffer: NonZeroUsize::MIN.saturating_add(9),
        };
        let changes = expect::live(feed.subscribe(key, subscribe).await);
        let before = proxy.counts().connections;
        // Both ways, so that the next one does not listen before all is over.
        proxy.hold(Direction::ToClient);
        proxy.hold(Direction::ToServer);
        // Nobody but the one who listens makes another.
        let again = given::until(async || proxy.counts().connections > before);
        timeout(PATIENCE, again).await.expect("it is given up");
        changes
    };
    let next = async |changes: &mut ChangeStream| {
        let told = timeout(PATIENCE, changes.next()).await;
        told.expect("whoever follows is told")
    };
    let (key, snapshot) = make::stored(&direct).await;
    let mut changes = unheard(&key, &snapshot).await;
    proxy.resume();
    let told = next(&mut changes).await;
    assert!(matches!(told, Some(Change::Lagged(_))), "{told:?}");
    expect::written(direct.save(&key, make::save(&snapshot, "told")).await);
    loop {
        match next(&mut changes).await {
            Some(Change::Lagged(_)) => {}
            Some(Change::Saved(_)) => break,
            other => panic!("{other:?}"),
        }
    }

    // A log out, or a login, while nobody listens ends what is followed all the same.
    for logs_out in [true, false] {
        let (key, snapshot) = make::stored(&direct).await;
        let mut changes = unheard(&key, &snapshot).await;
        if logs_out {
            let deleted = direct.delete(&key, make::log_out()).await;
            expect::exactly(deleted, &Deleted::Done);
        } else {
            let login = Save {
                stamp: make::stamp(),
                ..make::save(&snapshot, "a login")
            };
            expect::written(direct.save(&key, login).await);
        }
        proxy.resume();
        let mut told = next(&mut changes).await;
        assert!(matches!(told, Some(Change::Lagged(_))), "{told:?}");
        while let Some(Change::Lagged(_)) = told {
            told = next(&mut changes).await;
        }
        assert_eq!(told, Some(Change::Ended), "logs_out: {logs_out}");
    }
}

/// Every call ends by itself when nobody answers, and whatever it did shows once when they do.
async fn silence(builder: RedisBuilder, servers: &[&Server], rounds: u32, sessions: usize) {
    let calls = Calls::prepare(builder, DEADLINE * 3 / 4, sessions).await;
    for _ in 0..rounds {
        for server in servers {
            server.stop().expect("a signal");
        }
        let mut late = calls.all_end().await;
        for server in servers {
            server.cont().expect("a signal");
        }
        calls.are_resolved().await;
        report("stopped", &mut late);
    }
}

/// Each of the calls that have several parts is made again and again: one part after the other is not
/// answered, and those before it have taken most of the time.
async fn stall_at_each_part() {
    let server = beside(|| Server::start().expect("a server")).await;
    let proxy = Proxy::start(server.addr()).expect("a proxy");
    // Whoever listens asks for no sign of life meanwhile.
    let builder = RedisDriver::builder().url(proxy.url()).recheck(LEFT_BEHIND);
    let driver = connected(builder.deadline(Parts::DEADLINE)).await;
    let direct = given::driver(&server).await;
    let (key, snapshot) = make::stored(&direct).await;
    name_fields(&direct, &key, &snapshot, 1_500).await;
    let changes = driver.changes().expect("the facet");
    let subjects = driver.subjects().expect("the facet");
    let inventory = driver.inventory().expect("the facet");
    let subscribe = || Subscribe {
        epoch: snapshot.stamp.epoch,
        buffer: NonZeroUsize::MIN,
    };
    // It has its connection.
    drop(expect::live(changes.subscribe(&key, subscribe()).await));
    let reserve = || Reserve {
        key: make::key(),
        ttl: make::TTL,
        cap: Some(NonZeroU32::MIN),
    };
    // Whose only session was never stored.
    let subject = async || {
        let (subject, index) = (make::subject(), direct.subjects().expect("the facet"));
        let reserved = index.reserve(&subject, reserve()).await;
        reserved.expect("a place");
        subject
    };
    let parts = Parts::of(&proxy);
    let many = vec![key; 1_001];
    parts.stall(2, changes.subscribe(&key, subscribe())).await;
    parts.stall(2, inventory.field_names(&key)).await;
    parts
        .stall(2, subjects.forget(&make::subject(), many))
        .await;
    for stalled in 2..=3 {
        parts.stall(stalled, subjects.list(&subject().await)).await;
    }
    for stalled in 2..=5 {
        parts
            .stall(stalled, subjects.reserve(&subject().await, reserve()))
            .await;
    }
}

async fn name_fields(driver: &RedisDriver, key: &Key, snapshot: &Snapshot, count: usize) {
    let fields = driver.fields().expect("the facet");
    let writes = (0..count).map(|number| {
        let write = FieldWrite {
            name: FieldName::new(format!("n{number}")).expect("a name"),
            epoch: snapshot.stamp.epoch,
            op: make::op(),
            resend: None,
            change: FieldChange::Incr(1),
        };
        fields.write_field(key, write)
    });
    for written in join_all(writes).await {
        expect::number(written);
    }
}

/// The parts of a call, as a proxy sees them: they wait there for what is to become of them.
struct Parts {
    seen: Arc<Mutex<mpsc::Receiver<()>>>,
    fates: mpsc::Sender<Fate>,
}

impl Parts {
    /// Long enough for the parts that are answered, on any machine.
    const DEADLINE: Duration = Duration::from_secs(60);

    fn of(proxy: &Proxy) -> Self {
        let (see, seen) = mpsc::channel();
        let (fates, fate) = mpsc::channel();
        proxy.decide(move |command| {
            let parts = ["EVALSHA", "GETRANGE", "HSCAN", "SUBSCRIBE"];
            if !parts.iter().any(|part| command.is(part)) || see.send(()).is_err() {
                return Fate::Pass;
            }
            fate.recv().unwrap_or(Fate::Pass)
        });
        Self {
            seen: Arc::new(Mutex::new(seen)),
            fates,
        }
    }

    /// Makes a call. The parts before this one take nine tenths of the time together, and this one is
    /// not answered.
    async fn stall<T: std::fmt::Debug>(&self, part: u32, call: impl Future<Output = Result<T>>) {
        time::pause();
        let began = time::Instant::now();
        let fates = async {
            for _ in 1..part {
                self.part().await;
                time::advance(Self::DEADLINE * 9 / 10 / (part - 1)).await;
                self.fates.send(Fate::Pass).expect("it waits");
            }
            self.part().await;
            self.fates.send(Fate::NoAnswer).expect("it waits");
        };
        let (answer, ()) = future::join(call, fates).await;
        let took = began.elapsed();
        time::resume();
        expect::failure(answer, ErrorKind::Timeout);
        let late = took.checked_sub(Self::DEADLINE);
        assert!(late.is_some_and(|late| late <= TICKS), "{part}: {took:?}");
    }

    /// The next has come. Time stands still until then.
    async fn part(&self) {
        let seen = Arc::clone(&self.seen);
        let next = beside(move || {
            let seen = seen.lock().expect("whole");
            seen.recv_timeout(PATIENCE)
        });
        next.await.expect("a part of the call");
    }
}

fn report(what: &str, late: &mut [Duration]) {
    let over = late
        .iter()
        .filter(|late| **late > Duration::from_millis(50))
        .count();
    println!(
        "{what}: {} calls ended, past their deadline by p50 {:?}, p99 {:?}, max {:?}; {} by more \
         than 50 ms",
        late.len(),
        quantile(late, 0.5),
        quantile(late, 0.99),
        quantile(late, 1.0),
        over
    );
}

const DEADLINE: Duration = Duration::from_millis(400);

/// As exactly as timers go, and some of them one after the other.
const TICKS: Duration = Duration::from_millis(5);

/// Sessions, and a call of each kind on each.
struct Calls {
    driver: RedisDriver,
    /// For all that is to be answered, on any machine.
    patient: RedisDriver,
    counters: Vec<Counter>,
    saves: tokio::sync::Mutex<Vec<(Counter, Save)>>,
}

impl Calls {
    async fn prepare(builder: RedisBuilder, connect_timeout: Duration, sessions: usize) -> Self {
        let patient = connected(builder.clone().deadline(make::WAIT)).await;
        let mut counters = Vec::new();
        for _ in 0..sessions {
            counters.push(Counter::create(&patient).await);
        }
        let builder = builder.deadline(DEADLINE);
        let builder = builder.connect_timeout(connect_timeout).without_check();
        let driver = connected(builder).await;
        // Its connections are there before nobody answers.
        for Counter { key, .. } in &counters {
            given::until(async || driver.open(key, make::open()).await.is_ok()).await;
        }
        Self {
            driver,
            patient,
            counters,
            saves: tokio::sync::Mutex::default(),
        }
    }

    /// Makes all calls at once, while nobody answers. By how much each was late; none is where time
    /// stands still.
    async fn all_end(&self) -> Vec<Duration> {
        let mut calls: Vec<future::BoxFuture<'_, Result<()>>> = Vec::new();
        macro_rules! call {
            ($call:expr) => {
                calls.push(Box::pin(async move { $call.await.map(drop) }))
            };
        }
        let driver = &self.driver;
        let fields = driver.fields().expect("the facet");
        let subjects = driver.subjects().expect("the facet");
        let inventory = driver.inventory().expect("the facet");
        let changes = driver.changes().expect("the facet");
        let mut saves = Vec::new();
        for counter in &self.counters {
            let Counter { key, stamp, .. } = counter;
            let known = counter.unchanged();
            let save = make::save(&known, "saved");
            saves.push((*counter, save.clone()));
            let at_once = LockWish {
                wait: Duration::ZERO,
                ..make::wish(&known)
            };
            let patient = make::wish(&known);
            let open = make::open_locked(make::claim(), stamp.proofs.current);
            let read = FieldRead {
                name: FieldName::new("sum").expect("a name"),
                epoch: stamp.epoch,
                items: None,
            };
            let write = FieldWrite {
                name: FieldName::new("sum").expect("a name"),
                epoch: stamp.epoch,
                op: make::op(),
                resend: None,
                change: FieldChange::Incr(1),
            };
            let touch = make::touch(&known, make::TTL);
            // Of a version and a grant that never were, for when they arrive late.
            let mut guard = Guard::unchanged(&known);
            guard.version.number += 1_000;
            let only_if = Some(guard);
            let grant = Some(Fence::new(1 << 40));
            let subscribe = Subscribe {
                epoch: stamp.epoch,
                buffer: NonZeroUsize::MIN,
            };
            let reserve = Reserve {
                key: *key,
                ttl: make::TTL,
                cap: None,
            };
            let batch = NonZeroUsize::MIN;
            let [listed, reserved, revoked, forgotten] = [(); 4].map(|()| make::subject());
            let [released, renewed] = [(); 2].map(|()| make::token());
            call!(driver.open(key, make::open()));
            call!(driver.open(key, open));
            call!(driver.save(key, save));
            call!(driver.create(&make::key(), make::create("0")));
            call!(driver.touch(key, touch));
            call!(driver.delete(key, Delete { only_if }));
            call!(driver.acquire(key, at_once));
            call!(driver.acquire(key, patient));
            call!(driver.release(key, &released));
            call!(driver.renew(key, &renewed, make::HOLD));
            call!(driver.break_lock(key, grant));
            call!(driver.inspect(key));
            call!(fields.read_field(key, read));
            call!(fields.write_field(key, write));
            call!(changes.subscribe(key, subscribe));
            call!(subjects.list(&listed));
            call!(subjects.reserve(&reserved, reserve));
            call!(subjects.revoke(&revoked, None));
            call!(subjects.forget(&forgotten, vec![*key]));
            call!(inventory.list_sessions(ListStep { from: None, batch }));
            call!(inventory.field_names(key));
        }
        let stands = given::time_stands();
        if stands {
            time::pause();
        }
        let began = time::Instant::now();
        let timed = calls.into_iter().map(|call| async move {
            let answer = call.await;
            (answer, began.elapsed().saturating_sub(DEADLINE))
        });
        let ended = join_all(timed).await;
        if stands {
            time::resume();
            let latest = ended.iter().map(|(_, late)| *late).max();
            assert!(latest <= Some(TICKS), "{latest:?} past the deadline");
        }
        *self.saves.lock().await = saves;
        ended
            .into_iter()
            .map(|(answer, late)| {
                let error = answer.expect_err("nobody answers");
                let kinds = [
                    ErrorKind::Timeout,
                    ErrorKind::Unavailable,
                    ErrorKind::NotReady,
                ];
                assert!(kinds.contains(&error.kind()), "{error:?}");
                late
            })
            .collect()
    }

    /// Everybody answers again: what was saved late was saved once.
    async fn are_resolved(&self) {
        // What was sent may be run now, and what undoes it too.
        given::until(async || self.driver.counters().under_way == 0).await;
        for (counter, save) in self.saves.lock().await.drain(..) {
            let mut save = save;
            save.resend = true;
            let written = loop {
                match self.patient.save(&counter.key, save.clone()).await {
                    Err(error) if error.is_retryable() => {}
                    written => break written,
                }
            };
            let snapshot = make::read(&self.patient, &counter.key).await;
            match written {
                Ok(Written::Done { version, .. }) => {
                    assert_eq!((version.number, version), (2, snapshot.version));
                }
                // The lock of the open that was not answered goes within its hold.
                Ok(Written::Locked) => assert_eq!(snapshot.version.number, 1),
                other => panic!("{other:?}"),
            }
            self.begin_again(&counter).await;
        }
    }

    async fn begin_again(&self, counter: &Counter) {
        let deleted = self.patient.delete(&counter.key, make::log_out()).await;
        expect::exactly(deleted, &Deleted::Done);
        let create = Create {
            op: counter.first.op,
            stamp: counter.stamp,
            ..make::create("0")
        };
        expect::created(self.patient.create(&counter.key, create).await);
    }
}
