//! Records: what is stored, and who may write it.

use std::{sync::Arc, time::Duration};

use asm_core::{
    Acquired, Claim, Create, Created, Delete, Deleted, Driver, Epoch, ErrorKind, Fence,
    FieldChange, FieldFound, FieldName, FieldRead, FieldWrite, Guard, Key, LockState, LockToken,
    OpId, Open, OpenedLock, Proofs, Redacted, Renewed, Save, Snapshot, Stamp, Timestamp, Touch,
    Touched, Version, Written,
};

use crate::{
    Harness, cancel_at, expect,
    given::{self, HOLD, TTL},
    together::together,
    waiting::{Waiting, holder, is_free},
};

/// Much shorter than [`TTL`], so that a lifetime that became this one shows.
const SHORT: Duration = Duration::from_secs(60);

/// Nothing but the bytes counts: not what they look like, not how many there are.
pub async fn reads_back_every_byte_of_a_create(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for data in bytes_of_every_kind(r1.info().max_record) {
        let (key, own) = given::stored_as(&*r1, given::create(data.clone())).await;
        assert!(own.data == data, "{:?} became {:?}", data, own.data);
        let foreign = given::read(&*r2, &key).await;
        assert!(foreign.data == data, "{:?} became {:?}", data, foreign.data);
    }
}

/// Also over a record that was longer, or shorter.
pub async fn reads_back_every_byte_of_a_save(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, mut last) = given::stored(&*r1).await;
    for data in bytes_of_every_kind(r1.info().max_record) {
        expect::written(r1.save(&key, given::save(&last, data.clone())).await);
        last = given::read(&*r2, &key).await;
        assert!(last.data == data, "{:?} became {:?}", data, last.data);
    }
}

/// The version, the stamp, the lifetime.
pub async fn reads_back_the_head_of_a_create(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let pending = Proofs {
        current: given::proof(),
        pending: Some(given::proof()),
    };
    let stamps = [
        given::stamp(),
        Stamp {
            epoch: Epoch::new(0),
            proofs: pending,
        },
        Stamp {
            epoch: Epoch::new(u64::MAX),
            proofs: pending,
        },
    ];
    for stamp in stamps {
        let (key, req) = (given::key(), given::create(given::data()));
        let req = Create { stamp, ..req };
        let (version, now) = match r1.create(&key, req.clone()).await {
            Ok(Created::Done {
                version,
                fence: None,
                now,
            }) => (version, now),
            other => panic!("expected a created record without lock, and it was {other:?}"),
        };
        let first = Version {
            number: 1,
            op: req.op,
        };
        assert_eq!(version, first);
        let snapshot = given::read(&*r2, &key).await;
        assert_eq!((snapshot.version, snapshot.stamp), (first, stamp));
        assert_ends(&*r1, &snapshot, now, TTL);
    }
}

/// A lifetime as long as a number can be is none too long: it is kept, or refused as impossible.
pub async fn bears_the_longest_lifetime(h: &dyn Harness) {
    let driver = h.connect().await;
    let (key, req) = (given::key(), given::create(given::data()));
    let ttl = Duration::MAX;
    match driver.create(&key, Create { ttl, ..req }).await {
        Ok(_) => {
            h.advance(TTL).await;
            given::read(&*driver, &key).await;
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Invalid);
            expect::missing(driver.open(&key, given::open()).await);
        }
    }
    let (key, first) = given::stored(&*driver).await;
    match driver.touch(&key, given::touch(&first, ttl)).await {
        Ok(Touched::Done { left, .. }) => assert!(left >= TTL, "only {left:?} are left"),
        Ok(other) => panic!("expected a touched record, and it was {other:?}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid),
    }
    given::read(&*driver, &key).await;
}

/// Whoever comes second, by any handle, with or without a wish for the lock.
pub async fn refuses_to_create_on_a_taken_key(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    for driver in [&r1, &r2] {
        for lock in [None, Some(given::claim())] {
            let req = Create {
                ttl: SHORT,
                lock,
                ..given::create(given::data())
            };
            expect::exactly(driver.create(&key, req).await, &Created::Taken);
        }
    }
    assert_same(&*r1, &first, &given::read(&*r2, &key).await);
    expect::exactly(r2.inspect(&key).await, &LockState::default());
}

/// A holder stays what it was when somebody tries to create its session.
pub async fn leaves_the_lock_of_a_taken_key(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let (token, fence) = given::held(&*r1, &key, &first).await;
    let req = Create {
        lock: Some(given::claim()),
        ..given::create(given::data())
    };
    expect::exactly(r2.create(&key, req).await, &Created::Taken);
    assert_eq!(holder(&*r2, &key).await, Some(fence));
    let req = given::save_and_release(token, &first, given::data());
    expect::written(r1.save(&key, req).await);
}

/// And the record is the winner's, whole.
pub async fn lets_one_of_many_creators_win(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let keys: Vec<Key> = (0..50).map(|_| given::key()).collect();
    let answers = together((0..8).map(|i| {
        let driver = Arc::clone(if i % 2 == 0 { &r1 } else { &r2 });
        let keys = keys.clone();
        async move {
            let mut answers = Vec::new();
            for key in keys {
                let req = given::create(given::data());
                let created = driver.create(&key, req.clone()).await;
                answers.push((req, created.expect("an answer")));
            }
            answers
        }
    }))
    .await;
    for (i, key) in keys.iter().enumerate() {
        let mut winners = Vec::new();
        for (req, answer) in answers.iter().map(|all| &all[i]) {
            match answer {
                Created::Done { .. } => winners.push(req),
                other => assert_eq!(*other, Created::Taken),
            }
        }
        assert_eq!(winners.len(), 1, "so many created the same session");
        let snapshot = given::read(&*r1, key).await;
        assert_eq!(snapshot.version.op, winners[0].op);
        assert_eq!(snapshot.stamp, winners[0].stamp);
        assert!(snapshot.data == winners[0].data, "the data is a loser's");
    }
}

/// Nothing of the one before is left in it: no lock, no op id, no version, no lifetime.
pub async fn creates_afresh_where_a_session_was(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for end in End::ALL {
        let stamp = given::stamp();
        let req = Create {
            stamp,
            ..given::create(given::data())
        };
        let (key, first) = given::stored_as(&*r1, req).await;
        let (token, _) = given::held(&*r1, &key, &first).await;
        let old = given::save_held(token, &first, given::data());
        expect::written(r1.save(&key, old.clone()).await);
        end.of(h, &*r2, &key).await;

        let req = Create {
            stamp,
            ttl: SHORT,
            ..given::create(given::data())
        };
        expect::created(r2.create(&key, req.clone()).await);
        let fresh = given::read(&*r1, &key).await;
        assert_eq!((fresh.version.number, fresh.version.op), (1, req.op));
        assert_ends(&*r1, &fresh, fresh.now, SHORT);
        expect::exactly(r1.inspect(&key).await, &LockState::default());

        let resent = Save {
            resend: true,
            ..old
        };
        expect::exactly(r1.save(&key, resent).await, &Written::LockLost);
        let unlocked = Save {
            guard: Guard {
                version: first.version,
                ..Guard::unchanged(&fresh)
            },
            ..given::save(&fresh, given::data())
        };
        expect::conflict(r1.save(&key, unlocked).await);
        assert_same(&*r1, &fresh, &given::read(&*r2, &key).await);
    }
}

/// Every verb on a key that was never used, and nothing is there afterwards.
pub async fn leaves_nothing_at_an_unknown_key(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (other, snapshot) = given::stored(&*r1).await;
    expect::exactly(r1.delete(&other, given::log_out()).await, &Deleted::Done);
    let key = given::key();

    every_verb_finds_nothing(&*r1, &key, &snapshot).await;
    expect::missing(r2.open(&key, given::open()).await);
    assert_eq!(h.holdings().await, 0, "things left at an unknown key");
}

