//! Lockless values beside the record.

use std::{
    fmt::{self, Debug},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use asm_core::{
    FieldChange, FieldFound, FieldName, FieldRead, FieldValue, FieldWrite, FieldWritten, Key,
    LocklessFields,
};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Result, Session, SessionError, ValueAction, access::failed, envelope::Place,
    in_flight::strange, session::Life, sessions::Shared,
};

impl Session {
    /// Values beside the session's record that are changed without its lock: counters, logs, lists.
    ///
    /// Each change is a store step of its own, exact under concurrency, and needs no save. Fields
    /// live and end with their session; the first change of a field of a session that was never
    /// stored stores it.
    ///
    /// ```
    /// # async fn example(session: &mut asm_session::Session) -> asm_session::Result<()> {
    /// let mut fields = session.fields()?;
    /// let views = fields.incr("views", 1).await?;
    /// fields.push("seen", &"/cart").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Unsupported` when the driver has none.
    pub fn fields(&mut self) -> Result<Fields<'_>> {
        facet(self.shared())?;
        Ok(Fields { session: self })
    }
}

/// The lockless values of one session.
///
/// Every call fails with `Deleted` or `Invalid` when the session is over, with `Store` when the
/// store does, and a change with `ReadOnly` in that mode.
#[derive(Debug)]
pub struct Fields<'a> {
    session: &'a mut Session,
}

impl Fields<'_> {
    /// Adds to a number; an absent one is 0. Answers the sum.
    ///
    /// # Errors
    /// `Overflow` when the sum does not fit; `WrongKind`; `Usage` where records are sealed, because
    /// a sum cannot be, unless
    /// [`plain_counters`](crate::SessionsBuilder::plain_counters) are allowed.
    pub async fn incr(&mut self, name: &str, by: i64) -> Result<i64> {
        let shared = self.session.shared();
        if shared.envelope.seals() && !shared.plain_counters {
            let why = "a counter cannot be sealed: allow plain counters, or keep it in an entry";
            return Err(SessionError::Usage(why));
        }
        match self.write(name, FieldChange::Incr(by)).await? {
            FieldWritten::Number(sum) => Ok(sum),
            _ => Err(strange().into()),
        }
    }

    /// Sets a value, whatever was there.
    ///
    /// # Errors
    /// `Value` when the format has no form for it.
    pub async fn set<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<()> {
        let value = self.session.encode(name, value)?;
        let value = self.seal(name, value)?;
        self.write(name, FieldChange::Set(value.into())).await?;
        Ok(())
    }

    /// Appends bytes; absent ones are empty. All are kept, in some order.
    ///
    /// # Errors
    /// `WrongKind`.
    pub async fn append(&mut self, name: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let bytes = self.seal(name, bytes.into())?;
        self.write(name, FieldChange::Append(bytes.into())).await?;
        Ok(())
    }

    /// Appends an item to a list; an absent one is empty. Answers how many there are now.
    ///
    /// # Errors
    /// `Value` when the format has no form for it; `WrongKind`.
    pub async fn push<T: Serialize + ?Sized>(&mut self, name: &str, item: &T) -> Result<usize> {
        let item = self.session.encode(name, item)?;
        let item = self.seal(name, item)?;
        match self.write(name, FieldChange::Push(item.into())).await? {
            FieldWritten::Length(length) => Ok(length),
            _ => Err(strange().into()),
        }
    }

    /// What a field holds.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn get(&mut self, name: &str) -> Result<Option<Field>> {
        self.read(name, None).await
    }

    /// The items of a list at these positions, as far as they are there.
    ///
    /// # Errors
    /// `Value` when one is not a `T`; `WrongKind`.
    pub async fn list<T>(&mut self, name: &str, items: Range<usize>) -> Result<Vec<T>>
    where
        T: DeserializeOwned,
    {
        match self.read(name, Some(items)).await? {
            Some(field) => field.list(),
            None => Ok(Vec::new()),
        }
    }

    /// Removes a field and answers what it held. Of several that take it, one gets it.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn take(&mut self, name: &str) -> Result<Option<Field>> {
        if self.session.life == Life::New {
            return Ok(None);
        }
        match self.write(name, FieldChange::Take).await? {
            FieldWritten::Taken(value) => Ok(value.map(|value| self.field(name, value))),
            _ => Err(strange().into()),
        }
    }

    /// Removes a field.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn clear(&mut self, name: &str) -> Result<()> {
        if self.session.life != Life::New {
            self.write(name, FieldChange::Clear).await?;
        }
        Ok(())
    }

    async fn read(&mut self, name: &str, items: Option<Range<usize>>) -> Result<Option<Field>> {
        self.session.check_life()?;
        if self.session.life == Life::New {
            return Ok(None);
        }
        let shared = Arc::clone(&self.session.sessions.shared);
        let req = FieldRead {
            name: FieldName::new(name)?,
            epoch: self.session.record.head.epoch,
            items,
        };
        match facet(&shared)?
            .read_field(&self.session.handle(), req)
            .await?
        {
            FieldFound::Value(value) => Ok(Some(self.field(name, value))),
            FieldFound::Absent => Ok(None),
            FieldFound::Missing => Err(self.session.gone()),
            FieldFound::Ended => Err(self.session.stale()),
            _ => Err(strange().into()),
        }
    }

    async fn write(&mut self, name: &str, change: FieldChange) -> Result<FieldWritten> {
        self.session.check_alive()?;
        if self.session.life == Life::New {
            self.session.record_birth().await?;
        }
        let shared = Arc::clone(&self.session.sessions.shared);
        let mut req = FieldWrite {
            name: FieldName::new(name)?,
            epoch: self.session.record.head.epoch,
            op: shared.ids.op()?,
            resend: None,
            change,
        };
        let (fields, key) = (facet(&shared)?, self.session.handle());
        let began = shared.time.own();
        let mut answer = fields.write_field(&key, req.clone()).await;
        if answer.as_ref().is_err_and(asm_core::Error::is_retryable) {
            req.resend = Some(shared.time.own().since(began).max(Duration::from_micros(1)));
            answer = fields.write_field(&key, req).await;
        }
        match answer? {
            FieldWritten::WrongKind => Err(SessionError::WrongKind),
            FieldWritten::Overflow => Err(SessionError::Overflow {
                key: name.to_owned(),
            }),
            FieldWritten::Missing => Err(self.session.gone()),
            FieldWritten::Ended => Err(self.session.stale()),
            written => Ok(written),
        }
    }

    fn seal(&self, name: &str, plain: Bytes) -> Result<Bytes> {
        let key = self.session.handle();
        let envelope = &self.session.shared().envelope;
        Ok(envelope.encode_item(Place::of(&key), name, plain)?)
    }

    fn field(&self, name: &str, value: FieldValue) -> Field {
        Field {
            shared: Arc::clone(&self.session.sessions.shared),
            handle: self.session.handle(),
            name: name.to_owned(),
            value,
        }
    }
}

