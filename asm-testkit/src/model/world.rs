//! The model: two sessions and two subjects as `asm-entry` has them, time, and who waits.

use std::{
    collections::VecDeque,
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use asm_core::{
    Acquired, Bound, Change, Claim, Create, Created, Delete, Epoch, Error, ErrorKind, Fence,
    FieldChange, FieldName, FieldRead, FieldWrite, Guard, Key, Label, Listing, LockState,
    LockToken, LockWish, OpId, Open, OpenLock, Opened, OpenedLock, Proof, Proofs, Redacted,
    Reserve, Reserved, Result, Revoked, Save, Stamp, Subject, Subscribe, Timestamp, Touch, Version,
    Written,
};
use asm_entry::{
    Effects, Entry, Interrupt, Outcome, Parts, Step, Stepped, StoredParts, SubjectEntry, Timing,
    Turn,
};
use proptest::strategy::{BoxedStrategy, Just, Strategy};
use proptest_state_machine::ReferenceStateMachine;

use super::{
    plan::{
        self, Act, Changing, Deed, Epochs, Fencing, Guarding, Hold, Locking, Proving, Stamping,
        Token, Ttl, Versions, Wait,
    },
    seen::{Answer, Seen},
};
use crate::Verb;

/// How many changes a subscription keeps. A power of two, which no driver has to round.
pub(super) const BUFFER: usize = 4;

/// In the model nobody who waits is ever silent or late.
const TIMING: Timing = Timing {
    recheck: Duration::from_secs(1),
    confirm: Duration::MAX,
    silence: Duration::MAX,
};

/// Everything that the model knows.
#[derive(Clone, Debug)]
pub(super) struct World {
    now: Timestamp,
    slots: [Slot; 2],
    subjects: [Index; 2],
    /// How many names were given.
    names: u64,
    tickets: usize,
    subscriptions: usize,
    /// What the last deed was made of, to be done to the driver.
    script: Vec<Exchange>,
}

/// One request, and what must come of it.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) call: Call,
    /// Which session or subject it is about.
    pub(super) at: usize,
    /// Names the life of that session or index, within which numbers grow.
    pub(super) life: u64,
    pub(super) expected: Option<Seen>,
    /// Said of the outcome when outcomes are counted.
    pub(super) note: Option<&'static str>,
    /// Those who waited, and what they must be answered now.
    pub(super) answered: Vec<(usize, Seen)>,
    /// How many wait for this session's lock afterwards.
    pub(super) waiting: usize,
    /// The sessions that live.
    pub(super) living: Vec<Key>,
}

/// What is asked of the driver.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Create(Create),
    Open(Open),
    Save(Save),
    /// One byte over the limit, which only the driver knows.
    CreateOversize(Create),
    SaveOversize(Save),
    Touch(Touch),
    Delete(Delete),
    Acquire(usize, LockWish),
    GiveUp(usize),
    Renew(LockToken, Duration),
    Release(LockToken),
    Abandon(LockToken),
    Break(Option<Fence>),
    Inspect,
    /// Looks, so that what is over is seen to be over.
    Nudge,
    ReadField(FieldRead),
    WriteField(FieldWrite),
    WriteFieldOversize(FieldWrite),
    Subscribe(usize, Subscribe),
    Listen(usize, Vec<Change>),
    Reserve(Subject, Reserve),
    List(Subject),
    Revoke(Subject, Option<Key>),
    Forget(Subject, Vec<Key>),
    /// Through, and how many it may remove at most.
    Sweep(u64),
    Advance(Duration),
}

impl Call {
    /// What it counts as. Time is not asked of a driver.
    pub(super) fn verb(&self) -> Option<Verb> {
        Some(match self {
            Self::Create(_) | Self::CreateOversize(_) => Verb::Create,
            Self::Open(_) => Verb::Open,
            Self::Save(_) | Self::SaveOversize(_) => Verb::Save,
            Self::Touch(_) => Verb::Touch,
            Self::Delete(_) => Verb::Delete,
            Self::Acquire(..) | Self::GiveUp(_) => Verb::Acquire,
            Self::Renew(..) => Verb::Renew,
            Self::Release(_) => Verb::Release,
            Self::Abandon(_) => Verb::Abandon,
            Self::Break(_) => Verb::BreakLock,
            Self::Inspect => Verb::Inspect,
            Self::ReadField(_) => Verb::ReadField,
            Self::WriteField(_) | Self::WriteFieldOversize(_) => Verb::WriteField,
            Self::Subscribe(..) | Self::Listen(..) => Verb::Subscribe,
            Self::Reserve(..) => Verb::Reserve,
            Self::List(_) => Verb::List,
            Self::Revoke(..) => Verb::Revoke,
            Self::Forget(..) => Verb::Forget,
            Self::Sweep(_) => Verb::Sweep,
            Self::Nudge | Self::Advance(_) => return None,
        })
    }
}

