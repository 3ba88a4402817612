//! Requests that are sent together, and what became of them.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use asm_session::{Key, LockMode};
use tokio::sync::{Barrier, watch};

use super::lane::{Lane, Log};

/// How many runs are kept. The oldest goes first.
const KEPT: usize = 64;

/// How long is waited for requests of a run to have read, at most: one of them may have failed.
const PATIENCE: Duration = Duration::from_secs(3);

/// Requests that are sent together.
#[derive(Debug)]
pub(super) struct Run {
    /// Random, so that nobody meets it by chance.
    pub(super) id: String,
    /// Whose run it is: only this session sees it.
    pub(super) owner: Key,
    /// In which mode its requests are to open their session.
    pub(super) mode: LockMode,
    pub(super) lanes: Vec<Arc<Lane>>,
    /// Where those who have read wait for the others.
    pub(super) gate: Gate,
    verdict: OnceLock<String>,
    changed: watch::Sender<()>,
}

impl Run {
    pub(super) fn new(
        owner: Key,
        mode: LockMode,
        labels: impl IntoIterator<Item = String>,
    ) -> Arc<Self> {
        let began = Instant::now();
        let changed = watch::Sender::new(());
        let lane = |label| Arc::new(Lane::new(label, began, changed.clone()));
        let lanes: Vec<_> = labels.into_iter().map(lane).collect();
        Arc::new(Self {
            id: format!("{:032x}", fastrand::u128(..)),
            owner,
            mode,
            gate: Gate::new(lanes.len().max(1)),
            lanes,
            verdict: OnceLock::new(),
            changed,
        })
    }

    /// Says in one sentence what happened. Then it is over.
    pub(super) fn conclude(&self, verdict: String) {
        let _ = self.verdict.set(verdict);
        self.changed.send_replace(());
    }

    pub(super) fn verdict(&self) -> Option<&str> {
        self.verdict.get().map(String::as_str)
    }

    /// Waits until each of these requests has its session in hand, or is over.
    pub(super) async fn opened(&self, numbers: Range<usize>) {
        self.until(numbers, |log| log.opened || log.is_over()).await;
    }

    /// Waits until each of these requests is over.
    pub(super) async fn ended(&self, numbers: Range<usize>) {
        self.until(numbers, Log::is_over).await;
    }

    async fn until(&self, numbers: Range<usize>, holds: impl Fn(&Log) -> bool) {
        let mut changes = self.changes();
        let all_hold = async {
            while !self.lanes[numbers.clone()]
                .iter()
                .all(|lane| holds(&lane.log()))
            {
                // The run itself is who tells of changes, and it lives.
                let _ = changes.changed().await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, all_hold).await;
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

/// Where those who have read wait for the others.
#[derive(Debug)]
pub(super) struct Gate(Barrier);

impl Gate {
    /// For so many.
    pub(super) fn new(all: usize) -> Self {
        Self(Barrier::new(all))
    }

    /// Waits until all have come here, as far as they come.
    pub(super) async fn meet(&self) {
        let _ = tokio::time::timeout(PATIENCE, self.0.wait()).await;
    }
}

/// The runs of late.
#[derive(Debug, Default)]
pub(super) struct Runs(Mutex<VecDeque<Arc<Run>>>);

impl Runs {
    pub(super) fn keep(&self, run: &Arc<Run>) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.len() == KEPT {
            runs.pop_front();
        }
        runs.push_back(Arc::clone(run));
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Run>> {
        let runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.iter().find(|run| run.id == id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_run_goes_first() {
        let runs = Runs::default();
        let run = || Run::new(Key::from_bytes([7; 16]), LockMode::Off, []);
        let first = run();
        runs.keep(&first);
        assert!(runs.find(&first.id).is_some());
        for _ in 0..KEPT {
            runs.keep(&run());
        }
        assert!(runs.find(&first.id).is_none());
    }

    #[test]
    fn a_verdict_is_the_last_word() {
        let run = Run::new(Key::from_bytes([7; 16]), LockMode::Off, []);
        let changes = run.changes();
        run.conclude("kept".into());
        run.conclude("lost".into());
        assert_eq!(run.verdict(), Some("kept"));
        assert!(changes.has_changed().expect("the run lives"));
    }
}