/// What a field held when it was read.
pub struct Field {
    shared: Arc<Shared>,
    handle: Key,
    name: String,
    value: FieldValue,
}

impl Field {
    /// The value that was set.
    ///
    /// # Errors
    /// `Value` when it is not a `T`; `WrongKind` when it is no value; `Store` when it cannot be
    /// unsealed.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T> {
        self.decode(&self.bytes()?)
    }

    /// The bytes that were appended.
    ///
    /// # Errors
    /// `WrongKind` when there are none; `Store` when they cannot be unsealed.
    pub fn bytes(&self) -> Result<Bytes> {
        match &self.value {
            FieldValue::Bytes(stored) => self.unseal(stored),
            FieldValue::Number(_) | FieldValue::List(_) => Err(SessionError::WrongKind),
        }
    }

    /// The number.
    ///
    /// # Errors
    /// `WrongKind` when it is none.
    pub const fn number(&self) -> Result<i64> {
        match self.value {
            FieldValue::Number(number) => Ok(number),
            FieldValue::Bytes(_) | FieldValue::List(_) => Err(SessionError::WrongKind),
        }
    }

    /// The items of the list, the oldest first.
    ///
    /// # Errors
    /// `Value` when one is not a `T`; `WrongKind` when it is no list; `Store` when one cannot be
    /// unsealed.
    pub fn list<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        let FieldValue::List(items) = &self.value else {
            return Err(SessionError::WrongKind);
        };
        let item = |stored| self.decode(&self.unseal(stored)?);
        items.iter().map(|item| &**item).map(item).collect()
    }

    fn decode<T: DeserializeOwned>(&self, plain: &Bytes) -> Result<T> {
        let decoded = self.shared.formats.decode(plain);
        decoded.map_err(|error| failed(&self.name, ValueAction::Decoded, error))
    }

    fn unseal(&self, stored: &Bytes) -> Result<Bytes> {
        let (place, now) = (Place::of(&self.handle), self.shared.time.now());
        let envelope = &self.shared.envelope;
        Ok(envelope.decode_item(place, &self.name, stored.clone(), now)?)
    }
}

impl Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Field").finish_non_exhaustive()
    }
}

fn facet(shared: &Shared) -> Result<&dyn LocklessFields> {
    let fields = shared.driver.fields();
    fields.ok_or(SessionError::Unsupported("lockless fields"))
}
