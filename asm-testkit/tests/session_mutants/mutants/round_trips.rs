//! Calls that are not needed.

use super::mutants;

mutants! {
    /// Every save reads first.
    reads_before_each_save {
        kills: [
            round_trips::writes_by_two_calls,
            round_trips::writes_by_three_calls_when_the_lock_comes_later,
            round_trips::replaces_an_id_by_no_call_of_its_own,
            round_trips::takes_by_one_call,
        ],
        wrong: {
            "life.rs" bring_up_to_date: { self.record.outdated } => { true }
        },
    }

    /// The lock is never taken with the open in modes that take it later.
    takes_no_lock_with_the_open {
        kills: [round_trips::writes_by_two_calls_when_it_begins_with_the_lock],
        wrong: {
            "sessions.rs" locks_on_open: { self.lock_on_open } => { false }
        },
    }

    /// Who was given the lock reads the record, which came with it.
    reads_again_with_the_lock {
        kills: [
            round_trips::writes_by_three_calls_when_the_lock_comes_later,
            round_trips::waits_for_a_lock_by_one_call,
        ],
        wrong: {
            "locking.rs" lock: { self.acquire().await } => {
                let newer = self.acquire().await;
                if newer.is_ok() {
                    self.record.outdated = true;
                    self.bring_up_to_date().await?;
                }
                newer
            }
        },
    }

    /// A merge reads the record, which came with the refusal.
    reads_again_to_merge {
        kills: [round_trips::merges_by_one_call_for_each_retry],
        wrong: {
            "save.rs" write_by_all_means: { self.merge(newer)?; } => {
                self.merge(newer)?;
                self.record.outdated = true;
                self.bring_up_to_date().await?;
            }
        },
    }

    /// A new session looks whether its handle is free.
    looks_whether_a_handle_is_free {
        kills: [round_trips::stores_a_new_session_by_one_call],
        wrong: {
            "in_flight.rs" send: { driver.create(&key, create).await } => {
                let _ = driver.open(&key, asm_core::Open { lock: None }).await;
                driver.create(&key, create).await
            }
        },
    }

    /// Whoever binds looks who is bound.
    lists_before_it_binds {
        kills: [round_trips::binds_a_subject_by_one_call],
        wrong: {
            "subjects.rs" reserve: { index.reserve(&subject, req).await? } => {
                index.list(&subject).await?;
                index.reserve(&subject, req).await?
            }
        },
    }

    /// A log out gives its lock back.
    gives_the_lock_of_the_deleted_back {
        kills: [round_trips::logs_out_by_one_call],
        wrong: {
            "life.rs" delete: { self.lock.ended(); } => { self.lock.release().await?; }
        },
    }

    /// A lock under which nothing was changed is left until its hold is over.
    keeps_an_unused_lock {
        kills: [
            changes::writes_nothing_that_was_only_read,
            round_trips::gives_an_unused_lock_back_by_one_call,
        ],
        wrong: {
            "save.rs" keep_house: { self.lock.release().await } => {
                Ok::<bool, asm_core::Error>(true)
            }
        },
    }
}
