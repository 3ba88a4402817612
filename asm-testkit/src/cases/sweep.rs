//! Clean-up.

use std::{collections::HashSet, num::NonZeroUsize, sync::Arc, time::Duration};

use asm_core::{
    Claim, Create, Cursor, Driver, ErrorKind, FieldChange, FieldName, FieldWrite, FieldWritten,
    Key, Snapshot, Sweep, SweepStep, Swept, Touched,
};

use crate::{
    Harness, expect,
    given::{self, TTL},
    together::together,
};

/// The lifetime of the sessions that are to be swept.
const SHORT: Duration = Duration::from_secs(60);

/// With everything they had; the living stay as they are.
pub async fn removes_what_is_over_and_nothing_else(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let mut living = Vec::new();
    for _ in 0..20 {
        living.push(given::stored(&*r1).await);
    }
    let holdings = h.holdings().await;
    for _ in 0..30 {
        let (key, session) = given::stored_as(&*r1, short_lived()).await;
        fill(&*r1, &key, &session).await;
    }
    h.advance(SHORT + r1.info().ttl_resolution).await;
    let swept = sweep(&r2, 7).await;
    assert_eq!(swept.removed, 30);
    assert_eq!(swept.failed, 0);
    assert!(swept.examined >= 30, "{swept:?}");
    assert_eq!(h.holdings().await, holdings, "things left by the sweep");
    for (key, before) in living {
        let after = given::read(&*r1, &key).await;
        assert_eq!((after.version, after.stamp), (before.version, before.stamp));
        assert!(after.data == before.data, "the data changed");
    }
}

/// What was swept is not there to be swept again.
pub async fn counts_each_removal_once(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    assert_eq!(sweep(&r1, 1).await.removed, 0);
    for _ in 0..10 {
        given::stored_as(&*r1, short_lived()).await;
    }
    assert_eq!(sweep(&r1, 3).await.removed, 0);
    h.advance(SHORT + r1.info().ttl_resolution).await;
    assert_eq!(sweep(&r2, 3).await.removed, 10);
    assert_eq!(sweep(&r1, 3).await.removed, 0);
    assert_eq!(h.holdings().await, 0, "things left by the sweep");
}

