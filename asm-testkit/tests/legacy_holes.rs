//! Holes of the libraries that came before, each with the cases that would find it here.

use asm_testkit::Case;

#[path = "own_tests/mod.rs"]
mod own_tests;

/// A hole, and the cases that a driver or session layer with it fails.
const HOLES: [(&str, &[(&str, &str)]); 17] = [
    (
        "a save that does not check the lock",
        &[("locks", "saves_nothing_after_a_loss")],
    ),
    (
        "a save that revives a deleted session",
        &[("records", "revives_nothing_by_a_save")],
    ),
    (
        "a lost write reported as success",
        &[
            ("records", "refuses_a_save_under_a_stale_guard"),
            ("session_trouble", "logs_and_counts_each_refused_write_once"),
        ],
    ),
    (
        "lock keys or records of six hours, created for unknown ids",
        &[
            ("locks", "locking_nothing_leaves_nothing"),
            ("records", "leaves_nothing_at_an_unknown_key"),
        ],
    ),
    (
        "ids accepted that a client chose",
        &[("ids", "reads_once_for_unknown_ids")],
    ),
    (
        "counters of waiters that leak",
        &[("locks", "cancelled_waiter_leaves_nothing")],
    ),
    (
        "holders judged by process ids, across containers",
        &[("locks", "expires_however_it_was_taken")],
    ),
    (
        "a poll of 500 ms, or a spin",
        &[
            ("locks", "release_wakes_one"),
            ("round_trips", "waits_for_a_lock_by_one_call"),
        ],
    ),
    (
        "a healthy holder broken because it was seen twice",
        &[("locks", "expires_after_its_hold")],
    ),
    (
        "lockless keys that outlive their session",
        &[("fields", "ends_fields_when_their_session_ends")],
    ),
    (
        "a lifetime of 3600 s in the code",
        &[("records", "sets_the_lifetime_by_a_save")],
    ),
    (
        "the first record stored unencrypted, plain text as a fallback",
        &[
            ("bytes", "writes_nothing_when_a_seal_fails"),
            ("bytes", "refuses_a_record_that_is_not_sealed"),
        ],
    ),
    (
        "a failed compression stored as an empty session",
        &[("bytes", "stores_uncompressed_when_a_compressor_fails")],
    ),
    (
        "a configured 0 taken for the default",
        &[
            ("lifetimes", "tells_zero_from_not_set"),
            ("locks", "limit_zero_never_waits"),
        ],
    ),
    (
        "a rotation that logs parallel requests out",
        &[
            ("ids", "saves_into_the_same_session_after_a_renewal"),
            ("ids", "logs_nobody_out_by_a_lost_answer"),
        ],
    ),
    (
        "a failed read taken for an empty session",
        &[("session_trouble", "empties_no_session_when_a_read_fails")],
    ),
    (
        "ids in logs",
        &[
            ("session_trouble", "logs_no_secret"),
            ("trouble", "shows_no_secret"),
        ],
    ),
];

/// Holes of a web layer and of what runs beside it, and the tests that find them.
const HOLES_BESIDE: [(&str, &str); 2] = [
    (
        "an answer of 404 that removes the cookie",
        "asm-tower/tests/web/cookies.rs::a_cookie_is_removed_by_the_request_that_ended_its_session_and_by_no_other",
    ),
    (
        "a clean-up that ends at its first error",
        "asm-tower/tests/web/background.rs::expired_sessions_are_swept_again_and_again_also_after_errors",
    ),
];

#[test]
fn legacy_holes_beside_have_tests() {
    for (hole, test) in HOLES_BESIDE {
        println!("{hole}");
        own_tests::is_there(test);
    }
}

#[test]
fn legacy_holes_have_cases() {
    for (hole, cases) in HOLES {
        assert!(!cases.is_empty(), "{hole}: no case");
        for (module, name) in cases {
            let known = Case::named(module, name);
            assert!(known.is_some(), "{hole}: there is no case {module}::{name}");
        }
    }
}
