//! Ids, records, seals, cookies, keys.

use std::{
    str,
    sync::{Arc, OnceLock},
};

use asm_core::{Codec, CodecContext, Encoded, ErrorKind, Key, Part};
use asm_crypt::{CookieError, CookieSeal, KeyId, KeyRing, KeySource, Padding, Seal, SecretKey};
use asm_memory::MemoryDriver;
use asm_session::{Client, IdUpdate, InvalidReason, Session, SessionError, SessionId, Sessions};
use bytes::Bytes;
use futures_util::FutureExt;

use super::Target;
use crate::{Chain, all_chains, key, read, replace, ring};

macro_rules! target {
    ($name:literal, $feed:ident, $seeds:ident, $limit:expr) => {
        Target {
            name: $name,
            feed: $feed,
            seeds: $seeds,
            limit: |_| $limit,
        }
    };
}

pub(super) const TARGETS: &[Target] = &[
    target!("id", id, id_seeds, 0),
    target!("envelope", envelope, envelope_seeds, PLAIN),
    target!("head", head, head_seeds, PLAIN),
    target!("seal", seal, seal_seeds, 0),
    target!("cookie", cookie, cookie_seeds, 0),
    target!("keys", keys, key_seeds, 0),
];

/// What the readers may decode of one record.
const PLAIN: usize = 4 << 20;

/// The text of an id: only the very text of one is read.
///
/// # Panics
/// When another one is.
fn id(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    match SessionId::parse(text) {
        Ok(id) => assert!(*id.expose() == *text, "an id has two spellings"),
        Err(reason) => assert_eq!(reason, InvalidReason::Malformed),
    }
}

fn id_seeds() -> Vec<Vec<u8>> {
    let of = |bytes: usize| vec![b'A'; bytes];
    vec![of(SessionId::LEN), of(SessionId::LEN_SPLIT)]
}

/// A whole record, as the reader finds it in the store that the first byte names.
///
/// # Panics
/// When a forged one is believed where records are sealed, or is answered with something else than a
/// session or a typed error.
fn envelope(data: &[u8]) {
    let Some((which, record)) = data.split_first() else {
        return;
    };
    let reader = &readers()[usize::from(*which) % readers().len()];
    match reader.open(Bytes::copy_from_slice(record)) {
        Ok(session) => {
            let known = reader.records.iter().any(|own| own == record);
            assert!(known || !reader.seals, "a forged record was believed");
            let _ = session.get::<String>("text");
            let _ = session.keys().count();
        }
        Err(error) => assert_typed(&error),
    }
}

/// Each record before each reader.
fn envelope_seeds() -> Vec<Vec<u8>> {
    let records = || readers().iter().flat_map(|reader| &reader.records);
    let of = |which: u8| records().map(move |record| [&[which], &record[..]].concat());
    (0..readers().len() as u8).flat_map(of).collect()
}

/// The head of a record that is not sealed, its body being empty.
///
/// # Panics
/// When it is answered with something else than a session or a typed error.
fn head(data: &[u8]) {
    let plain = &readers()[0];
    let len = u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes();
    let record = [b"ASM\x01\0", &len[..], &len, data, EMPTY_BODY].concat();
    match plain.open(record.into()) {
        Ok(session) => drop(session.info()),
        Err(error) => assert_typed(&error),
    }
}

fn head_seeds() -> Vec<Vec<u8>> {
    let records = readers()[0].records.iter();
    // Behind the envelope and the frame's header, whose last four bytes are its length.
    let heads = records.map(|record| {
        let len = u32::from_be_bytes(record[9..13].try_into().expect("four bytes"));
        record[13..13 + len as usize].to_vec()
    });
    heads.collect()
}

/// What a seal is given to decode.
///
/// # Panics
/// When a forged one is believed, or more is given than asked for.
fn seal(data: &[u8]) {
    const LIMIT: usize = 4096;
    let handle = Key::from_bytes([7; 16]);
    for (seal, known) in seals() {
        let decoded = seal.decode(Bytes::copy_from_slice(data), &context(&handle, LIMIT));
        match decoded.map_err(|error| error.kind()) {
            Ok(plain) => assert!(data == known && plain.len() <= LIMIT, "it was believed"),
            Err(ErrorKind::Tampered | ErrorKind::Unreadable | ErrorKind::TooLarge) => {}
            Err(other) => panic!("a forged part was answered with {other:?}"),
        }
        let _ = seal.is_current(data);
    }
}

fn seal_seeds() -> Vec<Vec<u8>> {
    seals().iter().map(|(_, known)| known.to_vec()).collect()
}

/// The value of a sealed cookie.
///
/// # Panics
/// When a forged one is believed.
fn cookie(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let (cookies, known) = cookies();
    match cookies.open("name", text) {
        Ok(_) => assert!(known == text, "a forged cookie was believed"),
        Err(
            CookieError::Malformed
            | CookieError::Tampered
            | CookieError::TooLarge { .. }
            | CookieError::UnknownKey(_),
        ) => {}
        Err(other) => panic!("a forged cookie was answered with {other:?}"),
    }
}

fn cookie_seeds() -> Vec<Vec<u8>> {
    vec![cookies().1.clone().into_bytes()]
}

