//! How often things happened.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// How often things happened since the application's `Sessions` were built.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counting {
            $(pub(crate) $name: Count,)*
        }

        impl Counting {
            pub(crate) fn read(&self) -> Counters {
                Counters { $($name: self.$name.0.load(Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Sessions opened by their ids.
    opens,
    /// Versions stored: saves, first ones included.
    saves,
    /// Bytes of the heads and bodies of records that were to be stored, before any codec.
    plain_bytes,
    /// Bytes that they had after all codecs, with their envelope.
    stored_bytes,
    /// Saves that met a newer version and were laid over it.
    merges,
    /// Saves refused because of a conflict.
    conflicts,
    /// Writes that did not happen, for whatever reason, those conflicts included.
    refused_writes,
    /// Writes of which it is not known whether they happened. Saving again finds it out, unless
    /// nobody can any more.
    unknown_writes,
    /// Locks that were waited for.
    lock_waits,
    /// How long they were waited for, in microseconds.
    lock_wait_micros,
    /// Waits for a lock that ended without it.
    lock_timeouts,
    /// Locks that were lost before their release.
    lost_locks,
    /// Opens with an id that was replaced and is still good.
    zombies,
    /// Opens refused.
    invalid,
    /// Sessions dropped with changes that were not saved.
    dropped_changes,
    /// Decisions that failed, panicked or took too long.
    failed_decisions,
    /// Events that nobody was told of, panicked, or took too long.
    failed_events,
    /// Parts of records that were stored without a compressor, because it failed.
    failed_compressions,
    /// Parts of records that were read although they should have been sealed, during a migration.
    unsealed_reads,
    /// Records that were read and are sealed otherwise than they would be now: with a key that no
    /// longer writes, by another seal, or not at all.
    outdated_seals,
}

#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.add_many(1);
    }

    pub(crate) fn add_many(&self, many: u64) {
        self.0.fetch_add(many, Relaxed);
    }
}
