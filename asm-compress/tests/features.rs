//! What is compiled in, and what is said of what is not: holds with each feature alone, and with none.

use std::sync::{Arc, Mutex};

use asm_compress::{
    Compress,
    cm::{self, Library},
};
use asm_core::{Codec, CodecContext, CodecName, CodecRole, Encoded, ErrorKind, Result};
use asm_memory::MemoryDriver;
use asm_session::{Client, IdUpdate, SessionError, Sessions};
use bytes::Bytes;

const ALGORITHMS: [(&str, bool); 4] = [
    ("gzip", cfg!(feature = "gzip")),
    ("lzf", cfg!(feature = "lzf")),
    ("lz4", cfg!(feature = "lz4")),
    ("snappy", cfg!(feature = "snappy")),
];

#[test]
fn a_name_of_what_is_not_compiled_in_is_unsupported_and_named() {
    for (name, compiled_in) in ALGORITHMS {
        match Compress::from_name(name) {
            Ok(codec) => assert!(compiled_in && codec.name().as_str() == name),
            Err(error) => {
                assert!(!compiled_in, "{error}");
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                assert_names(&error.to_string(), name);
            }
        }
    }
    assert_eq!(Compress::none().name().as_str(), "none");
    let all = Compress::all();
    let names: Vec<_> = all.iter().map(|codec| codec.name().to_string()).collect();
    let compiled_in = ALGORITHMS
        .into_iter()
        .filter(|(_, compiled_in)| *compiled_in);
    let expected: Vec<_> = compiled_in.map(|(name, _)| name).chain(["none"]).collect();
    assert_eq!(names, expected);
}

#[test]
fn what_php_stored_by_what_is_not_compiled_in_is_unreadable_and_named() {
    let plain = Bytes::from("cart|a:0:{}".repeat(300));
    for (name, compiled_in) in ALGORITHMS {
        let library = Library::from_name(name).expect("a library");
        let written = cm::encode(plain.clone(), library, asm_compress::Threshold::ALWAYS);
        if compiled_in {
            let stored = written.expect("stored");
            assert_eq!(cm::decode(stored, plain.len()).expect("content"), plain);
            continue;
        }
        let error = written.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_names(&error.to_string(), name);
        let stored = [library.prefix().as_bytes(), b"whatever"].concat();
        let error = cm::decode(stored.into(), 1000).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreadable);
        assert_names(&error.to_string(), name);
    }
}

/// As in a rolling deploy, in which one process has a codec that the other lacks.
#[tokio::test]
async fn a_record_made_by_what_is_not_compiled_in_is_unreadable_and_named() {
    let store = Arc::new(MemoryDriver::new());
    for (name, compiled_in) in ALGORITHMS {
        let writes = Sessions::builder(Arc::clone(&store))
            .codec(Elsewhere(name, Mutex::default()))
            .build();
        let reads = Sessions::builder(Arc::clone(&store))
            .codec(Compress::none())
            .build();
        let (writes, reads) = (writes.expect("settings"), reads.expect("settings"));
        let mut session = writes.create(&Client::default()).expect("randomness");
        session.insert("text", "as it was").expect("a change");
        session.close().await.expect("a save");
        let IdUpdate::Issue(id) = session.id_update() else {
            panic!("a new session has an id");
        };
        let opened = reads.open(&id.expose(), &Client::default()).await;
        let Err(SessionError::Store(error)) = opened else {
            panic!("the content is not of {name}, and the answer was {opened:?}");
        };
        match compiled_in {
            true => assert_eq!(error.kind(), ErrorKind::Corrupt),
            false => {
                assert_eq!(error.kind(), ErrorKind::Unreadable);
                assert_names(&error.to_string(), name);
            }
        }
        // And nothing has happened to it.
        let session = writes.open(&id.expose(), &Client::default()).await;
        let text = session.expect("a session").get::<String>("text");
        assert_eq!(text.expect("a text").as_deref(), Some("as it was"));
    }
}

#[track_caller]
fn assert_names(error: &str, name: &str) {
    assert!(error.contains(name), "{error:?} does not name {name}");
}

/// A codec of this name, in a process that has it. It puts contents somewhere else.
#[derive(Debug)]
struct Elsewhere(&'static str, Mutex<Vec<Bytes>>);

impl Codec for Elsewhere {
    fn name(&self) -> CodecName {
        CodecName::new(self.0).expect("a name")
    }

    fn role(&self) -> CodecRole {
        CodecRole::Compress
    }

    fn encode(&self, plain: Bytes, _: &CodecContext<'_>) -> Result<Encoded> {
        let mut contents = self.1.lock().expect("no panic");
        contents.push(plain);
        Ok(Encoded::Coded(vec![contents.len() as u8 - 1].into()))
    }

    fn decode(&self, coded: Bytes, _: &CodecContext<'_>) -> Result<Bytes> {
        let contents = self.1.lock().expect("no panic");
        Ok(contents[usize::from(coded[0])].clone())
    }
}
