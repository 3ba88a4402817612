//! The one session of a request, which all that is extracted from it shares.
//!
//! A session in asm-session has one owner that changes it through `&mut`. Here it lies in a slot
//! behind a mutex. What is synchronous looks into the slot, for as long as that takes. What waits
//! takes the session out and puts it back when it is done, or dropped: no guard of the mutex is
//! ever held across an await. Those who wait do so one after the other.

use std::{
    fmt::{self, Debug},
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
    time::Duration,
};

use asm_session::{IdUpdate, LockKeeper, LockMode, Origin, Session as Inner, SessionId};
use futures_util::lock::{Mutex as Turns, MutexGuard as TurnGuard};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{
    Invalid, Result, SessionError,
    client::guarded,
    layer::Config,
    meter::{self, Stopwatch},
    request::{Arriving, Brought},
    transport::{Carrier, SESSION_ID},
};

/// The session of one request: not opened before somebody asks for it, and then open once.
pub(crate) struct Lease {
    pub(crate) config: Arc<Config>,
    arriving: Arriving,
    /// That of a layer around this one.
    outer: Option<Arc<Self>>,
    /// Whoever waits for the store has it.
    turns: Turns<()>,
    slot: Mutex<Slot>,
}

struct Slot {
    stage: Stage,
    /// `None` before it is opened, and while somebody has taken it out.
    session: Option<Box<Inner>>,
    opened: Option<Box<Opened>>,
    /// Whether anybody asked for it: then the response is this client's.
    touched: bool,
    /// The mode of the route.
    mode: Option<LockMode>,
    /// Whoever would keep the lock alive, if there were one.
    watcher: Option<Waker>,
}

/// What is known of a session since it was opened.
struct Opened {
    carrier: Carrier,
    /// The id that opened it; none of a new one.
    id: Option<zeroize::Zeroizing<String>>,
    had_id: bool,
    /// Whether its cookie is to be sealed anew.
    again: bool,
    since: Stopwatch,
    keeper: LockKeeper,
    expires_in: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The handler runs.
    Handling,
    /// The headers are gone.
    Answered,
    /// Nobody waits for the answer any more.
    Over,
}

/// What becomes of a response.
pub(crate) struct Finished {
    /// Why the session was not saved.
    pub(crate) error: Option<SessionError>,
    /// What its client is told.
    pub(crate) id: Option<(Carrier, HeaderValue)>,
}

impl Lease {
    pub(crate) fn new(config: Arc<Config>, arriving: Arriving, outer: Option<Arc<Self>>) -> Self {
        Self {
            config,
            arriving,
            outer,
            turns: Turns::new(()),
            slot: Mutex::new(Slot {
                stage: Stage::Handling,
                session: None,
                opened: None,
                touched: false,
                mode: None,
                watcher: None,
            }),
        }
    }

    /// That of the layer with this name, here or further out.
    pub(crate) fn named(self: &Arc<Self>, name: &str) -> Option<Arc<Self>> {
        let mut lease = Some(self);
        while let Some(this) = lease {
            if this.config.name() == name {
                return Some(Arc::clone(this));
            }
            lease = this.outer.as_ref();
        }
        None
    }

    pub(crate) fn set_mode(&self, mode: LockMode) {
        self.slot().mode = Some(mode);
    }

    /// Whether nobody asked for it. Then the response leaves as it is.
    pub(crate) fn is_answered_untouched(&self) -> bool {
        let mut slot = self.slot();
        if !slot.touched {
            slot.stage = Stage::Answered;
        }
        !slot.touched
    }

    pub(crate) fn is_open(&self) -> bool {
        self.slot().opened.is_some()
    }

    /// Whether the client brought something that may be an id. The store is not asked.
    pub(crate) fn has_id(&self) -> bool {
        // The answer depends on it, so does the response.
        self.slot().touched = true;
        matches!(
            self.arriving.brought(&self.config).1,
            Ok(Brought::Id { .. })
        )
    }

