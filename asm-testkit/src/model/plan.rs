//! What can be done, told by how it stands to what was done before, so that it means something in
//! any history, also in one from which shrinking has taken the rest.

use std::sync::LazyLock;

use proptest::{
    prelude::any,
    prop_oneof,
    strategy::{BoxedStrategy, Just, SBoxedStrategy, Strategy, Union},
};

/// One thing to do.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    /// By which handle: the first or the second.
    pub(super) second: bool,
    /// To which session.
    pub(super) session: usize,
    /// How often.
    pub(super) times: u8,
    pub(super) act: Act,
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    Inspect,
    Open,
    OpenLocked {
        token: Token,
        proof: Proving,
        hold: Hold,
    },
    Create {
        locked: bool,
        ttl: Ttl,
        oversize: bool,
    },
    CreateAgain {
        ago: u8,
    },
    Save {
        guard: Guarding,
        stamp: Stamping,
        ttl: Ttl,
        release: bool,
        oversize: bool,
    },
    SaveAgain {
        ago: u8,
    },
    Touch {
        epoch: Epochs,
        ttl: Ttl,
    },
    Delete {
        guard: Option<Guarding>,
    },
    Acquire {
        token: Token,
        epoch: Epochs,
        wait: Wait,
        queue: Option<u32>,
        known: bool,
        hold: Hold,
    },
    GiveUp {
        ticket: u8,
    },
    Renew {
        token: Token,
        hold: Hold,
    },
    Release {
        token: Token,
    },
    Abandon {
        token: Token,
    },
    Break {
        fence: Fencing,
    },
    ReadField {
        field: u8,
        epoch: Epochs,
        items: Option<(u8, u8)>,
    },
    WriteField {
        field: u8,
        epoch: Epochs,
        change: Changing,
    },
    WriteFieldAgain {
        ago: u8,
    },
    Subscribe {
        epoch: Epochs,
    },
    Listen {
        subscription: u8,
    },
    Reserve {
        subject: usize,
        ttl: Ttl,
        cap: Option<u32>,
    },
    List {
        subject: usize,
    },
    Revoke {
        subject: usize,
        keep: bool,
    },
    Forget {
        subject: usize,
    },
    Sweep,
    Advance {
        seconds: u8,
    },
}

