//! Sessions are copied from one store to another while both are in use.

mod meanwhile;
mod parts;
#[path = "../codecs/places.rs"]
mod places;

use std::{
    num::NonZeroUsize,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use asm_compress::{Compress, Threshold};
use asm_core::Driver;
use asm_crypt::{KeySource, Seal};
use asm_it::ring;
use asm_session::{
    Client, CopyProgress, IdUpdate, LockMode, Rotation, Session, SessionError, Sessions,
    SessionsBuilder,
};
use places::Place;

/// Workers that change sessions while they are copied, and what each does.
const WORKERS: usize = 4;
const DEEDS: usize = 120;
/// Sessions of each worker at the start; it begins new ones, too.
const SESSIONS: usize = 8;

fn plain(driver: Arc<dyn Driver>) -> Sessions {
    built(Sessions::builder(driver))
}

fn built(builder: SessionsBuilder) -> Sessions {
    let patient = builder
        .lock_hold(places::PATIENCE)
        .lock_wait(places::PATIENCE)
        .lock_queue(None);
    patient.build().expect("settings that make sense")
}

fn issued(session: &Session, before: &str) -> String {
    match session.id_update() {
        IdUpdate::Issue(id) => id.expose().to_string(),
        _ => before.to_owned(),
    }
}

async fn open(sessions: &Sessions, id: &str) -> asm_session::Result<Session> {
    sessions.open(id, &Client::default()).await
}

async fn stored(sessions: &Sessions, text: &str) -> String {
    let mut session = sessions.create(&Client::default()).expect("randomness");
    session.insert("text", text).expect("a change");
    session.close().await.expect("a save");
    issued(&session, "")
}

async fn change(sessions: &Sessions, id: &str, text: &str) {
    let mut session = open(sessions, id).await.expect("it lives");
    session.insert("text", text).expect("a change");
    session.close().await.expect("a save");
}

async fn end(sessions: &Sessions, id: &str) {
    let mut session = open(sessions, id).await.expect("it lives");
    session.delete().await.expect("an end");
}

async fn copy(from: &Sessions, to: &Sessions) -> CopyProgress {
    let copied = copy_what_goes(from, to).await.expect("a list");
    assert_eq!(copied.failed, 0, "{copied:?}");
    assert_eq!((copied.done, &copied.next), (Some(1.0), &None));
    copied
}

/// The same where some of it may fail.
async fn copy_what_goes(from: &Sessions, to: &Sessions) -> asm_session::Result<CopyProgress> {
    let batch = NonZeroUsize::new(20).expect("not zero");
    let copied = from.copy_to(to, None, batch, |_| ControlFlow::Continue(()));
    copied.await
}

async fn end_copies(to: &Sessions, from: &Sessions) -> CopyProgress {
    let batch = NonZeroUsize::new(20).expect("not zero");
    let ended = to.end_copies(from, None, batch, |_| ControlFlow::Continue(()));
    let ended = ended.await.expect("a list");
    assert_eq!(ended.failed, 0, "{ended:?}");
    ended
}

/// What a client knows of its session.
#[derive(Clone, Debug, Default)]
struct Known {
    id: String,
    /// An id that an authentication ended.
    dead: Option<String>,
    /// What was acknowledged.
    sum: i64,
    clicks: i64,
    pages: Vec<String>,
    user: Option<String>,
    over: bool,
}

impl Known {
    async fn begin(sessions: &Sessions) -> Self {
        Self {
            id: stored(sessions, "a text").await,
            ..Self::default()
        }
    }

    /// Changes something, and notes what was acknowledged.
    async fn change(&mut self, sessions: &Sessions, random: &mut fastrand::Rng) {
        let mut session = open(sessions, &self.id).await.expect("it lives");
        match random.u8(..10) {
            0..4 => {
                session.add("sum", 1).expect("a sum");
                session.close().await.expect("a save");
                self.sum += 1;
            }
            4..6 => {
                let mut fields = session.fields().expect("fields");
                self.clicks = fields.incr("clicks", 1).await.expect("a sum");
            }
            6 => {
                let page = format!("page {}", random.u32(..));
                let mut fields = session.fields().expect("fields");
                fields.push("pages", &page).await.expect("an item");
                self.pages.push(page);
            }
            7 => {
                let rotation = match random.bool() {
                    true => Rotation::Authenticate,
                    false => Rotation::renew(),
                };
                session.regenerate(rotation).expect("a rotation");
                session.close().await.expect("a save");
                let before = std::mem::take(&mut self.id);
                self.id = issued(&session, &before);
                if rotation == Rotation::Authenticate {
                    self.dead = Some(before);
                }
            }
            8 => {
                let user = format!("user:{}", random.u8(..4));
                session.bind_subject(&user).await.expect("an index");
                session.close().await.expect("a save");
                self.user = Some(user);
            }
            _ => {
                session.delete().await.expect("an end");
                self.over = true;
            }
        }
    }

    /// Whether a store has exactly this.
    async fn check(&self, sessions: &Sessions, what: &str) {
        if self.over {
            let opened = open(sessions, &self.id).await;
            assert!(
                matches!(opened, Err(SessionError::Invalid(_))),
                "{what}: an ended session is there: {opened:?}"
            );
            return;
        }
        let mut session = open(sessions, &self.id).await.expect(what);
        let sum: i64 = session.get_or("sum", 0).expect("a number");
        assert_eq!(sum, self.sum, "{what}");
        let text: Option<String> = session.get("text").expect("a text");
        assert_eq!(text.as_deref(), Some("a text"), "{what}");
        let bound = session.info().is_bound();
        assert_eq!(bound, self.user.is_some(), "{what}");
        let mut fields = session.fields().expect("fields");
        let clicks = fields.get("clicks").await.expect("an answer");
        let clicks = clicks.map_or(0, |clicks| clicks.number().expect("a number"));
        assert_eq!(clicks, self.clicks, "{what}");
        let pages = fields.list::<String>("pages", 0..usize::MAX).await;
        assert_eq!(pages.expect("a list"), self.pages, "{what}");
        if let Some(dead) = &self.dead {
            let opened = open(sessions, dead).await;
            assert!(opened.is_err(), "{what}: a dead id lives");
        }
    }
}

async fn work(sessions: Sessions, seed: u64) -> Vec<Known> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut known = Vec::new();
    for _ in 0..SESSIONS {
        known.push(Known::begin(&sessions).await);
    }
    for _ in 0..DEEDS {
        let alive: Vec<usize> = (0..known.len()).filter(|at| !known[*at].over).collect();
        match alive.get(random.usize(..alive.len() + 1)) {
            Some(at) => known[*at].change(&sessions, &mut random).await,
            None => known.push(Known::begin(&sessions).await),
        }
    }
    known
}