/// Each on another handle, with no more looked at in one batch than about what was asked for.
pub async fn goes_in_batches(h: &dyn Harness) {
    const SESSIONS: u64 = 400;
    let r1 = h.connect().await;
    for _ in 0..SESSIONS {
        given::stored_as(&*r1, short_lived()).await;
    }
    h.advance(SHORT + r1.info().ttl_resolution).await;
    let (mut from, mut batches, mut removed) = (None, 0, 0);
    loop {
        let r2 = h.connect().await;
        let swept = step(&r2, from, 10).await;
        assert!(
            swept.examined < SESSIONS / 2,
            "a batch of about 10 looked at {}",
            swept.examined
        );
        assert!(swept.removed <= swept.examined, "{swept:?}");
        batches += 1;
        removed += swept.removed;
        match swept.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    assert!(batches > 1, "one batch for everything");
    assert_eq!(removed, SESSIONS);
    assert_eq!(h.holdings().await, 0, "things left by the sweep");
}

/// The scan saw it when it was about to end; then it was touched, or saved; then the sweep went on.
pub async fn spares_what_lives_on_since_the_scan(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let mut sessions = Vec::new();
    for _ in 0..40 {
        sessions.push(given::stored_as(&*r1, short_lived()).await);
    }
    h.advance(SHORT - Duration::from_secs(1)).await;
    let first = step(&r2, None, 1).await;
    for (i, (key, session)) in sessions.iter().enumerate() {
        if i % 2 == 0 {
            expect::touched(r1.touch(key, given::touch(session, TTL)).await);
        } else {
            let req = given::save(session, given::data());
            expect::written(r1.save(key, req).await);
        }
    }
    h.advance(2 * SHORT).await;
    let mut removed = first.removed;
    let mut from = first.next;
    while let Some(cursor) = from {
        let swept = step(&r2, Some(cursor), 1).await;
        removed += swept.removed;
        from = swept.next;
    }
    removed += sweep(&r2, 10).await.removed;
    assert_eq!(removed, 0, "living sessions were swept");
    for (key, _) in &sessions {
        given::read(&*r1, key).await;
    }
}

/// Touches, sweeps and the end of the old life at the same moment: who was told that the session
/// lives on finds it.
pub async fn spares_what_is_touched_at_the_last_moment(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for _ in 0..30 {
        let mut sessions = Vec::new();
        for _ in 0..8 {
            sessions.push(given::stored_as(&*r1, short_lived()).await);
        }
        h.advance(SHORT - r1.info().ttl_resolution).await;
        // One is touched before the race for sure.
        let (first, session) = &sessions[0];
        let touched = r1.touch(first, given::touch(session, TTL)).await;
        assert!(matches!(touched, Ok(Touched::Done { .. })), "{touched:?}");
        let racers = (0..3).map(|i| {
            let (r1, r2) = (Arc::clone(&r1), Arc::clone(&r2));
            let sessions = sessions.clone();
            async move {
                if i > 0 {
                    sweep(&r2, i).await;
                    return Vec::new();
                }
                let mut alive = Vec::new();
                for (key, session) in &sessions {
                    match r1.touch(key, given::touch(session, TTL)).await {
                        Ok(Touched::Done { .. }) => alive.push(*key),
                        Ok(Touched::Missing) => {}
                        other => panic!("expected Done or Missing, and it was {other:?}"),
                    }
                }
                alive
            }
        });
        let (alive, ()) =
            futures_util::future::join(together(racers), h.advance(r1.info().ttl_resolution)).await;
        sweep(&r2, 100).await;
        for key in alive.into_iter().flatten().chain([*first]) {
            given::read(&*r1, &key).await;
        }
    }
}

/// Sweeping while others create, and sweeping twice at a time: each is removed by one of them.
pub async fn sweeps_beside_others(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for _ in 0..60 {
        given::stored_as(&*r1, short_lived()).await;
    }
    h.advance(SHORT + r1.info().ttl_resolution).await;
    let removed = together((0..4).map(|i| {
        let driver = Arc::clone(if i % 2 == 0 { &r1 } else { &r2 });
        async move {
            if i == 0 {
                for _ in 0..30 {
                    given::stored(&*driver).await;
                }
                return 0;
            }
            sweep(&driver, 5).await.removed
        }
    }))
    .await;
    assert_eq!(removed.into_iter().sum::<u64>(), 60);
    let all = h.holdings().await;
    assert_eq!(sweep(&r1, 5).await.removed, 0);
    assert_eq!(
        h.holdings().await,
        all,
        "a sweep of the living removed something"
    );
}

/// Of its own namespace only.
pub async fn sweeps_no_neighbour(h: &dyn Harness) {
    let (ours, theirs) = (h.connect().await, h.neighbour().await);
    given::stored_as(&*ours, short_lived()).await;
    given::stored_as(&*theirs, short_lived()).await;
    h.advance(SHORT + ours.info().ttl_resolution).await;
    assert_eq!(sweep(&ours, 10).await.removed, 1);
    assert_eq!(sweep(&theirs, 10).await.removed, 1);
}

/// What this driver never made is refused, and nothing is swept.
pub async fn refuses_a_foreign_cursor(h: &dyn Harness) {
    let driver = h.connect().await;
    given::stored_as(&*driver, short_lived()).await;
    h.advance(SHORT + driver.info().ttl_resolution).await;
    let holdings = h.holdings().await;
    let foreign = [
        b"\xff\xfe not a cursor \0 of any driver \xff".to_vec(),
        vec![0xff; 64 * 1024],
    ];
    for bytes in foreign {
        let step = SweepStep {
            from: Some(Cursor(bytes.into())),
            batch: NonZeroUsize::MIN,
        };
        let answer = sweeper(&driver).sweep(step).await;
        expect::failure(answer, ErrorKind::Invalid);
    }
    assert_eq!(
        h.holdings().await,
        holdings,
        "a refused sweep removed something"
    );
    assert_eq!(sweep(&driver, usize::MAX).await.removed, 1);
}

/// A stored cursor works however much later, when everything that it was made of is gone.
pub async fn goes_on_from_an_old_cursor(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for _ in 0..200 {
        given::stored_as(&*r1, short_lived()).await;
    }
    h.advance(SHORT + r1.info().ttl_resolution).await;
    let first = step(&r1, None, 1).await;
    let cursor = first.next.expect("more than one batch");
    sweep(&r2, 50).await;
    assert_eq!(h.holdings().await, 0, "things left by the sweep");
    let mut from = Some(cursor);
    while let Some(cursor) = from {
        let swept = step(&r2, Some(cursor), 1).await;
        assert_eq!((swept.removed, swept.failed), (0, 0));
        from = swept.next;
    }
}

fn short_lived() -> Create {
    Create {
        ttl: SHORT,
        ..given::create(given::data())
    }
}

fn sweeper(driver: &Arc<dyn Driver>) -> &dyn Sweep {
    driver.sweeper().expect("the facet that was declared")
}

async fn step(driver: &Arc<dyn Driver>, from: Option<Cursor>, batch: usize) -> Swept {
    let batch = NonZeroUsize::new(batch).expect("not zero");
    let step = SweepStep { from, batch };
    sweeper(driver).sweep(step).await.expect("a batch")
}

/// A whole sweep, added up.
async fn sweep(driver: &Arc<dyn Driver>, batch: usize) -> Swept {
    let (mut all, mut from, mut seen) = (Swept::default(), None, HashSet::new());
    loop {
        let swept = step(driver, from, batch).await;
        all.examined += swept.examined;
        all.removed += swept.removed;
        all.failed += swept.failed;
        let Some(next) = swept.next else {
            return all;
        };
        assert!(
            seen.insert(next.0.clone()),
            "the sweep goes round in circles"
        );
        expect::part(sweeper(driver).progress(&next));
        from = Some(next);
    }
}

/// A lock that outlives the session, if anything lets it, and a field.
async fn fill(driver: &dyn Driver, key: &Key, session: &Snapshot) {
    let mut wish = given::attempt(session);
    wish.claim = Claim {
        hold: TTL,
        ..wish.claim
    };
    expect::held(driver.acquire(key, wish).await);
    if let Some(fields) = driver.fields() {
        let req = FieldWrite {
            name: FieldName::new("a").expect("a name that is allowed"),
            epoch: session.stamp.epoch,
            op: given::op(),
            resend: None,
            change: FieldChange::Set(given::data()),
        };
        expect::exactly(fields.write_field(key, req).await, &FieldWritten::Done);
    }
}
