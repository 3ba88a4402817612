//! What can be wrong with clean-up.

use std::{collections::HashMap, num::NonZeroUsize};

use asm_core::{
    Create, Created, Cursor, Delete, Key, Result, SessionStore, Sweep, SweepStep, Swept, Timestamp,
};

use super::mutants;

mutants! {
    /// What was touched since it was made is removed.
    sweep_removes_a_touched_session notes HashMap<Key, Timestamp> {
        kills: [
            sweep::counts_each_removal_once,
            sweep::spares_what_lives_on_since_the_scan,
            sweep::sweeps_beside_others,
            sweep::sweeps_no_neighbour,
        ],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                let end = self.base.store().now() + req.ttl;
                self.notes.with(|notes| notes.insert(*key, end));
                self.base.create(key, req).await
            }

            async fn sweep(&self, step: SweepStep) -> Result<Swept> {
                let now = self.base.store().now();
                let over: Vec<Key> = self.notes.with(|notes| {
                    let over = notes.iter().filter(|(_, end)| **end <= now);
                    over.map(|(key, _)| *key).collect()
                });
                for key in over {
                    self.base.delete(&key, Delete { only_if: None }).await?;
                }
                self.base.sweep(step).await
            }
        },
    }

    /// Nothing is removed.
    sweep_removes_nothing {
        kills: [
            sweep::removes_what_is_over_and_nothing_else,
            sweep::counts_each_removal_once,
            sweep::sweeps_beside_others,
        ],
        wrong: {
            async fn sweep(&self, _: SweepStep) -> Result<Swept> {
                Ok(Swept::default())
            }
        },
    }

    /// Removals are not counted.
    sweep_does_not_count {
        kills: [
            sweep::counts_each_removal_once,
            sweep::sweeps_beside_others,
            sweep::sweeps_no_neighbour,
        ],
        wrong: {
            async fn sweep(&self, step: SweepStep) -> Result<Swept> {
                let swept = self.base.sweep(step).await?;
                Ok(Swept { removed: 0, ..swept })
            }
        },
    }

    /// There is one batch.
    sweep_in_one_batch {
        kills: [sweep::goes_in_batches, sweep::goes_on_from_an_old_cursor],
        wrong: {
            async fn sweep(&self, step: SweepStep) -> Result<Swept> {
                let batch = NonZeroUsize::MAX;
                self.base.sweep(SweepStep { batch, ..step }).await
            }
        },
    }

    /// It ends after the first batch.
    sweep_ends_early {
        kills: [
            sweep::counts_each_removal_once,
            sweep::sweeps_beside_others,
            sweep::goes_on_from_an_old_cursor,
        ],
        wrong: {
            async fn sweep(&self, step: SweepStep) -> Result<Swept> {
                let swept = self.base.sweep(step).await?;
                Ok(Swept { next: None, ..swept })
            }
        },
    }

    /// Any cursor will do.
    sweep_takes_any_cursor {
        kills: [sweep::refuses_a_foreign_cursor],
        wrong: {
            async fn sweep(&self, step: SweepStep) -> Result<Swept> {
                let from = step.from.filter(|Cursor(bytes)| bytes.len() == Key::LEN);
                self.base.sweep(SweepStep { from, ..step }).await
            }
        },
    }
}
