//! A driver that loses updates.

use std::sync::Arc;

use asm_core::{Driver, Guard, Key, Result, Save, Written};
use asm_testkit::{Layer, Layered};
use async_trait::async_trait;

/// Saves over whatever is there.
#[derive(Debug)]
pub(crate) struct Careless(Arc<dyn Driver>);

impl Careless {
    pub(crate) fn over(driver: Arc<dyn Driver>) -> Arc<dyn Driver> {
        Arc::new(Layered::new(Self(driver)))
    }
}

#[async_trait]
impl Layer for Careless {
    fn inner(&self) -> &dyn Driver {
        &*self.0
    }

    async fn save(&self, key: &Key, req: Save) -> Result<Written> {
        let written = self.0.save(key, req.clone()).await?;
        let Written::Conflict(newest) = written else {
            return Ok(written);
        };
        let guard = Guard {
            version: newest.version,
            ..req.guard
        };
        self.0.save(key, Save { guard, ..req }).await
    }
}
