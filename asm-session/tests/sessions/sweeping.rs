//! Clean-up from end to end.

use std::{num::NonZeroUsize, ops::ControlFlow, time::Duration};

use asm_core::ErrorKind;
use asm_session::{Cursor, LockMode, SessionError, SweepProgress};

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
