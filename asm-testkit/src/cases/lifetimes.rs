//! How long sessions live, and what extends that.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use asm_core::{Driver, Timestamp, Touch};
use asm_session::{
    Bots, Client, ClientKind, InvalidReason, Lifetimes, LifetimesBuilder, LockMode, Rotation,
    Session, SessionError, SessionId, Sessions,
};

use crate::{
    Counting, Fault, Harness,
    Verb::{self, ReadField, Reserve, Save, Subscribe, WriteField},
    WrongClock, given,
    sessions::{
        builder, built, client, invalid, is_free, issued, number, open, over, plain, rotated,
        saved, shared, stored, troubled, two, used,
    },
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// By how much a case keeps away from a deadline.
const MARGIN: Duration = Duration::from_secs(10);

/// The modes that save without asking for the lock first.
const UNLOCKED: [LockMode; 2] = [LockMode::Optimistic, LockMode::Off];

/// All modes.
const MODES: [LockMode; 6] = [
    LockMode::ReadOnly,
    LockMode::Optimistic,
    LockMode::OnWrite,
    LockMode::OnOpen,
    LockMode::Manual,
    LockMode::Off,
];

/// Readers come all day.
pub async fn touches_no_session_past_its_absolute_deadline(h: &dyn Harness) {
    ends_in_a_day(h, async |sessions, id| {
        let mut session = open(&sessions.with_mode(LockMode::ReadOnly), id).await;
        saved(&mut session).await;
        id.clone()
    })
    .await;
}

/// Writers come all day, and one asks for a long life.
pub async fn saves_no_session_past_its_absolute_deadline(h: &dyn Harness) {
    ends_in_a_day(h, async |sessions, id| {
        let mut session = open(sessions, id).await;
        session.add("n", 1).expect("a sum that fits");
        session.set_lifetime(20 * DAY).expect("a change");
        saved(&mut session).await;
        id.clone()
    })
    .await;
}

/// The id is replaced all day.
pub async fn renews_no_session_past_its_absolute_deadline(h: &dyn Harness) {
    ends_in_a_day(h, async |sessions, id| {
        let mut session = open(sessions, id).await;
        session.regenerate(Rotation::renew()).expect("a change");
        saved(&mut session).await;
        issued(&session)
    })
    .await;
}

/// Two who save over each other come all day.
pub async fn merges_no_session_past_its_absolute_deadline(h: &dyn Harness) {
    ends_in_a_day(h, async |sessions, id| {
        let merges = sessions.counters().merges;
        let (mut one, mut other) = (open(sessions, id).await, open(sessions, id).await);
        for session in [&mut one, &mut other] {
            session.add("n", 1).expect("a sum that fits");
            saved(session).await;
        }
        assert_eq!(sessions.counters().merges, merges + 1);
        id.clone()
    })
    .await;
}

/// Nobody but the session layer knows the deadline then.
pub async fn opens_nothing_past_its_deadline_whatever_the_store_kept(h: &dyn Harness) {
    let sessions = built(builder(h).await.lifetimes(a_day()));
    let id = plain(&sessions).await;
    kept_by_the_store(sessions.driver(), &id).await;
    h.advance(DAY - MARGIN).await;
    open(&sessions, &id).await;
    h.advance(2 * MARGIN).await;
    invalid(&sessions, &id, InvalidReason::Expired).await;
    let info = sessions.by_handle(id.handle()).info().await;
    assert!(info.expect("an answer").is_none());
}

/// Nothing is read, written or extended, and no lock is left, by an open in any mode or by what was
/// opened in time; its store has kept it.
pub async fn serves_nothing_past_the_deadline_by_any_verb(h: &dyn Harness) {
    for mode in MODES {
        let driver = shared(Counting::over(h.connect().await));
        let sessions = over(h, Arc::clone(&driver)).lifetimes(a_day());
        let sessions = built(sessions.lock_mode(mode));
        let id = plain(&sessions).await;
        used(&sessions.with_mode(LockMode::Optimistic), &id).await;
        kept_by_the_store(&*driver, &id).await;
        let in_time = sessions.with_mode(match mode {
            // Its lock would be over by then.
            LockMode::OnOpen => LockMode::Manual,
            mode => mode,
        });
        let (mut idle, mut session) = (open(&in_time, &id).await, open(&in_time, &id).await);
        if UNLOCKED.contains(&mode) {
            session.insert("n", &1).expect("a change");
        }
        h.advance(DAY + MARGIN).await;
        let before = given::read(&*driver, &id.handle()).await;
        driver.layer().take();

        for sessions in [&sessions, &sessions.with_lock_on_open()] {
            invalid(sessions, &id, InvalidReason::Expired).await;
        }
        saved(&mut idle).await;
        is_served_nothing(&mut session).await;
        let calls = driver.layer().take();
        for verb in [Save, Verb::Touch, Reserve, ReadField, WriteField, Subscribe] {
            assert_eq!(calls.of(verb), 0, "{mode:?}: {calls}");
        }
        assert!(is_free(&sessions, id.handle()).await, "{mode:?}");
        let after = given::read(&*driver, &id.handle()).await;
        assert_eq!(after.version, before.version, "{mode:?}");
        assert!(after.left <= before.left, "{mode:?}");
    }
}

/// Whatever it asks for.
async fn is_served_nothing(session: &mut Session) {
    let reads = session.mode() == LockMode::ReadOnly;
    macro_rules! refuses {
        ($answer:expr) => {
            match $answer {
                Err(SessionError::Deleted | SessionError::Unsupported(_)) => {}
                Err(SessionError::ReadOnly) if reads => {}
                other => panic!("{}: {other:?}", stringify!($answer)),
            }
        };
    }
    refuses!(session.write().await);
    refuses!(session.lock().await);
    refuses!(session.insert("n", &2));
    refuses!(session.regenerate(Rotation::renew()));
    refuses!(session.regenerate(Rotation::Authenticate));
    refuses!(session.set_lifetime(20 * DAY));
    refuses!(session.take::<String>("place").await);
    refuses!(session.bind_subject("user:42").await);
    refuses!(session.transact(|session| session.insert("n", &3)).await);
    refuses!(session.watch(NonZeroUsize::MIN).await.map(drop));
    let work = async { Ok(4) };
    refuses!(session.once("once", HOUR, work).await);
    if let Ok(mut fields) = session.fields() {
        refuses!(fields.incr("views", 1).await);
        refuses!(fields.get("views").await);
        refuses!(fields.take("views").await);
    }
    if session.is_modified() {
        refuses!(session.save().await);
    }
    refuses!(session.follow().await);
    refuses!(session.refresh().await);
}

/// It was opened before, and its store has kept it.
pub async fn saves_nothing_past_the_deadline_whatever_the_store_kept(h: &dyn Harness) {
    for mode in UNLOCKED {
        let sessions = built(builder(h).await.lifetimes(a_day()).lock_mode(mode));
        let id = plain(&sessions).await;
        kept_by_the_store(sessions.driver(), &id).await;
        let (mut merging, mut saving) = (open(&sessions, &id).await, open(&sessions, &id).await);
        saving.insert("n", &1).expect("a change");
        saved(&mut saving).await;
        kept_by_the_store(sessions.driver(), &id).await;
        saving.insert("n", &2).expect("a change");
        merging.insert("m", &1).expect("a change");
        h.advance(DAY + MARGIN).await;
        for session in [&mut saving, &mut merging] {
            let refused = session.close().await;
            assert!(
                matches!(refused, Err(SessionError::Deleted)),
                "{mode:?}: {refused:?}"
            );
        }
    }
}

/// A login shortly before the end gives another day, and only that one.
pub async fn begins_the_absolute_lifetime_anew_by_an_authentication(h: &dyn Harness) {
    let sessions = built(builder(h).await.lifetimes(a_day()));
    let id = plain(&sessions).await;
    let id = used_for(h, &sessions, id, 23 * HOUR).await;
    let mut session = open(&sessions, &id).await;
    session
        .regenerate(Rotation::Authenticate)
        .expect("a change");
    saved(&mut session).await;
    let id = issued(&session);
    let id = used_for(h, &sessions, id, DAY - MARGIN).await;
    h.advance(2 * MARGIN).await;
    is_over(&sessions, &id).await;
}

/// Whatever the clocks of the processes show that create, renew and open it; also when the first
/// call of one is a create, and when the answer to that is lost.
pub async fn dates_sessions_by_the_clock_of_the_store(h: &dyn Harness) {
    let right = built(builder(h).await.lifetimes(a_day()));
    for (by, ahead) in [
        (HOUR, true),
        (HOUR, false),
        (40 * DAY, true),
        (40 * DAY, false),
    ] {
        for lost in [false, true] {
            let driver = Arc::new(troubled(h).await);
            let clock = || Arc::new(WrongClock::new(h.clock(), by, ahead));
            let begins = over(h, Arc::clone(&driver)).clock(clock());
            let begins = built(begins.lifetimes(a_day()));
            let others = built(builder(h).await.clock(clock()).lifetimes(a_day()));
            if lost {
                driver.layer().next(Verb::Create, Fault::LostAnswer);
            }
            let (id, created) = logged_in(&begins, &right).await;
            for sessions in [&right, &others] {
                let session = open(sessions, &id).await;
                let times = [Some(session.created_at()), session.authenticated_at()];
                for time in times {
                    let time = time.expect("a login");
                    let off = time.since(created).max(created.since(time));
                    assert!(off <= SECOND, "{off:?} off, by a clock {by:?} off");
                }
            }

            let grace = Rotation::Renew { grace: MINUTE };
            let next = rotated(&begins, &id, grace).await;
            used(&others, &next).await;
            h.advance(MINUTE - SECOND).await;
            for sessions in [&right, &begins, &others] {
                assert!(open(sessions, &id).await.is_zombie());
            }
            h.advance(SECOND).await;
            for sessions in [&right, &begins, &others] {
                invalid(sessions, &id, InvalidReason::Stale).await;
            }

            kept_by_the_store(right.driver(), &next).await;
            h.advance(DAY - MINUTE - MARGIN).await;
            for sessions in [&right, &begins, &others] {
                open(sessions, &next).await;
            }
            h.advance(2 * MARGIN).await;
            for sessions in [&right, &begins, &others] {
                invalid(sessions, &next, InvalidReason::Expired).await;
            }
        }
    }
}

/// However much of it was used up before.
pub async fn lives_for_nine_tenths_of_the_idle_time_after_each_use(h: &dyn Harness) {
    let sessions = built(builder(h).await.lifetimes(an_hour()));
    for used_after in USES {
        let id = used_after_the_save(h, &sessions, used_after).await;
        h.advance(HOUR * 9 / 10 - MARGIN).await;
        assert!(lives(&sessions, &id).await, "used after {used_after:?}");
    }
}

/// However much of it was left before.
pub async fn ends_when_it_was_not_used_for_its_idle_time(h: &dyn Harness) {
    let sessions = built(builder(h).await.lifetimes(an_hour()));
    for used_after in USES {
        let id = used_after_the_save(h, &sessions, used_after).await;
        h.advance(HOUR + MARGIN).await;
        is_over(&sessions, &id).await;
    }
}

/// One that never comes back, and one that does.
pub async fn ends_the_first_lifetime_when_the_client_comes_back(h: &dyn Harness) {
    let lifetimes = of(Lifetimes::builder().idle(HOUR).first(10 * MINUTE));
    let sessions = built(builder(h).await.lifetimes(lifetimes));
    let (never, once) = (plain(&sessions).await, plain(&sessions).await);
    h.advance(10 * MINUTE - MARGIN).await;
    assert!(lives(&sessions, &never).await);
    saved(&mut open(&sessions, &once).await).await;
    h.advance(2 * MARGIN).await;
    is_over(&sessions, &never).await;
    h.advance(HOUR * 9 / 10 - 3 * MARGIN).await;
    assert!(lives(&sessions, &once).await);
}

/// Treated as bots, or as everybody.
pub async fn gives_bots_the_lifetimes_of_their_class(h: &dyn Harness) {
    let bot = Client {
        kind: ClientKind::Bot,
        ..client()
    };
    for (class, first, idle) in [
        (Bots::ShortLife, 2 * MINUTE, 30 * MINUTE),
        (Bots::AsHuman, 10 * MINUTE, HOUR),
    ] {
        let lifetimes = Lifetimes::builder()
            .idle(HOUR)
            .first(10 * MINUTE)
            .bot_first(2 * MINUTE)
            .bot_idle(30 * MINUTE)
            .bots(class);
        let sessions = built(builder(h).await.lifetimes(of(lifetimes)));
        let (never, once) = (of_a(&bot, &sessions).await, of_a(&bot, &sessions).await);
        let mut session = sessions
            .open(&once.expose(), &bot)
            .await
            .expect("a session");
        saved(&mut session).await;
        h.advance(first - MARGIN).await;
        assert!(lives(&sessions, &never).await, "{class:?}");
        h.advance(2 * MARGIN).await;
        is_over(&sessions, &never).await;
        h.advance(idle - first - 2 * MARGIN).await;
        assert!(lives(&sessions, &once).await, "{class:?}");
        h.advance(2 * MARGIN).await;
        is_over(&sessions, &once).await;
    }
}

/// It is a session for one request, and no error.
pub async fn stores_no_session_of_a_bot_that_is_to_have_none(h: &dyn Harness) {
    let lifetimes = of(Lifetimes::builder().bots(Bots::NoStore));
    let sessions = built(builder(h).await.lifetimes(lifetimes));
    let bot = Client {
        kind: ClientKind::Bot,
        ..client()
    };
    let mut session = sessions.create(&bot).expect("a new session");
    session.insert("n", &1).expect("a change");
    assert!(!saved(&mut session).await.written);
    assert_eq!(session.get("n").expect("a number"), Some(1));
    let info = sessions.by_handle(session.handle()).info().await;
    assert!(info.expect("an answer").is_none());
    assert_eq!(h.holdings().await, 0);
}

/// To the first lifetime, to that of bots, and to one that a session asks for.
pub async fn applies_the_shortest_and_the_longest_last(h: &dyn Harness) {
    let lifetimes = Lifetimes::builder()
        .idle(HOUR)
        .first(SECOND)
        .min(5 * MINUTE)
        .max(20 * MINUTE);
    let sessions = built(builder(h).await.lifetimes(of(lifetimes)));
    let lived = async |lifetime: Option<Duration>, back: bool| {
        let fill = |session: &mut Session| {
            session.set_lifetime(lifetime)?;
            session.insert("n", &0)
        };
        let id = stored(&sessions, fill).await;
        if back {
            saved(&mut open(&sessions, &id).await).await;
        }
        open(&sessions, &id).await.expires_in()
    };
    about(lived(None, false).await, 5 * MINUTE);
    about(lived(None, true).await, 20 * MINUTE);
    about(lived(Some(SECOND), false).await, 5 * MINUTE);
    about(lived(Some(Duration::ZERO), false).await, 5 * MINUTE);
    about(lived(Some(DAY), false).await, 20 * MINUTE);
    about(lived(Some(7 * MINUTE), false).await, 7 * MINUTE);
}

/// Zero is refused wherever `None` is allowed, and `None` is no zero.
pub async fn tells_zero_from_not_set(h: &dyn Harness) {
    let zero = Duration::ZERO;
    for wrong in [
        Lifetimes::builder().idle(zero),
        Lifetimes::builder().absolute(zero),
        Lifetimes::builder().first(zero),
        Lifetimes::builder().bot_first(zero),
        Lifetimes::builder().bot_idle(zero),
        Lifetimes::builder().min(zero),
        Lifetimes::builder().max(zero),
    ] {
        assert!(wrong.build().is_err());
    }
    let without = of(Lifetimes::builder().idle(DAY).absolute(None).first(None));
    let sessions = built(builder(h).await.lifetimes(without));
    let id = plain(&sessions).await;
    about(open(&sessions, &id).await.expires_in(), DAY);
    used_every(h, &sessions, id, 21 * HOUR, 40 * DAY).await;
}

/// In every mode.
pub async fn keeps_a_session_that_is_only_read(h: &dyn Harness) {
    for mode in MODES {
        let sessions = built(builder(h).await.lifetimes(an_hour()).lock_mode(mode));
        let id = plain(&sessions).await;
        used_for(h, &sessions, id, 5 * HOUR).await;
    }
}

/// An application may say that reading for reading only is no use.
pub async fn lets_a_session_end_whose_readers_do_not_count(h: &dyn Harness) {
    let settings = builder(h).await.lifetimes(an_hour()).touch_reads(false);
    let sessions = built(settings.lock_mode(LockMode::ReadOnly));
    let id = plain(&sessions).await;
    h.advance(30 * MINUTE).await;
    saved(&mut open(&sessions, &id).await).await;
    h.advance(30 * MINUTE + MARGIN).await;
    is_over(&sessions, &id).await;
}

/// "Remember me", and a request that was on its way when it was said.
pub async fn keeps_a_lifetime_through_saves_that_never_heard_of_it(h: &dyn Harness) {
    for mode in UNLOCKED {
        let (sessions, others) = two(h, mode).await;
        let id = plain(&sessions).await;
        let mut unaware = open(&others, &id).await;
        let mut session = open(&sessions, &id).await;
        session.set_lifetime(7 * DAY).expect("a change");
        saved(&mut session).await;
        unaware.insert("n", &1).expect("a change");
        saved(&mut unaware).await;
        about(unaware.expires_in(), 7 * DAY);

        h.advance(6 * DAY).await;
        let mut later = open(&others, &id).await;
        later.insert("n", &2).expect("a change");
        saved(&mut later).await;
        h.advance(6 * DAY).await;
        assert_eq!(number(&sessions, &id, "n").await, 2, "{mode:?}");
    }
}

/// With `None`, and only then.
pub async fn gives_the_usual_lifetime_back(h: &dyn Harness) {
    let sessions = built(builder(h).await.lifetimes(an_hour()));
    let id = stored(&sessions, |session| session.set_lifetime(7 * DAY)).await;
    let mut session = open(&sessions, &id).await;
    about(session.expires_in(), 7 * DAY);
    session.set_lifetime(None).expect("a change");
    saved(&mut session).await;
    about(open(&sessions, &id).await.expires_in(), HOUR);
}

/// When a session that was just stored is used next.
const USES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_secs(3 * 60),
    Duration::from_secs(5 * 60 + 50),
    Duration::from_secs(6 * 60 + 10),
    Duration::from_secs(30 * 60),
    Duration::from_secs(59 * 60),
];

