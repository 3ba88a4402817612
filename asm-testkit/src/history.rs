//! Histories: what many requests did to lists, and whether all of it can have been right.
//!
//! Each request reads the list of a session, puts a number of its own behind it, which no other
//! request has, and saves ([`append`]). Who writes down what each of them read, when it began and
//! ended and what it was answered, can tell afterwards whether a change was lost or came back,
//! whether somebody read what was out of date, and whether a lock was two requests' at once:
//! [`check`] does.
//!
//! The list in the end is the order in which the requests happened, so no order has to be searched
//! for; each request is where its number stands. This is the list-append method of Elle (Kingsbury
//! and Alvaro, *Inferring Isolation Anomalies from Experimental Observations*, VLDB 14, 2020,
//! <https://arxiv.org/abs/2003.10554>), on sessions. For the lock, the order is that of its fences.
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
//!     fence: None,
//!     outcome: Outcome::Acknowledged,
//! };
//! let requests = [request(1, &[], 0, 10), request(2, &[1], 11, 20)];
//! assert!(check(&requests, &[1, 2]).is_empty());
//! let lost = check(&requests, &[2]);
//! assert_eq!(lost[0].to_string(), "request 1 was acknowledged and is not there");
//! ```

mod across;

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

pub use across::{Survived, Switch, check_across};
use asm_core::Fence;
use asm_session::{Client, SessionError, Sessions};
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
    /// The fence of the lock that it read under; nothing without a lock.
    pub fence: Option<u64>,
    /// What it was answered.
    pub outcome: Outcome,
}

/// What a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// Its number is in the list.
    Acknowledged,
    /// Its number is not, and never will be.
    Refused,
    /// Nobody can tell.
    Unknown,
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
pub async fn append(sessions: &Sessions, id: &str, op: u64, clock: impl Fn() -> u64) -> Request {
    let mut request = Request {
        op,
        began: clock(),
        ended: None,
        read: None,
        fence: None,
        outcome: Outcome::Refused,
    };
    // Nothing was sent that writes: what fails up to here has failed for good.
    if let Ok(mut session) = sessions.open(id, &Client::default()).await {
        let list = session.get_or(LIST, Vec::new()).unwrap_or_default();
        request.read = Some(Prefix::of(&list));
        request.fence = session.fence().map(Fence::get);
        let longer = [&list[..], &[op]].concat();
        request.outcome = match session.insert(LIST, &longer) {
            Ok(()) => outcome(&session.close().await.map(drop)),
            Err(_) => Outcome::Refused,
        };
        session.discard();
    }
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

/// Whatever cannot have been right with these requests to a session whose list is now this one.
/// Nothing if all of it can.
#[must_use]
pub fn check(requests: &[Request], list: &[u64]) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let places = places(requests, list, &mut wrong);
    let prefixes = prefixes(list);
    for request in requests {
        let place = places.get(&request.op).copied();
        wrong.extend(request.fits(place, &prefixes));
    }
    let all: Vec<_> = requests.iter().collect();
    wrong.extend(stale(&all, &all, &places));
    wrong.extend(fences_of_grants(&all, &all));
    wrong.extend(fences_in_order(requests, list));
    wrong
}

const LIST: &str = "list";

fn outcome(saved: &Result<(), SessionError>) -> Outcome {
    match saved {
        Ok(()) => Outcome::Acknowledged,
        Err(SessionError::Store(_)) => Outcome::Unknown,
        Err(_) => Outcome::Refused,
    }
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
            (Outcome::Refused, Some(_)) => return Some(Violation::Revived(self.op)),
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

/// Those of the second that were granted a lock after one of the first had ended, and have no
/// higher fence.
fn fences_of_grants(before: &[&Request], after: &[&Request]) -> impl Iterator<Item = Violation> {
    let before = before.iter().filter_map(|request| {
        let fence = request.fence?;
        Some((request.ended?, fence, request.op))
    });
    let after = after.iter().filter_map(|request| {
        let fence = request.fence?;
        Some((request.began, fence, request.op))
    });
    let not_higher = |highest: u64, fence: u64| fence <= highest;
    behind(before.collect(), after.collect(), not_higher)
        .map(|(op, before)| Violation::FenceBehind(op, before))
}

/// Those that are in the list behind one with as high a fence as theirs.
fn fences_in_order(requests: &[Request], list: &[u64]) -> Vec<Violation> {
    let fences: HashMap<_, _> = requests
        .iter()
        .filter_map(|request| Some((request.op, request.fence?)))
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

    const fn request(op: u64, began: u64, ended: u64) -> Request {
        Request {
            op,
            began,
            ended: Some(ended),
            read: None,
            fence: None,
            outcome: Outcome::Acknowledged,
        }
    }

    /// Ten requests, one after the other, as they should be.
    fn good() -> (Vec<Request>, Vec<u64>) {
        let list: Vec<u64> = (100..110).collect();
        let requests = list.iter().enumerate().map(|(place, op)| Request {
            read: Some(Prefix::of(&list[..place])),
            fence: (place % 3 > 0).then_some(place as u64),
            ..request(*op, 10 * place as u64, 10 * place as u64 + 9)
        });
        (requests.collect(), list)
    }

    fn with(change: impl FnOnce(&mut Vec<Request>, &mut Vec<u64>)) -> Vec<Violation> {
        let (mut requests, mut list) = good();
        change(&mut requests, &mut list);
        check(&requests, &list)
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
            requests[9].outcome = Outcome::Refused;
        });
        assert_eq!(refused, []);
    }

    #[test]
    fn what_is_lost_doubled_revived_or_unsent_is_found() {
        let lost = with(|_, list| list.truncate(9));
        assert_eq!(lost, [Violation::Lost(109)]);
        let doubled = with(|_, list| list.push(109));
        assert_eq!(doubled[0], Violation::Doubled(109));
        let revived = with(|requests, _| requests[4].outcome = Outcome::Refused);
        assert_eq!(revived, [Violation::Revived(104)]);
        let unsent = with(|_, list| list.push(999));
        assert_eq!(unsent, [Violation::Unsent(999)]);
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
    fn a_lock_of_two_at_once_is_found() {
        let same = with(|requests, _| requests[8].fence = requests[7].fence);
        let behind = Violation::FenceBehind(108, 107);
        assert_eq!(same, [behind, behind]);
        // One that wrote nothing counts as well.
        let idle = with(|requests, list| {
            list.pop();
            requests[9].outcome = Outcome::Refused;
            requests[9].fence = Some(3);
        });
        assert_eq!(idle, [Violation::FenceBehind(109, 108)]);
    }
}
