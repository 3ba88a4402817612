//! Histories: what many requests did to lists, and whether all of it can have been right.
//!
//! Each request reads the list of a session, puts a number of its own behind it, which no other
//! request has, and saves ([`append`], [`update`], [`transact`]); or it pushes its number to a list
//! that needs no lock ([`push`]). Who writes down what each of them read, when it began and ended,
//! when it held the lock and what it was answered, can tell afterwards whether a change was lost,
//! came back or happened twice, whether somebody read what was out of date, and whether a lock was
//! two requests' at once: [`check`] does.
//!
//! The list in the end is the order in which the requests happened, so no order has to be searched
//! for; each request is where its number stands. This is the list-append method of Elle (Kingsbury
//! and Alvaro, *Inferring Isolation Anomalies from Experimental Observations*, VLDB 14, 2020,
//! <https://arxiv.org/abs/2003.10554>), on sessions.
//!
//! The lock is checked for linearizability, as one object that is free, or held under a fence until
//! it is given up or its lease is over. Of the search of Wing and Gong (*Testing and Verifying
//! Concurrent Objects*, JPDC 17, 1993) one branch is left, because fences tell the order of the
//! grants: each happened as early as it can have, which leaves those behind it most time. If that is
//! later than its holder knew of it, nothing explains it.
//!
//! Where replication is asynchronous, a replica that takes over may not have all that was
//! acknowledged: [`check_across`] lets the last of it be lost, counts that, and nothing else.
//!
//! ```
//! use asm_testkit::history::{Outcome, Prefix, Request, check};
//!
//! let request = |op, read: &[u64], began, ended| Request {
//!     op,
//!     began,
//!     ended: Some(ended),
//!     read: Some(Prefix::of(read)),
//!     hold: None,
//!     outcome: Outcome::Acknowledged,
//! };
//! let requests = [request(1, &[], 0, 10), request(2, &[1], 11, 20)];
//! let lease = 400;
//! assert!(check(&requests, &[1, 2], lease).is_empty());
//! let lost = check(&requests, &[2], lease);
//! assert_eq!(lost[0].to_string(), "request 1 was acknowledged and is not there");
//! ```

mod across;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

pub use across::{Survived, Switch, check_across, check_set_across};
use asm_session::{Client, Session, SessionError, Sessions};
use serde::{Deserialize, Serialize};

/// What is known of one request. It can be sent from one process to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The number that it put into the list. No other request has it.
    pub op: u64,
    /// When it began, by a clock that all requests share.
    pub began: u64,
    /// When it was answered; nothing if nobody lived to hear it.
    pub ended: Option<u64>,
    /// The list as it read it; nothing if it did not come to that, or nobody knows.
    pub read: Option<Prefix>,
    /// The lock that it read under; nothing without a lock.
    pub hold: Option<Hold>,
    /// What it was answered.
    pub outcome: Outcome,
}

/// A lock, as far as its holder is certain of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The number of the grant.
    pub fence: u64,
    /// When its holder knew of it, by the clock of the requests.
    pub since: u64,
    /// When its holder began to give it up, or heard that it was lost.
    pub until: u64,
}

/// What a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// Its number is in the list.
    Acknowledged,
    /// Its number is not, and never will be.
    Refused(Refusal),
    /// Nobody can tell.
    Unknown,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// Somebody else changed what it had read.
    Conflict,
    /// Its lock had ended before it saved.
    LockLost,
    /// Others held the lock, or waited for it, for too long.
    Busy,
    /// The store was not reached, and nothing was sent that writes.
    Unreached,
    /// Anything else.
    Other,
}

/// A list, in as few bytes as it takes to tell whether another one begins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Prefix {
    /// Its length.
    pub len: usize,
    /// A digest of all that is in it, in order.
    pub digest: u64,
}

impl Prefix {
    /// Nothing yet.
    pub const EMPTY: Self = Self { len: 0, digest: 0 };

    /// This list.
    #[must_use]
    pub fn of(list: &[u64]) -> Self {
        list.iter().fold(Self::EMPTY, |prefix, op| prefix.and(*op))
    }

    /// This list with one more. The constants are those of SplitMix64 (Steele, Lea and Flood,
    /// OOPSLA 2014), a mix that no two lists of a test share by chance.
    #[must_use]
    pub const fn and(self, op: u64) -> Self {
        let mut mixed = (self.digest ^ op).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self {
            len: self.len + 1,
            digest: mixed ^ (mixed >> 31),
        }
    }
}

