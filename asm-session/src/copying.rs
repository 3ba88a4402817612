//! Copying the sessions of a store that is in use to another one.
//!
//! A copy is marked: the op id of the write that made it is a digest of what was written. So whoever
//! comes later, in another process, knows a copy from a session that somebody used in the other
//! store, and never overwrites or ends the latter.

use std::{num::NonZeroUsize, ops::ControlFlow, sync::Arc, time::Duration};

use asm_core::{
    Create, Created, Cursor, Delete, Deleted, Driver, Epoch, FieldChange, FieldFound, FieldName,
    FieldRead, FieldValue, FieldWrite, FieldWritten, Guard, Inventory, Key, ListStep,
    LocklessFields, OpId, Open, Opened, Reserve, Reserved, Save, Snapshot, Subject, Touch, Written,
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use sha2::{Digest, Sha256};

use crate::{
    Result, SessionError, Sessions,
    entries::Entries,
    envelope::{EncodedBody, Place},
    head::{Head, Membership},
    in_flight::strange,
    once::is_flight,
    sessions::Shared,
    subjects::{index, longest_life},
};

/// How far a copy is.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CopyProgress {
    /// Sessions looked at so far.
    pub examined: u64,
    /// Those that the other store did not have, and has now.
    pub copied: u64,
    /// Those whose copies were behind, and are not now.
    pub updated: u64,
    /// Those whose copies are as they are.
    pub unchanged: u64,
    /// Those that the other store has, changed by somebody who used them there: left as they are.
    pub foreign: u64,
    /// Copies that were ended, because the sessions they were made of are over.
    pub ended: u64,
    /// Those that could not be read or written. They are logged.
    pub failed: u64,
    /// Which part of it is done, from 0 to 1, as far as the driver can tell.
    pub done: Option<f64>,
    /// Where to go on, perhaps in another process. `None` when it is through.
    pub next: Option<Cursor>,
}

impl Sessions {
    /// Copies all sessions to another store, about `batch` at a time, and tells after each batch how
    /// far it is; from the start, or from where an earlier one was left. It ends when it is told to
    /// break, and says where to go on.
    ///
    /// These sessions may be in use meanwhile, and so may others in the other store; the copies are
    /// to be used there after the last copy only. One that was saved there nevertheless is left as it
    /// is, and counted as foreign; but a log out there, or a change of its lockless fields alone,
    /// leaves no trace that the next copy could see, and is undone by it.
    ///
    /// A session keeps its ids, its life, its subject, its entries and its lockless fields; locks
    /// stay where they are. It is read by these sessions' codecs and written by the others', but for
    /// a body that only its client opens, which is copied as it is. What [`Session::once`] keeps for
    /// others is not copied. An absolute timeout is these sessions' own: what is over by it is not
    /// copied, so whoever moves sessions that he does not know of has
    /// [none](crate::LifetimesBuilder::absolute).
    ///
    /// To do it again costs little: what has not changed is read and not written. So a move is: copy
    /// until hardly anything changes, stop what writes, copy once more,
    /// [end the copies](Self::end_copies) of what is over, start on the other store.
    ///
    /// [`Session::once`]: crate::Session::once
    ///
    /// ```
    /// use std::{num::NonZeroUsize, ops::ControlFlow, sync::Arc, time::Duration};
    /// # use asm_memory::MemoryDriver;
    /// # use asm_session::{Client, Result, Sessions};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let (one, two) = (MemoryDriver::new(), MemoryDriver::new());
    /// let from = Sessions::builder(one).build()?;
    /// let to = Sessions::builder(two).build()?;
    /// let id = asm_session::docs::example(&from).await?;
    /// let batch = NonZeroUsize::MIN.saturating_add(999);
    /// let copy = from.copy_to(&to, None, batch, |_| ControlFlow::Continue(())).await?;
    /// assert_eq!((copy.copied, copy.failed), (1, 0));
    /// to.open(&id, &Client::default()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Unsupported` when a driver cannot list its sessions and their fields; `Store` when listing
    /// fails. What happens to a single session is counted.
    pub async fn copy_to(
        &self,
        to: &Self,
        from: Option<Cursor>,
        batch: NonZeroUsize,
        tell: impl FnMut(&CopyProgress) -> ControlFlow<()>,
    ) -> Result<CopyProgress> {
        // Before anything is written.
        if self.shared.driver.fields().is_some() && to.shared.driver.fields().is_some() {
            inventory(&*to.shared.driver)?;
        }
        let copying = Copying::between(self, to);
        let deed = |key| {
            let copying = Arc::clone(&copying);
            async move { (key, copying.copy(&key).await) }.boxed()
        };
        walk(&*self.shared.driver, from, batch, tell, deed).await
    }

