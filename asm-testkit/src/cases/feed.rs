//! The feed: what others do to a session, as it happens.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use asm_core::{
    Change, ChangeFeed, ChangeStream, Create, Deleted, Driver, Epoch, FieldChange, FieldName,
    FieldWrite, Key, Save, Snapshot, Subscribe, Subscribed, Version, Written,
};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::{
    Harness, expect,
    given::{self, HOLD, TTL},
    together::together,
};

/// More than any case here changes, unless it says so.
const ENOUGH: usize = 64;

/// In the order in which they were made, with their versions, by whichever handle.
pub async fn shows_own_and_foreign_saves(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let mut streams = Vec::new();
    for driver in [&r1, &r2] {
        streams.push(subscribe(driver, &key, &first, ENOUGH).await);
    }
    for round in 0..10 {
        let driver = if round % 2 == 0 { &r1 } else { &r2 };
        let version = save_over_last(driver, &key).await;
        for stream in &mut streams {
            assert_eq!(next(stream).await, Change::Saved(version));
        }
    }
}

/// A save under the lock, and one that releases it, is a save like any other.
pub async fn shows_saves_of_a_holder(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let mut stream = subscribe(&r2, &key, &first, ENOUGH).await;
    let (token, _) = given::held(&*r1, &key, &first).await;
    let req = given::save_held(token, &first, given::data());
    let version = expect::written(r1.save(&key, req).await);
    assert_eq!(next(&mut stream).await, Change::Saved(version));
    let second = given::read(&*r1, &key).await;
    let req = given::save_and_release(token, &second, given::data());
    let version = expect::written(r1.save(&key, req).await);
    assert_eq!(next(&mut stream).await, Change::Saved(version));
}

/// A change of proofs within the epoch, which ends no subscription.
pub async fn shows_renewals(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let mut stream = subscribe(&r2, &key, &first, ENOUGH).await;
    let (old, new) = (first.stamp.proofs.current, given::proof());
    for (current, pending) in [(old, Some(new)), (new, None)] {
        let last = given::read(&*r1, &key).await;
        let mut req = given::save(&last, given::data());
        req.stamp.proofs.current = current;
        req.stamp.proofs.pending = pending;
        let version = expect::written(r1.save(&key, req).await);
        assert_eq!(next(&mut stream).await, Change::Rotated(version));
    }
    let version = save_over_last(&r1, &key).await;
    assert_eq!(next(&mut stream).await, Change::Saved(version));
}

/// And nothing comes after it.
pub async fn ends_with_a_deleted_session(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let mut streams = Vec::new();
    for driver in [&r1, &r2] {
        streams.push(subscribe(driver, &key, &first, ENOUGH).await);
    }
    let version = save_over_last(&r1, &key).await;
    expect::exactly(r1.delete(&key, given::log_out()).await, &Deleted::Done);
    for stream in &mut streams {
        assert_eq!(next(stream).await, Change::Saved(version));
        ended(stream).await;
    }
}

/// The next session of the same key, even of the same epoch, is not shown to those who listened to
/// the one before.
pub async fn shows_no_next_session(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for delete in [true, false] {
        let (key, first) = given::stored(&*r1).await;
        let mut stream = subscribe(&r2, &key, &first, ENOUGH).await;
        if delete {
            expect::exactly(r1.delete(&key, given::log_out()).await, &Deleted::Done);
        } else {
            h.advance(TTL + r1.info().ttl_resolution).await;
        }
        let req = Create {
            stamp: first.stamp,
            ..given::create(given::data())
        };
        expect::created(r1.create(&key, req).await);
        save_over_last(&r1, &key).await;
        ended(&mut stream).await;
    }
}

/// With nobody there who looks at the session, and one who waits already.
pub async fn ends_with_an_expired_session(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let mut idle = subscribe(&r1, &key, &first, ENOUGH).await;
    let mut waiting = subscribe(&r2, &key, &first, ENOUGH).await;
    let waiter = tokio::spawn(async move { ended(&mut waiting).await });
    tokio::task::yield_now().await;
    h.advance(TTL + r1.info().ttl_resolution).await;
    ended(&mut idle).await;
    waiter.await.expect("a reader that panicked");
}

/// A save may make a session's life shorter, too. One waits for the end; one begins to, and comes
/// back late; one sees all of it afterwards.
pub async fn ends_with_a_session_that_was_cut_short(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let mut idle = subscribe(&r1, &key, &first, ENOUGH).await;
    let mut late = subscribe(&r1, &key, &first, ENOUGH).await;
    let mut waiting = subscribe(&r2, &key, &first, ENOUGH).await;
    let req = Save {
        ttl: TTL / 60,
        ..given::save(&first, given::data())
    };
    let saved = Change::Saved(expect::written(r1.save(&key, req).await));
    assert_eq!(next(&mut waiting).await, saved);
    let waiter = tokio::spawn(async move { ended(&mut waiting).await });
    tokio::task::yield_now().await;
    assert_eq!(next(&mut late).await, saved);
    assert_eq!(late.next().now_or_never(), None);
    h.advance(TTL / 60 + r1.info().ttl_resolution).await;
    waiter.await.expect("a reader that panicked");
    ended(&mut late).await;
    assert_eq!(next(&mut idle).await, saved);
    ended(&mut idle).await;
}

