//! What one chain of codecs writes, each other one reads.

use asm_it::{Chain, all_chains};
use asm_session::{InvalidReason, Session, SessionError, SessionId, Sessions};

use crate::{
    given::{built, client, issued, open},
    places,
};

/// Compresses well, and is longer than any threshold.
fn cart() -> Vec<String> {
    (0..200).map(|at| format!("article number {at}")).collect()
}

async fn filled(sessions: &Sessions) -> SessionId {
    let mut session = sessions.create(&client()).expect("randomness");
    session.insert("cart", &cart()).expect("a change");
    session.insert("empty", "").expect("a change");
    session.close().await.expect("a save");
    let mut fields = session.fields().expect("fields");
    fields.set("set", &cart()).await.expect("a change");
    for item in ["one", "two"] {
        fields.append("log", item).await.expect("a change");
        fields.push("list", item).await.expect("a change");
    }
    issued(&session)
}

async fn check(session: &mut Session, what: &str) {
    assert_eq!(session.get("cart").expect("a cart"), Some(cart()), "{what}");
    let empty = session.get::<String>("empty").expect("a text");
    assert_eq!(empty.as_deref(), Some(""), "{what}");
    let mut fields = session.fields().expect("fields");
    let mut get = async |name| fields.get(name).await.expect("an answer").expect("a field");
    let set = get("set").await.value::<Vec<String>>().expect("a cart");
    assert_eq!(set, cart(), "{what}");
    let log = get("log").await.bytes().expect("bytes");
    assert_eq!(log, "onetwo", "{what}");
    let list = get("list").await.list::<String>().expect("a list");
    assert_eq!(list, ["one", "two"], "{what}");
}

#[tokio::test]
async fn each_reader_reads_each_writer_over_each_driver() {
    let mut pairs = 0;
    for place in places::all().await {
        for writer in all_chains() {
            let writes = built(writer.set_up(Sessions::builder(place.driver())));
            for reader in all_chains() {
                let what = format!("{}: {writer} read by {reader}", place.name);
                let reads = built(reader.migrating(Sessions::builder(place.driver())));
                let id = filled(&writes).await;
                let mut session = open(&reads, &id).await.expect(&what);
                check(&mut session, &what).await;
                // Written anew by the reader, and read back by both.
                session.insert("more", &1).expect("a change");
                session.close().await.expect("a save");
                let back = sessions_read(writer, reader).then_some(&writes);
                for sessions in [&reads].into_iter().chain(back) {
                    let mut session = open(sessions, &id).await.expect(&what);
                    check(&mut session, &what).await;
                    assert_eq!(session.get("more").expect("a number"), Some(1));
                }
                pairs += 1;
            }
        }
    }
    println!("{pairs} pairs of writer and reader");
    let chains = all_chains().len();
    assert!(pairs >= 2 * chains * chains, "{pairs}");
}

/// Where sealing is required, nothing else is a session.
#[tokio::test]
async fn what_is_not_sealed_is_tampered_where_it_should_be() {
    let mut refused = 0;
    for place in places::all().await {
        for writer in all_chains() {
            for reader in all_chains() {
                let writes = built(writer.set_up(Sessions::builder(place.driver())));
                let reads = built(reader.set_up(Sessions::builder(place.driver())));
                let id = filled(&writes).await;
                match open(&reads, &id).await {
                    Ok(mut session) if sessions_read(reader, writer) => {
                        check(&mut session, place.name).await;
                    }
                    Err(SessionError::Invalid(InvalidReason::Tampered))
                        if !sessions_read(reader, writer) =>
                    {
                        refused += 1;
                    }
                    other => panic!("{}: {writer}, {reader}: {other:?}", place.name),
                }
            }
        }
    }
    println!("{refused} records that were not sealed were refused");
    assert!(refused > 0);
}

/// Whether this reader, without a migration, takes what that writer makes.
fn sessions_read(reader: Chain, writer: Chain) -> bool {
    reader.seal.is_none() || writer.seal.is_some()
}