/// What cannot have been right. The numbers are those of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// It was acknowledged and is not there.
    Lost(u64),
    /// It is there more than once.
    Doubled(u64),
    /// It was refused, or given up before it wrote, and is there.
    Revived(u64),
    /// It is there, and nobody sent it.
    Unsent(u64),
    /// What it read is no beginning of what the list became.
    ReadOther(u64),
    /// It is there, and not right behind what it read.
    Misplaced(u64),
    /// It began when the second had been acknowledged, and did not read it.
    Stale(u64, u64),
    /// It was granted the lock after the second, and did not read what that had saved under it.
    StaleGrant(u64, u64),
    /// It knew of its lock when that of the second, which has a lower fence, cannot have ended.
    Overlap(u64, u64),
    /// It was granted the lock under the fence of the second.
    FenceReused(u64, u64),
    /// It has the fence of the second, or a lower one, and came later.
    FenceBehind(u64, u64),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(op) => write!(f, "request {op} was acknowledged and is not there"),
            Self::Doubled(op) => write!(f, "request {op} is there more than once"),
            Self::Revived(op) => write!(f, "request {op} was refused and is there"),
            Self::Unsent(op) => write!(f, "request {op} is there and was never sent"),
            Self::ReadOther(op) => write!(f, "request {op} read what never was"),
            Self::Misplaced(op) => write!(f, "request {op} is not right behind what it read"),
            Self::Stale(op, missed) => write!(
                f,
                "request {op} did not read {missed}, which had been acknowledged before it began"
            ),
            Self::StaleGrant(op, missed) => write!(
                f,
                "request {op} did not read {missed}, which had saved under the lock before it"
            ),
            Self::Overlap(op, holder) => {
                write!(f, "request {op} had the lock while {holder} held it")
            }
            Self::FenceReused(op, other) => {
                write!(f, "request {op} had the lock under the fence of {other}")
            }
            Self::FenceBehind(op, before) => {
                write!(
                    f,
                    "request {op} came after {before} and has no higher fence"
                )
            }
        }
    }
}

/// Appends this number to the list of a session, as a request does: opens in the mode of these
/// sessions, reads, changes, saves and closes. The clock tells when that was, and is the same for
/// all requests of a history.
///
/// Whoever is not told whether it was saved asks once more, which sends the same again.
pub async fn append(sessions: &Sessions, id: &str, op: u64, clock: impl Fn() -> u64) -> Request {
    saved(sessions, id, op, clock, |session, seen| {
        let list: Vec<u64> = session.get_or(LIST, Vec::new())?;
        seen.set(&list);
        session.insert(LIST, &[&list[..], &[op]].concat())
    })
    .await
}

/// As [`append`], by a closure that runs again on what others have saved meanwhile: it conflicts
/// with nobody. What is applied twice is there twice.
pub async fn update(sessions: &Sessions, id: &str, op: u64, clock: impl Fn() -> u64) -> Request {
    saved(sessions, id, op, clock, |session, seen| {
        let seen = seen.clone();
        let longer = move |list: Option<Vec<u64>>| {
            let mut list = list.unwrap_or_default();
            seen.set(&list);
            list.push(op);
            Some(list)
        };
        session.update(LIST, longer).map(drop)
    })
    .await
}

/// As [`append`], in a [`Sessions::transact`]: locked from the start, and once more from there when
/// the lock was lost.
pub async fn transact(sessions: &Sessions, id: &str, op: u64, clock: impl Fn() -> u64) -> Request {
    let mut request = Request::begun(op, clock());
    let done = sessions
        .transact(id, &Client::default(), |session| {
            let hold = Hold::begun(session, clock());
            let list: Vec<u64> = session.get_or(LIST, Vec::new())?;
            request.read = Some(Prefix::of(&list));
            session.insert(LIST, &[&list[..], &[op]].concat())?;
            request.hold = hold.map(|hold| hold.ended(clock()));
            Ok(())
        })
        .await;
    // What it did not come to has written nothing.
    let unknown = request.read.map_or(UNREACHED, |_| Outcome::Unknown);
    request.outcome = outcome(&done, unknown);
    request.ended = Some(clock());
    request
}

