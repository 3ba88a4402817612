//! What a session is in the store, and what of that is believed.

mod codecs;
mod split;

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use asm_core::{
    CodecRole, Driver, ErrorKind, FieldChange, FieldFound, FieldName, FieldRead, FieldValue,
    FieldWrite, Key, Redacted,
};
use asm_session::{
    InvalidReason, LockMode, Rotation, Session, SessionError, SessionId, Sessions, SessionsBuilder,
};
use base64ct::{Base64UrlUnpadded, Encoding};
use bytes::Bytes;
use serde::Deserialize;

use self::codecs::{Declining, Failing, Runs, Sealing, Stopped};
pub use self::split::*;
use crate::{
    Harness, Layered, Log, Showing, expect, given,
    sessions::{builder, built, client, is_free, issued, open, over, plain, saved, stored, value},
};

/// In no mode, with a lock or without one.
pub async fn decodes_no_body_for_a_forged_secret(h: &dyn Harness) {
    let runs = Runs::new("runs");
    let sessions = built(builder(h).await.codec(runs.clone()));
    let id = stored(&sessions, filled).await;
    for mode in [LockMode::ReadOnly, LockMode::Optimistic, LockMode::OnOpen] {
        for _ in 0..100 {
            let mut forged = [0; 40];
            fastrand::fill(&mut forged);
            forged[..16].copy_from_slice(id.handle().as_bytes());
            let forged = Base64UrlUnpadded::encode_string(&forged);
            match sessions.with_mode(mode).open(&forged, &client()).await {
                Err(SessionError::Invalid(InvalidReason::Unknown)) => {}
                other => panic!("it should be unknown, and the answer was {other:?}"),
            }
        }
        assert!(is_free(&sessions, id.handle()).await, "{mode:?}");
    }
    assert_eq!(runs.most_asked_for(), 0, "a body was decoded");
    check(&open(&sessions, &id).await);
    assert!(runs.most_asked_for() > 0);
}

/// Each chain writes, each other one reads it, changes something else, and is read.
pub async fn reads_what_any_chain_wrote(h: &dyn Harness) {
    for writer in 0..CHAINS {
        for reader in 0..CHAINS {
            let (writes, reads) = (chain(h, writer).await, chain(h, reader).await);
            if seals(reader) && !seals(writer) {
                continue;
            }
            let id = stored(&writes, filled).await;
            let mut session = open(&reads, &id).await;
            check(&session);
            session.insert("more", &1).expect("a change");
            saved(&mut session).await;
            if seals(reader) || !seals(writer) {
                check(&open(&writes, &id).await);
            }
            check(&open(&reads, &id).await);
        }
    }
}

/// One that another format wrote stays as it is until it is changed, through every chain.
pub async fn reads_values_of_every_format(h: &dyn Harness) {
    let runs = Runs::new("runs");
    for chain in 0..CHAINS {
        let chained = async || through(builder(h).await, chain, &runs);
        let json = built(chained().await.reads_format(Stopped));
        let stopped = built(chained().await.format(Stopped));
        for (writes, reads) in [(&json, &stopped), (&stopped, &json)] {
            let id = stored(writes, filled).await;
            let mut session = open(reads, &id).await;
            check(&session);
            session.insert("more", &1).expect("a change");
            saved(&mut session).await;
            check(&open(writes, &id).await);
            assert_eq!(value(writes, &id, "more").await, Some(1));
        }
    }
}

/// A value, and a key, that look like the stored form of something.
pub async fn reads_back_what_begins_like_an_envelope(h: &dyn Harness) {
    for chain in all_chains(h).await {
        let id = stored(&chain, filled).await;
        let record = given::read(chain.driver(), &id.handle()).await;
        let bytes: Vec<u8> = record.data.to_vec();
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let id = stored(&chain, |session| {
            session.insert("bytes", &bytes)?;
            session.insert("text", &text)?;
            session.insert(&text[..8], &text)
        })
        .await;
        let session = open(&chain, &id).await;
        assert!(session.get("bytes").expect("bytes") == Some(bytes));
        for key in ["text", &text[..8]] {
            assert!(session.get::<String>(key).expect("a text").as_ref() == Some(&text));
        }
    }
}