/// Every verb on a session whose life is over, while its record may still be there.
pub async fn leaves_nothing_at_an_expired_key(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for locked in [false, true] {
        let (key, snapshot) = given::stored(&*r1).await;
        if locked {
            given::held(&*r1, &key, &snapshot).await;
        }
        h.advance(TTL + r1.info().ttl_resolution).await;
        every_verb_finds_nothing(&*r2, &key, &snapshot).await;
        expect::missing(r1.open(&key, given::open()).await);
        given::swept(&*r1).await;
        assert_eq!(h.holdings().await, 0, "things left at an expired key");
    }
}

/// Number and op id, in the answer and in the record.
pub async fn answers_each_save_with_the_next_version(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, mut last) = given::stored(&*r1).await;
    for round in 0..10 {
        let (writer, reader) = if round % 2 == 0 {
            (&r1, &r2)
        } else {
            (&r2, &r1)
        };
        let req = given::save(&last, given::data());
        let next = Version {
            number: last.version.number + 1,
            op: req.op,
        };
        let version = expect::written(writer.save(&key, req.clone()).await);
        assert_eq!(version, next);
        last = given::read(&**reader, &key).await;
        assert_eq!(last.version, next);
        assert!(last.data == req.data, "the data is not the saved one");
    }
}

/// Stale is every version but the present one: an older one, and one of which only the number or
/// only the op id is right.
pub async fn refuses_a_save_under_a_stale_guard(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    expect::written(r2.save(&key, given::save(&first, given::data())).await);
    let second = given::read(&*r2, &key).await;
    let Version { number, op } = second.version;
    let stale = [
        first.version,
        Version {
            number,
            op: given::op(),
        },
        Version {
            number,
            op: first.version.op,
        },
        Version {
            number: number - 1,
            op,
        },
        Version {
            number: number + 1,
            op,
        },
        Version { number: 0, op },
        Version {
            number: u64::MAX,
            op,
        },
    ];
    for version in stale {
        let req = Save {
            guard: Guard {
                version,
                ..Guard::unchanged(&second)
            },
            ttl: SHORT,
            ..given::save(&second, given::data())
        };
        let shown = expect::conflict(r1.save(&key, req).await);
        assert_same(&*r1, &second, &shown);
        assert_same(&*r1, &second, &given::read(&*r2, &key).await);
    }
}

/// Whatever the reason of the refusal, and although the save would have released the lock.
pub async fn leaves_the_lock_of_a_refused_save(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let (token, fence) = given::held(&*r1, &key, &first).await;
    expect::written(
        r1.save(&key, given::save_held(token, &first, given::data()))
            .await,
    );
    let second = given::read(&*r1, &key).await;

    let stale = given::save_and_release(token, &first, given::data());
    expect::conflict(r1.save(&key, stale).await);
    let stranger = given::save_and_release(given::token(), &second, given::data());
    expect::exactly(r2.save(&key, stranger).await, &Written::LockLost);
    let foreign = Save {
        release: true,
        ..given::save(&second, given::data())
    };
    expect::exactly(r2.save(&key, foreign).await, &Written::Locked);
    let mut ended = given::save_and_release(token, &second, given::data());
    ended.guard.epoch = given::epoch();
    expect::exactly(r1.save(&key, ended).await, &Written::Ended);
    let large = given::bytes(r1.info().max_record + 1);
    let large = given::save_and_release(token, &second, large);
    expect::failure(r1.save(&key, large).await, ErrorKind::TooLarge);

    assert_eq!(holder(&*r2, &key).await, Some(fence));
    assert_same(&*r1, &second, &given::read(&*r2, &key).await);
    let good = given::save_held(token, &second, given::data());
    expect::written(r1.save(&key, good).await);
}

/// The op id, the epoch, the lock, the version: in this order, so that every driver tells the same
/// when more than one thing is wrong.
pub async fn checks_a_save_in_order(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let mut last = first.clone();
    for _ in 0..=OpId::REMEMBERED {
        expect::written(r2.save(&key, given::save(&last, given::data())).await);
        last = given::read(&*r2, &key).await;
    }
    let (token, _) = given::held(&*r2, &key, &last).await;
    let known = given::save_held(token, &last, given::data());
    let version = expect::written(r2.save(&key, known.clone()).await);
    let last = given::read(&*r2, &key).await;

    let stale = given::save(&first, given::data());
    let stale_held = given::save_held(given::token(), &first, given::data());
    let of_epoch = |req: &Save| {
        let mut req = req.clone();
        req.guard.epoch = given::epoch();
        req
    };
    let resent = |req: Save| Save {
        resend: true,
        ..req
    };

    // Its token, its epoch and its version are wrong by now, and it was done before.
    let mut done = of_epoch(&known);
    done.guard.held = Some(given::token());
    assert_eq!(expect::written(r1.save(&key, done).await), version);

    for req in [&stale, &stale_held] {
        let unresolved = resent(of_epoch(req));
        expect::failure(r1.save(&key, unresolved).await, ErrorKind::Unknown);
        expect::exactly(r1.save(&key, of_epoch(req)).await, &Written::Ended);
    }
    expect::exactly(r1.save(&key, stale.clone()).await, &Written::Locked);
    expect::exactly(r1.save(&key, stale_held.clone()).await, &Written::LockLost);
    let stale_holder = given::save_held(token, &first, given::data());
    assert_same(
        &*r1,
        &last,
        &expect::conflict(r1.save(&key, stale_holder).await),
    );

    expect::exactly(r2.delete(&key, given::log_out()).await, &Deleted::Done);
    for req in [known, stale, stale_held] {
        let late = resent(of_epoch(&req));
        expect::exactly(r1.save(&key, late).await, &Written::Missing);
    }
}

/// All base their save on the same version.
pub async fn lets_one_of_many_savers_win(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, mut last) = given::stored(&*r1).await;
    for _ in 0..20 {
        let reqs: Vec<Save> = (0..16).map(|_| given::save(&last, given::data())).collect();
        let answers = together(reqs.iter().cloned().enumerate().map(|(i, req)| {
            let driver = Arc::clone(if i % 2 == 0 { &r1 } else { &r2 });
            async move { driver.save(&key, req).await }
        }))
        .await;
        let after = given::read(&*r2, &key).await;
        assert_eq!(after.version.number, last.version.number + 1);
        let mut done = 0;
        for (req, answer) in reqs.iter().zip(answers) {
            match answer {
                Ok(Written::Done { version, .. }) => {
                    done += 1;
                    assert_eq!((version, req.op), (after.version, after.version.op));
                    assert!(after.data == req.data, "the data is a loser's");
                }
                Ok(Written::Conflict(shown)) => assert_same(&*r1, &after, &shown),
                other => panic!("expected Done or Conflict, and the answer was {other:?}"),
            }
        }
        assert_eq!(done, 1, "so many saved over the same version");
        last = after;
    }
}

/// Readers beside a writer see whole records only: head and data of one and the same save.
pub async fn shows_whole_records_to_readers_beside_a_writer(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    // Each record tells its own op id, at both ends of many bytes.
    let record = |op: OpId| Redacted::from(op.as_bytes().repeat(512));
    let req = given::create("");
    let req = Create {
        data: record(req.op),
        ..req
    };
    let (key, first) = given::stored_as(&*r1, req).await;
    let racers = (0..4).map(|i| {
        let (r1, r2, first) = (Arc::clone(&r1), Arc::clone(&r2), first.clone());
        async move {
            let mut last = first;
            for _ in 0..100 {
                if i == 0 {
                    let req = given::save(&last, "");
                    let data = record(req.op);
                    expect::written(r1.save(&key, Save { data, ..req }).await);
                }
                let seen = given::read(&*r2, &key).await;
                assert!(seen.data == record(seen.version.op), "a torn record");
                assert!(
                    seen.version.number >= last.version.number,
                    "an older record"
                );
                last = seen;
            }
        }
    });
    together(racers).await;
}