fn of(builder: LifetimesBuilder) -> Lifetimes {
    builder.build().expect("lifetimes that make sense")
}

/// An hour without use.
fn an_hour() -> Lifetimes {
    of(Lifetimes::builder().idle(HOUR).first(None))
}

/// An hour without use, and a day in any case.
fn a_day() -> Lifetimes {
    of(Lifetimes::builder().idle(HOUR).absolute(DAY).first(None))
}

/// Whatever is done to a session all day, it ends with the day. Each request answers the id that
/// its client has then.
async fn ends_in_a_day(h: &dyn Harness, request: impl AsyncFn(&Sessions, &SessionId) -> SessionId) {
    const PAUSE: Duration = Duration::from_secs(50 * 60);
    let sessions = built(builder(h).await.lifetimes(a_day()));
    let mut id = plain(&sessions).await;
    let mut left = DAY - MARGIN;
    while left > Duration::ZERO {
        let pause = left.min(PAUSE);
        h.advance(pause).await;
        left -= pause;
        id = request(&sessions, &id).await;
    }
    h.advance(2 * MARGIN).await;
    is_over(&sessions, &id).await;
}

/// Opens and closes the session for this time, each time shortly before its hour is over.
async fn used_for(
    h: &dyn Harness,
    sessions: &Sessions,
    id: SessionId,
    time: Duration,
) -> SessionId {
    used_every(h, sessions, id, 53 * MINUTE, time).await
}

