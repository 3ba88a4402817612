//! What is logged and printed of sealed sessions.

use std::{fmt::Write as _, sync::Arc};

use asm_core::ErrorKind;
use asm_crypt::{KeySource, Seal};
use asm_it::{key, read, ring};
use asm_session::{Rotation, SessionId, Sessions};
use asm_testkit::{Log, Showing};
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use bytes::Bytes;

use crate::{
    given::{built, issued, open, stored},
    places,
};

const CANARY: &str = "PayloadCanary 4111111111111111";

/// Every way in which these bytes, or a quarter of them, may be printed.
fn spellings(bytes: &[u8]) -> Vec<String> {
    let quarters = bytes.chunks_exact(bytes.len() / 4);
    let all = quarters.chain([bytes]).flat_map(|bytes| {
        let debug = format!("{bytes:?}");
        [
            bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            bytes.iter().map(|byte| format!("{byte:02X}")).collect(),
            debug.trim_matches(['[', ']']).to_owned(),
            Base64::encode_string(bytes)
                .trim_end_matches('=')
                .to_owned(),
            Base64UrlUnpadded::encode_string(bytes),
        ]
    });
    all.collect()
}

#[tokio::test]
async fn no_key_id_or_content_of_a_sealed_session_shows() {
    let log = Log::capture();
    let mut shown = Vec::new();
    let mut secrets = vec![CANARY.to_owned(), CANARY[..13].to_owned()];
    for number in [1, 2] {
        let text = key(number).expose_base64();
        secrets.extend(spellings(&Base64::decode_vec(&text).expect("base64")));
    }
    for place in places::all().await {
        for source in [KeySource::Server, KeySource::Split] {
            let store = Showing::over(place.driver());
            let seal = Seal::xchacha(ring(1)).key_source(source);
            let builder = Sessions::builder(Arc::clone(&store)).codec(seal.clone());
            shown.push(format!("{builder:?} {seal:?}"));
            let sessions = built(builder);
            shown.push(format!("{sessions:?}"));
            let first = stored(&sessions, CANARY).await;
            let mut session = open(&sessions, &first).await.expect("it");
            session.regenerate(Rotation::renew()).expect("a rotation");
            session.close().await.expect("a save");
            let second = issued(&session);
            let mut fields = session.fields().expect("fields");
            fields.set("note", CANARY).await.expect("a change");
            let field = fields.get("note").await.expect("an answer");
            shown.push(format!("{session:?} {field:?} {first:?} {second:#?}"));
            for id in [&first, &second] {
                secrets.extend(of_an_id(id));
            }
            let record = read(&place.driver(), &first.handle()).await;
            shown.push(format!("{record:?}"));
            let record = record.data.into_bytes();
            for at in 0..record.len() {
                let mut edited = record.to_vec();
                edited[at] ^= 0x41;
                for edited in [Bytes::from(edited), record.slice(..at)] {
                    store.layer().show(Some(edited));
                    let error = open(&sessions, &second).await.expect_err("no session");
                    shown.push(chain(&error));
                }
            }
            store.layer().show(None);
            let others = Sessions::builder(place.driver()).codec(Seal::xchacha(ring(2)));
            let error = open(&built(others), &second).await.expect_err("no session");
            assert!(matches!(&error, asm_session::SessionError::Store(error)
                    if error.kind() == ErrorKind::Unreadable));
            shown.push(chain(&error));
            drop(session);
            let mut session = open(&sessions, &second).await.expect("it");
            session
                .insert("text", "PayloadCanary, changed")
                .expect("a change");
            drop(session);
        }
    }
    let logged: String = log.take().into_iter().map(|line| line.text).collect();
    assert!(
        logged.contains("a session was dropped"),
        "something is logged"
    );
    let text = shown.concat() + &logged;
    let found: Vec<&String> = secrets
        .iter()
        .filter(|secret| text.contains(secret.as_str()))
        .collect();
    println!(
        "{} of {} spellings of secrets in {} bytes of logs, errors and Debug",
        found.len(),
        secrets.len(),
        text.len()
    );
    assert!(found.is_empty(), "{found:?}");
}

/// The secret of an id, and its half, if it has one. The handle may show.
fn of_an_id(id: &SessionId) -> Vec<String> {
    let bytes = Base64UrlUnpadded::decode_vec(&id.expose()).expect("base64");
    let mut all = vec![id.expose().to_string()];
    all.extend(spellings(&bytes[16..40]));
    if bytes.len() > 40 {
        all.extend(spellings(&bytes[40..]));
    }
    all
}

/// An error with all its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, " {error} {error:?}");
        source = error.source();
    }
    text
}