/// A session that was touched or saved in time lives on, and so does the feed.
pub async fn lives_on_with_a_touched_session(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let mut idle = subscribe(&r1, &key, &first, ENOUGH).await;
    let mut waiting = subscribe(&r2, &key, &first, ENOUGH).await;
    let waiter = tokio::spawn(async move { (next(&mut waiting).await, waiting) });
    tokio::task::yield_now().await;
    h.advance(TTL / 2).await;
    expect::touched(r1.touch(&key, given::touch(&first, 2 * TTL)).await);
    h.advance(TTL).await;

    let saved = Change::Saved(save_over_last(&r1, &key).await);
    assert_eq!(next(&mut idle).await, saved);
    let (change, mut waiting) = waiter.await.expect("a reader that panicked");
    assert_eq!(change, saved);
    h.advance(TTL + r1.info().ttl_resolution).await;
    ended(&mut idle).await;
    ended(&mut waiting).await;
}

/// Who listened under the old epoch is shown its end and nothing newer; who subscribes under the
/// new one is shown what comes.
pub async fn ends_with_its_epoch(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let mut old = subscribe(&r2, &key, &first, ENOUGH).await;
    let version = save_over_last(&r1, &key).await;
    let second = given::read(&*r1, &key).await;
    let login = Save {
        stamp: given::stamp(),
        ..given::save(&second, given::data())
    };
    expect::written(r1.save(&key, login).await);
    let third = given::read(&*r1, &key).await;
    let mut new = subscribe(&r2, &key, &third, ENOUGH).await;
    let newer = save_over_last(&r1, &key).await;

    assert_eq!(next(&mut old).await, Change::Saved(version));
    ended(&mut old).await;
    assert_eq!(next(&mut new).await, Change::Saved(newer));
}

/// A subscriber of the old epoch that is behind is shown no more of the new one than one that is
/// not.
pub async fn shows_no_newer_epoch_to_one_who_lags(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let mut stream = subscribe(&r2, &key, &first, 4).await;
    let login = Save {
        stamp: given::stamp(),
        ..given::save(&first, given::data())
    };
    expect::written(r1.save(&key, login).await);
    for _ in 0..40 {
        save_over_last(&r1, &key).await;
    }
    match next(&mut stream).await {
        Change::Lagged(_) => ended(&mut stream).await,
        change => assert_eq!(change, Change::Ended),
    }
}

/// Unknown, deleted, expired: `Missing`; another epoch: `Ended`; and nothing is left of either.
pub async fn subscribes_to_living_sessions_only(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (gone, first) = given::stored(&*r1).await;
    let unknown = request(&r2, &given::key(), first.stamp.epoch, ENOUGH).await;
    assert!(matches!(unknown, Subscribed::Missing), "{unknown:?}");
    expect::exactly(r1.delete(&gone, given::log_out()).await, &Deleted::Done);
    let deleted = request(&r2, &gone, first.stamp.epoch, ENOUGH).await;
    assert!(matches!(deleted, Subscribed::Missing), "{deleted:?}");
    assert_eq!(
        h.holdings().await,
        0,
        "things left by refused subscriptions"
    );

    let (key, first) = given::stored(&*r1).await;
    let other = request(&r2, &key, given::epoch(), ENOUGH).await;
    assert!(matches!(other, Subscribed::Ended), "{other:?}");
    h.advance(TTL + r1.info().ttl_resolution).await;
    let expired = request(&r2, &key, first.stamp.epoch, ENOUGH).await;
    assert!(matches!(expired, Subscribed::Missing), "{expired:?}");
}

/// Reads, touches, locks, refused and resent saves, field writes: none is a change.
pub async fn tells_of_nothing_but_changes(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let req = given::save(&first, given::data());
    expect::written(r1.save(&key, req.clone()).await);
    let second = given::read(&*r1, &key).await;
    let mut stream = subscribe(&r2, &key, &second, ENOUGH).await;

    let again = Save {
        resend: true,
        ..req
    };
    expect::written(r1.save(&key, again).await);
    expect::conflict(r1.save(&key, given::save(&first, given::data())).await);
    expect::touched(r1.touch(&key, given::touch(&second, 2 * TTL)).await);
    let (token, _) = given::held(&*r1, &key, &second).await;
    let locked = given::save(&second, given::data());
    expect::exactly(r2.save(&key, locked).await, &Written::Locked);
    expect::renewed(r1.renew(&key, &token, HOLD).await);
    r1.release(&key, &token).await.expect("an answer");
    r1.inspect(&key).await.expect("an answer");
    if let Some(fields) = r1.fields() {
        let req = FieldWrite {
            name: FieldName::new("a").expect("a name that is allowed"),
            epoch: second.stamp.epoch,
            op: given::op(),
            resend: None,
            change: FieldChange::Incr(1),
        };
        expect::number(fields.write_field(&key, req).await);
    }
    let version = save_over_last(&r1, &key).await;
    assert_eq!(next(&mut stream).await, Change::Saved(version));
}

