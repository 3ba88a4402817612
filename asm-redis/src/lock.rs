//! The lock: acquiring, waiting, giving back.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use asm_core::{
    Acquired, Broken, Fence, Holder, Key, Label, LockState, LockStore, LockToken, LockWish,
    Released, Renewed, Result, Waiter,
};
use async_trait::async_trait;
use futures_util::future;
use tokio::time::Instant;

use crate::{
    RedisDriver,
    driver::{Around, during},
    hub::Ear,
    link::{Sending, pause_for},
    record,
    scripts::{ACQUIRE, BREAK, INSPECT, RELEASE, RENEW, micros, strange},
    session::flag,
};

/// How often an attempt is undone whose undoing fails, and the pauses in between.
const UNDOINGS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

#[async_trait]
impl LockStore for RedisDriver {
    async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
        let attempt = Attempt::of(self, key, wish.claim.token);
        let acquired = self.wait_for(key, wish, &attempt).await;
        let acquired = acquired.map_err(during("acquire"));
        attempt.answered(&acquired, |acquired| {
            matches!(acquired, Acquired::Held { .. })
        });
        acquired
    }

    async fn renew(&self, key: &Key, token: &LockToken, hold: Duration) -> Result<Renewed> {
        self.renew_grant(key, token, hold)
            .await
            .map_err(during("renew"))
    }

    async fn release(&self, key: &Key, token: &LockToken) -> Result<Released> {
        let released = self.release_token(key, token).await;
        if released.is_err() {
            self.inner.hub.nudge(key);
        }
        released.map_err(during("release"))
    }

    async fn break_lock(&self, key: &Key, fence: Option<Fence>) -> Result<Broken> {
        let broken = self.break_grant(key, fence).await;
        if broken.is_err() {
            self.inner.hub.nudge(key);
        }
        broken.map_err(during("break_lock"))
    }

    async fn inspect(&self, key: &Key) -> Result<LockState> {
        self.look(key).await.map_err(during("inspect"))
    }

    fn abandon(&self, key: &Key, token: &LockToken) {
        let (driver, key, token) = (self.clone(), *key, *token);
        self.detach(async move { driver.undo(&key, &token).await });
    }
}

/// What a waiter wants of a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Take the lock, or wait (on) for it.
    Join,
    /// The same, after it was woken: it is likely to be ours, and the record another.
    Claim,
    /// Take the lock if it has just been handed over, else wait no more.
    Leave,
}

/// What one step gave.
enum Stepped {
    Answer(Acquired),
    /// It waits, and should look again after this time at the latest.
    Queued(Option<Duration>),
}

impl RedisDriver {
    /// Steps until there is an answer, asleep in between.
    async fn wait_for(
        &self,
        key: &Key,
        mut wish: LockWish,
        attempt: &Attempt<'_>,
    ) -> Result<Acquired> {
        let clock = &self.inner.settings.clock;
        let (started, patience) = (clock.now(), wish.wait);
        let mut end = self.inner.links.end();
        let mut ear: Option<Ear> = None;
        let mut step = Step::Join;
        if !patience.is_zero() {
            // Before the first ticket, so that no grant is missed; but whoever can do without
            // listening has the other half of the time for it.
            let half = end - self.inner.settings.deadline / 2;
            self.inner.hub.ready(&self.inner.runtime, half).await;
            ear = Some(self.inner.hub.ear(key, wish.claim.token));
        }
        loop {
            let again = match self.step(key, &wish, step, end, attempt).await? {
                Stepped::Answer(acquired) => return Ok(acquired),
                Stepped::Queued(again) => again.unwrap_or(Duration::MAX),
            };
            wish.wait = patience.saturating_sub(clock.now().since(started));
            let nap = again.min(self.recheck(&wish.claim.token)).min(wish.wait);
            let alarm = clock.sleep(nap);
            step = match &ear {
                Some(ear) => match future::select(Box::pin(ear.woken()), alarm).await {
                    future::Either::Left(_) => Step::Claim,
                    future::Either::Right(_) => Step::Join,
                },
                None => {
                    alarm.await;
                    Step::Join
                }
            };
            wish.wait = patience.saturating_sub(clock.now().since(started));
            if wish.wait.is_zero() {
                step = Step::Leave;
            }
            end = self.inner.links.end();
        }
    }

