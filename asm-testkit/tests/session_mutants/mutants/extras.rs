//! What can be wrong with `Off`, discards, `once`, events, `transact`, policies and `keep_alive`.

use super::mutants;

mutants! {
    /// `Off` merges as the other modes do.
    off_merges {
        kills: [extras::lets_the_last_write_win],
        wrong: {
            "in_flight.rs" next_entries: { self.mode == LockMode::Off } => { false }
            "accept.rs" adopt: { self.mode != LockMode::Off } => { true }
        },
    }

    /// `Off` overwrites what the session layer itself keeps, too.
    off_writes_the_head_back {
        kills: [
            extras::overwrites_no_rotation,
            extras::overwrites_no_lifetime_and_no_subject,
            extras::overwrites_no_profile,
            lifetimes::keeps_a_lifetime_through_saves_that_never_heard_of_it,
            profiles::keeps_an_accepted_profile_through_foreign_saves,
        ],
        wrong: {
            "accept.rs" go_on_from: { self.record = record; } => {
                self.record = match self.mode {
                    LockMode::Off => Record { head: self.record.head.clone(), ..record },
                    _ => record,
                };
            }
        },
    }

    /// A discard keeps rotations and lifetimes.
    a_discard_keeps_the_changes_of_the_head {
        kills: [extras::writes_nothing_that_was_discarded],
        wrong: {
            "access.rs" discard: { self.changes = HeadJournal::default(); } => {}
        },
    }

    /// A discard keeps the lock.
    a_discard_keeps_the_lock {
        kills: [extras::writes_nothing_that_was_discarded],
        wrong: {
            "access.rs" discard: { self.lock.abandon(); self.lock.ended(); } => {}
        },
    }

    /// What is inserted after a delete is stored under the id that was deleted.
    goes_on_under_a_deleted_id {
        kills: [extras::begins_a_new_session_after_a_delete],
        wrong: {
            "access.rs" begin_again: { *self = next; } => {
                let (id, secret) = (self.id.clone(), self.secret);
                *self = next;
                (self.id, self.secret, self.record.head.current) = (id, secret, secret);
            }
        },
    }

    /// After a delete any change is accepted.
    changes_what_is_deleted {
        kills: [extras::refuses_changes_after_a_delete],
        wrong: {
            "session.rs" check_life: { Err(SessionError::Deleted) } => {
                match self.life {
                    Life::Deleted => Ok(()),
                    _ => Err(SessionError::Deleted),
                }
            }
        },
    }

    /// Those that waited for the one that runs run after it.
    once_lets_all_run_in_turn {
        kills: [extras::runs_once_for_many_callers],
        wrong: {
            "once.rs" queue: { self.landed(&snapshot)? } => { None::<Bytes> }
        },
    }

    /// Whatever runs once in a session is the same.
    once_knows_no_names {
        kills: [extras::runs_once_for_many_callers],
        wrong: {
            "once.rs" of: { digest.update(name.as_bytes()); } => { let _ = name; }
        },
    }

    /// Nobody runs after one that has failed.
    once_is_not_begun_again {
        kills: [
            extras::runs_the_next_after_a_failure,
            extras::runs_the_next_after_a_death,
        ],
        wrong: {
            "once.rs" board: { self.queue().await? } => { return Err(SessionError::LockTimeout) }
        },
    }

    /// Who runs for longer than a hold is taken for dead.
    once_renews_nothing {
        kills: [extras::lets_nobody_overtake_a_long_run],
        wrong: {
            "once.rs" keep_alive: { self.lock.renew(self.shared.locks.hold).await } => {
                self.lock.renew(Duration::ZERO).await
            }
        },
    }

    /// A result is good for an hour at least.
    a_result_outlives_its_ttl {
        kills: [extras::reuses_no_result_after_its_ttl],
        wrong: {
            "once.rs" try_to_land: { ttl.max(SHORTEST) } => { ttl.max(Duration::from_secs(3600)) }
        },
    }

    /// A result from before an authentication is good after it.
    a_result_outlives_an_authentication {
        kills: [extras::reuses_no_result_after_its_ttl],
        wrong: {
            "once.rs" of: {
                digest.update(session.record.head.epoch.get().to_be_bytes());
            } => {}
        },
    }

    /// Events are told in the request, as far as they come there.
    tells_events_in_the_request {
        kills: [
            extras::bears_events_that_panic_or_hang,
            session_trouble::changes_no_outcome_by_events_that_panic,
        ],
        wrong: {
            "events.rs" announce: { event() } => {
                let event = event();
                let _ = events.on(event.clone()).now_or_never();
                event
            }
        },
    }

    /// Whoever is told of an event may take as long as he likes.
    waits_for_events_that_hang {
        kills: [
            extras::bears_events_that_panic_or_hang,
            session_trouble::changes_no_outcome_by_events_that_hang,
        ],
        wrong: {
            "events.rs" announce: { time.within(DEADLINE, told).await } => { Some(told.await) }
        },
    }

    /// A refused write is told of when it is refused, and by whoever asked for it.
    tells_twice_of_a_refused_write {
        kills: [
            extras::tells_once_of_each_refused_write,
            session_trouble::logs_and_counts_each_refused_write_once,
        ],
        wrong: {
            "save.rs" commit: { self.tell_refused(error); } => {
                self.tell_refused(error);
                self.tell_refused(error);
            }
        },
    }

    /// A refused write is told of once more when its session is dropped.
    tells_of_a_refused_write_at_the_end_too {
        kills: [
            extras::tells_once_of_each_refused_write,
            session_trouble::logs_and_counts_each_refused_write_once,
        ],
        wrong: {
            "session.rs" drop: { self.is_modified() && !self.told } => { self.is_modified() }
        },
    }

    /// Nobody is told of a refused write but its caller.
    tells_nobody_of_a_refused_write {
        kills: [
            extras::tells_once_of_each_refused_write,
            session_trouble::changes_no_outcome_by_events_that_panic,
            session_trouble::logs_and_counts_each_refused_write_once,
        ],
        wrong: {
            "save.rs" commit: { self.tell_refused(error); } => {
                let _ = error;
                self.told = true;
            }
        },
    }

    /// A transaction that meets a conflict is given up.
    transacts_once_only {
        kills: [
            extras::transacts_again_on_conflict,
            extras::transacts_for_many,
        ],
        wrong: {
            "transact.rs" run: { left > 0 } => {
                let _ = left;
                false
            }
        },
    }

    /// A policy that fires rotates with each save of the request.
    rotates_with_each_save {
        kills: [extras::rotates_once_by_policy],
        wrong: {
            "identity.rs" rotate_by_policy: {
                self.issued.is_some() || self.changes.next.is_some()
            } => {
                false
            }
        },
    }

    /// A merge forgets that the id was to be replaced.
    a_merge_forgets_the_changes_of_the_head {
        kills: [
            ids::renews_once_of_two_renewals,
            extras::rotates_once_by_policy_in_a_merge,
        ],
        wrong: {
            "accept.rs" merge: { self.shared().counting.merges.add(); } => {
                self.shared().counting.merges.add();
                self.changes = crate::head_journal::HeadJournal::default();
            }
        },
    }

    /// A policy that fires rotates in a request that only reads, too.
    rotates_readers_by_policy {
        kills: [extras::rotates_nothing_else_by_policy],
        wrong: {
            "save.rs" store: { self.keep_house(release).await } => {
                self.rotate_by_policy()?;
                let prepared = self.prepare(release)?;
                let _ = self.send(prepared).await?;
                self.keep_house(release).await
            }
        },
    }

    /// A policy that fires rotates on a former id, too.
    rotates_zombies_by_policy {
        kills: [extras::rotates_nothing_else_by_policy],
        wrong: {
            "identity.rs" rotate_by_policy: {
                self.zombie || self.life != Life::Stored || replaced
            } => {
                self.life != Life::Stored || replaced
            }
        },
    }

    /// A policy on new profiles fires for those that were seen, too.
    rotates_at_every_profile {
        kills: [extras::rotates_by_policy_on_a_new_profile],
        wrong: {
            "policy.rs" fires: { self.on_profile_change && profile_changed } => {
                let _ = profile_changed;
                self.on_profile_change
            }
        },
    }

    /// Who keeps a lock alive asks for it, and does not renew it.
    keeps_alive_by_looking {
        kills: [extras::keeps_a_lock_alive],
        wrong: {
            "lock.rs" renew_for_ever: { self.0.renew(shared.locks.hold).await } => {
                self.0.renew(Duration::ZERO).await
            }
        },
    }

    /// A lock that could not be renewed is taken for held.
    overlooks_that_a_lock_was_lost {
        kills: [extras::keeps_no_lost_lock_alive],
        wrong: {
            "lock.rs" renew: { self.lost(token); } => {}
        },
    }

    /// Locks do not say what they were taken for.
    locks_without_a_label {
        kills: [extras::keeps_a_lock_alive],
        wrong: {
            "open.rs" claim: { self.label.clone() } => { asm_core::Label::new("") }
        },
    }

    /// A transaction believes what the store did not say.
    transacts_without_asking_again {
        kills: [
            extras::transacts_once_although_answers_get_lost,
            extras::tells_of_a_transaction_whose_outcome_is_unknown,
        ],
        wrong: {
            "transact.rs" run: { self.store_for_certain(release).await } => {
                self.store(release).await
            }
        },
    }

    /// A transaction drops what was changed before it.
    a_transaction_drops_earlier_changes {
        kills: [extras::transacts_in_a_session_that_is_open],
        wrong: {
            "transact.rs" transact: { self.is_modified() || self.in_flight.is_some() } => { false }
        },
    }

    /// A transaction gives away a lock that was held before.
    transacts_the_lock_away {
        kills: [extras::transacts_in_a_session_that_is_open],
        wrong: {
            "transact.rs" transact: { !self.is_locked() } => { true }
        },
    }

    /// A transaction replaces ids although nobody is given them.
    transacts_ids_away {
        kills: [extras::hands_out_the_new_id_of_a_transaction],
        wrong: {
            "transact.rs" transact: { self.with_lock_on_open().with_kept_ids() } => {
                self.with_lock_on_open()
            }
        },
    }

    /// Whose work failed is told of the release instead.
    tells_of_the_release_of_a_flight {
        kills: [extras::tells_what_became_of_the_work_itself],
        wrong: {
            "once.rs" once: { flight.make_way().await; } => { flight.lock.release().await?; }
        },
    }

    /// A keeper stays with the session that was deleted.
    leaves_keepers_behind {
        kills: [extras::keeps_the_lock_of_a_session_begun_after_a_delete],
        wrong: {
            "access.rs" begin_again: { std::mem::swap(&mut self.lock, &mut next.lock); } => {
                let _ = &next.lock;
            }
        },
    }
}
