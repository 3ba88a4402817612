//! Processes that are killed or stopped while they hold or wait: the next one is served.

mod given;

use std::{
    env,
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use asm_core::*;
use asm_redis::{RedisBuilder, RedisDriver};
use asm_servers::{Cluster, Server};
use asm_testkit::{expect, given as make};
use given::{beside, connected, run, until, waiters};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// Short, so that a test does not take long, and long enough for a machine under load: whoever shows
/// no sign of life for three of these waits no more. A hand-off is provisional for two.
const RECHECK: Duration = Duration::from_millis(400);

/// How long the processes hold what they hold.
const HOLD: Duration = Duration::from_millis(1500);

#[test]
fn who_waits_for_a_holder_that_was_killed_is_served() {
    let server = Server::start().expect("a server");
    run(holder_killed(&[server.url()]));
}

#[test]
fn who_waits_behind_a_waiter_that_was_killed_is_served() {
    let server = Server::start().expect("a server");
    run(waiter_gone(&[server.url()], true));
}

#[test]
fn who_waits_behind_a_waiter_that_was_stopped_is_served() {
    let server = Server::start().expect("a server");
    run(waiter_gone(&[server.url()], false));
}

#[test]
fn a_cluster_serves_those_who_wait_for_the_dead_and_the_stopped() {
    let cluster = Cluster::start().expect("a cluster");
    let urls = cluster.urls();
    run(async {
        holder_killed(&urls).await;
        waiter_gone(&urls, true).await;
        waiter_gone(&urls, false).await;
    });
}

/// A holder that is stopped for longer than its hold wakes up, and has lost its lock.
#[test]
fn a_holder_that_was_stopped_overwrites_nothing() {
    let server = Server::start().expect("a server");
    run(async {
        let place = Place::on(&[server.url()]).await;
        let (mut holder, mut lines) = place.start("holder");
        said(&mut lines, "holds");
        stop(&holder);
        let taken = place.wait(Duration::from_secs(60)).await;
        let snapshot = place.read().await;
        let save = make::save_held(taken.token, &snapshot, "ours");
        expect::written(place.driver.save(&place.key, save).await);
        signal(&holder, Signal::CONT);
        // It saves, renews and releases, and is told each time.
        tell(&mut holder, "go on");
        let answers: Vec<_> = (0..3).map(|_| said(&mut lines, "answer")).collect();
        assert_eq!(answers, ["LockLost", "Lost", "NotHeld"]);
        assert!(
            beside(move || holder.wait())
                .await
                .expect("its end")
                .success()
        );
        assert_eq!(place.read().await.data, "ours".into());
    });
}

#[test]
#[ignore = "is started by the others"]
fn holder() {
    in_place(|place| async move {
        let snapshot = place.read().await;
        let mut wish = make::attempt(&snapshot);
        wish.claim.hold = HOLD;
        let token = wish.claim.token;
        expect::held(place.driver.acquire(&place.key, wish).await);
        println!("\nholds");
        listen();
        let save = make::save_held(token, &snapshot, "theirs");
        println!(
            "answer {:?}",
            place
                .driver
                .save(&place.key, save)
                .await
                .expect("an answer")
        );
        let renewed = place.driver.renew(&place.key, &token, HOLD).await;
        println!("answer {:?}", renewed.expect("an answer"));
        let released = place.driver.release(&place.key, &token).await;
        println!("answer {:?}", released.expect("an answer"));
    });
}

#[test]
#[ignore = "is started by the others"]
fn waiter() {
    in_place(|place| async move {
        let snapshot = place.read().await;
        println!("\nwaits");
        let wish = LockWish {
            wait: Duration::from_secs(600),
            ..make::wish(&snapshot)
        };
        let token = wish.claim.token;
        let fence = expect::held(place.driver.acquire(&place.key, wish).await);
        println!("answer {fence}");
        listen();
        place
            .driver
            .release(&place.key, &token)
            .await
            .expect("an answer");
    });
}

async fn holder_killed(urls: &[String]) {
    let place = Place::on(urls).await;
    let (mut holder, mut lines) = place.start("holder");
    said(&mut lines, "holds");
    let killed = Instant::now();
    holder.kill().expect("a signal");
    holder.wait().expect("its end");
    let taken = place.wait(Duration::from_secs(60)).await;
    println!(
        "holder killed: the next one was served {:?} later, of a hold of {HOLD:?}",
        killed.elapsed()
    );
    taken.release(&place).await;
    assert_eq!(place.state().await, LockState::default());
}

/// The first in the queue is killed, or stopped: the second is served when the lock is free and the
/// hand-off to the first is not confirmed.
async fn waiter_gone(urls: &[String], killed: bool) {
    let place = Place::on(urls).await;
    let held = place.wait(Duration::ZERO).await;
    let (mut first, mut lines) = place.start("waiter");
    said(&mut lines, "waits");
    until(async || waiters(&place.driver, &place.key).await == 1).await;
    let second = tokio::spawn({
        let place = place.clone();
        async move { place.wait(Duration::from_secs(60)).await }
    });
    until(async || waiters(&place.driver, &place.key).await == 2).await;
    if killed {
        first.kill().expect("a signal");
        first.wait().expect("its end");
    } else {
        stop(&first);
    }
    let released = Instant::now();
    held.release(&place).await;
    let taken = second.await.expect("a waiter");
    println!(
        "first waiter {}: the second was served {:?} after the release; a hand-off is provisional \
         for {:?}",
        if killed { "killed" } else { "stopped" },
        released.elapsed(),
        2 * RECHECK
    );
    if killed {
        taken.release(&place).await;
        // On a machine under load the dead one's ticket may have come behind.
        until(async || place.state().await == LockState::default()).await;
    } else {
        // Wakes up, believes nothing, and waits again.
        signal(&first, Signal::CONT);
        until(async || waiters(&place.driver, &place.key).await == 1).await;
        assert!(taken.is_held(&place).await);
        let fence = taken.fence;
        taken.release(&place).await;
        let later: u64 = said(&mut lines, "answer").parse().expect("a fence");
        assert!(later > fence.get(), "{later} is not after {fence}");
        tell(&mut first, "go on");
        assert!(
            beside(move || first.wait())
                .await
                .expect("its end")
                .success()
        );
    }
    assert_eq!(place.state().await, LockState::default());
}

/// A session on servers, as this process and those that it starts see it.
#[derive(Clone)]
struct Place {
    urls: Vec<String>,
    driver: RedisDriver,
    key: Key,
}

/// A lock of this process.
struct Taken {
    token: LockToken,
    fence: Fence,
}

const URLS: &str = "ASM_REDIS_PROCESSES_URLS";
const KEY: &str = "ASM_REDIS_PROCESSES_KEY";

impl Place {
    async fn on(urls: &[String]) -> Self {
        let driver = connected(builder(urls)).await;
        let (key, _) = make::stored(&driver).await;
        Self {
            urls: urls.to_vec(),
            driver,
            key,
        }
    }

    async fn read(&self) -> Snapshot {
        make::read(&self.driver, &self.key).await
    }

    async fn state(&self) -> LockState {
        self.driver.inspect(&self.key).await.expect("a look")
    }

    async fn wait(&self, wait: Duration) -> Taken {
        let mut wish = LockWish {
            wait,
            ..make::wish(&self.read().await)
        };
        // It ends when it is released.
        wish.claim.hold = Duration::from_secs(600);
        let token = wish.claim.token;
        let fence = expect::held(self.driver.acquire(&self.key, wish).await);
        Taken { token, fence }
    }

    /// A process that runs this test.
    fn start(&self, what: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut child = Command::new(env::current_exe().expect("this test"))
            .args(["--exact", what, "--ignored", "--nocapture"])
            .env(URLS, self.urls.join(","))
            .env(KEY, self.key.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("its words")).lines();
        (child, lines)
    }
}

impl Taken {
    async fn is_held(&self, place: &Place) -> bool {
        let renewed = place
            .driver
            .renew(&place.key, &self.token, make::HOLD)
            .await;
        matches!(renewed, Ok(Renewed::Done { .. }))
    }

    async fn release(self, place: &Place) {
        let released = place.driver.release(&place.key, &self.token).await;
        expect::exactly(released, &Released::Done);
    }
}

fn builder(urls: &[String]) -> RedisBuilder {
    let builder = RedisDriver::builder().recheck(RECHECK);
    match urls {
        [one] => builder.url(one),
        several => builder.cluster(several),
    }
}

/// The body of a process that a test has started.
fn in_place<F: Future<Output = ()>>(body: impl FnOnce(Place) -> F) {
    let (Ok(urls), Ok(key)) = (env::var(URLS), env::var(KEY)) else {
        return;
    };
    let urls: Vec<_> = urls.split(',').map(str::to_owned).collect();
    run(async {
        let driver = connected(builder(&urls)).await;
        let key = Key::from_hex(&key).expect("a key");
        body(Place { urls, driver, key }).await;
    });
}

/// The rest of the first line that begins so.
#[track_caller]
fn said(lines: &mut Lines<BufReader<ChildStdout>>, word: &str) -> String {
    let mut lines = lines.map_while(Result::ok);
    lines
        .find_map(|line| line.strip_prefix(word).map(|rest| rest.trim().to_owned()))
        .unwrap_or_else(|| panic!("it ended before it said {word:?}"))
}

fn tell(child: &mut Child, words: &str) {
    use std::io::Write;
    let stdin = child.stdin.as_mut().expect("its ear");
    writeln!(stdin, "{words}").expect("heard");
}

fn listen() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line");
    assert!(!line.is_empty(), "the test has ended");
}

/// It does nothing any more when this returns.
fn stop(child: &Child) {
    signal(child, Signal::STOP);
    let seen = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(Pid::from_child(child)), seen).expect("it stops");
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("a signal");
}
