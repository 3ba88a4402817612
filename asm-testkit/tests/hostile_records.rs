//! Records that somebody edited, many of them, with memory measured.

use std::{sync::Arc, time::Duration};

use asm_core::{Clock, Driver};
use asm_memory::MemoryDriver;
use asm_testkit::{Harness, ManualClock, cases::bytes::hostile_records};
use async_trait::async_trait;

#[tokio::test]
async fn no_record_takes_more_memory_than_it_may() {
    hostile_records(&Memory::new(), 5_000, peak).await;
}

#[tokio::test]
#[ignore = "a minute in a release build: 10^6 records"]
async fn a_million_hostile_records_are_survived() {
    hostile_records(&Memory::new(), 1_000_000, peak).await;
}

fn peak(run: &mut dyn FnMut()) -> u64 {
    allocation_counter::measure(run).bytes_max
}

#[derive(Debug)]
struct Memory {
    clock: ManualClock,
    driver: MemoryDriver,
}

impl Memory {
    fn new() -> Self {
        let clock = ManualClock::new();
        let driver = MemoryDriver::builder().clock(Arc::new(clock.clone()));
        Self {
            driver: driver.build(),
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
        Arc::new(MemoryDriver::new())
    }

    fn recheck(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by).await;
    }

    async fn holdings(&self) -> usize {
        self.driver.sessions()
    }

    async fn stop(&self) {}
}
