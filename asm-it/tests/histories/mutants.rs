//! Drivers that are wrong, each in one way.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use asm_core::{
    Acquired, Driver, Fence, FieldWrite, FieldWritten, Guard, Key, LockWish, OpId, Open, Opened,
    OpenedLock, Result, Save, Snapshot, Written,
};
use asm_testkit::{Layer, Layered, history::Violation};
use async_trait::async_trait;

/// What is wrong with a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Saves over whatever is there.
    Overwrites,
    /// An open takes the lock from whoever has it.
    Steals,
    /// Who waited for the lock is not shown what was saved meanwhile.
    HandsOffStale,
    /// Two grants in a row have the same fence.
    ReusesFences,
    /// What was not answered is sent again under another name.
    ForgetsNames,
    /// An open without the lock shows what the one before has shown.
    ReadsStale,
}

impl Flaw {
    pub(crate) const ALL: [Self; 6] = [
        Self::Overwrites,
        Self::Steals,
        Self::HandsOffStale,
        Self::ReusesFences,
        Self::ForgetsNames,
        Self::ReadsStale,
    ];

    /// Whether this is how it shows.
    pub(crate) fn shows_in(self, violation: &Violation) -> bool {
        match self {
            Self::Overwrites => matches!(violation, Violation::Lost(_)),
            Self::Steals => matches!(violation, Violation::Overlap(..)),
            Self::HandsOffStale => matches!(violation, Violation::StaleGrant(..)),
            Self::ReusesFences => matches!(violation, Violation::FenceReused(..)),
            Self::ForgetsNames => matches!(violation, Violation::Doubled(_)),
            Self::ReadsStale => matches!(violation, Violation::Stale(..)),
        }
    }

    /// A driver that has it.
    pub(crate) fn over(self, driver: Arc<dyn Driver>) -> Arc<dyn Driver> {
        Arc::new(Layered::new(Mutant {
            driver,
            flaw: self,
            shown: Mutex::default(),
        }))
    }
}

#[derive(Debug)]
struct Mutant {
    driver: Arc<dyn Driver>,
    flaw: Flaw,
    /// What the last open showed.
    shown: Mutex<HashMap<Key, Snapshot>>,
}

#[async_trait]
impl Layer for Mutant {
    fn inner(&self) -> &dyn Driver {
        &*self.driver
    }

    async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
        let mut opened = self.driver.open(key, req.clone()).await?;
        let is_busy = |opened: &Opened| {
            let busy = OpenedLock::Busy;
            matches!(opened, Opened::Found { lock, .. } if *lock == busy)
        };
        if self.flaw == Flaw::Steals && is_busy(&opened) {
            self.driver.break_lock(key, None).await?;
            opened = self.driver.open(key, req).await?;
        }
        if let Opened::Found { snapshot, lock } = &mut opened {
            match lock {
                OpenedLock::Held(fence) => *fence = self.fence(*fence),
                OpenedLock::NotAsked if self.flaw == Flaw::ReadsStale => {
                    let mut shown = self.shown.lock().expect("nobody panics here");
                    let before = shown.insert(*key, snapshot.clone());
                    *snapshot = before.unwrap_or_else(|| snapshot.clone());
                }
                _ => {}
            }
        }
        Ok(opened)
    }

    async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
        let mut acquired = self.driver.acquire(key, wish).await?;
        if let Acquired::Held { fence, snapshot } = &mut acquired {
            *fence = self.fence(*fence);
            if self.flaw == Flaw::HandsOffStale {
                *snapshot = None;
            }
        }
        Ok(acquired)
    }

    async fn save(&self, key: &Key, req: Save) -> Result<Written> {
        let written = self.driver.save(key, req.clone()).await;
        match written {
            Ok(Written::Conflict(newest)) if self.flaw == Flaw::Overwrites => {
                let guard = Guard {
                    version: newest.version,
                    ..req.guard
                };
                self.driver.save(key, Save { guard, ..req }).await
            }
            Err(_) if self.flaw == Flaw::ForgetsNames => {
                let op = name();
                self.driver.save(key, Save { op, ..req }).await
            }
            written => written,
        }
    }

    async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
        let fields = self.driver.fields().expect("a driver with fields");
        match fields.write_field(key, req.clone()).await {
            Err(_) if self.flaw == Flaw::ForgetsNames => {
                let op = name();
                fields.write_field(key, FieldWrite { op, ..req }).await
            }
            written => written,
        }
    }
}

impl Mutant {
    fn fence(&self, fence: Fence) -> Fence {
        match self.flaw {
            Flaw::ReusesFences => Fence::new(fence.get().div_ceil(2)),
            _ => fence,
        }
    }
}

/// A name that nobody else has.
fn name() -> OpId {
    OpId::from_bytes(fastrand::u64(..).to_be_bytes())
}