/// The text of a ring of keys, and of one key.
///
/// # Panics
/// When a short key is taken.
fn keys(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(ring) = KeyRing::parse(text) {
        assert!(!ring.usage().is_empty() && text.len() > SecretKey::MIN);
    }
    if let Ok(key) = SecretKey::from_base64(text) {
        assert!(key.expose_base64().len() > SecretKey::MIN);
    }
}

fn key_seeds() -> Vec<Vec<u8>> {
    let [one, two] = [1, 2].map(|number| key(number).expose_base64().to_string());
    vec![
        format!("2 {two}, 1 {one} until 2030-01-31 # old").into_bytes(),
        one.into_bytes(),
    ]
}

/// Sessions over a store that somebody else writes, too.
struct Reader {
    store: Arc<MemoryDriver>,
    sessions: Sessions,
    id: SessionId,
    seals: bool,
    /// What it stored itself.
    records: Vec<Bytes>,
}

impl Reader {
    fn new(chain: Chain, split: bool) -> Self {
        let store = Arc::new(MemoryDriver::new());
        let mut builder = chain.set_up(Sessions::builder(Arc::clone(&store)));
        if split {
            let seal = Seal::xchacha(ring(1)).key_source(KeySource::Split);
            builder = Sessions::builder(Arc::clone(&store)).codec(seal.padding(Padding::Padme));
        }
        let sessions = builder.build().expect("settings that make sense");
        let mut session = sessions.create(&Client::default()).expect("randomness");
        let mut records = Vec::new();
        for text in ["short".to_owned(), "long ".repeat(200)] {
            session.insert("text", &text).expect("a change");
            at_once(session.close()).expect("a save");
            let snapshot = at_once(read(&store, &session.handle()));
            records.push(snapshot.data.into_bytes());
        }
        let IdUpdate::Issue(id) = session.id_update() else {
            panic!("a session was just stored");
        };
        let id = id.clone();
        Self {
            store,
            sessions,
            id,
            seals: split || chain.seal.is_some(),
            records,
        }
    }

    fn open(&self, instead: Bytes) -> asm_session::Result<Session> {
        at_once(replace(&self.store, &self.id.handle(), instead));
        at_once(self.sessions.open(&self.id.expose(), &Client::default()))
    }
}

thread_local! {
    static READERS: &'static [Reader] = {
        let chains = all_chains().into_iter().map(|chain| (chain, false));
        let plain = Chain { compressor: None, seal: None };
        let all = chains.chain([(plain, true)]);
        let readers: Vec<_> = all.map(|(chain, split)| Reader::new(chain, split)).collect();
        Vec::leak(readers)
    };
}

/// One of each chain of codecs, the first without any, and one with a split key: of this thread,
/// because what is in their stores is.
fn readers() -> &'static [Reader] {
    READERS.with(|readers| *readers)
}

/// Each seal, and what it made.
fn seals() -> &'static [(Seal, Bytes)] {
    static SEALS: OnceLock<Vec<(Seal, Bytes)>> = OnceLock::new();
    SEALS.get_or_init(|| {
        let handle = Key::from_bytes([7; 16]);
        let padded = Seal::aes_gcm(own_ring()).padding(Padding::Padme);
        let all = [Seal::xchacha(own_ring()), padded].into_iter();
        all.map(|seal| {
            let plain = Bytes::from_static(b"card 4111");
            match seal.encode(plain, &context(&handle, 100)) {
                Ok(Encoded::Coded(coded)) => (seal, coded),
                other => panic!("it was not sealed: {other:?}"),
            }
        })
        .collect()
    })
}

fn cookies() -> &'static (CookieSeal, String) {
    static COOKIES: OnceLock<(CookieSeal, String)> = OnceLock::new();
    COOKIES.get_or_init(|| {
        let ring = own_ring().reads(KeyId::new(1), &key(1));
        let cookies = CookieSeal::new(ring.expect("two keys"), "hostile");
        let lasting = cookies.lifetime(std::time::Duration::MAX);
        let value = lasting.seal("name", b"user 42").expect("it fits");
        (lasting, value)
    })
}

/// Of a key that no other process has: what those sealed, and left in a corpus, is forged here.
fn own_ring() -> KeyRing {
    KeyRing::new(KeyId::new(2), &SecretKey::generate().expect("randomness"))
}

const fn context(handle: &Key, limit: usize) -> CodecContext<'_> {
    CodecContext {
        key: handle,
        part: Part::Body,
        associated: b"header",
        client_half: None,
        limit,
    }
}

/// The frame of a body that no codec touched: its header with the length twice, and that there are
/// no entries.
const EMPTY_BODY: &[u8] = &[0, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0];

/// The memory waits for nobody.
fn at_once<F: Future>(future: F) -> F::Output {
    future.now_or_never().expect("an answer at once")
}

fn assert_typed(error: &SessionError) {
    use ErrorKind::{Corrupt, TooLarge, Unreadable};
    let typed = match error {
        SessionError::Invalid(reason) => *reason != InvalidReason::Malformed,
        SessionError::Store(error) => {
            matches!(error.kind(), Corrupt | TooLarge | Unreadable)
        }
        _ => false,
    };
    assert!(typed, "hostile bytes were answered with {error:?}");
}