/// Whose open may take the lock changes with the save, in the same step, and not with a refused
/// one.
pub async fn changes_the_proofs_with_the_save(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let (old, new) = (first.stamp.proofs.current, given::proof());
    let renewed = |of: &Snapshot, current, pending| Save {
        stamp: Stamp {
            proofs: Proofs { current, pending },
            ..of.stamp
        },
        ..given::save(of, given::data())
    };
    let accepted = async |proof| {
        let claim = given::claim();
        let token = claim.token;
        let (_, lock) = expect::found_with(r2.open(&key, given::open_locked(claim, proof)).await);
        let _ = r2.release(&key, &token).await;
        match lock {
            OpenedLock::Held(_) => true,
            OpenedLock::Unproven => false,
            other => panic!("expected Held or Unproven, and it was {other:?}"),
        }
    };
    assert!(accepted(old).await && !accepted(new).await);

    expect::written(r1.save(&key, renewed(&first, old, Some(new))).await);
    let second = given::read(&*r1, &key).await;
    assert!(accepted(old).await && accepted(new).await);
    assert!(!accepted(given::proof()).await);

    expect::conflict(r1.save(&key, renewed(&first, given::proof(), None)).await);
    assert!(accepted(old).await && accepted(new).await);

    expect::written(r1.save(&key, renewed(&second, new, None)).await);
    assert!(!accepted(old).await && accepted(new).await);
}

/// Save, touch, guarded delete and grant of a request that was opened before, all `Ended`: nothing
/// changes, nothing is shown. Only a log-out still works.
pub async fn refuses_every_request_of_an_ended_epoch(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, opened) = given::stored(&*r1).await;
    let login = Save {
        stamp: given::stamp(),
        ..given::save(&opened, given::data())
    };
    expect::written(r2.save(&key, login).await);
    let fresh = given::read(&*r2, &key).await;

    let mut up_to_date = given::save(&fresh, given::data());
    up_to_date.guard.epoch = opened.stamp.epoch;
    for req in [given::save(&opened, given::data()), up_to_date.clone()] {
        expect::exactly(r1.save(&key, req).await, &Written::Ended);
    }
    for ttl in [SHORT, 2 * TTL] {
        let req = given::touch(&opened, ttl);
        expect::exactly(r1.touch(&key, req).await, &Touched::Ended);
    }
    let req = Delete {
        only_if: Some(up_to_date.guard),
    };
    expect::exactly(r1.delete(&key, req).await, &Deleted::Ended);
    for req in [given::wish(&opened), given::attempt(&opened)] {
        expect::exactly(r1.acquire(&key, req).await, &Acquired::Ended);
    }
    assert_same(&*r1, &fresh, &given::read(&*r2, &key).await);
    expect::exactly(r2.inspect(&key).await, &LockState::default());

    expect::written(r2.save(&key, given::save(&fresh, given::data())).await);
    expect::exactly(r1.delete(&key, given::log_out()).await, &Deleted::Done);
}

/// The lock stays with the one who authenticated; only the old epoch's name is refused.
pub async fn keeps_the_lock_through_an_authentication(h: &dyn Harness) {
    let driver = h.connect().await;
    let (key, first) = given::stored(&*driver).await;
    let (token, fence) = given::held(&*driver, &key, &first).await;
    let login = Save {
        stamp: given::stamp(),
        ..given::save_held(token, &first, given::data())
    };
    expect::written(driver.save(&key, login).await);
    let fresh = given::read(&*driver, &key).await;
    assert_eq!(holder(&*driver, &key).await, Some(fence));

    let mut late = given::save_held(token, &fresh, given::data());
    late.guard.epoch = first.stamp.epoch;
    expect::exactly(driver.save(&key, late).await, &Written::Ended);
    let good = given::save_and_release(token, &fresh, given::data());
    expect::written(driver.save(&key, good).await);
}

/// Whatever kind of save it was, and however many others came between, as far as their op ids are
/// remembered.
pub async fn answers_a_resent_save_as_the_first_time(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for others in [0, 1, OpId::REMEMBERED - 1] {
        for kind in Kind::ALL {
            let (key, first) = given::stored(&*r1).await;
            let (req, still_held) = kind.of_save(&*r1, &key, &first).await;
            let version = expect::written(r1.save(&key, req.clone()).await);
            save_again(&*r2, &key, still_held, others).await;
            let before = given::read(&*r2, &key).await;
            // Some networks send twice what was asked once, and nobody says so.
            for resend in [true, false] {
                let again = Save {
                    resend,
                    ..req.clone()
                };
                let answer = expect::written(r1.save(&key, again).await);
                assert_eq!(answer, version, "{kind:?} after {others} others");
            }
            assert_same(&*r1, &before, &given::read(&*r2, &key).await);
            assert_eq!(before.version.number, 2 + others as u64);
        }
    }
}

/// One more save than is remembered, and it is neither `Conflict` nor `LockLost` nor done again.
pub async fn cannot_resolve_a_resend_after_too_many_saves(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for kind in Kind::ALL {
        let (key, first) = given::stored(&*r1).await;
        let (req, still_held) = kind.of_save(&*r1, &key, &first).await;
        expect::written(r1.save(&key, req.clone()).await);
        save_again(&*r2, &key, still_held, OpId::REMEMBERED).await;
        let before = given::read(&*r2, &key).await;
        let late = Save {
            resend: true,
            ..req
        };
        expect::failure(r1.save(&key, late).await, ErrorKind::Unknown);
        assert_same(&*r1, &before, &given::read(&*r2, &key).await);
    }
}

/// The request itself was lost, not its answer.
pub async fn applies_a_resend_whose_first_never_arrived_once(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for kind in Kind::ALL {
        let (key, first) = given::stored(&*r1).await;
        let (req, _) = kind.of_save(&*r1, &key, &first).await;
        let req = Save {
            resend: true,
            ..req
        };
        let version = expect::written(r1.save(&key, req.clone()).await);
        assert_eq!((version.number, version.op), (2, req.op), "{kind:?}");
        let after = given::read(&*r2, &key).await;
        assert!(
            after.data == req.data,
            "{kind:?}: the data is not the saved one"
        );
        assert_eq!(expect::written(r1.save(&key, req).await), version);
        assert_same(&*r1, &after, &given::read(&*r2, &key).await);
    }
}

/// As long as every save since its guard is remembered, a resend that is not among them was never
/// applied. A request that was not sent before is never in doubt.
pub async fn tells_a_refused_resend_from_a_doubtful_one(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let never_arrived = Save {
        resend: true,
        ..given::save(&first, given::data())
    };
    for others in 1..=2 * OpId::REMEMBERED {
        save_again(&*r2, &key, None, 1).await;
        let before = given::read(&*r2, &key).await;
        let answer = r1.save(&key, never_arrived.clone()).await;
        if others <= OpId::REMEMBERED {
            assert_same(&*r1, &before, &expect::conflict(answer));
        } else {
            expect::failure(answer, ErrorKind::Unknown);
        }
        let new = given::save(&first, given::data());
        assert_same(&*r1, &before, &expect::conflict(r1.save(&key, new).await));
        assert_same(&*r1, &before, &given::read(&*r2, &key).await);
    }
}

