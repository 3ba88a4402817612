//! What can be wrong with records.

use std::{collections::HashMap, time::Duration};

use asm_core::{
    Create, Created, Delete, Deleted, Error, ErrorKind, Key, LockStore, Open, Opened, Redacted,
    Result, Save, SessionStore, Snapshot, Touch, Touched, Version, Written,
};

use super::{
    bench::{Base, Flaws},
    draft::Draft,
    mutants,
};

const LONG: Duration = Duration::from_secs(1_000_000_000);

async fn snapshot(base: &Base, key: &Key) -> Option<Snapshot> {
    match base.open(key, Open { lock: None }).await {
        Ok(Opened::Found { snapshot, .. }) => Some(snapshot),
        _ => None,
    }
}

fn without_zeros(data: &Redacted) -> Redacted {
    let bytes = data.iter().copied().take_while(|byte| *byte != 0);
    bytes.collect::<Vec<u8>>().into()
}

mutants! {
    /// Bytes of a create are kept as text.
    create_keeps_text {
        kills: [],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                let data = without_zeros(&req.data);
                self.base.create(key, Create { data, ..req }).await
            }
        },
    }

    /// Bytes of a save are kept as text.
    save_keeps_text {
        kills: [],
        wrong: {
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                let data = without_zeros(&req.data);
                self.base.save(key, Save { data, ..req }).await
            }
        },
    }

    /// A create drops the pending proof.
    create_drops_the_pending_proof {
        kills: [],
        wrong: {
            async fn create(&self, key: &Key, mut req: Create) -> Result<Created> {
                req.stamp.proofs.pending = None;
                self.base.create(key, req).await
            }
        },
    }

    /// A save keeps the proofs that were there.
    save_keeps_the_proofs {
        kills: [],
        wrong: {
            async fn save(&self, key: &Key, mut req: Save) -> Result<Written> {
                if let Some(present) = snapshot(&self.base, key).await {
                    req.stamp.proofs = present.stamp.proofs;
                }
                self.base.save(key, req).await
            }
        },
    }

    /// A save ends the lock when it begins another epoch.
    authentication_ends_the_lock {
        kills: [],
        flaws: {
            step: Some(|before, after, _| {
                if before.head.epoch != after.head.epoch {
                    after.lock.grant = None;
                }
            }),
        },
    }

    /// A create overwrites.
    create_overwrites {
        kills: [],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                match self.base.create(key, req.clone()).await {
                    Ok(Created::Taken) => {
                        self.base.delete(key, Delete { only_if: None }).await?;
                        self.base.create(key, req).await
                    }
                    answer => answer,
                }
            }
        },
    }

    /// A refused create still breaks the lock.
    create_breaks_the_lock {
        kills: [],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                let created = self.base.create(key, req).await;
                if matches!(created, Ok(Created::Taken)) {
                    self.base.break_lock(key, None).await?;
                }
                created
            }
        },
    }

    /// A key is used up by its first session.
    create_never_twice notes HashMap<Key, ()> {
        kills: [],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                let used = self.notes.with(|notes| notes.insert(*key, ()).is_some());
                let there = snapshot(&self.base, key).await.is_some();
                if used && !there {
                    return Ok(Created::Taken);
                }
                self.base.create(key, req).await
            }
        },
    }

    /// A resent create is refused.
    create_forgets_its_op_id {
        kills: [],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                if req.resend && snapshot(&self.base, key).await.is_some() {
                    return Ok(Created::Taken);
                }
                self.base.create(key, req).await
            }
        },
    }

    /// A resent create that finds a record takes it for its own.
    resent_create_takes_all_for_its_own {
        kills: [],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                let present = snapshot(&self.base, key).await.filter(|_| req.resend);
                match present {
                    Some(Snapshot { version, now, .. }) => Ok(Created::Done {
                        version,
                        fence: None,
                        now,
                    }),
                    None => self.base.create(key, req).await,
                }
            }
        },
    }

    /// A resent create takes the lock again.
    resent_create_locks_again {
        kills: [],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                let created = self.base.create(key, req.clone()).await;
                if let (Ok(Created::Done { .. }), true, Some(claim)) =
                    (&created, req.resend, &req.lock)
                {
                    self.base.store().edit(key, |draft| {
                        draft.lock.grant = Some(super::draft::Grant {
                            token: *claim.token.as_bytes(),
                            label: String::new(),
                            until: u64::MAX,
                            confirmed: true,
                        });
                    });
                }
                created
            }
        },
    }

    /// A missing record opens as an empty one.
    missing_opens_as_empty {
        kills: [],
        wrong: {
            async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
                let opened = self.base.open(key, req).await;
                if matches!(opened, Ok(Opened::Missing)) {
                    return Err(Error::new(ErrorKind::Corrupt, "there is nothing"));
                }
                opened
            }
        },
    }

    /// An open leaves something behind at a key without a session.
    open_leaves_a_key {
        kills: [],
        wrong: {
            async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
                let opened = self.base.open(key, req).await;
                if matches!(opened, Ok(Opened::Missing)) {
                    self.base.store().litter();
                }
                opened
            }
        },
    }

    /// The version is not checked.
    version_not_checked {
        kills: [],
        wrong: {
            async fn save(&self, key: &Key, mut req: Save) -> Result<Written> {
                if let Ok(Written::Conflict(present)) = self.base.save(key, req.clone()).await {
                    req.guard.version = present.version;
                }
                self.base.save(key, req).await
            }
        },
    }

    /// Versions are compared by their number only.
    version_by_number_only {
        kills: [],
        wrong: {
            async fn save(&self, key: &Key, mut req: Save) -> Result<Written> {
                if let Some(present) = snapshot(&self.base, key).await
                    && present.version.number == req.guard.version.number
                {
                    req.guard.version = present.version;
                }
                self.base.save(key, req).await
            }
        },
    }

    /// A save counts by two.
    save_counts_by_two {
        kills: [],
        flaws: {
            step: Some(|before, after, _| {
                if after.head.number > before.head.number {
                    after.head.number += 1;
                }
            }),
        },
    }

    /// A refused save ends its lock.
    refused_save_releases {
        kills: [],
        wrong: {
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                let token = req.guard.held;
                let written = self.base.save(key, req).await;
                if let (Ok(Written::Conflict(_)), Some(token)) = (&written, token) {
                    self.base.release(key, &token).await?;
                }
                written
            }
        },
    }

    /// The version is checked before the lock.
    version_before_the_lock {
        kills: [],
        wrong: {
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                let version = req.guard.version;
                match self.base.save(key, req).await {
                    Ok(refused @ (Written::Locked | Written::LockLost)) => {
                        match snapshot(&self.base, key).await {
                            Some(present) if present.version != version => {
                                Ok(Written::Conflict(present))
                            }
                            _ => Ok(refused),
                        }
                    }
                    answer => answer,
                }
            }
        },
    }

    /// A save reads, compares and writes in three steps.
    save_in_steps {
        kills: [],
        wrong: {
            async fn save(&self, key: &Key, mut req: Save) -> Result<Written> {
                if let Some(present) = snapshot(&self.base, key).await
                    && present.version == req.guard.version
                {
                    std::thread::yield_now();
                    tokio::task::yield_now().await;
                    std::thread::yield_now();
                    if let Some(present) = snapshot(&self.base, key).await {
                        req.guard.version = present.version;
                    }
                }
                self.base.save(key, req).await
            }
        },
    }

    /// A create looks and writes in two steps.
    create_in_steps {
        kills: [],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                if snapshot(&self.base, key).await.is_some() {
                    return self.base.create(key, req).await;
                }
                (0..100).for_each(|_| std::thread::yield_now());
                self.base.delete(key, Delete { only_if: None }).await?;
                self.base.create(key, req).await
            }
        },
    }

    /// The epoch is not checked.
    epoch_not_checked {
        kills: [],
        wrong: {
            async fn save(&self, key: &Key, mut req: Save) -> Result<Written> {
                if let Some(present) = snapshot(&self.base, key).await {
                    req.guard.epoch = present.stamp.epoch;
                }
                self.base.save(key, req).await
            }

            async fn touch(&self, key: &Key, mut req: Touch) -> Result<Touched> {
                if let Some(present) = snapshot(&self.base, key).await {
                    req.epoch = present.stamp.epoch;
                }
                self.base.touch(key, req).await
            }
        },
    }

    /// A resent save counts twice.
    resent_save_counts_twice {
        kills: [],
        wrong: {
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                let written = self.base.save(key, req.clone()).await;
                if let (Ok(Written::Done { .. }), true) = (&written, req.resend) {
                    self.base.store().edit(key, |draft| draft.head.number += 1);
                }
                written
            }
        },
    }

    /// It remembers only the last op id.
    remembers_only_the_last_op_id {
        kills: [],
        flaws: {
            step: Some(|_, after, _| {
                after.head.ops[1..].fill(Default::default());
            }),
        },
    }

    /// A resend that is not known is never in doubt.
    resend_never_in_doubt {
        kills: [],
        wrong: {
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                self.base.save(key, Save { resend: false, ..req }).await
            }

            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                self.base.create(key, Create { resend: false, ..req }).await
            }
        },
    }

    /// A resend that is not known is always in doubt.
    resend_always_in_doubt {
        kills: [],
        wrong: {
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                let resend = req.resend;
                match self.base.save(key, req).await {
                    Ok(Written::Done { version, now })
                        if resend
                            && snapshot(&self.base, key)
                                .await
                                .is_some_and(|present| present.version != version) =>
                    {
                        Ok(Written::Done { version, now })
                    }
                    Ok(_) if resend => {
                        Err(Error::new(ErrorKind::Unknown, "it was sent before").during("save"))
                    }
                    answer => answer,
                }
            }
        },
    }

    /// The op id of a refused save is remembered as if it were saved.
    remembers_refused_op_ids notes HashMap<asm_core::OpId, Version> {
        kills: [],
        wrong: {
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                let op = req.op;
                if let Some(version) = self.notes.with(|notes| notes.get(&op).copied())
                    && let Some(Snapshot { now, .. }) = snapshot(&self.base, key).await
                {
                    return Ok(Written::Done { version, now });
                }
                let written = self.base.save(key, req).await;
                if let Ok(Written::Conflict(present)) = &written {
                    self.notes.with(|notes| notes.insert(op, present.version));
                }
                written
            }
        },
    }

    /// A resent save with release releases whoever holds by then.
    resend_releases_the_next {
        kills: [],
        wrong: {
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                let (resend, release) = (req.resend, req.release);
                let written = self.base.save(key, req).await;
                if let (Ok(Written::Done { .. }), true, true) = (&written, resend, release) {
                    self.base.break_lock(key, None).await?;
                }
                written
            }
        },
    }

    /// A save revives a deleted record.
    save_revives {
        kills: [],
        wrong: {
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                match self.base.save(key, req.clone()).await {
                    Ok(Written::Missing) => {
                        let create = Create {
                            op: req.op,
                            resend: false,
                            stamp: req.stamp,
                            data: req.data,
                            ttl: req.ttl,
                            lock: None,
                        };
                        match self.base.create(key, create).await? {
                            Created::Done { version, now, .. } => Ok(Written::Done { version, now }),
                            _ => Ok(Written::Missing),
                        }
                    }
                    answer => answer,
                }
            }
        },
    }

    /// A touch revives what has expired.
    touch_revives notes HashMap<Key, Draft> {
        kills: [],
        wrong: {
            async fn touch(&self, key: &Key, req: Touch) -> Result<Touched> {
                let store = self.base.store();
                match (self.base.touch(key, req.clone()).await, store.look(key)) {
                    (Ok(Touched::Missing), None) => {
                        let Some(mut draft) = self.notes.with(|notes| notes.get(key).cloned()) else {
                            return Ok(Touched::Missing);
                        };
                        draft.head.expires = (store.now() + req.ttl).as_micros();
                        store.put(key, draft);
                        self.base.touch(key, req).await
                    }
                    (answer, present) => {
                        self.notes.with(|notes| notes.extend(present.map(|draft| (*key, draft))));
                        answer
                    }
                }
            }

            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                let created = self.base.create(key, req).await;
                let present = self.base.store().look(key);
                self.notes.with(|notes| notes.extend(present.map(|draft| (*key, draft))));
                created
            }
        },
    }

    /// A delete is refused while somebody else holds the lock.
    delete_waits_for_the_lock {
        kills: [],
        wrong: {
            async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted> {
                match self.base.inspect(key).await?.holder {
                    Some(_) if req.only_if.is_none() => Ok(Deleted::Locked),
                    _ => self.base.delete(key, req).await,
                }
            }
        },
    }

    /// A delete leaves the lock.
    delete_leaves_the_lock notes HashMap<Key, Draft> {
        kills: [],
        wrong: {
            async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted> {
                let before = self.base.store().look(key);
                let deleted = self.base.delete(key, req).await;
                if matches!(deleted, Ok(Deleted::Done)) {
                    self.notes.with(|notes| notes.extend(before.map(|draft| (*key, draft))));
                }
                deleted
            }

            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                let created = self.base.create(key, req).await;
                if let Some(before) = self.notes.with(|notes| notes.remove(key)) {
                    self.base.store().edit(key, |draft| draft.lock = before.lock);
                }
                created
            }
        },
    }

    /// A delete leaves the fields.
    delete_leaves_fields notes HashMap<Key, Draft> {
        kills: [],
        wrong: {
            async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted> {
                let before = self.base.store().look(key);
                let deleted = self.base.delete(key, req).await;
                if matches!(deleted, Ok(Deleted::Done)) {
                    self.notes.with(|notes| notes.extend(before.map(|draft| (*key, draft))));
                }
                deleted
            }

            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                let created = self.base.create(key, req).await;
                if let Some(before) = self.notes.with(|notes| notes.remove(key)) {
                    self.base.store().edit(key, |draft| draft.fields = before.fields);
                }
                created
            }
        },
    }

    /// A delete leaves something behind.
    delete_leaves_a_tombstone {
        kills: [],
        wrong: {
            async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted> {
                let deleted = self.base.delete(key, req).await;
                if matches!(deleted, Ok(Deleted::Done)) {
                    self.base.store().litter();
                }
                deleted
            }
        },
    }

    /// A second delete claims to have deleted.
    delete_is_always_done {
        kills: [],
        wrong: {
            async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted> {
                match self.base.delete(key, req).await {
                    Ok(Deleted::Nothing) => Ok(Deleted::Done),
                    answer => answer,
                }
            }
        },
    }

    /// A delete's guard is not looked at.
    delete_ignores_its_guard {
        kills: [],
        wrong: {
            async fn delete(&self, key: &Key, _: Delete) -> Result<Deleted> {
                self.base.delete(key, Delete { only_if: None }).await
            }
        },
    }

    /// A dropped delete has deleted half: the bytes are gone, the session is not.
    delete_in_steps {
        kills: [],
        wrong: {
            async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted> {
                self.base.store().edit(key, |draft| draft.body = Some(Default::default()));
                tokio::task::yield_now().await;
                self.base.delete(key, req).await
            }
        },
    }

    /// A save writes the head first and the bytes later.
    save_tears {
        kills: [],
        wrong: {
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                let data = req.data.clone();
                let before = self.base.store().look(key).and_then(|draft| draft.body);
                let written = self.base.save(key, req).await;
                if let (Ok(Written::Done { .. }), Some(old)) = (&written, before) {
                    self.base.store().edit(key, |draft| draft.body = Some(old));
                    std::thread::yield_now();
                    tokio::task::yield_now().await;
                    let bytes = data.into_bytes();
                    self.base.store().edit(key, |draft| draft.body = Some(bytes));
                }
                written
            }
        },
    }

    /// A create stores an empty record first and the bytes later.
    create_tears {
        kills: [],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                let data = req.data.clone().into_bytes();
                let empty = Create { data: Redacted::default(), ..req };
                let created = self.base.create(key, empty).await;
                if matches!(created, Ok(Created::Done { .. })) {
                    tokio::task::yield_now().await;
                    self.base.store().edit(key, |draft| draft.body = Some(data));
                }
                created
            }
        },
    }

    /// A touch lowers the lifetime.
    touch_lowers {
        kills: [],
        wrong: {
            async fn touch(&self, key: &Key, req: Touch) -> Result<Touched> {
                let (now, ttl) = (self.base.store().now(), req.ttl);
                let touched = self.base.touch(key, req).await;
                if matches!(touched, Ok(Touched::Done { .. })) {
                    let expires = (now + ttl).as_micros();
                    self.base.store().edit(key, |draft| draft.head.expires = expires);
                }
                touched
            }
        },
    }

    /// A touch makes a new version.
    touch_bumps_the_version {
        kills: [],
        wrong: {
            async fn touch(&self, key: &Key, req: Touch) -> Result<Touched> {
                let touched = self.base.touch(key, req).await;
                if matches!(touched, Ok(Touched::Done { .. })) {
                    self.base.store().edit(key, |draft| draft.head.number += 1);
                }
                touched
            }
        },
    }

    /// A touch is refused while somebody holds the lock.
    touch_waits_for_the_lock {
        kills: [],
        wrong: {
            async fn touch(&self, key: &Key, req: Touch) -> Result<Touched> {
                match self.base.inspect(key).await?.holder {
                    Some(_) => Ok(Touched::Missing),
                    None => self.base.touch(key, req).await,
                }
            }
        },
    }

    /// A touch says that it extended, and does not.
    touch_only_says_so {
        kills: [],
        wrong: {
            async fn touch(&self, key: &Key, req: Touch) -> Result<Touched> {
                let before = self.base.store().look(key);
                let touched = self.base.touch(key, req).await;
                if let Some(before) = before {
                    self.base.store().edit(key, |draft| draft.head.expires = before.head.expires);
                }
                touched
            }
        },
    }

    /// A read extends the lifetime.
    read_extends {
        kills: [],
        wrong: {
            async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
                let opened = self.base.open(key, req).await;
                if let Ok(Opened::Found { snapshot, .. }) = &opened {
                    let touch = Touch {
                        epoch: snapshot.stamp.epoch,
                        ttl: LONG,
                    };
                    self.base.touch(key, touch).await?;
                }
                opened
            }
        },
    }

    /// A save never shortens the lifetime.
    save_only_extends {
        kills: [],
        flaws: {
            step: Some(|before, after, _| {
                after.head.expires = after.head.expires.max(before.head.expires);
            }),
        },
    }

    /// A refused save sets the lifetime.
    refused_save_sets_the_lifetime {
        kills: [],
        wrong: {
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                let expires = (self.base.store().now() + req.ttl).as_micros();
                let written = self.base.save(key, req).await;
                if matches!(written, Ok(Written::Conflict(_) | Written::Locked | Written::LockLost)) {
                    self.base.store().edit(key, |draft| draft.head.expires = expires);
                }
                written
            }
        },
    }

    /// The limit is not checked.
    limit_not_checked {
        kills: [],
        flaws: { max_record: usize::MAX, },
        wrong: {
            fn info(&self) -> asm_core::DriverInfo {
                let mut info = asm_entry::EntryStore::info(self.base.store());
                info.max_record = Flaws::NONE.max_record;
                info
            }
        },
    }

    /// Namespaces are one.
    one_namespace {
        kills: [],
        flaws: { one_namespace: true, },
    }

    /// An expired record still opens.
    expired_opens {
        kills: [],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                self.base.create(key, Create { ttl: req.ttl + LONG, ..req }).await
            }
        },
    }

    /// A lifetime of zero means forever.
    zero_means_forever {
        kills: [],
        wrong: {
            async fn create(&self, key: &Key, mut req: Create) -> Result<Created> {
                if req.ttl.is_zero() {
                    req.ttl = LONG;
                }
                self.base.create(key, req).await
            }
        },
    }

    /// The longest lifetime overflows.
    longest_lifetime_overflows {
        kills: [],
        wrong: {
            async fn create(&self, key: &Key, mut req: Create) -> Result<Created> {
                if req.ttl == Duration::MAX {
                    req.ttl = Duration::from_secs(1);
                }
                self.base.create(key, req).await
            }
        },
    }

    /// The time is the client's.
    asks_the_client {
        kills: [],
        flaws: { asks_the_client: true, },
    }
}
