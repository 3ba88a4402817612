//! What an answer says, in a form in which the model's and the driver's can be compared.

use std::{borrow::Cow, collections::BTreeMap, fmt, time::Duration};

use asm_core::{
    Acquired, Broken, Created, Deleted, FieldFound, FieldValue, FieldWritten, Key, Label, Listing,
    LockState, Opened, OpenedLock, Redacted, Released, Renewed, Reserved, Result, Revoked,
    Snapshot, Stamp, Subscribed, Touched, Version, Written,
};

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    /// What became of the request.
    pub(super) outcome: Cow<'static, str>,
    facts: Vec<Fact>,
}

/// What an answer says beside its outcome.
#[derive(Clone, Debug, PartialEq)]
enum Fact {
    Version(Version),
    Stamp(Stamp),
    Data(Redacted),
    Value(FieldValue),
    Number(i64),
    Count(usize),
    Keys(Vec<Key>),
    Key(Key),
    Label(Label),
    Confirmed(bool),
    /// What is left of a lifetime or a grant, or how old something is.
    Time(Option<Duration>),
    /// A fence or a generation: which number it is, is the driver's own business, as long as it
    /// grows when the model's does.
    Growing(u64),
}

/// An answer that can be compared.
pub(super) trait Answer {
    /// What it says. Only keys of living sessions count.
    fn seen(&self, living: &[Key]) -> Seen;
}

impl Seen {
    fn new(outcome: &'static str) -> Self {
        Self {
            outcome: Cow::Borrowed(outcome),
            facts: Vec::new(),
        }
    }

    fn with(mut self, fact: Fact) -> Self {
        self.facts.push(fact);
        self
    }

    fn with_record(self, snapshot: &Snapshot) -> Self {
        self.with(Fact::Version(snapshot.version))
            .with(Fact::Stamp(snapshot.stamp))
            .with(Fact::Data(snapshot.data.clone()))
            .with(Fact::Time(snapshot.left))
    }

    /// An answer of which only the outcome counts.
    pub(super) fn only(outcome: &'static str) -> Self {
        Self::new(outcome)
    }

    /// What an answer says, or a failure, of which only the kind counts.
    pub(super) fn of<T: Answer>(answer: &Result<T>, living: &[Key]) -> Self {
        match answer {
            Ok(answer) => answer.seen(living),
            Err(error) => Self {
                outcome: Cow::Owned(format!("Err({:?})", error.kind())),
                facts: Vec::new(),
            },
        }
    }

    /// Says how it came about, in the outcome.
    pub(super) fn noted(mut self, note: &str) -> Self {
        self.outcome = Cow::Owned(format!("{}, {note}", self.outcome));
        self
    }
}

/// Which of the driver's growing numbers stands for which of the model's.
#[derive(Debug, Default)]
pub(super) struct Growth(BTreeMap<u64, u64>);

impl Growth {
    /// Whether the driver's number can stand for the model's: always the same for the same, a
    /// greater one for a greater one.
    fn fits(&mut self, model: u64, driver: u64) -> bool {
        let below = self.0.range(..model).next_back().map(|(_, known)| *known);
        let above = self.0.range(model + 1..).next().map(|(_, known)| *known);
        let known = *self.0.entry(model).or_insert(driver);
        known == driver
            && below.is_none_or(|below| below < driver)
            && above.is_none_or(|above| driver < above)
    }

    /// The driver's number for the model's, itself if there is none.
    pub(super) fn translate(&self, model: u64) -> u64 {
        self.0.get(&model).copied().unwrap_or(model)
    }
}

impl Seen {
    /// Whether a driver that should answer this may answer that.
    pub(super) fn allows(&self, answer: &Self, slack: Duration, growth: &mut Growth) -> bool {
        self.outcome == answer.outcome
            && self.facts.len() == answer.facts.len()
            && self
                .facts
                .iter()
                .zip(&answer.facts)
                .all(|(expected, fact)| match (expected, fact) {
                    (Fact::Time(Some(expected)), Fact::Time(Some(time))) => {
                        expected.abs_diff(*time) <= slack
                    }
                    (Fact::Growing(expected), Fact::Growing(number)) => {
                        growth.fits(*expected, *number)
                    }
                    _ => expected == fact,
                })
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.outcome)?;
        self.facts.iter().try_for_each(|fact| match fact {
            Fact::Version(version) => write!(f, "; version {version}"),
            // Epochs and proofs are names without a meaning.
            Fact::Stamp(_) => Ok(()),
            Fact::Data(data) => write!(f, "; {data:?}"),
            Fact::Value(value) => write!(f, "; {value:?}"),
            Fact::Number(number) => write!(f, "; {number}"),
            Fact::Count(count) => write!(f, "; {count}"),
            Fact::Keys(keys) => write!(f, "; {} sessions", keys.len()),
            Fact::Key(_) => f.write_str("; a session"),
            Fact::Label(label) => write!(f, "; {label:?}"),
            Fact::Confirmed(true) => f.write_str("; confirmed"),
            Fact::Confirmed(false) => f.write_str("; provisional"),
            Fact::Time(Some(time)) => write!(f, "; {time:?}"),
            Fact::Time(None) => f.write_str("; no end"),
            Fact::Growing(number) => write!(f, "; number {number}"),
        })
    }
}

