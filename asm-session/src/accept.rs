//! Whether a record is a session that an id opens.

use std::sync::Arc;

use asm_core::{Epoch, ErrorKind, Key, Snapshot};

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
    /// For an open: the secret has to be good now. Looks at the head only.
    pub(crate) fn by(
        secret: &SecretHash,
        shared: &Shared,
        key: &Key,
        snapshot: Snapshot,
    ) -> Result<Self> {
        let accepted = Self::whatever_the_secret(secret, shared, key, snapshot)?;
        match accepted.standing {
            Standing::Unknown => return Err(InvalidReason::Unknown.into()),
            Standing::Stale => return Err(InvalidReason::Stale.into()),
            Standing::Current | Standing::Pending | Standing::Zombie { .. } => {}
        }
        accepted.alive(shared)
    }

    /// For a session that runs: its epoch has to be the present one. Its secret was good when it
    /// was opened, and may have been replaced and forgotten since.
    fn by_epoch(
        (secret, epoch): (&SecretHash, Epoch),
        shared: &Shared,
        key: &Key,
        snapshot: Snapshot,
    ) -> Result<Self> {
        let accepted = Self::whatever_the_secret(secret, shared, key, snapshot)?;
        if accepted.record.head.epoch != epoch {
            return Err(InvalidReason::Stale.into());
        }
        accepted.alive(shared)
    }

    fn whatever_the_secret(
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

    /// That its absolute lifetime is not over.
    fn alive(self, shared: &Shared) -> Result<Self> {
        if shared.lifetimes.is_over(&self.record.head, self.record.at) {
            return Err(InvalidReason::Expired.into());
        }
        Ok(self)
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
    /// Goes on from a newer record, if this session still is what it was opened as: its journal is
    /// laid over that.
    pub(crate) fn merge(&mut self, newer: Snapshot) -> Result<()> {
        self.shared().counting.merges.add();
        self.adopt(newer)
    }

    /// As [`merge`](Self::merge), when there may be nothing to lay over it.
    pub(crate) fn adopt(&mut self, newer: Snapshot) -> Result<()> {
        self.go_on_from(newer, self.mode != LockMode::Off)
    }

    /// As [`adopt`](Self::adopt), also in a mode that shows nothing of others while it saves.
    pub(crate) fn catch_up(&mut self, newer: Snapshot) -> Result<()> {
        self.go_on_from(newer, true)
    }

    fn go_on_from(&mut self, newer: Snapshot, shows_others: bool) -> Result<()> {
        let record = self.accept(newer)?;
        self.place_in_doubt |= self.changes.binds();
        if shows_others {
            self.journal.rebase(Arc::clone(&record.entries))?;
        }
        self.record = record;
        Ok(())
    }

    /// A newer record of this session, if it still is what it was opened as.
    fn accept(&mut self, newer: Snapshot) -> Result<Record> {
        let key = self.handle();
        let opened_as = (&self.secret, self.record.head.epoch);
        let accepted = match Accepted::by_epoch(opened_as, self.shared(), &key, newer) {
            Ok(accepted) => accepted,
            Err(SessionError::Invalid(InvalidReason::Expired)) => return Err(self.gone()),
            Err(SessionError::Invalid(InvalidReason::Stale)) => return Err(self.stale()),
            Err(error) => return Err(error),
        };
        self.zombie |= !matches!(accepted.standing, Standing::Current | Standing::Pending);
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