    /// Ends the copies here whose originals are over there: users who logged out meanwhile are logged
    /// out here, too. What somebody used here since is left as it is. Otherwise as
    /// [`copy_to`](Self::copy_to), which is to be called before on `of`.
    ///
    /// It belongs to the move: a copy that was in use here for a while without being saved cannot be
    /// told from one that was not, and its original is over by then.
    ///
    /// # Errors
    /// As [`copy_to`](Self::copy_to).
    pub async fn end_copies(
        &self,
        of: &Self,
        from: Option<Cursor>,
        batch: NonZeroUsize,
        tell: impl FnMut(&CopyProgress) -> ControlFlow<()>,
    ) -> Result<CopyProgress> {
        let copying = Copying::between(of, self);
        let deed = |key| {
            let copying = Arc::clone(&copying);
            async move { (key, copying.end(&key).await) }.boxed()
        };
        walk(&*self.shared.driver, from, batch, tell, deed).await
    }
}

/// How many sessions are under way at once.
const AT_ONCE: usize = 32;

/// How often a session is tried that somebody changes meanwhile.
const TURNS: u32 = 16;

/// What became of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copied {
    Gone,
    Made,
    Updated,
    Unchanged,
    Foreign,
    Ended,
}

/// What is done to one session, and what became of it.
type Deed = BoxFuture<'static, (Key, Result<Copied>)>;

/// Does this to all sessions of a store.
async fn walk(
    driver: &dyn Driver,
    from: Option<Cursor>,
    batch: NonZeroUsize,
    mut tell: impl FnMut(&CopyProgress) -> ControlFlow<()>,
    deed: impl Fn(Key) -> Deed,
) -> Result<CopyProgress> {
    let inventory = inventory(driver)?;
    let mut progress = CopyProgress::default();
    let mut from = from;
    loop {
        let listed = inventory.list_sessions(ListStep { from, batch }).await?;
        progress.failed += listed.failed;
        let deeds: Vec<Deed> = listed.keys.into_iter().map(&deed).collect();
        let mut all = stream::iter(deeds).buffer_unordered(AT_ONCE);
        while let Some((key, copied)) = all.next().await {
            progress.count(key, copied);
        }
        progress.done = match &listed.next {
            Some(next) => inventory.progress(next),
            None => Some(1.0),
        };
        progress.next = listed.next;
        if tell(&progress).is_break() || progress.next.is_none() {
            return Ok(progress);
        }
        from = progress.next.clone();
    }
}

impl CopyProgress {
    fn count(&mut self, handle: Key, copied: Result<Copied>) {
        self.examined += 1;
        match copied {
            Ok(Copied::Gone) => {}
            Ok(Copied::Made) => self.copied += 1,
            Ok(Copied::Updated) => self.updated += 1,
            Ok(Copied::Unchanged) => self.unchanged += 1,
            Ok(Copied::Foreign) => self.foreign += 1,
            Ok(Copied::Ended) => self.ended += 1,
            Err(error) => {
                self.failed += 1;
                tracing::warn!(%handle, %error, "a session was not copied");
            }
        }
    }
}

/// From where to where.
struct Copying {
    from: Arc<Shared>,
    to: Arc<Shared>,
}

/// A session as one of the stores has it.
struct Found {
    snapshot: Snapshot,
    head: Head,
    body: Body,
}

#[derive(PartialEq)]
enum Body {
    Entries(Entries),
    /// Only its client opens it.
    Bound(EncodedBody),
}

/// What a field holds, decoded.
#[derive(PartialEq)]
enum Plain {
    Bytes(Bytes),
    Number(i64),
    List(Vec<Bytes>),
}

impl Copying {
    fn between(from: &Sessions, to: &Sessions) -> Arc<Self> {
        Arc::new(Self {
            from: Arc::clone(&from.shared),
            to: Arc::clone(&to.shared),
        })
    }

    async fn copy(&self, key: &Key) -> Result<Copied> {
        let mut course = Course {
            copying: self,
            key,
            listed: None,
        };
        for _ in 0..TURNS {
            if let Some(copied) = course.turn().await? {
                return Ok(copied);
            }
        }
        Err(SessionError::LockTimeout)
    }

    /// Makes a session that is not there. `None`: somebody else did.
    async fn make(&self, key: &Key, original: &Found) -> Result<Option<Copied>> {
        let data = self.encode(key, original, None).await?;
        let req = Create {
            op: mark(key, 1, &data),
            resend: false,
            stamp: original.snapshot.stamp,
            ttl: original.ttl(&self.from),
            data: data.into(),
            lock: None,
        };
        match self.to.driver.create(key, req).await? {
            Created::Done { .. } => Ok(Some(Copied::Made)),
            Created::Taken => Ok(None),
            _ => Err(strange().into()),
        }
    }