/// What the model knows of one key.
#[derive(Clone, Debug)]
struct Slot {
    key: Key,
    entry: Kept,
    /// How many sessions there were under this key.
    lives: u64,
    creates: Vec<Create>,
    saves: Vec<Save>,
    writes: Vec<(Timestamp, FieldWrite)>,
    versions: Vec<Version>,
    stamps: Vec<Stamp>,
    holder: Option<LockToken>,
    fences: Vec<Fence>,
    /// Tokens that were used and may be used again.
    tokens: Vec<LockToken>,
    /// Tokens that were released, as many as every driver remembers.
    released: VecDeque<LockToken>,
    waiting: Vec<Waiting>,
    subscriptions: Vec<Subscription>,
}

/// An entry that can be cloned.
#[derive(Debug)]
struct Kept(Entry);

impl Clone for Kept {
    fn clone(&self) -> Self {
        let stored = StoredParts {
            head: self.0.part(Parts::HEAD),
            body: self.0.part(Parts::BODY),
            lock: self.0.part(Parts::LOCK),
            fields: self.0.part(Parts::FIELDS),
        };
        Self(Entry::decode(Parts::ALL, stored).expect("what it wrote itself"))
    }
}

#[derive(Clone, Debug)]
struct Waiting {
    ticket: usize,
    wish: LockWish,
    until: Timestamp,
}

#[derive(Clone, Debug)]
struct Subscription {
    number: usize,
    epoch: Epoch,
    pending: Vec<Change>,
    over: bool,
}

#[derive(Clone, Debug)]
struct Index {
    subject: Subject,
    entry: SubjectEntry,
    /// How often it was empty.
    lives: u64,
}

/// The state machine that proptest draws histories from.
pub(super) struct Model;

impl ReferenceStateMachine for Model {
    type State = World;
    type Transition = Deed;

    fn init_state() -> BoxedStrategy<World> {
        Just(World::new()).boxed()
    }

    fn transitions(world: &World) -> BoxedStrategy<Deed> {
        plan::deeds(world.lives(0))
    }

    fn apply(mut world: World, deed: &Deed) -> World {
        world.script.clear();
        for _ in 0..deed.times {
            world.act(deed);
        }
        world
    }
}

type Answered = Vec<(usize, Seen)>;

impl World {
    fn new() -> Self {
        Self {
            now: Timestamp::from_micros(1 << 40),
            slots: [1, 2].map(Slot::new),
            subjects: [1, 2].map(|name| Index {
                subject: Subject::from_bytes([name; Subject::LEN]),
                entry: SubjectEntry::default(),
                lives: 0,
            }),
            names: 0,
            tickets: 0,
            subscriptions: 0,
            script: Vec::new(),
        }
    }

    /// What the last deed was made of.
    pub(super) fn script(&self) -> &[Exchange] {
        &self.script
    }

    /// The key of a session.
    pub(super) fn key(&self, at: usize) -> Key {
        self.slots[at].key
    }

    fn lives(&self, at: usize) -> bool {
        self.slots[at].lives_at(self.now)
    }

    fn living(&self) -> Vec<Key> {
        let living = self.slots.iter().filter(|slot| slot.lives_at(self.now));
        living.map(|slot| slot.key).collect()
    }
}

