//! Which test proves what.

/// A test that counts.
#[derive(Debug)]
pub(crate) struct Proof {
    /// The row of the table of figures.
    pub(crate) id: &'static str,
    /// What must not happen, and where it was tried.
    pub(crate) what: &'static str,
    pub(crate) package: &'static str,
    /// The file of the tests.
    pub(crate) target: &'static str,
    /// What chooses the tests of an ordinary run there.
    pub(crate) bounded: &'static [&'static str],
    /// What chooses those of a long one, where they differ.
    pub(crate) long: Option<&'static [&'static str]>,
    /// What more chooses those of a quick run, where some take long and others tell nearly as much;
    /// `None` leaves out all.
    pub(crate) quick: Option<&'static [&'static str]>,
    /// Where they print how much was tried, group `n`, and how much was wrong, groups `bad…`.
    pub(crate) line: &'static str,
    /// What is in its environment.
    pub(crate) given: &'static [(&'static str, &'static str)],
    /// The same of a quick run.
    pub(crate) given_quick: &'static [(&'static str, &'static str)],
    /// The same of a long one.
    pub(crate) given_long: &'static [(&'static str, &'static str)],
    /// How often the table of figures asks that it is tried.
    pub(crate) wanted: Option<u64>,
    /// Whether time is looked at, so that nothing else should run.
    pub(crate) alone: bool,
}

impl Proof {
    /// What its row says.
    pub(crate) fn part(&self) -> String {
        format!("{}: {}, {}", self.what, self.package, self.target)
    }
}

/// A test file as a whole counts its tests.
const TESTS: &str = r"(?<n>\d+) passed; \d+ failed";

/// All that is shown is searched for secrets.
const CANARIES: [(&str, &str); 1] = [("ASM_CANARIES", "1")];

const BASE: Proof = Proof {
    id: "",
    what: "",
    package: "",
    target: "",
    bounded: &[],
    long: None,
    quick: Some(&[]),
    line: TESTS,
    given: &[],
    given_quick: &[],
    given_long: &[],
    wanted: None,
    alone: false,
};

const MILLION: Option<u64> = Some(1_000_000);
/// Each driver is asked for so many.
const MILLION_EACH: Option<u64> = Some(3_000_000);

