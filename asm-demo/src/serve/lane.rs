//! What one request did, as its driver saw it.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use asm_core::{
    Acquired, Delete, Deleted, Driver, Key, LockToken, LockWish, Open, Opened, OpenedLock,
    Released, Result, Save, Written,
};
use async_trait::async_trait;
use tokio::sync::watch;

use crate::observed::Observer;

tokio::task_local! {
    static CURRENT: Arc<Lane>;
}

/// One request of a run, and what is known of it.
#[derive(Debug)]
pub(super) struct Lane {
    label: String,
    began: Instant,
    log: Mutex<Log>,
    changed: watch::Sender<()>,
}

/// From when to when, counted from the beginning of its run. It has no end while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Duration,
    pub(super) to: Option<Duration>,
}

/// How a request ended, for its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    /// It has not ended, or nobody has judged it.
    #[default]
    Open,
    Kept,
    Merged,
    Refused,
    Lost,
}

/// What is known of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    pub(super) whole: Option<Span>,
    pub(super) waits: Vec<Span>,
    pub(super) holds: Vec<Span>,
    /// When a save met what somebody else had saved meanwhile.
    pub(super) overtaken: Vec<Duration>,
    pub(super) saved: Option<Duration>,
    /// How often it asked the store.
    pub(super) calls: u32,
    /// Whether it has its session in hand.
    pub(super) opened: bool,
    /// Why it was refused.
    pub(super) refused: Option<String>,
    pub(super) zombie: bool,
    pub(super) tone: Tone,
    pub(super) outcome: String,
}

impl Lane {
    pub(super) fn new(label: String, began: Instant, changed: watch::Sender<()>) -> Self {
        Self {
            label,
            began,
            log: Mutex::default(),
            changed,
        }
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn log(&self) -> Log {
        self.locked().clone()
    }

    /// Takes a note, with the time since the run began.
    pub(super) fn note(&self, note: impl FnOnce(&mut Log, Duration)) {
        let at = self.began.elapsed();
        note(&mut self.locked(), at);
        self.changed.send_replace(());
    }

    /// Says how it ended.
    pub(super) fn settle(&self, tone: Tone, outcome: impl Into<String>) {
        self.note(|log, at| {
            log.end(at);
            log.tone = tone;
            log.outcome = outcome.into();
        });
    }

    fn locked(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    pub(super) fn begin(&mut self, at: Duration) {
        self.whole = Some(Span { from: at, to: None });
    }

    /// Whether nothing more is to be expected of it.
    pub(super) fn is_over(&self) -> bool {
        self.whole.is_some_and(|whole| whole.to.is_some())
    }

    /// It is over, and so is whatever it had begun.
    pub(super) fn end(&mut self, at: Duration) {
        for span in self
            .whole
            .iter_mut()
            .chain(&mut self.waits)
            .chain(&mut self.holds)
        {
            span.to.get_or_insert(at);
        }
    }

    /// What it does at this moment.
    pub(super) fn doing(&self) -> &'static str {
        let runs = |spans: &[Span]| spans.last().is_some_and(|span| span.to.is_none());
        match self.whole {
            None => "not sent yet",
            Some(Span { to: Some(_), .. }) => "answered",
            Some(_) if runs(&self.waits) => "waits for the lock",
            Some(_) if runs(&self.holds) => "has the lock",
            Some(_) => "runs",
        }
    }

    fn takes(spans: &mut Vec<Span>, at: Duration) {
        spans.push(Span { from: at, to: None });
    }

    fn leaves(spans: &mut [Span], at: Duration) {
        if let Some(last) = spans.last_mut() {
            last.to.get_or_insert(at);
        }
    }
}

/// Answers a request under the eyes of its lane.
pub(super) async fn watched<F: Future>(lane: Arc<Lane>, request: F) -> F::Output {
    CURRENT.scope(lane, request).await
}

/// The lane of the request that this is called from, if it has one.
pub(super) fn current() -> Option<Arc<Lane>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// Takes a note of the request that this is called from, if it has a lane.
pub(super) fn note(note: impl FnOnce(&mut Log, Duration)) {
    if let Some(lane) = current() {
        lane.note(note);
    }
}

/// Notes what requests ask of the driver.
#[derive(Debug)]
pub(super) struct Notes;

#[async_trait]
impl Observer for Notes {
    fn calls(&self) {
        note(|log, _| log.calls += 1);
    }

    async fn open(&self, driver: &dyn Driver, key: &Key, req: Open) -> Result<Opened> {
        let opened = driver.open(key, req).await;
        note(|log, at| {
            if let Ok(Opened::Found {
                lock: OpenedLock::Held(_),
                ..
            }) = &opened
            {
                Log::takes(&mut log.holds, at);
            }
        });
        opened
    }

    async fn save(&self, driver: &dyn Driver, key: &Key, req: Save) -> Result<Written> {
        let releases = req.release;
        let written = driver.save(key, req).await;
        note(|log, at| match &written {
            Ok(Written::Done { .. }) => {
                log.saved = Some(at);
                if releases {
                    Log::leaves(&mut log.holds, at);
                }
            }
            Ok(Written::Conflict(_)) => log.overtaken.push(at),
            Ok(Written::LockLost | Written::Missing) => Log::leaves(&mut log.holds, at),
            _ => {}
        });
        written
    }

    async fn delete(&self, driver: &dyn Driver, key: &Key, req: Delete) -> Result<Deleted> {
        let deleted = driver.delete(key, req).await;
        note(|log, at| {
            log.saved = Some(at);
            Log::leaves(&mut log.holds, at);
        });
        deleted
    }

    async fn acquire(&self, driver: &dyn Driver, key: &Key, wish: LockWish) -> Result<Acquired> {
        note(|log, at| Log::takes(&mut log.waits, at));
        let acquired = driver.acquire(key, wish).await;
        note(|log, at| {
            Log::leaves(&mut log.waits, at);
            if let Ok(Acquired::Held { .. }) = &acquired {
                Log::takes(&mut log.holds, at);
            }
        });
        acquired
    }

    async fn release(&self, driver: &dyn Driver, key: &Key, token: &LockToken) -> Result<Released> {
        let released = driver.release(key, token).await;
        note(|log, at| {
            Log::leaves(&mut log.holds, at);
        });
        released
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_end_of_a_request_ends_what_it_had_begun() {
        let mut log = Log::default();
        assert_eq!(log.doing(), "not sent yet");
        log.begin(ms(1));
        assert_eq!(log.doing(), "runs");
        Log::takes(&mut log.waits, ms(2));
        assert_eq!(log.doing(), "waits for the lock");
        Log::leaves(&mut log.waits, ms(3));
        Log::takes(&mut log.holds, ms(3));
        assert_eq!(log.doing(), "has the lock");
        log.end(ms(9));
        assert_eq!(log.doing(), "answered");
        let to = |spans: &[Span]| spans[0].to;
        assert_eq!(to(&log.waits), Some(ms(3)));
        assert_eq!(to(&log.holds), Some(ms(9)));
    }

    #[tokio::test]
    async fn only_requests_with_a_lane_are_noted() {
        note(|_, _| panic!("there is none"));
        let (changed, seen) = watch::channel(());
        let lane = Arc::new(Lane::new("one".into(), Instant::now(), changed));
        watched(Arc::clone(&lane), async { note(|log, _| log.calls += 1) }).await;
        assert_eq!(lane.log().calls, 1);
        assert!(seen.has_changed().expect("the lane lives"));
    }
}