/// What is done.
impl World {
    fn act(&mut self, deed: &Deed) {
        let at = deed.session;
        match deed.act.clone() {
            Act::Inspect => self.exchange(at, Call::Inspect, Entry::inspect),
            Act::Open => self.open(at, Open { lock: None }),
            Act::OpenLocked { token, proof, hold } => {
                let claim = self.claim(at, token, hold);
                let proof = self.proof(at, proof);
                self.open(
                    at,
                    Open {
                        lock: Some(OpenLock { claim, proof }),
                    },
                );
            }
            Act::Create {
                locked,
                ttl,
                oversize,
            } => self.create_new(at, locked, ttl, oversize),
            Act::CreateAgain { ago } => {
                if let Some(req) = newest(&self.slots[at].creates, ago).cloned() {
                    self.create(
                        at,
                        Create {
                            resend: true,
                            ..req
                        },
                    );
                }
            }
            Act::Save {
                guard,
                stamp,
                ttl,
                release,
                oversize,
            } => self.save_new(at, guard, stamp, ttl, release, oversize),
            Act::SaveAgain { ago } => {
                if let Some(req) = newest(&self.slots[at].saves, ago).cloned() {
                    self.save(
                        at,
                        Save {
                            resend: true,
                            ..req
                        },
                    );
                }
            }
            Act::Touch { epoch, ttl } => {
                let req = Touch {
                    epoch: self.epoch(at, epoch),
                    ttl: self.ttl(ttl),
                };
                self.exchange(at, Call::Touch(req.clone()), move |entry, turn| {
                    Ok(entry.touch(turn, &req))
                });
            }
            Act::Delete { guard } => {
                let only_if = guard.map(|guard| self.guard(at, guard));
                let req = Delete { only_if };
                self.exchange(at, Call::Delete(req.clone()), move |entry, turn| {
                    entry.delete(turn, &req)
                });
            }
            Act::Acquire {
                token,
                epoch,
                wait,
                queue,
                known,
                hold,
            } => {
                let wish = LockWish {
                    claim: self.claim_once(at, token, hold),
                    epoch: self.epoch(at, epoch),
                    wait: self.wait(wait),
                    queue,
                    known: known.then(|| self.version(at, Versions::Current)),
                };
                self.acquire(at, wish);
            }
            Act::GiveUp { ticket } => self.give_up(at, ticket),
            Act::Renew { token, hold } => {
                let (token, hold) = (self.token(at, token), self.hold(hold));
                self.exchange(at, Call::Renew(token, hold), move |entry, turn| {
                    entry.renew(turn, &token, hold)
                });
            }
            Act::Release { token } => self.release(at, token),
            Act::Abandon { token } => self.abandon(at, token),
            Act::Break { fence } => {
                let slot = &self.slots[at];
                let fence = match fence {
                    Fencing::Any => None,
                    Fencing::Current => newest(&slot.fences, 0),
                    Fencing::Former(ago) => newest(&slot.fences, ago.saturating_add(1)),
                }
                .copied();
                self.exchange(at, Call::Break(fence), move |entry, turn| {
                    entry.break_lock(turn, fence)
                });
            }
            Act::ReadField {
                field,
                epoch,
                items,
            } => {
                let req = FieldRead {
                    name: name_of(field),
                    epoch: self.epoch(at, epoch),
                    items: items.map(|(start, length)| {
                        usize::from(start)..usize::from(start) + usize::from(length)
                    }),
                };
                self.exchange(at, Call::ReadField(req.clone()), move |entry, turn| {
                    entry.read_field(turn, &req)
                });
            }
            Act::WriteField {
                field,
                epoch,
                change,
            } => self.write_field_new(at, field, epoch, change),
            Act::WriteFieldAgain { ago } => {
                if let Some((sent, req)) = newest(&self.slots[at].writes, ago).cloned() {
                    // A little more than it was, so that no two times are equal.
                    let age = self.now.since(sent) + Duration::from_millis(100);
                    let resend = Some(age);
                    self.write_field(at, FieldWrite { resend, ..req });
                }
            }
            Act::Subscribe { epoch } => self.subscribe(at, epoch),
            Act::Listen { subscription } => self.listen(at, subscription),
            Act::Reserve { subject, ttl, cap } => self.reserve(at, subject, ttl, cap),
            Act::List { subject } => self.list(subject),
            Act::Revoke { subject, keep } => self.revoke(at, subject, keep),
            Act::Forget { subject } => self.forget(at, subject),
            Act::Sweep => self.sweep(),
            Act::Advance { seconds } => self.advance(Duration::from_secs(seconds.into())),
        }
    }

    fn open(&mut self, at: usize, req: Open) {
        let asked = req.clone();
        let (opened, answered) = self.step(at, move |entry, turn| entry.open(turn, &asked));
        if let (Ok(Opened::Found { lock, .. }), Some(wish)) = (&opened, &req.lock)
            && matches!(lock, OpenedLock::Held(_))
        {
            self.slots[at].holder = Some(wish.claim.token);
        }
        let expected = Seen::of(&opened, &[]);
        self.tell(at, Call::Open(req), Some(expected), answered);
    }

    fn create_new(&mut self, at: usize, locked: bool, ttl: Ttl, oversize: bool) {
        let req = Create {
            op: self.op(),
            resend: false,
            stamp: self.new_stamp(),
            data: self.data(),
            ttl: self.ttl(ttl),
            lock: locked.then(|| self.claim(at, Token::Fresh, Hold::Long)),
        };
        if oversize {
            self.refuse(at, Call::CreateOversize(req));
        } else {
            self.slots[at].creates.push(req.clone());
            self.create(at, req);
        }
    }

    fn create(&mut self, at: usize, req: Create) {
        if !self.lives(at) {
            self.forget_the_last_life(at);
        }
        let resend = req.resend;
        let lives = self.lives(at);
        let sent = req.clone();
        let (created, answered) = self.step(at, move |entry, turn| entry.create(turn, &req));
        if let (Ok(Created::Done { .. }), false) = (&created, lives) {
            self.slots[at].begin(&sent);
        }
        let expected = Seen::of(&created, &[]);
        let claim = sent.lock.clone();
        self.tell(at, Call::Create(sent), Some(expected), answered);
        self.note(resend.then_some("resent"));
        if let (Err(_), Some(claim)) = (created, claim) {
            // Whoever does not know whether it holds does not want to, nor to wait.
            match self.slots[at].waits(claim.token) {
                Some(ticket) => self.drop_ticket(at, ticket),
                None => self.give_back(at, claim.token),
            }
        }
    }

    /// Keys come back here, which they do not elsewhere. What an index still says of an earlier
    /// session would be true again, and its subscribers would hear of the new one.
    fn forget_the_last_life(&mut self, at: usize) {
        (0..self.subjects.len()).for_each(|subject| self.list(subject));
        while !self.slots[at].subscriptions.is_empty() {
            self.listen(at, 0);
        }
    }