    /// What keeps its lock alive, if it has one. Else the task of this context is woken when
    /// somebody has taken it.
    pub(crate) fn keeper_or_watch(&self, context: &Context<'_>) -> Option<LockKeeper> {
        let mut slot = self.slot();
        let locked = slot
            .session
            .as_ref()
            .is_some_and(|session| session.is_locked());
        let keeper = slot.opened.as_ref().map(|opened| &opened.keeper);
        let keeper = keeper.filter(|_| locked).cloned();
        if keeper.is_none() {
            match &mut slot.watcher {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
        }
        keeper
    }

    /// Wakes nobody who watches the lock.
    pub(crate) fn unwatch(&self) {
        self.slot().watcher = None;
    }

    /// Looks into the slot.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> Result<T> {
        let mut slot = self.slot();
        slot.check()?;
        let opened = slot.opened.is_some();
        match &mut slot.session {
            Some(session) => Ok(look(session)),
            None if opened => Err(SessionError::Busy),
            None => Err(SessionError::NotOpen),
        }
    }

    /// As [`with`](Self::with), for what gives the client a new id.
    pub(crate) fn with_new_id<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> Result<T> {
        if self.slot().stage == Stage::Answered {
            return Err(SessionError::HeadersSent);
        }
        self.with(look)
    }

