//! Whatever lies in a root, nothing outside of it is touched: every call that a process makes is
//! looked at.
//!
//! ```console
//! $ cargo test -p asm-file --test outside -- --include-ignored
//! ```

mod given;

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use asm_core::*;
use asm_file::{Durability, FileDriver};

const ROOTS: &str = "ASM_FILE_OUTSIDE_ROOTS";
/// What the process asks for before and after its work, so that the trace shows where it begins and
/// where it ends.
const MARKS: [&str; 2] = ["/the/work/begins", "/the/work/ends"];
const KEY: Key = Key::from_bytes([0xa5; 16]);
const SUBJECT: Subject = Subject::from_bytes([0xa5; Subject::LEN]);
const TTL: Duration = Duration::from_secs(3600);
const PLANTS: [&str; 6] = [
    "nothing",
    "link",
    "link to a directory",
    "hard link",
    "pipe",
    "garbage",
];

#[test]
#[ignore = "needs strace"]
fn no_call_leads_out_of_the_root() {
    let place = tempfile::tempdir().expect("a directory");
    let roots = place.path().join("roots");
    for plant in PLANTS {
        make(&roots.join(plant.replace(' ', "-")), plant, place.path());
    }
    let trace = place.path().join("trace");
    let child = Command::new("strace")
        .args(["-f", "-y", "-qq", "-s", "4096", "-e", "signal=none", "-e"])
        .arg("trace=%file,write,pwrite64,writev,ftruncate,fallocate,fchmod,fchown")
        .arg("-o")
        .arg(&trace)
        .arg(env::current_exe().expect("this test"))
        .args(["--exact", "worker", "--ignored", "--nocapture"])
        .env(ROOTS, &roots)
        .output()
        .expect("strace");
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}"
    );

    let trace = fs::read_to_string(trace).expect("a trace");
    let work: Vec<_> = trace
        .lines()
        .skip_while(|line| !line.contains(MARKS[0]))
        .skip(1)
        .take_while(|line| !line.contains(MARKS[1]))
        .collect();
    let (mut calls, mut outside) = (0, BTreeSet::new());
    for line in &work {
        let places = places(line);
        calls += usize::from(!places.is_empty());
        outside.extend(
            places
                .into_iter()
                .filter(|at| !is_allowed(at, &roots, line)),
        );
    }
    println!(
        "{calls} calls with a place in a file system, {} outside",
        outside.len()
    );
    assert_eq!(outside, BTreeSet::new(), "outside of the root");
    assert!(calls > 1000, "only {calls} calls were seen");
    // What would have been found there, had it been touched, is as it was.
    let treasure = fs::read_to_string(place.path().join("treasure/gold"));
    assert_eq!(treasure.expect("there"), "not yours");
    let inside = fs::read_dir(place.path().join("treasure"));
    assert_eq!(inside.expect("there").count(), 1);
}

/// The process whose calls are looked at.
#[test]
#[ignore = "is started by the other"]
fn worker() {
    let Some(roots) = env::var_os(ROOTS) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let roots = PathBuf::from(roots);
    // Whatever happens once in a process has happened.
    runtime.block_on(work(&roots.join("nothing")));
    assert!(!Path::new(MARKS[0]).exists());
    for plant in PLANTS {
        runtime.block_on(work(&roots.join(plant.replace(' ', "-"))));
    }
    assert!(!Path::new(MARKS[1]).exists());
}