/// A refused save was not applied, so that its op id is not known as done.
pub async fn forgets_the_op_id_of_a_refused_save(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let (token, _) = given::held(&*r2, &key, &first).await;
    let req = given::save(&first, given::data());
    expect::exactly(r1.save(&key, req.clone()).await, &Written::Locked);
    let again = Save {
        resend: true,
        ..req.clone()
    };
    expect::exactly(r1.save(&key, again.clone()).await, &Written::Locked);
    expect::exactly(r2.release(&key, &token).await, &asm_core::Released::Done);
    let version = expect::written(r1.save(&key, again).await);
    assert_eq!((version.number, version.op), (2, req.op));
}

/// The first sending released the lock, and the next one has it by now.
pub async fn takes_no_lock_from_the_next_holder_by_a_resend(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let (token, _) = given::held(&*r1, &key, &first).await;
    let req = given::save_and_release(token, &first, given::data());
    let version = expect::written(r1.save(&key, req.clone()).await);
    let second = given::read(&*r2, &key).await;
    let (theirs, fence) = given::held(&*r2, &key, &second).await;

    let again = Save {
        resend: true,
        ..req
    };
    assert_eq!(expect::written(r1.save(&key, again).await), version);
    assert_eq!(holder(&*r1, &key).await, Some(fence));
    let good = given::save_and_release(theirs, &second, given::data());
    expect::written(r2.save(&key, good).await);
}

/// The very request, whether it says so or not, also when it was saved over.
pub async fn answers_a_resent_create_as_the_first_time(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for others in [0, 1, OpId::REMEMBERED - 1] {
        let (key, req) = (given::key(), given::create(given::data()));
        let version = expect::created(r1.create(&key, req.clone()).await);
        save_again(&*r2, &key, None, others).await;
        let before = given::read(&*r2, &key).await;
        for resend in [true, false] {
            let again = Create {
                resend,
                ..req.clone()
            };
            assert_eq!(expect::created(r1.create(&key, again).await), version);
        }
        assert_same(&*r1, &before, &given::read(&*r2, &key).await);
    }
}

/// A resent create of another is `Taken` as long as all op ids since the first are remembered.
pub async fn tells_a_taken_key_from_a_doubtful_create(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, mine) = (given::key(), given::create(given::data()));
    expect::created(r1.create(&key, mine.clone()).await);
    let resent = |req: Create| Create {
        resend: true,
        ..req
    };
    let other = given::create(given::data());
    for number in 1..=2 * OpId::REMEMBERED {
        let before = given::read(&*r2, &key).await;
        let answer = r2.create(&key, resent(other.clone())).await;
        if number <= OpId::REMEMBERED {
            expect::exactly(answer, &Created::Taken);
        } else {
            expect::failure(answer, ErrorKind::Unknown);
            let late = r1.create(&key, resent(mine.clone())).await;
            expect::failure(late, ErrorKind::Unknown);
        }
        let new = given::create(given::data());
        expect::exactly(r2.create(&key, new).await, &Created::Taken);
        assert_same(&*r1, &before, &given::read(&*r2, &key).await);
        save_again(&*r2, &key, None, 1).await;
    }
}

/// The grant is told as long as it holds; it is never given anew.
pub async fn grants_a_resent_create_no_second_lock(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for end in ["not yet", "by release", "by its hold", "and another has it"] {
        let claim = given::claim();
        let token = claim.token;
        let (key, req) = (given::key(), given::create(given::data()));
        let req = Create {
            lock: Some(claim),
            ..req
        };
        let fence = expect::born_locked(r1.create(&key, req.clone()).await);
        let snapshot = given::read(&*r2, &key).await;
        match end {
            "by release" => drop(r1.release(&key, &token).await),
            "by its hold" => h.advance(HOLD).await,
            "and another has it" => {
                drop(r1.release(&key, &token).await);
                given::held(&*r2, &key, &snapshot).await;
            }
            _ => {}
        }
        let before = holder(&*r2, &key).await;
        let again = Create {
            resend: true,
            ..req
        };
        match r1.create(&key, again).await {
            Ok(Created::Done {
                version,
                fence: told,
                ..
            }) => {
                assert_eq!(version, snapshot.version);
                assert_eq!(told, (end == "not yet").then_some(fence), "ended {end}");
            }
            other => panic!("expected Done, and the answer was {other:?}"),
        }
        assert_eq!(holder(&*r2, &key).await, before, "ended {end}");
    }
}

/// Many writers, each answer lost once: what they count in the record is what was acknowledged,
/// each save once.
pub async fn counts_each_save_once_when_every_answer_is_lost(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, _) = given::stored_as(&*r1, given::create(0_u64.to_be_bytes().to_vec())).await;
    let tallies = together((0..6).map(|i| {
        let driver = Arc::clone(if i % 2 == 0 { &r1 } else { &r2 });
        async move {
            let mut tally = (0, 0);
            while tally.0 < 20 {
                let seen = given::read(&*driver, &key).await;
                let next = number_in(&seen) + 1;
                let req = given::save(&seen, next.to_be_bytes().to_vec());
                let _lost = driver.save(&key, req.clone()).await;
                let req = Save {
                    resend: true,
                    ..req
                };
                match driver.save(&key, req).await {
                    Ok(Written::Done { .. }) => tally.0 += 1,
                    Ok(Written::Conflict(_)) => {}
                    Err(error) if error.kind() == ErrorKind::Unknown => tally.1 += 1,
                    other => panic!("expected Done, Conflict or Unknown, not {other:?}"),
                }
            }
            tally
        }
    }))
    .await;
    let acknowledged: u64 = tallies.iter().map(|tally| tally.0).sum();
    let doubtful: u64 = tallies.iter().map(|tally| tally.1).sum();
    let last = given::read(&*r1, &key).await;
    let found = number_in(&last);
    assert_eq!(last.version.number, found + 1, "saves and counts differ");
    assert!(
        (acknowledged..=acknowledged + doubtful).contains(&found),
        "{found} found, {acknowledged} acknowledged, {doubtful} in doubt"
    );
}

/// Every kind of save, deleted or expired before.
pub async fn revives_nothing_by_a_save(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for end in End::ALL {
        for kind in Kind::ALL {
            for arrived in [false, true] {
                let (key, first) = given::stored(&*r1).await;
                let (req, _) = kind.of_save(&*r1, &key, &first).await;
                if arrived {
                    expect::written(r1.save(&key, req.clone()).await);
                }
                end.of(h, &*r2, &key).await;
                for resend in [false, true] {
                    let req = Save {
                        resend,
                        ..req.clone()
                    };
                    let answer = r1.save(&key, req).await;
                    expect::exactly(answer, &Written::Missing);
                    expect::missing(r2.open(&key, given::open()).await);
                }
            }
        }
    }
    given::swept(&*r1).await;
    assert_eq!(h.holdings().await, 0, "things left by refused saves");
}

/// However long a life the touch wished for.
pub async fn revives_nothing_by_a_touch(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for end in End::ALL {
        let (key, first) = given::stored(&*r1).await;
        end.of(h, &*r2, &key).await;
        let req = given::touch(&first, 2 * TTL);
        expect::exactly(r1.touch(&key, req).await, &Touched::Missing);
        expect::missing(r2.open(&key, given::open()).await);
    }
    given::swept(&*r1).await;
    assert_eq!(h.holdings().await, 0, "things left by refused touches");
}

/// Acquire, with or without a wait, renew, release, break: none leaves a lock behind.
pub async fn locks_nothing_that_is_over(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for end in End::ALL {
        let (key, first) = given::stored(&*r1).await;
        let (token, fence) = given::held(&*r1, &key, &first).await;
        end.of(h, &*r2, &key).await;
        lock_verbs_find_nothing(&*r1, &key, &first, token, fence).await;
        expect::missing(r2.open(&key, given::open()).await);
        given::swept(&*r1).await;
        assert_eq!(h.holdings().await, 0, "things left by refused lock verbs");
    }
}