    async fn step(
        &self,
        key: &Key,
        wish: &LockWish,
        step: Step,
        end: Instant,
        attempt: &Attempt<'_>,
    ) -> Result<Stepped> {
        let LockWish {
            claim,
            epoch,
            wait,
            queue,
            known,
        } = wish;
        let keys = self.keys(key);
        let follows = known.is_none() || step == Step::Claim;
        let then = [("GET", keys.record())];
        let around = Around {
            then: if follows { &then } else { &[] },
            end: Some(end),
            ..Around::default()
        };
        let silence = micros(3 * self.inner.settings.recheck);
        let answered = self.run_locking(&keys, &ACQUIRE, around, |cmd, sending| {
            attempt.sent(sending);
            cmd.arg(record::claim(claim));
            cmd.arg(&epoch.get().to_be_bytes());
            cmd.arg(micros(claim.hold)).arg(micros(*wait));
            match queue {
                Some(limit) => cmd.arg(*limit),
                None => cmd.arg(""),
            };
            cmd.arg(if step == Step::Leave { "leave" } else { "join" });
            cmd.arg(silence);
            match known {
                Some(version) => cmd.arg(&record::version(*version)),
                None => cmd.arg(""),
            };
            cmd.arg(flag(follows)).arg(self.keep(*wait));
        });
        let mut answered = answered.await?;
        let reply = &mut answered.reply;
        let word = reply.word()?;
        let acquired = match word.as_str() {
            "held" => {
                let fence = Fence::new(reply.number()?);
                let (now, left) = (reply.time()?, reply.left()?);
                self.wake(reply)?;
                let data = if follows {
                    answered.then.next()
                } else {
                    match reply.more() {
                        Some(mut data) => Some(redis::Value::BulkString(data.bytes()?)),
                        None => return Ok(held(fence, None)),
                    }
                };
                return Ok(match self.snapshot(data.ok_or_else(strange)?, left, now)? {
                    Some(snapshot) => {
                        let news = Some(snapshot.version) != *known;
                        held(fence, news.then_some(snapshot))
                    }
                    None => Stepped::Answer(Acquired::Missing),
                });
            }
            "queued" => {
                let over = reply.left()?.duration();
                let lapse = reply.signed()?.try_into().ok();
                self.wake(reply)?;
                let again = [over, lapse.map(Duration::from_micros)];
                return Ok(Stepped::Queued(again.into_iter().flatten().min()));
            }
            "busy" => Acquired::Busy,
            "full" => Acquired::QueueFull,
            "missing" => Acquired::Missing,
            "ended" => Acquired::Ended,
            _ => return Err(strange()),
        };
        self.wake(reply)?;
        Ok(Stepped::Answer(acquired))
    }

    /// Between 3/4 and all of the recheck interval, so that waiters do not come in step. The token
    /// is as random as jitter needs it.
    fn recheck(&self, token: &LockToken) -> Duration {
        let recheck = self.inner.settings.recheck;
        recheck - recheck / 1024 * u32::from(token.as_bytes()[0])
    }

    async fn renew_grant(&self, key: &Key, token: &LockToken, hold: Duration) -> Result<Renewed> {
        let keys = self.keys(key);
        let answered = self.run_locking(&keys, &RENEW, Around::default(), |cmd, _| {
            cmd.arg(token.as_bytes()).arg(micros(hold));
        });
        let mut reply = answered.await?.reply;
        let word = reply.word()?;
        let renewed = match word.as_str() {
            "done" => Renewed::Done {
                left: Duration::from_micros(reply.number()?),
            },
            "lost" => Renewed::Lost,
            "missing" => Renewed::Missing,
            _ => return Err(strange()),
        };
        self.wake(&mut reply)?;
        Ok(renewed)
    }

    async fn release_token(&self, key: &Key, token: &LockToken) -> Result<Released> {
        let keys = self.keys(key);
        let doubtful = self.is_doubtful(token);
        let answered = self.run_locking(&keys, &RELEASE, Around::default(), |cmd, sending| {
            // The connection that failed may have carried the attempt, too.
            let doubtful = doubtful || sending.again;
            cmd.arg(token.as_bytes()).arg(flag(doubtful));
        });
        let mut reply = answered.await?.reply;
        let word = reply.word()?;
        let released = match word.as_str() {
            "done" => Released::Done,
            "withdrawn" => Released::Withdrawn,
            "not" => Released::NotHeld,
            _ => return Err(strange()),
        };
        self.wake(&mut reply)?;
        if doubtful {
            self.trust(token);
        }
        Ok(released)
    }