/// Subscribed first, read then: the next save is the first in the stream that was not in the record.
pub async fn misses_nothing_between_subscribe_and_read(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    // Closed when the reader is through, however it ends.
    let (reading, mut still_reading) = oneshot::channel::<()>();
    let writer = async move {
        while still_reading.try_recv() == Err(TryRecvError::Empty) {
            save_over_last(&r1, &key).await;
        }
    };
    let reader = async move {
        for _ in 0..200 {
            let mut stream = subscribe(&r2, &key, &first, ENOUGH).await;
            let known = given::read(&*r2, &key).await.version.number;
            // A stream that listened only from its first question on would miss this save.
            while given::read(&*r2, &key).await.version.number == known {
                tokio::task::yield_now().await;
            }
            let newer = loop {
                match next(&mut stream).await {
                    Change::Saved(version) if version.number <= known => {}
                    change => break change,
                }
            };
            match newer {
                Change::Saved(version) => assert_eq!(version.number, known + 1, "a gap"),
                change => assert!(matches!(change, Change::Lagged(_)), "{change:?}"),
            }
        }
        drop(reading);
    };
    together([writer.boxed(), reader.boxed()]).await;
}

/// Subscribing while somebody deletes: there is no such session any more, or its end is shown.
pub async fn misses_no_end_while_subscribing(h: &dyn Harness) {
    for _ in 0..100 {
        let (r1, r2) = given::two(h).await;
        let (key, first) = given::stored(&*r1).await;
        let racers = [true, false].map(|deletes| {
            let (r1, r2, epoch) = (Arc::clone(&r1), Arc::clone(&r2), first.stamp.epoch);
            async move {
                if deletes {
                    expect::exactly(r1.delete(&key, given::log_out()).await, &Deleted::Done);
                    return;
                }
                match request(&r2, &key, epoch, ENOUGH).await {
                    Subscribed::Live(mut stream) => ended(&mut stream).await,
                    answer => assert!(matches!(answer, Subscribed::Missing), "{answer:?}"),
                }
            }
        });
        together(racers).await;
        assert_eq!(h.holdings().await, 0, "things left of a deleted session");
    }
}

/// Told at once to one who waits, not at the next question.
pub async fn wakes_a_reader_that_waits(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let mut stream = subscribe(&r2, &key, &first, ENOUGH).await;
    let reader = tokio::spawn(async move { next(&mut stream).await });
    tokio::task::yield_now().await;
    let version = save_over_last(&r1, &key).await;
    assert_eq!(
        reader.await.expect("a reader that panicked"),
        Change::Saved(version)
    );
}

/// The newest changes are kept, as many as asked for at least, and the number of the others is
/// told.
pub async fn counts_what_a_slow_reader_missed(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for buffer in [1, 2, 4, 5, 16] {
        for saves in [buffer, buffer + 1, 40] {
            let (key, first) = given::stored(&*r1).await;
            let mut slow = subscribe(&r2, &key, &first, buffer).await;
            for _ in 0..saves {
                save_over_last(&r1, &key).await;
            }
            expect::exactly(r1.delete(&key, given::log_out()).await, &Deleted::Done);

            h.advance(Duration::ZERO).await;
            let (missed, shown) = drained(&mut slow).await;
            assert_eq!(
                missed + shown.len() as u64,
                saves as u64,
                "{missed} missed and {shown:?} shown, buffer {buffer}"
            );
            let last = 1 + saves as u64;
            let expected: Vec<u64> = (last + 1 - shown.len() as u64..=last).collect();
            assert_eq!(shown, expected, "not the newest were kept");
            // The end takes a place, too.
            assert!(
                shown.len() + 1 >= buffer.min(saves),
                "fewer than asked for were kept"
            );
            assert!(
                shown.len() < 2 * buffer.next_power_of_two(),
                "more than asked for"
            );
        }
    }
}

