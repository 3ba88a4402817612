//! What is logged and printed of sealed sessions.

use std::{
    fmt::{Debug, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use asm_core::ErrorKind;
use asm_crypt::{KeySource, Seal};
use asm_it::{Showing, key, ring};
use asm_session::{Rotation, SessionId, Sessions};
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use bytes::Bytes;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::{
    given::{built, issued, open, read, stored},
    places,
};

const CANARY: &str = "PayloadCanary 4111111111111111";

/// What is logged, at any level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn note(&self, text: &str) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.push_str(text);
        log.push('\n');
    }

    fn text(&self) -> String {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                let _ = write!(self.0, "{}={value:?} ", field.name());
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.note(&text.0);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

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
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let mut secrets = vec![CANARY.to_owned(), CANARY[..13].to_owned()];
    for number in [1, 2] {
        let text = key(number).expose_base64();
        secrets.extend(spellings(&Base64::decode_vec(&text).expect("base64")));
    }
    for place in places::all().await {
        for source in [KeySource::Server, KeySource::Split] {
            let shown = Showing::over(place.driver());
            let seal = Seal::xchacha(ring(1)).key_source(source);
            let builder = Sessions::builder(Arc::clone(&shown)).codec(seal.clone());
            log.note(&format!("{builder:?} {seal:?}"));
            let sessions = built(builder);
            log.note(&format!("{sessions:?}"));
            let first = stored(&sessions, CANARY).await;
            let mut session = open(&sessions, &first).await.expect("it");
            session.regenerate(Rotation::renew()).expect("a rotation");
            session.close().await.expect("a save");
            let second = issued(&session);
            let mut fields = session.fields().expect("fields");
            fields.set("note", CANARY).await.expect("a change");
            let field = fields.get("note").await.expect("an answer");
            log.note(&format!("{session:?} {field:?} {first:?} {second:#?}"));
            for id in [&first, &second] {
                secrets.extend(of_an_id(id));
            }
            let record = read(&place.driver(), &first.handle()).await;
            log.note(&format!("{record:?}"));
            let record = record.data.into_bytes();
            for at in 0..record.len() {
                let mut edited = record.to_vec();
                edited[at] ^= 0x41;
                for edited in [Bytes::from(edited), record.slice(..at)] {
                    shown.layer().show(Some(edited));
                    let error = open(&sessions, &second).await.expect_err("no session");
                    log.note(&chain(&error));
                }
            }
            shown.layer().show(None);
            let others = Sessions::builder(place.driver()).codec(Seal::xchacha(ring(2)));
            let error = open(&built(others), &second).await.expect_err("no session");
            assert!(matches!(&error, asm_session::SessionError::Store(error)
                    if error.kind() == ErrorKind::Unreadable));
            log.note(&chain(&error));
            drop(session);
            let mut session = open(&sessions, &second).await.expect("it");
            session
                .insert("text", "PayloadCanary, changed")
                .expect("a change");
            drop(session);
        }
    }
    let text = log.text();
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
    assert!(
        text.contains("a session was dropped"),
        "something is logged"
    );
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