/// Nothing repeats itself in it.
pub async fn stores_as_it_is_what_would_grow(h: &dyn Harness) {
    let sessions = built(builder(h).await.codec(Runs::new("runs")));
    let id = stored(&sessions, |session| session.insert("text", MARK)).await;
    assert!(shows(&sessions, &id, MARK).await);
    assert_eq!(
        value::<String>(&sessions, &id, "text").await.as_deref(),
        Some(MARK)
    );
}

/// And compresses what is worth it.
pub async fn stores_as_it_is_what_a_compressor_declines(h: &dyn Harness) {
    let runs = "x".repeat(500);
    let declining = built(builder(h).await.codec(Declining));
    let compressing = built(builder(h).await.codec(Declining).codec(Runs::new("runs")));
    for (sessions, shown) in [(declining, true), (compressing, false)] {
        let id = stored(&sessions, |session| session.insert("text", &runs)).await;
        assert_eq!(shows(&sessions, &id, &runs).await, shown);
        assert!(value::<String>(&sessions, &id, "text").await.as_ref() == Some(&runs));
        assert_eq!(sessions.counters().failed_compressions, 0);
    }
}

/// It is counted and logged, and nothing is lost.
pub async fn stores_uncompressed_when_a_compressor_fails(h: &dyn Harness) {
    let failing = Failing(CodecRole::Compress);
    let sessions = built(builder(h).await.codec(failing));
    let log = Log::capture();
    let id = stored(&sessions, |session| session.insert("text", MARK)).await;
    let warnings = log.take_warnings();
    let told = warnings.iter().filter(|line| line.text.contains("failing"));
    assert_eq!(told.count(), 1, "{warnings:?}");
    drop(log);
    assert!(shows(&sessions, &id, MARK).await);
    assert_eq!(sessions.counters().failed_compressions, 1);
    // Whoever never heard of that compressor reads it.
    let others = built(builder(h).await);
    assert_eq!(
        value::<String>(&others, &id, "text").await.as_deref(),
        Some(MARK)
    );
}

/// Neither a new session nor a change of an old one; the changes are still there.
pub async fn writes_nothing_when_a_seal_fails(h: &dyn Harness) {
    let sealing = built(builder(h).await.codec(Sealing::new(&[1])));
    let failing = built(over_seals(builder(h).await));
    let mut new = failing.create(&client()).expect("a new session");
    new.insert("text", MARK).expect("a change");
    for _ in 0..2 {
        let error = new.close().await.expect_err("no save");
        assert!(matches!(error, SessionError::Store(_)), "{error:?}");
        assert!(new.is_modified() && new.is_new());
    }
    new.discard();
    assert_eq!(h.holdings().await, 0);

    let id = plain(&sealing).await;
    let before = given::read(sealing.driver(), &id.handle()).await;
    let mut session = open(
        &built(over_seals(builder(h).await).reads(Sealing::new(&[1]))),
        &id,
    )
    .await;
    session.insert("text", MARK).expect("a change");
    session.close().await.expect_err("no save");
    session.discard();
    let after = given::read(sealing.driver(), &id.handle()).await;
    assert!((after.version, after.data) == (before.version, before.data));
}

/// At every byte.
pub async fn refuses_a_record_that_was_cut(h: &dyn Harness) {
    for chain in all_chains_edited(h).await {
        let (id, record) = chain.filled().await;
        for length in 0..record.len() {
            let opened = chain.opened(&id, record.slice(..length)).await;
            typed(&opened.expect_err("half a session"));
        }
        let longer = [&record, &b"\0"[..]].concat();
        let opened = chain.opened(&id, longer.into()).await;
        typed(&opened.expect_err("a session with a rest"));
    }
}

/// Every one of them. Where nothing is sealed it may be read as something else.
pub async fn survives_flipped_bits(h: &dyn Harness) {
    for chain in all_chains_edited(h).await {
        let (id, record) = chain.filled().await;
        for bit in 0..8 * record.len() {
            let mut flipped = record.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match chain.opened(&id, flipped.into()).await {
                Ok(session) => {
                    assert!(!chain.seals, "a flipped bit was believed: {bit}");
                    let _ = session.get::<String>("text");
                    let _ = session.get::<Vec<u32>>("list");
                }
                Err(error) => typed(&error),
            }
        }
    }
}

