//! Histories with a failover in them.

use std::collections::HashMap;

use super::{
    Outcome, Prefix, Request, Violation, behind, fences_in_order, grants, places, prefixes, stale,
};

/// When a replica took the place of a master, by the clock of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// What had been acknowledged up to here the replicas were shown to have; 0 if nothing was.
    pub in_sync: u64,
    /// Up to here there was one master.
    pub began: u64,
    /// From here on there is one again, and nobody reaches the one before.
    pub ended: u64,
}

/// What became of a history across a failover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survived {
    /// The requests that were acknowledged and did not survive, in the order in which they
    /// happened: the last ones before the switch, without a hole.
    pub lost: Vec<u64>,
    /// Whatever cannot have been right, not even with a failover.
    pub wrong: Vec<Violation>,
}

/// As [`check`](super::check), of a history during which a replica that lagged behind became the
/// master, once.
///
/// The one before and the new one have the beginning of the list in common, each goes on by itself
/// from there, and what only the one before has is lost. So there are two lists, not one. That is all
/// that a failover excuses:
///
/// - What is lost was acknowledged after the replicas were in sync, was sent before the end of the
///   switch, and is all that came after some point: the rest of the list from there on was
///   acknowledged after the switch had begun. So nothing is missing in between, and no two requests
///   were acknowledged on one version by one master.
/// - Each list is right by itself: whoever read read one of them, the lost one only until the switch
///   had ended; nothing is doubled, revived or unsent; on each the fences of holders grow, and
///   before and after the switch the lock is one holder's (the lease is that of
///   [`check`](super::check)).
/// - Up to the switch nobody read less than had been acknowledged, after it nobody less than what
///   survived; and in it, where there may be two masters, nobody less than what both have.
///
/// ```
/// use asm_testkit::history::{Outcome, Prefix, Request, Switch, check_across};
///
/// let request = |op, read: &[u64], began, ended| Request {
///     op,
///     began,
///     ended: Some(ended),
///     read: Some(Prefix::of(read)),
///     hold: None,
///     outcome: Outcome::Acknowledged,
/// };
/// let requests = [request(1, &[], 0, 10), request(2, &[1], 11, 20), request(3, &[1], 50, 60)];
/// let switch = Switch { in_sync: 15, began: 25, ended: 45 };
/// let survived = check_across(&requests, &[1, 3], switch, 400);
/// assert_eq!((survived.lost, survived.wrong), (vec![2], vec![]));
/// ```
#[must_use]
pub fn check_across(requests: &[Request], list: &[u64], switch: Switch, lease: u64) -> Survived {
    let mut wrong = Vec::new();
    let places = places(requests, list, &mut wrong);
    let prefixes = prefixes(list);
    let old = Old::found(requests, &places, &prefixes, switch);
    let forked = old.forked(requests, &places, switch);

    let mut lost = Vec::new();
    for request in requests {
        let place = places.get(&request.op).copied();
        let Some(violation) = request.fits(place, &prefixes) else {
            continue;
        };
        match violation {
            Violation::Lost(op)
                if !forked && !switch.had_in_sync(request) && old.has(request, switch) =>
            {
                lost.push(op);
            }
            Violation::ReadOther(_) if place.is_none() && old.was_read(request, switch) => {}
            violation => wrong.push(violation),
        }
    }
    lost.sort_by_key(|op| old.ops.iter().position(|old| old == op));

    let old_list = match old.ops[..] {
        [] => list.to_vec(),
        _ => [&list[..old.common.min(list.len())], &old.ops].concat(),
    };
    let old_places = old_list.iter().enumerate();
    let old_places = old_places.map(|(place, op)| (*op, place)).collect();
    let [before, after, survivors_and_after, survivors_and_meanwhile] =
        switch.parts(requests, &places);
    wrong.extend(grants(&before.1, &old_places, lease));
    wrong.extend(grants(&after.1, &places, lease));
    for (before, after) in [&survivors_and_after, &survivors_and_meanwhile] {
        wrong.extend(fences_of_grants(before, after));
    }
    for (before, after) in [before, after, survivors_and_after, survivors_and_meanwhile] {
        wrong.extend(stale(&before, &after, &places));
    }
    wrong.extend(fences_in_order(requests, list));
    for violation in fences_in_order(requests, &old_list) {
        if !wrong.contains(&violation) {
            wrong.push(violation);
        }
    }
    Survived { lost, wrong }
}

