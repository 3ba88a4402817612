//! The contract, on a map behind a mutex. No facet is declared, so the suite also proves that none
//! is there.

use std::{sync::Arc, time::Duration};

use asm_core::{Clock, Driver};
use asm_testkit::{Harness, ManualClock};
use async_trait::async_trait;
use raw_driver::RawDriver;

asm_testkit::conformance! {
    setup: || async { Maps::new() },
    facets: [],
}

/// Two maps on one clock.
#[derive(Debug)]
struct Maps {
    clock: ManualClock,
    driver: RawDriver,
    neighbour: RawDriver,
}

impl Maps {
    fn new() -> Self {
        let clock = ManualClock::new();
        let driver = || RawDriver::new(Arc::new(clock.clone()));
        Self {
            driver: driver(),
            neighbour: driver(),
            clock,
        }
    }
}

#[async_trait]
impl Harness for Maps {
    async fn connect(&self) -> Arc<dyn Driver> {
        Arc::new(self.driver.clone())
    }

    async fn neighbour(&self) -> Arc<dyn Driver> {
        Arc::new(self.neighbour.clone())
    }

    fn recheck(&self) -> Duration {
        RawDriver::RECHECK
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by).await;
    }

    async fn holdings(&self) -> usize {
        self.driver.sessions() + self.neighbour.sessions()
    }

    async fn stop(&self) {
        assert_eq!(self.clock.sleepers(), 0, "sleepers left");
    }
}