    /// A use of the original makes the copy live longer, too.
    async fn live_as_long(
        &self,
        key: &Key,
        original: &Found,
        left: Option<Duration>,
    ) -> Result<Copied> {
        let ttl = original.ttl(&self.from);
        let resolution = self.to.driver.info().ttl_resolution;
        if left.is_none_or(|left| left + resolution < ttl) {
            let epoch = original.snapshot.stamp.epoch;
            self.to.driver.touch(key, Touch { epoch, ttl }).await?;
        }
        Ok(Copied::Unchanged)
    }

    /// The record for the other store. Its subject's index there may have another generation.
    async fn encode(
        &self,
        key: &Key,
        original: &Found,
        there: Option<Membership>,
    ) -> Result<Bytes> {
        let mut head = original.head.clone();
        if let Some(membership) = &mut head.membership {
            let known = there.filter(|known| known.subject == membership.subject);
            membership.generation = match known {
                Some(known) => known.generation,
                None => self.list_under(membership, key).await?,
            };
        }
        let (envelope, place) = (&self.to.envelope, Place::of(key));
        Ok(match &original.body {
            Body::Entries(entries) => envelope.encode(place, &head, entries)?,
            Body::Bound(body) => envelope.encode_around(place, &head, body)?,
        })
    }

    async fn list_under(&self, membership: &Membership, key: &Key) -> Result<u64> {
        let req = Reserve {
            key: *key,
            ttl: longest_life(&self.from),
            cap: None,
        };
        match index(&self.to)?.reserve(&membership.subject, req).await? {
            Reserved::Done { generation } => Ok(generation),
            _ => Err(strange().into()),
        }
    }

    /// Ends a copy whose original is over.
    async fn end(&self, key: &Key) -> Result<Copied> {
        for _ in 0..TURNS {
            if read(&self.from, key).await?.is_some() {
                return Ok(Copied::Unchanged);
            }
            let there = read(&self.to, key).await?;
            let Some(there) = there.filter(|it| !is_flight(&it.stamp)) else {
                return Ok(Copied::Gone);
            };
            if !is_copy(key, &there) {
                return Ok(Copied::Foreign);
            }
            let only_if = Some(Guard::unchanged(&there));
            match self.to.driver.delete(key, Delete { only_if }).await? {
                Deleted::Done => return Ok(Copied::Ended),
                Deleted::Nothing => return Ok(Copied::Gone),
                Deleted::Locked => return Ok(Copied::Foreign),
                Deleted::Conflict(_) | Deleted::Ended => {}
                _ => return Err(strange().into()),
            }
        }
        Err(SessionError::LockTimeout)
    }
}

/// One session, as often as it takes.
struct Course<'a> {
    copying: &'a Copying,
    key: &'a Key,
    /// The subject that its copy was listed under, for a write that may not have come about.
    listed: Option<Subject>,
}

