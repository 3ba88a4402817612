//! What can be wrong with records.

use std::{collections::HashMap, time::Duration};

use asm_core::{
    Create, Created, Delete, Deleted, Error, ErrorKind, Key, LockStore, Open, Opened, Redacted,
    Result, Save, SessionStore, Snapshot, Touch, Touched, Version, Written,
};

use super::{
    bench::{Base, Flaws, gap},
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
        kills: [records::reads_back_every_byte_of_a_create],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                let data = without_zeros(&req.data);
                self.base.create(key, Create { data, ..req }).await
            }
        },
    }

    /// Bytes of a save are kept as text.
    save_keeps_text {
        kills: [records::reads_back_every_byte_of_a_save],
        wrong: {
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                let data = without_zeros(&req.data);
                self.base.save(key, Save { data, ..req }).await
            }
        },
    }

    /// A create drops the pending proof.
    create_drops_the_pending_proof {
        kills: [records::reads_back_the_head_of_a_create],
        wrong: {
            async fn create(&self, key: &Key, mut req: Create) -> Result<Created> {
                req.stamp.proofs.pending = None;
                self.base.create(key, req).await
            }
        },
    }

    /// A save keeps the proofs that were there.
    save_keeps_the_proofs {
        kills: [records::changes_the_proofs_with_the_save],
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
        kills: [records::keeps_the_lock_through_an_authentication],
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
        kills: [
            records::refuses_to_create_on_a_taken_key,
            records::lets_one_of_many_creators_win,
            records::tells_a_taken_key_from_a_doubtful_create,
        ],
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
        kills: [records::leaves_the_lock_of_a_taken_key],
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
        kills: [
            records::creates_afresh_where_a_session_was,
            records::ends_the_lock_with_its_session,
            records::leaves_nothing_of_two_suites_at_once,
            feed::hears_its_own_session_only,
        ],
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
        kills: [
            records::answers_a_resent_create_as_the_first_time,
            records::tells_a_taken_key_from_a_doubtful_create,
            records::grants_a_resent_create_no_second_lock,
        ],
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
        kills: [
            records::answers_a_resent_create_as_the_first_time,
            records::tells_a_taken_key_from_a_doubtful_create,
            records::grants_a_resent_create_no_second_lock,
        ],
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
        kills: [records::grants_a_resent_create_no_second_lock],
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
        kills: [
            records::locks_nothing_that_is_over,
            records::changes_nothing_by_a_read,
            records::ends_a_session_when_the_last_save_says,
            records::ends_a_session_at_its_ttl,
        ],
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
        kills: [
            records::leaves_nothing_at_an_unknown_key,
            records::leaves_nothing_at_an_expired_key,
            records::leaves_all_or_nothing_of_a_dropped_delete,
        ],
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
        kills: [
            records::refuses_a_save_under_a_stale_guard,
            records::checks_a_save_in_order,
            records::changes_the_proofs_with_the_save,
        ],
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
        kills: [
            records::creates_afresh_where_a_session_was,
            records::refuses_a_save_under_a_stale_guard,
            records::keeps_neighbours_apart,
        ],
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

    /// Versions are compared by their op id only.
    version_by_op_id_only {
        kills: [records::refuses_a_save_under_a_stale_guard],
        wrong: {
            async fn save(&self, key: &Key, mut req: Save) -> Result<Written> {
                if let Some(present) = snapshot(&self.base, key).await
                    && present.version.op == req.guard.version.op
                {
                    req.guard.version = present.version;
                }
                self.base.save(key, req).await
            }
        },
    }

    /// A save counts by two.
    save_counts_by_two {
        kills: [
            records::answers_each_save_with_the_next_version,
            records::counts_each_save_once_when_every_answer_is_lost,
            records::leaves_all_or_nothing_of_a_dropped_save,
        ],
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
        kills: [
            records::leaves_the_lock_of_a_refused_save,
            records::leaves_the_lifetime_to_saves_and_touches,
        ],
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
        kills: [records::creates_afresh_where_a_session_was, records::checks_a_save_in_order],
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
        kills: [
            records::lets_one_of_many_savers_win,
            records::counts_each_save_once_when_every_answer_is_lost,
        ],
        wrong: {
            async fn save(&self, key: &Key, mut req: Save) -> Result<Written> {
                if let Some(present) = snapshot(&self.base, key).await
                    && present.version == req.guard.version
                {
                    gap(100);
                    tokio::task::yield_now().await;
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
        kills: [records::lets_one_of_many_creators_win],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                if snapshot(&self.base, key).await.is_some() {
                    return self.base.create(key, req).await;
                }
                gap(100);
                self.base.delete(key, Delete { only_if: None }).await?;
                self.base.create(key, req).await
            }
        },
    }

    /// The epoch of a save is not checked.
    save_ignores_the_epoch {
        kills: [
            records::leaves_the_lock_of_a_refused_save,
            records::checks_a_save_in_order,
            records::refuses_every_request_of_an_ended_epoch,
        ],
        wrong: {
            async fn save(&self, key: &Key, mut req: Save) -> Result<Written> {
                if let Some(present) = snapshot(&self.base, key).await {
                    req.guard.epoch = present.stamp.epoch;
                }
                self.base.save(key, req).await
            }
        },
    }

    /// The epoch of a touch is not checked.
    touch_ignores_the_epoch {
        kills: [records::refuses_every_request_of_an_ended_epoch],
        wrong: {
            async fn touch(&self, key: &Key, mut req: Touch) -> Result<Touched> {
                if let Some(present) = snapshot(&self.base, key).await {
                    req.epoch = present.stamp.epoch;
                }
                self.base.touch(key, req).await
            }
        },
    }

    /// The epoch of a delete is not checked.
    delete_ignores_the_epoch {
        kills: [
            records::refuses_every_request_of_an_ended_epoch,
            records::deletes_under_its_guard_only,
        ],
        wrong: {
            async fn delete(&self, key: &Key, mut req: Delete) -> Result<Deleted> {
                if let Some(guard) = &mut req.only_if
                    && let Some(present) = snapshot(&self.base, key).await
                {
                    guard.epoch = present.stamp.epoch;
                }
                self.base.delete(key, req).await
            }
        },
    }

    /// A resent save counts twice.
    resent_save_counts_twice {
        kills: [
            records::answers_a_resent_save_as_the_first_time,
            records::counts_each_save_once_when_every_answer_is_lost,
            records::leaves_all_or_nothing_of_a_dropped_save,
        ],
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
        kills: [
            records::answers_a_resent_save_as_the_first_time,
            records::answers_a_resent_create_as_the_first_time,
        ],
        flaws: {
            step: Some(|_, after, _| {
                after.head.ops[1..].fill(Default::default());
            }),
        },
    }

    /// It remembers one op id too few.
    forgets_the_oldest_op_id {
        kills: [
            records::answers_a_resent_save_as_the_first_time,
            records::answers_a_resent_create_as_the_first_time,
        ],
        flaws: {
            step: Some(|_, after, _| {
                after.head.ops[asm_core::OpId::REMEMBERED - 1] = Default::default();
            }),
        },
    }

    /// A resend that is not known is never in doubt.
    resend_never_in_doubt {
        kills: [
            records::cannot_resolve_a_resend_after_too_many_saves,
            records::tells_a_refused_resend_from_a_doubtful_one,
            records::tells_a_taken_key_from_a_doubtful_create,
        ],
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
        kills: [
            records::applies_a_resend_whose_first_never_arrived_once,
            records::tells_a_refused_resend_from_a_doubtful_one,
            records::forgets_the_op_id_of_a_refused_save,
            records::takes_no_lock_from_the_next_holder_by_a_resend,
        ],
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
        kills: [records::tells_a_refused_resend_from_a_doubtful_one],
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
        kills: [records::takes_no_lock_from_the_next_holder_by_a_resend],
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
        kills: [
            records::checks_a_save_in_order,
            records::revives_nothing_by_a_save,
            records::tells_the_holder_of_a_deleted_session,
        ],
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
        kills: [
            records::leaves_nothing_at_an_expired_key,
            records::revives_nothing_by_a_touch,
            records::stays_deleted_under_racing_writers,
        ],
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
        kills: [
            records::deletes_over_lock_version_and_queue,
            records::tells_the_holder_of_a_deleted_session,
            records::leaves_all_or_nothing_of_a_dropped_delete,
        ],
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
        kills: [
            records::creates_afresh_where_a_session_was,
            records::leaves_nothing_of_two_suites_at_once,
        ],
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
        kills: [fields::leaves_no_field_to_the_next_session],
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

    /// A delete under a guard leaves lock and queue.
    guarded_delete_leaves_the_lock notes HashMap<Key, Draft> {
        kills: [records::deletes_under_its_guard_only],
        wrong: {
            async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted> {
                let before = req.only_if.and_then(|_| self.base.store().look(key));
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

    /// A delete under a guard leaves the fields.
    guarded_delete_leaves_fields notes HashMap<Key, Draft> {
        kills: [records::deletes_under_its_guard_only],
        wrong: {
            async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted> {
                let before = req.only_if.and_then(|_| self.base.store().look(key));
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
        kills: [
            records::stays_deleted_under_racing_writers,
            records::deletes_twice_without_complaint,
            records::leaves_all_or_nothing_of_a_dropped_delete,
        ],
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
        kills: [
            records::leaves_nothing_at_an_unknown_key,
            records::deletes_twice_without_complaint,
            records::lets_one_of_many_deleters_win,
        ],
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
        kills: [
            records::refuses_every_request_of_an_ended_epoch,
            records::deletes_under_its_guard_only,
        ],
        wrong: {
            async fn delete(&self, key: &Key, _: Delete) -> Result<Deleted> {
                self.base.delete(key, Delete { only_if: None }).await
            }
        },
    }

    /// A dropped delete has deleted half: the bytes are gone, the session is not.
    delete_in_steps {
        kills: [
            records::refuses_every_request_of_an_ended_epoch,
            records::deletes_under_its_guard_only,
            records::leaves_all_or_nothing_of_a_dropped_delete,
        ],
        wrong: {
            async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted> {
                self.base.store().edit(key, |draft| draft.body = Some(Default::default()));
                tokio::task::yield_now().await;
                self.base.delete(key, req).await
            }
        },
    }

    /// A save writes the head only.
    save_keeps_the_bytes {
        kills: [
            records::reads_back_every_byte_of_a_save,
            records::answers_each_save_with_the_next_version,
            records::shows_whole_records_to_readers_beside_a_writer,
        ],
        wrong: {
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                let before = self.base.store().look(key).and_then(|draft| draft.body);
                let written = self.base.save(key, req).await;
                if matches!(written, Ok(Written::Done { .. })) && before.is_some() {
                    self.base.store().edit(key, |draft| draft.body = before);
                }
                written
            }
        },
    }

    /// A save writes the head first and the bytes later.
    save_tears {
        kills: [
            records::answers_a_resent_save_as_the_first_time,
            records::leaves_all_or_nothing_of_a_dropped_save,
        ],
        wrong: {
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                let data = req.data.clone();
                let before = self.base.store().look(key).and_then(|draft| draft.body);
                let written = self.base.save(key, req).await;
                if let (Ok(Written::Done { .. }), Some(old)) = (&written, before) {
                    self.base.store().edit(key, |draft| draft.body = Some(old));
                    gap(100);
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
        kills: [
            records::answers_a_resent_create_as_the_first_time,
            records::refuses_a_record_over_the_limit,
            records::leaves_all_or_nothing_of_a_dropped_create,
        ],
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
        kills: [records::never_lowers_the_lifetime_by_a_touch],
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
        kills: [
            records::changes_neither_data_nor_version_by_a_touch,
            records::touches_beside_a_holder,
            records::ends_a_session_by_the_clock_of_the_store,
        ],
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
        kills: [records::touches_beside_a_holder],
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
        kills: [
            records::never_lowers_the_lifetime_by_a_touch,
            records::lives_as_long_as_the_last_touch_says,
            sweep::spares_what_is_touched_at_the_last_moment,
        ],
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
        kills: [
            records::refuses_to_create_on_a_taken_key,
            records::never_lowers_the_lifetime_by_a_touch,
            records::changes_nothing_by_a_read,
        ],
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
        kills: [
            records::sets_the_lifetime_by_a_save,
            records::ends_a_session_when_the_last_save_says,
            records::ends_a_session_without_lifetime_at_once,
        ],
        flaws: {
            step: Some(|before, after, _| {
                after.head.expires = after.head.expires.max(before.head.expires);
            }),
        },
    }

    /// A refused save sets the lifetime.
    refused_save_sets_the_lifetime {
        kills: [
            records::creates_afresh_where_a_session_was,
            records::refuses_a_save_under_a_stale_guard,
            records::leaves_the_lifetime_to_saves_and_touches,
        ],
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
        kills: [
            records::leaves_the_lock_of_a_refused_save,
            records::leaves_the_lifetime_to_saves_and_touches,
            records::refuses_a_record_over_the_limit,
        ],
        flaws: { max_record: usize::MAX, },
        wrong: {
            fn info(&self) -> asm_core::DriverInfo {
                let mut info = asm_entry::EntryStore::info(self.base.store());
                info.max_record = Flaws::NONE.max_record;
                info
            }
        },
    }

    /// The limit is one byte too high.
    limit_off_by_one {
        kills: [
            records::leaves_the_lock_of_a_refused_save,
            records::leaves_the_lifetime_to_saves_and_touches,
            records::refuses_a_record_over_the_limit,
        ],
        flaws: { max_record: Flaws::NONE.max_record + 1, },
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
        kills: [records::keeps_neighbours_apart, records::leaves_nothing_of_two_suites_at_once],
        flaws: { one_namespace: true, },
    }

    /// An expired record still opens.
    expired_opens {
        kills: [
            records::reads_back_the_head_of_a_create,
            records::leaves_nothing_at_an_expired_key,
            records::ends_the_lock_with_its_session,
        ],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                let ttl = req.ttl.saturating_add(LONG);
                self.base.create(key, Create { ttl, ..req }).await
            }
        },
    }

    /// A lifetime of zero means forever.
    zero_means_forever {
        kills: [records::ends_a_session_without_lifetime_at_once],
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
        kills: [records::bears_the_longest_lifetime],
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
        kills: [records::ends_a_session_by_the_clock_of_the_store],
        flaws: { asks_the_client: true, },
    }
}
