//! Store trouble: deadlines and refusals.

use std::{fmt::Debug, num::NonZeroUsize, time::Duration};

use asm_core::{
    Acquired, Create, Cursor, Delete, Driver, Error, ErrorKind, FieldChange, FieldName, FieldRead,
    FieldWrite, Guard, Key, ListStep, LockToken, OpId, OpenLock, Proof, Proofs, Redacted, Reserve,
    Result, Save, Snapshot, Stamp, Subject, Subscribe, SweepStep, Touch,
};

use crate::{
    Harness,
    canaries::forms,
    expect,
    given::{self, HOLD, TTL},
    waiting::Waiting,
};

/// Time stands still here: whatever waits for a holder, for a queue or for anything else, except an
/// acquire, never answers.
pub async fn answers_although_others_wait(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, session) = given::stored(&*r1).await;
    given::held(&*r1, &key, &session).await;
    let waiting = Waiting::queued(&r1, &key, given::wish(&session)).await;

    for answer in every_answer(&*r2, &key, &Names::random(&session)).await {
        answer.expect("no failure");
    }
    r2.delete(&key, given::log_out()).await.expect("an answer");
    expect::exactly(waiting.answer(h).await, &Acquired::Missing);
}

/// The verb, the driver, and that sending it again is no use.
pub async fn names_verb_and_driver_in_its_failures(h: &dyn Harness) {
    let driver = h.connect().await;
    let failures = every_failure(&*driver).await;
    assert!(failures.len() >= 4);
    for (verb, kind, error) in failures {
        let told = (error.kind(), error.op(), error.driver());
        assert_eq!(told, (kind, verb, driver.info().name));
        assert!(!error.is_retryable(), "{error}");
    }
}

/// In whatever form: as text, in hex, in base64, as a list of numbers. All that a driver was given
/// or answered is looked at, failures and the driver itself included.
pub async fn shows_no_secret(h: &dyn Harness) {
    let driver = h.connect().await;
    let names = Names::canaries();
    let key = names.key;
    let req = Create {
        op: names.op,
        resend: false,
        stamp: names.stamp(),
        data: names.data(),
        ttl: TTL,
        lock: None,
    };
    look_at("the create", &req);
    look_at("its answer", &driver.create(&key, req.clone()).await);
    for answer in every_answer(&*driver, &key, &names).await {
        look_at("an answer", &answer.expect("no failure"));
    }
    look_at(
        "a taken key",
        &driver
            .create(
                &key,
                Create {
                    op: given::op(),
                    ..req
                },
            )
            .await,
    );
    look_at("the driver", &driver);
    look_at("its state", &driver.inspect(&key).await);
    let deleted = driver.delete(&key, given::log_out()).await;
    deleted.expect("an answer");
    for (verb, _, error) in every_failure(&*driver).await {
        look_at(verb, &error);
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            look_at_text(verb, &error.to_string());
            cause = error.source();
        }
    }
    look_at("the driver", &driver);
}

/// Everything that names something, and must not be shown.
struct Names {
    key: Key,
    subject: Subject,
    op: OpId,
    token: LockToken,
    stamp: Stamp,
    field: FieldName,
    data: Redacted,
}

/// What the canaries sing.
const CANARIES: [&[u8]; 8] = [
    b"KeyCanary-k5ey01",
    b"SubjectCanary-of-thirty-2-bytes!",
    b"OpCanar1",
    b"TokenCanary-t0k1",
    b"ProofCanary-pr01",
    b"PendingCanary-p1",
    b"FieldCanary-name",
    b"DataCanary-payload-of-a-session",
];

impl Names {
    fn canaries() -> Self {
        let [key, subject, op, token, current, pending, field, data] = CANARIES;
        let proof = |bytes| Proof::from_bytes(sized(bytes));
        Self {
            key: Key::from_bytes(sized(key)),
            subject: Subject::from_bytes(sized(subject)),
            op: OpId::from_bytes(sized(op)),
            token: LockToken::from_bytes(sized(token)),
            stamp: Stamp {
                epoch: given::epoch(),
                proofs: Proofs {
                    current: proof(current),
                    pending: Some(proof(pending)),
                },
            },
            field: FieldName::new(String::from_utf8_lossy(field)).expect("a name that is allowed"),
            data: Redacted::from(data),
        }
    }

