//! What a case must not show, and a look at all that is shown while it runs.
//!
//! A case that is watched has a layer around each of its drivers that notes the tokens, op ids,
//! proofs and data that pass by, and the source of ids notes what it drew for sessions. When the
//! case is over, none of them may be found in what was logged at any level, by its thread or by one
//! that belongs to no case, as those of a driver; in the errors of the drivers; or in the text with
//! which it failed.
//!
//! Keys are not looked for: they are the handles of sessions, which may be logged.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap, HashSet},
    error::Error,
    fmt::{self, Debug},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use asm_core::{
    Acquired, Claim, Create, Created, Driver, FieldChange, FieldWrite, FieldWritten, Key, LockWish,
    Open, Opened, Proof, Result, Save, Stamp, Written,
};
use asm_session::{Draw, IdSource, OsRandom};
use async_trait::async_trait;
use base64ct::{Base64Unpadded, Encoding};
use tracing::subscriber::{DefaultGuard, set_default, set_global_default};

use crate::{Call, Harness, Layer, Layered, harness::Through, log::Recorder};

/// The secrets of one case, and the texts that it showed.
#[derive(Default)]
pub(crate) struct Canaries {
    names: Mutex<Vec<u8>>,
    data: Mutex<Vec<u8>>,
    shown: Mutex<BTreeSet<(String, String)>>,
}

/// So many bytes in a row of an id, a secret or a token give it away.
const OF_A_NAME: usize = 8;

/// So many bytes in a row of data give it away: fewer could be the name of an entry, which may be
/// logged.
const OF_DATA: usize = 16;

/// How many pieces of one secret are looked for.
const PIECES: usize = 8;

/// How many different bytes a piece must have: zeros and the like are everywhere.
const DIFFERENT: usize = 5;

/// The shortest form that is looked for.
const WINDOW: usize = 8;

thread_local! {
    static OF_THIS_CASE: RefCell<Option<Arc<Canaries>>> = const { RefCell::new(None) };
}

/// Those of all cases that are watched now.
static OF_ALL_CASES: Mutex<Vec<Weak<Canaries>>> = Mutex::new(Vec::new());

impl Canaries {
    /// Those of the case that runs on this thread, if it is watched.
    pub(crate) fn here() -> Option<Arc<Self>> {
        OF_THIS_CASE.with_borrow(Clone::clone)
    }

    /// Those of all cases that may have a part in what this thread shows.
    pub(crate) fn near() -> Vec<Arc<Self>> {
        match Self::here() {
            Some(canaries) => vec![canaries],
            None => lock(&OF_ALL_CASES)
                .iter()
                .filter_map(Weak::upgrade)
                .collect(),
        }
    }

    /// A text that somebody could read, and who wrote it.
    pub(crate) fn heard(&self, from: &str, text: String) {
        lock(&self.shown).insert((from.to_owned(), text));
    }

    /// Who showed a secret.
    pub(crate) fn shown_by(&self) -> BTreeSet<String> {
        let shown = lock(&self.shown);
        if shown.is_empty() {
            return BTreeSet::new();
        }
        let (names, data) = (lock(&self.names), lock(&self.data));
        let pieces = names
            .chunks_exact(OF_A_NAME)
            .chain(data.chunks_exact(OF_DATA));
        let mut pieces: HashSet<&[u8]> = pieces.collect();
        pieces.retain(|piece| piece.iter().collect::<HashSet<_>>().len() >= DIFFERENT);
        let forms = Forms::of(&pieces);
        let found = shown.iter().filter(|(_, text)| forms.are_in(text));
        found.map(|(from, _)| from.clone()).collect()
    }

    fn name(&self, name: &[u8]) {
        keep_whole(&mut lock(&self.names), name, OF_A_NAME);
    }

    fn data(&self, data: &[u8]) {
        keep_whole(&mut lock(&self.data), data, OF_DATA);
    }

    fn stamp(&self, stamp: &Stamp) {
        self.proof(&stamp.proofs.current);
        if let Some(pending) = &stamp.proofs.pending {
            self.proof(pending);
        }
    }

    fn proof(&self, proof: &Proof) {
        self.name(proof.as_bytes());
    }