/// Appends this number to the list of a session that needs no lock; [`pushed`] reads it. Nothing is
/// known of what was there before.
pub async fn push(sessions: &Sessions, id: &str, op: u64, clock: impl Fn() -> u64) -> Request {
    let mut request = Request::begun(op, clock());
    request.outcome = match sessions.open(id, &Client::default()).await {
        Err(error) => outcome(&Err::<(), _>(error), UNREACHED),
        Ok(mut session) => {
            let done = match session.fields() {
                Ok(mut fields) => fields.push(LIST, &op).await,
                Err(error) => Err(error),
            };
            outcome(&done, Outcome::Unknown)
        }
    };
    request.ended = Some(clock());
    request
}

/// The list of a session, by number of request.
///
/// # Errors
/// When the session cannot be read.
pub async fn list(sessions: &Sessions, id: &str) -> Result<Vec<u64>, SessionError> {
    let session = sessions.open(id, &Client::default()).await?;
    session.get_or(LIST, Vec::new())
}

/// The list to which [`push`] appends.
///
/// # Errors
/// When it cannot be read.
pub async fn pushed(sessions: &Sessions, id: &str) -> Result<Vec<u64>, SessionError> {
    let mut session = sessions.open(id, &Client::default()).await?;
    session.fields()?.list(LIST, 0..usize::MAX).await
}

/// Whatever cannot have been right with these requests to a session whose list is now this one.
/// Nothing if all of it can.
///
/// The lease is how long a lock lasts for certain, by the clock of the requests, when its holder
/// neither renews it nor gives it up: a little less than its hold, as clocks differ; 0 if nothing is
/// certain, as where the clock of the store is stepped. The order of the grants is checked then, and
/// not that one has ended when the next begins.
#[must_use]
pub fn check(requests: &[Request], list: &[u64], lease: u64) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let places = places(requests, list, &mut wrong);
    let prefixes = prefixes(list);
    for request in requests {
        let place = places.get(&request.op).copied();
        wrong.extend(request.fits(place, &prefixes));
    }
    let all: Vec<_> = requests.iter().collect();
    wrong.extend(stale(&all, &all, &places));
    wrong.extend(grants(&all, &places, lease));
    wrong.extend(fences_in_order(requests, list));
    wrong
}

/// The entry, and the lockless field.
const LIST: &str = "list";

/// How often it is asked what became of a save.
const SENDINGS: usize = 2;

const UNREACHED: Outcome = Outcome::Refused(Refusal::Unreached);

impl Request {
    fn begun(op: u64, began: u64) -> Self {
        Self {
            op,
            began,
            ended: None,
            read: None,
            hold: None,
            outcome: UNREACHED,
        }
    }
}

impl Hold {
    fn begun(session: &Session, since: u64) -> Option<Self> {
        let fence = session.fence()?.get();
        let until = since;
        Some(Self {
            fence,
            since,
            until,
        })
    }

    const fn ended(self, until: u64) -> Self {
        Self { until, ..self }
    }
}

/// What a request has read, and reads again when it is tried again.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Option<Prefix>>>);

impl Seen {
    fn set(&self, list: &[u64]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Prefix::of(list));
    }

    fn last(&self) -> Option<Prefix> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens, changes, saves and closes.
async fn saved(
    sessions: &Sessions,
    id: &str,
    op: u64,
    clock: impl Fn() -> u64,
    change: impl FnOnce(&mut Session, &Seen) -> Result<(), SessionError>,
) -> Request {
    let mut request = Request::begun(op, clock());
    let seen = Seen::default();
    request.outcome = match sessions.open(id, &Client::default()).await {
        Err(error) => outcome(&Err::<(), _>(error), UNREACHED),
        Ok(mut session) => {
            let hold = Hold::begun(&session, clock());
            let mut done = change(&mut session, &seen);
            request.hold = hold.map(|hold| hold.ended(clock()));
            if done.is_ok() {
                done = closed(&mut session).await;
            }
            if let Err(SessionError::LockLost) = done {
                request.hold = hold.map(|hold| hold.ended(clock()));
            }
            session.discard();
            outcome(&done, Outcome::Unknown)
        }
    };
    request.read = seen.last();
    request.ended = Some(clock());
    request
}

/// What nobody can tell any more is not asked again: the session has given it up.
async fn closed(session: &mut Session) -> Result<(), SessionError> {
    let mut done = session.close().await;
    for _ in 1..SENDINGS {
        if matches!(&done, Err(error @ SessionError::Store(_)) if !error.is_unknown()) {
            done = session.close().await;
        }
    }
    done.map(drop)
}