    fn save_new(
        &mut self,
        at: usize,
        guard: Guarding,
        stamp: Stamping,
        ttl: Ttl,
        release: bool,
        oversize: bool,
    ) {
        let req = Save {
            op: self.op(),
            resend: false,
            guard: self.guard(at, guard),
            stamp: self.next_stamp(at, stamp),
            data: self.data(),
            ttl: self.ttl(ttl),
            release,
        };
        if oversize {
            self.refuse(at, Call::SaveOversize(req));
        } else {
            self.slots[at].saves.push(req.clone());
            self.save(at, req);
        }
    }

    fn save(&mut self, at: usize, req: Save) {
        let asked = req.clone();
        let held = req.guard.held.filter(|token| self.holds(at, *token));
        let (written, answered) = self.step(at, move |entry, turn| entry.save(turn, &asked));
        if let (Ok(Written::Done { .. }), true, Some(token)) = (&written, req.release, held) {
            self.slots[at].released(token);
        }
        let (resend, expected) = (req.resend, Seen::of(&written, &[]));
        self.tell(at, Call::Save(req), Some(expected), answered);
        self.note(resend.then_some("resent"));
    }

    fn acquire(&mut self, at: usize, wish: LockWish) {
        let ticket = self.tickets;
        self.tickets += 1;
        let asked = wish.clone();
        let (stepped, answered) = self.step(at, move |entry, turn| {
            entry.acquire(turn, &asked, Step::Join)
        });
        let expected = match stepped {
            Ok(Stepped::Answer(acquired)) => {
                self.took(at, &wish, &acquired);
                Some(acquired.seen(&[]))
            }
            Ok(Stepped::Queued { .. }) => {
                let until = self.now + wish.wait;
                let wish = wish.clone();
                self.slots[at].waiting.push(Waiting {
                    ticket,
                    wish,
                    until,
                });
                None
            }
            Err(error) => Some(Seen::of(&Err::<Acquired, _>(error), &[])),
        };
        self.tell(at, Call::Acquire(ticket, wish), expected, answered);
    }

    fn give_up(&mut self, at: usize, pick: u8) {
        let slot = &self.slots[at];
        if let Some(place) = usize::from(pick).checked_rem(slot.waiting.len()) {
            self.drop_ticket(at, slot.waiting[place].ticket);
        }
    }

    fn drop_ticket(&mut self, at: usize, ticket: usize) {
        let slot = &mut self.slots[at];
        let Some(waiting) = slot.stop_waiting(ticket) else {
            return;
        };
        let token = waiting.wish.claim.token;
        slot.released(token);
        slot.burn(token);
        let (_, answered) = self.step(at, |entry, turn| entry.release(turn, &token));
        let expected = Some(Seen::only("given up"));
        self.tell(at, Call::GiveUp(ticket), expected, answered);
    }

    fn release(&mut self, at: usize, token: Token) {
        let token = self.token(at, token);
        let (held, waits) = (self.holds(at, token), self.slots[at].waits(token));
        let (released, answered) = self.step(at, |entry, turn| entry.release(turn, &token));
        if held || waits.is_some() {
            self.slots[at].released(token);
        }
        let expected = Seen::of(&released, &[]);
        self.tell(at, Call::Release(token), Some(expected), answered);
        if let Some(ticket) = waits {
            // It would learn of it by its next recheck.
            self.drop_ticket(at, ticket);
        }
    }

    fn abandon(&mut self, at: usize, token: Token) {
        let token = self.token(at, token);
        if self.slots[at].waits(token).is_none() {
            self.give_back(at, token);
        }
    }

    fn give_back(&mut self, at: usize, token: LockToken) {
        if self.holds(at, token) {
            self.slots[at].released(token);
        }
        let (_, answered) = self.step(at, |entry, turn| entry.release(turn, &token));
        let expected = Some(Seen::only("abandoned"));
        self.tell(at, Call::Abandon(token), expected, answered);
    }
}

/// Fields, feed, index.
impl World {
    fn write_field_new(&mut self, at: usize, field: u8, epoch: Epochs, change: Changing) {
        let oversize = matches!(change, Changing::Oversize);
        let req = FieldWrite {
            name: name_of(field),
            epoch: self.epoch(at, epoch),
            op: self.op(),
            resend: None,
            change: self.change(change),
        };
        if !oversize {
            let now = self.now;
            self.slots[at].writes.push((now, req.clone()));
            self.write_field(at, req);
        } else if self.lives(at) && req.epoch == self.epoch(at, Epochs::Current) {
            // Where several things are wrong, a driver may say which.
            self.refuse(at, Call::WriteFieldOversize(req));
        }
    }

    fn write_field(&mut self, at: usize, req: FieldWrite) {
        let resend = req.resend.is_some();
        self.exchange(at, Call::WriteField(req.clone()), move |entry, turn| {
            entry.write_field(turn, &req, 1 << 20)
        });
        self.note(resend.then_some("resent"));
    }

