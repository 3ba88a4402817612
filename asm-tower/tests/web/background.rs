//! What is done beside requests: clean-up, and figures.

use std::time::Duration;

use asm_core::ErrorKind;
use asm_session::{Client, Sessions};
use asm_testkit::{Fault, Verb};
use asm_tower::SessionLayer;
use axum::{Router, routing::post};
use metrics::{SharedString, Unit};
use metrics_util::{
    CompositeKey,
    debugging::{DebugValue, DebuggingRecorder},
};

use crate::handlers::count;
use crate::world::{Browser, World, plain};

const MINUTE: Duration = Duration::from_secs(60);

async fn store(sessions: &Sessions, many: usize) {
    for _ in 0..many {
        let mut session = sessions.create(&Client::default()).expect("random");
        session.insert("n", &1).expect("writable");
        session.close().await.expect("stored");
    }
}

#[tokio::test]
async fn expired_sessions_are_swept_again_and_again_also_after_errors() {
    let world = World::new();
    let (chaos, sessions) = world.chaos();
    let sweeping = plain(sessions.clone()).sweep_every(MINUTE);
    store(&sessions, 50).await;
    // Within their first life nothing is removed.
    world.clock.advance(5 * MINUTE).await;
    assert_eq!(world.memory.sessions(), 50);
    let swept = world.calls().of(Verb::Sweep);
    assert!((4..=6).contains(&swept), "a tenth sooner or later: {swept}");

    for _ in 0..3 {
        let refused = Fault::Refused(ErrorKind::Unavailable);
        chaos.layer().next(Verb::Sweep, refused);
    }
    world.clock.advance(6 * MINUTE).await;
    assert_eq!(chaos.layer().struck().len(), 3, "they failed");
    world.clock.advance(3 * MINUTE).await;
    assert_eq!(world.memory.sessions(), 0);

    world.calls();
    drop(sweeping);
    world.clock.advance(10 * MINUTE).await;
    assert_eq!(
        world.calls().of(Verb::Sweep),
        0,
        "it ends with what was kept"
    );
    plain(sessions).sweep_every(MINUTE).detach();
    world.clock.advance(10 * MINUTE).await;
    assert!(world.calls().of(Verb::Sweep) >= 8, "unless it is let go");
}

/// Everything that was recorded so far. A snapshot begins anew, so one test takes one.
struct Figures(Vec<(CompositeKey, Option<Unit>, Option<SharedString>, DebugValue)>);

impl Figures {
    /// The labels of this figure, and its value.
    #[track_caller]
    fn of(&self, name: &str) -> (String, &DebugValue) {
        let mut all = self.0.iter();
        let found = all.find(|(key, ..)| key.key().name() == name);
        let (key, _, _, value) = found.unwrap_or_else(|| panic!("there is no {name}"));
        let labels = key.key().labels().map(|label| label.value().to_owned());
        (labels.collect(), value)
    }

    #[track_caller]
    fn counter(&self, name: &str) -> u64 {
        match self.of(name).1 {
            DebugValue::Counter(value) => *value,
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_application_that_measures_is_given_figures() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let world = World::new();
    let layer = SessionLayer::new(world.sessions()).with_metrics();
    let app = Router::new()
        .route("/count", post(count))
        .layer(layer.build().expect("consistent"));
    let mut browser = Browser::known(&app).await;
    browser.post("/count").await.ok();
    browser.with_id("nonsense").post("/count").await.ok();
    let figures = Figures(snapshots.snapshot().into_vec());
    for name in [
        "asm_session_open_seconds",
        "asm_session_save_seconds",
        "asm_session_lock_hold_seconds",
    ] {
        let (labels, DebugValue::Histogram(values)) = figures.of(name) else {
            panic!("{name} is a histogram");
        };
        assert_eq!(values.len(), 3, "{name}");
        assert_eq!(labels == "on_open", name == "asm_session_open_seconds");
    }
    assert_eq!(figures.of("asm_session_invalid_ids_total").0, "malformed");
    assert_eq!(figures.counter("asm_session_invalid_ids_total"), 1);
    assert_eq!(figures.counter("asm_session_opens_total"), 1);
    assert_eq!(figures.counter("asm_session_saves_total"), 3);
    assert!(figures.counter("asm_session_stored_bytes_total") > 100);
    assert_eq!(figures.counter("asm_session_lost_locks_total"), 0);

    // Without being asked nothing is measured.
    let silent = DebuggingRecorder::new();
    let snapshots = silent.snapshotter();
    let _recording = metrics::set_default_local_recorder(&silent);
    let app = Router::new()
        .route("/count", post(count))
        .layer(world.layer());
    Browser::of(&app).post("/count").await.ok();
    assert!(snapshots.snapshot().into_vec().is_empty());
}
