//! What can be wrong when something goes wrong.

use super::mutants;

mutants! {
    /// What may have been saved, and nobody knows, is saved again.
    applies_again_after_an_unknown_outcome {
        kills: [
            changes::applies_nothing_again_after_an_unknown_outcome,
            session_trouble::applies_nothing_again_after_an_unknown_outcome,
        ],
        wrong: {
            "in_flight.rs" give_up: { self.journal.forget(mark); } => { let _ = mark; }
        },
    }

    /// A save whose answer was lost has not happened.
    takes_a_lost_answer_for_a_refusal {
        kills: [
            changes::sums_exactly_although_answers_get_lost,
            session_trouble::counts_a_save_once_whose_answer_was_lost,
            session_trouble::loses_nothing_by_a_save_that_fails,
        ],
        wrong: {
            "in_flight.rs" unanswered: { !resent && kind.is_refusal() } => {
                let _ = (resent, kind);
                true
            }
        },
    }

    /// A save whose answer is not known is made anew instead of sent again.
    sends_nothing_again {
        kills: [
            session_trouble::counts_a_save_once_whose_answer_was_lost,
            session_trouble::counts_a_save_once_that_was_dropped,
        ],
        wrong: {
            "in_flight.rs" settle_in_flight: { self.in_flight.take() } => {
                self.take_back();
                None::<InFlight>
            }
        },
    }

    /// A save whose answer is not known is sent again as another one.
    resends_under_a_new_name {
        kills: [
            changes::sums_exactly_although_answers_get_lost,
            session_trouble::counts_a_save_once_whose_answer_was_lost,
            session_trouble::makes_one_session_when_the_answer_to_its_create_is_lost,
            session_trouble::counts_a_save_once_that_was_dropped,
        ],
        wrong: {
            "in_flight.rs" settle_in_flight: { unanswered.request.resend(); } => {
                let op = self.shared().ids.op()?;
                match &mut unanswered.request {
                    Request::Create(create) => create.op = op,
                    Request::Save(save) => save.op = op,
                }
            }
        },
    }

    /// Who is dropped leaves its lock until the hold is over.
    abandons_no_lock {
        kills: [
            changes::warns_once_of_dropped_changes,
            round_trips::gives_an_unused_lock_back_by_one_call,
            session_trouble::leaves_no_lock_of_a_request_that_was_dropped,
        ],
        wrong: {
            "lock.rs" abandon: { self.driver().abandon(&key, &token); } => {
                let _ = token;
            }
        },
    }

    /// When the lock cannot be had, the request goes on without it.
    goes_on_without_the_lock {
        kills: [
            changes::ends_a_lock_by_a_delete,
            session_trouble::gives_no_session_when_its_lock_fails,
        ],
        wrong: {
            "open.rs" lock_on_open: { self.lock().await } => {
                let _ = self.lock().await;
                Ok(())
            }
        },
    }

    /// A lock that does not come in time ends the session of who waited.
    takes_a_late_lock_for_the_end {
        kills: [
            changes::saves_nothing_past_a_lock,
            session_trouble::tells_of_a_lock_that_does_not_come_in_time,
        ],
        wrong: {
            "locking.rs" acquire: { Err(SessionError::LockTimeout) } => { Err(self.gone()) }
        },
    }

    /// A full queue is told of as a long wait.
    takes_a_full_queue_for_a_wait {
        kills: [session_trouble::tells_of_a_queue_that_is_full],
        wrong: {
            "locking.rs" acquire: { Err(SessionError::QueueFull) } => {
                Err(SessionError::LockTimeout)
            }
        },
    }

    /// Who could read without the lock is refused.
    fails_although_it_may_read {
        kills: [
            session_trouble::reads_when_the_lock_does_not_come_in_time,
            session_trouble::reads_on_when_a_later_lock_does_not_come,
        ],
        wrong: {
            "locking.rs" timed_out: {
                late && self.shared().locks.on_timeout == OnLockTimeout::ReadOnly
            } => {
                let _ = late;
                false
            }
        },
    }

    /// A read that fails ends the session.
    takes_a_failing_read_for_the_end {
        kills: [session_trouble::empties_no_session_when_a_read_fails],
        wrong: {
            "life.rs" read_again: { driver.open(&self.handle(), Open { lock: None }).await? } => {
                match driver.open(&self.handle(), Open { lock: None }).await {
                    Ok(opened) => opened,
                    Err(_) => return Err(self.gone()),
                }
            }
        },
    }

    /// What could not be saved is forgotten.
    drops_what_it_could_not_save {
        kills: [
            changes::conflicts_on_what_was_read,
            session_trouble::loses_nothing_by_a_save_that_fails,
        ],
        wrong: {
            "save.rs" commit: { self.store(release).await } => {
                let stored = self.store(release).await;
                if stored.is_err() {
                    self.discard();
                }
                stored
            }
        },
    }

    /// The log shows with which id a session is opened.
    logs_ids {
        kills: [session_trouble::logs_no_secret],
        wrong: {
            "open.rs" open: { SessionId::parse(id) } => {
                tracing::debug!(id, "a session is opened");
                SessionId::parse(id)
            }
        },
    }

    /// An id shows itself to those who look for faults.
    shows_ids {
        kills: [session_trouble::shows_no_secret_of_a_session],
        wrong: {
            "id.rs" fmt: { f.write_str("SessionId(..)") } => {
                write!(f, "SessionId({})", self.expose().as_str())
            }
        },
    }

    /// A merge is told of as a write that did not happen.
    takes_a_merge_for_a_refusal {
        kills: [
            extras::transacts_again_on_conflict,
            session_trouble::logs_no_write_that_happened,
        ],
        wrong: {
            "save.rs" write_by_all_means: { self.merge(newer)?; } => {
                self.tell_refused(&SessionError::LockLost);
                self.merge(newer)?;
            }
        },
    }

    /// Another lock is taken in place of a lost one, whatever was to be saved under that.
    replaces_a_lost_lock {
        kills: [session_trouble::replaces_no_lost_lock_under_changes],
        wrong: {
            "locking.rs" lock: { self.lock.is_lost() && self.is_modified() } => { false }
        },
    }

    /// A renewal takes a lock for lost that is on its way back.
    takes_a_release_for_a_loss {
        kills: [session_trouble::tells_of_no_lost_lock_when_it_was_released],
        wrong: {
            "lock.rs" renew: { !held && !self.place().leaving } => { !held }
        },
    }

    /// What nobody knows counts as refused.
    takes_the_unknown_for_refused {
        kills: [session_trouble::counts_no_unknown_outcome_as_a_refusal],
        wrong: {
            "locking.rs" tell_refused: { self.in_flight.is_some() || error.is_unknown() } => {
                false
            }
        },
    }

    /// A refused take hides what is dropped after it.
    hides_what_is_dropped_after_a_take {
        kills: [session_trouble::tells_of_changes_dropped_after_a_refused_take],
        wrong: {
            "take.rs" take: { self.tell_refused(error); } => {
                self.told = true;
                self.tell_refused(error);
            }
        },
    }

    /// A log out is refused when the lock was lost.
    logs_out_under_the_lock_only {
        kills: [session_trouble::logs_out_after_a_lost_lock],
        wrong: {
            "life.rs" delete: { self.mode == LockMode::ReadOnly } => {
                if self.lock.is_lost() {
                    return Err(SessionError::LockLost);
                }
                self.mode == LockMode::ReadOnly
            }
        },
    }
}