/// One who reads in time misses nothing, whoever else sleeps.
pub async fn lets_no_slow_reader_hold_up_another(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let mut slow = subscribe(&r2, &key, &first, 1).await;
    let mut quick = subscribe(&r2, &key, &first, 1).await;
    for _ in 0..20 {
        let version = save_over_last(&r1, &key).await;
        assert_eq!(next(&mut quick).await, Change::Saved(version));
    }
    let Change::Lagged(missed) = next(&mut slow).await else {
        panic!("fell behind in silence");
    };
    assert!(missed > 0);
}

/// After it was told what it missed, a reader goes on as before.
pub async fn goes_on_after_it_fell_behind(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let mut stream = subscribe(&r2, &key, &first, 4).await;
    for _ in 0..3 {
        let mut version = first.version;
        for _ in 0..20 {
            version = save_over_last(&r1, &key).await;
        }
        h.advance(Duration::ZERO).await;
        let mut change = next(&mut stream).await;
        assert!(matches!(change, Change::Lagged(_)), "{change:?}");
        while change != Change::Saved(version) {
            change = next(&mut stream).await;
        }
    }
}

/// However large a buffer somebody asks for.
pub async fn bears_the_largest_buffer(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let mut stream = subscribe(&r2, &key, &first, usize::MAX).await;
    let version = save_over_last(&r1, &key).await;
    assert_eq!(next(&mut stream).await, Change::Saved(version));
}

/// However many there were; the harness looks for subscribers at its end, too.
pub async fn leaves_nothing_of_dropped_streams(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let holdings = h.holdings().await;
    for _ in 0..100 {
        let stream = subscribe(&r2, &key, &first, ENOUGH).await;
        let mut read = subscribe(&r2, &key, &first, 1).await;
        let version = save_over_last(&r1, &key).await;
        assert_eq!(next(&mut read).await, Change::Saved(version));
        drop((stream, read));
    }
    assert_eq!(
        h.holdings().await,
        holdings,
        "things left of dropped streams"
    );
    let mut stream = subscribe(&r2, &key, &first, ENOUGH).await;
    expect::exactly(r1.delete(&key, given::log_out()).await, &Deleted::Done);
    ended(&mut stream).await;
    assert_eq!(h.holdings().await, 0, "things left of a deleted session");
}

/// Neither another session nor the same key in another namespace.
pub async fn hears_its_own_session_only(h: &dyn Harness) {
    let (ours, theirs) = (h.connect().await, h.neighbour().await);
    let (key, first) = given::stored(&*ours).await;
    let req = Create {
        stamp: first.stamp,
        ..given::create(given::data())
    };
    expect::created(theirs.create(&key, req.clone()).await);
    let (other, _) = given::stored_as(&*ours, req).await;
    let mut stream = subscribe(&ours, &key, &first, ENOUGH).await;

    save_over_last(&theirs, &key).await;
    expect::exactly(theirs.delete(&key, given::log_out()).await, &Deleted::Done);
    save_over_last(&ours, &other).await;
    expect::exactly(ours.delete(&other, given::log_out()).await, &Deleted::Done);
    let version = save_over_last(&ours, &key).await;
    assert_eq!(next(&mut stream).await, Change::Saved(version));
}

fn feed(driver: &Arc<dyn Driver>) -> &dyn ChangeFeed {
    driver.changes().expect("the facet that was declared")
}

async fn request(driver: &Arc<dyn Driver>, key: &Key, epoch: Epoch, buffer: usize) -> Subscribed {
    let buffer = NonZeroUsize::new(buffer).expect("not zero");
    let req = Subscribe { epoch, buffer };
    feed(driver).subscribe(key, req).await.expect("an answer")
}

async fn subscribe(
    driver: &Arc<dyn Driver>,
    key: &Key,
    session: &Snapshot,
    buffer: usize,
) -> ChangeStream {
    expect::live(Ok(request(driver, key, session.stamp.epoch, buffer).await))
}

async fn next(stream: &mut ChangeStream) -> Change {
    stream.next().await.expect("a change, and the stream ended")
}

/// The end, and nothing after it.
async fn ended(stream: &mut ChangeStream) {
    assert_eq!(next(stream).await, Change::Ended);
    assert_eq!(stream.next().await, None);
}

/// Everything up to the end: how many were missed, and the numbers of the versions shown.
async fn drained(stream: &mut ChangeStream) -> (u64, Vec<u64>) {
    let (mut missed, mut shown) = (0, Vec::new());
    loop {
        match next(stream).await {
            Change::Lagged(more) => {
                assert!(more > 0 && shown.is_empty(), "told late what was missed");
                missed += more;
            }
            Change::Saved(version) => shown.push(version.number),
            Change::Ended => return (missed, shown),
            other => panic!("expected a save, and it was {other:?}"),
        }
    }
}

async fn save_over_last(driver: &Arc<dyn Driver>, key: &Key) -> Version {
    let last = given::read(&**driver, key).await;
    expect::written(driver.save(key, given::save(&last, given::data())).await)
}