/// What this is to the request; the second if the store has failed.
fn outcome<T>(done: &Result<T, SessionError>, unknown: Outcome) -> Outcome {
    Outcome::Refused(match done {
        Ok(_) => return Outcome::Acknowledged,
        Err(SessionError::Store(_)) => return unknown,
        Err(SessionError::Conflict(_)) => Refusal::Conflict,
        Err(SessionError::LockLost) => Refusal::LockLost,
        Err(SessionError::LockTimeout | SessionError::QueueFull) => Refusal::Busy,
        Err(_) => Refusal::Other,
    })
}

/// Each list that it was, from the first, empty one to what it is.
fn prefixes(list: &[u64]) -> Vec<Prefix> {
    let mut prefixes = vec![Prefix::EMPTY];
    for op in list {
        prefixes.push(prefixes[prefixes.len() - 1].and(*op));
    }
    prefixes
}

/// Where each request stands.
fn places(requests: &[Request], list: &[u64], wrong: &mut Vec<Violation>) -> HashMap<u64, usize> {
    let sent: HashSet<_> = requests.iter().map(|request| request.op).collect();
    let mut places = HashMap::new();
    for (place, op) in list.iter().enumerate() {
        if !sent.contains(op) {
            wrong.push(Violation::Unsent(*op));
        }
        if places.insert(*op, place).is_some() {
            wrong.push(Violation::Doubled(*op));
        }
    }
    places
}

impl Request {
    /// What is wrong with it, seen by itself.
    fn fits(&self, place: Option<usize>, prefixes: &[Prefix]) -> Option<Violation> {
        match (self.outcome, place) {
            (Outcome::Acknowledged, None) => return Some(Violation::Lost(self.op)),
            (Outcome::Refused(_), Some(_)) => return Some(Violation::Revived(self.op)),
            _ => {}
        }
        let read = self.read?;
        if prefixes.get(read.len) != Some(&read) {
            return Some(Violation::ReadOther(self.op));
        }
        place
            .is_some_and(|place| place != read.len)
            .then_some(Violation::Misplaced(self.op))
    }
}

/// Those of the second that did not read what of the first had been acknowledged before they began.
/// What is at no place any more counts where it was put.
fn stale(
    before: &[&Request],
    after: &[&Request],
    places: &HashMap<u64, usize>,
) -> impl Iterator<Item = Violation> {
    let acknowledged = before.iter().filter_map(|request| {
        let put = request.read.map(|read| read.len);
        let place = places.get(&request.op).copied().or(put)?;
        let is_known = request.outcome == Outcome::Acknowledged;
        is_known.then_some((request.ended?, place, request.op))
    });
    let readers = after.iter().filter_map(|request| {
        let read = request.read?;
        Some((request.began, read.len, request.op))
    });
    let too_early = |newest: usize, read: usize| read <= newest;
    behind(acknowledged.collect(), readers.collect(), too_early)
        .map(|(op, missed)| Violation::Stale(op, missed))
}

/// The lock, linearized: each grant by its fence, as early as it can have happened. Ops that were
/// saved under lower fences have to be in what it read.
fn grants(requests: &[&Request], places: &HashMap<u64, usize>, lease: u64) -> Vec<Violation> {
    let granted = requests
        .iter()
        .filter_map(|request| Some((request.hold?, *request)));
    let mut granted: Vec<_> = granted.collect();
    granted.sort_unstable_by_key(|(hold, _)| (hold.fence, hold.since));
    let mut wrong = Vec::new();
    let mut before: Option<(u64, u64)> = None;
    let mut newest: Option<(usize, u64)> = None;
    let mut free = 0;
    for (hold, request) in granted {
        let op = request.op;
        let mut from = request.began.max(free);
        match before {
            Some((fence, other)) if fence == hold.fence => {
                wrong.push(Violation::FenceReused(op, other));
            }
            Some((_, holder)) if from > hold.since => {
                wrong.push(Violation::Overlap(op, holder));
                from = hold.since;
            }
            _ => {}
        }
        if let (Some((place, missed)), Some(read)) = (newest, request.read)
            && read.len <= place
        {
            wrong.push(Violation::StaleGrant(op, missed));
        }
        free = from.max(hold.until.min(from.saturating_add(lease)));
        newest = newest.max(places.get(&op).map(|place| (*place, op)));
        before = Some((hold.fence, op));
    }
    wrong
}