    fn subscribe(&mut self, at: usize, epoch: Epochs) {
        let req = Subscribe {
            epoch: self.epoch(at, epoch),
            buffer: NonZeroUsize::new(BUFFER).unwrap_or(NonZeroUsize::MIN),
        };
        let number = self.subscriptions;
        self.subscriptions += 1;
        let outcome = if !self.lives(at) {
            "Missing"
        } else if req.epoch != self.epoch(at, Epochs::Current) {
            "Ended"
        } else {
            self.slots[at].subscriptions.push(Subscription {
                number,
                epoch: req.epoch,
                pending: Vec::new(),
                over: false,
            });
            "Live"
        };
        let call = Call::Subscribe(number, req);
        self.tell(at, call, Some(Seen::only(outcome)), Vec::new());
    }

    fn listen(&mut self, at: usize, pick: u8) {
        if self.slots[at].subscriptions.is_empty() {
            return;
        }
        self.nudge(at);
        let slot = &mut self.slots[at];
        let place = usize::from(pick) % slot.subscriptions.len();
        let subscription = &mut slot.subscriptions[place];
        let pending = std::mem::take(&mut subscription.pending);
        let number = subscription.number;
        if subscription.over {
            slot.subscriptions.remove(place);
        }
        self.tell(at, Call::Listen(number, pending), None, Vec::new());
    }

    fn reserve(&mut self, at: usize, subject: usize, ttl: Ttl, cap: Option<u32>) {
        let (now, living) = (self.now, self.living());
        let req = Reserve {
            key: self.slots[at].key,
            // Longer than a session lives, mostly.
            ttl: 10 * self.ttl(ttl),
            cap: cap.and_then(NonZeroU32::new),
        };
        let index = &mut self.subjects[subject];
        index.prune(now, &living);
        let reserved: Result<Reserved> = Ok(index.entry.reserve(now, &req));
        let call = Call::Reserve(index.subject, req);
        self.tell_of_index(subject, call, &reserved);
    }

    fn list(&mut self, subject: usize) {
        let (now, living) = (self.now, self.living());
        let index = &mut self.subjects[subject];
        index.prune(now, &living);
        let sessions = index.entry.items(now).iter().filter_map(|item| {
            let slot = self.slots.iter().find(|slot| slot.key == item.key)?;
            Some(Bound {
                key: item.key,
                since: item.since,
                generation: item.generation,
                left: Some(slot.entry.0.expires().since(now)),
            })
        });
        let sessions = sessions.collect();
        let listing: Result<Listing> = Ok(Listing {
            generation: index.entry.generation(),
            sessions,
            now,
        });
        let call = Call::List(index.subject);
        self.tell_of_index(subject, call, &listing);
    }

    fn revoke(&mut self, at: usize, subject: usize, keep: bool) {
        // When an entry whose session is gone leaves the index is the driver's business; a listing
        // drops it.
        self.list(subject);
        let now = self.now;
        let keep = keep.then_some(self.slots[at].key);
        let index = &mut self.subjects[subject];
        let keys = index.entry.revoke(now, keep);
        let generation = index.entry.generation();
        let revoked: Result<Revoked> = Ok(Revoked { generation, keys });
        let call = Call::Revoke(index.subject, keep);
        self.tell_of_index(subject, call, &revoked);
    }

    fn forget(&mut self, at: usize, subject: usize) {
        self.list(subject);
        let keys = vec![self.slots[at].key];
        let index = &mut self.subjects[subject];
        let forgot: Result<usize> = Ok(index.entry.forget(&keys));
        let call = Call::Forget(index.subject, keys);
        self.tell_of_index(subject, call, &forgot);
    }

    fn sweep(&mut self) {
        let over = self.slots.iter().filter(|slot| {
            let entry = &slot.entry.0;
            !entry.is_vacant() && entry.expires() <= self.now
        });
        let most = over.count() as u64;
        (0..2).for_each(|at| {
            let (_, answered) = self.step(at, |entry, turn| Ok(entry.settle(turn)));
            debug_assert!(answered.is_empty(), "who waits is told when time passes");
        });
        self.tell(0, Call::Sweep(most), Some(Seen::only("Swept")), Vec::new());
    }
}

/// Time.
impl World {
    /// Goes from event to event, so that every driver has the same time to see each.
    fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(next) = self.next_event().filter(|next| *next <= end) {
            self.go_to(next);
            for at in 0..self.slots.len() {
                if !self.slots[at].waiting.is_empty() {
                    self.patience(at);
                }
            }
        }
        self.go_to(end);
    }

    fn go_to(&mut self, time: Timestamp) {
        let by = time.since(self.now);
        self.now = time;
        if !by.is_zero() {
            self.tell(0, Call::Advance(by), None, Vec::new());
        }
    }

    /// When the next thing happens to somebody who waits.
    fn next_event(&mut self) -> Option<Timestamp> {
        let now = self.now;
        let slots = self.slots.iter_mut();
        slots
            .filter(|slot| !slot.waiting.is_empty())
            .flat_map(|slot| {
                let life = slot.entry.0.expires();
                let lapse = slot.lock(now).holder.map(|holder| now + holder.left);
                let patience = slot.waiting.iter().map(|waiting| waiting.until);
                patience.chain(lapse).chain([life]).min()
            })
            .min()
    }

    /// Those whose wait is over look for the last time; then anybody looks, and the lock goes to
    /// the next.
    fn patience(&mut self, at: usize) {
        let now = self.now;
        let over: Vec<usize> = self.slots[at]
            .waiting
            .iter()
            .filter(|waiting| waiting.until <= now)
            .map(|waiting| waiting.ticket)
            .collect();
        let mut answered = Vec::new();
        for ticket in over {
            answered.extend(self.look(at, ticket, Step::Leave));
        }
        let (_, more) = self.step(at, Entry::inspect);
        answered.extend(more);
        self.tell(at, Call::Nudge, None, answered);
    }

    fn nudge(&mut self, at: usize) {
        let (_, answered) = self.step(at, Entry::inspect);
        self.tell(at, Call::Nudge, None, answered);
    }
}