impl Course<'_> {
    /// `None`: somebody came in between.
    async fn turn(&mut self) -> Result<Option<Copied>> {
        let (Copying { from, to }, key) = (self.copying, self.key);
        let snapshot = read(from, key).await?;
        let Some(snapshot) = snapshot.filter(|it| !is_flight(&it.stamp)) else {
            return Ok(Some(Copied::Gone));
        };
        let original = decoded(from, key, snapshot)?;
        if original.is_over(from) {
            return Ok(Some(Copied::Gone));
        }
        let copied = match read(to, key).await? {
            None => self.copying.make(key, &original).await?,
            Some(there) => self.bring_up_to_date(&original, there).await?,
        };
        match copied {
            None => return Ok(None),
            Some(Copied::Foreign) => self.unlist().await?,
            Some(copied) => {
                let changed = self.copying.copy_fields(key, &original).await?;
                if changed && copied == Copied::Unchanged {
                    return Ok(Some(Copied::Updated));
                }
            }
        }
        Ok(copied)
    }

    /// Writes over a copy that is behind. `None`: somebody came in between.
    async fn bring_up_to_date(
        &mut self,
        original: &Found,
        there: Snapshot,
    ) -> Result<Option<Copied>> {
        let (copying, key) = (self.copying, self.key);
        if !is_copy(key, &there) {
            return Ok(Some(Copied::Foreign));
        }
        let (guard, left) = (Guard::unchanged(&there), there.left);
        let number = there.version.number + 1;
        // One that was made with other codecs, or other keys, is made anew.
        let copy = decoded(&copying.to, key, there).ok();
        if let Some(copy) = &copy
            && copy.is_of(original)
        {
            return copying.live_as_long(key, original, left).await.map(Some);
        }
        let former = copy.as_ref().and_then(|copy| copy.head.membership);
        let data = copying.encode(key, original, former).await?;
        let subject = original.subject();
        let former = former.map(|former| former.subject);
        let moves = former != subject;
        if moves {
            self.listed = subject;
        }
        let req = Save {
            op: mark(key, number, &data),
            resend: false,
            guard,
            stamp: original.snapshot.stamp,
            ttl: original.ttl(&copying.from),
            data: data.into(),
            release: false,
        };
        match copying.to.driver.save(key, req).await? {
            Written::Done { .. } => {
                if moves && let Some(former) = former {
                    index(&copying.to)?.forget(&former, vec![*key]).await?;
                }
                Ok(Some(Copied::Updated))
            }
            // Whoever holds its lock uses it there.
            Written::Locked => Ok(Some(Copied::Foreign)),
            Written::Conflict(_) | Written::Missing | Written::Ended => Ok(None),
            _ => Err(strange().into()),
        }
    }

    /// What is used there keeps the subject that it has there.
    async fn unlist(&self) -> Result<()> {
        let (to, key) = (&self.copying.to, self.key);
        let Some(subject) = self.listed else {
            return Ok(());
        };
        let there = match read(to, key).await? {
            Some(there) => decoded(to, key, there)?.subject(),
            None => None,
        };
        if there != Some(subject) {
            index(to)?.forget(&subject, vec![*key]).await?;
        }
        Ok(())
    }
}

/// Lockless fields.
impl Copying {
    /// Answers whether there was something to do.
    async fn copy_fields(&self, key: &Key, original: &Found) -> Result<bool> {
        let (Some(from), Some(to)) = (self.from.driver.fields(), self.to.driver.fields()) else {
            return self.without_fields(key).await;
        };
        let names = inventory(&*self.from.driver)?.field_names(key).await?;
        let there = inventory(&*self.to.driver)?.field_names(key).await?;
        let fields = CopiedFields {
            copying: self,
            key,
            epoch: original.snapshot.stamp.epoch,
            from,
            to,
        };
        let mut changed = false;
        for name in there.iter().filter(|name| !names.contains(name)) {
            fields.write(name, FieldChange::Clear).await?;
            changed = true;
        }
        for name in &names {
            changed |= fields.copy(name).await?;
        }
        Ok(changed)
    }

    /// It is an error only if there are some.
    async fn without_fields(&self, key: &Key) -> Result<bool> {
        if self.from.driver.fields().is_none() {
            return Ok(false);
        }
        let names = inventory(&*self.from.driver)?.field_names(key).await?;
        match names.is_empty() {
            true => Ok(false),
            false => Err(SessionError::Unsupported("lockless fields")),
        }
    }
}

/// The fields of one session.
struct CopiedFields<'a> {
    copying: &'a Copying,
    key: &'a Key,
    epoch: Epoch,
    from: &'a dyn LocklessFields,
    to: &'a dyn LocklessFields,
}

