//! A driver around a driver: what test tools and broken drivers are made of.

use std::{fmt, fmt::Debug, time::Duration};

use asm_core::{
    Acquired, Broken, ChangeFeed, Create, Created, Cursor, Delete, Deleted, Driver, DriverInfo,
    Fence, FieldFound, FieldName, FieldRead, FieldWrite, FieldWritten, Inventory, Key, ListStep,
    Listed, Listing, LockState, LockStore, LockToken, LockWish, LocklessFields, Open, Opened,
    Released, Renewed, Reserve, Reserved, Result, Revoked, Save, SessionStore, Subject,
    SubjectIndex, Subscribe, Subscribed, Sweep, SweepStep, Swept, Touch, Touched, Written,
};
use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::Facet;

/// What stands between a driver and its user: each verb goes to the driver inside unless it is
/// overridden, and [`Layer::around`] sees every call.
///
/// [`Layered`] makes a driver of it. As with any driver, a dropped future must leave no lock
/// behind; a layer that waits after the driver inside has answered takes care of that itself, with
/// [`Call::lock`].
///
/// ```
/// use std::sync::Arc;
/// use asm_core::{Driver, Key, Result, Touch, Touched};
/// use asm_testkit::{Layer, Layered};
///
/// /// Keeps every session at the lifetime it was last saved with.
/// #[derive(Debug)]
/// struct Untouchable(Arc<dyn Driver>);
///
/// #[async_trait::async_trait]
/// impl Layer for Untouchable {
///     fn inner(&self) -> &dyn Driver {
///         &*self.0
///     }
///
///     async fn touch(&self, key: &Key, req: Touch) -> Result<Touched> {
///         let nothing = Touch { ttl: std::time::Duration::ZERO, ..req };
///         self.inner().touch(key, nothing).await
///     }
/// }
///
/// fn untouchable(driver: Arc<dyn Driver>) -> Arc<dyn Driver> {
///     Arc::new(Layered::new(Untouchable(driver)))
/// }
/// ```
#[async_trait]
pub trait Layer: Debug + Send + Sync + 'static {
    /// The driver inside.
    fn inner(&self) -> &dyn Driver;

    /// Whether the driver has this facet: those of the driver inside, unless overridden to hide
    /// one.
    fn has(&self, facet: Facet) -> bool {
        facet.is_in(self.inner())
    }

    /// What is done with every call: it is sent, once, unless overridden.
    async fn around<T: Send + 'static>(&self, call: Call<'_, T>) -> Result<T> {
        call.send().await
    }

    /// See [`Driver::info`].
    fn info(&self) -> DriverInfo {
        self.inner().info()
    }

    /// See [`SessionStore::create`].
    async fn create(&self, key: &Key, req: Create) -> Result<Created> {
        self.inner().create(key, req).await
    }

    /// See [`SessionStore::open`].
    async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
        self.inner().open(key, req).await
    }

    /// See [`SessionStore::save`].
    async fn save(&self, key: &Key, req: Save) -> Result<Written> {
        self.inner().save(key, req).await
    }

    /// See [`SessionStore::touch`].
    async fn touch(&self, key: &Key, req: Touch) -> Result<Touched> {
        self.inner().touch(key, req).await
    }

    /// See [`SessionStore::delete`].
    async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted> {
        self.inner().delete(key, req).await
    }

    /// See [`LockStore::acquire`].
    async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
        self.inner().acquire(key, wish).await
    }

    /// See [`LockStore::renew`].
    async fn renew(&self, key: &Key, token: &LockToken, hold: Duration) -> Result<Renewed> {
        self.inner().renew(key, token, hold).await
    }

    /// See [`LockStore::release`].
    async fn release(&self, key: &Key, token: &LockToken) -> Result<Released> {
        self.inner().release(key, token).await
    }

    /// See [`LockStore::break_lock`].
    async fn break_lock(&self, key: &Key, fence: Option<Fence>) -> Result<Broken> {
        self.inner().break_lock(key, fence).await
    }

    /// See [`LockStore::inspect`].
    async fn inspect(&self, key: &Key) -> Result<LockState> {
        self.inner().inspect(key).await
    }

    /// See [`LockStore::abandon`]. Does not go through [`Layer::around`].
    fn abandon(&self, key: &Key, token: &LockToken) {
        self.inner().abandon(key, token);
    }

    /// See [`LocklessFields::read_field`].
    async fn read_field(&self, key: &Key, req: FieldRead) -> Result<FieldFound> {
        facet(self.inner().fields()).read_field(key, req).await
    }

    /// See [`LocklessFields::write_field`].
    async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
        facet(self.inner().fields()).write_field(key, req).await
    }

    /// See [`ChangeFeed::subscribe`].
    async fn subscribe(&self, key: &Key, req: Subscribe) -> Result<Subscribed> {
        facet(self.inner().changes()).subscribe(key, req).await
    }

    /// See [`SubjectIndex::reserve`].
    async fn reserve(&self, subject: &Subject, req: Reserve) -> Result<Reserved> {
        facet(self.inner().subjects()).reserve(subject, req).await
    }

    /// See [`SubjectIndex::list`].
    async fn list(&self, subject: &Subject) -> Result<Listing> {
        facet(self.inner().subjects()).list(subject).await
    }

    /// See [`SubjectIndex::revoke`].
    async fn revoke(&self, subject: &Subject, keep: Option<Key>) -> Result<Revoked> {
        facet(self.inner().subjects()).revoke(subject, keep).await
    }

    /// See [`SubjectIndex::forget`].
    async fn forget(&self, subject: &Subject, keys: Vec<Key>) -> Result<usize> {
        facet(self.inner().subjects()).forget(subject, keys).await
    }

    /// See [`Sweep::sweep`].
    async fn sweep(&self, step: SweepStep) -> Result<Swept> {
        facet(self.inner().sweeper()).sweep(step).await
    }

    /// See [`Inventory::list_sessions`].
    async fn list_sessions(&self, step: ListStep) -> Result<Listed> {
        facet(self.inner().inventory()).list_sessions(step).await
    }

    /// See [`Inventory::field_names`].
    async fn field_names(&self, key: &Key) -> Result<Vec<FieldName>> {
        facet(self.inner().inventory()).field_names(key).await
    }
}

