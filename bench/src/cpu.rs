//! Time, as the kernel bills it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How much processor time all threads of this process have had. Neighbours on the same cores do not
/// count; neither does sleeping, as on a lock that somebody else has.
#[must_use]
pub fn cpu_time() -> Duration {
    billed(ClockId::ProcessCPUTime)
}

/// How much processor time this thread has had.
#[must_use]
pub fn thread_cpu_time() -> Duration {
    billed(ClockId::ThreadCPUTime)
}

fn billed(to: ClockId) -> Duration {
    let time = clock_gettime(to);
    let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
    seconds + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}