/// Copies under load, pass after pass, then once more when nobody writes any more; and what was
/// acknowledged is there, and nothing else.
async fn copies_lose_nothing(
    from: Place,
    to: Place,
    target: fn(SessionsBuilder) -> SessionsBuilder,
) {
    let source = plain(from.driver());
    let copies = built(target(Sessions::builder(to.driver())));
    let working = Arc::new(AtomicBool::new(true));
    let copier = {
        let (source, copies, working) = (source.clone(), copies.clone(), Arc::clone(&working));
        tokio::spawn(async move {
            let mut passes = 0;
            while working.load(Ordering::SeqCst) {
                copy(&source, &copies).await;
                passes += 1;
            }
            passes
        })
    };
    let seed = fastrand::u64(..);
    let workers: Vec<_> = (0..WORKERS as u64)
        .map(|worker| tokio::spawn(work(source.clone(), seed.wrapping_add(worker))))
        .collect();
    let mut known = Vec::new();
    for worker in workers {
        known.extend(
            worker
                .await
                .unwrap_or_else(|error| panic!("{error}, seed {seed}")),
        );
    }
    working.store(false, Ordering::SeqCst);
    let passes = copier.await.expect("no panic");
    let last = copy(&source, &copies).await;
    let ended = end_copies(&copies, &source).await;
    let alive = known.iter().filter(|known| !known.over).count() as u64;
    // A list may have one of them twice.
    assert!(last.examined >= alive, "seed {seed}");
    assert_eq!((last.foreign, ended.foreign), (0, 0), "seed {seed}");
    let again = copy(&source, &copies).await;
    assert_eq!(again.unchanged, again.examined, "seed {seed}");

    let what = format!("{} to {}, seed {seed}", from.name, to.name);
    for known in &known {
        known.check(&source, &what).await;
        known.check(&copies, &what).await;
    }
    for user in (0..4).map(|user| format!("user:{user}")) {
        let listed = copies.subject(&user).list().await.expect("an index");
        let bound = known.iter().filter(|known| !known.over);
        let bound = bound.filter(|known| known.user.as_ref() == Some(&user));
        assert_eq!(listed.len(), bound.count(), "{what}, {user}");
    }
    println!(
        "{what}: {} sessions, {} deeds, {passes} passes meanwhile, {alive} alive, 0 lost, 0 revived",
        known.len(),
        WORKERS * DEEDS
    );
}

