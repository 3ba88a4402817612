//! Expired sessions, removed in the background.

use std::{num::NonZeroUsize, panic::AssertUnwindSafe, time::Duration};

use asm_core::SweepStep;
use asm_session::Sessions;
use futures_util::FutureExt;
use tokio::task::JoinHandle;

/// How many records a step looks at.
const BATCH: NonZeroUsize = NonZeroUsize::new(1_000).expect("not zero");

/// How far a period is stretched or shortened, at most: a tenth. Processes that were started
/// together do not sweep together for long.
const JITTER: f64 = 0.1;

/// Removes expired sessions in the background, as long as it is kept: dropping it ends it.
///
/// A driver whose store ends sessions by itself has nothing to sweep, and then this does nothing.
///
/// ```
/// # use asm_memory::MemoryDriver;
/// # use asm_session::Sessions;
/// use asm_tower::Sweeping;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> asm_session::Result<()> {
/// let sessions = Sessions::builder(MemoryDriver::new()).build()?;
/// let sweeping = Sweeping::every(Duration::from_secs(300), &sessions);
/// // … serve …
/// drop(sweeping);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping it ends it"]
pub struct Sweeping(Option<JoinHandle<()>>);

impl Sweeping {
    /// Sweeps every so often, give or take a tenth, beginning after the first period. It goes on
    /// after errors and panics, which are logged; one that takes longer than a period delays the
    /// next.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn every(period: Duration, sessions: &Sessions) -> Self {
        if sessions.driver().sweeper().is_none() {
            return Self(None);
        }
        Self(Some(tokio::spawn(sweep_for_ever(period, sessions.clone()))))
    }

    /// Lets it go on for as long as the runtime does.
    pub fn detach(mut self) {
        self.0 = None;
    }
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

async fn sweep_for_ever(period: Duration, sessions: Sessions) {
    loop {
        let stretch = 1.0 + JITTER * (2.0 * fastrand::f64() - 1.0);
        sessions.sleep(period.mul_f64(stretch)).await;
        let swept = AssertUnwindSafe(sweep(&sessions)).catch_unwind().await;
        if swept.is_err() {
            tracing::error!("a sweep of expired sessions panicked");
        }
    }
}

async fn sweep(sessions: &Sessions) {
    let Some(sweeper) = sessions.driver().sweeper() else {
        return;
    };
    let (mut from, mut removed, mut failed) = (None, 0, 0);
    loop {
        match sweeper.sweep(SweepStep { from, batch: BATCH }).await {
            Ok(swept) => {
                removed += swept.removed;
                failed += swept.failed;
                from = swept.next;
            }
            Err(error) => {
                tracing::warn!(%error, removed, "a sweep of expired sessions ended early");
                return;
            }
        }
        if from.is_none() {
            break;
        }
        // Whoever serves requests comes first.
        tokio::task::yield_now().await;
    }
    if failed > 0 {
        tracing::warn!(
            removed,
            failed,
            "some expired sessions could not be removed"
        );
    } else {
        tracing::debug!(removed, "expired sessions were removed");
    }
}
