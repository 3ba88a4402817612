//! Every case, and the sentence of the contract that it shows.
//!
//! A case is a `pub async fn` over a [`Harness`](crate::Harness) that panics when the sentence does
//! not hold. The list below is the only place that names them all: the tests of
//! [`conformance!`](crate::conformance), [`CASES`](crate::CASES) and `CONTRACT.md` are made of it.
//!
//! To add a case: write it in the module of its part, and put its name behind its sentence. To add
//! a part: write a module, and give it a block; `[when fields]` is for drivers that have that facet,
//! `[unless fields]` for those that do not, `[]` for all.

pub mod bytes;
pub mod changes;
pub mod extras;
pub mod feed;
pub mod fields;
pub mod ids;
pub mod inventory;
pub mod lifetimes;
pub mod locks;
pub mod members;
pub mod profiles;
pub mod records;
pub mod round_trips;
pub mod session_trouble;
pub mod subjects;
pub mod sweep;
pub mod trouble;

/// Hands the list of all cases to the macro of this crate that is named, behind these arguments.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases {
    ($consumer:ident $arguments:tt) => {
        $crate::$consumer! { $arguments
            records [] {
                "A created record reads back byte for byte: empty, NUL, invalid UTF-8, 1 MiB." => [
                    reads_back_every_byte_of_a_create,
                    reads_back_every_byte_of_a_save,
                    reads_back_the_head_of_a_create,
                ],
                "Creating on a taken key is refused and changes nothing; of n concurrent creators exactly one wins." => [
                    refuses_to_create_on_a_taken_key,
                    leaves_the_lock_of_a_taken_key,
                    lets_one_of_many_creators_win,
                    creates_afresh_where_a_session_was,
                ],
                "Opening a missing or expired key is `Missing`, not an error, and creates nothing (no record, no lock, no queue, no field)." => [
                    leaves_nothing_at_an_unknown_key,
                    leaves_nothing_at_an_expired_key,
                ],
                "A save answers a new version (number + 1, op id); a save under a stale guard is refused and changes nothing; two versions are equal only if both parts are." => [
                    answers_each_save_with_the_next_version,
                    refuses_a_save_under_a_stale_guard,
                    leaves_the_lock_of_a_refused_save,
                    checks_a_save_in_order,
                    lets_one_of_many_savers_win,
                    changes_the_proofs_with_the_save,
                    refuses_every_request_of_an_ended_epoch,
                    keeps_the_lock_through_an_authentication,
                ],
                "A retried save (same op id) whose first answer was lost answers `Done` with the same version and counts once, also when others saved in between; a resend that can no longer be resolved is `Err(Unknown)`." => [
                    answers_a_resent_save_as_the_first_time,
                    cannot_resolve_a_resend_after_too_many_saves,
                    applies_a_resend_whose_first_never_arrived_once,
                    tells_a_refused_resend_from_a_doubtful_one,
                    forgets_the_op_id_of_a_refused_save,
                    takes_no_lock_from_the_next_holder_by_a_resend,
                    answers_a_resent_create_as_the_first_time,
                    tells_a_taken_key_from_a_doubtful_create,
                    grants_a_resent_create_no_second_lock,
                    counts_each_save_once_when_every_answer_is_lost,
                ],
                "A save, touch, field write or index repair on a deleted or expired session never brings it back." => [
                    revives_nothing_by_a_save,
                    revives_nothing_by_a_touch,
                    locks_nothing_that_is_over,
                    stays_deleted_under_racing_writers,
                ],
                "Delete wins at once over locks, versions and queues; removes record, lock, queue and fields; is idempotent; waiters and the holder are told `Deleted`; no index entry outlives the next listing." => [
                    deletes_over_lock_version_and_queue,
                    tells_the_holder_of_a_deleted_session,
                    deletes_twice_without_complaint,
                    lets_one_of_many_deleters_win,
                    deletes_under_its_guard_only,
                ],
                "Touch never lowers the ttl and changes neither data nor version; a read by itself changes nothing." => [
                    never_lowers_the_lifetime_by_a_touch,
                    changes_neither_data_nor_version_by_a_touch,
                    touches_beside_a_holder,
                    lives_as_long_as_the_last_touch_says,
                    changes_nothing_by_a_read,
                ],
                "A save sets the ttl it was given; a read, a lock, a refused or failed save never lowers it." => [
                    sets_the_lifetime_by_a_save,
                    ends_a_session_when_the_last_save_says,
                    leaves_the_lifetime_to_saves_and_touches,
                ],
                "A record over the limit is refused before a byte is written; the old one stays." => [
                    refuses_a_record_over_the_limit,
                ],
                "Two prefixes never see each other; hostile prefixes, field and subject names (NUL, braces, `/`, 64 KiB) stay inside the namespace or are refused." => [
                    keeps_neighbours_apart,
                ],
                "A crash between any two round trips leaves the state before or after the operation, never between." => [
                    shows_whole_records_to_readers_beside_a_writer,
                    leaves_all_or_nothing_of_a_dropped_save,
                    leaves_all_or_nothing_of_a_dropped_create,
                    leaves_all_or_nothing_of_a_dropped_delete,
                ],
                "The absolute deadline is checked on every read even if the store kept the record; drivers without native expiry check the idle deadline too; a record that lost its ttl is counted and gets one at the next save." => [
                    ends_a_session_at_its_ttl,
                    ends_a_session_without_lifetime_at_once,
                    bears_the_longest_lifetime,
                    ends_the_lock_with_its_session,
                ],
                "Two suites may run at the same time against one server without meeting, and leave no key or file behind." => [
                    leaves_nothing_of_two_suites_at_once,
                ],
                "Clock steps of ±1 h on any client change none of the above." => [
                    ends_a_session_by_the_clock_of_the_store,
                ],
            }
            locks [] {
                "R2 becomes holder only after R1's lock has ended; when R2's wait is over first, it is told so." => [
                    second_holds_after_the_first,
                    tells_when_the_wait_is_over,
                    never_two_hold_at_once,
                ],
                "Open+lock has the same observable effect as acquire then open; save+unlock the same as save then release." => [
                    opens_with_lock_as_acquire_then_open,
                    saves_with_release_as_save_then_release,
                    acquires_with_the_record_when_newer,
                ],
                "The lock expires by itself after its hold; renewal extends only the holder's; renewal never shortens; an expired lock cannot be renewed." => [
                    expires_after_its_hold,
                    expires_however_it_was_taken,
                    expiry_serves_the_queue,
                    renews_only_for_the_holder,
                    renewal_never_shortens,
                    renews_nothing_that_has_ended,
                ],
                "A save after the lock was lost never changes the record; it answers `LockLost`; the lost-lock hook runs exactly once." => [
                    saves_nothing_after_a_loss,
                    saves_nothing_over_the_next_holders_save,
                ],
                "Release by a stranger, or by a holder whose lock was lost, changes nothing and says so; a retry of a release that worked reports success; a release of a waiting token withdraws its ticket." => [
                    strangers_release_nothing,
                    former_holders_release_nothing,
                    retried_release_is_done,
                    release_withdraws_a_ticket,
                    grants_no_released_token,
                ],
                "Acquiring with a token that already holds answers `Held`: no self-deadlock after a lost reply." => [
                    holds_on_a_second_asking,
                    waits_once_when_sent_twice,
                ],
                "Fences strictly grow over all grants of a session, across expiry, break and regenerate." => [
                    fences_strictly_grow,
                ],
                "`break_lock` frees the lock; the former holder's next save is `LockLost` and `inspect` no longer shows it." => [
                    break_frees_the_lock,
                    break_serves_the_queue,
                ],
                "Of two breakers that name the same grant exactly one breaks; a later grant is never broken by it." => [
                    one_of_two_breakers_breaks,
                    later_grant_is_not_broken,
                ],
                "Grants follow arrival order among live waiters; one release wakes exactly one waiter." => [
                    grants_follow_arrival,
                    release_wakes_one,
                    newcomers_pass_no_queue,
                ],
                "Waiter n+1 of a queue limit n fails at once with `QueueFull`; limit 0 means never wait; none means no cap." => [
                    full_queue_refuses,
                    full_queue_refuses_a_crowd,
                    limit_zero_never_waits,
                    no_limit_no_cap,
                ],
                "A wait of 0 is a try; the wait is measured from the call on the harness's clock." => [
                    zero_wait_is_a_try,
                    waits_from_the_call,
                ],
                "A waiter that gives up, is dropped, dies, or whose process is *stopped* delays nobody beyond confirm time + recheck, on every topology, and counts against no limit after that." => [
                    no_delay_by_a_waiter_that_gives_up,
                    no_delay_by_a_dropped_waiter,
                    no_delay_by_a_stopped_holder_to_be,
                    stopped_waiter_takes_no_place,
                    live_waiter_keeps_its_place,
                ],
                "Dropping the guard, cancelling the future at any await point (a lock granted after its own release included), or panicking in the handler frees the lock at once when the store is reachable, and at the latest after its hold." => [
                    cancelled_open_leaves_no_lock,
                    cancelled_create_leaves_no_lock,
                    cancelled_acquire_leaves_no_lock,
                    cancelled_waiter_leaves_nothing,
                    cancelled_save_leaves_no_lock,
                    abandon_frees_the_lock,
                ],
                "A lost wake-up delays a waiter by at most the recheck interval; a spurious one is harmless; a waiter asks the store for nothing else than its recheck." => [
                    lost_wake_up_delays_by_a_recheck,
                    spurious_wake_up_is_harmless,
                ],
                "Read-only open never waits, never touches the lock, never changes the record." => [
                    reading_disturbs_nothing,
                ],
                "Locking an unknown or expired session leaves nothing behind." => [
                    locking_nothing_leaves_nothing,
                    locking_the_dead_leaves_nothing,
                ],
                "A holder paused for ten holds that wakes up cannot save, rotate, renew, or delete under its lock (it may still log out: an unconditional delete)." => [
                    paused_holder_changes_nothing,
                ],
                "Clock steps of ±1 h on any client change none of the above." => [
                    wrong_clocks_change_nothing,
                ],
                "Acquiring twice through one handle neither deadlocks nor double-releases." => [
                    acquires_twice_through_one_handle,
                ],
                "A session that expires while R2 waits is reported as expired, not as empty." => [
                    expiry_is_told_to_waiters,
                ],
                "An open or acquire with a secret that is not the session's takes no lock, joins no queue and decodes no body (10^5 forged secrets on known handles); a busy open still answers the record." => [
                    forged_secrets_take_no_lock,
                    busy_open_answers_the_record,
                ],
                "After a Renew: R2 waiting on the old id gets the lock in its old place, R2 running on it saves into the same live session. After an Authenticate: every save, grant, field write and feed of a request that opened with an ended id is refused as `Stale`, nothing is saved, nothing newer is shown." => [
                    renewed_id_keeps_the_queue,
                    ended_epoch_is_told_to_waiters,
                ],
            }
            fields [when fields] {
                "Opening a missing or expired key is `Missing`, not an error, and creates nothing (no record, no lock, no queue, no field)." => [
                    leaves_no_field_at_an_unknown_key,
                ],
                "A save, touch, field write or index repair on a deleted or expired session never brings it back." => [
                    revives_nothing_by_a_field,
                    leaves_no_field_of_a_racing_delete,
                ],
                "Delete wins at once over locks, versions and queues; removes record, lock, queue and fields; is idempotent; waiters and the holder are told `Deleted`; no index entry outlives the next listing." => [
                    leaves_no_field_to_the_next_session,
                ],
                "A record over the limit is refused before a byte is written; the old one stays." => [
                    limits_the_fields_of_a_session,
                    limits_empty_fields,
                ],
                "Two prefixes never see each other; hostile prefixes, field and subject names (NUL, braces, `/`, 64 KiB) stay inside the namespace or are refused." => [
                    keeps_hostile_names_inside,
                ],
                "Fields exist only with their session, share its ttl, follow a rotation, go with a delete; the first field operation of an unsaved session saves it; with sealing on no item is stored in clear." => [
                    keeps_values_of_every_kind,
                    mixes_no_kinds,
                    removes_a_field,
                    reads_a_part_of_a_list,
                    changes_fields_beside_the_record,
                    makes_no_session_live_longer,
                    ends_fields_when_their_session_ends,
                    follows_a_rotation,
                    refuses_fields_to_an_ended_epoch,
                ],
                "`incr` by n parallel callers sums exactly; `append` keeps every item once, in some order; a resent `incr` counts once." => [
                    refuses_a_sum_that_overflows,
                    sums_parallel_increments_exactly,
                    keeps_every_parallel_item_once,
                    hands_a_value_to_one_of_many_takers,
                    answers_a_resent_change_as_the_first_time,
                    applies_a_resent_change_whose_first_never_arrived_once,
                    never_applies_a_forgotten_change_again,
                    applies_a_young_resend_after_many_old_changes,
                    counts_each_change_once_when_every_answer_is_lost,
                    counts_a_dropped_change_once,
                ],
            }
            feed [when changes] {
                "Two prefixes never see each other; hostile prefixes, field and subject names (NUL, braces, `/`, 64 KiB) stay inside the namespace or are refused." => [
                    hears_its_own_session_only,
                ],
                "A subscriber sees foreign and own saves, rotations and the end after subscribing; subscribe-then-read misses nothing; falling behind is `Lagged(n)`, never silent; memory is bounded; no value travels." => [
                    shows_own_and_foreign_saves,
                    shows_saves_of_a_holder,
                    shows_renewals,
                    ends_with_a_deleted_session,
                    shows_no_next_session,
                    ends_with_an_expired_session,
                    ends_with_a_session_that_was_cut_short,
                    lives_on_with_a_touched_session,
                    ends_with_its_epoch,
                    shows_no_newer_epoch_to_one_who_lags,
                    subscribes_to_living_sessions_only,
                    tells_of_nothing_but_changes,
                    misses_nothing_between_subscribe_and_read,
                    misses_no_end_while_subscribing,
                    wakes_a_reader_that_waits,
                    counts_what_a_slow_reader_missed,
                    lets_no_slow_reader_hold_up_another,
                    goes_on_after_it_fell_behind,
                    bears_the_largest_buffer,
                    leaves_nothing_of_dropped_streams,
                ],
            }
            subjects [when subjects] {
                "A save, touch, field write or index repair on a deleted or expired session never brings it back." => [
                    revives_nothing_by_a_reservation,
                ],
                "Delete wins at once over locks, versions and queues; removes record, lock, queue and fields; is idempotent; waiters and the holder are told `Deleted`; no index entry outlives the next listing." => [
                    lists_no_session_that_is_over,
                ],
                "Two prefixes never see each other; hostile prefixes, field and subject names (NUL, braces, `/`, 64 KiB) stay inside the namespace or are refused." => [
                    keeps_subjects_apart,
                ],
                "A listing never shows a session that cannot be opened; revoke-all racing with a login revokes it or the login sees the new generation." => [
                    lists_sessions_in_the_order_of_reservation,
                    keeps_the_place_of_one_reserved_again,
                    keeps_an_entry_as_long_as_it_was_reserved_for,
                    leaves_nothing_of_an_unknown_subject,
                    forgets_what_it_is_told_to,
                    revokes_all_but_the_one_to_keep,
                    revokes_all,
                    moves_one_reserved_again_into_the_new_generation,
                    never_comes_back_to_an_old_generation,
                    revokes_a_racing_login_or_is_seen_by_it,
                ],
                "A cap of N sessions per subject holds under 64 parallel logins, under each policy." => [
                    refuses_one_session_too_many,
                    counts_living_sessions_only,
                    holds_a_cap_that_rejects,
                    holds_a_cap_that_evicts_the_oldest,
                    holds_a_cap_that_evicts_the_idle,
                ],
            }
            sweep [when sweeper] {
                "Clean-up never removes a session touched after the scan saw it; it continues after an error; it is batched; it counts." => [
                    removes_what_is_over_and_nothing_else,
                    counts_each_removal_once,
                    goes_in_batches,
                    spares_what_lives_on_since_the_scan,
                    spares_what_is_touched_at_the_last_moment,
                    sweeps_beside_others,
                    sweeps_no_neighbour,
                    refuses_a_foreign_cursor,
                    goes_on_from_an_old_cursor,
                ],
            }
            inventory [when inventory] {
                "A list of sessions has each one that lives throughout, and none whose life was over before; it is batched, changes nothing, and names the fields of each." => [
                    lists_what_lives_and_nothing_else,
                    lists_in_batches,
                    lists_what_stays_while_others_come_and_go,
                    lists_without_a_change,
                    refuses_a_foreign_cursor_of_a_list,
                    names_the_fields_of_a_session,
                    names_no_fields_of_what_is_over,
                ],
            }
            trouble [] {
                "Every driver call ends by its own deadline, whatever the server does (stopped, half-open, slow, gone), in every topology." => [
                    answers_although_others_wait,
                ],
                "Every server refusal maps to its own error kind; nothing is retried that is not idempotent." => [
                    names_verb_and_driver_in_its_failures,
                ],
                "Ids, secrets, tokens, keys and payloads appear in no Debug, Display, error chain, panic text or log at TRACE." => [
                    shows_no_secret,
                ],
            }
            changes [] {
                "n writers with locks, n optimistic writers, and both mixed lose no acknowledged increment, also when each reads before `write()`; parallel sets of different keys keep both; a lock excludes every other saver until it ends; a delete ends it." => [
                    loses_no_increment_of_locked_writers,
                    loses_no_increment_of_optimistic_writers,
                    loses_no_increment_of_mixed_writers,
                    keeps_parallel_sets_of_different_keys,
                    saves_although_others_are_always_ahead,
                    excludes_other_savers_from_a_lock,
                    gives_a_borrowed_lock_back,
                    saves_nothing_past_a_lock,
                    ends_a_lock_by_a_delete,
                ],
                "Blind writes merge over foreign writes and conflict with foreign removals; closures and `add` are applied again; a key read (also an absent one), then written, and changed by somebody else follows the policy, already at `write()` in OnWrite and Manual; `Fail` names the keys and saves nothing." => [
                    merges_blind_writes,
                    conflicts_with_foreign_removals,
                    applies_closures_again,
                    conflicts_on_what_was_read,
                    conflicts_on_absence_that_was_read,
                    conflicts_on_what_was_read_before_a_merge,
                    conflicts_on_what_was_read_before_a_clear,
                    conflicts_on_every_stale_read_when_strict,
                    runs_a_closure_once_for_each_newer_version,
                    tells_conflicts_at_write,
                    reads_fresh_under_the_lock,
                    follows_the_conflict_policy,
                ],
                "Set back to the original value counts as unmodified; an unmodified session writes nothing." => [
                    writes_nothing_that_was_set_back,
                    writes_nothing_that_was_only_read,
                ],
                "Every mutator marks dirty and persists across reopen; every no-op does not." => [
                    saves_what_every_mutator_changed,
                    saves_no_no_op,
                ],
                "Of n parallel takers of one value exactly one gets it, and only after the store accepted; `add` sums exactly; overflow is an error, not a wrap." => [
                    hands_an_entry_to_one_of_many_takers,
                    takes_only_what_the_store_gave,
                    keeps_what_is_changed_after_a_take_without_an_answer,
                    keeps_the_lifetime_through_a_take,
                    sums_exactly_although_answers_get_lost,
                    applies_nothing_again_after_an_unknown_outcome,
                    refuses_sums_that_overflow,
                ],
                "Delete by R1 while R2 runs: R2's save is `Deleted`, in every mode." => [
                    saves_nothing_after_a_delete,
                ],
                "A session dropped after changes saves nothing and warns once; a change after `save()` is not lost silently." => [
                    warns_once_of_dropped_changes,
                    warns_of_dropped_changes_beside_the_entries,
                    loses_no_change_after_a_save_silently,
                ],
                "A handler error saves nothing unless it saved explicitly." => [
                    saves_nothing_of_a_failed_handler,
                ],
                "A load error never leads to a write." => [
                    writes_nothing_after_a_failed_load,
                    leaves_an_unreadable_record_alone,
                ],
            }
            ids [] {
                "Ids are 128-bit handle + 192-bit secret from the OS; a failing generator is an error, never a weak id; a 4-bit test generator never takes over a live session." => [
                    draws_ids_at_random,
                    makes_no_id_without_randomness,
                    takes_over_no_session_by_a_clash,
                ],
                "Malformed ids (10^5 hostile strings) are refused with no store call; unknown handles, and known handles with a secret that never was theirs, cost exactly one read; nothing is created." => [
                    asks_no_store_about_malformed_ids,
                    reads_once_for_unknown_ids,
                ],
                "Renew keeps data, created-at, lock, fields, index; the old id stays current until the new one is first used, then is a zombie for exactly the grace (half-open); a client that never received the new cookie is not logged out and raises no theft signal." => [
                    keeps_everything_through_a_renewal,
                    replaces_an_id_when_the_new_one_is_used,
                    confirms_a_renewed_id_once,
                    confirms_no_id_beside_a_holder,
                    logs_nobody_out_by_a_lost_answer,
                ],
                "`Authenticate` leaves no zombie and ends all earlier ones; grace 0 leaves none." => [
                    ends_all_earlier_ids_by_an_authentication,
                    authenticates_on_a_former_id,
                    leaves_no_zombie_without_grace,
                ],
                "After a Renew: R2 waiting on the old id gets the lock in its old place, R2 running on it saves into the same live session. After an Authenticate: every save, grant, field write and feed of a request that opened with an ended id is refused as `Stale`, nothing is saved, nothing newer is shown." => [
                    keeps_the_place_of_waiters_through_a_renewal,
                    saves_into_the_same_session_after_a_renewal,
                    saves_after_the_grace_of_its_id_is_over,
                    refuses_everything_to_an_ended_id,
                    refuses_the_lock_to_an_ended_id,
                ],
                "A→B→C by renewals: A opens the session until A's own deadline; B's deadline does not extend A's; 1,000 rotations do not grow the record beyond 8 former hashes." => [
                    ends_each_former_id_at_its_own_deadline,
                    forgets_old_ids_of_many_rotations,
                ],
                "Delete through A, B or C deletes the session; all are invalid then, none is an error." => [
                    ends_a_session_through_any_of_its_ids,
                ],
                "Of two parallel renewals the second is `AlreadyRotated`; of two authentications the second is `Conflict`; there is never a second live session." => [
                    renews_once_of_two_renewals,
                    renews_once_of_many,
                    authenticates_once_of_many,
                ],
                "After its deadline an old id whose successor was confirmed is `Stale`, the event runs once per open, and no lock is left taken." => [
                    tells_once_of_a_stale_id,
                ],
                "A zombie request gets no session Set-Cookie, neither a new one nor a removal, unless it authenticates." => [
                    gives_a_zombie_no_id,
                ],
                "The stored form of an id is never accepted as an id; comparison is constant time." => [
                    accepts_no_stored_form_of_an_id,
                ],
            }
            extras [] {
                "`Off` overwrites values only: an `Off` save that began before a rotation, a lifetime, subject or profile change leaves all of them standing, and never resurrects." => [
                    lets_the_last_write_win,
                    overwrites_no_rotation,
                    overwrites_no_lifetime_and_no_subject,
                    overwrites_no_profile,
                    resurrects_nothing_by_overwriting,
                ],
                "A discarded session writes nothing and frees its lock; after `delete` an insert starts a new session under a fresh id, every other mutator is `Deleted`." => [
                    writes_nothing_that_was_discarded,
                    begins_a_new_session_after_a_delete,
                    refuses_changes_after_a_delete,
                ],
                "Of n parallel `once` callers one runs and the others get its value; if it fails or dies the next runs; a result is not reused after its ttl." => [
                    runs_once_for_many_callers,
                    runs_the_next_after_a_failure,
                    runs_the_next_after_a_death,
                    lets_nobody_overtake_a_long_run,
                    reuses_no_result_after_its_ttl,
                    tells_what_became_of_the_work_itself,
                ],
                "Events never change an outcome, also when they panic or hang; each refused write is logged and counted exactly once." => [
                    bears_events_that_panic_or_hang,
                    tells_once_of_each_refused_write,
                ],
                "`transact` runs again on conflict and returns its value once; its closure may borrow." => [
                    transacts_again_on_conflict,
                    transacts_for_many,
                    transacts_once_although_answers_get_lost,
                    tells_of_a_transaction_whose_outcome_is_unknown,
                    transacts_in_a_session_that_is_open,
                    hands_out_the_new_id_of_a_transaction,
                ],
                "A rotation policy that fires rotates once, with the request's save, never on a zombie or a read-only request." => [
                    rotates_once_by_policy,
                    rotates_once_by_policy_in_a_merge,
                    rotates_nothing_else_by_policy,
                    rotates_by_policy_on_a_new_profile,
                ],
                "`keep_alive` keeps a lock through ten holds; when it stops, the lock ends after one hold." => [
                    keeps_a_lock_alive,
                    keeps_no_lost_lock_alive,
                    keeps_the_lock_of_a_session_begun_after_a_delete,
                ],
            }
            lifetimes [] {
                "The absolute deadline is checked on every read even if the store kept the record; drivers without native expiry check the idle deadline too; a record that lost its ttl is counted and gets one at the next save." => [
                    opens_nothing_past_its_deadline_whatever_the_store_kept,
                    serves_nothing_past_the_deadline_by_any_verb,
                ],
                "The absolute deadline wins over touch, save, renew and merge; only Authenticate restarts it." => [
                    touches_no_session_past_its_absolute_deadline,
                    saves_no_session_past_its_absolute_deadline,
                    renews_no_session_past_its_absolute_deadline,
                    merges_no_session_past_its_absolute_deadline,
                    saves_nothing_past_the_deadline_whatever_the_store_kept,
                    begins_the_absolute_lifetime_anew_by_an_authentication,
                ],
                "Clock steps of ±1 h on any client change none of the above." => [
                    dates_sessions_by_the_clock_of_the_store,
                ],
                "The idle deadline lies within [idle × 0.9, idle] after the last use." => [
                    lives_for_nine_tenths_of_the_idle_time_after_each_use,
                    ends_when_it_was_not_used_for_its_idle_time,
                ],
                "The first lifetime ends when the client comes back once; bot lifetimes follow the class; min and max apply last; 0 and \"not set\" differ; a session that is only read within its idle time never expires." => [
                    ends_the_first_lifetime_when_the_client_comes_back,
                    gives_bots_the_lifetimes_of_their_class,
                    stores_no_session_of_a_bot_that_is_to_have_none,
                    applies_the_shortest_and_the_longest_last,
                    tells_zero_from_not_set,
                    keeps_a_session_that_is_only_read,
                    lets_a_session_end_whose_readers_do_not_count,
                ],
                "A per-session lifetime is stored and survives saves by requests that never heard of it." => [
                    keeps_a_lifetime_through_saves_that_never_heard_of_it,
                    gives_the_usual_lifetime_back,
                ],
            }
            profiles [] {
                "Unknown, expired and stale give a client the same status, headers and body." => [
                    answers_every_id_that_is_over_alike,
                ],
                "The same profile by value never calls `profile_changed`; a new one calls it once; what it accepts is saved (in ReadOnly it holds for that request); refusal, error, panic or time-out of a decision refuses the open and leaves no lock." => [
                    asks_nobody_about_a_profile_that_was_seen,
                    asks_once_about_a_profile_that_is_new,
                    keeps_an_accepted_profile_through_foreign_saves,
                    lets_a_reader_in_for_one_request,
                    refuses_an_open_by_verdict,
                    refuses_an_open_when_its_decision_fails,
                    refuses_an_open_when_its_decision_panics,
                    refuses_an_open_when_its_decision_takes_too_long,
                    leaves_no_lock_of_a_refused_open,
                    remembers_no_profile_that_was_refused,
                    lets_a_request_only_read_by_verdict,
                    replaces_the_id_by_verdict,
                    ends_the_session_by_verdict,
                    asks_about_ids_that_were_replaced,
                    obeys_the_stricter_of_two_verdicts,
                ],
            }
            bytes [] {
                "An open or acquire with a secret that is not the session's takes no lock, joins no queue and decodes no body (10^5 forged secrets on known handles); a busy open still answers the record." => [
                    decodes_no_body_for_a_forged_secret,
                ],
                "Fields exist only with their session, share its ttl, follow a rotation, go with a delete; the first field operation of an unsaved session saves it; with sealing on no item is stored in clear." => [
                    stores_no_item_in_clear_with_sealing_on,
                    counts_in_clear_only_when_it_is_allowed_to,
                    believes_no_item_that_was_moved,
                    believes_no_item_that_is_not_sealed,
                ],
                "Every (format × codec × sealing) writes what every configured reader reads; raw data that begins like an envelope round-trips." => [
                    reads_what_any_chain_wrote,
                    reads_values_of_every_format,
                    reads_back_what_begins_like_an_envelope,
                ],
                "Below the threshold or when it would grow, data is stored as is; a failing compressor stores uncompressed and says so; a failing seal fails the save and nothing is written." => [
                    stores_as_it_is_what_would_grow,
                    stores_as_it_is_what_a_compressor_declines,
                    stores_uncompressed_when_a_compressor_fails,
                    writes_nothing_when_a_seal_fails,
                ],
                "Truncations, bit flips, lying lengths, deep nesting, 10^6 of them: a typed error of bounded cost, never a panic, an abort, or an allocation beyond limit + 64 KiB." => [
                    refuses_a_record_that_was_cut,
                    survives_flipped_bits,
                    survives_lying_lengths,
                    survives_a_value_that_nests_deeply,
                    survives_hostile_records,
                ],
                "A record copied to another session, edited, or unsealed while sealing is required, is `Tampered`: never an empty session." => [
                    refuses_a_record_of_another_session,
                    refuses_a_record_that_was_edited,
                    refuses_a_record_that_is_not_sealed,
                ],
                "An old key still reads, the new key writes; the count of old records is visible." => [
                    reads_with_an_old_key_and_writes_with_the_new,
                    counts_the_records_of_an_old_key,
                ],
                "An envelope version, codec or key id that this process does not know is `Err(Unreadable)`; record and cookie stay untouched." => [
                    leaves_a_record_of_an_unknown_codec,
                    leaves_a_record_of_an_unknown_key,
                    leaves_a_record_of_an_unknown_version,
                    leaves_a_record_that_turned_unreadable,
                ],
                "Where a seal splits its key, no body opens without the half that its client brings; head, listing, fields and end need none; a renewal keeps it, an authentication makes a new one." => [
                    opens_no_body_without_the_half_of_its_client,
                    opens_the_body_through_a_renewal,
                    binds_the_body_anew_in_an_authentication,
                    merges_bodies_that_only_the_client_opens,
                    does_without_the_client_what_needs_no_body,
                    splits_keys_of_a_live_system,
                ],
            }
            round_trips [] {
                "A session that is not touched asks the store nothing." => [
                    asks_nothing_for_a_session_that_is_not_touched,
                ],
                "A request that only reads is one call, one more when a touch is due, and one more, once, to confirm a renewed id without a save." => [
                    reads_by_one_call,
                    touches_by_one_call_when_it_is_due,
                    confirms_a_renewed_id_by_one_call,
                    gives_an_unused_lock_back_by_one_call,
                ],
                "A request that reads and writes is two calls in Optimistic, OnOpen and Off; in OnWrite and Manual two when it begins with `write()`, else three." => [
                    writes_by_two_calls,
                    writes_by_two_calls_when_it_begins_with_the_lock,
                    writes_by_three_calls_when_the_lock_comes_later,
                ],
                "A contended lock is one call more for its waiter, however long it waits." => [
                    waits_for_a_lock_by_one_call,
                ],
                "A merge after a conflict is one call more per retry: the refusal carries the fresh record." => [
                    merges_by_one_call_for_each_retry,
                ],
                "A new session is one call, the first one of a process whose clock is off by a second or more two." => [
                    stores_a_new_session_by_one_call,
                    dates_a_new_session_by_one_call_more,
                ],
                "An id is replaced by the save that it comes with." => [
                    replaces_an_id_by_no_call_of_its_own,
                ],
                "`take` and `bind_subject` are one call more each; a list of a subject's sessions is one and one for each, a revocation two and two for each." => [
                    lists_by_one_call_for_each_session,
                    takes_by_one_call,
                    binds_a_subject_by_one_call,
                ],
                "A log out is one call after the open." => [
                    logs_out_by_one_call,
                ],
            }
            members [when subjects] {
                "A listing never shows a session that cannot be opened; revoke-all racing with a login revokes it or the login sees the new generation." => [
                    gives_a_place_back_that_no_save_followed,
                    keeps_the_place_of_a_parallel_login,
                    keeps_a_member_listed_whose_authentication_failed,
                    revokes_no_later_login,
                    leaves_a_session_that_is_not_the_subjects,
                    ends_no_session_that_changes_hands_meanwhile,
                    lists_no_session_past_its_deadline,
                    revokes_over_a_lock,
                ],
                "A cap of N sessions per subject holds under 64 parallel logins, under each policy." => [
                    holds_a_cap_under_many_logins,
                    makes_room_by_a_place_that_was_never_saved,
                    ends_the_session_that_was_not_used_for_longest,
                ],
            }
            session_trouble [] {
                "A save after the lock was lost never changes the record; it answers `LockLost`; the lost-lock hook runs exactly once." => [
                    replaces_no_lost_lock_under_changes,
                    logs_out_after_a_lost_lock,
                    tells_of_no_lost_lock_when_it_was_released,
                ],
                "A retried save (same op id) whose first answer was lost answers `Done` with the same version and counts once, also when others saved in between; a resend that can no longer be resolved is `Err(Unknown)`." => [
                    counts_a_save_once_whose_answer_was_lost,
                    applies_nothing_again_after_an_unknown_outcome,
                    makes_one_session_when_the_answer_to_its_create_is_lost,
                    counts_a_save_once_that_was_dropped,
                ],
                "Dropping the guard, cancelling the future at any await point (a lock granted after its own release included), or panicking in the handler frees the lock at once when the store is reachable, and at the latest after its hold." => [
                    leaves_no_lock_of_a_request_that_was_dropped,
                ],
                "A store failure never yields an empty or anonymous session unless the application asked for exactly that." => [
                    gives_no_session_when_an_open_fails,
                    gives_no_session_when_its_lock_fails,
                    empties_no_session_when_a_read_fails,
                    loses_nothing_by_a_save_that_fails,
                ],
                "Ids, secrets, tokens, keys and payloads appear in no Debug, Display, error chain, panic text or log at TRACE." => [
                    logs_no_secret,
                    shows_no_secret_of_a_session,
                ],
                "Events never change an outcome, also when they panic or hang; each refused write is logged and counted exactly once." => [
                    changes_no_outcome_by_events_that_panic,
                    changes_no_outcome_by_events_that_hang,
                    logs_and_counts_each_refused_write_once,
                    logs_no_write_that_happened,
                    counts_no_unknown_outcome_as_a_refusal,
                    tells_of_changes_dropped_after_a_refused_take,
                ],
                "Lock time-out follows its policy: `Fail` is typed, `ReadOnly` reads and refuses writes." => [
                    tells_of_a_lock_that_does_not_come_in_time,
                    tells_of_a_queue_that_is_full,
                    reads_when_the_lock_does_not_come_in_time,
                    reads_on_when_a_later_lock_does_not_come,
                ],
            }
        }
    };
}