    async fn break_grant(&self, key: &Key, fence: Option<Fence>) -> Result<Broken> {
        let keys = self.keys(key);
        // Twice, and without a fence, it would break the grant that came after.
        let around = Around {
            once: fence.is_none(),
            ..Around::default()
        };
        let answered = self.run_locking(&keys, &BREAK, around, |cmd, _| {
            match fence {
                Some(fence) => cmd.arg(&fence.get().to_be_bytes()),
                None => cmd.arg(""),
            };
        });
        let mut reply = answered.await?.reply;
        let word = reply.word()?;
        let broken = match word.as_str() {
            "done" => Broken::Done {
                fence: Fence::new(reply.number()?),
                label: label(&reply.bytes()?),
            },
            "not" => Broken::NotHeld,
            _ => return Err(strange()),
        };
        self.wake(&mut reply)?;
        Ok(broken)
    }

    async fn look(&self, key: &Key) -> Result<LockState> {
        let keys = self.keys(key);
        let answered = self.run_locking(&keys, &INSPECT, Around::default(), |_, _| {});
        let mut reply = answered.await?.reply;
        reply.word()?;
        self.wake(&mut reply)?;
        let mut holder = reply.list()?;
        let mut state = LockState::default();
        if !holder.is_over() {
            state.holder = Some(Holder {
                fence: Fence::new(holder.number()?),
                label: label(&holder.bytes()?),
                left: Duration::from_micros(holder.number()?),
                confirmed: holder.bytes()? == b"1",
            });
        }
        while !reply.is_over() {
            state.waiters.push(Waiter {
                label: label(&reply.bytes()?),
                left: Duration::from_micros(reply.number()?),
            });
        }
        Ok(state)
    }

    /// Releases until it is certain, or nobody cares any more.
    async fn undo(&self, key: &Key, token: &LockToken) {
        for _ in 0..UNDOINGS {
            match self.release(key, token).await {
                Err(error) if error.is_retryable() => pause_for(PAUSE).await,
                _ => return,
            }
        }
        tracing::debug!("a lock could not be released; its hold ends it");
    }
}

fn held(fence: Fence, snapshot: Option<asm_core::Snapshot>) -> Stepped {
    Stepped::Answer(Acquired::Held { fence, snapshot })
}

fn label(bytes: &[u8]) -> Label {
    Label::new(&String::from_utf8_lossy(bytes))
}

/// An attempt to lock. Dropped before there is an answer, it is undone.
///
/// What undoes it goes over the same connection, behind the attempt. Where that cannot be relied
/// on, because the connection failed under the attempt, the server is told to remember the token as
/// released in any case: an attempt that arrives late is refused then.
pub(crate) struct Attempt<'a> {
    driver: &'a RedisDriver,
    key: Key,
    token: LockToken,
    /// Whether its end is somebody else's business.
    over: bool,
    /// Whether one of its sendings may still be under way.
    resent: AtomicBool,
}

impl<'a> Attempt<'a> {
    pub(crate) fn of(driver: &'a RedisDriver, key: &Key, token: LockToken) -> Self {
        Self {
            driver,
            key: *key,
            token,
            over: false,
            resent: AtomicBool::new(false),
        }
    }

    /// It is being sent so.
    pub(crate) fn sent(&self, sending: Sending) {
        if sending.again {
            self.resent.store(true, Ordering::Relaxed);
        }
    }

    /// The caller knows how it went. After an error that another try may mend it may ask again under
    /// the same token; after any other nothing is left of the attempt.
    pub(crate) fn answered<T>(mut self, answer: &Result<T>, is_held: impl Fn(&T) -> bool) {
        match answer {
            Ok(answer) => self.over = is_held(answer) || !self.resent.load(Ordering::Relaxed),
            Err(error) if error.is_retryable() => {
                self.driver.doubt(&self.token);
                self.over = true;
            }
            Err(_) => {}
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if self.resent.load(Ordering::Relaxed) {
            self.driver.doubt(&self.token);
        }
        self.driver.abandon(&self.key, &self.token);
    }
}
