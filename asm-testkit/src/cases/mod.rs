//! Every case, and the sentence of the contract that it shows.
//!
//! A case is a `pub async fn` over a [`Harness`](crate::Harness) that panics when the sentence does
//! not hold. The list below is the only place that names them all: the tests of
//! [`conformance!`](crate::conformance), [`CASES`](crate::CASES) and `CONTRACT.md` are made of it.
//!
//! To add a case: write it in the module of its part, and put its name behind its sentence. To add
//! a part: write a module, and give it a block; `[when fields]` is for drivers that have that facet,
//! `[unless fields]` for those that do not, `[]` for all.

pub mod feed;
pub mod fields;
pub mod locks;
pub mod records;
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
                "A created record reads back byte for byte: empty, NUL, invalid UTF-8, 1 MiB." => [],
                "Creating on a taken key is refused and changes nothing; of n concurrent creators exactly one wins." => [],
                "Opening a missing or expired key is `Missing`, not an error, and creates nothing (no record, no lock, no queue, no field)." => [],
                "A save answers a new version (number + 1, op id); a save under a stale guard is refused and changes nothing; two versions are equal only if both parts are." => [],
                "A retried save (same op id) whose first answer was lost answers `Done` with the same version and counts once, also when others saved in between; a resend that can no longer be resolved is `Err(Unknown)`." => [],
                "A save, touch, field write or index repair on a deleted or expired session never brings it back." => [],
                "Delete wins at once over locks, versions and queues; removes record, lock, queue and fields; is idempotent; waiters and the holder are told `Deleted`; no index entry outlives the next listing." => [],
                "Touch never lowers the ttl and changes neither data nor version; a read by itself changes nothing." => [],
                "A save sets the ttl it was given; a read, a lock, a refused or failed save never lowers it." => [],
                "A record over the limit is refused before a byte is written; the old one stays." => [],
                "Two prefixes never see each other; hostile prefixes, field and subject names (NUL, braces, `/`, 64 KiB) stay inside the namespace or are refused." => [],
                "A crash between any two round trips leaves the state before or after the operation, never between." => [],
                "The absolute deadline is checked on every read even if the store kept the record; drivers without native expiry check the idle deadline too; a record that lost its ttl is counted and gets one at the next save." => [],
                "Two suites may run at the same time against one server without meeting, and leave no key or file behind." => [],
            }
            locks [] {
                "R2 becomes holder only after R1's lock has ended; when R2's wait is over first, it is told so." => [],
                "Open+lock has the same observable effect as acquire then open; save+unlock the same as save then release." => [],
                "The lock expires by itself after its hold; renewal extends only the holder's; renewal never shortens; an expired lock cannot be renewed." => [],
                "A save after the lock was lost never changes the record; it answers `LockLost`; the lost-lock hook runs exactly once." => [],
                "Release by a stranger, or by a holder whose lock was lost, changes nothing and says so; a retry of a release that worked reports success; a release of a waiting token withdraws its ticket." => [],
                "Acquiring with a token that already holds answers `Held`: no self-deadlock after a lost reply." => [],
                "Fences strictly grow over all grants of a session, across expiry, break and regenerate." => [],
                "`break_lock` frees the lock; the former holder's next save is `LockLost` and `inspect` no longer shows it." => [],
                "Of two breakers that name the same grant exactly one breaks; a later grant is never broken by it." => [],
                "Grants follow arrival order among live waiters; one release wakes exactly one waiter." => [],
                "Waiter n+1 of a queue limit n fails at once with `QueueFull`; limit 0 means never wait; none means no cap." => [],
                "A wait of 0 is a try; the wait is measured from the call on the harness's clock." => [],
                "A waiter that gives up, is dropped, dies, or whose process is *stopped* delays nobody beyond confirm time + recheck, on every topology, and counts against no limit after that." => [],
                "Dropping the guard, cancelling the future at any await point (a lock granted after its own release included), or panicking in the handler frees the lock at once when the store is reachable, and at the latest after its hold." => [],
                "A lost wake-up delays a waiter by at most the recheck interval; a spurious one is harmless; a waiter asks the store for nothing else than its recheck." => [],
                "Read-only open never waits, never touches the lock, never changes the record." => [],
                "Locking an unknown or expired session leaves nothing behind." => [],
                "A holder paused for ten holds that wakes up cannot save, rotate, renew, or delete under its lock (it may still log out: an unconditional delete)." => [],
                "Clock steps of ±1 h on any client change none of the above." => [],
                "Acquiring twice through one handle neither deadlocks nor double-releases." => [],
                "A session that expires while R2 waits is reported as expired, not as empty." => [],
                "An open or acquire with a secret that is not the session's takes no lock, joins no queue and decodes no body (10^5 forged secrets on known handles); a busy open still answers the record." => [],
            }
            fields [when fields] {
                "Fields exist only with their session, share its ttl, follow a rotation, go with a delete; the first field operation of an unsaved session saves it; with sealing on no item is stored in clear." => [],
                "`incr` by n parallel callers sums exactly; `append` keeps every item once, in some order; a resent `incr` counts once." => [],
            }
            feed [when changes] {
                "A subscriber sees foreign and own saves, rotations and the end after subscribing; subscribe-then-read misses nothing; falling behind is `Lagged(n)`, never silent; memory is bounded; no value travels." => [],
            }
            subjects [when subjects] {
                "A listing never shows a session that cannot be opened; revoke-all racing with a login revokes it or the login sees the new generation." => [],
                "A cap of N sessions per subject holds under 64 parallel logins, under each policy." => [],
            }
            sweep [when sweeper] {
                "Clean-up never removes a session touched after the scan saw it; it continues after an error; it is batched; it counts." => [],
            }
            trouble [] {
                "Every driver call ends by its own deadline, whatever the server does (stopped, half-open, slow, gone), in every topology." => [],
                "Every server refusal maps to its own error kind; nothing is retried that is not idempotent." => [],
            }
        }
    };
}
