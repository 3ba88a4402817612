//! Sessions that differ in nothing but their codecs, and their records as the store has them.

use std::sync::Arc;

use asm_compress::{Compress, Threshold};
use asm_core::{Driver, Error, ErrorKind, Guard, OpId, Open, Opened, Save, Snapshot};
use asm_crypt::{KeyError, KeyId, KeyRing, Seal, SecretKey};
use asm_session::{
    Client, IdUpdate, InvalidReason, Key, Result, SessionError, SessionId, Sessions,
};

/// Below this no record is compressed. The usual threshold is 2 KiB, of which little would fit on a
/// page.
const THRESHOLD: usize = 64;

/// The sessions. The key of the sealed ones is random, and is nowhere but in this process.
pub(super) struct Vault {
    kinds: Vec<(&'static str, Sessions)>,
}

/// A record as the store has it.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) kind: &'static str,
    pub(super) bytes: usize,
    pub(super) dump: Vec<Line>,
    /// Bytes that the dump leaves out.
    pub(super) more: usize,
    /// What the application reads back.
    pub(super) note: String,
    pub(super) card: String,
    /// Whether the note can be read in what is stored.
    pub(super) legible: bool,
    /// What an open says after one bit of the record was changed.
    pub(super) edited: &'static str,
}

/// Sixteen bytes.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) offset: String,
    pub(super) hex: String,
    pub(super) text: String,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsound {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// How many lines a dump has at most.
const LINES: usize = 24;

const WIDTH: usize = 16;

/// How much of a note is looked for: a compressor may have cut what comes later.
const WORD: usize = 8;

impl Vault {
    pub(super) fn new(driver: &Arc<dyn Driver>) -> Result<Self, Unsound> {
        let builder = || Sessions::builder(Arc::clone(driver));
        let compress = || Compress::lz4().threshold(Threshold::at(THRESHOLD));
        let ring = KeyRing::new(KeyId::new(1), &SecretKey::generate()?);
        let seal = || Seal::xchacha(ring.clone());
        Ok(Self {
            kinds: vec![
                ("plain", builder().build()?),
                ("compressed (lz4)", builder().codec(compress()).build()?),
                (
                    "sealed (XChaCha20-Poly1305)",
                    builder().codec(seal()).build()?,
                ),
                (
                    "compressed, then sealed",
                    builder().codec(compress()).codec(seal()).build()?,
                ),
            ],
        })
    }

    /// Stores this note in a session of each kind, shows its record, and ends it.
    pub(super) async fn show(&self, note: &str) -> Result<Vec<Stored>> {
        let mut shown = Vec::new();
        for (kind, sessions) in &self.kinds {
            let mut session = sessions.create(&Client::default())?;
            session.insert("note", note)?;
            session.insert("card", "4111 1111 1111 1111")?;
            session.close().await?;
            let IdUpdate::Issue(id) = session.id_update() else {
                return Err(SessionError::Usage("a new session has an id"));
            };
            let stored = look(kind, sessions, id, note).await;
            sessions.by_handle(id.handle()).delete().await?;
            shown.push(stored?);
        }
        Ok(shown)
    }
}

async fn look(
    kind: &'static str,
    sessions: &Sessions,
    id: &SessionId,
    note: &str,
) -> Result<Stored> {
    let session = sessions.open(&id.expose(), &Client::default()).await?;
    let (read_note, card) = (
        session.get_or("note", String::new())?,
        session.get_or("card", String::new())?,
    );
    drop(session);
    let snapshot = read(sessions, &id.handle()).await?;
    let edited = edit(sessions, id, &snapshot).await?;
    let bytes = &snapshot.data[..];
    Ok(Stored {
        kind,
        bytes: bytes.len(),
        dump: bytes
            .chunks(WIDTH)
            .take(LINES)
            .enumerate()
            .map(line)
            .collect(),
        note: read_note,
        card,
        more: bytes.len().saturating_sub(LINES * WIDTH),
        legible: holds(bytes, note),
        edited,
    })
}

async fn read(sessions: &Sessions, key: &Key) -> Result<Snapshot> {
    match sessions.driver().open(key, Open { lock: None }).await? {
        Opened::Found { snapshot, .. } => Ok(snapshot),
        _ => Err(SessionError::Deleted),
    }
}

/// Changes the last bit of the record, as somebody would who can write the store, and opens it.
async fn edit(sessions: &Sessions, id: &SessionId, snapshot: &Snapshot) -> Result<&'static str> {
    let mut data = snapshot.data.to_vec();
    if let Some(last) = data.last_mut() {
        *last ^= 1;
    }
    let save = Save {
        op: OpId::from_bytes(std::array::from_fn(|_| fastrand::u8(..))),
        resend: false,
        guard: Guard::unchanged(snapshot),
        stamp: snapshot.stamp,
        data: data.into(),
        ttl: snapshot.left.unwrap_or_default(),
        release: false,
    };
    sessions.driver().save(&id.handle(), save).await?;
    match sessions.open(&id.expose(), &Client::default()).await {
        Ok(mut session) => {
            session.discard();
            Ok("opened: nobody can tell that it was changed")
        }
        Err(SessionError::Invalid(InvalidReason::Tampered)) => Ok("refused: it was tampered with"),
        Err(SessionError::Store(error)) if is_broken(&error) => Ok("refused: it cannot be read"),
        Err(error) => Err(error),
    }
}

fn is_broken(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Tampered)
}

fn line((number, bytes): (usize, &[u8])) -> Line {
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let shown = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '·',
    };
    Line {
        offset: format!("{:04x}", number * WIDTH),
        hex: hex.join(" "),
        text: bytes.iter().map(shown).collect(),
    }
}

/// Whether the bytes show the beginning of this text as it is.
fn holds(bytes: &[u8], text: &str) -> bool {
    let begin: Vec<u8> = text.bytes().take(WORD).collect();
    !begin.is_empty() && bytes.windows(begin.len()).any(|window| window == begin)
}

#[cfg(test)]
mod tests {
    use asm_memory::MemoryDriver;

    use super::*;

    #[tokio::test]
    async fn a_note_shows_only_where_it_is_not_sealed() {
        let driver = MemoryDriver::new();
        let shared: Arc<dyn Driver> = Arc::new(driver.clone());
        let vault = Vault::new(&shared).expect("sound");
        let note = "meet me at the bridge, at the bridge, at the bridge, at the bridge";
        let shown = vault.show(note).await.expect("stored");
        let legible: Vec<bool> = shown.iter().map(|stored| stored.legible).collect();
        assert_eq!(legible, [true, true, false, false]);
        assert!(shown[1].bytes < shown[0].bytes);
        assert!(shown[3].bytes < shown[2].bytes);
        for stored in &shown {
            assert_eq!(stored.note, note);
            assert_eq!(stored.card, "4111 1111 1111 1111");
        }
        for stored in &shown[2..] {
            assert_eq!(stored.edited, "refused: it was tampered with");
        }
    }
}
