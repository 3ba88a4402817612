//! What can be wrong with lockless fields.

use std::{collections::HashMap, time::Duration};

use asm_core::{
    Create, Error, ErrorKind, FieldChange, FieldFound, FieldName, FieldRead, FieldValue,
    FieldWrite, FieldWritten, Key, LocklessFields, OpId, Redacted, Result, SessionStore, Stamp,
    Touch,
};

use super::{bench::gap, mutants};

const LONG: Duration = Duration::from_secs(1_000_000_000);

mutants! {
    /// A field outlives its session.
    field_outlives_session notes HashMap<(Key, FieldName), FieldValue> {
        kills: [fields::makes_no_session_live_longer, fields::ends_fields_when_their_session_ends],
        wrong: {
            async fn read_field(&self, key: &Key, req: FieldRead) -> Result<FieldFound> {
                let name = req.name.clone();
                let found = self.base.read_field(key, req).await?;
                self.notes.with(|notes| match found {
                    FieldFound::Value(value) => {
                        notes.insert((*key, name), value.clone());
                        Ok(FieldFound::Value(value))
                    }
                    FieldFound::Missing => Ok(notes
                        .get(&(*key, name))
                        .map_or(FieldFound::Missing, |value| FieldFound::Value(value.clone()))),
                    found => Ok(found),
                })
            }
        },
    }

    /// A field revives its session.
    field_revives_session {
        kills: [
            fields::leaves_no_field_at_an_unknown_key,
            fields::revives_nothing_by_a_field,
            fields::leaves_no_field_of_a_racing_delete,
        ],
        wrong: {
            async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
                let written = self.base.write_field(key, req.clone()).await?;
                if written != FieldWritten::Missing {
                    return Ok(written);
                }
                let proof = asm_core::Proof::from_bytes([0; 16]);
                let create = Create {
                    op: req.op,
                    resend: false,
                    stamp: Stamp {
                        epoch: req.epoch,
                        proofs: asm_core::Proofs { current: proof, pending: None },
                    },
                    data: Redacted::default(),
                    ttl: LONG,
                    lock: None,
                };
                self.base.create(key, create).await?;
                self.base.write_field(key, req).await
            }
        },
    }

    /// A write at a key without a session leaves something behind.
    field_leaves_a_key {
        kills: [
            fields::leaves_no_field_at_an_unknown_key,
            fields::revives_nothing_by_a_field,
            fields::leaves_no_field_of_a_racing_delete,
        ],
        wrong: {
            async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
                let written = self.base.write_field(key, req).await?;
                if written == FieldWritten::Missing {
                    self.base.store().litter();
                }
                Ok(written)
            }
        },
    }

    /// A field makes its session live longer.
    field_extends {
        kills: [
            fields::revives_nothing_by_a_field,
            fields::leaves_no_field_to_the_next_session,
            fields::makes_no_session_live_longer,
        ],
        wrong: {
            async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
                let touch = Touch { epoch: req.epoch, ttl: LONG };
                self.base.touch(key, touch).await?;
                self.base.write_field(key, req).await
            }
        },
    }

    /// A field makes a new version of the record.
    field_bumps_the_version {
        kills: [
            fields::changes_fields_beside_the_record,
            fields::ends_fields_when_their_session_ends,
            fields::follows_a_rotation,
        ],
        wrong: {
            async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
                let written = self.base.write_field(key, req).await;
                self.base.store().edit(key, |draft| draft.head.number += 1);
                written
            }
        },
    }

    /// A taken value stays.
    take_twice {
        kills: [fields::removes_a_field, fields::hands_a_value_to_one_of_many_takers],
        wrong: {
            async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
                if !matches!(req.change, FieldChange::Take) {
                    return self.base.write_field(key, req).await;
                }
                let FieldWrite { name, epoch, .. } = req;
                let read = FieldRead { name, epoch, items: None };
                Ok(match self.base.read_field(key, read).await? {
                    FieldFound::Value(value) => FieldWritten::Taken(Some(value)),
                    FieldFound::Missing => FieldWritten::Missing,
                    FieldFound::Ended => FieldWritten::Ended,
                    _ => FieldWritten::Taken(None),
                })
            }
        },
    }

    /// A resent change counts twice.
    resent_change_counts_twice {
        kills: [
            fields::answers_a_resent_change_as_the_first_time,
            fields::counts_each_change_once_when_every_answer_is_lost,
            fields::counts_a_dropped_change_once,
        ],
        wrong: {
            async fn write_field(&self, key: &Key, mut req: FieldWrite) -> Result<FieldWritten> {
                if req.resend.take().is_some() {
                    let op = req.op.as_bytes().map(|byte| !byte);
                    req.op = OpId::from_bytes(op);
                }
                self.base.write_field(key, req).await
            }
        },
    }

    /// A resent change that was forgotten is applied again.
    forgotten_change_applied_again {
        kills: [fields::never_applies_a_forgotten_change_again],
        wrong: {
            async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
                self.base.write_field(key, FieldWrite { resend: None, ..req }).await
            }
        },
    }

    /// Every resend that is not known is in doubt.
    resent_change_always_in_doubt {
        kills: [fields::applies_a_young_resend_after_many_old_changes],
        wrong: {
            async fn write_field(&self, key: &Key, mut req: FieldWrite) -> Result<FieldWritten> {
                req.resend = req.resend.map(|_| Duration::MAX);
                self.base.write_field(key, req).await
            }
        },
    }

    /// A resend of a change that never arrived is dropped.
    resent_change_dropped notes HashMap<OpId, FieldWritten> {
        kills: [
            fields::applies_a_resent_change_whose_first_never_arrived_once,
            fields::applies_a_young_resend_after_many_old_changes,
        ],
        wrong: {
            async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
                let op = req.op;
                if req.resend.is_some() {
                    let known = self.notes.with(|notes| notes.get(&op).cloned());
                    return Ok(known.unwrap_or(FieldWritten::Done));
                }
                let written = self.base.write_field(key, req).await?;
                self.notes.with(|notes| notes.insert(op, written.clone()));
                Ok(written)
            }
        },
    }

    /// A sum that does not fit wraps.
    incr_wraps {
        kills: [fields::refuses_a_sum_that_overflows],
        wrong: {
            async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
                match self.base.write_field(key, req).await? {
                    FieldWritten::Overflow => Ok(FieldWritten::Number(i64::MIN)),
                    written => Ok(written),
                }
            }
        },
    }

    /// A number is read, raised and written in three steps.
    incr_in_steps {
        kills: [
            fields::sums_parallel_increments_exactly,
            fields::keeps_every_parallel_item_once,
            fields::hands_a_value_to_one_of_many_takers,
        ],
        wrong: {
            async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
                let before = self.base.store().look(key).and_then(|draft| draft.fields);
                gap(20);
                self.base.store().edit(key, |draft| {
                    if before.is_some() {
                        draft.fields = before;
                    }
                });
                self.base.write_field(key, req).await
            }
        },
    }

    /// A value of another kind is overwritten.
    kinds_mix {
        kills: [fields::mixes_no_kinds],
        wrong: {
            async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
                match self.base.write_field(key, req).await? {
                    FieldWritten::WrongKind => Ok(FieldWritten::Done),
                    written => Ok(written),
                }
            }
        },
    }

    /// A removed field stays.
    clear_leaves_the_field {
        kills: [
            fields::leaves_no_field_at_an_unknown_key,
            fields::removes_a_field,
            fields::refuses_fields_to_an_ended_epoch,
        ],
        wrong: {
            async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
                match req.change {
                    FieldChange::Clear => Ok(FieldWritten::Done),
                    _ => self.base.write_field(key, req).await,
                }
            }
        },
    }

    /// An appended value replaces the old one.
    append_replaces {
        kills: [
            fields::keeps_values_of_every_kind,
            fields::mixes_no_kinds,
            fields::keeps_every_parallel_item_once,
        ],
        wrong: {
            async fn write_field(&self, key: &Key, mut req: FieldWrite) -> Result<FieldWritten> {
                let FieldChange::Append(bytes) = req.change else {
                    return self.base.write_field(key, req).await;
                };
                let length = bytes.len();
                req.change = FieldChange::Set(bytes);
                match self.base.write_field(key, req).await? {
                    FieldWritten::Done => Ok(FieldWritten::Length(length)),
                    written => Ok(written),
                }
            }
        },
    }

    /// A part of a list is the whole of it.
    reads_whole_lists {
        kills: [fields::reads_a_part_of_a_list],
        wrong: {
            async fn read_field(&self, key: &Key, req: FieldRead) -> Result<FieldFound> {
                self.base.read_field(key, FieldRead { items: None, ..req }).await
            }
        },
    }

    /// A part of a list ends with the item that it should end before.
    list_parts_end_late {
        kills: [fields::reads_a_part_of_a_list],
        wrong: {
            async fn read_field(&self, key: &Key, mut req: FieldRead) -> Result<FieldFound> {
                if let Some(items) = &mut req.items {
                    items.end = items.end.saturating_add(1);
                }
                self.base.read_field(key, req).await
            }
        },
    }

    /// The epoch of a field's request is not looked at.
    field_ignores_the_epoch {
        kills: [fields::refuses_fields_to_an_ended_epoch],
        wrong: {
            async fn read_field(&self, key: &Key, mut req: FieldRead) -> Result<FieldFound> {
                if let Some(draft) = self.base.store().look(key) {
                    req.epoch = asm_core::Epoch::new(draft.head.epoch);
                }
                self.base.read_field(key, req).await
            }

            async fn write_field(&self, key: &Key, mut req: FieldWrite) -> Result<FieldWritten> {
                if let Some(draft) = self.base.store().look(key) {
                    req.epoch = asm_core::Epoch::new(draft.head.epoch);
                }
                self.base.write_field(key, req).await
            }
        },
    }

    /// A rotation drops the fields.
    rotation_drops_fields {
        kills: [fields::follows_a_rotation],
        flaws: {
            step: Some(|before, after, _| {
                if before.head.pending != after.head.pending || before.head.epoch != after.head.epoch {
                    after.fields = None;
                }
            }),
        },
    }

    /// Fields have no limit.
    fields_without_limit {
        kills: [fields::limits_the_fields_of_a_session],
        flaws: { max_record: usize::MAX, },
        wrong: {
            fn info(&self) -> asm_core::DriverInfo {
                let mut info = asm_entry::EntryStore::info(self.base.store());
                info.max_record = super::bench::Flaws::NONE.max_record;
                info
            }
        },
    }

    /// What is replaced still counts against the limit.
    replaced_value_counts {
        kills: [fields::limits_the_fields_of_a_session],
        wrong: {
            async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
                if let FieldChange::Set(bytes) = &req.change {
                    let read = FieldRead {
                        name: req.name.clone(),
                        epoch: req.epoch,
                        items: None,
                    };
                    let limit = super::bench::Flaws::NONE.max_record;
                    if let FieldFound::Value(FieldValue::Bytes(old)) =
                        self.base.read_field(key, read).await?
                        && old.len() + bytes.len() > limit
                    {
                        return Err(Error::new(ErrorKind::TooLarge, "no room for both"));
                    }
                }
                self.base.write_field(key, req).await
            }
        },
    }

    /// A field without a value costs nothing, as it is not kept.
    empty_fields_are_free {
        kills: [
            fields::limits_empty_fields,
            fields::keeps_values_of_every_kind,
            fields::removes_a_field,
        ],
        wrong: {
            async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
                match &req.change {
                    FieldChange::Set(bytes) if bytes.is_empty() => Ok(FieldWritten::Done),
                    _ => self.base.write_field(key, req).await,
                }
            }
        },
    }

    /// Names are cut at NUL.
    names_end_at_nul {
        kills: [fields::keeps_hostile_names_inside],
        wrong: {
            async fn write_field(&self, key: &Key, mut req: FieldWrite) -> Result<FieldWritten> {
                req.name = cut(&req.name);
                self.base.write_field(key, req).await
            }

            async fn read_field(&self, key: &Key, mut req: FieldRead) -> Result<FieldFound> {
                req.name = cut(&req.name);
                self.base.read_field(key, req).await
            }
        },
    }
}

fn cut(name: &FieldName) -> FieldName {
    let text = name
        .as_str()
        .split(['\0', '/', '}', ':'])
        .find(|part| !part.is_empty());
    FieldName::new(text.unwrap_or("x")).expect("a part of a name")
}
