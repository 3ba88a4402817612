//! What an untouched value costs: a request that opens a session of 8 KiB, reads one key and closes
//! it unchanged, against decoding all of its values as one JSON document.
//!
//! ```console
//! $ cargo bench -p asm-session --bench s1
//! ```
//!
//! Both sides run in turns in the same process; the figure is the median of the ratios.

use std::{
    collections::HashMap,
    hint::black_box,
    time::{Duration, Instant},
};

use asm_memory::MemoryDriver;
use asm_session::{Client, IdUpdate, Sessions};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

/// How much a request through ASM may cost, as a part of the JSON decode.
const GOAL: f64 = 0.25;

const TURNS: usize = 21;
const ROUNDS: u32 = 2_000;

fn main() {
    let entries = session_of(8 * 1024);
    let document = serde_json::to_vec(&entries).expect("JSON");
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let stored = Stored::new(&runtime, &entries);
    // Both sides answer the same before they are measured.
    assert_eq!(stored.read(&runtime), read_all(&document));

    let mut turns: Vec<_> = (0..TURNS)
        .map(|_| {
            let all = time(|| read_all(black_box(&document)));
            let one = time(|| stored.read(&runtime));
            (one.as_secs_f64() / all.as_secs_f64(), one, all)
        })
        .collect();
    turns.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ratio, one, all) = turns[TURNS / 2];

    println!(
        "a session of {} values, {} bytes as JSON",
        entries.len(),
        document.len()
    );
    println!("  full JSON decode, one key            {all:>10.2?}");
    println!("  open, read one key, close unchanged  {one:>10.2?}");
    let verdict = if ratio <= GOAL { "reached" } else { "missed" };
    println!("S1: {ratio:.3} x (median of {TURNS}; goal <= {GOAL} x: {verdict})");
}

/// A session as a shop has it: some dozen values of different kinds, together `bytes` long.
fn session_of(bytes: usize) -> HashMap<String, Value> {
    let mut entries = HashMap::from([
        (KEY.to_owned(), json!("de-AT")),
        (
            "user".to_owned(),
            json!({ "id": 4711, "name": "Ada Lovelace", "roles": ["buyer"] }),
        ),
    ]);
    let mut number = 0;
    while serde_json::to_vec(&entries).expect("JSON").len() < bytes - 100 {
        let line = json!({
            "article": format!("A-{:06}", number * 7919),
            "title": "A teapot with a \"spout\", blue",
            "count": number % 5 + 1,
            "price": { "amount": 1999 + number, "currency": "EUR", "discounts": [0.05, 0.1] },
            "gift": number % 2 == 0,
            "note": Value::Null,
        });
        entries.insert(format!("cart.{number}"), line);
        number += 1;
    }
    entries
}

const KEY: &str = "locale";

/// What a session layer does that keeps a session as one document.
fn read_all(document: &[u8]) -> String {
    let mut entries: HashMap<String, Value> = serde_json::from_slice(document).expect("JSON");
    let value = entries.remove(KEY).expect("it is there");
    serde_json::from_value(value).expect("a text")
}

struct Stored {
    sessions: Sessions,
    id: String,
    client: Client,
}

impl Stored {
    fn new(runtime: &Runtime, entries: &HashMap<String, Value>) -> Self {
        let sessions = Sessions::builder(MemoryDriver::new())
            .build()
            .expect("a configuration");
        let client = Client::default();
        let mut session = sessions.create(&client).expect("randomness");
        for (key, value) in entries {
            session.insert(key, value).expect("JSON");
        }
        runtime.block_on(session.close()).expect("room");
        let IdUpdate::Issue(id) = session.id_update() else {
            unreachable!("a new session has a new id");
        };
        let id = id.expose().to_string();
        Self {
            sessions,
            id,
            client,
        }
    }

    fn read(&self, runtime: &Runtime) -> String {
        runtime.block_on(async {
            let mut session = self
                .sessions
                .open(&self.id, &self.client)
                .await
                .expect("it lives");
            let value = session.get(KEY).expect("a text").expect("it is there");
            session.close().await.expect("nothing to write");
            value
        })
    }
}

/// One round on average.
fn time<T>(mut round: impl FnMut() -> T) -> Duration {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(round());
    }
    start.elapsed() / ROUNDS
}