/// One call on its way through a layer.
pub struct Call<'a, T> {
    /// What is called.
    pub verb: Verb,
    /// The lock that the call may take, and its session.
    pub lock: Option<(Key, LockToken)>,
    send: &'a Sending<'a, T>,
}

type Sending<'a, T> = dyn Fn(bool) -> BoxFuture<'a, Result<T>> + Send + Sync + 'a;

impl<T> Call<'_, T> {
    /// Sends it.
    ///
    /// # Errors
    /// Those of the verb.
    pub async fn send(&self) -> Result<T> {
        (self.send)(false).await
    }

    /// Sends it once more, marked as a resend where the verb has such a mark.
    ///
    /// # Errors
    /// Those of the verb.
    pub async fn send_again(&self) -> Result<T> {
        (self.send)(true).await
    }
}

impl<T> Debug for Call<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({})", self.verb)
    }
}

/// What can be asked of a driver and of its facets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the method of that name")]
pub enum Verb {
    Create,
    Open,
    Save,
    Touch,
    Delete,
    Acquire,
    Renew,
    Release,
    BreakLock,
    Inspect,
    Abandon,
    ReadField,
    WriteField,
    Subscribe,
    Reserve,
    List,
    Revoke,
    Forget,
    Sweep,
    ListSessions,
    FieldNames,
}

impl Verb {
    /// The method's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Open => "open",
            Self::Save => "save",
            Self::Touch => "touch",
            Self::Delete => "delete",
            Self::Acquire => "acquire",
            Self::Renew => "renew",
            Self::Release => "release",
            Self::BreakLock => "break_lock",
            Self::Inspect => "inspect",
            Self::Abandon => "abandon",
            Self::ReadField => "read_field",
            Self::WriteField => "write_field",
            Self::Subscribe => "subscribe",
            Self::Reserve => "reserve",
            Self::List => "list",
            Self::Revoke => "revoke",
            Self::Forget => "forget",
            Self::Sweep => "sweep",
            Self::ListSessions => "list_sessions",
            Self::FieldNames => "field_names",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The driver that a [`Layer`] makes of the one inside.
#[derive(Debug)]
pub struct Layered<L>(L);

impl<L: Layer> Layered<L> {
    /// The driver that this layer makes.
    #[must_use]
    pub fn new(layer: L) -> Self {
        Self(layer)
    }

    /// The layer, for what it knows.
    #[must_use]
    pub fn layer(&self) -> &L {
        &self.0
    }