impl Answer for Created {
    fn seen(&self, _: &[Key]) -> Seen {
        match self {
            Self::Done { version, fence, .. } => {
                let seen = Seen::new(match fence {
                    Some(_) => "Done, locked",
                    None => "Done",
                });
                let seen = seen.with(Fact::Version(*version));
                match fence {
                    Some(fence) => seen.with(Fact::Growing(fence.get())),
                    None => seen,
                }
            }
            Self::Taken => Seen::new("Taken"),
            _ => Seen::new("?"),
        }
    }
}

impl Answer for Opened {
    fn seen(&self, _: &[Key]) -> Seen {
        match self {
            Self::Found { snapshot, lock } => match lock {
                OpenedLock::NotAsked => Seen::new("Found").with_record(snapshot),
                OpenedLock::Held(fence) => Seen::new("Found, held")
                    .with_record(snapshot)
                    .with(Fact::Growing(fence.get())),
                OpenedLock::Busy => Seen::new("Found, busy").with_record(snapshot),
                OpenedLock::Unproven => Seen::new("Found, unproven").with_record(snapshot),
                _ => Seen::new("?"),
            },
            Self::Missing => Seen::new("Missing"),
            _ => Seen::new("?"),
        }
    }
}

impl Answer for Written {
    fn seen(&self, _: &[Key]) -> Seen {
        match self {
            Self::Done { version, .. } => Seen::new("Done").with(Fact::Version(*version)),
            Self::Conflict(snapshot) => Seen::new("Conflict").with_record(snapshot),
            Self::Locked => Seen::new("Locked"),
            Self::LockLost => Seen::new("LockLost"),
            Self::Missing => Seen::new("Missing"),
            Self::Ended => Seen::new("Ended"),
            _ => Seen::new("?"),
        }
    }
}

impl Answer for Touched {
    fn seen(&self, _: &[Key]) -> Seen {
        match self {
            Self::Done { left, .. } => Seen::new("Done").with(Fact::Time(Some(*left))),
            Self::Missing => Seen::new("Missing"),
            Self::Ended => Seen::new("Ended"),
            _ => Seen::new("?"),
        }
    }
}

impl Answer for Deleted {
    fn seen(&self, _: &[Key]) -> Seen {
        match self {
            Self::Done => Seen::new("Done"),
            Self::Nothing => Seen::new("Nothing"),
            Self::Conflict(snapshot) => Seen::new("Conflict").with_record(snapshot),
            Self::Locked => Seen::new("Locked"),
            Self::LockLost => Seen::new("LockLost"),
            Self::Ended => Seen::new("Ended"),
            _ => Seen::new("?"),
        }
    }
}

impl Answer for Acquired {
    fn seen(&self, _: &[Key]) -> Seen {
        match self {
            Self::Held { fence, snapshot } => {
                let fence = Fact::Growing(fence.get());
                match snapshot {
                    Some(snapshot) => Seen::new("Held, with the record")
                        .with(fence)
                        .with_record(snapshot),
                    None => Seen::new("Held").with(fence),
                }
            }
            Self::Busy => Seen::new("Busy"),
            Self::QueueFull => Seen::new("QueueFull"),
            Self::Missing => Seen::new("Missing"),
            Self::Ended => Seen::new("Ended"),
            _ => Seen::new("?"),
        }
    }
}

impl Answer for Renewed {
    fn seen(&self, _: &[Key]) -> Seen {
        match self {
            Self::Done { left } => Seen::new("Done").with(Fact::Time(Some(*left))),
            Self::Lost => Seen::new("Lost"),
            Self::Missing => Seen::new("Missing"),
            _ => Seen::new("?"),
        }
    }
}