/// Steps on an entry, and what they set off.
impl World {
    /// A request that nobody waits for.
    fn exchange<T: Answer>(
        &mut self,
        at: usize,
        call: Call,
        step: impl FnOnce(&mut Entry, &mut Turn) -> Outcome<T>,
    ) {
        let (answer, answered) = self.step(at, step);
        let expected = Seen::of(&answer, &[]);
        self.tell(at, call, Some(expected), answered);
    }

    /// A request that is too large, and leaves everything as it is.
    fn refuse(&mut self, at: usize, call: Call) {
        let refused = Err::<Created, _>(Error::new(ErrorKind::TooLarge, "by one byte"));
        self.tell(at, call, Some(Seen::of(&refused, &[])), Vec::new());
    }

    fn tell(&mut self, at: usize, call: Call, expected: Option<Seen>, answered: Answered) {
        let slot = &self.slots[at];
        self.script.push(Exchange {
            call,
            at,
            life: slot.lives,
            expected,
            note: None,
            answered,
            waiting: slot.waiting.len(),
            living: self.living(),
        });
    }

    fn tell_of_index<T: Answer>(&mut self, subject: usize, call: Call, answer: &Result<T>) {
        let living = self.living();
        let index = &mut self.subjects[subject];
        index.tidy();
        self.script.push(Exchange {
            call,
            at: subject,
            life: index.lives,
            expected: Some(Seen::of(answer, &living)),
            note: None,
            answered: Vec::new(),
            waiting: 0,
            living,
        });
    }

    fn note(&mut self, note: Option<&'static str>) {
        if let Some(last) = self.script.last_mut() {
            last.note = note;
        }
    }

    fn step<T>(
        &mut self,
        at: usize,
        step: impl FnOnce(&mut Entry, &mut Turn) -> Outcome<T>,
    ) -> (Result<T>, Answered) {
        let slot = &mut self.slots[at];
        let mut turn = Turn::new(self.now, TIMING);
        let answer = step(&mut slot.entry.0, &mut turn).map_err(|interrupt| match interrupt {
            Interrupt::Failed(error) => error,
            Interrupt::Needs(_) => unreachable!("every part is loaded"),
        });
        slot.look_around(self.now);
        let answered = self.set_off(at, &turn.into_effects());
        (answer, answered)
    }

    /// Those who are woken look.
    fn set_off(&mut self, at: usize, effects: &Effects) -> Answered {
        let slot = &mut self.slots[at];
        if let Some((change, epoch)) = effects.change() {
            for subscription in &mut slot.subscriptions {
                subscription.hear(change, epoch);
            }
        }
        let mut answered = Vec::new();
        for token in effects.wakes() {
            if let Some(ticket) = self.slots[at].waits(*token) {
                answered.extend(self.look(at, ticket, Step::Join));
            }
        }
        answered
    }

    /// Somebody who waits looks how it stands.
    fn look(&mut self, at: usize, ticket: usize, step: Step) -> Answered {
        let slot = &mut self.slots[at];
        let Some(place) = slot.waiting.iter().position(|one| one.ticket == ticket) else {
            return Vec::new();
        };
        let waiting = slot.waiting[place].clone();
        let wish = LockWish {
            wait: waiting.until.since(self.now),
            ..waiting.wish
        };
        let asked = wish.clone();
        let mut turn = Turn::new(self.now, TIMING);
        let stepped = slot.entry.0.acquire(&mut turn, &asked, step);
        let mut answered = Vec::new();
        if let Ok(Stepped::Answer(acquired)) = stepped {
            slot.stop_waiting(ticket);
            if acquired == Acquired::Busy {
                // Whether it counts as released is the driver's business.
                slot.burn(wish.claim.token);
            }
            self.took(at, &wish, &acquired);
            answered.push((ticket, acquired.seen(&[]).noted("waited")));
        }
        self.slots[at].look_around(self.now);
        answered.extend(self.set_off(at, &turn.into_effects()));
        answered
    }

    fn took(&mut self, at: usize, wish: &LockWish, acquired: &Acquired) {
        if let Acquired::Held { .. } = acquired {
            self.slots[at].holder = Some(wish.claim.token);
        }
    }

    fn holds(&mut self, at: usize, token: LockToken) -> bool {
        let now = self.now;
        let slot = &mut self.slots[at];
        slot.holder == Some(token) && slot.lock(now).holder.is_some()
    }
}