/// The same with other pauses.
async fn used_every(
    h: &dyn Harness,
    sessions: &Sessions,
    id: SessionId,
    pause: Duration,
    time: Duration,
) -> SessionId {
    let mut left = time;
    while left > Duration::ZERO {
        let pause = left.min(pause);
        h.advance(pause).await;
        left -= pause;
        saved(&mut open(sessions, &id).await).await;
    }
    id
}

/// A session that is opened and closed this long after it was stored, and then left alone.
async fn used_after_the_save(h: &dyn Harness, sessions: &Sessions, after: Duration) -> SessionId {
    let id = plain(sessions).await;
    h.advance(after).await;
    saved(&mut open(sessions, &id).await).await;
    id
}

async fn of_a(client: &Client, sessions: &Sessions) -> SessionId {
    let mut session: Session = sessions.create(client).expect("a new session");
    session.insert("n", &0).expect("a change");
    saved(&mut session).await;
    issued(&session)
}

/// A new session whose user has authenticated: its id, and the store's time when that was stored.
async fn logged_in(sessions: &Sessions, others: &Sessions) -> (SessionId, Timestamp) {
    let mut session = sessions.create(&client()).expect("a new session");
    let login = session.regenerate(Rotation::Authenticate);
    login.expect("a change");
    session.insert("n", &0).expect("a change");
    // Once more when the answer was lost.
    if session.save().await.is_err() {
        saved(&mut session).await;
    }
    let id = issued(&session);
    let stored = given::read(others.driver(), &id.handle()).await;
    (id, stored.now)
}

