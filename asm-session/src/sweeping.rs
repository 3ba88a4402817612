//! Clean-up from end to end, for those who watch it.

use std::{num::NonZeroUsize, ops::ControlFlow};

use asm_core::{Cursor, SweepStep};

use crate::{Result, Sessions};

/// How far a clean-up is.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SweepProgress {
    /// Records looked at so far.
    pub examined: u64,
    /// Sessions removed so far.
    pub removed: u64,
    /// Records that could not be read or removed so far.
    pub failed: u64,
    /// Which part of it is done, from 0 to 1, as far as the driver can tell.
    pub done: Option<f64>,
    /// Where to go on, perhaps in another process. `None` when it is through.
    pub next: Option<Cursor>,
}

impl Sessions {
    /// Removes the sessions whose life is over, about `batch` records at a time, and tells after each
    /// batch how far it is; from the start, or from where an earlier one was left. It ends when it is
    /// told to break, and says where to go on.
    ///
    /// One that is through at once has nothing to do: the backend ends sessions by itself. Whoever
    /// wants a pause between batches calls the driver's [`Sweep`](asm_core::Sweep) instead.
    ///
    /// ```
    /// use std::{num::NonZeroUsize, ops::ControlFlow};
    /// # async fn example(sessions: asm_session::Sessions) -> asm_session::Result<()> {
    ///
    /// let batch = NonZeroUsize::MIN.saturating_add(999);
    /// let swept = sessions
    ///     .sweep(None, batch, |progress| {
    ///         println!("{} sessions removed so far", progress.removed);
    ///         ControlFlow::Continue(())
    ///     })
    ///     .await?;
    /// assert!(swept.next.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Store`; `Invalid` in it for a cursor that is not of this driver. What was told before still
    /// holds, and so does the cursor that was told last.
    pub async fn sweep(
        &self,
        from: Option<Cursor>,
        batch: NonZeroUsize,
        mut tell: impl FnMut(&SweepProgress) -> ControlFlow<()>,
    ) -> Result<SweepProgress> {
        let mut progress = SweepProgress {
            done: Some(1.0),
            ..SweepProgress::default()
        };
        let Some(sweeper) = self.driver().sweeper() else {
            return Ok(progress);
        };
        let mut from = from;
        loop {
            let swept = sweeper.sweep(SweepStep { from, batch }).await?;
            progress.examined += swept.examined;
            progress.removed += swept.removed;
            progress.failed += swept.failed;
            progress.done = match &swept.next {
                Some(next) => sweeper.progress(next),
                None => Some(1.0),
            };
            progress.next = swept.next;
            if tell(&progress).is_break() || progress.next.is_none() {
                return Ok(progress);
            }
            from = progress.next.clone();
        }
    }
}
