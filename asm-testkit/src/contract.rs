//! The contract itself: every sentence that a driver or the session layer keeps.
//!
//! Most are shown by cases of this kit. What needs a real server, a killed process or a web layer is
//! shown by tests of the crate that has one, which stand here by name.

/// A sentence of the contract, and the tests outside of this kit's cases that show it or a part of
/// it, as path in the workspace and name.
pub type Promise = (&'static str, &'static [&'static str]);

/// Every sentence that drivers and the session layer keep, in the order of the contract. A test
/// holds that each is shown, and that no case shows another one.
pub const CONTRACT: &[Promise] = &[
    (
        "A created record reads back byte for byte: empty, NUL, invalid UTF-8, 1 MiB.",
        &[],
    ),
    (
        "Creating on a taken key is refused and changes nothing; of n concurrent creators exactly one wins.",
        &[],
    ),
    (
        "Opening a missing or expired key is `Missing`, not an error, and creates nothing (no record, no lock, no queue, no field).",
        &[],
    ),
    (
        "A save answers a new version (number + 1, op id); a save under a stale guard is refused and changes nothing; two versions are equal only if both parts are.",
        &[],
    ),
    (
        "A retried save (same op id) whose first answer was lost answers `Done` with the same version and counts once, also when others saved in between; a resend that can no longer be resolved is `Err(Unknown)`.",
        &[],
    ),
    (
        "A save, touch, field write or index repair on a deleted or expired session never brings it back.",
        &[],
    ),
    (
        "Delete wins at once over locks, versions and queues; removes record, lock, queue and fields; is idempotent; waiters and the holder are told `Deleted`; no index entry outlives the next listing.",
        &[],
    ),
    (
        "Touch never lowers the ttl and changes neither data nor version; a read by itself changes nothing.",
        &[],
    ),
    (
        "A save sets the ttl it was given; a read, a lock, a refused or failed save never lowers it.",
        &[],
    ),
    (
        "A record over the limit is refused before a byte is written; the old one stays.",
        &[],
    ),
    (
        "Two prefixes never see each other; hostile prefixes, field and subject names (NUL, braces, `/`, 64 KiB) stay inside the namespace or are refused.",
        &[],
    ),
    (
        "A crash between any two round trips leaves the state before or after the operation, never between.",
        &["asm-file/tests/crash.rs::a_thousand_kills_lose_nothing"],
    ),
    (
        "The absolute deadline is checked on every read even if the store kept the record; drivers without native expiry check the idle deadline too; a record that lost its ttl is counted and gets one at the next save.",
        &[],
    ),
    (
        "Two suites may run at the same time against one server without meeting, and leave no key or file behind.",
        &[],
    ),
    (
        "R2 becomes holder only after R1's lock has ended; when R2's wait is over first, it is told so.",
        &[],
    ),
    (
        "Open+lock has the same observable effect as acquire then open; save+unlock the same as save then release.",
        &[],
    ),
    (
        "The lock expires by itself after its hold; renewal extends only the holder's; renewal never shortens; an expired lock cannot be renewed.",
        &[],
    ),
    (
        "A save after the lock was lost never changes the record; it answers `LockLost`; the lost-lock hook runs exactly once.",
        &[],
    ),
    (
        "Release by a stranger, or by a holder whose lock was lost, changes nothing and says so; a retry of a release that worked reports success; a release of a waiting token withdraws its ticket.",
        &[],
    ),
    (
        "Acquiring with a token that already holds answers `Held`: no self-deadlock after a lost reply.",
        &[],
    ),
    (
        "Fences strictly grow over all grants of a session, across expiry, break and regenerate.",
        &[],
    ),
    (
        "`break_lock` frees the lock; the former holder's next save is `LockLost` and `inspect` no longer shows it.",
        &[],
    ),
    (
        "Of two breakers that name the same grant exactly one breaks; a later grant is never broken by it.",
        &[],
    ),
    (
        "Grants follow arrival order among live waiters; one release wakes exactly one waiter.",
        &[],
    ),
    (
        "Waiter n+1 of a queue limit n fails at once with `QueueFull`; limit 0 means never wait; none means no cap.",
        &[],
    ),
    (
        "A wait of 0 is a try; the wait is measured from the call on the harness's clock.",
        &[],
    ),
    (
        "A waiter that gives up, is dropped, dies, or whose process is *stopped* delays nobody beyond confirm time + recheck, on every topology, and counts against no limit after that.",
        &[
            "asm-redis/tests/processes.rs::who_waits_behind_a_waiter_that_was_stopped_is_served",
            "asm-file/tests/processes.rs::who_waits_for_a_process_that_is_killed_is_served_at_once",
        ],
    ),
    (
        "Dropping the guard, cancelling the future at any await point (a lock granted after its own release included), or panicking in the handler frees the lock at once when the store is reachable, and at the latest after its hold.",
        &[
            "asm-redis/tests/faults.rs::dropped_futures_leave_no_lock",
            "asm-tower/tests/web/ends.rs::a_handler_that_panics_frees_the_lock_at_once",
        ],
    ),
    (
        "A lost wake-up delays a waiter by at most the recheck interval; a spurious one is harmless; a waiter asks the store for nothing else than its recheck.",
        &[],
    ),
    (
        "Read-only open never waits, never touches the lock, never changes the record.",
        &[],
    ),
    (
        "Locking an unknown or expired session leaves nothing behind.",
        &[],
    ),
    (
        "A holder paused for ten holds that wakes up cannot save, rotate, renew, or delete under its lock (it may still log out: an unconditional delete).",
        &["asm-redis/tests/processes.rs::a_holder_that_was_stopped_overwrites_nothing"],
    ),
    (
        "Clock steps of ±1 h on any client change none of the above.",
        &[],
    ),
    (
        "Acquiring twice through one handle neither deadlocks nor double-releases.",
        &[],
    ),
    (
        "A session that expires while R2 waits is reported as expired, not as empty.",
        &[],
    ),
    (
        "An open or acquire with a secret that is not the session's takes no lock, joins no queue and decodes no body (10^5 forged secrets on known handles); a busy open still answers the record.",
        &[],
    ),
    (
        "n writers with locks, n optimistic writers, and both mixed lose no acknowledged increment, also when each reads before `write()`; parallel sets of different keys keep both; a lock excludes every other saver until it ends; a delete ends it.",
        &[],
    ),
    (
        "Blind writes merge over foreign writes and conflict with foreign removals; closures and `add` are applied again; a key read (also an absent one), then written, and changed by somebody else follows the policy, already at `write()` in OnWrite and Manual; `Fail` names the keys and saves nothing.",
        &[],
    ),
    (
        "Set back to the original value counts as unmodified; an unmodified session writes nothing.",
        &[],
    ),
    (
        "Every mutator marks dirty and persists across reopen; every no-op does not.",
        &[],
    ),
    (
        "Of n parallel takers of one value exactly one gets it, and only after the store accepted; `add` sums exactly; overflow is an error, not a wrap.",
        &[],
    ),
    (
        "Delete by R1 while R2 runs: R2's save is `Deleted`, in every mode.",
        &[],
    ),
    (
        "A session dropped after changes saves nothing and warns once; a change after `save()` is not lost silently.",
        &[],
    ),
    (
        "A handler error saves nothing unless it saved explicitly.",
        &[
            "asm-tower/tests/web/life_cycle.rs::a_server_error_saves_nothing_but_what_was_saved_explicitly",
        ],
    ),
    ("A load error never leads to a write.", &[]),
    (
        "Ids are 128-bit handle + 192-bit secret from the OS; a failing generator is an error, never a weak id; a 4-bit test generator never takes over a live session.",
        &[],
    ),
    (
        "Malformed ids (10^5 hostile strings) are refused with no store call; unknown handles, and known handles with a secret that never was theirs, cost exactly one read; nothing is created.",
        &[],
    ),
    (
        "Renew keeps data, created-at, lock, fields, index; the old id stays current until the new one is first used, then is a zombie for exactly the grace (half-open); a client that never received the new cookie is not logged out and raises no theft signal.",
        &[],
    ),
    (
        "`Authenticate` leaves no zombie and ends all earlier ones; grace 0 leaves none.",
        &[],
    ),
    (
        "After a Renew: R2 waiting on the old id gets the lock in its old place, R2 running on it saves into the same live session. After an Authenticate: every save, grant, field write and feed of a request that opened with an ended id is refused as `Stale`, nothing is saved, nothing newer is shown.",
        &[],
    ),
    (
        "A→B→C by renewals: A opens the session until A's own deadline; B's deadline does not extend A's; 1,000 rotations do not grow the record beyond 8 former hashes.",
        &[],
    ),
    (
        "Delete through A, B or C deletes the session; all are invalid then, none is an error.",
        &[],
    ),
    (
        "Of two parallel renewals the second is `AlreadyRotated`; of two authentications the second is `Conflict`; there is never a second live session.",
        &[],
    ),
    (
        "After its deadline an old id whose successor was confirmed is `Stale`, the event runs once per open, and no lock is left taken.",
        &[],
    ),
    (
        "A zombie request gets no session Set-Cookie, neither a new one nor a removal, unless it authenticates.",
        &[
            "asm-tower/tests/web/cookies.rs::a_request_on_a_replaced_id_gets_no_cookie_unless_it_authenticates",
        ],
    ),
    (
        "The stored form of an id is never accepted as an id; comparison is constant time.",
        &[],
    ),
    (
        "Unknown, expired and stale give a client the same status, headers and body.",
        &["asm-tower/tests/web/cookies.rs::all_that_opens_nothing_looks_the_same_to_a_client"],
    ),
    (
        "The absolute deadline wins over touch, save, renew and merge; only Authenticate restarts it.",
        &[],
    ),
    (
        "The idle deadline lies within [idle × 0.9, idle] after the last use.",
        &[],
    ),
    (
        "The first lifetime ends when the client comes back once; bot lifetimes follow the class; min and max apply last; 0 and \"not set\" differ; a session that is only read within its idle time never expires.",
        &[],
    ),
    (
        "A per-session lifetime is stored and survives saves by requests that never heard of it.",
        &[],
    ),
    (
        "The same profile by value never calls `profile_changed`; a new one calls it once; what it accepts is saved (in ReadOnly it holds for that request); refusal, error, panic or time-out of a decision refuses the open and leaves no lock.",
        &[],
    ),
    (
        "Clean-up never removes a session touched after the scan saw it; it continues after an error; it is batched; it counts.",
        &[
            "asm-tower/tests/web/background.rs::expired_sessions_are_swept_again_and_again_also_after_errors",
        ],
    ),
    (
        "Fields exist only with their session, share its ttl, follow a rotation, go with a delete; the first field operation of an unsaved session saves it; with sealing on no item is stored in clear.",
        &[],
    ),
    (
        "`incr` by n parallel callers sums exactly; `append` keeps every item once, in some order; a resent `incr` counts once.",
        &[],
    ),
    (
        "A subscriber sees foreign and own saves, rotations and the end after subscribing; subscribe-then-read misses nothing; falling behind is `Lagged(n)`, never silent; memory is bounded; no value travels.",
        &[],
    ),
    (
        "A listing never shows a session that cannot be opened; revoke-all racing with a login revokes it or the login sees the new generation.",
        &[],
    ),
    (
        "A cap of N sessions per subject holds under 64 parallel logins, under each policy.",
        &[],
    ),
    (
        "Every (format × codec × sealing) writes what every configured reader reads; raw data that begins like an envelope round-trips.",
        &[],
    ),
    (
        "Below the threshold or when it would grow, data is stored as is; a failing compressor stores uncompressed and says so; a failing seal fails the save and nothing is written.",
        &[],
    ),
    (
        "Truncations, bit flips, lying lengths, deep nesting, 10^6 of them: a typed error of bounded cost, never a panic, an abort, or an allocation beyond limit + 64 KiB.",
        &["asm-testkit/tests/hostile_records.rs::no_record_takes_more_memory_than_it_may"],
    ),
    (
        "A record copied to another session, edited, or unsealed while sealing is required, is `Tampered`: never an empty session.",
        &[],
    ),
    (
        "An old key still reads, the new key writes; the count of old records is visible.",
        &[],
    ),
    (
        "An envelope version, codec or key id that this process does not know is `Err(Unreadable)`; record and cookie stay untouched.",
        &[],
    ),
    (
        "Every driver call ends by its own deadline, whatever the server does (stopped, half-open, slow, gone), in every topology.",
        &[
            "asm-redis/tests/faults.rs::every_call_ends_when_the_server_is_stopped",
            "asm-redis/tests/faults.rs::every_call_ends_on_a_connection_that_is_half_dead",
            "asm-redis/tests/faults.rs::every_call_ends_when_sentinels_and_servers_are_stopped",
            "asm-redis/tests/faults.rs::every_call_ends_when_a_cluster_is_stopped",
        ],
    ),
    (
        "Every server refusal maps to its own error kind; nothing is retried that is not idempotent.",
        &[
            "asm-redis/tests/errors.rs::readonly_of_a_replica",
            "asm-redis/tests/errors.rs::loading_until_the_data_are_there",
            "asm-redis/tests/errors.rs::clusterdown_when_a_part_of_it_is_gone",
            "asm-redis/tests/errors.rs::oom_when_there_is_no_memory",
            "asm-redis/tests/errors.rs::noauth_and_wrongpass",
            "asm-redis/tests/errors.rs::busy_while_a_script_runs_for_long",
            "asm-redis/tests/errors.rs::timeout_when_nothing_answers",
            "asm-redis/tests/errors.rs::what_no_server_could_be",
            "asm-redis/tests/faults.rs::a_refusal_of_what_was_sent_again_leaves_it_open",
        ],
    ),
    (
        "After a failover the state is some earlier committed state, whole; a save based on a version that did not survive is a conflict; a token that is not the holder in the surviving state is refused.",
        &[
            "asm-redis/tests/failover.rs::what_did_not_survive_is_refused",
            "asm-redis/tests/failover.rs::sentinels_fail_over_under_load",
            "asm-redis/tests/failover.rs::a_cluster_fails_over_under_load",
        ],
    ),
    (
        "A store failure never yields an empty or anonymous session unless the application asked for exactly that.",
        &[],
    ),
    (
        "Ids, secrets, tokens, keys and payloads appear in no Debug, Display, error chain, panic text or log at TRACE.",
        &[],
    ),
    (
        "`Off` overwrites values only: an `Off` save that began before a rotation, a lifetime, subject or profile change leaves all of them standing, and never resurrects.",
        &[],
    ),
    (
        "A discarded session writes nothing and frees its lock; after `delete` an insert starts a new session under a fresh id, every other mutator is `Deleted`.",
        &[],
    ),
    (
        "Of n parallel `once` callers one runs and the others get its value; if it fails or dies the next runs; a result is not reused after its ttl.",
        &[],
    ),
    (
        "Events never change an outcome, also when they panic or hang; each refused write is logged and counted exactly once.",
        &[],
    ),
    (
        "`transact` runs again on conflict and returns its value once; its closure may borrow.",
        &[],
    ),
    (
        "A rotation policy that fires rotates once, with the request's save, never on a zombie or a read-only request.",
        &[],
    ),
    (
        "`keep_alive` keeps a lock through ten holds; when it stops, the lock ends after one hold.",
        &[],
    ),
    (
        "Lock time-out follows its policy: `Fail` is typed, `ReadOnly` reads and refuses writes.",
        &[],
    ),
    (
        "A list of sessions has each one that lives throughout, and none whose life was over before; it is batched, changes nothing, and names the fields of each.",
        &[],
    ),
    (
        "Where a seal splits its key, no body opens without the half that its client brings; head, listing, fields and end need none; a renewal keeps it, an authentication makes a new one.",
        &[],
    ),
    ("A session that is not touched asks the store nothing.", &[]),
    (
        "A request that only reads is one call, one more when a touch is due, and one more, once, to confirm a renewed id without a save.",
        &[],
    ),
    (
        "A request that reads and writes is two calls in Optimistic, OnOpen and Off; in OnWrite and Manual two when it begins with `write()`, else three.",
        &[],
    ),
    (
        "A contended lock is one call more for its waiter, however long it waits.",
        &[],
    ),
    (
        "A merge after a conflict is one call more per retry: the refusal carries the fresh record.",
        &[],
    ),
    (
        "A new session is one call, the first one of a process whose clock is off by a second or more two.",
        &[],
    ),
    ("An id is replaced by the save that it comes with.", &[]),
    (
        "`take` and `bind_subject` are one call more each; a list of a subject's sessions is one and one for each, a revocation two and two for each.",
        &[],
    ),
    ("A log out is one call after the open.", &[]),
];