/// A delete against writers: whoever comes later is told so, and the session stays gone.
pub async fn stays_deleted_under_racing_writers(h: &dyn Harness) {
    for _ in 0..50 {
        let (r1, r2) = given::two(h).await;
        let (key, first) = given::stored(&*r1).await;
        let racers = (0..5).map(|i| {
            let driver = Arc::clone(if i % 2 == 0 { &r1 } else { &r2 });
            let mut last = first.clone();
            async move {
                if i == 0 {
                    expect::exactly(driver.delete(&key, given::log_out()).await, &Deleted::Done);
                    return;
                }
                let mut over = false;
                for _ in 0..10 {
                    let saved = driver.save(&key, given::save(&last, given::data())).await;
                    let touched = driver.touch(&key, given::touch(&last, TTL)).await;
                    let gone = matches!(saved, Ok(Written::Missing));
                    assert!(gone || !over, "it was over, and then saved: {saved:?}");
                    over = matches!(touched, Ok(Touched::Missing));
                    assert!(over || !gone, "it was over, and then touched: {touched:?}");
                    if let Ok(Written::Conflict(newer)) = saved {
                        last = newer;
                    }
                }
            }
        });
        together(racers).await;
        expect::missing(r1.open(&key, given::open()).await);
        assert_eq!(h.holdings().await, 0, "things left of a deleted session");
    }
}

/// Held by another, waited for, saved since: a log-out asks for none of it.
pub async fn deletes_over_lock_version_and_queue(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let (token, _) = given::held(&*r1, &key, &first).await;
    expect::written(
        r1.save(&key, given::save_held(token, &first, given::data()))
            .await,
    );
    let mut queue = Vec::new();
    for _ in 0..3 {
        queue.push(Waiting::queued(&r1, &key, given::wish(&first)).await);
    }

    expect::exactly(r2.delete(&key, given::log_out()).await, &Deleted::Done);
    for waiting in queue {
        expect::exactly(waiting.answer(h).await, &Acquired::Missing);
    }
    expect::missing(r1.open(&key, given::open()).await);
    expect::exactly(r1.inspect(&key).await, &LockState::default());
    assert_eq!(h.holdings().await, 0, "things left of a deleted session");
}

/// At its next call, whatever it is.
pub async fn tells_the_holder_of_a_deleted_session(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let (token, _) = given::held(&*r1, &key, &first).await;
    expect::exactly(r2.delete(&key, given::log_out()).await, &Deleted::Done);
    expect::exactly(r1.renew(&key, &token, HOLD).await, &Renewed::Missing);
    for req in [
        given::save_held(token, &first, given::data()),
        given::save_and_release(token, &first, given::data()),
    ] {
        expect::exactly(r1.save(&key, req).await, &Written::Missing);
    }
    let mut again = given::attempt(&first);
    again.claim.token = token;
    expect::exactly(r1.acquire(&key, again).await, &Acquired::Missing);
    assert_eq!(h.holdings().await, 0, "things left of a deleted session");
}

/// Once `Done`, then `Nothing`, guarded or not; and what was never there is `Nothing`, too.
pub async fn deletes_twice_without_complaint(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for end in End::ALL {
        let (key, first) = given::stored(&*r1).await;
        end.of(h, &*r1, &key).await;
        let guards = [
            None,
            Some(Guard::unchanged(&first)),
            Some(Guard::held(given::token(), &first)),
        ];
        for only_if in guards {
            let req = Delete { only_if };
            expect::exactly(r2.delete(&key, req).await, &Deleted::Nothing);
        }
    }
    let unknown = r1.delete(&given::key(), given::log_out()).await;
    expect::exactly(unknown, &Deleted::Nothing);
    given::swept(&*r1).await;
    assert_eq!(h.holdings().await, 0, "things left by deletes of nothing");
}

/// One of many is `Done`.
pub async fn lets_one_of_many_deleters_win(h: &dyn Harness) {
    for _ in 0..20 {
        let (r1, r2) = given::two(h).await;
        let (key, _) = given::stored(&*r1).await;
        let answers = together((0..8).map(|i| {
            let driver = Arc::clone(if i % 2 == 0 { &r1 } else { &r2 });
            async move { driver.delete(&key, given::log_out()).await }
        }))
        .await;
        let done = answers
            .into_iter()
            .map(|answer| answer.expect("an answer"))
            .filter(|answer| *answer != Deleted::Nothing)
            .collect::<Vec<_>>();
        assert_eq!(done, [Deleted::Done]);
    }
}

/// Each part of the guard for itself; a refused delete changes nothing.
pub async fn deletes_under_its_guard_only(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    expect::written(r2.save(&key, given::save(&first, given::data())).await);
    let second = given::read(&*r2, &key).await;
    let only_if = |guard| Delete {
        only_if: Some(guard),
    };

    let number_alone = Guard {
        version: Version {
            op: given::op(),
            ..second.version
        },
        ..Guard::unchanged(&second)
    };
    for stale in [Guard::unchanged(&first), number_alone] {
        match r1.delete(&key, only_if(stale)).await {
            Ok(Deleted::Conflict(shown)) => assert_same(&*r1, &second, &shown),
            other => panic!("expected Conflict, and the answer was {other:?}"),
        }
    }
    let stranger = only_if(Guard::held(given::token(), &second));
    expect::exactly(r1.delete(&key, stranger.clone()).await, &Deleted::LockLost);
    let ended = only_if(Guard {
        epoch: given::epoch(),
        ..Guard::unchanged(&second)
    });
    expect::exactly(r1.delete(&key, ended).await, &Deleted::Ended);

    let (token, fence) = given::held(&*r2, &key, &second).await;
    let unchanged = only_if(Guard::unchanged(&second));
    expect::exactly(r1.delete(&key, unchanged).await, &Deleted::Locked);
    expect::exactly(r1.delete(&key, stranger).await, &Deleted::LockLost);
    match r2.delete(&key, only_if(Guard::held(token, &first))).await {
        Ok(Deleted::Conflict(shown)) => assert_same(&*r1, &second, &shown),
        other => panic!("expected Conflict, and the answer was {other:?}"),
    }
    assert_eq!(holder(&*r1, &key).await, Some(fence));
    assert_same(&*r1, &second, &given::read(&*r1, &key).await);

    let waiting = Waiting::queued(&r1, &key, given::wish(&second)).await;
    let field = |epoch| FieldRead {
        name: FieldName::new("hits").expect("a name"),
        epoch,
        items: None,
    };
    if let Some(fields) = r1.fields() {
        let FieldRead { name, epoch, .. } = field(second.stamp.epoch);
        let write = FieldWrite {
            name,
            epoch,
            op: given::op(),
            resend: None,
            change: FieldChange::Incr(1),
        };
        expect::number(fields.write_field(&key, write).await);
    }
    let good = only_if(Guard::held(token, &second));
    expect::exactly(r2.delete(&key, good).await, &Deleted::Done);
    expect::exactly(waiting.answer(h).await, &Acquired::Missing);
    expect::created(r1.create(&key, given::create("afresh")).await);
    assert!(is_free(&*r2, &key).await, "the lock of a deleted session");
    if let Some(fields) = r2.fields() {
        let epoch = given::read(&*r2, &key).await.stamp.epoch;
        let found = fields.read_field(&key, field(epoch)).await;
        expect::exactly(found, &FieldFound::Absent);
    }
    expect::exactly(r2.delete(&key, given::log_out()).await, &Deleted::Done);
    let (key, first) = given::stored(&*r1).await;
    let good = only_if(Guard::unchanged(&first));
    expect::exactly(r2.delete(&key, good).await, &Deleted::Done);
    assert_eq!(h.holdings().await, 0, "things left of deleted sessions");
}