    fn claim(&self, claim: &Claim) {
        self.name(claim.token.as_bytes());
    }
}

/// The whole pieces of this length, one after the other. A case may pass a million of them.
fn keep_whole(pieces: &mut Vec<u8>, secret: &[u8], length: usize) {
    let whole = (secret.len() / length).min(PIECES) * length;
    pieces.extend_from_slice(&secret[..whole]);
}

/// Watches what this thread shows, and those that no case runs on, until it is dropped.
pub(crate) struct Watch {
    pub(crate) canaries: Arc<Canaries>,
    _guard: DefaultGuard,
}

impl Watch {
    pub(crate) fn begin() -> Self {
        let canaries: Arc<Canaries> = Arc::default();
        OF_THIS_CASE.set(Some(Arc::clone(&canaries)));
        lock(&OF_ALL_CASES).push(Arc::downgrade(&canaries));
        // For threads that no case runs on. It stays, and a process has one only.
        let _ = set_global_default(Recorder::that_keeps_nothing());
        Self {
            canaries,
            _guard: set_default(Recorder::that_keeps_nothing()),
        }
    }

    /// This storage, with every driver of it watched.
    pub(crate) fn over(&self, harness: Box<dyn Harness>) -> Box<dyn Harness> {
        let canaries = Arc::clone(&self.canaries);
        let wrap = move |driver| {
            let canaries = Arc::clone(&canaries);
            Arc::new(Layered::new(Watched { driver, canaries })) as Arc<dyn Driver>
        };
        Box::new(Through {
            harness,
            wrap: Arc::new(wrap),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        OF_THIS_CASE.set(None);
        lock(&OF_ALL_CASES).retain(|one| !one.ptr_eq(&Arc::downgrade(&self.canaries)));
    }
}

/// The randomness of the operating system, as session layers take it whose case is watched.
pub(crate) struct Drawn(pub(crate) Option<Arc<Canaries>>);

impl IdSource for Drawn {
    fn fill(&self, draw: Draw, bytes: &mut [u8]) -> std::result::Result<(), getrandom::Error> {
        OsRandom.fill(draw, bytes)?;
        if let Some(canaries) = &self.0
            && !matches!(draw, Draw::Handle | Draw::Epoch)
        {
            canaries.name(bytes);
        }
        Ok(())
    }
}

impl Debug for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drawn")
    }
}

/// Notes what passes by, and changes nothing.
struct Watched {
    driver: Arc<dyn Driver>,
    canaries: Arc<Canaries>,
}

impl Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.driver.fmt(f)
    }
}

#[async_trait]
impl Layer for Watched {
    fn inner(&self) -> &dyn Driver {
        &*self.driver
    }

    async fn around<T: Send + 'static>(&self, call: Call<'_, T>) -> Result<T> {
        let answer = call.send().await;
        if let Err(error) = &answer {
            let from = format!("the failure of {}", call.verb);
            let mut cause: Option<&dyn Error> = Some(error);
            while let Some(error) = cause {
                self.canaries.heard(&from, format!("{error} {error:?}"));
                cause = error.source();
            }
        }
        answer
    }

    async fn create(&self, key: &Key, req: Create) -> Result<Created> {
        self.canaries.name(req.op.as_bytes());
        self.canaries.stamp(&req.stamp);
        self.canaries.data(&req.data);
        req.lock.iter().for_each(|claim| self.canaries.claim(claim));
        self.driver.create(key, req).await
    }

    async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
        if let Some(lock) = &req.lock {
            self.canaries.claim(&lock.claim);
            self.canaries.proof(&lock.proof);
        }
        self.driver.open(key, req).await
    }

    async fn save(&self, key: &Key, req: Save) -> Result<Written> {
        self.canaries.name(req.op.as_bytes());
        self.canaries.stamp(&req.stamp);
        self.canaries.data(&req.data);
        self.driver.save(key, req).await
    }

    async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
        self.canaries.claim(&wish.claim);
        self.driver.acquire(key, wish).await
    }

    async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
        self.canaries.name(req.op.as_bytes());
        if let FieldChange::Set(data) | FieldChange::Push(data) | FieldChange::Append(data) =
            &req.change
        {
            self.canaries.data(data);
        }
        let fields = self.driver.fields().expect("a facet that it has");
        fields.write_field(key, req).await
    }
}

