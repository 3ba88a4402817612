//! What can be wrong with changes, merges and saves.

use super::mutants;

mutants! {
    /// A save writes the values that were loaded, whatever others saved since.
    saves_its_base_back {
        kills: [
            changes::loses_no_increment_of_optimistic_writers,
            changes::keeps_parallel_sets_of_different_keys,
            changes::merges_blind_writes,
        ],
        wrong: {
            "journal.rs" rebase: { self.base = base; } => { drop(base); }
        },
    }

    /// A merge forgets what was read before it.
    a_merge_forgets_what_was_read {
        kills: [
            changes::loses_no_increment_of_locked_writers,
            changes::loses_no_increment_of_optimistic_writers,
            changes::loses_no_increment_of_mixed_writers,
            changes::conflicts_on_what_was_read,
            changes::conflicts_on_what_was_read_before_a_merge,
            changes::tells_conflicts_at_write,
        ],
        wrong: {
            "journal.rs" rebase: { self.base = base; } => {
                self.base = base;
                *self.seen_mut() = Seen::default();
            }
        },
    }

    /// A key that was read and written is no conflict, as long as the versions fit.
    compares_versions_and_no_seen_values {
        kills: [
            changes::conflicts_on_what_was_read,
            changes::conflicts_on_what_was_read_before_a_merge,
        ],
        wrong: {
            "journal.rs" is_overtaken: { seen.is_stale(key, &self.base) } => { false }
        },
    }

    /// An own save makes what was read long ago as good as read now.
    an_own_save_refreshes_what_was_read {
        kills: [changes::conflicts_on_what_was_read_before_a_merge],
        wrong: {
            "journal.rs" follow: { glance.fits(old.get(key)) } => { true }
        },
    }

    /// A blind write brings an entry back that somebody else has removed.
    a_blind_write_revives_an_entry {
        kills: [changes::conflicts_with_foreign_removals],
        wrong: {
            "journal.rs" is_overtaken: { revives && !seen.knows(key) } => { false }
        },
    }

    /// Closures are not applied again to a fresh value: what they made of the old one is stored.
    closures_run_once {
        kills: [
            changes::applies_closures_again,
            changes::sums_exactly_although_answers_get_lost,
            changes::refuses_sums_that_overflow,
        ],
        wrong: {
            "journal.rs" rebase: { change.run(start)? } => {
                let _ = start;
                change.value.clone()
            }
        },
    }

    /// An absent value that was asked for does not count as read.
    absence_is_not_read {
        kills: [changes::conflicts_on_absence_that_was_read],
        wrong: {
            "journal.rs" read: { self.depends_on_base(key) } => { self.base.contains_key(key) }
        },
    }

    /// Whether there is an entry does not count as read.
    presence_is_not_read {
        kills: [changes::conflicts_on_absence_that_was_read],
        wrong: {
            "journal.rs" contains: { self.depends_on_base(key) } => { false }
        },
    }

    /// Which entries there are does not count as read.
    a_list_is_not_read {
        kills: [changes::conflicts_on_absence_that_was_read],
        wrong: {
            "journal.rs" keys: { self.cleared.is_none() } => { false }
        },
    }

    /// `write()` says nothing of what has changed since it was read.
    write_tells_no_conflict {
        kills: [changes::tells_conflicts_at_write],
        wrong: {
            "locking.rs" lock: { self.check_reads() } => { Ok(()) }
        },
    }

    /// Changes need no lock where they are to need one.
    changes_without_the_lock {
        kills: [changes::reads_fresh_under_the_lock],
        wrong: {
            "access.rs" check_writable: {
                self.mode.changes_need_lock() && !self.is_locked()
            } => {
                false
            }
        },
    }

    /// Who opened a session for reading only may change it.
    reads_only_in_name {
        kills: [
            profiles::lets_a_request_only_read_by_verdict,
            session_trouble::reads_when_the_lock_does_not_come_in_time,
            session_trouble::reads_on_when_a_later_lock_does_not_come,
        ],
        wrong: {
            "session.rs" check_alive: { self.mode == LockMode::ReadOnly } => { false }
        },
    }

    /// A save that meets a newer version each time tries on without the lock.
    never_takes_the_lock_to_save {
        kills: [changes::saves_although_others_are_always_ahead],
        wrong: {
            "save.rs" write_by_all_means: { attempt >= MERGES && !self.lock.is_held() } => { false }
        },
    }

    /// A save gives the lock back, as a close does.
    a_save_releases_the_lock {
        kills: [
            ids::keeps_everything_through_a_renewal,
            extras::keeps_a_lock_alive,
        ],
        wrong: {
            "save.rs" save: { self.commit(false).await } => { self.commit(true).await }
        },
    }

    /// Under the lock the session shows what was there before it.
    reads_nothing_with_the_lock {
        kills: [changes::reads_fresh_under_the_lock],
        wrong: {
            "locking.rs" lock: { self.adopt(newer) } => {
                drop(newer);
                Ok::<(), SessionError>(())
            }
        },
    }

    /// Where the other's value should stay, this session's is stored.
    takes_theirs_for_mine {
        kills: [changes::follows_the_conflict_policy],
        wrong: {
            "journal.rs" resolve: { policy == OnConflict::Theirs && conflicts.contains(key) } => {
                let _ = key;
                false
            }
        },
    }

    /// A newer version is a conflict, whatever was changed in it.
    merges_nothing {
        kills: [
            changes::merges_blind_writes,
            changes::applies_closures_again,
            ids::saves_into_the_same_session_after_a_renewal,
            ids::renews_once_of_two_renewals,
            lifetimes::merges_no_session_past_its_absolute_deadline,
            round_trips::merges_by_one_call_for_each_retry,
        ],
        wrong: {
            "save.rs" write_by_all_means: { self.merge(newer)?; } => {
                drop(newer);
                return Err(SessionError::Conflict(crate::Conflict::on([])));
            }
        },
    }

    /// A save breaks the lock that is in its way.
    breaks_the_lock_in_its_way {
        kills: [
            changes::excludes_other_savers_from_a_lock,
            changes::saves_nothing_past_a_lock,
        ],
        wrong: {
            "save.rs" borrow_lock: { self.acquire().await? } => {
                let driver = Arc::clone(&self.shared().driver);
                driver.break_lock(&self.handle(), None).await?;
                self.acquire().await?
            }
        },
    }

    /// A delete waits for the end of locks and saves, and is given up.
    a_delete_respects_locks_and_versions {
        kills: [changes::saves_nothing_after_a_delete],
        wrong: {
            "life.rs" delete: { Delete { only_if: None } } => {
                let only_if = self.record.version.map(|version| asm_core::Guard {
                    epoch: self.record.head.epoch,
                    version,
                    held: self.lock.token(),
                });
                Delete { only_if }
            }
        },
    }

    /// A change counts, also one that changes nothing.
    every_change_counts {
        kills: [
            changes::writes_nothing_that_was_set_back,
            changes::saves_no_no_op,
        ],
        wrong: {
            "journal.rs" is_modified: { change.value.as_ref() != self.base.get(key) } => { true }
        },
    }

    /// The end of every request saves.
    saves_always {
        kills: [
            changes::writes_nothing_that_was_only_read,
            extras::rotates_nothing_else_by_policy,
            round_trips::asks_nothing_for_a_session_that_is_not_touched,
            round_trips::reads_by_one_call,
            round_trips::gives_an_unused_lock_back_by_one_call,
        ],
        wrong: {
            "save.rs" store: { self.is_modified() } => { true }
        },
    }

    /// A lifetime that was set is stored with the next change of an entry only.
    a_lifetime_alone_is_not_saved {
        kills: [
            changes::saves_what_every_mutator_changed,
            lifetimes::gives_the_usual_lifetime_back,
        ],
        wrong: {
            "head_journal.rs" is_modification: {
                matches!(change, HeadChange::Lifetime(_) | HeadChange::Membership(_))
            } => {
                matches!(change, HeadChange::Membership(_))
            }
        },
    }

    /// A sum that does not fit begins again at the other end.
    sums_wrap {
        kills: [changes::refuses_sums_that_overflow],
        wrong: {
            "access.rs" add: { number.unwrap_or(0).checked_add(by) } => {
                Some(number.unwrap_or(0).wrapping_add(by))
            }
        },
    }

    /// A taker is given the value before the store has accepted that it is gone.
    takes_before_the_store_accepted {
        kills: [
            changes::hands_an_entry_to_one_of_many_takers,
            changes::takes_only_what_the_store_gave,
            round_trips::takes_by_one_call,
        ],
        wrong: {
            "take.rs" take_out: { session.prepare_take(key, release).map(Some) } => {
                let value = value.clone();
                session.taken.push((key.to_owned(), value));
                return Ok(None);
            }
        },
    }

    /// A value whose removal was acknowledged late is given to nobody.
    loses_what_was_taken {
        kills: [
            changes::hands_an_entry_to_one_of_many_takers,
            changes::takes_only_what_the_store_gave,
        ],
        wrong: {
            "in_flight.rs" acknowledge: { self.taken.push((key, value)); } => { drop(value); }
        },
    }

    /// A save of a session that is gone creates it again.
    revives_what_is_gone {
        kills: [
            changes::ends_a_lock_by_a_delete,
            changes::saves_nothing_after_a_delete,
            extras::resurrects_nothing_by_overwriting,
            extras::tells_once_of_each_refused_write,
        ],
        wrong: {
            "in_flight.rs" written: { Err(self.gone()) } => {
                self.record.version = None;
                Ok(Sent::Taken)
            }
            "save.rs" write_by_all_means: { self.draw_another_id(attempt < ATTEMPTS)? } => {}
        },
    }

    /// A save of a session that is gone begins another one, under an id that nobody is given.
    goes_on_elsewhere_when_it_is_gone {
        kills: [
            changes::saves_nothing_after_a_delete,
            session_trouble::logs_and_counts_each_refused_write_once,
        ],
        wrong: {
            "in_flight.rs" written: { Err(self.gone()) } => {
                self.record.version = None;
                Ok(Sent::Taken)
            }
        },
    }

    /// A session that is dropped with changes says nothing.
    drops_changes_without_a_word {
        kills: [
            changes::warns_once_of_dropped_changes,
            changes::loses_no_change_after_a_save_silently,
        ],
        wrong: {
            "session.rs" drop: { self.is_modified() && !self.told } => { false }
        },
    }

    /// After a refusal that was told, changes are dropped without a word.
    drops_later_changes_without_a_word {
        kills: [changes::loses_no_change_after_a_save_silently],
        wrong: {
            "access.rs" touched: { self.told = false; } => {}
        },
    }

    /// The answer to a save forgets also what was changed after it.
    an_answer_forgets_later_changes {
        kills: [session_trouble::counts_a_save_once_whose_answer_was_lost],
        wrong: {
            "journal.rs" acknowledge: { self.forget(mark); } => {
                self.forget(Mark(u64::MAX.max(mark.0)));
            }
        },
    }

    /// What a closure changed before it failed is stored.
    saves_what_a_failed_closure_changed {
        kills: [changes::saves_nothing_of_a_failed_handler],
        wrong: {
            "transact.rs" run: { self.give_up_all(release); return Err(error); } => {
                let _ = self.store(release).await;
                return Err(error);
            }
        },
    }

    /// An open that fails begins a new session.
    begins_anew_when_the_store_fails {
        kills: [
            changes::writes_nothing_after_a_failed_load,
            session_trouble::gives_no_session_when_an_open_fails,
        ],
        wrong: {
            "open.rs" open_or_create: { self.open(id, client).await } => {
                match self.open(id, client).await {
                    Err(SessionError::Store(_)) => Err(InvalidReason::Unknown.into()),
                    opened => opened,
                }
            }
        },
    }

    /// A record that cannot be read is deleted.
    deletes_what_it_cannot_read {
        kills: [
            changes::writes_nothing_after_a_failed_load,
            changes::leaves_an_unreadable_record_alone,
            bytes::leaves_a_record_of_an_unknown_codec,
            bytes::leaves_a_record_of_an_unknown_key,
            bytes::leaves_a_record_of_an_unknown_version,
        ],
        wrong: {
            "open.rs" open: { self.open_parsed(id, client).await } => {
                let key = id.handle();
                let opened = self.open_parsed(id, client).await;
                if let Err(SessionError::Store(_)) = &opened {
                    let everything = Delete { only_if: None };
                    let _ = self.shared.driver.delete(&key, everything).await;
                }
                opened
            }
        },
    }

    /// What was read does not count when everything is removed.
    clears_what_was_read_and_changed {
        kills: [changes::conflicts_on_what_was_read_before_a_clear],
        wrong: {
            "journal.rs" cleared_unknown: { seen.is_stale(key, &self.base) } => { false }
        },
    }

    /// Only what was written is checked, also when the application is strict.
    is_never_strict {
        kills: [changes::conflicts_on_every_stale_read_when_strict],
        wrong: {
            "journal.rs" resolve: { conflicts.extend(self.stale()); } => { let _ = strict; }
        },
    }

    /// A record that is read again is adopted twice.
    catches_up_twice {
        kills: [changes::runs_a_closure_once_for_each_newer_version],
        wrong: {
            "accept.rs" catch_up: { self.go_on_from(newer, true) } => {
                self.adopt(newer)?;
                self.journal.rebase(Arc::clone(&self.record.entries))
            }
        },
    }

    /// What was taken takes later changes of its entry with it.
    takes_later_changes_along {
        kills: [changes::keeps_what_is_changed_after_a_take_without_an_answer],
        wrong: {
            "journal.rs" taken: { self.changes.get_mut(key) } => {
                self.changes.remove(key).and(None)
            }
        },
    }

    /// A take knows nothing of what follows from the open.
    takes_by_the_stored_head {
        kills: [changes::keeps_the_lifetime_through_a_take],
        wrong: {
            "in_flight.rs" prepare_take: { let _ = head.apply(change, now); } => { let _ = change; }
        },
    }

    /// Only dropped entries are warned of.
    drops_changes_of_the_head_silently {
        kills: [changes::warns_of_dropped_changes_beside_the_entries],
        wrong: {
            "session.rs" drop: { self.is_modified() } => { self.journal.is_modified() }
        },
    }

    /// A lifetime that is set is a change, whatever it was.
    saves_the_lifetime_that_it_has {
        kills: [changes::saves_no_no_op],
        wrong: {
            "head_journal.rs" set_lifetime: { lifetime != self.lifetime(stored) } => { true }
        },
    }

    /// A lock that was taken for one save only is kept.
    keeps_a_borrowed_lock {
        kills: [changes::gives_a_borrowed_lock_back],
        wrong: {
            "save.rs" drop: { lock.abandon(); } => {
                let _ = lock;
            }
        },
    }

    /// What was read and has changed is a conflict at `write()`, whatever the policy.
    conflicts_at_write_by_no_policy {
        kills: [changes::follows_the_conflict_policy],
        wrong: {
            "locking.rs" check_reads: {
                self.shared().on_conflict != OnConflict::Fail || self.mode == LockMode::Off
            } => { self.mode == LockMode::Off }
        },
    }
}