/// All, in the order of the table of figures.
pub(crate) const PROOFS: &[Proof] = &[
    Proof {
        id: "R1",
        what: "round trips of each verb and request, counted by a proxy",
        package: "asm-redis",
        target: "round_trips",
        ..BASE
    },
    Proof {
        id: "R1",
        what: "store calls of each row of the budget, counted",
        package: "asm-session",
        target: "sessions",
        bounded: &["budget::"],
        ..BASE
    },
    Proof {
        id: "Z1",
        what: "lost updates under faults, memory",
        package: "asm-it",
        target: "histories",
        bounded: &["nothing_is_wrong_in_memory"],
        long: Some(&["--ignored", "a_million_in_memory"]),
        line: HISTORY,
        wanted: MILLION,
        ..BASE
    },
    Proof {
        id: "Z1",
        what: "lost updates under faults, files",
        package: "asm-it",
        target: "histories",
        bounded: &["nothing_is_wrong_in_files"],
        long: Some(&["--ignored", "a_million_in_files"]),
        line: HISTORY,
        wanted: MILLION,
        ..BASE
    },
    Proof {
        id: "Z1",
        what: "lost updates under faults, redis",
        package: "asm-it",
        target: "histories",
        bounded: &["nothing_is_wrong_in_redis"],
        long: Some(&["--ignored", "a_million_in_redis"]),
        line: HISTORY,
        wanted: MILLION,
        ..BASE
    },
    Proof {
        id: "Z1",
        what: "lost updates under faults, a cluster whose slots move",
        package: "asm-it",
        target: "histories",
        bounded: &["nothing_is_wrong_in_a_cluster"],
        long: Some(&["--ignored", "a_million_on_a_cluster_whose_slots"]),
        quick: None,
        line: HISTORY,
        wanted: MILLION,
        ..BASE
    },
    Proof {
        id: "Z1",
        what: "lost updates at failovers, but for the last, which no replica had",
        package: "asm-it",
        target: "histories",
        bounded: &["nothing_but_the_last"],
        long: Some(&["--ignored", "a_hundred_thousand_on_"]),
        quick: None,
        line: HISTORY,
        // A hundred thousand for each of three: seconds of each round are the failover's.
        wanted: Some(300_000),
        ..BASE
    },
    Proof {
        id: "Z1",
        what: "lost updates in a race over HTTP, every mode but off, each driver",
        package: "asm-tower",
        target: "sockets",
        bounded: &["race::"],
        quick: Some(&["--skip", "in_files"]),
        line: r"(?:default|OnOpen|Optimistic|OnWrite|Manual): \d+ requests, Score \{ acknowledged: (?<n>\d+)",
        given_long: &[("ASM_RACES", "250")],
        wanted: MILLION_EACH,
        ..BASE
    },
    Proof {
        id: "Z1",
        what: "lost updates of processes that switch codecs",
        package: "asm-it",
        target: "switching",
        bounded: &["--skip", "switcher"],
        long: Some(&["--ignored", "--skip", "switcher"]),
        quick: None,
        line: r"(?<n>\d+) saves by \d+ processes, (?<bad>\d+) lost",
        ..BASE
    },
    Proof {
        id: "Z2",
        what: "sessions that a save brought back, every mode, each driver",
        package: "asm-it",
        target: "races",
        bounded: &["deleted_session"],
        long: Some(&["--ignored", "deleted_session"]),
        line: r"(?<n>\d+) deletes against saves, (?<bad>\d+) came back",
        wanted: Some(300_000),
        ..BASE
    },
    Proof {
        id: "Z3",
        what: "locks left by futures that were dropped, redis",
        package: "asm-redis",
        target: "faults",
        bounded: &["--exact", "dropped_futures_leave_no_lock"],
        long: Some(&["--ignored", "dropped_futures"]),
        line: r"(?<n>\d+) futures dropped of \d+: \d+ wrong answers, (?<bad>\d+) locks left",
        alone: true,
        wanted: Some(100_000),
        ..BASE
    },
    Proof {
        id: "Z3",
        what: "locks and waiters left by clients that hung up, each driver",
        package: "asm-tower",
        target: "sockets",
        bounded: &["hang_up::"],
        line: r"(?<n>\d+) clients hung up, (?<bad>\d+) locks and (?<bad_waiters>\d+) waiters left",
        wanted: Some(600),
        ..BASE
    },
    Proof {
        id: "Z4",
        what: "wrong answers, double effects, false busy, when answers are lost, redis",
        package: "asm-redis",
        target: "faults",
        bounded: &["--exact", "lost_answers_have_the_effect_of_once"],
        long: Some(&["--ignored", "lost_answers"]),
        line: r"(?<n>\d+) answers lost: .* (?<bad>\d+) lost, (?<bad_double>\d+) doubled, (?<bad_busy>\d+) false busy",
        wanted: Some(100_000),
        ..BASE
    },
    Proof {
        id: "Z5",
        what: "entries made for ids that were made up, each driver",
        package: "asm-it",
        target: "races",
        bounded: &["made_up"],
        long: Some(&["--ignored", "made_up"]),
        line: r"(?<n>\d+) made-up ids, (?<bad>\d+) entries more",
        wanted: MILLION_EACH,
        ..BASE
    },
    Proof {
        id: "Z5",
        what: "sessions made or opened for ids that were made up, over HTTP",
        package: "asm-tower",
        target: "web",
        bounded: &["random_cookies"],
        line: r"(?<n>\d+) made-up ids: (?<bad>\d+) sessions created, (?<bad_opened>\d+) opened",
        given_long: &[("ASM_COOKIES", "1000000")],
        wanted: MILLION,
        ..BASE
    },
    Proof {
        id: "Z6",
        what: "panics and over-allocation in decoders and parsers",
        package: "asm-it",
        target: "hostile",
        line: r"(?<n>\d+) inputs, (?<bad>\d+) failures",
        given_long: &[("ASM_INPUTS", "10000000")],
        wanted: Some(130_000_000),
        ..BASE
    },
    Proof {
        id: "Z7",
        what: "updates lost, files torn, sessions revived by kill -9",
        package: "asm-file",
        target: "crash",
        bounded: &["--exact", "a_thousand_kills_lose_nothing"],
        long: Some(&["--ignored", "ten_thousand_kills"]),
        given_quick: &[("ASM_KILLS", "100")],
        line: r"(?<n>\d+) kills, \d+ changes acknowledged: (?<bad>\d+) lost, (?<bad_torn>\d+) torn, (?<bad_revived>\d+) came back",
        wanted: Some(10_000),
        ..BASE
    },
    Proof {
        id: "Z8",
        what: "calls beyond their deadline and 50 ms, server stopped or half-open, each topology",
        package: "asm-redis",
        target: "faults",
        bounded: &["--test-threads", "1", "every_call_ends"],
        long: Some(&["--ignored", "ten_thousand_calls_end"]),
        line: r"(?<n>\d+) calls ended, .*; (?<bad>\d+) by more",
        alone: true,
        wanted: Some(10_000),
        ..BASE
    },
    Proof {
        id: "Z9",
        what: "edits of sealed parts and cookies that were accepted",
        package: "asm-crypt",
        target: "crypt",
        bounded: &["no_edit_is_accepted"],
        long: Some(&["--ignored", "no_edit_of_a_million"]),
        line: r"(?<bad>\d+) of (?<n>\d+) edits accepted",
        wanted: Some(2_000_000),
        ..BASE
    },
    Proof {
        id: "Z9",
        what: "edits of sealed records that were accepted",
        package: "asm-it",
        target: "codecs",
        bounded: &["no_edit_of_a_record"],
        long: Some(&["--ignored", "no_edit_of_a_record"]),
        line: r"(?<bad>\d+) of (?<n>\d+) edits of sealed records accepted",
        wanted: MILLION,
        ..BASE
    },
    Proof {
        id: "Z10",
        what: "cases of the suite that show a secret, memory",
        package: "asm-memory",
        target: "conformance",
        given: &CANARIES,
        ..BASE
    },
    Proof {
        id: "Z10",
        what: "cases of the suite that show a secret, a store of bytes",
        package: "asm-entry",
        target: "conformance",
        quick: None,
        given: &CANARIES,
        ..BASE
    },
    Proof {
        id: "Z10",
        what: "spellings of secrets in logs, errors and Debug of sealed sessions",
        package: "asm-it",
        target: "codecs",
        bounded: &["no_key_id_or_content"],
        line: r"(?<bad>\d+) of (?<n>\d+) spellings of secrets",
        ..BASE
    },
];

const HISTORY: &str = r"(?<bad>\d+) violations in (?<n>\d+) acknowledged";