impl Answer for Released {
    fn seen(&self, _: &[Key]) -> Seen {
        Seen::new(match self {
            Self::Done => "Done",
            Self::Withdrawn => "Withdrawn",
            Self::NotHeld => "NotHeld",
            _ => "?",
        })
    }
}

impl Answer for Broken {
    fn seen(&self, _: &[Key]) -> Seen {
        match self {
            Self::Done { fence, label } => Seen::new("Done")
                .with(Fact::Growing(fence.get()))
                .with(Fact::Label(label.clone())),
            Self::NotHeld => Seen::new("NotHeld"),
            _ => Seen::new("?"),
        }
    }
}

impl Answer for LockState {
    fn seen(&self, _: &[Key]) -> Seen {
        let mut seen = Seen::new(match (&self.holder, self.waiters.len()) {
            (None, 0) => "Free",
            (Some(_), 0) => "Held",
            (Some(_), _) => "Held, with a queue",
            (None, _) => "Free, with a queue",
        });
        if let Some(holder) = &self.holder {
            seen = seen
                .with(Fact::Growing(holder.fence.get()))
                .with(Fact::Label(holder.label.clone()))
                .with(Fact::Time(Some(holder.left)))
                .with(Fact::Confirmed(holder.confirmed));
        }
        self.waiters.iter().fold(seen, |seen, waiter| {
            seen.with(Fact::Label(waiter.label.clone()))
                .with(Fact::Time(Some(waiter.left)))
        })
    }
}

impl Answer for FieldFound {
    fn seen(&self, _: &[Key]) -> Seen {
        match self {
            Self::Value(value) => Seen::new(match value {
                FieldValue::Bytes(_) => "Bytes",
                FieldValue::Number(_) => "Number",
                FieldValue::List(_) => "List",
            })
            .with(Fact::Value(value.clone())),
            Self::Absent => Seen::new("Absent"),
            Self::Missing => Seen::new("Missing"),
            Self::Ended => Seen::new("Ended"),
            _ => Seen::new("?"),
        }
    }
}

impl Answer for FieldWritten {
    fn seen(&self, _: &[Key]) -> Seen {
        match self {
            Self::Done => Seen::new("Done"),
            Self::Number(number) => Seen::new("Number").with(Fact::Number(*number)),
            Self::Length(length) => Seen::new("Length").with(Fact::Count(*length)),
            Self::Taken(Some(value)) => Seen::new("Taken").with(Fact::Value(value.clone())),
            Self::Taken(None) => Seen::new("Taken, nothing"),
            Self::WrongKind => Seen::new("WrongKind"),
            Self::Overflow => Seen::new("Overflow"),
            Self::Missing => Seen::new("Missing"),
            Self::Ended => Seen::new("Ended"),
            _ => Seen::new("?"),
        }
    }
}

impl Answer for Subscribed {
    fn seen(&self, _: &[Key]) -> Seen {
        Seen::new(match self {
            Self::Live(_) => "Live",
            Self::Missing => "Missing",
            Self::Ended => "Ended",
            _ => "?",
        })
    }
}

impl Answer for Reserved {
    fn seen(&self, _: &[Key]) -> Seen {
        match self {
            Self::Done { generation } => Seen::new("Done").with(Fact::Growing(*generation)),
            Self::Full => Seen::new("Full"),
            _ => Seen::new("?"),
        }
    }
}

/// The generation of an index without entries is not told: it need not be kept.
impl Answer for Listing {
    fn seen(&self, _: &[Key]) -> Seen {
        if self.sessions.is_empty() {
            return Seen::new("Nothing");
        }
        let seen = Seen::new("Sessions").with(Fact::Growing(self.generation));
        self.sessions.iter().fold(seen, |seen, bound| {
            seen.with(Fact::Key(bound.key))
                .with(Fact::Growing(bound.generation))
                .with(Fact::Time(Some(self.now.since(bound.since))))
                .with(Fact::Time(bound.left))
        })
    }
}

impl Answer for Revoked {
    fn seen(&self, living: &[Key]) -> Seen {
        let mut keys = self.keys.clone();
        keys.retain(|key| living.contains(key));
        keys.sort();
        if keys.is_empty() {
            return Seen::new("Nothing");
        }
        Seen::new("Sessions")
            .with(Fact::Growing(self.generation))
            .with(Fact::Keys(keys))
    }
}

/// How many index entries were forgotten.
impl Answer for usize {
    fn seen(&self, _: &[Key]) -> Seen {
        let outcome = if *self == 0 { "Nothing" } else { "Some" };
        Seen::new(outcome).with(Fact::Count(*self))
    }
}
