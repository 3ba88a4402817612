//! The commands of operators, as they are run: `inspect`, `stats`, `unlock`, `revoke`, `copy`.

use std::{
    ffi::OsStr,
    future::Future,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use asm_core::{Driver, Key, ListStep, Redacted};
use asm_file::{Durability, FileDriver};
use asm_redis::RedisDriver;
use asm_servers::Server;
use asm_session::{Client, IdUpdate, LockMode, Session, SessionError, Sessions};
use serde_json::Value;
use tempfile::TempDir;

/// Where sessions are, and how it is named on the command line.
struct Place {
    name: String,
    driver: Arc<dyn Driver>,
    runtime: tokio::runtime::Runtime,
    _root: Option<TempDir>,
    _server: Option<Server>,
}

impl Place {
    fn files() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("sessions");
        let driver = FileDriver::builder(&path)
            .durability(Durability::Atomic)
            .build();
        Self {
            name: format!("file:{}", path.display()),
            driver: Arc::new(driver.expect("a root")),
            runtime: runtime(),
            _root: Some(root),
            _server: None,
        }
    }

    fn redis() -> Self {
        let server = Server::start().unwrap_or_else(|error| panic!("{error}"));
        let runtime = runtime();
        let driver = runtime.block_on(RedisDriver::connect(server.url()));
        Self {
            name: server.url(),
            driver: Arc::new(driver.expect("connected")),
            runtime,
            _root: None,
            _server: Some(server),
        }
    }

    fn sessions(&self) -> Sessions {
        let builder = Sessions::builder(Arc::clone(&self.driver));
        let wait = std::time::Duration::from_secs(600);
        let patient = builder.lock_wait(wait).lock_hold(wait).lock_queue(None);
        patient.build().expect("sound")
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A stored session: its id.
    fn store(&self, n: i64) -> String {
        self.wait(stored(&self.sessions(), n, None))
    }

    fn open(&self, id: &str) -> asm_session::Result<Session> {
        let sessions = self.sessions();
        self.wait(async { sessions.open(id, &Client::default()).await })
    }

    fn run(&self, args: &[&str]) -> Output {
        let (command, rest) = args.split_first().expect("a command");
        demo([&[command, "--driver", &self.name][..], rest].concat())
    }

    /// What it answers as JSON, an object for each line, and its exit code.
    #[track_caller]
    fn ask(&self, args: &[&str]) -> (Vec<Value>, i32) {
        answers(&self.run(&[args, &["--json"]].concat()))
    }

    fn count(&self) -> usize {
        let inventory = self.driver.inventory().expect("a list");
        let batch = std::num::NonZeroUsize::new(1_000_000).expect("not zero");
        let (mut keys, mut from) = (std::collections::HashSet::new(), None);
        loop {
            let step = ListStep { from, batch };
            let listed = self.wait(inventory.list_sessions(step)).expect("a list");
            keys.extend(listed.keys);
            match listed.next {
                Some(next) => from = Some(next),
                None => return keys.len(),
            }
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn stored(sessions: &Sessions, n: i64, subject: Option<&str>) -> String {
    let mut session = sessions.create(&Client::default()).expect("randomness");
    session.insert("n", &n).expect("a change");
    if let Some(subject) = subject {
        session.bind_subject(subject).await.expect("an index");
    }
    session.close().await.expect("a save");
    match session.id_update() {
        IdUpdate::Issue(id) => id.expose().to_string(),
        other => panic!("a new session has an id: {other:?}"),
    }
}

fn key() -> asm_crypt::SecretKey {
    asm_crypt::SecretKey::generate().expect("randomness")
}

fn handle(id: &str) -> String {
    let id = asm_session::SessionId::parse(id).expect("an id");
    id.handle().to_string()
}

fn demo<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asm-demo"));
    let command = command.args(args).stdin(Stdio::null());
    command.output().expect("it starts")
}

#[track_caller]
fn answers(output: &Output) -> (Vec<Value>, i32) {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines();
    let objects = lines.map(|line| serde_json::from_str(line).expect("an object"));
    let code = output.status.code().expect("an exit code");
    (objects.collect(), code)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn inspect_shows_a_session_and_nothing_that_opens_it() {
    for place in [Place::files(), Place::redis()] {
        let id = place.store(7);
        let (named, other) = (handle(&id), Key::from_bytes([9; 16]).to_string());
        let locking = place.sessions().with_mode(LockMode::OnOpen);
        let locking = locking.with_label("POST /cart");
        let holder = place.wait(async { locking.open(&id, &Client::default()).await });
        let holder = holder.expect("free");
        let (shown, code) = place.ask(&["inspect", &named, &other]);
        assert_eq!(code, 1, "one is not there");
        assert_eq!(
            (&shown[0]["found"], &shown[1]["found"]),
            (&true.into(), &false.into())
        );
        assert_eq!(shown[0]["handle"], named);
        assert_eq!(shown[0]["bound"], false);
        assert_eq!(shown[0]["authenticated"], Value::Null);
        assert_eq!(shown[0]["lock"]["holder"]["label"], "POST /cart");
        assert!(shown[0]["expires_in"].as_f64().expect("a time") > 500.0);
        assert!(shown[0]["stored_bytes"].as_u64().expect("a size") > 50);
        assert_eq!(shown[1]["lock"]["holder"], Value::Null);
        let output = place.run(&["inspect", &named]);
        assert_eq!(output.status.code(), Some(0));
        let words = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(words.contains("POST /cart holds it"), "{words}");
        assert!(!words.contains(&id[21..]), "its secret");
        drop(holder);

        // An id, which somebody pasted, is not repeated.
        let output = place.run(&["inspect", &id]);
        assert_eq!(output.status.code(), Some(2));
        let said = stderr(&output);
        assert!(said.contains("32 lowercase hex digits"), "{said}");
        assert!(!said.contains(&id[21..]), "{said}");
    }
}

#[test]
fn unlock_ends_one_grant_and_its_holder_writes_nothing() {
    for place in [Place::files(), Place::redis()] {
        let id = place.store(7);
        let named = handle(&id);
        let locking = place.sessions().with_mode(LockMode::OnOpen);
        let holder = place.wait(async { locking.open(&id, &Client::default()).await });
        let mut holder = holder.expect("free");
        let fence = holder.fence().expect("held").get();
        let (later, fence) = ((fence + 1).to_string(), fence.to_string());

        let unasked = place.run(&["unlock", &named]);
        assert_eq!(unasked.status.code(), Some(2));
        assert!(stderr(&unasked).contains("--yes"), "{}", stderr(&unasked));
        let (other, code) = place.ask(&["unlock", &named, "--fence", &later, "--yes"]);
        assert_eq!((&other[0]["broken"], code), (&false.into(), 1));
        let (broken, code) = place.ask(&["unlock", &named, "--fence", &fence, "--yes"]);
        assert_eq!((&broken[0]["broken"], code), (&true.into(), 0));
        holder.insert("n", &8).expect("a change");
        let saved = place.wait(holder.close());
        assert!(matches!(saved, Err(SessionError::LockLost)), "{saved:?}");
        let (again, code) = place.ask(&["unlock", &named, "--yes"]);
        assert_eq!((&again[0]["broken"], code), (&false.into(), 1));
        let session = place.open(&id).expect("it lives");
        assert_eq!(session.get_or("n", 0).expect("a number"), 7);
    }
}

#[test]
fn revoke_ends_sessions_by_name_and_those_of_a_user() {
    for place in [Place::files(), Place::redis()] {
        let (one, two) = (place.store(1), place.store(2));
        let unasked = place.run(&["revoke", &handle(&one)]);
        assert_eq!(unasked.status.code(), Some(2));
        place.open(&one).expect("it lives");
        let (ended, code) = place.ask(&["revoke", &handle(&one), "--yes"]);
        assert_eq!((&ended[0]["revoked"], code), (&1.into(), 0));
        assert!(place.open(&one).is_err());
        let args = ["revoke", &handle(&one), &handle(&two), "-y"];
        let (ended, code) = place.ask(&args);
        assert_eq!(code, 1, "one was over");
        assert_eq!(
            (&ended[0]["revoked"], &ended[1]["revoked"]),
            (&0.into(), &1.into())
        );

        let key = [0xab; 32];
        let keyed = Sessions::builder(Arc::clone(&place.driver)).subject_key(&key);
        let keyed = keyed.build().expect("sound");
        let devices: Vec<String> = (0..3)
            .map(|n| place.wait(stored(&keyed, n, Some("user:42"))))
            .collect();
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "ab".repeat(32)).expect("written");
        let file = file.path().to_str().expect("UTF-8");
        let subject = ["revoke", "--subject", "user:42", "--yes"];
        let (none, code) = place.ask(&subject);
        assert_eq!((&none[0]["revoked"], code), (&0.into(), 1), "another key");
        let keep = handle(&devices[1]);
        let others = ["--subject-key", file, "--keep", &keep];
        let (ended, code) = place.ask(&[&subject[..], &others].concat());
        assert_eq!((&ended[0]["revoked"], code), (&2.into(), 0));
        place.open(&devices[1]).expect("it was kept");
        assert!(place.open(&devices[0]).is_err());
        let all = ["--subject-key", file];
        let (ended, code) = place.ask(&[&subject[..], &all].concat());
        assert_eq!((&ended[0]["revoked"], code), (&1.into(), 0));
        assert_eq!(place.count(), 0);
        for wrong in [
            &["revoke", "--yes"][..],
            &["revoke", "--keep", &keep, "--yes"],
        ] {
            assert_eq!(place.run(wrong).status.code(), Some(2), "{wrong:?}");
        }
    }
}

#[test]
fn stats_count_what_is_there() {
    for place in [Place::files(), Place::redis()] {
        for n in 0..120 {
            place.store(n);
        }
        let sessions = place.sessions();
        let bound = place.wait(stored(&sessions, 0, Some("user:42")));
        let locking = sessions.with_mode(LockMode::OnOpen);
        let holder = place.wait(async { locking.open(&bound, &Client::default()).await });
        let (counted, code) = place.ask(&["stats", "--locks", "--batch", "7"]);
        assert_eq!(code, 0);
        let counted = &counted[0];
        // A list may have one of them twice.
        let most = if place._server.is_some() { 242 } else { 121 };
        for (name, few, many) in [
            ("sessions", 121, most),
            ("bound", 1, most - 120),
            ("unknown", 121, most),
            ("locked", 1, most - 120),
            ("waiting", 0, 0),
            ("failed", 0, 0),
            ("ending_within_an_hour", 121, most),
        ] {
            let value = counted[name].as_u64().expect("a number");
            assert!((few..=many).contains(&value), "{name}: {counted}");
        }
        assert!(counted["stored_bytes"].as_u64().expect("a sum") > 121 * 50);
        drop(holder);
        let output = place.run(&["stats"]);
        let words = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(words.contains(" sessions, 0 failed"), "{words}");
    }
}

#[test]
fn stats_tell_what_they_cannot_read_without_its_key() {
    let place = Place::files();
    let key = key();
    let keys = tempfile::NamedTempFile::new().expect("a file");
    let line = format!("1 {}", &*key.expose_base64());
    std::fs::write(keys.path(), line).expect("written");
    let ring = asm_crypt::KeyRing::new(asm_crypt::KeyId::new(1), &key);
    let sealed = Sessions::builder(Arc::clone(&place.driver));
    let sealed = sealed.codec(asm_crypt::Seal::xchacha(ring)).build();
    place.wait(stored(&sealed.expect("sound"), 1, None));
    place.store(2);
    let (counted, code) = place.ask(&["stats"]);
    assert_eq!((&counted[0]["sessions"], code), (&1.into(), 1));
    assert_eq!(counted[0]["failed"], 1);
    let keys = keys.path().to_str().expect("UTF-8");
    let (counted, code) = place.ask(&["stats", "--keys", keys]);
    assert_eq!(
        (&counted[0]["sessions"], code),
        (&1.into(), 1),
        "the other one"
    );
    let nowhere = place.run(&["stats", "--keys", "/nowhere/at/all"]);
    assert_eq!(nowhere.status.code(), Some(2), "{}", stderr(&nowhere));
}

/// `copy`, with more to say.
fn copy(from: &Place, to: &str, more: &[&str]) -> Output {
    let args = ["copy", "--json", "--from", &from.name, "--to", to];
    demo([&args[..], more].concat())
}

/// Copied while somebody writes, then once more; and each count is what was acknowledged.
fn copied_under_load(from: &Place, to: &Place) {
    const SESSIONS: usize = 200;
    let ids: Vec<String> = (0..SESSIONS).map(|_| from.store(0)).collect();
    let (sessions, working) = (from.sessions(), Arc::new(AtomicBool::new(true)));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (sessions, ids) = (sessions.clone(), ids.clone());
            let working = Arc::clone(&working);
            from.runtime.spawn(async move {
                let mut random = fastrand::Rng::with_seed(writer);
                let mut acknowledged = vec![0_i64; ids.len()];
                while working.load(Ordering::SeqCst) {
                    let at = random.usize(..ids.len());
                    let opened = sessions.open(&ids[at], &Client::default()).await;
                    let mut session = opened.expect("it lives");
                    session.add("n", 1).expect("a sum");
                    session.close().await.expect("a save");
                    acknowledged[at] += 1;
                }
                acknowledged
            })
        })
        .collect();
    let mut updated = 0;
    for pass in 0..4 {
        let (said, code) = answers(&copy(from, &to.name, &["--batch", "50"]));
        assert_eq!(code, 0, "{said:?}");
        // A list may have one of them twice.
        let examined = said[0]["examined"].as_u64().expect("a number");
        assert!(examined >= SESSIONS as u64, "{said:?}");
        let expected = if pass == 0 { SESSIONS } else { 0 };
        assert_eq!(said[0]["copied"], expected, "{said:?}");
        updated += said[0]["updated"].as_u64().expect("a number");
    }
    working.store(false, Ordering::SeqCst);
    let mut acknowledged = vec![0; SESSIONS];
    for writer in writers {
        let counted = from.wait(writer).expect("no panic");
        for (sum, more) in acknowledged.iter_mut().zip(counted) {
            *sum += more;
        }
    }
    // Whoever was logged out meanwhile is logged out there.
    from.wait(async { from.sessions().by_handle(key_of(&ids[0])).delete().await })
        .expect("an end");
    let unasked = copy(from, &to.name, &["--end-copies"]);
    assert_eq!(unasked.status.code(), Some(2));
    let (said, code) = answers(&copy(from, &to.name, &["--end-copies", "--yes"]));
    assert_eq!(code, 0, "{said:?}");
    assert_eq!(
        (&said[1]["step"], &said[1]["ended"]),
        (&"end-copies".into(), &1.into())
    );
    let total: i64 = acknowledged.iter().sum();
    for (id, expected) in ids.iter().zip(&acknowledged).skip(1) {
        let session = to.open(id).expect("it was copied");
        assert_eq!(session.get_or("n", 0_i64).expect("a number"), *expected);
    }
    assert!(to.open(&ids[0]).is_err());
    println!("{total} acknowledged on {SESSIONS} sessions, {updated} updates, 0 lost");
    assert!(total > 0 && updated > 0);
}

fn key_of(id: &str) -> Key {
    asm_session::SessionId::parse(id).expect("an id").handle()
}

#[test]
fn files_are_copied_to_redis_under_load() {
    copied_under_load(&Place::files(), &Place::redis());
}

#[test]
fn redis_is_copied_to_files_under_load() {
    copied_under_load(&Place::redis(), &Place::files());
}

/// Killed in the middle, whatever it was doing, and begun again.
fn killed_and_begun_again(from: &Place, to: &Place) {
    const SESSIONS: usize = 3_000;
    let sessions = from.sessions();
    let ids: Vec<String> = from.wait(async {
        let mut ids = Vec::new();
        for n in 0..SESSIONS as i64 {
            ids.push(stored(&sessions, n, None).await);
        }
        ids
    });
    let args = [
        "copy", "--from", &from.name, "--to", &to.name, "--batch", "10",
    ];
    let mut copying = Command::new(env!("CARGO_BIN_EXE_asm-demo"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    while to.count() < SESSIONS / 20 {
        assert!(copying.try_wait().expect("a child").is_none(), "too soon");
        thread::yield_now();
    }
    copying.kill().expect("killed");
    copying.wait().expect("its end");
    let there = to.count();
    let (said, code) = answers(&copy(from, &to.name, &[]));
    assert_eq!(code, 0, "{said:?}");
    let number = |name: &str| said[0][name].as_u64().expect("a number") as usize;
    // What the one that was killed had sent may have been stored after it was counted.
    assert!(number("copied") <= SESSIONS - there, "{said:?}");
    assert_eq!(number("copied") + number("unchanged"), number("examined"));
    assert!(number("examined") >= SESSIONS, "{said:?}");
    assert_eq!((number("updated"), number("foreign")), (0, 0), "{said:?}");
    for (n, id) in ids.iter().enumerate() {
        let session = to.open(id).expect("it was copied");
        assert_eq!(session.get_or("n", -1).expect("a number"), n as i64);
    }
    println!("killed after {there} of {SESSIONS}; the rest by the next run, 0 lost");
}

#[test]
fn a_copy_to_files_that_was_killed_is_gone_on_with() {
    killed_and_begun_again(&Place::redis(), &Place::files());
}

#[test]
fn a_copy_to_redis_that_was_killed_is_gone_on_with() {
    killed_and_begun_again(&Place::files(), &Place::redis());
}

#[test]
fn names_in_redis_may_begin_with_something_else() {
    let (from, to) = (Place::files(), Place::redis());
    from.store(1);
    let shop = format!("{}#shop", to.name);
    let (said, code) = answers(&copy(&from, &shop, &[]));
    assert_eq!((said[0]["copied"].as_u64(), code), (Some(1), 0), "{said:?}");
    for (name, sessions) in [(&shop, 1), (&to.name, 0)] {
        let (said, code) = answers(&demo(["stats", "--json", "--driver", name]));
        assert_eq!((said[0]["sessions"].as_u64(), code), (Some(sessions), 0));
    }
    let output = demo(["stats", "--driver", &format!("{}#not good", to.name)]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
}

#[test]
fn copies_are_encoded_anew() {
    let (from, to) = (Place::files(), Place::files());
    let sessions = from.sessions();
    let id = from.wait(async {
        let mut session = sessions.create(&Client::default()).expect("randomness");
        session
            .insert("text", &"three apples, ".repeat(1000))
            .expect("a change");
        session.close().await.expect("a save");
        match session.id_update() {
            IdUpdate::Issue(id) => id.expose().to_string(),
            other => panic!("{other:?}"),
        }
    });
    let key = key();
    let keys = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(keys.path(), format!("1 {}", &*key.expose_base64())).expect("written");
    let keys = keys.path().to_str().expect("UTF-8");
    let more = ["--compress", "gzip", "--to-keys", keys];
    assert_eq!(copy(&from, &to.name, &more).status.code(), Some(0));
    let read = |place: &Place| {
        let open = asm_core::Open { lock: None };
        match place
            .wait(place.driver.open(&key_of(&id), open))
            .expect("an answer")
        {
            asm_core::Opened::Found { snapshot, .. } => snapshot.data,
            other => panic!("{other:?}"),
        }
    };
    let (plain, coded): (Redacted, Redacted) = (read(&from), read(&to));
    assert!(
        coded.len() < plain.len() / 10,
        "{} of {}",
        coded.len(),
        plain.len()
    );
    let ring = asm_crypt::KeyRing::new(asm_crypt::KeyId::new(1), &key);
    let sealed = Sessions::builder(Arc::clone(&to.driver))
        .codec(asm_compress::Compress::none())
        .codec(asm_crypt::Seal::xchacha(ring))
        .build()
        .expect("sound");
    let session = to.wait(async { sealed.open(&id, &Client::default()).await });
    let text: Option<String> = session.expect("it").get("text").expect("a text");
    assert_eq!(text.map(|text| text.len()), Some(14_000));
    let (said, _) = answers(&copy(&from, &to.name, &more));
    assert_eq!(said[0]["unchanged"], 1, "{said:?}");

    // And back, as it was.
    let back = Place::files();
    let more = ["--from-keys", keys];
    assert_eq!(copy(&to, &back.name, &more).status.code(), Some(0));
    assert_eq!(read(&back), plain);
}

#[test]
fn wrong_arguments_are_told_from_what_cannot_be_done() {
    let from = Place::files();
    from.store(1);
    let nowhere = tempfile::tempdir().expect("a directory");
    let nowhere = nowhere.path().join("nowhere");
    let missing = format!("file:{}", nowhere.display());
    for command in ["stats", "inspect", "revoke"] {
        let rest = match command {
            "stats" => &[][..],
            _ => &["0123456789abcdef0123456789abcdef"],
        };
        let yes: &[&str] = if command == "revoke" { &["--yes"] } else { &[] };
        let output = demo([&[command, "--driver", &missing][..], rest, yes].concat());
        assert_eq!(
            output.status.code(),
            Some(3),
            "{command}: {}",
            stderr(&output)
        );
    }
    assert!(!Path::new(&nowhere).exists(), "it was made");
    for wrong in [
        &["--compress", "zip"][..],
        &["--batch", "0"],
        &["--at", "zz"],
        &["--split"],
        &["--to-keys", "/nowhere/at/all"],
    ] {
        let output = copy(&from, &missing, wrong);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{wrong:?}: {}",
            stderr(&output)
        );
    }
    let same = copy(&from, &from.name, &[]);
    assert_eq!(same.status.code(), Some(2), "{}", stderr(&same));
    let down = copy(&from, "redis://127.0.0.1:1", &[]);
    assert_eq!(down.status.code(), Some(3), "{}", stderr(&down));
}
