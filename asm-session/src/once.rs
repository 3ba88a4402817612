//! Single flight: of n that want the same done, one does it.
//!
//! A *flight* is a small record of its own beside the session, under a key that follows from the
//! session, its epoch and the flight's name. It is born locked by the one that runs. The others
//! queue for its lock, and with the lock they are given the record: with the value in it, or
//! without one when the runner failed or died, and then the next runs. So it works across processes
//! and on every driver, disturbs neither the session's record nor its lock, and ends by its ttl.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use asm_core::{
    Acquired, Create, Created, Epoch, Guard, Key, LockWish, Open, Opened, Proof, Proofs, Redacted,
    Save, Snapshot, Stamp, Touch, Version, Written,
};
use bytes::Bytes;
use futures_util::future::{Either, select};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{
    Result, Session, SessionError, envelope::Place, in_flight::strange, lock::OwnedLock,
    sessions::Shared,
};

impl Session {
    /// Does this once: of all that call it with this name in this session at the same time, in
    /// whatever process, one runs its `work`, and the others are given its value. Those that come
    /// within `ttl` after it are given the value, too.
    ///
    /// When the work fails, its caller is told, and the next one runs; so does it when the runner
    /// is dropped or dies. An authentication begins anew: no value from before it is used.
    ///
    /// It neither takes the session's lock nor counts as a change.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # async fn quote() -> Result<u32, std::io::Error> { Ok(42) }
    /// # async fn example(session: &asm_session::Session) -> asm_session::Result<()> {
    /// use asm_session::SessionError;
    ///
    /// let work = async { quote().await.map_err(SessionError::app) };
    /// let price: u32 = session.once("quote", Duration::from_secs(60), work).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// That of the work; `LockTimeout` when another one runs for longer than a lock is waited for;
    /// `Value`; `Deleted` or `Invalid` when the session is over; `Store`.
    pub async fn once<T, F>(&self, name: &str, ttl: Duration, work: F) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        F: Future<Output = Result<T>>,
    {
        self.check_life()?;
        let flight = Flight::of(self, name);
        let place = match flight.board().await? {
            Boarded::Landed(value) => return self.decode(name, &value),
            Boarded::Runs(place) => place,
        };
        let value = flight.keep_alive(work).await;
        let value = match value {
            Ok(value) => value,
            Err(error) => {
                flight.make_way().await;
                return Err(error);
            }
        };
        let encoded = self.encode(name, &value)?;
        flight.land(place, encoded, ttl).await;
        Ok(value)
    }
}

/// One flight, and the lock of its record.
struct Flight {
    shared: Arc<Shared>,
    key: Key,
    epoch: Epoch,
    lock: OwnedLock,
}

/// Those of a record that no client opens.
const NO_PROOFS: Proofs = Proofs {
    current: Proof::from_bytes([0; Proof::LEN]),
    pending: None,
};

/// Whether a record is one of a flight, and no session: no secret has this proof.
pub(crate) fn is_flight(stamp: &Stamp) -> bool {
    stamp.proofs == NO_PROOFS
}

/// What a caller is given.
enum Boarded {
    /// The value of another one.
    Landed(Bytes),
    /// The lock, over this version of a record without a value.
    Runs(Version),
}

impl Flight {
    fn of(session: &Session, name: &str) -> Self {
        let mut digest = Sha256::new();
        digest.update(b"asm-session flight");
        digest.update(session.handle().as_bytes());
        digest.update(session.record.head.epoch.get().to_be_bytes());
        digest.update(name.as_bytes());
        let digest: [u8; 32] = digest.finalize().into();
        let (mut key, mut epoch) = ([0; Key::LEN], [0; 8]);
        key.copy_from_slice(&digest[..16]);
        epoch.copy_from_slice(&digest[16..24]);
        let shared = Arc::clone(&session.sessions.shared);
        let key = Key::from_bytes(key);
        Self {
            key,
            epoch: Epoch::new(u64::from_be_bytes(epoch)),
            lock: OwnedLock::new(&shared, key),
            shared,
        }
    }

    /// Waits for the value of another one, or for the turn to run.
    async fn board(&self) -> Result<Boarded> {
        for _ in 0..CHANGES {
            let open = self
                .shared
                .driver
                .open(&self.key, Open { lock: None })
                .await?;
            let boarded = match open {
                Opened::Found { snapshot, .. } => match self.landed(&snapshot)? {
                    Some(value) => return Ok(Boarded::Landed(value)),
                    None => self.queue().await?,
                },
                _ => self.depart().await?,
            };
            if let Some(boarded) = boarded {
                return Ok(boarded);
            }
        }
        Err(SessionError::LockTimeout)
    }