/// What is asked for, in full.
impl World {
    fn name(&mut self) -> u64 {
        self.names += 1;
        // Spread out, for drivers that take names for random.
        self.names.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    fn op(&mut self) -> OpId {
        OpId::from_bytes(self.name().to_be_bytes())
    }

    fn new_proof(&mut self) -> Proof {
        Proof::from_bytes(twice(self.name()))
    }

    fn new_stamp(&mut self) -> Stamp {
        Stamp {
            epoch: Epoch::new(self.name()),
            proofs: Proofs {
                current: self.new_proof(),
                pending: None,
            },
        }
    }

    fn next_stamp(&mut self, at: usize, stamping: Stamping) -> Stamp {
        let Some(present) = self.slots[at].stamps.last().copied() else {
            return self.new_stamp();
        };
        match stamping {
            Stamping::Same => present,
            Stamping::Renew => Stamp {
                proofs: Proofs {
                    pending: Some(self.new_proof()),
                    ..present.proofs
                },
                ..present
            },
            Stamping::Authenticate => self.new_stamp(),
        }
    }

    fn data(&mut self) -> Redacted {
        let name = self.name().to_be_bytes();
        let length = usize::from(name[0] % 9);
        Redacted::from(name.repeat(length))
    }

    /// Between two full seconds, at which nothing is asked.
    fn off_the_second(&mut self, seconds: u64) -> Duration {
        let millis = 200 + self.name() % 600;
        Duration::from_secs(seconds) + Duration::from_millis(millis)
    }

    fn ttl(&mut self, ttl: Ttl) -> Duration {
        self.off_the_second(match ttl {
            Ttl::Long => 60,
            Ttl::Short => 4,
        })
    }

    fn hold(&mut self, hold: Hold) -> Duration {
        self.off_the_second(match hold {
            Hold::Long => 10,
            Hold::Short => 2,
        })
    }

    fn wait(&mut self, wait: Wait) -> Duration {
        match wait {
            Wait::Try => Duration::ZERO,
            Wait::Short => self.off_the_second(2),
            Wait::Long => self.off_the_second(15),
        }
    }

    fn claim(&mut self, at: usize, token: Token, hold: Hold) -> Claim {
        let token = self.token(at, token);
        self.slots[at].used(token);
        Claim {
            token,
            hold: self.hold(hold),
            label: Label::new(&format!("request {}", self.names)),
        }
    }

    /// A claim of one who does not wait yet: nobody waits twice.
    fn claim_once(&mut self, at: usize, token: Token, hold: Hold) -> Claim {
        let claim = self.claim(at, token, hold);
        match self.slots[at].waits(claim.token) {
            Some(_) => self.claim(at, Token::Fresh, hold),
            None => claim,
        }
    }

    fn token(&mut self, at: usize, token: Token) -> LockToken {
        let slot = &self.slots[at];
        match token {
            Token::Fresh => None,
            Token::Holder => slot.holder,
            Token::Waiter(pick) => {
                let count = slot.waiting.len();
                let place = usize::from(pick).checked_rem(count);
                place.map(|place| slot.waiting[place].wish.claim.token)
            }
            Token::Former(ago) => newest(&slot.tokens, ago).copied(),
        }
        .unwrap_or_else(|| LockToken::from_bytes(twice(self.name())))
    }

    fn proof(&mut self, at: usize, proof: Proving) -> Proof {
        let proofs = self.slots[at].stamps.last().map(|stamp| stamp.proofs);
        match proof {
            Proving::Current => proofs.map(|proofs| proofs.current),
            Proving::Pending => proofs.and_then(|proofs| proofs.pending),
            Proving::Forged => None,
        }
        .unwrap_or_else(|| self.new_proof())
    }

    fn epoch(&mut self, at: usize, epoch: Epochs) -> Epoch {
        let stamps = &self.slots[at].stamps;
        let stamp = match epoch {
            Epochs::Current => newest(stamps, 0),
            Epochs::Former(ago) => newest(stamps, ago.saturating_add(1)),
        };
        match stamp {
            Some(stamp) => stamp.epoch,
            None => Epoch::new(self.name()),
        }
    }

    fn version(&mut self, at: usize, version: Versions) -> Version {
        let versions = &self.slots[at].versions;
        let current = versions.last().copied();
        let named = match version {
            Versions::Current => current,
            Versions::Former(ago) => newest(versions, ago.saturating_add(1)).copied(),
            Versions::Twin => None,
        };
        named.unwrap_or_else(|| Version {
            number: current.map_or(1, |current| current.number),
            op: self.op(),
        })
    }

    fn guard(&mut self, at: usize, guard: Guarding) -> Guard {
        let now = self.now;
        let held = match guard.locking {
            Locking::Truly => {
                let held = self.slots[at].lock(now).holder.is_some();
                held.then(|| self.token(at, Token::Holder))
            }
            Locking::Free => None,
            Locking::By(token) => Some(self.token(at, token)),
        };
        Guard {
            epoch: self.epoch(at, guard.epoch),
            version: self.version(at, guard.version),
            held,
        }
    }

    fn change(&mut self, change: Changing) -> FieldChange {
        match change {
            Changing::Incr => FieldChange::Incr(i64::from(self.name() as u8) - 100),
            Changing::Overflow => FieldChange::Incr(i64::MAX),
            Changing::Set | Changing::Oversize => FieldChange::Set(self.data()),
            Changing::Append => FieldChange::Append(self.data()),
            Changing::Push => FieldChange::Push(self.data()),
            Changing::Take => FieldChange::Take,
            Changing::Clear => FieldChange::Clear,
        }
    }
}

impl Slot {
    fn new(name: u8) -> Self {
        Self {
            key: Key::from_bytes([name; Key::LEN]),
            entry: Kept(Entry::vacant()),
            lives: 0,
            creates: Vec::new(),
            saves: Vec::new(),
            writes: Vec::new(),
            versions: Vec::new(),
            stamps: Vec::new(),
            holder: None,
            fences: Vec::new(),
            tokens: Vec::new(),
            released: VecDeque::new(),
            waiting: Vec::new(),
            subscriptions: Vec::new(),
        }
    }

