//! Any interleaving of journals equals some serial order per key, or is a typed conflict.

use proptest::{collection::vec, prelude::*};

use super::*;

const KEYS: [&str; 2] = ["a", "b"];
const SESSIONS: usize = 3;

/// A store of one record, as drivers are one: a save needs the present version.
#[derive(Default)]
struct Store {
    entries: Arc<Entries>,
    version: u64,
}

struct Client {
    journal: Journal,
    version: u64,
}

impl Store {
    fn open(&self) -> Client {
        Client {
            journal: Journal::over(Arc::clone(&self.entries)),
            version: self.version,
        }
    }

    /// As the save loop does it. `false` is a conflict, after which nothing has changed.
    fn save(&mut self, client: &mut Client, policy: OnConflict) -> bool {
        self.follow(client);
        let Ok(entries) = client.journal.resolve(policy, false) else {
            return false;
        };
        let mark = client.journal.seal();
        self.entries = Arc::new(entries);
        self.version += 1;
        client.version = self.version;
        client.journal.acknowledge(mark, Arc::clone(&self.entries));
        true
    }

    fn follow(&self, client: &mut Client) {
        if client.version != self.version {
            let newer = Arc::clone(&self.entries);
            client
                .journal
                .rebase(newer)
                .expect("these updates do not fail");
            client.version = self.version;
        }
    }
}

fn bytes(number: i64) -> Bytes {
    number.to_string().into()
}

fn number(value: Option<&Bytes>) -> i64 {
    let text = value.map(|value| std::str::from_utf8(value).expect("digits"));
    text.map_or(0, |text| text.parse().expect("a number"))
}

fn adding(by: i64) -> Update {
    Box::new(move |old| Ok(Some(bytes(number(old) + by))))
}

#[derive(Clone, Debug)]
enum Count {
    /// Reads a counter.
    Read(usize, usize),
    /// Writes back one more than was read last and added since, once for each read. So numbers only
    /// grow, and an old one never comes back by chance.
    WriteBack(usize, usize),
    Add(usize, usize),
    /// Goes on from the newest version.
    Follow(usize),
    Save(usize),
}

fn counts() -> impl Strategy<Value = Vec<Count>> {
    let (session, key) = (0..SESSIONS, 0..KEYS.len());
    let count = prop_oneof![
        3 => (session.clone(), key.clone()).prop_map(|(s, k)| Count::Read(s, k)),
        3 => (session.clone(), key.clone()).prop_map(|(s, k)| Count::WriteBack(s, k)),
        1 => (session.clone(), key).prop_map(|(s, k)| Count::Add(s, k)),
        1 => session.clone().prop_map(Count::Follow),
        2 => session.prop_map(Count::Save),
    ];
    vec(count, 1..60)
}

/// What a session has counted and not saved, and what it read last.
#[derive(Clone, Default)]
struct Counting {
    pending: [i64; KEYS.len()],
    /// With what it added since.
    read: [Option<i64>; KEYS.len()],
}

/// More by `PROPTEST_CASES`.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        cases: usual.cases.max(4096),
        failure_persistence: None,
        ..usual
    }
}