/// How the pieces of secrets can look in a text, by their beginnings.
struct Forms(HashMap<[u8; WINDOW], Vec<Vec<u8>>>);

impl Forms {
    fn of(secrets: &HashSet<&[u8]>) -> Self {
        let mut by_start: HashMap<_, Vec<_>> = HashMap::new();
        for form in secrets.iter().flat_map(|piece| forms(piece)) {
            let urlsafe = form.replace('+', "-").replace('/', "_");
            for form in [form, urlsafe] {
                // What is no text is shown in another form, if at all.
                let dense = dense(&form);
                if !form.contains(char::REPLACEMENT_CHARACTER)
                    && let Some(start) = dense.first_chunk()
                {
                    by_start.entry(*start).or_default().push(dense);
                }
            }
        }
        Self(by_start)
    }

    fn are_in(&self, text: &str) -> bool {
        let dense = dense(text);
        (0..dense.len()).any(|at| {
            let rest = &dense[at..];
            let forms = rest.first_chunk().and_then(|start| self.0.get(start));
            forms.is_some_and(|forms| forms.iter().any(|form| rest.starts_with(form)))
        })
    }
}

/// Numbers of a list stand one to a line in the long form.
fn dense(text: &str) -> Vec<u8> {
    let bytes = text.bytes();
    bytes.filter(|byte| !byte.is_ascii_whitespace()).collect()
}

/// How bytes can be shown. What base64 makes of them depends on where they stand, so that only whole
/// groups of three are compared.
pub(crate) fn forms(bytes: &[u8]) -> Vec<String> {
    let list = |of: &[u8]| -> String {
        let numbers: Vec<String> = of.iter().map(u8::to_string).collect();
        numbers.join(",")
    };
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        String::from_utf8_lossy(bytes).into_owned(),
        hex.to_uppercase(),
        hex,
        list(bytes),
    ];
    forms.extend((0..3).map(|start| {
        let groups = bytes[start..].chunks_exact(3).flatten().copied();
        Base64Unpadded::encode_string(&groups.collect::<Vec<u8>>())
    }));
    forms
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tracing::{trace, trace_span};

    use super::*;
    use crate::{given, log::Log, mutants::Mutant, run::runtime, sessions};

    #[test]
    fn an_id_of_a_session_is_found_wherever_it_is_logged() {
        type Logs = fn(&str);
        let ways: [(&str, Logs); 5] = [
            ("an event", |id| trace!(id, "opened")),
            ("a span", |id| drop(trace_span!("open", id).entered())),
            ("a span, later", |id| {
                let span = trace_span!("open", id = tracing::field::Empty);
                span.record("id", id);
            }),
            ("a thread that no case runs on", |id| {
                let id = id.to_owned();
                let other = std::thread::spawn(move || trace!(id, "opened"));
                other.join().expect("it ends");
            }),
            ("a case that takes the log", |id| {
                let _log = Log::capture();
                trace!(id, "opened");
            }),
        ];
        for (what, log) in ways {
            let shown = watched(async |h| {
                let sessions = sessions::builder(h).await.build().expect("sessions");
                let id = sessions::plain(&sessions).await;
                trace!(handle = %id.handle(), "what may be logged");
                assert!(Canaries::here().expect("a watch").shown_by().is_empty());
                log(id.expose().as_str());
            });
            assert!(!shown.is_empty(), "{what}");
        }
    }

    #[test]
    fn what_is_everywhere_gives_nothing_away() {
        let shown = watched(async |h| {
            let driver = h.connect().await;
            let zeros = vec![0; 100];
            given::stored_as(&*driver, given::create(zeros.clone())).await;
            given::stored_as(&*driver, given::create("a short one")).await;
            trace!(?zeros, "the text of a short one");
        });
        assert!(shown.is_empty(), "{shown:?}");
    }

    fn watched(body: impl AsyncFnOnce(&dyn Harness)) -> BTreeSet<String> {
        let watch = Watch::begin();
        let harness = watch.over(Mutant::healthy_storage());
        runtime().block_on(body(&*harness));
        watch.canaries.shown_by()
    }
}
