//! Waiting for what can be seen, and not for time to pass.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{Error, Result};

/// How long anything here is waited for, before it counts as hung.
pub const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(2);

/// Looks until there is something to see, every few milliseconds, and answers it.
///
/// `look` answers `Ok` with what was waited for, or `Err` with what it saw instead, which is told
/// when patience ends.
///
/// ```
/// let mut looks = 0;
/// let seen = asm_servers::until("the third look", || {
///     looks += 1;
///     if looks == 3 { Ok(looks) } else { Err(format!("look {looks}")) }
/// })?;
/// assert_eq!(seen, 3);
/// # Ok::<(), asm_servers::Error>(())
/// ```
///
/// # Errors
/// [`Error::Patience`] after [`PATIENCE`].
pub fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> Result<T> {
    let began = Instant::now();
    loop {
        match look() {
            Ok(seen) => return Ok(seen),
            Err(seen) if began.elapsed() > PATIENCE => {
                return Err(Error::Patience {
                    what: what.to_owned(),
                    patience: PATIENCE,
                    seen,
                });
            }
            Err(_) => pause(),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a foreign process is looked at, which tells nobody when it is ready"
)]
fn pause() {
    thread::sleep(PAUSE);
}