/// Makes the store keep the record for ten days, without the session layer.
pub(super) async fn kept_by_the_store(driver: &dyn Driver, id: &SessionId) {
    let record = given::read(driver, &id.handle()).await;
    let touch = Touch {
        epoch: record.stamp.epoch,
        ttl: 10 * DAY,
    };
    let touched = driver.touch(&id.handle(), touch).await;
    crate::expect::touched(touched);
}

/// Whether it is there. This is no use of it.
async fn lives(sessions: &Sessions, id: &SessionId) -> bool {
    let info = sessions.by_handle(id.handle()).info().await;
    info.expect("an answer").is_some()
}

/// A session that the store has forgotten is not known; of one that it kept the layer knows more.
async fn is_over(sessions: &Sessions, id: &SessionId) {
    assert!(!lives(sessions, id).await, "it lives on");
    match sessions.open(&id.expose(), &client()).await {
        Err(SessionError::Invalid(InvalidReason::Unknown | InvalidReason::Expired)) => {}
        other => panic!("its life should be over, and the answer was {other:?}"),
    }
}

/// Stores may cut a lifetime to what they can tell apart.
#[track_caller]
fn about(left: Duration, expected: Duration) {
    assert!(
        left <= expected && left + MARGIN >= expected,
        "{left:?} is left instead of {expected:?}"
    );
}
