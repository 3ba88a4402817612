//! Store time: the same for all processes of the machine.

use std::{
    fs,
    future::Future,
    pin::Pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use asm_core::{Clock, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};
use rustix::time::ClockId;

use crate::rows;

/// What the database says the machine's boot was at, plus the time since then. Steps of the wall
/// clock do not move it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineClock {
    boot: Timestamp,
}

impl MachineClock {
    /// The clock of this database. The first one to ask after a boot sets it: to the wall clock's
    /// time, or to the latest time that is known to have been when that is later.
    pub(crate) fn of(connection: &mut Connection) -> rusqlite::Result<Self> {
        // A system that does not tell its boots goes by the wall clock at each start.
        let here = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let known = transaction
            .query_row("SELECT boot, started, latest FROM clock", (), |row| {
                Ok((row.get::<_, Option<String>>(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let boot = match known {
            Some((boot, started, _)) if boot.is_some() && boot == here => time(started),
            other => {
                let latest = other.map_or(0, |(_, _, latest)| latest);
                let now = wall_clock().max(time(latest));
                let since_epoch = now.since(time(0));
                time(0) + since_epoch.saturating_sub(since_boot())
            }
        };
        let now = rows::column(boot + since_boot());
        transaction.execute("DELETE FROM clock", ())?;
        transaction.execute(
            "INSERT INTO clock VALUES (?, ?, ?)",
            (here, rows::column(boot), now),
        )?;
        transaction.commit()?;
        Ok(Self { boot })
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        self.boot + since_boot()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn sleep(&self, by: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(by))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    time(0) + since_epoch.unwrap_or_default()
}

fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}

fn time(column: i64) -> Timestamp {
    Timestamp::from_micros(u64::try_from(column).unwrap_or_default())
}