fn compressed_and_sealed(builder: SessionsBuilder) -> SessionsBuilder {
    let always = Compress::lz4().threshold(Threshold::at(0));
    let sealed = builder.codec(always).codec(Seal::xchacha(ring(1)));
    sealed.plain_counters(true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_memory_to_files() {
    copies_lose_nothing(Place::memory(), places::file(), |builder| builder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_files_to_redis_sealed_on_the_way() {
    let Some(redis) = places::redis().await else {
        return;
    };
    copies_lose_nothing(places::file(), redis, compressed_and_sealed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_redis_to_files() {
    let Some(redis) = places::redis().await else {
        return;
    };
    copies_lose_nothing(redis, places::file(), |builder| builder).await;
}

#[tokio::test]
async fn what_was_used_in_the_other_store_is_left_alone() {
    for to in places::all().await {
        let (from, copies) = (plain(Place::memory().driver()), plain(to.driver()));
        let (used, unused) = (stored(&from, "one").await, stored(&from, "two").await);
        let first = copy(&from, &copies).await;
        assert_eq!((first.copied, first.unchanged), (2, 0));
        let theirs = stored(&copies, "three").await;
        for (sessions, by) in [(&from, 1), (&copies, 2)] {
            let mut session = open(sessions, &used).await.expect("it lives");
            session.add("n", by).expect("a sum");
            session.close().await.expect("a save");
        }
        change(&from, &unused, "changed").await;
        let again = copy(&from, &copies).await;
        assert_eq!((again.foreign, again.updated), (1, 1), "{}", to.name);

        for id in [&used, &unused] {
            end(&from, id).await;
        }
        let ended = end_copies(&copies, &from).await;
        assert_eq!((ended.ended, ended.foreign), (1, 2), "{}", to.name);
        open(&copies, &used).await.expect("it was used there");
        open(&copies, &theirs).await.expect("it began there");
        assert!(open(&copies, &unused).await.is_err(), "it is over");
    }
}

#[tokio::test]
async fn a_locked_session_is_copied_as_it_was_saved_last() {
    for to in places::all().await {
        let from = plain(Place::memory().driver());
        let id = stored(&from, "one").await;
        let mut holder = open(&from.with_mode(LockMode::OnOpen), &id)
            .await
            .expect("it");
        holder.insert("text", "two").expect("a change");
        let copies = plain(to.driver());
        assert_eq!(copy(&from, &copies).await.copied, 1);
        let there = open(&copies.with_mode(LockMode::OnOpen), &id)
            .await
            .expect("it");
        let text: Option<String> = there.get("text").expect("a text");
        assert_eq!(text.as_deref(), Some("one"));
        holder.close().await.expect("a save");
        // Whoever holds it there uses it there.
        assert_eq!(copy(&from, &copies).await.foreign, 1);
        drop(there);
    }
}

#[tokio::test]
async fn what_only_its_client_opens_is_copied_as_it_is() {
    let split = |driver| {
        let seal = Seal::xchacha(ring(1)).key_source(KeySource::Split);
        built(Sessions::builder(driver).codec(seal))
    };
    for to in places::all().await {
        let (from, copies) = (split(Place::memory().driver()), split(to.driver()));
        let id = stored(&from, "one").await;
        assert_eq!(copy(&from, &copies).await.copied, 1);
        assert_eq!(copy(&from, &copies).await.unchanged, 1);
        for (expected, next) in [("one", "two"), ("two", "three"), ("three", "three")] {
            let session = open(&copies, &id).await.expect("it");
            let text: Option<String> = session.get("text").expect("a text");
            assert_eq!(text.as_deref(), Some(expected), "{}", to.name);
            change(&from, &id, next).await;
            let updated = u64::from(expected != next);
            assert_eq!(copy(&from, &copies).await.updated, updated, "{}", to.name);
        }
    }
}

#[tokio::test]
async fn a_copy_tells_how_far_it_is_and_goes_on_where_it_was_broken_off() {
    for place in places::all().await {
        let (from, copies) = (plain(place.driver()), plain(Place::memory().driver()));
        for number in 0..2000 {
            stored(&from, &number.to_string()).await;
        }
        let (mut at, mut copied, mut steps, mut done) = (None, 0, 0, Vec::new());
        loop {
            let batch = NonZeroUsize::new(100).expect("not zero");
            let step = from.copy_to(&copies, at, batch, |_| ControlFlow::Break(()));
            let step = step.await.expect("a batch");
            copied += step.copied;
            steps += 1;
            done.extend(step.done);
            match step.next {
                Some(next) => at = Some(next),
                None => break,
            }
        }
        assert_eq!(copied, 2000, "{}", place.name);
        assert!(steps > 3, "{}: {steps}", place.name);
        // Memory cannot tell before the end.
        if place.name != "memory" {
            assert!(done.len() == steps && done.is_sorted(), "{done:?}");
            let halfway = |done: &f64| (0.25..0.75).contains(done);
            assert!(done.iter().any(halfway), "{}: {done:?}", place.name);
        }
        assert_eq!(done.last(), Some(&1.0), "{}", place.name);
    }
}

#[tokio::test]
async fn what_was_saved_there_as_it_is_here_is_left_alone_too() {
    for to in places::all().await {
        let (from, copies) = (plain(Place::memory().driver()), plain(to.driver()));
        let id = stored(&from, "one").await;
        copy(&from, &copies).await;
        for text in ["two", "one"] {
            change(&copies, &id, text).await;
        }
        let mut session = open(&copies, &id).await.expect("it");
        let mut fields = session.fields().expect("fields");
        fields.incr("clicks", 1).await.expect("a sum");
        assert_eq!(copy(&from, &copies).await.foreign, 1, "{}", to.name);
        let clicks = fields.get("clicks").await.expect("an answer");
        assert!(clicks.is_some(), "{}", to.name);
    }
}

#[tokio::test]
async fn a_copy_that_is_not_written_stays_with_its_subject() {
    for to in places::all().await {
        let (from, copies) = (plain(Place::memory().driver()), plain(to.driver()));
        let id = stored(&from, "one").await;
        bind(&from, &id, "ann").await;
        assert_eq!(copy(&from, &copies).await.copied, 1);
        let mut holder = open(&copies.with_mode(LockMode::OnOpen), &id)
            .await
            .expect("it");
        bind(&from, &id, "bob").await;
        assert_eq!(copy(&from, &copies).await.foreign, 1, "{}", to.name);
        let listed = async |user| {
            let listed = copies.subject(user).list().await;
            listed.expect("an index").len()
        };
        assert_eq!((listed("ann").await, listed("bob").await), (1, 0));
        holder.close().await.expect("the lock is given back");
        assert_eq!(copy(&from, &copies).await.updated, 1, "{}", to.name);
        assert_eq!((listed("ann").await, listed("bob").await), (0, 1));
    }
}

async fn bind(sessions: &Sessions, id: &str, user: &str) {
    let mut session = open(sessions, id).await.expect("it lives");
    session.bind_subject(user).await.expect("an index");
    session.close().await.expect("a save");
}

#[tokio::test]
async fn what_is_done_once_is_no_session() {
    for to in places::all().await {
        let (from, copies) = (plain(Place::memory().driver()), plain(to.driver()));
        let id = stored(&from, "one").await;
        let session = open(&from, &id).await.expect("it");
        let minute = std::time::Duration::from_secs(60);
        let done = session.once("work", minute, async {
            // While it runs, and after it.
            let meanwhile = copy(&from, &copies).await;
            assert_eq!((meanwhile.examined, meanwhile.copied), (2, 1));
            Ok::<_, SessionError>(1)
        });
        assert_eq!(done.await.expect("it is done"), 1);
        let after = copy(&from, &copies).await;
        assert_eq!((after.examined, after.unchanged), (2, 1), "{}", to.name);
        let ended = end_copies(&from, &copies).await;
        assert_eq!((ended.examined, ended.foreign), (2, 0), "{}", to.name);
    }
}

#[tokio::test]
async fn a_key_that_is_not_known_is_counted_and_nothing_is_written() {
    let place = Place::memory();
    let sealed = built(Sessions::builder(place.driver()).codec(Seal::xchacha(ring(1))));
    stored(&sealed, "one").await;
    let (from, copies) = (plain(place.driver()), plain(Place::memory().driver()));
    let copied = copy_what_goes(&from, &copies).await.expect("a list");
    assert_eq!((copied.examined, copied.failed, copied.copied), (1, 1, 0));
}