/// As [`check_across`], of a list that nobody has read ([`push`](super::push)), or across more
/// failovers than somebody knows the times of: nothing tells the order, so this is about the numbers
/// alone. What was acknowledged before the replicas were in sync, or sent after the end of the
/// switch, is there; nothing is doubled, revived or unsent.
///
/// ```
/// use asm_testkit::history::{Outcome, Request, Switch, Violation, check_set_across};
///
/// let request = |op, began, ended| Request {
///     op,
///     began,
///     ended: Some(ended),
///     read: None,
///     hold: None,
///     outcome: Outcome::Acknowledged,
/// };
/// let requests = [request(1, 0, 10), request(2, 11, 20), request(3, 50, 60)];
/// let switch = Switch { in_sync: 15, began: 25, ended: 45 };
/// let survived = check_set_across(&requests, &[3], switch);
/// assert_eq!((survived.lost, survived.wrong), (vec![2], vec![Violation::Lost(1)]));
/// ```
#[must_use]
pub fn check_set_across(requests: &[Request], list: &[u64], switch: Switch) -> Survived {
    let mut survived = Survived::default();
    let places = places(requests, list, &mut survived.wrong);
    for request in requests {
        match (request.outcome, places.contains_key(&request.op)) {
            (Outcome::Acknowledged, false) if switch.can_lose(request) => {
                survived.lost.push(request.op);
            }
            (Outcome::Acknowledged, false) => survived.wrong.push(Violation::Lost(request.op)),
            (Outcome::Refused(_), true) => survived.wrong.push(Violation::Revived(request.op)),
            _ => {}
        }
    }
    survived
}

/// Those of the second that were granted a lock after one of the first had ended, and have no
/// higher fence.
fn fences_of_grants(before: &[&Request], after: &[&Request]) -> impl Iterator<Item = Violation> {
    let before = before.iter().filter_map(|request| {
        let fence = request.hold?.fence;
        Some((request.ended?, fence, request.op))
    });
    let after = after.iter().filter_map(|request| {
        let fence = request.hold?.fence;
        Some((request.began, fence, request.op))
    });
    let not_higher = |highest: u64, fence: u64| fence <= highest;
    behind(before.collect(), after.collect(), not_higher)
        .map(|(op, before)| Violation::FenceBehind(op, before))
}

/// What only the master before had.
#[derive(Debug, Default)]
struct Old {
    /// The length of the list up to which both are the same.
    common: usize,
    /// What came behind that.
    ops: Vec<u64>,
    /// The lists that it was, the longest last.
    states: Vec<Prefix>,
}

/// How many requests of which nobody knows what they read may stand one behind the other.
const UNHEARD: usize = 3;

impl Old {
    /// Goes back from the longest list that somebody knows of, who began before the end of the
    /// switch, and that is not the surviving one.
    fn found(
        requests: &[Request],
        places: &HashMap<u64, usize>,
        prefixes: &[Prefix],
        switch: Switch,
    ) -> Self {
        let survived = |state: &Prefix| prefixes.get(state.len) == Some(state);
        let early = || {
            let requests = requests.iter();
            requests.filter(|request| request.began < switch.ended)
        };
        let absent = || early().filter(|request| !places.contains_key(&request.op));
        let made: HashMap<Prefix, (u64, Prefix)> = absent()
            .filter_map(|request| {
                let read = request.read?;
                Some((read.and(request.op), (request.op, read)))
            })
            .collect();
        let unheard: Vec<u64> = absent()
            .filter(|request| request.read.is_none() && request.outcome == Outcome::Unknown)
            .map(|request| request.op)
            .collect();
        let read = early().filter_map(|request| request.read);
        let acknowledged = absent()
            .filter(|request| request.outcome == Outcome::Acknowledged)
            .filter_map(|request| Some(request.read?.and(request.op)));
        let Some(last) = read
            .chain(acknowledged)
            .filter(|state| !survived(state))
            .max_by_key(|state| state.len)
        else {
            return Self::default();
        };

        let known = |state: &Prefix| survived(state) || made.contains_key(state);
        let mut old = Self {
            states: vec![last],
            ..Self::default()
        };
        let mut state = last;
        while !survived(&state) {
            let step = match made.get(&state) {
                Some((op, read)) => vec![(*op, *read)],
                None => steps_back(state, &unheard, UNHEARD, &known),
            };
            if step.is_empty() {
                // It never was: who read it is told so.
                return Self::default();
            }
            for (op, before) in step {
                old.ops.push(op);
                old.states.push(before);
                state = before;
            }
        }
        old.common = state.len;
        old.ops.reverse();
        old.states.reverse();
        old
    }

