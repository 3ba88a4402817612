//! The contract, on a table of bytes. Its waiters learn of a grant by their recheck alone.

use std::{sync::Arc, time::Duration};

use asm_core::{Clock, Driver};
use asm_entry::{EntryDriver, Timing};
use asm_testkit::{Harness, ManualClock};
use async_trait::async_trait;
use entry_driver::{Table, TableStore};

asm_testkit::conformance! {
    setup: || async { Tables::default() },
    facets: [fields, subjects, sweeper],
}

/// Two tables on one clock.
#[derive(Debug, Default)]
struct Tables {
    clock: ManualClock,
    table: Arc<Table>,
    neighbour: Arc<Table>,
}

impl Tables {
    fn driver(&self, table: &Arc<Table>) -> Arc<dyn Driver> {
        let clock = Arc::new(self.clock.clone());
        Arc::new(EntryDriver::new(TableStore::new(Arc::clone(table), clock)))
    }
}

#[async_trait]
impl Harness for Tables {
    async fn connect(&self) -> Arc<dyn Driver> {
        self.driver(&self.table)
    }

    async fn neighbour(&self) -> Arc<dyn Driver> {
        self.driver(&self.neighbour)
    }

    fn wakes_waiters(&self) -> bool {
        false
    }

    fn recheck(&self) -> Duration {
        Timing::default().recheck
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by).await;
    }

    async fn holdings(&self) -> usize {
        self.table.owners() + self.neighbour.owners()
    }

    async fn stop(&self) {
        assert_eq!(self.clock.sleepers(), 0, "sleepers left");
    }
}