    fn random(session: &Snapshot) -> Self {
        Self {
            key: given::key(),
            subject: given::subject(),
            op: given::op(),
            token: given::token(),
            stamp: session.stamp,
            field: FieldName::new("a").expect("a name that is allowed"),
            data: given::data(),
        }
    }

    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn data(&self) -> Redacted {
        self.data.clone()
    }
}

fn sized<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("as long as its type")
}

/// An answer, whatever its type.
type Shown = Result<Box<dyn Debug + Send>>;

fn shown<T: Debug + Send + 'static>(answer: Result<T>) -> Shown {
    answer.map(|answer| Box::new(answer) as _)
}

/// Every verb and facet but waiting once, on a session that stays; requests are looked at, too.
async fn every_answer(driver: &dyn Driver, key: &Key, names: &Names) -> Vec<Shown> {
    let mut answers = Vec::new();
    let session = given::read(driver, key).await;
    let mut wish = given::attempt(&session);
    wish.claim.token = names.token;
    wish.known = None;
    let open = asm_core::Open {
        lock: Some(OpenLock {
            claim: wish.claim.clone(),
            proof: names.stamp.proofs.current,
        }),
    };
    look_at("the wish", &wish);
    look_at("the open", &open);
    answers.push(shown(driver.open(key, given::open()).await));
    answers.push(shown(driver.open(key, open).await));
    answers.push(shown(driver.acquire(key, wish).await));
    answers.push(shown(driver.inspect(key).await));
    answers.push(shown(driver.renew(key, &names.token, HOLD).await));

    let held = Guard::held(names.token, &session);
    let mut stale = held;
    stale.version.op = names.op;
    stale.version.number = 7;
    for guard in [held, stale, Guard::unchanged(&session)] {
        let req = Save {
            op: OpId::from_bytes(sized(b"OpCanar1")),
            resend: false,
            guard,
            stamp: session.stamp,
            data: names.data(),
            ttl: TTL,
            release: false,
        };
        look_at("the save", &req);
        answers.push(shown(driver.save(key, req).await));
    }
    let refused = Delete {
        only_if: Some(stale),
    };
    look_at("the delete", &refused);
    answers.push(shown(driver.delete(key, refused).await));
    let touch = Touch {
        epoch: session.stamp.epoch,
        ttl: TTL,
    };
    look_at("the touch", &touch);
    answers.push(shown(driver.touch(key, touch).await));
    answers.extend(every_facet(driver, key, names, &session).await);
    answers.push(shown(driver.release(key, &names.token).await));
    answers
}

async fn every_facet(
    driver: &dyn Driver,
    key: &Key,
    names: &Names,
    session: &Snapshot,
) -> Vec<Shown> {
    let mut answers = Vec::new();
    let epoch = session.stamp.epoch;
    if let Some(fields) = driver.fields() {
        let read = FieldRead {
            name: names.field.clone(),
            epoch,
            items: None,
        };
        look_at("the read of a field", &read);
        for change in [
            FieldChange::Push(names.data()),
            FieldChange::Take,
            FieldChange::Set(names.data()),
            FieldChange::Append(names.data()),
        ] {
            let write = FieldWrite {
                name: names.field.clone(),
                epoch,
                op: given::op(),
                resend: Some(Duration::ZERO),
                change,
            };
            look_at("the change of a field", &write);
            answers.push(shown(fields.write_field(key, write).await));
            answers.push(shown(fields.read_field(key, read.clone()).await));
        }
    }
    if let Some(feed) = driver.changes() {
        let buffer = NonZeroUsize::MIN;
        let subscribe = Subscribe { epoch, buffer };
        look_at("the subscription", &subscribe);
        answers.push(shown(
            feed.subscribe(key, subscribe)
                .await
                .map(|answer| format!("{answer:?}")),
        ));
    }
    if let Some(index) = driver.subjects() {
        let req = Reserve {
            key: *key,
            ttl: TTL,
            cap: None,
        };
        look_at("the reservation", &req);
        look_at("the subject", &names.subject);
        answers.push(shown(index.reserve(&names.subject, req).await));
        answers.push(shown(index.list(&names.subject).await));
        answers.push(shown(index.revoke(&names.subject, None).await));
        answers.push(shown(index.forget(&names.subject, vec![*key]).await));
    }
    if let Some(sweeper) = driver.sweeper() {
        let step = SweepStep {
            from: None,
            batch: NonZeroUsize::MIN,
        };
        answers.push(shown(sweeper.sweep(step).await));
    }
    if let Some(inventory) = driver.inventory() {
        let step = ListStep {
            from: None,
            batch: NonZeroUsize::MIN,
        };
        answers.push(shown(inventory.list_sessions(step).await));
        answers.push(shown(inventory.field_names(key).await));
    }
    answers
}