    /// Whether the surviving list went on from where both are the same before there was a switch.
    fn forked(&self, requests: &[Request], places: &HashMap<u64, usize>, switch: Switch) -> bool {
        let mut requests = requests.iter();
        !self.ops.is_empty()
            && requests.any(|request| {
                let place = places.get(&request.op);
                place.is_some_and(|place| *place >= self.common) && switch.is_behind(request)
            })
    }

    /// Whether this request is in it and may be.
    fn has(&self, request: &Request, switch: Switch) -> bool {
        let after = request.read.map(|read| read.and(request.op));
        request.began < switch.ended && after.is_some_and(|after| self.states.contains(&after))
    }

    /// Whether this request has read it and could.
    fn was_read(&self, request: &Request, switch: Switch) -> bool {
        let read = request.read;
        request.began < switch.ended && read.is_some_and(|read| self.states.contains(&read))
    }
}

/// The requests that lead back from this list to one that is known, if at most so many do.
fn steps_back(
    state: Prefix,
    ops: &[u64],
    most: usize,
    known: &impl Fn(&Prefix) -> bool,
) -> Vec<(u64, Prefix)> {
    if most == 0 {
        return Vec::new();
    }
    let steps = ops.iter().filter_map(|op| Some((*op, state.without(*op)?)));
    let steps: Vec<_> = steps.collect();
    if let Some(step) = steps.iter().find(|(_, before)| known(before)) {
        return vec![*step];
    }
    for step in steps {
        let rest = steps_back(step.1, ops, most - 1, known);
        if !rest.is_empty() {
            return [vec![step], rest].concat();
        }
    }
    Vec::new()
}

impl Switch {
    /// Whether replicas were shown to have this request.
    fn had_in_sync(self, request: &Request) -> bool {
        request.ended.is_some_and(|ended| ended < self.in_sync)
    }

    /// Whether this request may be lost, wherever it stood.
    fn can_lose(self, request: &Request) -> bool {
        !self.had_in_sync(request) && request.began < self.ended
    }

    /// Whether this request had ended when it began.
    fn is_behind(self, request: &Request) -> bool {
        request.ended.is_some_and(|ended| ended < self.began)
    }

    /// Requests of which the second must have seen what the first did.
    fn parts<'a>(
        self,
        requests: &'a [Request],
        places: &HashMap<u64, usize>,
    ) -> [(Vec<&'a Request>, Vec<&'a Request>); 4] {
        let those = |which: &dyn Fn(&Request) -> bool| {
            let requests = requests.iter();
            requests
                .filter(|request| which(request))
                .collect::<Vec<_>>()
        };
        let before = |request: &Request| self.is_behind(request);
        let after = |request: &Request| request.began > self.ended;
        let survived = |request: &Request| places.contains_key(&request.op);
        let meanwhile = |request: &Request| !before(request) && !after(request);
        [
            (those(&before), those(&before)),
            (those(&after), those(&after)),
            (
                those(&|request| survived(request) && !after(request)),
                those(&after),
            ),
            (
                those(&|request| survived(request) && before(request)),
                those(&meanwhile),
            ),
        ]
    }
}

impl Prefix {
    /// The list whose [`and`](Self::and) with this is this one; nothing if it is empty.
    fn without(self, op: u64) -> Option<Self> {
        let mut mixed = unshifted(self.digest, 31);
        mixed = unshifted(mixed.wrapping_mul(0x3196_42b2_d24d_8ec3), 27);
        mixed = unshifted(mixed.wrapping_mul(0x96de_1b17_3f11_9089), 30);
        Some(Self {
            len: self.len.checked_sub(1)?,
            digest: mixed.wrapping_sub(0x9e37_79b9_7f4a_7c15) ^ op,
        })
    }
}

