//! Clean-up from end to end.

use std::{num::NonZeroUsize, ops::ControlFlow, sync::Arc, time::Duration};

use asm_core::{Driver, ErrorKind, Result, SweepStep, Swept};
use asm_memory::MemoryDriver;
use asm_session::{Cursor, LockMode, SessionError, SweepProgress};
use asm_testkit::{Facet, Layer, Layered};
use async_trait::async_trait;

use crate::world::{World, n, stored};

const SESSIONS: u64 = 40;
const BATCH: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9);

#[tokio::test]
async fn a_sweep_tells_how_far_it_is_and_goes_on_where_it_was_left() {
    let world = World::new();
    let sessions = world.sessions(LockMode::Optimistic);
    for _ in 0..SESSIONS {
        stored(&sessions).await;
    }
    world.clock.advance(Duration::from_secs(86_400)).await;
    let living = stored(&sessions).await;

    let mut told = Vec::new();
    let first = sessions.sweep(None, BATCH, |progress| {
        told.push(progress.clone());
        if progress.removed > 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let first = first.await.expect("swept");
    assert!(first.removed > 0 && first.removed < SESSIONS, "{first:?}");
    assert_eq!(told.last(), Some(&first));
    assert!(first.next.is_some());

    // Another process, say.
    let sessions = world.sessions(LockMode::Optimistic);
    let mut told: Vec<SweepProgress> = Vec::new();
    let rest = sessions.sweep(first.next.clone(), BATCH, |progress| {
        told.push(progress.clone());
        ControlFlow::Continue(())
    });
    let rest = rest.await.expect("swept");
    assert_eq!(first.removed + rest.removed, SESSIONS);
    assert_eq!((rest.failed, &rest.next, rest.done), (0, &None, Some(1.0)));
    assert_eq!(first.examined + rest.examined, SESSIONS + 1);
    assert!(told.is_sorted_by_key(|progress| progress.removed));
    assert_eq!(n(&sessions, &living).await, 0);
}

#[tokio::test]
async fn a_cursor_of_another_store_is_refused() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let foreign = Some(Cursor("somewhere".into()));
    let swept = sessions.sweep(foreign, BATCH, |_| ControlFlow::Continue(()));
    let error = swept.await.expect_err("refused");
    assert!(matches!(error, SessionError::Store(error) if error.kind() == ErrorKind::Invalid));
}

/// A store with something in each batch that cannot be removed.
#[derive(Debug)]
struct Stubborn(Arc<MemoryDriver>);

#[async_trait]
impl Layer for Stubborn {
    fn inner(&self) -> &dyn Driver {
        &*self.0
    }

    async fn sweep(&self, step: SweepStep) -> Result<Swept> {
        let sweeper = self.0.sweeper().expect("the facet");
        let mut swept = sweeper.sweep(step).await?;
        swept.failed += 1;
        Ok(swept)
    }
}

#[tokio::test]
async fn what_cannot_be_removed_is_counted() {
    let world = World::new();
    let driver = Layered::new(Stubborn(Arc::clone(&world.driver)));
    let sessions = world.builder_over(driver).build().expect("a sound set-up");
    for _ in 0..SESSIONS {
        stored(&sessions).await;
    }
    let mut batches = 0;
    let swept = sessions.sweep(None, BATCH, |progress| {
        batches += 1;
        assert_eq!(progress.failed, batches);
        ControlFlow::Continue(())
    });
    let swept = swept.await.expect("swept");
    assert!(batches > 1, "{batches}");
    assert_eq!(swept.failed, batches);
}

/// A store that ends sessions by itself.
#[derive(Debug)]
struct Tidy(Arc<MemoryDriver>);

impl Layer for Tidy {
    fn inner(&self) -> &dyn Driver {
        &*self.0
    }

    fn has(&self, facet: Facet) -> bool {
        facet != Facet::Sweeper
    }
}

#[tokio::test]
async fn a_store_that_ends_sessions_by_itself_is_through_at_once() {
    let world = World::new();
    let driver = Layered::new(Tidy(Arc::clone(&world.driver)));
    let sessions = world.builder_over(driver).build().expect("a sound set-up");
    stored(&sessions).await;
    let swept = sessions.sweep(None, BATCH, |_| panic!("there is nothing to tell"));
    let swept = swept.await.expect("nothing to do");
    assert_eq!(
        (swept.examined, swept.next, swept.done),
        (0, None, Some(1.0))
    );
}
