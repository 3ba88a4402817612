//! Row S1, what an untouched value costs: a request that opens a session of 8 KiB, reads one key and
//! closes it unchanged, against decoding all of its values as one JSON document.

use std::{collections::HashMap, error::Error, hint::black_box, process::ExitCode, time::Duration};

use asm_bench::{Goal, Options, Report, Row, Unit, cpu_seconds_for_one, rounds};
use asm_memory::MemoryDriver;
use asm_session::{Client, IdUpdate, Sessions};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

const BYTES: usize = 8 << 10;
/// How long one contender runs at a time.
const TURN: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    asm_bench::main("session", measure)
}

fn measure(options: &Options, report: &mut Report) -> Result<(), Box<dyn Error>> {
    if options.wants("S1") {
        report.add(row(options)?);
    }
    Ok(())
}

fn row(options: &Options) -> Result<Row, Box<dyn Error>> {
    let entries = session_of(BYTES);
    let document = serde_json::to_vec(&entries)?;
    let runtime = Builder::new_current_thread().build()?;
    let stored = Stored::new(&runtime, &entries);
    // Both sides answer the same before they are measured.
    assert_eq!(stored.read(&runtime), read_all(&document));

    let mut turns: [Box<dyn FnMut() -> String>; 2] = [
        Box::new(|| stored.read(&runtime)),
        Box::new(|| read_all(black_box(&document))),
    ];
    let figures = rounds(options.rounds(), &mut turns, |once| {
        1e3 * cpu_seconds_for_one(TURN, || black_box(once()))
    });
    let what = "open a session of 8 KiB, read one key, close, against a JSON decode of all";
    let goal = Goal::RatioAtMost(0.25);
    Ok(Row::new("S1", what, Unit::Milliseconds, &figures[0], goal).against(&figures[1]))
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