    async fn call<'a, T: Send + 'static>(
        &'a self,
        verb: Verb,
        lock: Option<(Key, LockToken)>,
        send: &'a Sending<'a, T>,
    ) -> Result<T> {
        self.0.around(Call { verb, lock, send }).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<L: Layer> SessionStore for Layered<L> {
    async fn create(&self, key: &Key, req: Create) -> Result<Created> {
        let lock = req.lock.as_ref().map(|claim| (*key, claim.token));
        self.call(Verb::Create, lock, &|again| {
            let resend = req.resend || again;
            self.0.create(
                key,
                Create {
                    resend,
                    ..req.clone()
                },
            )
        })
        .await
    }

    async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
        let lock = req.lock.as_ref().map(|wish| (*key, wish.claim.token));
        self.call(Verb::Open, lock, &|_| self.0.open(key, req.clone()))
            .await
    }

    async fn save(&self, key: &Key, req: Save) -> Result<Written> {
        self.call(Verb::Save, None, &|again| {
            let resend = req.resend || again;
            self.0.save(
                key,
                Save {
                    resend,
                    ..req.clone()
                },
            )
        })
        .await
    }

    async fn touch(&self, key: &Key, req: Touch) -> Result<Touched> {
        self.call(Verb::Touch, None, &|_| self.0.touch(key, req.clone()))
            .await
    }

    async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted> {
        self.call(Verb::Delete, None, &|_| self.0.delete(key, req.clone()))
            .await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<L: Layer> LockStore for Layered<L> {
    async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
        let lock = Some((*key, wish.claim.token));
        self.call(Verb::Acquire, lock, &|_| self.0.acquire(key, wish.clone()))
            .await
    }

    async fn renew(&self, key: &Key, token: &LockToken, hold: Duration) -> Result<Renewed> {
        self.call(Verb::Renew, None, &|_| self.0.renew(key, token, hold))
            .await
    }

    async fn release(&self, key: &Key, token: &LockToken) -> Result<Released> {
        self.call(Verb::Release, None, &|_| self.0.release(key, token))
            .await
    }

    async fn break_lock(&self, key: &Key, fence: Option<Fence>) -> Result<Broken> {
        self.call(Verb::BreakLock, None, &|_| self.0.break_lock(key, fence))
            .await
    }

    async fn inspect(&self, key: &Key) -> Result<LockState> {
        self.call(Verb::Inspect, None, &|_| self.0.inspect(key))
            .await
    }

    fn abandon(&self, key: &Key, token: &LockToken) {
        self.0.abandon(key, token);
    }
}

#[deny(clippy::missing_trait_methods)]
impl<L: Layer> Driver for Layered<L> {
    fn info(&self) -> DriverInfo {
        self.0.info()
    }

    fn fields(&self) -> Option<&dyn LocklessFields> {
        self.0.has(Facet::Fields).then_some(self)
    }

    fn changes(&self) -> Option<&dyn ChangeFeed> {
        self.0.has(Facet::Changes).then_some(self)
    }

    fn subjects(&self) -> Option<&dyn SubjectIndex> {
        self.0.has(Facet::Subjects).then_some(self)
    }

    fn sweeper(&self) -> Option<&dyn Sweep> {
        self.0.has(Facet::Sweeper).then_some(self)
    }

    fn inventory(&self) -> Option<&dyn Inventory> {
        self.0.has(Facet::Inventory).then_some(self)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<L: Layer> LocklessFields for Layered<L> {
    async fn read_field(&self, key: &Key, req: FieldRead) -> Result<FieldFound> {
        self.call(Verb::ReadField, None, &|_| {
            self.0.read_field(key, req.clone())
        })
        .await
    }

    async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
        self.call(Verb::WriteField, None, &|again| {
            let resend = req.resend.or_else(|| again.then_some(Duration::ZERO));
            self.0.write_field(
                key,
                FieldWrite {
                    resend,
                    ..req.clone()
                },
            )
        })
        .await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<L: Layer> ChangeFeed for Layered<L> {
    async fn subscribe(&self, key: &Key, req: Subscribe) -> Result<Subscribed> {
        self.call(Verb::Subscribe, None, &|_| {
            self.0.subscribe(key, req.clone())
        })
        .await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<L: Layer> SubjectIndex for Layered<L> {
    async fn reserve(&self, subject: &Subject, req: Reserve) -> Result<Reserved> {
        self.call(Verb::Reserve, None, &|_| {
            self.0.reserve(subject, req.clone())
        })
        .await
    }

    async fn list(&self, subject: &Subject) -> Result<Listing> {
        self.call(Verb::List, None, &|_| self.0.list(subject)).await
    }

    async fn revoke(&self, subject: &Subject, keep: Option<Key>) -> Result<Revoked> {
        self.call(Verb::Revoke, None, &|_| self.0.revoke(subject, keep))
            .await
    }

    async fn forget(&self, subject: &Subject, keys: Vec<Key>) -> Result<usize> {
        self.call(Verb::Forget, None, &|_| {
            self.0.forget(subject, keys.clone())
        })
        .await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<L: Layer> Sweep for Layered<L> {
    async fn sweep(&self, step: SweepStep) -> Result<Swept> {
        self.call(Verb::Sweep, None, &|_| self.0.sweep(step.clone()))
            .await
    }

    fn progress(&self, at: &Cursor) -> Option<f64> {
        facet(self.0.inner().sweeper()).progress(at)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<L: Layer> Inventory for Layered<L> {
    async fn list_sessions(&self, step: ListStep) -> Result<Listed> {
        self.call(Verb::ListSessions, None, &|_| {
            self.0.list_sessions(step.clone())
        })
        .await
    }

    async fn field_names(&self, key: &Key) -> Result<Vec<FieldName>> {
        self.call(Verb::FieldNames, None, &|_| self.0.field_names(key))
            .await
    }

    fn progress(&self, at: &Cursor) -> Option<f64> {
        facet(self.0.inner().inventory()).progress(at)
    }
}

/// A facet of the driver inside, which is there: [`Layered`] shows only what [`Layer::has`].
fn facet<F: ?Sized>(accessor: Option<&F>) -> &F {
    accessor.expect("a facet that the driver inside has")
}