/// Those that are in the list behind one with as high a fence as theirs.
fn fences_in_order(requests: &[Request], list: &[u64]) -> Vec<Violation> {
    let fences: HashMap<_, _> = requests
        .iter()
        .filter_map(|request| Some((request.op, request.hold?.fence)))
        .collect();
    let held: Vec<_> = list
        .iter()
        .filter_map(|op| Some((*op, *fences.get(op)?)))
        .collect();
    let pairs = held.windows(2).filter(|pair| pair[1].1 <= pair[0].1);
    pairs
        .map(|pair| Violation::FenceBehind(pair[1].0, pair[0].0))
        .collect()
}

/// Goes through what ended and what began in the order of time: for all that began, whether it is
/// behind the highest of what had ended by then. Entries are (time, height, request).
fn behind<T: Copy + Ord>(
    mut ended: Vec<(u64, T, u64)>,
    mut began: Vec<(u64, T, u64)>,
    is_behind: impl Fn(T, T) -> bool,
) -> impl Iterator<Item = (u64, u64)> {
    ended.sort_unstable();
    began.sort_unstable();
    let mut ended = ended.into_iter().peekable();
    let mut highest: Option<(T, u64)> = None;
    began.into_iter().filter_map(move |(at, height, op)| {
        while let Some((_, height, op)) = ended.next_if(|(end, ..)| *end < at) {
            highest = highest.max(Some((height, op)));
        }
        let (highest, before) = highest?;
        is_behind(highest, height).then_some((op, before))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than any hold here.
    const LEASE: u64 = 400;

    const fn request(op: u64, began: u64, ended: u64) -> Request {
        Request {
            op,
            began,
            ended: Some(ended),
            read: None,
            hold: None,
            outcome: Outcome::Acknowledged,
        }
    }

    /// One that was certain of its lock from its second to its last but one tick.
    fn locked(op: u64, began: u64, ended: u64, fence: u64) -> Request {
        let (since, until) = (began + 1, ended - 1);
        Request {
            read: Some(Prefix::EMPTY),
            hold: Some(Hold {
                fence,
                since,
                until,
            }),
            ..request(op, began, ended)
        }
    }

    fn refused(request: Request, why: Refusal) -> Request {
        Request {
            outcome: Outcome::Refused(why),
            ..request
        }
    }

    fn set_fence(request: &mut Request, fence: u64) {
        request.hold.as_mut().expect("a lock").fence = fence;
    }

    /// Ten requests, one after the other, as they should be.
    fn good() -> (Vec<Request>, Vec<u64>) {
        let list: Vec<u64> = (100..110).collect();
        let requests = list.iter().enumerate().map(|(place, op)| {
            let began = 10 * place as u64;
            let one = match place % 3 {
                0 => request(*op, began, began + 9),
                _ => locked(*op, began, began + 9, place as u64),
            };
            Request {
                read: Some(Prefix::of(&list[..place])),
                ..one
            }
        });
        (requests.collect(), list)
    }

    fn with(change: impl FnOnce(&mut Vec<Request>, &mut Vec<u64>)) -> Vec<Violation> {
        let (mut requests, mut list) = good();
        change(&mut requests, &mut list);
        check(&requests, &list, LEASE)
    }

    #[test]
    fn a_good_history_is_good() {
        assert_eq!(with(|_, _| {}), []);
    }

    #[test]
    fn what_is_unknown_may_have_happened_or_not() {
        let unknown = |requests: &mut Vec<Request>| {
            requests[9].outcome = Outcome::Unknown;
            requests[9].ended = None;
        };
        assert_eq!(with(|requests, _| unknown(requests)), []);
        let gone = with(|requests, list| {
            unknown(requests);
            list.pop();
        });
        assert_eq!(gone, []);
    }

    #[test]
    fn who_was_refused_may_have_read_anything_that_was() {
        let refused = with(|requests, list| {
            list.pop();
            requests[9] = refused(requests[9], Refusal::Conflict);
        });
        assert_eq!(refused, []);
    }

    #[test]
    fn what_is_lost_doubled_revived_or_unsent_is_found() {
        let lost = with(|_, list| list.truncate(9));
        assert_eq!(lost, [Violation::Lost(109)]);
        let doubled = with(|_, list| list.push(109));
        assert_eq!(doubled[0], Violation::Doubled(109));
        let revived = with(|requests, _| requests[4] = refused(requests[4], Refusal::LockLost));
        assert_eq!(revived, [Violation::Revived(104)]);
        let unsent = with(|_, list| list.push(999));
        assert_eq!(unsent, [Violation::Unsent(999)]);
    }

    #[test]
    fn a_push_that_happened_twice_is_found() {
        let pushes = [request(1, 0, 10), request(2, 0, 10)];
        assert_eq!(check(&pushes, &[2, 1], LEASE), []);
        assert_eq!(check(&pushes, &[2, 1, 2], LEASE), [Violation::Doubled(2)]);
    }

    #[test]
    fn who_read_what_never_was_is_found() {
        let other = with(|requests, _| requests[5].read = Some(Prefix::of(&[100, 102])));
        assert_eq!(other[0], Violation::ReadOther(105));
        let longer = with(|requests, _| requests[5].read = Some(Prefix { len: 99, digest: 1 }));
        assert_eq!(longer[0], Violation::ReadOther(105));
    }

    #[test]
    fn who_read_too_little_is_found() {
        let stale = with(|requests, list| {
            requests[9].read = Some(Prefix::of(&list[..8]));
        });
        assert_eq!(
            stale,
            [Violation::Misplaced(109), Violation::Stale(109, 108)]
        );
        let at_once = with(|requests, list| {
            requests[9].began = 85;
            requests[9].read = Some(Prefix::of(&list[..8]));
        });
        assert_eq!(at_once, [Violation::Misplaced(109)]);
    }

    #[test]
    fn fences_that_come_back_are_found() {
        let same = with(|requests, _| set_fence(&mut requests[8], 7));
        let (reused, behind) = (
            Violation::FenceReused(108, 107),
            Violation::FenceBehind(108, 107),
        );
        assert_eq!(same, [reused, behind]);
        // One that wrote nothing counts as well.
        let (one, two) = (locked(1, 1, 10, 1), locked(2, 0, 9, 1));
        let idle = [refused(one, Refusal::Other), two];
        let found = check(&idle, &[2], LEASE);
        assert!(found.contains(&Violation::FenceReused(1, 2)));
        // A lower one was granted when the higher one had been.
        let lower = [
            locked(1, 0, 10, 5),
            refused(locked(2, 20, 30, 3), Refusal::Other),
        ];
        let found = check(&lower, &[1], LEASE);
        assert!(found.contains(&Violation::Overlap(1, 2)));
    }

    #[test]
    fn a_waiter_that_is_handed_what_is_out_of_date_is_found() {
        let holder = locked(1, 0, 20, 1);
        let mut waiter = refused(locked(2, 1, 30, 2), Refusal::Conflict);
        waiter.hold.as_mut().expect("a lock").since = 25;
        let found = check(&[holder, waiter], &[1], LEASE);
        assert_eq!(found, [Violation::StaleGrant(2, 1)]);
        waiter.read = Some(Prefix::of(&[1]));
        assert_eq!(check(&[holder, waiter], &[1], LEASE), []);
    }

    #[test]
    fn a_lock_of_two_at_once_is_found() {
        let robbed = refused(locked(1, 0, 10, 1), Refusal::LockLost);
        let thief = locked(2, 1, 9, 2);
        let found = check(&[robbed, thief], &[2], LEASE);
        assert_eq!(found, [Violation::Overlap(2, 1)]);
        // Where a lock may end at any time, only their order can be told.
        assert_eq!(check(&[robbed, thief], &[2], 0), []);
    }

    #[test]
    fn a_lock_that_was_over_before_its_holder_knew_is_another_ones() {
        let late = refused(locked(1, 0, 900, 1), Refusal::LockLost);
        let mut next = locked(2, 1, 500, 2);
        let hold = next.hold.as_mut().expect("a lock");
        hold.since = LEASE;
        assert_eq!(check(&[late, next], &[2], LEASE), []);
        let hold = next.hold.as_mut().expect("a lock");
        hold.since = LEASE - 1;
        let found = check(&[late, next], &[2], LEASE);
        assert_eq!(found, [Violation::Overlap(2, 1)]);
    }

    #[test]
    fn a_lease_begins_when_the_one_before_has_ended() {
        // It waited for longer than it may hold, so it can be over no earlier than this.
        let first = locked(1, 0, 301, 1);
        let mut second = refused(locked(2, 1, 900, 2), Refusal::LockLost);
        second.hold.as_mut().expect("a lock").since = 300;
        second.read = Some(Prefix::of(&[1]));
        let mut third = locked(3, 2, 901, 3);
        third.read = Some(Prefix::of(&[1]));
        third.hold.as_mut().expect("a lock").since = 300 + LEASE - 1;
        let found = check(&[first, second, third], &[1, 3], LEASE);
        assert_eq!(found, [Violation::Overlap(3, 2)]);
    }
}