/// A shorter one changes nothing, a longer one is answered to the resolution of the store.
pub async fn never_lowers_the_lifetime_by_a_touch(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let off = 2 * r1.info().ttl_resolution;
    let mut end = end_of(&first);
    for ttl in [
        Duration::ZERO,
        Duration::from_nanos(1),
        SHORT,
        TTL - SHORT,
        TTL + SHORT,
        SHORT,
        2 * TTL,
        TTL,
    ] {
        match r1.touch(&key, given::touch(&first, ttl)).await {
            Ok(Touched::Done { left, now }) => {
                end = end.max(now + ttl);
                let expected = end.since(now);
                assert!(
                    left.abs_diff(expected) <= off,
                    "{left:?} are left instead of {expected:?}"
                );
            }
            other => panic!("expected a touched record, and it was {other:?}"),
        }
        let after = given::read(&*r2, &key).await;
        assert_ends(&*r1, &after, after.now, end.since(after.now));
    }
}

/// It writes no version, and the guard of whoever opened before still holds.
pub async fn changes_neither_data_nor_version_by_a_touch(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    for ttl in [SHORT, 2 * TTL] {
        expect::touched(r2.touch(&key, given::touch(&first, ttl)).await);
        let after = given::read(&*r1, &key).await;
        assert_eq!((after.version, after.stamp), (first.version, first.stamp));
        assert!(after.data == first.data, "the data changed");
    }
    expect::written(r1.save(&key, given::save(&first, given::data())).await);
}

/// It needs no lock and disturbs none.
pub async fn touches_beside_a_holder(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let (token, fence) = given::held(&*r1, &key, &first).await;
    let before = expect::renewed(r1.renew(&key, &token, HOLD).await);
    expect::touched(r2.touch(&key, given::touch(&first, 2 * TTL)).await);
    let state = r2.inspect(&key).await.expect("an answer");
    let grant = state.holder.expect("a holder");
    assert_eq!(grant.fence, fence);
    assert!(grant.left <= before, "a touch made the grant longer");
    let req = given::save_and_release(token, &first, given::data());
    expect::written(r1.save(&key, req).await);
}

/// A touched session lives on past its first end.
pub async fn lives_as_long_as_the_last_touch_says(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    for _ in 0..3 {
        h.advance(TTL - SHORT).await;
        expect::touched(r2.touch(&key, given::touch(&first, TTL)).await);
    }
    h.advance(TTL - SHORT).await;
    given::read(&*r1, &key).await;
    h.advance(SHORT + r1.info().ttl_resolution).await;
    expect::missing(r1.open(&key, given::open()).await);
}

/// Not the version, not the lifetime, not what the storage holds.
pub async fn changes_nothing_by_a_read(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let holdings = h.holdings().await;
    for _ in 0..5 {
        h.advance(SHORT).await;
        let forged = given::open_locked(given::claim(), given::proof());
        for req in [given::open(), forged] {
            let (seen, _) = expect::found_with(r2.open(&key, req).await);
            assert_same(&*r1, &first, &seen);
        }
        r2.inspect(&key).await.expect("an answer");
    }
    assert_eq!(h.holdings().await, holdings, "reading left something");
    h.advance(TTL - 5 * SHORT + r1.info().ttl_resolution).await;
    expect::missing(r1.open(&key, given::open()).await);
}

/// Longer or shorter than what was left.
pub async fn sets_the_lifetime_by_a_save(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, mut last) = given::stored(&*r1).await;
    for ttl in [2 * TTL, SHORT, SHORT, TTL, 30 * TTL] {
        h.advance(SHORT / 4).await;
        let req = Save {
            ttl,
            ..given::save(&last, given::data())
        };
        let now = match r1.save(&key, req).await {
            Ok(Written::Done { now, .. }) => now,
            other => panic!("expected a saved record, and it was {other:?}"),
        };
        last = given::read(&*r2, &key).await;
        assert_ends(&*r1, &last, now, ttl);
    }
}

/// A shorter life ends when it says, although there once was a longer one.
pub async fn ends_a_session_when_the_last_save_says(h: &dyn Harness) {
    let driver = h.connect().await;
    let (key, first) = given::stored(&*driver).await;
    let req = Save {
        ttl: SHORT,
        ..given::save(&first, given::data())
    };
    expect::written(driver.save(&key, req).await);
    h.advance(SHORT - Duration::from_secs(1)).await;
    given::read(&*driver, &key).await;
    h.advance(Duration::from_secs(1) + driver.info().ttl_resolution)
        .await;
    expect::missing(driver.open(&key, given::open()).await);
}

/// Whatever is read, locked, released, refused or failed, with a lifetime of its own in the
/// request.
pub async fn leaves_the_lifetime_to_saves_and_touches(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let short = |req: Save| Save { ttl: SHORT, ..req };
    let (token, fence) = given::held(&*r1, &key, &first).await;

    let locked = short(given::save(&first, given::data()));
    expect::exactly(r2.save(&key, locked).await, &Written::Locked);
    let lost = short(given::save_held(given::token(), &first, given::data()));
    expect::exactly(r2.save(&key, lost).await, &Written::LockLost);
    let mut ended = short(given::save(&first, given::data()));
    ended.guard.epoch = given::epoch();
    expect::exactly(r2.save(&key, ended).await, &Written::Ended);
    let large = given::bytes(r1.info().max_record + 1);
    let large = short(given::save_held(token, &first, large));
    expect::failure(r1.save(&key, large).await, ErrorKind::TooLarge);
    let mut stale = short(given::save_held(token, &first, given::data()));
    stale.guard.version.op = given::op();
    expect::conflict(r1.save(&key, stale).await);
    assert_same(&*r1, &first, &given::read(&*r2, &key).await);

    let busy = given::open_locked(given::claim(), first.stamp.proofs.current);
    expect::found_with(r2.open(&key, busy).await);
    expect::exactly(
        r2.acquire(&key, given::attempt(&first)).await,
        &Acquired::Busy,
    );
    expect::renewed(r1.renew(&key, &token, HOLD).await);
    expect::broken(r2.break_lock(&key, Some(fence)).await);
    let (token, _) = given::held(&*r2, &key, &first).await;
    r2.release(&key, &token).await.expect("an answer");
    let taken = Create {
        ttl: SHORT,
        ..given::create(given::data())
    };
    expect::exactly(r1.create(&key, taken).await, &Created::Taken);
    assert_same(&*r1, &first, &given::read(&*r2, &key).await);
}

/// The limit itself is allowed; one byte more leaves the old record, its lifetime and its lock.
pub async fn refuses_a_record_over_the_limit(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let limit = r1.info().max_record;
    let (key, first) = given::stored_as(&*r1, given::create(given::bytes(limit))).await;
    expect::written(
        r1.save(&key, given::save(&first, given::bytes(limit)))
            .await,
    );
    let second = given::read(&*r2, &key).await;
    let holdings = h.holdings().await;

    for length in [limit + 1, 2 * limit + 1] {
        let req = Save {
            ttl: SHORT,
            ..given::save(&second, given::bytes(length))
        };
        expect::failure(r1.save(&key, req.clone()).await, ErrorKind::TooLarge);
        let again = Save {
            resend: true,
            ..req
        };
        expect::failure(r1.save(&key, again).await, ErrorKind::TooLarge);
        assert_same(&*r1, &second, &given::read(&*r2, &key).await);

        let fresh = given::key();
        let req = Create {
            lock: Some(given::claim()),
            ..given::create(given::bytes(length))
        };
        expect::failure(r1.create(&fresh, req).await, ErrorKind::TooLarge);
        expect::missing(r2.open(&fresh, given::open()).await);
        expect::exactly(r2.inspect(&fresh).await, &LockState::default());
    }
    assert_eq!(
        h.holdings().await,
        holdings,
        "a refused record left something"
    );
    expect::written(r1.save(&key, given::save(&second, given::data())).await);
}