impl CopiedFields<'_> {
    async fn copy(&self, name: &FieldName) -> Result<bool> {
        let Copying { from, to } = self.copying;
        let Some(original) = self.read(from, self.from, name).await? else {
            return Ok(false);
        };
        let copy = self.read(to, self.to, name).await?;
        if copy.as_ref() == Some(&original) {
            return Ok(false);
        }
        match (original, copy) {
            (Plain::Bytes(bytes), _) => {
                let item = self.encode(name, bytes)?;
                self.write(name, FieldChange::Set(item.into())).await?;
            }
            (Plain::Number(number), Some(Plain::Number(there)))
                if number.checked_sub(there).is_some() =>
            {
                self.write(name, FieldChange::Incr(number - there)).await?;
            }
            (Plain::Number(number), copy) => {
                self.clear(name, copy.is_some()).await?;
                self.write(name, FieldChange::Incr(number)).await?;
            }
            (Plain::List(items), copy) => {
                let there = match &copy {
                    Some(Plain::List(there)) if items.starts_with(there) => there.len(),
                    copy => {
                        self.clear(name, copy.is_some()).await?;
                        0
                    }
                };
                for item in items.into_iter().skip(there) {
                    let item = self.encode(name, item)?;
                    self.write(name, FieldChange::Push(item.into())).await?;
                }
            }
        }
        Ok(true)
    }

    async fn clear(&self, name: &FieldName, there: bool) -> Result<()> {
        match there {
            true => self.write(name, FieldChange::Clear).await,
            false => Ok(()),
        }
    }

    async fn read(
        &self,
        shared: &Shared,
        fields: &dyn LocklessFields,
        name: &FieldName,
    ) -> Result<Option<Plain>> {
        let req = FieldRead {
            name: name.clone(),
            epoch: self.epoch,
            items: None,
        };
        let FieldFound::Value(value) = fields.read_field(self.key, req).await? else {
            return Ok(None);
        };
        let plain = |stored: Bytes| {
            let (envelope, now) = (&shared.envelope, shared.time.now());
            envelope.decode_item(Place::of(self.key), name.as_str(), stored, now)
        };
        Ok(Some(match value {
            FieldValue::Number(number) => Plain::Number(number),
            FieldValue::Bytes(stored) => Plain::Bytes(plain(stored.into_bytes())?),
            FieldValue::List(items) => {
                let items = items.into_iter().map(|item| plain(item.into_bytes()));
                Plain::List(items.collect::<asm_core::Result<_>>()?)
            }
        }))
    }

    fn encode(&self, name: &FieldName, item: Bytes) -> Result<Bytes> {
        let envelope = &self.copying.to.envelope;
        Ok(envelope.encode_item(Place::of(self.key), name.as_str(), item)?)
    }

    /// A session that has gone, or begun a new epoch, is seen to by the next copy.
    async fn write(&self, name: &FieldName, change: FieldChange) -> Result<()> {
        let req = FieldWrite {
            name: name.clone(),
            epoch: self.epoch,
            op: self.copying.to.ids.op()?,
            resend: None,
            change,
        };
        match self.to.write_field(self.key, req).await? {
            FieldWritten::WrongKind => Err(SessionError::WrongKind),
            FieldWritten::Overflow => Err(SessionError::Overflow {
                key: name.as_str().to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

impl Found {
    fn subject(&self) -> Option<Subject> {
        self.head.membership.map(|membership| membership.subject)
    }

    /// What its absolute deadline says, which a store need not know of.
    fn is_over(&self, shared: &Shared) -> bool {
        shared.lifetimes.is_over(&self.head, self.snapshot.now)
    }

    /// What is left of its life; a record that lost that gets what a use of it would give.
    fn ttl(&self, shared: &Shared) -> Duration {
        let Snapshot {
            version, left, now, ..
        } = &self.snapshot;
        left.unwrap_or_else(|| shared.lifetimes.ttl(&self.head, version.number, *now))
    }

    /// Whether it holds what this original does.
    fn is_of(&self, original: &Self) -> bool {
        let mut head = self.head.clone();
        if let (Some(ours), Some(theirs)) = (&mut head.membership, original.head.membership) {
            ours.generation = theirs.generation;
        }
        head == original.head && self.body == original.body
    }
}

async fn read(shared: &Shared, key: &Key) -> Result<Option<Snapshot>> {
    match shared.driver.open(key, Open { lock: None }).await? {
        Opened::Found { snapshot, .. } => Ok(Some(snapshot)),
        Opened::Missing => Ok(None),
        _ => Err(strange().into()),
    }
}

fn decoded(shared: &Shared, key: &Key, snapshot: Snapshot) -> Result<Found> {
    let (envelope, place) = (&shared.envelope, Place::of(key));
    let record = snapshot.data.clone().into_bytes();
    let (head, body) = envelope.decode_head(place, &record, snapshot.now)?;
    let body = if body.is_split() {
        Body::Bound(body)
    } else {
        Body::Entries(envelope.decode_body(place, body)?)
    };
    Ok(Found {
        snapshot,
        head,
        body,
    })
}

/// The op id of the write that makes a copy.
fn mark(key: &Key, number: u64, data: &[u8]) -> OpId {
    let digest = Sha256::new()
        .chain_update(b"a copy of a session")
        .chain_update(key.as_bytes())
        .chain_update(number.to_be_bytes())
        .chain_update(data)
        .finalize();
    let mut op = [0; OpId::LEN];
    op.copy_from_slice(&digest[..OpId::LEN]);
    OpId::from_bytes(op)
}

/// Whether it was written by a copy, and by nobody since.
fn is_copy(key: &Key, snapshot: &Snapshot) -> bool {
    let version = snapshot.version;
    version.op == mark(key, version.number, &snapshot.data)
}

fn inventory(driver: &dyn Driver) -> Result<&dyn Inventory> {
    let inventory = driver.inventory();
    inventory.ok_or(SessionError::Unsupported("list of all sessions"))
}