    /// Begins it. `None` when another one was first.
    async fn depart(&self) -> Result<Option<Boarded>> {
        let claim = self.claim()?;
        let token = claim.token;
        let create = Create {
            op: self.shared.ids.op()?,
            resend: false,
            stamp: self.stamp(),
            data: Redacted::default(),
            ttl: self.unlanded_ttl(),
            lock: Some(claim),
        };
        let created = self.shared.driver.create(&self.key, create).await;
        match created.inspect_err(|_| self.shared.driver.abandon(&self.key, &token))? {
            Created::Done {
                version,
                fence: Some(fence),
                ..
            } => {
                self.lock.granted(token, fence);
                Ok(Some(Boarded::Runs(version)))
            }
            _ => Ok(None),
        }
    }

    /// Waits for the one that runs. `None` when there is none any more.
    async fn queue(&self) -> Result<Option<Boarded>> {
        let wish = LockWish {
            claim: self.claim()?,
            epoch: self.epoch,
            wait: self.shared.locks.wait,
            queue: None,
            known: None,
        };
        match self.lock.acquire(wish).await? {
            Acquired::Held {
                snapshot: Some(snapshot),
                ..
            } => {
                let Some(value) = self.landed(&snapshot)? else {
                    return Ok(Some(Boarded::Runs(snapshot.version)));
                };
                self.make_way().await;
                Ok(Some(Boarded::Landed(value)))
            }
            Acquired::Busy | Acquired::QueueFull => Err(SessionError::LockTimeout),
            Acquired::Missing | Acquired::Ended => Ok(None),
            _ => Err(strange().into()),
        }
    }

    /// Works, and keeps lock and record alive meanwhile.
    async fn keep_alive<F: Future>(&self, work: F) -> F::Output {
        let renewals = async {
            loop {
                self.shared.time.sleep(self.shared.locks.renewal).await;
                let touch = Touch {
                    epoch: self.epoch,
                    ttl: self.unlanded_ttl(),
                };
                let renewed = self.lock.renew(self.shared.locks.hold).await;
                let touched = self.shared.driver.touch(&self.key, touch).await;
                if let Some(error) = renewed.err().or_else(|| touched.err()) {
                    tracing::warn!(%error, "a flight could not be renewed");
                }
            }
        };
        match select(pin!(work), pin!(renewals)).await {
            Either::Left((output, _)) => output,
            Either::Right((never, _)) => never,
        }
    }

    /// Lets the next one run. Whatever becomes of that, the lock ends after its hold.
    async fn make_way(&self) {
        if let Err(error) = self.lock.release().await {
            tracing::warn!(%error, "the lock of a flight was not released");
        }
    }

    /// Stores the value for the others. The work is done, whatever becomes of that.
    async fn land(&self, over: Version, value: Bytes, ttl: Duration) {
        match self.try_to_land(over, value, ttl).await {
            Ok(true) => self.lock.ended(),
            Ok(false) => {
                tracing::warn!("a flight landed too late: another one may have run, too");
            }
            Err(error) => tracing::warn!(%error, "the value of a flight was not stored"),
        }
    }

    async fn try_to_land(&self, over: Version, value: Bytes, ttl: Duration) -> Result<bool> {
        let place = Place::of(&self.key);
        let value = self.shared.envelope.encode_item(place, FIELD, value)?;
        let save = Save {
            op: self.shared.ids.op()?,
            resend: false,
            guard: Guard {
                epoch: self.epoch,
                version: over,
                held: self.lock.token(),
            },
            stamp: self.stamp(),
            data: value.into(),
            ttl: ttl.max(SHORTEST),
            release: true,
        };
        self.lock.leaves(true);
        let written = self.shared.driver.save(&self.key, save).await?;
        Ok(matches!(written, Written::Done { .. }))
    }

    fn landed(&self, snapshot: &Snapshot) -> Result<Option<Bytes>> {
        if snapshot.data.is_empty() {
            return Ok(None);
        }
        let (place, stored) = (Place::of(&self.key), snapshot.data.clone().into_bytes());
        let envelope = &self.shared.envelope;
        Ok(Some(envelope.decode_item(
            place,
            FIELD,
            stored,
            snapshot.now,
        )?))
    }

    fn claim(&self) -> Result<asm_core::Claim> {
        Ok(asm_core::Claim {
            token: self.shared.ids.token()?,
            hold: self.shared.locks.hold,
            label: asm_core::Label::new("once"),
        })
    }

    /// Nobody opens a flight with a secret: those that know its name may.
    fn stamp(&self) -> Stamp {
        Stamp {
            epoch: self.epoch,
            proofs: NO_PROOFS,
        }
    }

    /// A record without a value outlives its runner long enough to be taken over.
    fn unlanded_ttl(&self) -> Duration {
        self.shared.locks.hold.saturating_mul(3)
    }
}

/// How often a flight may begin and end while one looks for it.
const CHANGES: u32 = 16;

/// The name that seals bind values to.
const FIELD: &str = "once";

/// Less is none.
const SHORTEST: Duration = Duration::from_millis(1);