    /// Takes the session out, once all who asked before have put it back.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>> {
        let guard = self.turns.lock().await;
        self.slot().check()?;
        self.take(guard).map_err(|_| SessionError::NotOpen)
    }

    /// As [`turn`](Self::turn), for what stores the session: a new one cannot be stored any more
    /// when its client cannot be told.
    pub(crate) async fn storing_turn(&self) -> Result<Turn<'_>> {
        let turn = self.turn().await?;
        if turn.is_new() && self.slot().stage == Stage::Answered {
            return Err(SessionError::HeadersSent);
        }
        Ok(turn)
    }

    /// The session, for the one whose turn it is; the turn itself when it is not open.
    fn take<'a>(&'a self, guard: TurnGuard<'a, ()>) -> Result<Turn<'a>, TurnGuard<'a, ()>> {
        match self.slot().session.take() {
            Some(session) => Ok(Turn {
                lease: self,
                session: Some(session),
                _guard: guard,
            }),
            None => Err(guard),
        }
    }

    fn put_back(&self, session: Box<Inner>) {
        let mut slot = self.slot();
        if slot.stage == Stage::Over {
            // Not under the mutex: it gives a lock away.
            drop(slot);
            drop(session);
            return;
        }
        let watcher = slot.watcher.take_if(|_| session.is_locked());
        slot.session = Some(session);
        drop(slot);
        if let Some(watcher) = watcher {
            watcher.wake();
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opening.
impl Lease {
    /// Opens it, or asks more of it when it is open. Without a wish, the mode is that of the route,
    /// of the method, or of the layer.
    pub(crate) async fn open(&self, wish: Option<LockMode>) -> Result<()> {
        let guard = self.turns.lock().await;
        let mode = {
            let mut slot = self.slot();
            slot.check()?;
            slot.touched = true;
            let method = self.arriving.method();
            wish.or(slot.mode)
                .unwrap_or_else(|| self.config.modes.of(method))
        };
        match self.take(guard) {
            Ok(mut session) => ask_for(&mut session, mode, wish.is_some()).await,
            Err(_turn) => self.open_now(mode).await,
        }
    }

    async fn open_now(&self, mode: LockMode) -> Result<()> {
        let config = &self.config;
        let (carrier, brought) = self.arriving.brought(config);
        let brought = brought?;
        let client = self.arriving.client(config);
        let sessions = config.sessions.with_mode(mode);
        let mut sessions = sessions.with_label(&self.arriving.label());
        if self.slot().stage == Stage::Answered {
            sessions = sessions.with_kept_ids();
        }
        let id = match &brought {
            Brought::Id { id, .. } => Some(id.as_str()),
            // No id at all, which is told as any malformed one is.
            Brought::Broken => Some(""),
            Brought::Several => {
                tracing::warn!("a client sent several session ids: none of them counts");
                Some("")
            }
            Brought::Nothing | Brought::Foreign => None,
        };
        let watch = Stopwatch::start(config);
        let session = Box::new(sessions.open_or_create(id, &client).await?);
        watch.opened(mode);
        if let Origin::Replaced(reason) = session.origin() {
            meter::invalid(config, reason);
            config.ask_about(&Invalid {
                reason,
                handle: id
                    .and_then(|id| SessionId::parse(id).ok())
                    .map(|id| id.handle()),
                several: matches!(brought, Brought::Several),
                client: &client,
            })?;
        }
        let resumed = session.origin() == Origin::Resumed;
        let opened = Opened {
            carrier,
            had_id: matches!(brought, Brought::Id { .. } | Brought::Broken),
            again: matches!(brought, Brought::Id { again: true, .. }),
            id: match brought {
                Brought::Id { id, .. } if resumed => Some(id),
                _ => None,
            },
            since: Stopwatch::start(config),
            keeper: session.keeper(),
            expires_in: session.expires_in(),
        };
        self.slot().opened = Some(Box::new(opened));
        self.put_back(session);
        Ok(())
    }
}

/// The first who opens a session decides its mode; a later one may need more than that.
async fn ask_for(session: &mut Inner, mode: LockMode, explicit: bool) -> Result<()> {
    let more = match (session.mode(), mode) {
        (_, LockMode::ReadOnly) | (LockMode::OnOpen, _) => false,
        (LockMode::ReadOnly, _) => true,
        (_, LockMode::OnOpen) => explicit,
        _ => false,
    };
    if !more {
        return Ok(());
    }
    match session.set_mode(mode).await {
        // By a decision, or because the lock did not come: it can be read.
        Err(asm_session::SessionError::ReadOnly) => Ok(()),
        done => Ok(done?),
    }
}

/// The end of a request.
impl Lease {
    /// Saves it and gives its lock away, before the headers leave; `keep` is whether what the
    /// handler did is to last.
    pub(crate) async fn finish(&self, keep: bool) -> Finished {
        let mut finished = Finished {
            error: None,
            id: None,
        };
        let mut turn = self.turn().await;
        if let Ok(session) = &mut turn {
            if !keep {
                session.discard();
            }
            self.close(session, &mut finished).await;
            match self.id_header(session) {
                Ok(id) => finished.id = id,
                Err(error) => finished.error = Some(error),
            }
            // What its client was not told now, it is never told.
            session.keep_id();
        }
        let mut slot = self.slot();
        if slot.stage == Stage::Handling {
            slot.stage = Stage::Answered;
        }
        finished
    }

    async fn close(&self, session: &mut Inner, finished: &mut Finished) {
        let (watch, locked) = (Stopwatch::start(&self.config), session.is_locked());
        if let Err(error) = session.close().await {
            // It was told; and what could not be saved now is not saved later.
            session.discard();
            finished.error = Some(error.into());
        }
        watch.saved();
        if let Some(opened) = self.slot().opened.as_ref().filter(|_| locked) {
            opened.since.held();
        }
        meter::publish(&self.config, &self.config.sessions);
    }

    /// Ends it at once if it was not answered: nobody waits for the answer any more.
    pub(crate) fn abandon(&self) {
        let session = {
            let mut slot = self.slot();
            if slot.stage != Stage::Handling {
                return;
            }
            slot.stage = Stage::Over;
            slot.session.take()
        };
        // Gives its lock away.
        drop(session);
    }

    pub(crate) fn brought_by(&self) -> http::HeaderName {
        let slot = self.slot();
        let carrier = slot.opened.as_ref().map(|opened| opened.carrier);
        carrier
            .unwrap_or_else(|| self.arriving.brought(&self.config).0)
            .brought_by()
    }

    /// What the client is told about its id, if anything.
    fn id_header(&self, session: &Inner) -> Result<Option<(Carrier, HeaderValue)>> {
        let slot = self.slot();
        let Some(opened) = &slot.opened else {
            return Ok(None);
        };
        let carrier = opened.carrier;
        let header = match (session.id_update(), carrier) {
            (IdUpdate::Issue(id), Carrier::Cookie) => self.issue(&id.expose(), session)?,
            (IdUpdate::Issue(id), Carrier::Header) => secret(&id.expose())?,
            // Whoever brought none has none to lose.
            (IdUpdate::Remove, _) if !opened.had_id => return Ok(None),
            (IdUpdate::Remove, Carrier::Cookie) => self.config.cookie.removal()?,
            (IdUpdate::Remove, Carrier::Header) => HeaderValue::from_static(""),
            (_, Carrier::Cookie) => match &opened.id {
                Some(id) if self.moved_on(opened, session) => self.issue(id, session)?,
                _ => return Ok(None),
            },
            (_, Carrier::Header) => return Ok(None),
        };
        Ok(Some((carrier, header)))
    }

    fn issue(&self, id: &str, session: &Inner) -> Result<HeaderValue> {
        let life = self.is_persistent(session).then(|| session.expires_in());
        self.config.cookie.issue(id, life)
    }

    /// Whether its cookie outlives the browser: by the layer's option, or because the session was
    /// given a life of its own.
    fn is_persistent(&self, session: &Inner) -> bool {
        self.config.cookie.persistent || session.lifetime().is_some()
    }

    /// Whether a cookie that has an end of its own would end before its session, or before its key
    /// does. A zombie's client has, or is about to get, another one.
    fn moved_on(&self, opened: &Opened, session: &Inner) -> bool {
        if session.is_zombie() {
            return false;
        }
        let grown = session.expires_in().as_secs() > opened.expires_in.as_secs();
        opened.again || (grown && self.is_persistent(session))
    }
}

impl Finished {
    /// Puts what the client is told into the headers of its response.
    pub(crate) fn write(self, lease: &Lease, headers: &mut HeaderMap) {
        let changes = self.id.is_some();
        match self.id {
            Some((Carrier::Cookie, cookie)) => {
                headers.append(header::SET_COOKIE, cookie);
            }
            Some((Carrier::Header, id)) => {
                headers.insert(SESSION_ID, id);
            }
            None => {}
        }
        lease
            .config
            .cache
            .apply(headers, &lease.brought_by(), changes);
    }
}

fn secret(id: &str) -> Result<HeaderValue> {
    let mut header = HeaderValue::from_str(id).map_err(|_| SessionError::CookieTooLong)?;
    header.set_sensitive(true);
    Ok(header)
}

impl Config {
    /// Asks the application about an invalid id.
    fn ask_about(&self, invalid: &Invalid<'_>) -> Result<()> {
        let Some(ask) = &self.on_invalid else {
            return Ok(());
        };
        match guarded(|| ask(invalid)) {
            Some(None) => Ok(()),
            Some(Some(status)) => Err(SessionError::Rejected(status)),
            None => Err(SessionError::Rejected(StatusCode::INTERNAL_SERVER_ERROR)),
        }
    }
}

impl Slot {
    fn check(&self) -> Result<()> {
        match self.stage {
            Stage::Handling | Stage::Answered => Ok(()),
            Stage::Over => Err(SessionError::RequestOver),
        }
    }
}

/// The session, taken out. Dropping it puts it back.
pub(crate) struct Turn<'a> {
    lease: &'a Lease,
    session: Option<Box<Inner>>,
    _guard: TurnGuard<'a, ()>,
}

impl Deref for Turn<'_> {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        self.session.as_ref().expect("it is there until the drop")
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut Inner {
        self.session.as_mut().expect("it is there until the drop")
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.lease.put_back(session);
        }
    }
}

impl Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot = self.slot();
        f.debug_struct("Lease")
            .field("layer", &self.config.name())
            .field("stage", &slot.stage)
            .field("session", &slot.session)
            .finish_non_exhaustive()
    }
}