/// Every four bytes claim to be a length in turn.
pub async fn survives_lying_lengths(h: &dyn Harness) {
    for chain in all_chains_edited(h).await {
        let (id, record) = chain.filled().await;
        for at in 0..record.len() - 4 {
            for lie in [u32::MAX, i32::MAX as u32, 1 << 30, PLAIN as u32 + 1] {
                let mut lying = record.to_vec();
                lying[at..at + 4].copy_from_slice(&lie.to_be_bytes());
                if lying == record {
                    continue;
                }
                match chain.opened(&id, lying.into()).await {
                    Ok(_) => assert!(!chain.seals, "a lie was believed at {at}"),
                    Err(error) => typed(&error),
                }
            }
        }
        let asked = chain.runs.most_asked_for();
        assert!(asked <= PLAIN, "a codec was asked for {asked} bytes");
    }
}

/// Some of the many that [`hostile_records`] can make.
pub async fn survives_hostile_records(h: &dyn Harness) {
    hostile_records(h, 2_000, |run| {
        run();
        0
    })
    .await;
}

/// Opens that many records that were edited at random, and reads what is in them: cut, flipped,
/// spliced with another one, with lying lengths, deep nesting, and rubbish. Each is a session or a
/// typed error; no seal is outwitted; and nothing allocates more than the limit and 64 KiB, as far as
/// `peak` tells, which runs something and answers the most bytes that it had at once.
pub async fn hostile_records(h: &dyn Harness, records: usize, peak: fn(&mut dyn FnMut()) -> u64) {
    const SPARE: u64 = 64 * 1024;
    let seed = fastrand::u64(..);
    println!("{records} hostile records, seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let chains = all_chains_edited(h).await;
    for chain in &chains {
        let (id, record) = chain.filled().await;
        let (_, other) = chain.filled().await;
        for _ in 0..records.div_ceil(chains.len()) {
            let hostile = edited(&mut rng, &record, &other);
            let is_edited = hostile != record;
            let (opened, most) = measured(peak, chain.opened(&id, hostile.into())).await;
            assert!(most <= PLAIN as u64 + SPARE, "{most} bytes, seed {seed}");
            match opened {
                Ok(session) => {
                    assert!(!chain.seals || !is_edited, "it was believed, seed {seed}");
                    for key in session.keys() {
                        let _ = session.get::<String>(key);
                        let _ = session.get::<Nest>(key);
                    }
                }
                Err(error) => typed(&error),
            }
        }
        let asked = chain.runs.most_asked_for();
        assert!(
            asked <= PLAIN,
            "a codec was asked for {asked} bytes, seed {seed}"
        );
    }
}

/// One to three edits of a record.
fn edited(rng: &mut fastrand::Rng, record: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = record.to_vec();
    for _ in 0..rng.usize(1..=3) {
        let at = rng.usize(..=bytes.len());
        let end = rng.usize(at..=bytes.len());
        match rng.u8(..8) {
            0 => bytes.truncate(at),
            1 => bytes[at..end]
                .iter_mut()
                .for_each(|byte| *byte ^= 1 << rng.u8(..8)),
            2 => {
                let lie = [u32::MAX, i32::MAX as u32, 1 << 30, PLAIN as u32 + 1][rng.usize(..4)];
                let end = bytes.len().min(at + 4);
                bytes[at..end].copy_from_slice(&lie.to_be_bytes()[..end - at]);
            }
            // A number of any length, as large as it can be.
            3 => bytes[at..end.min(at + 10)].fill(u8::MAX),
            4 => {
                bytes.truncate(at);
                bytes.extend_from_slice(&other[at.min(other.len())..]);
            }
            5 => drop(bytes.drain(at..end)),
            6 => {
                let nest = ["[", "{\"a\":", "\u{91}", "\u{81}"][rng.usize(..4)];
                let deep = nest.repeat(rng.usize(..4_000)).into_bytes();
                drop(bytes.splice(at..end, deep));
            }
            _ => {
                let rubbish = std::iter::repeat_with(|| rng.u8(..)).take(end - at);
                drop(bytes.splice(at..end, rubbish.collect::<Vec<_>>()));
            }
        }
    }
    bytes
}

/// What comes of this, and the most bytes that a step of it had at once.
async fn measured<T>(
    peak: fn(&mut dyn FnMut()) -> u64,
    future: impl Future<Output = T>,
) -> (T, u64) {
    let (mut future, mut most) = (pin!(future), 0);
    let output = poll_fn(|context| {
        let mut polled = Poll::Pending;
        most = most.max(peak(&mut || polled = future.as_mut().poll(context)));
        polled
    })
    .await;
    (output, most)
}

/// It is a value that cannot be read, and the rest of the session can.
pub async fn survives_a_value_that_nests_deeply(h: &dyn Harness) {
    const DEPTH: usize = 5_000;
    let chain = Edited::new(h, 0).await;
    let text = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    let id = stored(&chain.sessions, |session| {
        session.insert("deep", &text)?;
        session.insert("text", MARK)
    })
    .await;
    let record = given::read(chain.sessions.driver(), &id.handle()).await;
    let mut bytes = record.data.to_vec();
    for quote in ["\"[", "]\""] {
        let at = place_of(&bytes, quote);
        let spaced = quote.replace('"', " ");
        bytes[at..at + 2].copy_from_slice(spaced.as_bytes());
    }
    let session = chain.opened(&id, bytes.into()).await.expect("a session");
    let deep = session.get::<Nest>("deep");
    assert!(
        matches!(deep, Err(SessionError::Value { .. })),
        "{:?}",
        deep.map(drop)
    );
    assert_eq!(
        session.get::<String>("text").expect("a text").as_deref(),
        Some(MARK)
    );
}

/// Its bytes under the other's handle.
pub async fn refuses_a_record_of_another_session(h: &dyn Harness) {
    let sessions = built(builder(h).await.codec(Sealing::new(&[1])));
    let (one, other) = (plain(&sessions).await, plain(&sessions).await);
    let theirs = given::read(sessions.driver(), &other.handle()).await;
    replace(&sessions, &one, theirs.data.to_vec()).await;
    tampered(&sessions, &one).await;
}

/// One byte of it, wherever.
pub async fn refuses_a_record_that_was_edited(h: &dyn Harness) {
    let sessions = built(builder(h).await.codec(Sealing::new(&[1])));
    let id = plain(&sessions).await;
    let record = given::read(sessions.driver(), &id.handle()).await;
    let last = record.data.len() - 1;
    for at in [last - 20, last] {
        let mut edited = record.data.to_vec();
        edited[at] ^= 1;
        replace(&sessions, &id, edited).await;
        tampered(&sessions, &id).await;
    }
    replace(&sessions, &id, record.data.to_vec()).await;
    open(&sessions, &id).await;
}

/// Where sealing is required, only a migration with an end reads it, and counts it.
pub async fn refuses_a_record_that_is_not_sealed(h: &dyn Harness) {
    let unsealed = built(builder(h).await);
    let id = stored(&unsealed, |session| session.insert("n", &1)).await;
    let sealing = built(builder(h).await.codec(Sealing::new(&[1])));
    tampered(&sealing, &id).await;

    let until = h.clock().now() + given::TTL;
    let settings = builder(h).await.codec(Sealing::new(&[1]));
    let migrating = built(settings.unsealed_until(until));
    assert_eq!(value(&migrating, &id, "n").await, Some(1));
    // The head and the body.
    assert_eq!(migrating.counters().unsealed_reads, 2);
    let other = stored(&unsealed, |session| session.set_lifetime(10 * given::TTL)).await;
    h.advance(given::TTL).await;
    tampered(&migrating, &other).await;
}

/// The next save is sealed with the new one.
pub async fn reads_with_an_old_key_and_writes_with_the_new(h: &dyn Harness) {
    let old = built(builder(h).await.codec(Sealing::new(&[1])));
    let both = built(builder(h).await.codec(Sealing::new(&[2, 1])));
    let new = built(builder(h).await.codec(Sealing::new(&[2])));
    let id = plain(&old).await;
    unreadable(&new, &id).await;
    let mut session = open(&both, &id).await;
    session.insert("n", &1).expect("a change");
    saved(&mut session).await;
    assert_eq!(value(&new, &id, "n").await, Some(1));
    unreadable(&old, &id).await;
}

/// Of those that are read: none any more once it was saved.
pub async fn counts_the_records_of_an_old_key(h: &dyn Harness) {
    let old = built(builder(h).await.codec(Sealing::new(&[1])));
    let both = built(builder(h).await.codec(Sealing::new(&[2, 1])));
    let (first, second) = (plain(&old).await, plain(&old).await);
    let count = || both.counters().outdated_seals;
    assert_eq!(count(), 0);
    let mut session = open(&both, &first).await;
    assert_eq!(count(), 1);
    drop(open(&both, &second).await);
    assert_eq!(count(), 2);
    session.insert("n", &1).expect("a change");
    saved(&mut session).await;
    drop(open(&both, &first).await);
    assert_eq!(count(), 2, "one that was saved is not an old one");
    drop(open(&both, &second).await);
    assert_eq!(count(), 3, "one that was only read is still an old one");
    assert_eq!(old.counters().outdated_seals, 0);
}

/// As a deploy that is rolled out finds it.
pub async fn leaves_a_record_of_an_unknown_codec(h: &dyn Harness) {
    let stranger = built(builder(h).await);
    for number in [1, 3] {
        let writer = chain(h, number).await;
        left_alone(&writer, &stranger).await;
    }
}

/// Until it is told the key.
pub async fn leaves_a_record_of_an_unknown_key(h: &dyn Harness) {
    let writer = built(builder(h).await.codec(Sealing::new(&[1])));
    let stranger = built(builder(h).await.codec(Sealing::new(&[2])));
    left_alone(&writer, &stranger).await;
}

/// What comes after the ones that there are.
pub async fn leaves_a_record_of_an_unknown_version(h: &dyn Harness) {
    for writer in all_chains(h).await {
        let id = stored(&writer, filled).await;
        let record = given::read(writer.driver(), &id.handle()).await;
        let mut newer = record.data.to_vec();
        newer[3] += 1;
        replace(&writer, &id, newer).await;
        unreadable(&writer, &id).await;
        replace(&writer, &id, record.data.to_vec()).await;
        check(&open(&writer, &id).await);
    }
}

/// It was opened before, and was written by a newer process then, or through an unknown codec:
/// whatever this one does fails, and overwrites nothing. What it wants to save is not lost.
pub async fn leaves_a_record_that_turned_unreadable(h: &dyn Harness) {
    for mode in [
        LockMode::Optimistic,
        LockMode::OnWrite,
        LockMode::Manual,
        LockMode::Off,
    ] {
        for is_newer in [true, false] {
            for what in ["save", "write", "take", "refresh", "follow"] {
                let sessions = built(builder(h).await.lock_mode(mode));
                let knows_more = chain(h, 1).await;
                let id = stored(&sessions, filled).await;
                let mut session = open(&sessions, &id).await;
                let before = given::read(sessions.driver(), &id.handle()).await;
                if is_newer {
                    let mut newer = before.data.to_vec();
                    newer[3] += 1;
                    replace(&knows_more, &id, newer).await;
                } else {
                    let mut other = open(&knows_more, &id).await;
                    other.insert("more", &1).expect("a change");
                    saved(&mut other).await;
                }
                let there = given::read(sessions.driver(), &id.handle()).await;

                let needs_lock = matches!(mode, LockMode::OnWrite | LockMode::Manual);
                let saves = what == "save" && !needs_lock;
                let answer = match what {
                    "save" if saves => {
                        session.insert("mine", &1).expect("a change");
                        session.save().await.map(drop)
                    }
                    "save" | "write" => session.lock().await,
                    "take" => session.take::<String>("text").await.map(drop),
                    "refresh" => session.refresh().await,
                    _ => session.follow().await,
                };
                match answer {
                    Err(SessionError::Store(error)) if error.kind() == ErrorKind::Unreadable => {}
                    other => panic!("{mode:?} {what}: expected Unreadable, got {other:?}"),
                }
                assert!(is_free(&sessions, id.handle()).await, "{mode:?} {what}");
                let after = given::read(sessions.driver(), &id.handle()).await;
                assert!(
                    (after.version, &after.data) == (there.version, &there.data),
                    "{mode:?} {what}"
                );
                if saves {
                    replace(&knows_more, &id, before.data.to_vec()).await;
                    saved(&mut session).await;
                    assert_eq!(value(&sessions, &id, "mine").await, Some(1));
                }
            }
        }
    }
}

/// Of what is set, appended and pushed; all of it reads back, also after a rotation.
pub async fn stores_no_item_in_clear_with_sealing_on(h: &dyn Harness) {
    let sessions = built(builder(h).await.codec(Sealing::new(&[1])));
    let driver = sessions.driver();
    if driver.fields().is_none() {
        let id = plain(&sessions).await;
        let refused = open(&sessions, &id).await.fields().map(drop);
        assert!(matches!(refused, Err(SessionError::Unsupported(_))));
        return;
    }
    let id = plain(&sessions).await;
    let mut session = open(&sessions, &id).await;
    let mut fields = session.fields().expect("fields");
    fields.set("set", MARK).await.expect("a change");
    for _ in 0..2 {
        fields
            .append("log", MARK.as_bytes())
            .await
            .expect("a change");
        fields.push("list", MARK).await.expect("a change");
    }
    for name in ["set", "log", "list"] {
        for item in stored_items(driver, &id.handle(), name).await {
            assert!(!contains(&item, MARK.as_bytes()), "{name} is in clear");
        }
    }
    session.regenerate(Rotation::renew()).expect("a change");
    saved(&mut session).await;
    let mut session = open(&sessions, &issued(&session)).await;
    let mut fields = session.fields().expect("fields");
    let mut get = async |name| fields.get(name).await.expect("an answer").expect("a field");
    assert_eq!(get("set").await.value::<String>().expect("a text"), MARK);
    let log = get("log").await.bytes().expect("bytes");
    assert!(log == MARK.repeat(2));
    assert_eq!(
        get("list").await.list::<String>().expect("texts"),
        [MARK, MARK]
    );
}

/// A sum cannot be sealed.
pub async fn counts_in_clear_only_when_it_is_allowed_to(h: &dyn Harness) {
    let sealing = || async { builder(h).await.codec(Sealing::new(&[1])) };
    let (strict, lax) = (
        built(sealing().await),
        built(sealing().await.plain_counters(true)),
    );
    if strict.driver().fields().is_none() {
        let id = plain(&strict).await;
        let refused = open(&lax, &id).await.fields().map(drop);
        assert!(matches!(refused, Err(SessionError::Unsupported(_))));
        return;
    }
    let id = plain(&strict).await;
    let mut session = open(&strict, &id).await;
    let refused = session.fields().expect("fields").incr("n", 1).await;
    assert!(
        matches!(refused, Err(SessionError::Usage(_))),
        "{refused:?}"
    );
    let mut session = open(&lax, &id).await;
    let sum = session.fields().expect("fields").incr("n", 1).await;
    assert_eq!(sum.expect("a sum"), 1);
}

/// An item of another session, or of another field.
pub async fn believes_no_item_that_was_moved(h: &dyn Harness) {
    let sessions = built(builder(h).await.codec(Sealing::new(&[1])));
    let driver = sessions.driver();
    let Some(fields) = driver.fields() else {
        let id = plain(&sessions).await;
        let refused = open(&sessions, &id).await.fields().map(drop);
        assert!(matches!(refused, Err(SessionError::Unsupported(_))));
        return;
    };
    let (one, other) = (plain(&sessions).await, plain(&sessions).await);
    let mut session = open(&sessions, &one).await;
    let set = session.fields().expect("fields").set("a", MARK).await;
    set.expect("a change");
    let [item] =
        <[Bytes; 1]>::try_from(stored_items(driver, &one.handle(), "a").await).expect("one item");
    for (id, name) in [(&one, "b"), (&other, "a")] {
        let record = given::read(driver, &id.handle()).await;
        let moved = FieldWrite {
            name: FieldName::new(name).expect("a name"),
            epoch: record.stamp.epoch,
            op: given::op(),
            resend: None,
            change: FieldChange::Set(item.clone().into()),
        };
        fields
            .write_field(&id.handle(), moved)
            .await
            .expect("a change");
        let mut session = open(&sessions, id).await;
        let field = session.fields().expect("fields").get(name).await;
        match field
            .expect("an answer")
            .expect("a field")
            .value::<String>()
        {
            Err(SessionError::Store(error)) if error.kind() == ErrorKind::Tampered => {}
            other => panic!(
                "it should be tampered with, and the answer was {:?}",
                other.map(drop)
            ),
        }
    }
}

/// What is set, appended or pushed in clear, into a session that is sealed.
pub async fn believes_no_item_that_is_not_sealed(h: &dyn Harness) {
    let (sealing, unsealed) = (
        built(builder(h).await.codec(Sealing::new(&[1]))),
        built(builder(h).await),
    );
    let driver = sealing.driver();
    let Some(fields) = driver.fields() else {
        let id = plain(&sealing).await;
        let refused = open(&sealing, &id).await.fields().map(drop);
        assert!(matches!(refused, Err(SessionError::Unsupported(_))));
        return;
    };
    let clear = plain(&unsealed).await;
    let mut session = open(&unsealed, &clear).await;
    let set = session.fields().expect("fields").set("a", MARK).await;
    set.expect("a change");
    let [item] =
        <[Bytes; 1]>::try_from(stored_items(driver, &clear.handle(), "a").await).expect("one item");
    let id = plain(&sealing).await;
    let record = given::read(driver, &id.handle()).await;
    let item = || Redacted::from(item.clone());
    for (name, change) in [
        ("set", FieldChange::Set(item())),
        ("log", FieldChange::Append(item())),
        ("list", FieldChange::Push(item())),
    ] {
        let write = FieldWrite {
            name: FieldName::new(name).expect("a name"),
            epoch: record.stamp.epoch,
            op: given::op(),
            resend: None,
            change,
        };
        let written = fields.write_field(&id.handle(), write).await;
        written.expect("a change");
        let mut session = open(&sealing, &id).await;
        let field = session.fields().expect("fields").get(name).await;
        let field = field.expect("an answer").expect("a field");
        let shown = match name {
            "set" => field.value::<String>().map(drop),
            "log" => field.bytes().map(drop),
            _ => field.list::<String>().map(drop),
        };
        match shown {
            Err(SessionError::Store(error)) if error.kind() == ErrorKind::Tampered => {}
            other => panic!("{name}: expected Tampered, and the answer was {other:?}"),
        }
    }
}

/// A text that nothing else contains, and that no run is in.
const MARK: &str = "a remarkable sentence";

/// The most bytes of entries here.
const PLAIN: usize = 64 * 1024;

/// How many chains of codecs there are.
const CHAINS: usize = 5;

fn seals(chain: usize) -> bool {
    chain >= 3
}

/// Writes through one chain of codecs, and reads those of all.
fn through(builder: SessionsBuilder, chain: usize, runs: &Runs) -> SessionsBuilder {
    let (others, seal) = (Runs::new("others"), Sealing::new(&[1]));
    let builder = builder.plain_limit(PLAIN);
    match chain {
        0 => builder.reads(runs.clone()).reads(others).reads(seal),
        1 => builder.codec(runs.clone()).reads(others).reads(seal),
        2 => builder.codec(others).codec(runs.clone()).reads(seal),
        3 => builder.codec(seal).reads(runs.clone()).reads(others),
        _ => builder.codec(runs.clone()).codec(seal).reads(others),
    }
}

async fn chain(h: &dyn Harness, chain: usize) -> Sessions {
    built(through(builder(h).await, chain, &Runs::new("runs")))
}

async fn all_chains(h: &dyn Harness) -> Vec<Sessions> {
    let mut all = Vec::new();
    for number in 0..CHAINS {
        all.push(chain(h, number).await);
    }
    all
}

fn over_seals(builder: SessionsBuilder) -> SessionsBuilder {
    builder.codec(Failing(CodecRole::Seal))
}

fn filled(session: &mut Session) -> asm_session::Result<()> {
    session.insert("text", MARK)?;
    session.insert("runs", &"x".repeat(200))?;
    session.insert("list", &[1, 2, 3])
}

#[track_caller]
fn check(session: &Session) {
    assert_eq!(
        session.get::<String>("text").expect("a text").as_deref(),
        Some(MARK)
    );
    assert_eq!(session.get("runs").expect("a text"), Some("x".repeat(200)));
    assert_eq!(session.get("list").expect("a list"), Some(vec![1, 2, 3]));
}

/// Sessions of one chain, over a store that shows what it is told to instead of a record.
struct Edited {
    sessions: Sessions,
    shown: Arc<Layered<Showing>>,
    runs: Runs,
    seals: bool,
}

async fn all_chains_edited(h: &dyn Harness) -> Vec<Edited> {
    let mut all = Vec::new();
    for number in 0..CHAINS {
        all.push(Edited::new(h, number).await);
    }
    all
}

impl Edited {
    async fn new(h: &dyn Harness, chain: usize) -> Self {
        let shown = Showing::over(h.connect().await);
        let runs = Runs::new("runs");
        let settings = through(over(h, Arc::clone(&shown)), chain, &runs);
        Self {
            sessions: built(settings),
            shown,
            runs,
            seals: seals(chain),
        }
    }

    /// A stored session, and its record.
    async fn filled(&self) -> (SessionId, Bytes) {
        let id = stored(&self.sessions, filled).await;
        let record = given::read(self.sessions.driver(), &id.handle()).await;
        (id, record.data.into_bytes())
    }

    /// What comes of an open that finds this.
    async fn opened(&self, id: &SessionId, instead: Bytes) -> asm_session::Result<Session> {
        self.shown.layer().show(Some(instead));
        let opened = self.sessions.open(&id.expose(), &client()).await;
        self.shown.layer().show(None);
        opened
    }
}

/// What an edited record may be answered with: a head that was edited may say anything of its ids.
#[track_caller]
fn typed(error: &SessionError) {
    use ErrorKind::{Corrupt, TooLarge, Unreadable};
    match error {
        SessionError::Invalid(InvalidReason::Malformed | InvalidReason::Refused) => {}
        SessionError::Invalid(_) => return,
        SessionError::Store(store) => {
            if matches!(store.kind(), Corrupt | TooLarge | Unreadable) {
                return;
            }
        }
        _ => {}
    }
    panic!("an edited record was answered with {error:?}");
}

/// Puts these bytes in the place of a record.
async fn replace(sessions: &Sessions, id: &SessionId, bytes: Vec<u8>) {
    assert!(is_free(sessions, id.handle()).await);
    let record = given::read(sessions.driver(), &id.handle()).await;
    let save = given::save(&record, bytes);
    expect::written(sessions.driver().save(&id.handle(), save).await);
}

/// That nobody gets this session, an empty one included.
async fn tampered(sessions: &Sessions, id: &SessionId) {
    match sessions.open(&id.expose(), &client()).await {
        Err(SessionError::Invalid(InvalidReason::Tampered)) => {}
        other => panic!("it should be tampered with, and the answer was {other:?}"),
    }
}

/// What the one stores, the other leaves as it is, and it is good for the one after that.
async fn left_alone(writer: &Sessions, stranger: &Sessions) {
    let id = stored(writer, filled).await;
    let before = given::read(writer.driver(), &id.handle()).await;
    unreadable(stranger, &id).await;
    let after = given::read(writer.driver(), &id.handle()).await;
    assert!((after.version, after.data) == (before.version, before.data));
    check(&open(writer, &id).await);
}

/// That it is an error, also for those who would begin a new one.
async fn unreadable(sessions: &Sessions, id: &SessionId) {
    let sessions = sessions.with_mode(LockMode::OnOpen);
    let opened = sessions.open(&id.expose(), &client()).await;
    assert!(is_free(&sessions, id.handle()).await);
    let created = sessions.open_or_create(Some(&id.expose()), &client()).await;
    assert!(is_free(&sessions, id.handle()).await);
    for answer in [opened, created] {
        match answer {
            Err(SessionError::Store(error)) if error.kind() == ErrorKind::Unreadable => {}
            other => panic!("it should be unreadable, and the answer was {other:?}"),
        }
    }
}

/// Whether this text is in the stored record.
async fn shows(sessions: &Sessions, id: &SessionId, text: &str) -> bool {
    let record = given::read(sessions.driver(), &id.handle()).await;
    contains(&record.data, text.as_bytes())
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[track_caller]
fn place_of(bytes: &[u8], text: &str) -> usize {
    let mut windows = bytes.windows(text.len());
    windows
        .position(|window| window == text.as_bytes())
        .expect("the text is there")
}

/// What a driver holds of a field.
async fn stored_items(driver: &dyn Driver, key: &Key, name: &str) -> Vec<Bytes> {
    let record = given::read(driver, key).await;
    let read = FieldRead {
        name: FieldName::new(name).expect("a name"),
        epoch: record.stamp.epoch,
        items: None,
    };
    let fields = driver.fields().expect("fields");
    match fields.read_field(key, read).await.expect("an answer") {
        FieldFound::Value(FieldValue::Bytes(bytes)) => vec![bytes.into_bytes()],
        FieldFound::Value(FieldValue::List(items)) => {
            items.into_iter().map(Redacted::into_bytes).collect()
        }
        other => panic!("a field was expected, and the answer was {other:?}"),
    }
}

/// Lists in lists.
#[derive(Deserialize)]
struct Nest(#[allow(dead_code, reason = "only read")] Vec<Self>);
