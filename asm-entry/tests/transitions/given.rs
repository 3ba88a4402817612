//! Requests and moments to test transitions with.

use std::time::Duration;

use asm_core::*;
use asm_entry::{Entry, Interrupt, Step, Stepped, Timing, Turn};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const TTL: Duration = Duration::from_secs(3600);
pub(crate) const HOLD: Duration = Duration::from_secs(10);
pub(crate) const WAIT: Duration = Duration::from_secs(30);

pub(crate) fn op(id: u8) -> OpId {
    OpId::from_bytes([id; 8])
}

pub(crate) fn token(id: u8) -> LockToken {
    LockToken::from_bytes([id; 16])
}

pub(crate) fn proof(id: u8) -> Proof {
    Proof::from_bytes([id; 16])
}

pub(crate) fn stamp(epoch: u64, current: u8, pending: Option<u8>) -> Stamp {
    Stamp {
        epoch: Epoch::new(epoch),
        proofs: Proofs {
            current: proof(current),
            pending: pending.map(proof),
        },
    }
}

pub(crate) fn claim(id: u8) -> Claim {
    Claim {
        token: token(id),
        hold: HOLD,
        label: Label::new(&format!("holder {id}")),
    }
}

pub(crate) fn wish(id: u8) -> LockWish {
    LockWish {
        claim: claim(id),
        epoch: Epoch::new(1),
        wait: WAIT,
        queue: None,
        known: None,
    }
}

/// One session and its time.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) entry: Entry,
    pub(crate) now: Timestamp,
    /// What the last step set off.
    pub(crate) woken: Vec<LockToken>,
    pub(crate) change: Option<(Change, Epoch)>,
}

impl World {
    /// Without a session.
    pub(crate) fn empty() -> Self {
        Self {
            entry: Entry::vacant(),
            now: Timestamp::from_micros(1_000_000_000),
            woken: Vec::new(),
            change: None,
        }
    }

    /// With a session of version 1, written by op 1.
    pub(crate) fn with_session() -> Self {
        let mut world = Self::empty();
        let created = world.create(1, "one");
        assert!(matches!(created, Created::Done { fence: None, .. }));
        world
    }

    /// With a session that is held by token 1.
    pub(crate) fn locked() -> Self {
        let mut world = Self::with_session();
        assert_eq!(fence(&world.acquire(&wish(1))), Some(1));
        world
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    pub(crate) fn turn<R>(&mut self, step: impl FnOnce(&mut Entry, &mut Turn) -> R) -> R {
        let mut turn = Turn::new(self.now, Timing::default());
        let answer = step(&mut self.entry, &mut turn);
        let effects = turn.into_effects();
        self.woken = effects.wakes().to_vec();
        self.change = effects.change();
        answer
    }

    pub(crate) fn create(&mut self, id: u8, data: &'static str) -> Created {
        let req = create(id, data);
        self.turn(|entry, turn| entry.create(turn, &req)).unwrap()
    }

    pub(crate) fn open(&mut self) -> Option<Snapshot> {
        match self.open_with(&Open { lock: None }) {
            Opened::Found { snapshot, .. } => Some(snapshot),
            _ => None,
        }
    }

    pub(crate) fn open_with(&mut self, req: &Open) -> Opened {
        self.turn(|entry, turn| entry.open(turn, req)).unwrap()
    }

    pub(crate) fn save(&mut self, req: &Save) -> Written {
        self.turn(|entry, turn| entry.save(turn, req)).unwrap()
    }

    pub(crate) fn save_err(&mut self, req: &Save) -> ErrorKind {
        kind(self.turn(|entry, turn| entry.save(turn, req)))
    }

    /// Saves over what is there now.
    pub(crate) fn save_next(&mut self, id: u8) -> Written {
        let guard = Guard::unchanged(&self.open().unwrap());
        self.save(&save(id, guard))
    }

    pub(crate) fn touch(&mut self, epoch: u64, ttl: Duration) -> Touched {
        let epoch = Epoch::new(epoch);
        self.turn(|entry, turn| entry.touch(turn, &Touch { epoch, ttl }))
    }

    pub(crate) fn delete(&mut self, only_if: Option<Guard>) -> Deleted {
        let req = Delete { only_if };
        self.turn(|entry, turn| entry.delete(turn, &req)).unwrap()
    }

    pub(crate) fn step(&mut self, wish: &LockWish, step: Step) -> Stepped {
        self.turn(|entry, turn| entry.acquire(turn, wish, step))
            .unwrap()
    }

    pub(crate) fn acquire(&mut self, wish: &LockWish) -> Stepped {
        self.step(wish, Step::Join)
    }

    pub(crate) fn release(&mut self, id: u8) -> Released {
        self.turn(|entry, turn| entry.release(turn, &token(id)))
            .unwrap()
    }

    pub(crate) fn renew(&mut self, id: u8, hold: Duration) -> Renewed {
        self.turn(|entry, turn| entry.renew(turn, &token(id), hold))
            .unwrap()
    }

    pub(crate) fn break_lock(&mut self, fence: Option<u64>) -> Broken {
        let fence = fence.map(Fence::new);
        self.turn(|entry, turn| entry.break_lock(turn, fence))
            .unwrap()
    }

    pub(crate) fn inspect(&mut self) -> LockState {
        self.turn(Entry::inspect).unwrap()
    }

    /// The labels of those who wait.
    pub(crate) fn queue(&mut self) -> Vec<String> {
        let waiters = self.inspect().waiters;
        waiters
            .iter()
            .map(|waiter| waiter.label.as_str().to_owned())
            .collect()
    }
}

pub(crate) fn create(id: u8, data: &'static str) -> Create {
    Create {
        op: op(id),
        resend: false,
        stamp: stamp(1, 1, None),
        data: data.into(),
        ttl: TTL,
        lock: None,
    }
}

pub(crate) fn save(id: u8, guard: Guard) -> Save {
    Save {
        op: op(id),
        resend: false,
        guard,
        stamp: stamp(1, 1, None),
        data: vec![id; usize::from(id)].into(),
        ttl: TTL,
        release: false,
    }
}

/// The number of the version that was written.
pub(crate) fn version(written: &Written) -> Option<u64> {
    match written {
        Written::Done { version, .. } => Some(version.number),
        _ => None,
    }
}

/// The fence of the grant that a step gave.
pub(crate) fn fence(stepped: &Stepped) -> Option<u64> {
    match stepped {
        Stepped::Answer(Acquired::Held { fence, .. }) => Some(fence.get()),
        _ => None,
    }
}

pub(crate) fn look_again(stepped: &Stepped) -> Option<Duration> {
    match stepped {
        Stepped::Queued { look_again } => Some(*look_again),
        Stepped::Answer(_) => None,
    }
}

pub(crate) fn kind<T: std::fmt::Debug>(outcome: Result<T, Interrupt>) -> ErrorKind {
    match outcome {
        Err(Interrupt::Failed(error)) => error.kind(),
        other => panic!("an error was expected, not {other:?}"),
    }
}
