//! The contract, on sessions in memory.

use std::{sync::Arc, time::Duration};

use asm_core::{Clock, Driver};
use asm_memory::MemoryDriver;
use asm_testkit::{Harness, ManualClock};
use async_trait::async_trait;

asm_testkit::conformance! {
    setup: || async { Memory::new() },
    facets: [fields, changes, subjects, sweeper, inventory],
}

/// Not what it is unless set.
const RECHECK: Duration = Duration::from_millis(700);

/// Two namespaces are two drivers: they share nothing but the clock.
#[derive(Debug)]
struct Memory {
    clock: ManualClock,
    driver: MemoryDriver,
    neighbour: MemoryDriver,
}

impl Memory {
    fn new() -> Self {
        let clock = ManualClock::new();
        let driver = || {
            MemoryDriver::builder()
                .recheck(RECHECK)
                .clock(Arc::new(clock.clone()))
                .build()
        };
        Self {
            driver: driver(),
            neighbour: driver(),
            clock,
        }
    }
}

#[async_trait]
impl Harness for Memory {
    async fn connect(&self) -> Arc<dyn Driver> {
        Arc::new(self.driver.clone())
    }

    async fn neighbour(&self) -> Arc<dyn Driver> {
        Arc::new(self.neighbour.clone())
    }

    fn recheck(&self) -> Duration {
        RECHECK
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by).await;
    }

    async fn holdings(&self) -> usize {
        [&self.driver, &self.neighbour]
            .iter()
            .map(|driver| driver.sessions() + driver.subjects_indexed())
            .sum()
    }

    async fn stop(&self) {
        for driver in [&self.driver, &self.neighbour] {
            assert_eq!(driver.listeners(), (0, 0), "waiters and subscribers left");
        }
        assert_eq!(self.clock.sleepers(), 0, "sleepers left");
    }
}