/// Failures that every driver can be brought to: the verb, the kind, and what it answered. The
/// requests are full of canaries.
async fn every_failure(driver: &dyn Driver) -> Vec<(&'static str, ErrorKind, Error)> {
    let names = Names::canaries();
    let key = names.key;
    let mut failures = Vec::new();
    let large = names
        .data
        .repeat(driver.info().max_record / names.data.len() + 1);
    let large = Redacted::from(large);
    let create = |data: Redacted| Create {
        op: names.op,
        stamp: names.stamp(),
        ..given::create(data)
    };
    let answer = driver.create(&key, create(large.clone())).await;
    let kind = ErrorKind::TooLarge;
    failures.push(("create", kind, expect::failure(answer, kind)));

    expect::created(driver.create(&key, create(names.data())).await);
    let first = given::read(driver, &key).await;
    let answer = driver.save(&key, given::save(&first, large.clone())).await;
    failures.push(("save", kind, expect::failure(answer, kind)));
    if let Some(fields) = driver.fields() {
        let write = FieldWrite {
            name: names.field.clone(),
            epoch: first.stamp.epoch,
            op: given::op(),
            resend: None,
            change: FieldChange::Set(large),
        };
        let answer = fields.write_field(&key, write).await;
        failures.push(("write_field", kind, expect::failure(answer, kind)));
    }

    let kind = ErrorKind::Unknown;
    for _ in 0..=OpId::REMEMBERED {
        let last = given::read(driver, &key).await;
        expect::written(driver.save(&key, given::save(&last, names.data())).await);
    }
    let late = Save {
        resend: true,
        ..given::save(&first, names.data())
    };
    let answer = driver.save(&key, late).await;
    failures.push(("save", kind, expect::failure(answer, kind)));
    let late = Create {
        resend: true,
        ..create(names.data())
    };
    let answer = driver.create(&key, late).await;
    failures.push(("create", kind, expect::failure(answer, kind)));

    if let Some(sweeper) = driver.sweeper() {
        let kind = ErrorKind::Invalid;
        let step = SweepStep {
            from: Some(Cursor(names.data.repeat(100).into())),
            batch: NonZeroUsize::MIN,
        };
        let answer = sweeper.sweep(step).await;
        failures.push(("sweep", kind, expect::failure(answer, kind)));
    }
    if let Some(inventory) = driver.inventory() {
        let kind = ErrorKind::Invalid;
        let step = ListStep {
            from: Some(Cursor(names.data.repeat(100).into())),
            batch: NonZeroUsize::MIN,
        };
        let answer = inventory.list_sessions(step).await;
        failures.push(("list_sessions", kind, expect::failure(answer, kind)));
    }
    driver
        .delete(&key, given::log_out())
        .await
        .expect("an answer");
    failures
}

fn look_at(what: &str, value: &impl Debug) {
    look_at_text(what, &format!("{value:?}"));
    look_at_text(what, &format!("{value:#?}"));
}

/// Numbers of a list stand one to a line in the long form.
fn look_at_text(what: &str, text: &str) {
    let dense: String = text.split_whitespace().collect();
    for canary in CANARIES {
        let name = String::from_utf8_lossy(canary);
        for form in forms(canary) {
            assert!(
                !text.contains(&form) && !dense.contains(&form),
                "{what} shows {name}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_found_in_every_form() {
        let [_, _, op, ..] = CANARIES;
        let hex = "the op 4f7043616e617231";
        for text in [
            "OpCanar1",
            hex,
            &hex.to_uppercase(),
            "[79, 112, 67, 97, 110, 97, 114, 49]",
            "T3BDYW5hcjE=",
            "IE9wQ2FuYXIx",
            "ICBPcENhbmFyMQ==",
        ] {
            let found = std::panic::catch_unwind(|| look_at_text("a text", text));
            assert!(found.is_err(), "{text}");
        }
        look_at("a list", &&op[1..]);
        let long = std::panic::catch_unwind(|| look_at("a list", &op));
        assert!(long.is_err());
    }
}