/// The same key on both sides: two sessions, two locks, two lives.
pub async fn keeps_neighbours_apart(h: &dyn Harness) {
    let (ours, theirs) = (h.connect().await, h.neighbour().await);
    let (key, first) = given::stored(&*ours).await;
    expect::missing(theirs.open(&key, given::open()).await);
    let req = given::touch(&first, 2 * TTL);
    expect::exactly(theirs.touch(&key, req).await, &Touched::Missing);
    let deleted = theirs.delete(&key, given::log_out()).await;
    expect::exactly(deleted, &Deleted::Nothing);

    // The same epoch and proofs, so that nothing but the namespace tells them apart.
    let req = Create {
        stamp: first.stamp,
        ..given::create(given::data())
    };
    expect::created(theirs.create(&key, req).await);
    let other = given::read(&*theirs, &key).await;
    assert!(other.data != first.data, "the neighbour sees our data");
    expect::conflict(theirs.save(&key, given::save(&first, given::data())).await);

    let (token, fence) = given::held(&*ours, &key, &first).await;
    expect::exactly(theirs.inspect(&key).await, &LockState::default());
    let foreign = given::save_held(token, &other, given::data());
    expect::exactly(theirs.save(&key, foreign).await, &Written::LockLost);
    expect::written(theirs.save(&key, given::save(&other, given::data())).await);
    expect::exactly(theirs.delete(&key, given::log_out()).await, &Deleted::Done);

    assert_same(&*ours, &first, &given::read(&*ours, &key).await);
    assert_eq!(holder(&*ours, &key).await, Some(fence));
}

/// Dropped after every number of polls that it can be dropped after, then sent again.
pub async fn leaves_all_or_nothing_of_a_dropped_save(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for wait in 1.. {
        let (key, first) = given::stored(&*r1).await;
        let req = given::save(&first, given::data());
        let finished = cancel_at(wait, r1.save(&key, req.clone())).await.is_some();

        let seen = given::read(&*r2, &key).await;
        if seen.version == first.version {
            assert_same(&*r1, &first, &seen);
        } else {
            assert_eq!((seen.version.number, seen.version.op), (2, req.op));
            assert!(seen.data == req.data, "half a save after wait {wait}");
        }
        let again = Save {
            resend: true,
            ..req.clone()
        };
        assert_eq!(expect::written(r2.save(&key, again).await).number, 2);
        let after = given::read(&*r1, &key).await;
        assert_eq!((after.version.number, after.version.op), (2, req.op));
        assert!(after.data == req.data, "the data is not the saved one");
        if finished {
            break;
        }
    }
}

/// As for a save; and no lock is left by the one that nobody waits for any more.
pub async fn leaves_all_or_nothing_of_a_dropped_create(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for wait in 1.. {
        let key = given::key();
        let req = Create {
            lock: Some(given::claim()),
            ..given::create(given::data())
        };
        let answer = cancel_at(wait, r1.create(&key, req.clone())).await;
        if let Some(answer) = answer {
            expect::born_locked(answer);
            break;
        }
        while holder(&*r2, &key).await.is_some() {
            tokio::task::yield_now().await;
        }
        let again = Create {
            resend: true,
            lock: None,
            ..req.clone()
        };
        assert_eq!(expect::created(r2.create(&key, again).await).number, 1);
        let after = given::read(&*r1, &key).await;
        assert_eq!((after.version.number, after.version.op), (1, req.op));
        assert!(after.data == req.data, "half a create after wait {wait}");
        assert_eq!(holder(&*r2, &key).await, None);
    }
}

/// Record and lock go together: never a lock without its session, never half a delete.
pub async fn leaves_all_or_nothing_of_a_dropped_delete(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for wait in 1.. {
        let (key, first) = given::stored(&*r1).await;
        let (_, fence) = given::held(&*r1, &key, &first).await;
        let finished = cancel_at(wait, r1.delete(&key, given::log_out()))
            .await
            .is_some();
        match r2.open(&key, given::open()).await {
            Ok(asm_core::Opened::Missing) => {
                expect::exactly(r2.inspect(&key).await, &LockState::default());
            }
            opened => {
                assert!(!finished, "a delete that was done left the session");
                assert_same(&*r1, &first, &expect::found(opened));
                let now = holder(&*r2, &key).await;
                assert!(now.is_none_or(|now| now == fence), "another holds it");
            }
        }
        r2.delete(&key, given::log_out()).await.expect("an answer");
        assert_eq!(h.holdings().await, 0, "things left after wait {wait}");
        if finished {
            break;
        }
    }
}

/// Before its end it is there, from its end on it is not, swept or not.
pub async fn ends_a_session_at_its_ttl(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, _) = given::stored(&*r1).await;
    h.advance(TTL - Duration::from_secs(1)).await;
    let seen = given::read(&*r2, &key).await;
    assert_ends(&*r1, &seen, seen.now, Duration::from_secs(1));
    h.advance(Duration::from_secs(1) + r1.info().ttl_resolution)
        .await;
    for driver in [&r1, &r2] {
        expect::missing(driver.open(&key, given::open()).await);
    }
}

/// A lifetime of zero is over at once.
pub async fn ends_a_session_without_lifetime_at_once(h: &dyn Harness) {
    let driver = h.connect().await;
    let (key, req) = (given::key(), given::create(given::data()));
    let ttl = Duration::ZERO;
    expect::created(driver.create(&key, Create { ttl, ..req }).await);
    h.advance(driver.info().ttl_resolution).await;
    expect::missing(driver.open(&key, given::open()).await);

    let (key, first) = given::stored(&*driver).await;
    let req = given::save(&first, given::data());
    expect::written(driver.save(&key, Save { ttl, ..req }).await);
    h.advance(driver.info().ttl_resolution).await;
    expect::missing(driver.open(&key, given::open()).await);
}

/// A holder's lock ends with its session, not after it.
pub async fn ends_the_lock_with_its_session(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let req = Create {
        ttl: SHORT,
        lock: Some(Claim {
            hold: TTL,
            ..given::claim()
        }),
        ..given::create(given::data())
    };
    let (key, _) = given::stored_as(&*r1, req).await;
    h.advance(SHORT + r1.info().ttl_resolution).await;
    expect::exactly(r2.inspect(&key).await, &LockState::default());
    expect::created(r2.create(&key, given::create(given::data())).await);
    expect::exactly(r2.inspect(&key).await, &LockState::default());
}

/// Created, read and saved by a client whose clock is an hour off: it ends when the store says.
pub async fn ends_a_session_by_the_clock_of_the_store(h: &dyn Harness) {
    let hour = Duration::from_secs(3600);
    let right = h.connect().await;
    for ahead in [false, true] {
        let wrong = h.connect_with_clock_off(hour, ahead).await;
        let (key, first) = given::stored(&*wrong).await;
        let second = given::read(&*right, &key).await;
        assert_same(&*right, &first, &second);
        assert_ends(&*right, &second, second.now, TTL);
        let touched = expect::touched(wrong.touch(&key, given::touch(&first, SHORT)).await);
        assert!(touched > TTL - SHORT, "{touched:?} are left of {TTL:?}");
        expect::written(wrong.save(&key, given::save(&first, given::data())).await);
        let third = given::read(&*right, &key).await;
        assert_ends(&*right, &third, third.now, TTL);

        h.advance(TTL - SHORT).await;
        given::read(&*wrong, &key).await;
        h.advance(SHORT + right.info().ttl_resolution).await;
        expect::missing(wrong.open(&key, given::open()).await);
        expect::missing(right.open(&key, given::open()).await);
    }
}