proptest! {
    #![proptest_config(config())]

    /// However reads, writes, saves and merges of several sessions interleave: each increment that
    /// was acknowledged is there, and no other.
    #[test]
    fn no_acknowledged_increment_is_lost(counts in counts()) {
        let mut store = Store::default();
        let mut clients: [Client; SESSIONS] = std::array::from_fn(|_| store.open());
        let mut counting: [Counting; SESSIONS] = Default::default();
        let mut acknowledged = [0; KEYS.len()];
        for count in counts {
            match count {
                Count::Read(s, k) => {
                    counting[s].read[k] = Some(number(clients[s].journal.read(KEYS[k])));
                }
                Count::WriteBack(s, k) => {
                    if let Some(read) = counting[s].read[k].take() {
                        clients[s].journal.put(KEYS[k], Some(bytes(read + 1)));
                        counting[s].pending[k] += 1;
                    }
                }
                Count::Add(s, k) => {
                    clients[s].journal.update(KEYS[k], adding(1)).expect("it does not fail");
                    counting[s].pending[k] += 1;
                    counting[s].read[k] = counting[s].read[k].map(|read| read + 1);
                }
                Count::Follow(s) => store.follow(&mut clients[s]),
                Count::Save(s) => {
                    if store.save(&mut clients[s], OnConflict::Fail) {
                        for (sum, pending) in acknowledged.iter_mut().zip(counting[s].pending) {
                            *sum += pending;
                        }
                    } else {
                        clients[s].journal.discard();
                        counting[s].read = Default::default();
                    }
                    counting[s].pending = Default::default();
                }
            }
        }
        for (key, sum) in KEYS.iter().zip(acknowledged) {
            prop_assert_eq!(number(store.entries.get(*key)), sum);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Get(usize),
    Has(usize),
    Keys,
    Put(usize, i64),
    Remove(usize),
    Add(usize, i64),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..KEYS.len();
    let step = prop_oneof![
        3 => key.clone().prop_map(Step::Get),
        1 => key.clone().prop_map(Step::Has),
        1 => Just(Step::Keys),
        3 => (key.clone(), 0..3_i64).prop_map(|(k, v)| Step::Put(k, v)),
        2 => key.clone().prop_map(Step::Remove),
        2 => (key, 1..3_i64).prop_map(|(k, v)| Step::Add(k, v)),
        1 => Just(Step::Clear),
    ];
    vec(step, 1..6)
}

/// What a step shows of one key: its value, or only whether there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shown {
    Value(Option<i64>),
    Presence(bool),
}

/// Runs steps on a journal; what they show of each key.
fn run(journal: &mut Journal, steps: &[Step]) -> [Vec<Shown>; KEYS.len()] {
    let mut shown: [Vec<Shown>; KEYS.len()] = Default::default();
    for step in steps {
        match step {
            Step::Get(k) => {
                let value = journal.read(KEYS[*k]).map(|value| number(Some(value)));
                shown[*k].push(Shown::Value(value));
            }
            Step::Has(k) => shown[*k].push(Shown::Presence(journal.contains(KEYS[*k]))),
            Step::Keys => {
                let keys = journal.keys();
                for (key, shown) in KEYS.iter().zip(&mut shown) {
                    shown.push(Shown::Presence(keys.contains(key)));
                }
            }
            Step::Put(k, value) => journal.put(KEYS[*k], Some(bytes(*value))),
            Step::Remove(k) => journal.put(KEYS[*k], None),
            Step::Add(k, by) => {
                journal
                    .update(KEYS[*k], adding(*by))
                    .expect("it does not fail");
            }
            Step::Clear => journal.clear(),
        }
    }
    shown
}

/// Runs steps on one key alone, as if nobody else were there; what they show of it.
fn run_alone(value: &mut Option<i64>, key: usize, steps: &[Step]) -> Vec<Shown> {
    let mut shown = Vec::new();
    for step in steps {
        match step {
            Step::Get(k) if *k == key => shown.push(Shown::Value(*value)),
            Step::Has(k) if *k == key => shown.push(Shown::Presence(value.is_some())),
            Step::Keys => shown.push(Shown::Presence(value.is_some())),
            Step::Put(k, new) if *k == key => *value = Some(*new),
            Step::Add(k, by) if *k == key => *value = Some(value.unwrap_or(0) + by),
            Step::Remove(k) if *k == key => *value = None,
            Step::Clear => *value = None,
            _ => {}
        }
    }
    shown
}

/// Whether what these steps showed of the key may be old: they change it by updates alone, and
/// those run again on the newest.
fn only_updates(key: usize, steps: &[Step]) -> bool {
    let puts = steps.iter().any(|step| match step {
        Step::Put(k, _) | Step::Remove(k) => *k == key,
        Step::Clear => true,
        _ => false,
    });
    let updates = steps
        .iter()
        .any(|step| matches!(step, Step::Add(k, _) if *k == key));
    updates && !puts
}

/// Whether some order of the sessions that saved explains what they were shown of this key, and
/// what is stored in the end.
fn is_serial(
    key: usize,
    start: Option<i64>,
    end: Option<i64>,
    saved: &[(&[Step], &[Shown])],
) -> bool {
    if saved.is_empty() {
        return start == end;
    }
    (0..saved.len()).any(|first| {
        let (steps, shown) = saved[first];
        let mut value = start;
        let would_be_shown = run_alone(&mut value, key, steps);
        let fits = would_be_shown == shown || only_updates(key, steps);
        let mut rest = saved.to_vec();
        rest.remove(first);
        fits && is_serial(key, value, end, &rest)
    })
}

proptest! {
    #![proptest_config(config())]

    /// Sessions that were opened at the same version and save one after the other.
    #[test]
    fn what_is_saved_equals_some_serial_order_per_key(
        starts in [proptest::option::of(0..3_i64), proptest::option::of(0..3_i64)],
        programs in [steps(), steps(), steps()],
    ) {
        let mut store = Store::default();
        let entries = KEYS.iter().zip(starts);
        let entries = entries.filter_map(|(key, value)| Some(((*key).to_owned(), bytes(value?))));
        store.entries = Arc::new(entries.collect());
        let mut clients: [Client; SESSIONS] = std::array::from_fn(|_| store.open());
        let mut saved = Vec::new();
        for (client, steps) in clients.iter_mut().zip(&programs) {
            let shown = run(&mut client.journal, steps);
            if !client.journal.is_modified() || store.save(client, OnConflict::Fail) {
                saved.push((steps.as_slice(), shown));
            }
        }
        for (key, start) in starts.into_iter().enumerate() {
            let end = store.entries.get(KEYS[key]).map(|value| number(Some(value)));
            let saved: Vec<_> =
                saved.iter().map(|(steps, shown)| (*steps, shown[key].as_slice())).collect();
            prop_assert!(is_serial(key, start, end, &saved), "{}: {start:?} to {end:?}", KEYS[key]);
        }
    }
}

#[test]
fn changes_made_while_a_save_is_in_flight_stay_when_it_is_acknowledged() {
    let mut store = Store::default();
    let mut client = store.open();
    client
        .journal
        .update("a", adding(1))
        .expect("it does not fail");
    let entries = client
        .journal
        .resolve(OnConflict::Fail, false)
        .expect("alone");
    let mark = client.journal.seal();
    client
        .journal
        .update("a", adding(10))
        .expect("it does not fail");
    client.journal.put("b", Some(bytes(5)));
    client.journal.acknowledge(mark, Arc::new(entries));
    assert!(client.journal.is_modified());
    assert_eq!(number(client.journal.read("a")), 11);
    assert_eq!(number(client.journal.base.get("a")), 1);
    store.entries = Arc::clone(&client.journal.base);
    assert!(store.save(&mut client, OnConflict::Fail));
    assert_eq!(
        (
            number(store.entries.get("a")),
            number(store.entries.get("b"))
        ),
        (11, 5)
    );
}

#[test]
fn changes_whose_fate_is_unknown_are_dropped_and_later_ones_kept() {
    let store = Store::default();
    let mut client = store.open();
    client.journal.put("a", Some(bytes(1)));
    let mark = client.journal.seal();
    client.journal.put("b", Some(bytes(2)));
    client.journal.forget(mark);
    client.journal.unseal();
    assert_eq!(client.journal.keys(), ["b"]);
}

#[test]
fn an_update_that_fails_on_the_newer_value_changes_nothing() {
    let mut store = Store::default();
    let mut client = store.open();
    let fussy: Update = Box::new(|old| match old {
        None => Ok(Some(bytes(1))),
        Some(_) => Err(crate::SessionError::app("taken")),
    });
    client.journal.update("a", fussy).expect("it is free");
    let mut other = store.open();
    other.journal.put("a", Some(bytes(7)));
    assert!(store.save(&mut other, OnConflict::Fail));
    assert!(client.journal.rebase(Arc::clone(&store.entries)).is_err());
    assert_eq!(number(client.journal.read("a")), 1);
    assert!(client.journal.base.is_empty());
}
