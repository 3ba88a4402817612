//! Sessions in memory, compared with the model, answer by answer.

use std::{sync::Arc, time::Duration};

use asm_core::{Clock, Driver};
use asm_memory::MemoryDriver;
use asm_testkit::{
    Harness, ManualClock,
    model::{self, Options},
};
use async_trait::async_trait;

#[test]
fn answers_as_the_model_does() {
    model::check(|| async { Memory::new() }, Options::default());
}

const RECHECK: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Memory {
    clock: ManualClock,
    driver: MemoryDriver,
}

impl Memory {
    fn new() -> Self {
        let clock = ManualClock::new();
        let builder = MemoryDriver::builder().recheck(RECHECK);
        Self {
            driver: builder.clock(Arc::new(clock.clone())).build(),
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
        self.connect().await
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
        self.driver.sessions() + self.driver.subjects_indexed()
    }

    async fn stop(&self) {
        assert_eq!(
            self.driver.listeners(),
            (0, 0),
            "waiters and subscribers left"
        );
    }
}
