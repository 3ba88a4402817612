//! Whether a record is a session that an id opens.

use std::sync::Arc;

use asm_core::{ErrorKind, Key, Snapshot};

use crate::{
    InvalidReason, LockMode, Result, Session, SessionError, SessionId,
    envelope::{EncodedBody, Place},
    id::SecretHash,
    rotation::Standing,
    session::{Life, Record},
    sessions::Shared,
};

/// A record that a secret opens. Its body is not decoded.
pub(crate) struct Accepted {
    pub(crate) record: Record,
    pub(crate) standing: Standing,
    body: EncodedBody,
}

impl Accepted {
    /// Looks at the head only.
    pub(crate) fn by(
        secret: &SecretHash,
        shared: &Shared,
        key: &Key,
        snapshot: Snapshot,
    ) -> Result<Self> {
        let now = snapshot.now;
        shared.time.learn(now);
        let record = snapshot.data.into_bytes();
        let (head, body) = shared
            .envelope
            .decode_head(Place::of(key), &record, now)
            .map_err(unreadable)?;
        let standing = head.standing(secret, now);
        match standing {
            Standing::Unknown => return Err(InvalidReason::Unknown.into()),
            Standing::Stale => return Err(InvalidReason::Stale.into()),
            Standing::Current | Standing::Pending | Standing::Zombie { .. } => {}
        }
        if shared
            .lifetimes
            .deadline(&head)
            .is_some_and(|end| end <= now)
        {
            return Err(InvalidReason::Expired.into());
        }
        Ok(Self {
            record: Record {
                head,
                version: Some(snapshot.version),
                left: snapshot.left,
                at: now,
                entries: Arc::default(),
                outdated: false,
            },
            standing,
            body,
        })
    }

    pub(crate) fn decode(self, shared: &Shared, id: &SessionId) -> Result<Record> {
        let entries = shared.envelope.decode_body(id.place(), self.body);
        Ok(Record {
            entries: Arc::new(entries.map_err(unreadable)?),
            ..self.record
        })
    }
}

impl Session {
    /// Goes on from a newer record, if the id that this session runs on still opens it: its journal
    /// is laid over that.
    pub(crate) fn merge(&mut self, newer: Snapshot) -> Result<()> {
        self.shared().counting.merges.add();
        self.adopt(newer)
    }

    /// As [`merge`](Self::merge), when there may be nothing to lay over it.
    pub(crate) fn adopt(&mut self, newer: Snapshot) -> Result<()> {
        let record = self.accept(newer)?;
        if self.mode != LockMode::Off {
            self.journal.rebase(Arc::clone(&record.entries))?;
        }
        self.record = record;
        Ok(())
    }

    /// A newer record of this session, if its id still opens it.
    fn accept(&mut self, newer: Snapshot) -> Result<Record> {
        let key = self.handle();
        let accepted = match Accepted::by(&self.secret, self.shared(), &key, newer) {
            Ok(accepted) => accepted,
            Err(SessionError::Invalid(InvalidReason::Expired)) => return Err(self.gone()),
            Err(SessionError::Invalid(InvalidReason::Stale | InvalidReason::Unknown)) => {
                return Err(self.stale());
            }
            Err(error) => return Err(error),
        };
        self.zombie |= matches!(accepted.standing, Standing::Zombie { .. });
        accepted.decode(self.shared(), &self.id)
    }

    /// The session is over.
    pub(crate) fn gone(&mut self) -> SessionError {
        self.life = Life::Gone;
        self.lock.ended();
        SessionError::Deleted
    }

    /// The id that this session runs on is over.
    pub(crate) fn stale(&mut self) -> SessionError {
        self.life = Life::Stale;
        self.lock.abandon();
        InvalidReason::Stale.into()
    }
}

/// A record that was changed by somebody else is no session; one that this process cannot read is.
fn unreadable(error: asm_core::Error) -> SessionError {
    match error.kind() {
        ErrorKind::Tampered => InvalidReason::Tampered.into(),
        _ => error.into(),
    }
}