/// Whose token.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Fresh,
    Holder,
    Waiter(u8),
    Former(u8),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Proving {
    Current,
    Pending,
    Forged,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Epochs {
    Current,
    Former(u8),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Versions {
    Current,
    Former(u8),
    /// The right number, made by another write.
    Twin,
}

/// Whether a guard says that the lock is held.
#[derive(Clone, Copy, Debug)]
pub(super) enum Locking {
    /// As it is.
    Truly,
    Free,
    By(Token),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Guarding {
    pub(super) version: Versions,
    pub(super) epoch: Epochs,
    pub(super) locking: Locking,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Stamping {
    Same,
    /// A pending secret is handed out.
    Renew,
    /// A new epoch begins.
    Authenticate,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Fencing {
    Any,
    Current,
    Former(u8),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Changing {
    Incr,
    Overflow,
    Set,
    Append,
    Push,
    Take,
    Clear,
    Oversize,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Ttl {
    Long,
    Short,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Hold {
    Long,
    Short,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    Try,
    Short,
    Long,
}

/// What to do next, if the session that most is done to lives, or if it does not.
pub(super) fn deeds(lives: bool) -> BoxedStrategy<Deed> {
    static LIVING: LazyLock<SBoxedStrategy<Deed>> = LazyLock::new(|| weighted(25));
    static MISSING: LazyLock<SBoxedStrategy<Deed>> = LazyLock::new(|| weighted(1000));
    let deeds: &SBoxedStrategy<Deed> = if lives { &LIVING } else { &MISSING };
    deeds.clone().boxed()
}

/// The weights are such that what is rare happens often enough.
fn weighted(creates: u32) -> SBoxedStrategy<Deed> {
    let acts = Union::new_weighted(vec![
        (20, once(Just(Act::Inspect)).sboxed()),
        (50, opens().sboxed()),
        (creates, creations().sboxed()),
        (170, saves().sboxed()),
        (
            20,
            once((epochs(), ttl()).prop_map(|(epoch, ttl)| Act::Touch { epoch, ttl })).sboxed(),
        ),
        (30, deletions().sboxed()),
        (160, acquisitions().sboxed()),
        (110, grants().sboxed()),
        (260, fields().sboxed()),
        (50, feeds().sboxed()),
        (60, subjects().sboxed()),
        (3, once(Just(Act::Sweep)).sboxed()),
        (
            45,
            once(seconds().prop_map(|seconds| Act::Advance { seconds })).sboxed(),
        ),
    ]);
    (any::<bool>(), session(), acts)
        .prop_map(|(second, session, (times, act))| Deed {
            second,
            session,
            times,
            act,
        })
        .sboxed()
}

/// The first much more often, so that much happens to it.
fn session() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0_usize), 1 => Just(1_usize)]
}

fn seconds() -> impl Strategy<Value = u8> {
    prop_oneof![6 => 1..4_u8, 3 => 4..12_u8, 1 => 12..60_u8]
}

fn opens() -> SBoxedStrategy<(u8, Act)> {
    prop_oneof![
        1 => once(Just(Act::Open)),
        3 => once((token(), proof(), hold()).prop_map(|(token, proof, hold)| {
            Act::OpenLocked { token, proof, hold }
        })),
    ]
    .sboxed()
}

fn creations() -> SBoxedStrategy<(u8, Act)> {
    prop_oneof![
        8 => once((any::<bool>(), ttl(), rarely()).prop_map(|(locked, ttl, oversize)| {
            Act::Create { locked, ttl, oversize }
        })),
        5 => once((0..3_u8).prop_map(|ago| Act::CreateAgain { ago })),
    ]
    .sboxed()
}

fn saves() -> SBoxedStrategy<(u8, Act)> {
    let save = (guarding(), stamping(), ttl(), any::<bool>(), rarely()).prop_map(
        |(guard, stamp, ttl, release, oversize)| Act::Save {
            guard,
            stamp,
            ttl,
            release,
            oversize,
        },
    );
    prop_oneof![
        12 => (prop_oneof![9 => Just(1_u8), 1 => 2..7_u8], save),
        8 => once((0..12_u8).prop_map(|ago| Act::SaveAgain { ago })),
    ]
    .sboxed()
}

fn deletions() -> SBoxedStrategy<(u8, Act)> {
    let guard = prop_oneof![6 => guarding().prop_map(Some), 1 => Just(None)];
    once(guard.prop_map(|guard| Act::Delete { guard })).sboxed()
}

fn acquisitions() -> SBoxedStrategy<(u8, Act)> {
    let acquire = (token(), epochs(), wait(), queue(), any::<bool>(), hold()).prop_map(
        |(token, epoch, wait, queue, known, hold)| Act::Acquire {
            token,
            epoch,
            wait,
            queue,
            known,
            hold,
        },
    );
    prop_oneof![
        9 => once(acquire),
        1 => once(any::<u8>().prop_map(|ticket| Act::GiveUp { ticket })),
    ]
    .sboxed()
}

fn grants() -> SBoxedStrategy<(u8, Act)> {
    prop_oneof![
        4 => once((token(), hold()).prop_map(|(token, hold)| Act::Renew { token, hold })),
        5 => once(token().prop_map(|token| Act::Release { token })),
        1 => once(any::<u8>().prop_map(|pick| Act::Release { token: Token::Waiter(pick) })),
        1 => once(token().prop_map(|token| Act::Abandon { token })),
        2 => once(prop_oneof![
            Just(Fencing::Any),
            Just(Fencing::Current),
            (0..4_u8).prop_map(Fencing::Former),
        ].prop_map(|fence| Act::Break { fence })),
    ]
    .sboxed()
}

fn fields() -> SBoxedStrategy<(u8, Act)> {
    let items = option((0..4_u8, 0..4_u8));
    let read = (0..3_u8, epochs(), items).prop_map(|(field, epoch, items)| Act::ReadField {
        field,
        epoch,
        items,
    });
    let write =
        (0..3_u8, epochs(), changing()).prop_map(|(field, epoch, change)| Act::WriteField {
            field,
            epoch,
            change,
        });
    prop_oneof![
        6 => once(read),
        12 => (prop_oneof![9 => Just(1_u8), 1 => 14..20_u8], write),
        10 => once(prop_oneof![3 => 0..3_u8, 1 => 0..30_u8].prop_map(|ago| Act::WriteFieldAgain { ago })),
    ]
    .sboxed()
}

fn feeds() -> SBoxedStrategy<(u8, Act)> {
    prop_oneof![
        4 => once(epochs().prop_map(|epoch| Act::Subscribe { epoch })),
        3 => once(any::<u8>().prop_map(|subscription| Act::Listen { subscription })),
    ]
    .sboxed()
}

fn subjects() -> SBoxedStrategy<(u8, Act)> {
    let subject = || prop_oneof![3 => Just(0_usize), 1 => Just(1_usize)];
    let cap = prop_oneof![1 => Just(None), 3 => Just(Some(1)), 1 => Just(Some(2))];
    prop_oneof![
        5 => once((subject(), ttl(), cap).prop_map(|(subject, ttl, cap)| {
            Act::Reserve { subject, ttl, cap }
        })),
        2 => once(subject().prop_map(|subject| Act::List { subject })),
        2 => once((subject(), any::<bool>()).prop_map(|(subject, keep)| {
            Act::Revoke { subject, keep }
        })),
        1 => once(subject().prop_map(|subject| Act::Forget { subject })),
    ]
    .sboxed()
}

fn token() -> impl Strategy<Value = Token> {
    prop_oneof![
        6 => Just(Token::Fresh),
        5 => Just(Token::Holder),
        1 => any::<u8>().prop_map(Token::Waiter),
        2 => (0..4_u8).prop_map(Token::Former),
    ]
}

fn proof() -> impl Strategy<Value = Proving> {
    prop_oneof![
        4 => Just(Proving::Current),
        1 => Just(Proving::Pending),
        1 => Just(Proving::Forged),
    ]
}

fn epochs() -> impl Strategy<Value = Epochs> {
    prop_oneof![9 => Just(Epochs::Current), 1 => (0..3_u8).prop_map(Epochs::Former)]
}

fn guarding() -> impl Strategy<Value = Guarding> {
    let version = prop_oneof![
        12 => Just(Versions::Current),
        2 => (0..4_u8).prop_map(Versions::Former),
        1 => Just(Versions::Twin),
    ];
    let locking = prop_oneof![
        12 => Just(Locking::Truly),
        2 => Just(Locking::Free),
        2 => token().prop_map(Locking::By),
    ];
    (version, epochs(), locking).prop_map(|(version, epoch, locking)| Guarding {
        version,
        epoch,
        locking,
    })
}

fn stamping() -> impl Strategy<Value = Stamping> {
    prop_oneof![
        8 => Just(Stamping::Same),
        2 => Just(Stamping::Renew),
        1 => Just(Stamping::Authenticate),
    ]
}

fn changing() -> impl Strategy<Value = Changing> {
    prop_oneof![
        5 => Just(Changing::Incr),
        3 => Just(Changing::Set),
        3 => Just(Changing::Append),
        4 => Just(Changing::Push),
        2 => Just(Changing::Take),
        2 => Just(Changing::Clear),
        1 => Just(Changing::Overflow),
        1 => Just(Changing::Oversize),
    ]
}

fn ttl() -> impl Strategy<Value = Ttl> {
    prop_oneof![12 => Just(Ttl::Long), 1 => Just(Ttl::Short)]
}

fn hold() -> impl Strategy<Value = Hold> {
    prop_oneof![2 => Just(Hold::Long), 1 => Just(Hold::Short)]
}

fn wait() -> impl Strategy<Value = Wait> {
    prop_oneof![2 => Just(Wait::Try), 2 => Just(Wait::Short), 4 => Just(Wait::Long)]
}

fn queue() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![4 => Just(None), 3 => (0..3_u32).prop_map(Some)]
}

fn rarely() -> impl Strategy<Value = bool> {
    prop_oneof![30 => Just(false), 1 => Just(true)]
}

fn option<T: Clone + std::fmt::Debug + 'static>(
    some: impl Strategy<Value = T> + Send + Sync + 'static,
) -> impl Strategy<Value = Option<T>> {
    prop_oneof![1 => Just(None), 1 => some.prop_map(Some)]
}

fn once(act: impl Strategy<Value = Act>) -> impl Strategy<Value = (u8, Act)> {
    act.prop_map(|act| (1, act))
}