/// The number that this one is the exclusive or of, with itself moved right by so many bits.
fn unshifted(number: u64, bits: u32) -> u64 {
    let mut whole = number;
    let mut moved = bits;
    while moved < u64::BITS {
        whole = number ^ (whole >> bits);
        moved += bits;
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Hold, Refusal},
        *,
    };

    const REFUSED: Outcome = Outcome::Refused(Refusal::Other);

    /// The replicas had seven.
    const SWITCH: Switch = Switch {
        in_sync: 76,
        began: 110,
        ended: 200,
    };

    const LEASE: u64 = 400;

    fn appended(op: u64, list: &[u64], began: u64) -> Request {
        Request {
            op,
            began,
            ended: Some(began + 9),
            read: Some(Prefix::of(list)),
            hold: Some(Hold {
                fence: list.len() as u64 + 1,
                since: began + 1,
                until: began + 8,
            }),
            outcome: Outcome::Acknowledged,
        }
    }

    /// Ten of which the last three are lost, one of those when the switch was under way; and three
    /// at the new master.
    fn good() -> (Vec<Request>, Vec<u64>) {
        let old: Vec<u64> = (1..=10).collect();
        let mut requests: Vec<_> = old
            .iter()
            .enumerate()
            .map(|(place, op)| appended(*op, &old[..place], 11 * place as u64))
            .collect();
        requests[9].ended = Some(115);
        let list = [&old[..7], &[11, 12, 13]].concat();
        for (place, op) in list.iter().enumerate().skip(7) {
            requests.push(appended(*op, &list[..place], 20 * place as u64));
        }
        (requests, list)
    }

    fn with(change: impl FnOnce(&mut Vec<Request>, &mut Vec<u64>)) -> Survived {
        let (mut requests, mut list) = good();
        change(&mut requests, &mut list);
        check_across(&requests, &list, SWITCH, LEASE)
    }

    fn set_fence(request: &mut Request, fence: u64) {
        request.hold.as_mut().expect("a lock").fence = fence;
    }

    fn right(lost: &[u64]) -> Survived {
        Survived {
            lost: lost.to_vec(),
            wrong: Vec::new(),
        }
    }

    #[test]
    fn a_step_back_is_undone_by_a_step() {
        let long = Prefix::of(&[5, u64::MAX, 0, 77]);
        assert_eq!(long.and(3).without(3), Some(long));
        assert_ne!(long.and(3).without(4), Some(long));
        assert_eq!(Prefix::EMPTY.without(4), None);
    }

    #[test]
    fn the_last_before_the_switch_may_be_lost_and_are_counted() {
        assert_eq!(with(|_, _| {}), right(&[8, 9, 10]));
    }

    #[test]
    fn who_read_what_is_lost_may_have_in_the_switch_and_not_later() {
        let old: Vec<u64> = (1..=10).collect();
        let reader = |began| Request {
            outcome: REFUSED,
            hold: None,
            ..appended(99, &old, began)
        };
        let meanwhile = with(|requests, _| requests.push(reader(150)));
        assert_eq!(meanwhile, right(&[8, 9, 10]));
        let later = with(|requests, _| requests.push(reader(300)));
        assert_eq!(later.wrong, [Violation::ReadOther(99)]);
    }

    #[test]
    fn who_was_not_heard_of_may_stand_in_between() {
        let unheard = with(|requests, _| {
            for lost in [7, 8] {
                requests[lost].outcome = Outcome::Unknown;
                requests[lost].read = None;
                requests[lost].ended = None;
                requests[lost].hold = None;
            }
        });
        assert_eq!(unheard, right(&[10]));
    }

    #[test]
    fn without_a_loss_nothing_is_counted() {
        let none = with(|requests, list| {
            requests.truncate(10);
            *list = (1..=10).collect();
        });
        assert_eq!(none, right(&[]));
    }

    #[test]
    fn what_is_lost_without_the_switch_is_found() {
        // Both were acknowledged on one version, long before it.
        let overwritten = with(|requests, list| {
            requests.truncate(7);
            requests[6].read = Some(Prefix::of(&list[..5]));
            *list = vec![1, 2, 3, 4, 5, 7];
        });
        assert!(overwritten.wrong.contains(&Violation::Lost(6)));
        assert!(overwritten.lost.is_empty());
        // After it as well.
        let later = with(|requests, list| requests.push(appended(14, list, 210)));
        assert_eq!(later.wrong, [Violation::Lost(14)]);
        assert_eq!(later.lost, [8, 9, 10]);
    }

    #[test]
    fn what_the_replicas_had_is_not_lost() {
        let switch = Switch {
            in_sync: 50,
            ..SWITCH
        };
        let early = appended(1, &[], 0);
        let mut late = appended(2, &[], 90);
        late.ended = Some(115);
        let survived = check_across(&[early, late], &[2], switch, LEASE);
        assert_eq!(survived.wrong, [Violation::Lost(1)]);
        assert!(survived.lost.is_empty());
        let never = Switch {
            in_sync: 0,
            ..SWITCH
        };
        let survived = check_across(&[early, late], &[2], never, LEASE);
        assert_eq!(survived, right(&[1]));
    }

    #[test]
    fn a_lock_of_two_at_once_is_found_on_each_master() {
        let thief = |began, fence| Request {
            outcome: REFUSED,
            hold: Some(Hold {
                fence,
                since: began + 2,
                until: began + 3,
            }),
            ..appended(99, &[], began)
        };
        // The eighth began at 77, is certain of its lock until 85, and has fence 8.
        let mut before = thief(78, 9);
        before.read = Some(Prefix::of(&(1..=7).collect::<Vec<_>>()));
        let before = with(|requests, _| {
            // Nobody after it.
            requests.retain(|request| ![9, 10].contains(&request.op));
            requests.push(before);
        });
        assert_eq!(
            before.wrong,
            [Violation::Overlap(99, 8), Violation::StaleGrant(99, 8)]
        );
        // The last one at the new master began at 240.
        let mut after = thief(241, 14);
        let after = with(|requests, list| {
            requests.retain(|request| request.op != 13);
            list.pop();
            let mut robbed = appended(98, list, 240);
            robbed.outcome = REFUSED;
            after.read = Some(Prefix::of(list));
            requests.extend([robbed, after]);
        });
        assert_eq!(after.wrong, [Violation::Overlap(99, 98)]);
    }

    #[test]
    fn of_a_set_the_last_may_be_lost_and_no_more() {
        let (requests, list) = good();
        assert_eq!(
            check_set_across(&requests, &list, SWITCH),
            right(&[8, 9, 10])
        );
        let of = |list: &[u64]| check_set_across(&requests, list, SWITCH).wrong;
        assert_eq!(of(&list[1..]), [Violation::Lost(1)]);
        assert_eq!(of(&[&list[..], &[13]].concat()), [Violation::Doubled(13)]);
        assert_eq!(of(&[&list[..], &[77]].concat()), [Violation::Unsent(77)]);
        let mut refused = requests.clone();
        refused[5].outcome = REFUSED;
        let wrong = check_set_across(&refused, &list, SWITCH).wrong;
        assert_eq!(wrong, [Violation::Revived(6)]);
        let later = [&requests[..], &[appended(14, &list, 210)]].concat();
        let wrong = check_set_across(&later, &list, SWITCH).wrong;
        assert_eq!(wrong, [Violation::Lost(14)]);
    }

    #[test]
    fn a_hole_is_found() {
        let hole = with(|_, list| {
            list.remove(3);
        });
        assert!(hole.wrong.contains(&Violation::Lost(4)));
        assert!(hole.wrong.contains(&Violation::ReadOther(5)));
    }

    #[test]
    fn two_on_one_version_of_the_old_master_are_found() {
        let forked = with(|requests, _| {
            let list: Vec<u64> = (1..=8).collect();
            requests.push(appended(99, &list, 92));
        });
        assert!(forked.wrong.contains(&Violation::Lost(99)));
    }

    #[test]
    fn what_is_doubled_revived_or_unsent_is_found() {
        let doubled = with(|_, list| list.push(13));
        assert_eq!(doubled.wrong[0], Violation::Doubled(13));
        let unsent = with(|_, list| list.push(77));
        assert_eq!(unsent.wrong, [Violation::Unsent(77)]);
        let revived = with(|requests, _| requests[5].outcome = REFUSED);
        assert_eq!(revived.wrong[0], Violation::Revived(6));
    }

    #[test]
    fn who_read_too_little_is_found() {
        let reader = |len: u64, began| Request {
            outcome: REFUSED,
            hold: None,
            ..appended(99, &(1..=len).collect::<Vec<_>>(), began)
        };
        // Before: all that had been acknowledged, whatever became of it.
        let before = with(|requests, _| requests.push(reader(8, 98)));
        assert_eq!(before.wrong, [Violation::Stale(99, 9)]);
        // Meanwhile: what has survived of it.
        let meanwhile = with(|requests, _| requests.push(reader(6, 150)));
        assert_eq!(meanwhile.wrong, [Violation::Stale(99, 7)]);
        let at_the_old = with(|requests, _| requests.push(reader(8, 150)));
        assert_eq!(at_the_old, right(&[8, 9, 10]));
        // After: all that has survived.
        let after = with(|requests, _| requests.push(reader(7, 300)));
        assert_eq!(after.wrong, [Violation::Stale(99, 13)]);
    }

    #[test]
    fn fences_grow_on_each_list() {
        let old = with(|requests, _| set_fence(&mut requests[9], 9));
        assert!(old.wrong.contains(&Violation::FenceBehind(10, 9)));
        let new = with(|requests, _| set_fence(&mut requests[10], 7));
        assert!(new.wrong.contains(&Violation::FenceBehind(11, 7)));
        // The two lists count for themselves: the first after the switch has that of a lost one.
        let (requests, _) = good();
        let fence = |request: &Request| request.hold.map(|hold| hold.fence);
        assert_eq!(fence(&requests[7]), fence(&requests[10]));
    }
}
