//! What is measured of a request. Without the feature `metrics` it is nothing.

use asm_session::{InvalidReason, LockMode, Sessions};

use crate::layer::Config;

/// Measures how long something takes, if the application wants to know.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch {
    #[cfg(feature = "metrics")]
    since: Option<std::time::Instant>,
}

#[cfg(feature = "metrics")]
impl Stopwatch {
    pub(crate) fn start(config: &Config) -> Self {
        Self {
            since: config.metered.then(std::time::Instant::now),
        }
    }

    /// A session was opened.
    pub(crate) fn opened(self, mode: LockMode) {
        if let Some(since) = self.since {
            let took = metrics::histogram!("asm_session_open_seconds", "mode" => name_of(mode));
            took.record(since.elapsed());
        }
    }

    /// It was saved, or was not to be, and its lock is gone.
    pub(crate) fn saved(self) {
        if let Some(since) = self.since {
            metrics::histogram!("asm_session_save_seconds").record(since.elapsed());
        }
    }

    /// The time from the open to the end of the save, of a session that was locked.
    pub(crate) fn held(self) {
        if let Some(since) = self.since {
            metrics::histogram!("asm_session_lock_hold_seconds").record(since.elapsed());
        }
    }
}

/// A client brought an id that opens nothing.
#[cfg(feature = "metrics")]
pub(crate) fn invalid(config: &Config, reason: InvalidReason) {
    if config.metered {
        let reason = reason.to_string();
        metrics::counter!("asm_session_invalid_ids_total", "reason" => reason).increment(1);
    }
}

/// What the sessions counted themselves.
#[cfg(feature = "metrics")]
pub(crate) fn publish(config: &Config, sessions: &Sessions) {
    if !config.metered {
        return;
    }
    let counted = sessions.counters();
    for (name, value) in [
        ("asm_session_opens_total", counted.opens),
        ("asm_session_saves_total", counted.saves),
        ("asm_session_plain_bytes_total", counted.plain_bytes),
        ("asm_session_stored_bytes_total", counted.stored_bytes),
        ("asm_session_merges_total", counted.merges),
        ("asm_session_conflicts_total", counted.conflicts),
        ("asm_session_refused_writes_total", counted.refused_writes),
        ("asm_session_dropped_changes_total", counted.dropped_changes),
        ("asm_session_lock_waits_total", counted.lock_waits),
        (
            "asm_session_lock_wait_microseconds_total",
            counted.lock_wait_micros,
        ),
        ("asm_session_lock_timeouts_total", counted.lock_timeouts),
        ("asm_session_lost_locks_total", counted.lost_locks),
        ("asm_session_zombies_total", counted.zombies),
        (
            "asm_session_failed_decisions_total",
            counted.failed_decisions,
        ),
        ("asm_session_failed_events_total", counted.failed_events),
        (
            "asm_session_failed_compressions_total",
            counted.failed_compressions,
        ),
        ("asm_session_unsealed_reads_total", counted.unsealed_reads),
    ] {
        metrics::counter!(name).absolute(value);
    }
}

#[cfg(feature = "metrics")]
const fn name_of(mode: LockMode) -> &'static str {
    match mode {
        LockMode::ReadOnly => "read_only",
        LockMode::Optimistic => "optimistic",
        LockMode::OnWrite => "on_write",
        LockMode::OnOpen => "on_open",
        LockMode::Manual => "manual",
        LockMode::Off => "off",
        _ => "other",
    }
}

#[cfg(not(feature = "metrics"))]
impl Stopwatch {
    pub(crate) const fn start(_: &Config) -> Self {
        Self {}
    }

    pub(crate) const fn opened(self, _: LockMode) {}

    pub(crate) const fn saved(self) {}

    pub(crate) const fn held(self) {}
}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn invalid(_: &Config, _: InvalidReason) {}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn publish(_: &Config, _: &Sessions) {}
