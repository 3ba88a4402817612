//! I1 to I3: an id is drawn, read, and opens its session.

use std::{error::Error, hint::black_box};

use asm_bench::{Options, Report};
use asm_core::{Key, Open, Opened, SessionStore};
use asm_memory::MemoryDriver;
use asm_session::{Client, IdUpdate, SessionId, Sessions};
use base64ct::{Base64UrlUnpadded, Encoding};
use sha2::{Digest, Sha256};
use tokio::runtime::{Builder, Runtime};
use tower_sessions_core::session::Id;

use crate::{compare, work};

/// Bytes of a handle, and of handle and secret.
const HANDLE: usize = Key::LEN;
const WHOLE: usize = HANDLE + 24;

pub(crate) fn rows(options: &Options, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_current_thread().build()?;
    let stored = Stored::new(&runtime)?;
    if options.wants("I1") {
        drawn(options, report, &stored);
    }
    if options.wants("I2") {
        read(options, report, &stored);
    }
    if options.wants("I3") {
        opened(options, report, &runtime, &stored);
    }
    Ok(())
}

/// No id is drawn without the session that has it.
fn drawn(options: &Options, report: &mut Report, stored: &Stored) {
    let Stored {
        sessions, client, ..
    } = stored;
    let yardsticks = vec![
        ("40 bytes of the OS in base64", work(random_text)),
        (
            "an id of tower-sessions",
            work(|| Id::default().to_string()),
        ),
    ];
    let ours = work(|| sessions.create(client).expect("randomness"));
    let what = "an id is drawn, and a session for it begun";
    compare(options, report, "I1", what, ours, yardsticks);
}

fn read(options: &Options, report: &mut Report, stored: &Stored) {
    let (id, theirs) = (&stored.id, Id::default().to_string());
    let yardsticks = vec![
        ("base64 alone", work(|| bytes_of(black_box(id)))),
        (
            "an id of tower-sessions",
            work(|| black_box(&theirs).parse::<Id>().expect("an id")),
        ),
    ];
    let ours = work(|| SessionId::parse(black_box(id)).expect("an id"));
    compare(
        options,
        report,
        "I2",
        "an id is read from its text",
        ours,
        yardsticks,
    );
}

/// What an id is there for: its secret is hashed and compared with what the record says.
fn opened(options: &Options, report: &mut Report, runtime: &Runtime, stored: &Stored) {
    let Stored {
        sessions,
        driver,
        client,
        id,
    } = stored;
    let yardsticks = vec![
        (
            "base64, SHA-256 and an open of the driver",
            work(|| {
                let bytes = bytes_of(black_box(id));
                black_box(Sha256::digest(&bytes[HANDLE..]));
                let (handle, _) = bytes.split_first_chunk().expect("a handle");
                let key = Key::from_bytes(*handle);
                let opened = runtime.block_on(driver.open(&key, Open { lock: None }));
                assert!(matches!(opened, Ok(Opened::Found { .. })));
            }),
        ),
        (
            "SHA-256 alone",
            work(|| Sha256::digest(black_box(&[7; WHOLE - HANDLE]))),
        ),
    ];
    let ours = work(|| {
        let opened = runtime.block_on(sessions.open(black_box(id), client));
        assert!(opened.is_ok());
    });
    let what = "an id opens its session in memory";
    compare(options, report, "I3", what, ours, yardsticks);
}

fn random_text() -> String {
    let mut bytes = [0; WHOLE];
    getrandom::fill(&mut bytes).expect("randomness");
    Base64UrlUnpadded::encode_string(&bytes)
}

fn bytes_of(id: &str) -> [u8; WHOLE] {
    let mut bytes = [0; WHOLE];
    Base64UrlUnpadded::decode(id, &mut bytes).expect("base64");
    bytes
}

/// A session that holds next to nothing.
struct Stored {
    sessions: Sessions,
    driver: MemoryDriver,
    client: Client,
    id: String,
}

impl Stored {
    fn new(runtime: &Runtime) -> Result<Self, Box<dyn Error>> {
        let driver = MemoryDriver::new();
        let sessions = Sessions::builder(driver.clone()).build()?;
        let client = Client::default();
        let mut session = sessions.create(&client)?;
        session.insert("locale", "de-AT")?;
        runtime.block_on(session.close())?;
        let IdUpdate::Issue(id) = session.id_update() else {
            return Err("a new session has a new id".into());
        };
        Ok(Self {
            id: id.expose().to_string(),
            sessions,
            driver,
            client,
        })
    }
}
