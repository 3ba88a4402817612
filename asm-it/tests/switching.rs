//! Codecs, thresholds and none are switched on a live store, by several processes at once.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use asm_compress::{Compress, Ratio, Threshold};
use asm_file::{Durability, FileDriver};
use asm_session::{Client, LockMode, Session, SessionError, Sessions};

const PROCESSES: u64 = 4;
const SESSIONS: usize = 16;

/// What a busy machine may take for a save: nothing here is about deadlines.
const PATIENCE: Duration = Duration::from_secs(600);

/// Saves of a process before it takes another codec.
const TURN: u64 = 10;

#[test]
fn nothing_is_lost_while_codecs_are_switched() {
    race(2_000);
}

#[test]
#[ignore = "a minute or more: cargo test --release -p asm-it --test switching -- --ignored"]
fn nothing_is_lost_in_a_hundred_thousand_saves() {
    race(100_000);
}

fn race(saves: u64) {
    let place = tempfile::tempdir().expect("a directory");
    let ids = block_on(created(place.path()));
    let each = saves / PROCESSES;
    let start = |number: u64| {
        Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "switcher", "--ignored", "--nocapture"])
            .env("ASM_IT_ROOT", place.path())
            .env("ASM_IT_IDS", ids.join(" "))
            .env("ASM_IT_NUMBER", number.to_string())
            .env("ASM_IT_SAVES", each.to_string())
            .stdout(Stdio::null())
            .spawn()
            .expect("a process")
    };
    let children: Vec<_> = (0..PROCESSES).map(start).collect();
    for mut child in children {
        assert!(child.wait().expect("its end").success(), "a process failed");
    }

    // Whatever is configured, all is there.
    for codec in Compress::all() {
        let name = format!("{codec:?}");
        let sessions = sessions(place.path(), codec);
        let (mut total, mut log) = (0, 0);
        block_on(async {
            for id in &ids {
                let session = sessions.open(id, &Client::default()).await;
                let session = session.expect("a session");
                total += session.get::<u64>("count").expect("a count").unwrap_or(0);
                log += texts(&session);
            }
        });
        assert_eq!(
            total,
            each * PROCESSES,
            "saves are lost, as {name} reads them"
        );
        assert!(log > 0, "no text was kept");
    }
    println!(
        "{} saves by {PROCESSES} processes, 0 lost",
        each * PROCESSES
    );
}

/// Saves so often, each few times with another codec and threshold.
#[test]
#[ignore = "is started by the others"]
fn switcher() {
    let Some(root) = env::var_os("ASM_IT_ROOT") else {
        return;
    };
    let number = |name: &str| {
        env::var(name)
            .expect("a setting")
            .parse()
            .expect("a number")
    };
    let (own, saves): (u64, u64) = (number("ASM_IT_NUMBER"), number("ASM_IT_SAVES"));
    let ids = env::var("ASM_IT_IDS").expect("ids");
    let ids: Vec<&str> = ids.split(' ').collect();
    let mut random = fastrand::Rng::with_seed(own);
    block_on(async {
        let mut left = saves;
        while left > 0 {
            let sessions = sessions(root.as_ref(), codec(&mut random));
            for _ in 0..TURN.min(left) {
                let id = ids[random.usize(..ids.len())];
                save(&sessions, id, &mut random).await;
                left -= 1;
            }
        }
    });
}

fn codec(random: &mut fastrand::Rng) -> Compress {
    let thresholds = [0, 100, 2048, 8192].map(Threshold::at);
    let thresholds = [&thresholds[..], &[Threshold::OFF]].concat();
    let all = Compress::all();
    let codec = all[random.usize(..all.len())].clone();
    codec
        .threshold(thresholds[random.usize(..thresholds.len())])
        .keep_raw(Ratio::new([0.3, 0.95, 1.0][random.usize(..3)]).expect("a ratio"))
}

/// One request: counts, and changes a text that is sometimes long.
async fn save(sessions: &Sessions, id: &str, random: &mut fastrand::Rng) {
    let len = [0, 50, 3000, 20_000][random.usize(..4)];
    let text: String = match random.bool() {
        true => "three apples, ".chars().cycle().take(len).collect(),
        false => (0..len).map(|_| random.alphanumeric()).collect(),
    };
    let slot = format!("text{}", random.u8(..2));
    loop {
        let mut session = sessions
            .open(id, &Client::default())
            .await
            .expect("an open session");
        texts(&session);
        session.add("count", 1).expect("a sum");
        session.insert(&slot, &text).expect("a text");
        session
            .insert(&format!("{slot}.sum"), &sum(&text))
            .expect("its sum");
        match session.close().await {
            Ok(_) => return,
            // Somebody changed the same text, which is to be read again first.
            Err(SessionError::Conflict(_)) => session.discard(),
            Err(other) => panic!("a save failed: {other:?}"),
        }
    }
}

/// Checks what is read, and tells how many texts there were.
fn texts(session: &Session) -> usize {
    let mut found = 0;
    for slot in ["text0", "text1"] {
        if let Some(text) = session.get::<String>(slot).expect("a text") {
            let kept = session.get::<u64>(&format!("{slot}.sum")).expect("a sum");
            assert_eq!(kept, Some(sum(&text)), "the text is not what was saved");
            found += 1;
        }
    }
    found
}

fn sum(text: &str) -> u64 {
    text.bytes().fold(7, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    })
}

async fn created(root: &Path) -> Vec<String> {
    let sessions = sessions(root, Compress::none());
    let mut ids = Vec::new();
    for _ in 0..SESSIONS {
        let mut session = sessions.create(&Client::default()).expect("a session");
        session.insert("count", &0).expect("a count");
        session.close().await.expect("a saved session");
        match session.id_update() {
            asm_session::IdUpdate::Issue(id) => ids.push(id.expose().to_string()),
            other => panic!("a new session has an id: {other:?}"),
        }
    }
    ids
}

fn sessions(root: &Path, codec: Compress) -> Sessions {
    let driver = FileDriver::builder(root)
        .durability(Durability::Atomic)
        .patience(PATIENCE)
        .build();
    Sessions::builder(driver.expect("a root"))
        .lock_mode(LockMode::Optimistic)
        .lock_hold(PATIENCE)
        .lock_wait(PATIENCE)
        .codec(codec)
        .build()
        .expect("settings that make sense")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}