/// Both do the same, under the same keys, at the same time; then nothing is left of either.
pub async fn leaves_nothing_of_two_suites_at_once(h: &dyn Harness) {
    let keys: Vec<Key> = (0..8).map(|_| given::key()).collect();
    let mut suites = Vec::new();
    for driver in [h.connect().await, h.neighbour().await] {
        for delete in [true, false] {
            let (driver, keys) = (Arc::clone(&driver), keys.clone());
            let keys = if delete {
                keys[..4].to_vec()
            } else {
                keys[4..].to_vec()
            };
            suites.push(async move {
                for key in &keys {
                    run_a_life(&*driver, key, delete).await;
                }
            });
        }
    }
    together(suites).await;
    h.advance(TTL + h.connect().await.info().ttl_resolution)
        .await;
    given::swept(&*h.connect().await).await;
    given::swept(&*h.neighbour().await).await;
    assert_eq!(h.holdings().await, 0, "things left of two suites");
}

/// How a session's life ends.
#[derive(Clone, Copy)]
enum End {
    Deleted,
    Expired,
}

impl End {
    const ALL: [Self; 2] = [Self::Deleted, Self::Expired];

    async fn of(self, h: &dyn Harness, driver: &dyn Driver, key: &Key) {
        match self {
            Self::Deleted => {
                expect::exactly(driver.delete(key, given::log_out()).await, &Deleted::Done);
            }
            Self::Expired => h.advance(TTL + driver.info().ttl_resolution).await,
        }
    }
}

/// What a save can be.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    Renewing,
    Authenticating,
    Held,
    Releasing,
    /// Wishes to release a lock that it does not have.
    ReleasingNothing,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Plain,
        Self::Renewing,
        Self::Authenticating,
        Self::Held,
        Self::Releasing,
        Self::ReleasingNothing,
    ];

    /// A save of this kind that is allowed, and the token that holds the lock after it.
    async fn of_save(
        self,
        driver: &dyn Driver,
        key: &Key,
        over: &Snapshot,
    ) -> (Save, Option<LockToken>) {
        let req = given::save(over, given::data());
        match self {
            Self::Plain => (req, None),
            Self::ReleasingNothing => {
                let release = true;
                (Save { release, ..req }, None)
            }
            Self::Renewing => {
                let mut req = req;
                req.stamp.proofs.pending = Some(given::proof());
                (req, None)
            }
            Self::Authenticating => {
                let stamp = given::stamp();
                (Save { stamp, ..req }, None)
            }
            Self::Held => {
                let (token, _) = given::held(driver, key, over).await;
                let req = given::save_held(token, over, given::data());
                (req, Some(token))
            }
            Self::Releasing => {
                let (token, _) = given::held(driver, key, over).await;
                let req = given::save_and_release(token, over, given::data());
                (req, None)
            }
        }
    }
}

/// What a store might take for something of its own, and every length at which it might cut.
fn bytes_of_every_kind(limit: usize) -> Vec<Redacted> {
    let mut kinds: Vec<Redacted> = [
        &b""[..],
        b"\0",
        b"\0\0\0\0\0\0\0\0",
        b"\xff\xfe\xc3\x28\x80\xed\xa0\x80",
        b"\r\n$-1\r\n*0\r\n",
        b"a\0b\nc",
        b"nil",
        b"{\"version\":1}",
        b"0",
    ]
    .into_iter()
    .map(Redacted::from)
    .collect();
    kinds.push((0..=u8::MAX).collect::<Vec<_>>().into());
    kinds.extend([vec![0; limit], vec![0xff; limit]].map(Redacted::from));
    kinds.extend([limit, 1, limit / 2, limit - 1].map(given::bytes));
    kinds
}

/// Asserts that nothing of the record moved, its end included.
#[track_caller]
fn assert_same(driver: &dyn Driver, before: &Snapshot, after: &Snapshot) {
    assert_eq!(before.version, after.version, "the version changed");
    assert_eq!(before.stamp, after.stamp, "the stamp changed");
    assert!(before.data == after.data, "the data changed");
    let left = before.left.expect("a lifetime");
    assert_ends(driver, after, before.now, left);
}

/// Asserts that the record ends `ttl` after `since`, as exactly as the store tells lifetimes.
#[track_caller]
fn assert_ends(driver: &dyn Driver, record: &Snapshot, since: Timestamp, ttl: Duration) {
    let left = record.left.expect("a lifetime");
    let expected = (since + ttl).since(record.now);
    assert!(
        left.abs_diff(expected) <= 2 * driver.info().ttl_resolution,
        "{left:?} are left instead of {expected:?}"
    );
}

fn end_of(record: &Snapshot) -> Timestamp {
    record.now + record.left.expect("a lifetime")
}

fn number_in(record: &Snapshot) -> u64 {
    let bytes = record.data[..].try_into().expect("eight bytes");
    u64::from_be_bytes(bytes)
}

/// Saves that many times more, under the lock if there is one.
async fn save_again(driver: &dyn Driver, key: &Key, held: Option<LockToken>, times: usize) {
    for _ in 0..times {
        let last = given::read(driver, key).await;
        let req = match held {
            Some(token) => given::save_held(token, &last, given::data()),
            None => given::save(&last, given::data()),
        };
        expect::written(driver.save(key, req).await);
    }
}

/// Every verb on a key without session. The snapshot is another's.
async fn every_verb_finds_nothing(driver: &dyn Driver, key: &Key, of: &Snapshot) {
    let locked = given::open_locked(given::claim(), of.stamp.proofs.current);
    for req in [given::open(), locked] {
        expect::missing(driver.open(key, req).await);
    }
    for resend in [false, true] {
        let req = Save {
            resend,
            ..given::save(of, given::data())
        };
        expect::exactly(driver.save(key, req).await, &Written::Missing);
    }
    let req = Touch {
        epoch: of.stamp.epoch,
        ttl: 2 * TTL,
    };
    expect::exactly(driver.touch(key, req).await, &Touched::Missing);
    let deleted = driver.delete(key, given::log_out()).await;
    expect::exactly(deleted, &Deleted::Nothing);
    lock_verbs_find_nothing(driver, key, of, given::token(), Fence::new(1)).await;
}

/// Every verb of the lock, on a key without session.
async fn lock_verbs_find_nothing(
    driver: &dyn Driver,
    key: &Key,
    of: &Snapshot,
    token: LockToken,
    fence: Fence,
) {
    for mut wish in [given::attempt(of), given::wish(of)] {
        expect::exactly(driver.acquire(key, wish.clone()).await, &Acquired::Missing);
        wish.claim.token = token;
        expect::exactly(driver.acquire(key, wish).await, &Acquired::Missing);
    }
    let claim = Claim {
        token,
        ..given::claim()
    };
    let req: Open = given::open_locked(claim, of.stamp.proofs.current);
    expect::missing(driver.open(key, req).await);
    expect::exactly(driver.renew(key, &token, HOLD).await, &Renewed::Missing);
    driver.release(key, &token).await.expect("an answer");
    driver.abandon(key, &token);
    for fence in [None, Some(fence)] {
        let broken = driver.break_lock(key, fence).await;
        expect::exactly(broken, &asm_core::Broken::NotHeld);
    }
    expect::exactly(driver.inspect(key).await, &LockState::default());
}

/// Everything that a session can leave something behind by.
async fn run_a_life(driver: &dyn Driver, key: &Key, delete: bool) {
    let req = Create {
        lock: Some(given::claim()),
        ..given::create(given::data())
    };
    let token = req.lock.as_ref().expect("a claim").token;
    expect::created(driver.create(key, req).await);
    let first = given::read(driver, key).await;
    let req = given::save_and_release(token, &first, given::data());
    expect::written(driver.save(key, req).await);
    given::held(driver, key, &first).await;
    if delete {
        let deleted = driver.delete(key, given::log_out()).await;
        expect::exactly(deleted, &Deleted::Done);
    }
}