/// Every verb and facet. What each answers is the business of other tests.
async fn work(root: &Path) {
    let driver = FileDriver::builder(root)
        .durability(Durability::Full)
        .build();
    let driver = driver.expect("a driver");
    let _ = driver.open(&KEY, Open { lock: None }).await;
    for step in 0..given::STEPS {
        // What is planted may make a step fail.
        let step = tokio::spawn({
            let driver = driver.clone();
            async move { given::play(&driver, step, false).await }
        });
        drop(step.await);
    }
    let create = Create {
        lock: Some(given::claim(given::token(1))),
        ..given::creation()
    };
    let _ = driver.create(&KEY, create).await;
    let feed = driver.changes().expect("the facet");
    let subscribe = Subscribe {
        epoch: given::stamp().epoch,
        buffer: std::num::NonZeroUsize::MIN,
    };
    let stream = feed.subscribe(&KEY, subscribe).await;
    let _ = driver.release(&KEY, &given::token(1)).await;
    let subjects = driver.subjects().expect("the facet");
    let reserve = Reserve {
        key: KEY,
        ttl: TTL,
        cap: None,
    };
    let _ = subjects.reserve(&SUBJECT, reserve).await;
    let _ = subjects.list(&SUBJECT).await;
    let _ = subjects.revoke(&SUBJECT, None).await;
    let step = SweepStep {
        from: None,
        batch: std::num::NonZeroUsize::MAX,
    };
    let _ = driver.sweeper().expect("the facet").sweep(step).await;
    drop(stream);
    let _ = driver.delete(&KEY, Delete { only_if: None }).await;
}

/// A root, with something planted under each name that there is.
fn make(root: &Path, plant: &str, place: &Path) {
    let treasure = place.join("treasure");
    fs::create_dir_all(&treasure).expect("made");
    fs::write(treasure.join("gold"), "not yours").expect("written");
    fs::create_dir_all(root.parent().expect("a parent")).expect("made");
    drop(FileDriver::open(root).expect("a root"));
    let shard = root.join("a5");
    let of = |kind: &str| format!("{}.{kind}", "a5".repeat(16));
    let index = format!("{}.u", "a5".repeat(32));
    let names = [
        of("s"),
        of("l"),
        of("f"),
        index,
        "new".into(),
        "feed".into(),
    ];
    for name in names {
        let at = shard.join(name);
        match plant {
            "link" => symlink(treasure.join("gold"), at).expect("a link"),
            "link to a directory" => symlink(&treasure, at).expect("a link"),
            "hard link" => fs::hard_link(treasure.join("gold"), at).expect("a link"),
            "pipe" => {
                let made = Command::new("mkfifo").arg(at).status();
                assert!(made.expect("mkfifo").success());
            }
            "garbage" => fs::write(at, "garbage").expect("written"),
            _ => {}
        }
    }
}

/// What a call names or holds in a file system: paths that are absolute, what descriptors are open
/// on, and what is named relative to one.
fn places(line: &str) -> Vec<String> {
    let mut places = Vec::new();
    // A descriptor, as `5</a/path>`, and perhaps a name below it.
    for (at, _) in line.match_indices("</") {
        let rest = &line[at + 1..];
        let Some((path, after)) = rest.split_once('>') else {
            continue;
        };
        let path = path.trim_end_matches(" (deleted)").to_owned();
        if line[..at].ends_with("AT_FDCWD") && after.starts_with(", \"/") {
            // A path from the top has nothing to do with the working directory.
            continue;
        }
        if let Some(name) = after.strip_prefix(", \"") {
            let name = name.split('"').next().unwrap_or_default();
            if !name.starts_with('/') {
                places.push(format!("{path}/{name}"));
            }
        }
        places.push(path);
    }
    for (at, _) in line.match_indices("\"/") {
        // What is written is no place.
        if !line.contains("write(") {
            places.push(
                line[at + 1..]
                    .split('"')
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
    }
    places
}

/// Inside of the roots, without a step up; and what the system tells of itself, which is only read.
fn is_allowed(at: &str, roots: &Path, line: &str) -> bool {
    let climbs = Path::new(at)
        .components()
        .any(|part| part.as_os_str() == "..");
    let inside = Path::new(at).starts_with(roots) && !climbs;
    let changes = [
        "O_WRONLY", "O_RDWR", "O_CREAT", "write", "unlink", "rename", "mkdir",
    ];
    let reads = !changes.iter().any(|change| line.contains(change));
    let system = at.starts_with("/proc/") || at.starts_with("/sys/");
    // The words of the test itself.
    let said = line.contains("write(1<") || line.contains("write(2<");
    inside || system && reads || said
}