    fn lives_at(&self, now: Timestamp) -> bool {
        !self.entry.0.is_vacant() && self.entry.0.expires() > now
    }

    /// Another session than the last one. Tokens and fences of that one mean nothing to it.
    fn begin(&mut self, req: &Create) {
        self.lives += 1;
        self.holder = req.lock.as_ref().map(|claim| claim.token);
        self.fences.clear();
        self.tokens.clear();
        self.released.clear();
    }

    /// Keeps in mind what the record and its lock are now.
    fn look_around(&mut self, now: Timestamp) {
        if !self.lives_at(now) {
            return;
        }
        let mut turn = Turn::new(now, TIMING);
        let opened = self.entry.0.open(&mut turn, &Open { lock: None });
        if let Ok(Opened::Found { snapshot, .. }) = opened {
            if self.versions.last() != Some(&snapshot.version) {
                self.versions.push(snapshot.version);
            }
            if self.stamps.last() != Some(&snapshot.stamp) {
                self.stamps.push(snapshot.stamp);
            }
        }
        if let Some(holder) = self.lock(now).holder
            && self.fences.last() != Some(&holder.fence)
        {
            self.fences.push(holder.fence);
        }
    }

    fn lock(&mut self, now: Timestamp) -> LockState {
        if !self.lives_at(now) {
            // Its end is to be seen by a step, which tells those who listen.
            return LockState::default();
        }
        let mut turn = Turn::new(now, TIMING);
        self.entry.0.inspect(&mut turn).unwrap_or_default()
    }

    fn waits(&self, token: LockToken) -> Option<usize> {
        let waiting = self.waiting.iter();
        waiting
            .filter(|waiting| waiting.wish.claim.token == token)
            .map(|waiting| waiting.ticket)
            .next()
    }

    fn stop_waiting(&mut self, ticket: usize) -> Option<Waiting> {
        let place = self.waiting.iter().position(|one| one.ticket == ticket)?;
        Some(self.waiting.remove(place))
    }

    /// Whether a token is known as released when four others were released after it, is the
    /// driver's business.
    fn released(&mut self, token: LockToken) {
        self.released.retain(|one| *one != token);
        self.released.push_back(token);
        if self.released.len() > 4
            && let Some(oldest) = self.released.pop_front()
        {
            self.burn(oldest);
        }
    }

    /// Never uses a token again.
    fn burn(&mut self, token: LockToken) {
        self.tokens.retain(|one| *one != token);
        self.holder.take_if(|holder| *holder == token);
    }

    fn used(&mut self, token: LockToken) {
        if !self.tokens.contains(&token) {
            self.tokens.push(token);
        }
    }
}

impl Subscription {
    fn hear(&mut self, change: Change, epoch: Epoch) {
        if self.over {
            return;
        }
        let change = if epoch == self.epoch {
            change
        } else {
            Change::Ended
        };
        self.over = change == Change::Ended;
        self.pending.push(change);
    }
}

impl Index {
    fn prune(&mut self, now: Timestamp, living: &[Key]) {
        let items = self.entry.items(now);
        let dead: Vec<Key> = items
            .iter()
            .map(|item| item.key)
            .filter(|key| !living.contains(key))
            .collect();
        self.entry.forget(&dead);
        self.tidy();
    }

    /// An index is as good as gone when it is empty.
    fn tidy(&mut self) {
        if self.entry.is_empty() {
            self.entry = SubjectEntry::default();
            self.lives += 1;
        }
    }
}

/// The one that was added so many others ago.
fn newest<T>(all: &[T], ago: u8) -> Option<&T> {
    all.iter().rev().nth(ago.into())
}

fn name_of(field: u8) -> FieldName {
    FieldName::new(["visits", "log", "}:a\0/.."][usize::from(field) % 3]).expect("a short name")
}

fn twice(name: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&name.to_be_bytes());
    bytes[8..].copy_from_slice(&name.to_be_bytes());
    bytes
}
