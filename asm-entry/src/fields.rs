//! Lockless fields: values beside the record, each changed atomically by itself.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    ops::Range,
};

use asm_core::{
    Error, ErrorKind, FieldChange, FieldFound, FieldName, FieldRead, FieldValue, FieldWrite,
    FieldWritten, OpId, Redacted, Result, Timestamp,
};
use bytes::BytesMut;
use serde::{Deserialize, Serialize};

use crate::{Entry, Outcome, Parts, Turn, record::unresolved};

/// How many changes of fields a session remembers, with their answers.
const REMEMBERED: usize = 16;

/// What the bookkeeping of one field or list item counts for, so that empty ones are not free.
const OVERHEAD: usize = 16;

/// The fields of one session, as far as it has any.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    values: BTreeMap<FieldName, FieldValue>,
    /// The last changes, the newest last.
    recent: VecDeque<Recent>,
    /// When the newest of the forgotten changes happened.
    forgotten: Option<Timestamp>,
    weight: usize,
}

#[derive(Debug)]
struct Recent {
    op: OpId,
    at: Timestamp,
    answer: FieldWritten,
}

impl Entry {
    /// Reads one field.
    ///
    /// # Errors
    /// None but the need for a part.
    pub fn read_field(&mut self, turn: &mut Turn, req: &FieldRead) -> Outcome<FieldFound> {
        self.needs(Parts::FIELDS)?;
        if self.settle(turn).is_none() {
            return Ok(FieldFound::Missing);
        }
        if self.epoch() != req.epoch {
            return Ok(FieldFound::Ended);
        }
        let value = self
            .fields()
            .and_then(|fields| fields.values.get(&req.name));
        Ok(value.map_or(FieldFound::Absent, |value| {
            FieldFound::Value(part_of(value, req.items.clone()))
        }))
    }

    /// The names of all fields; none of a vacant entry.
    ///
    /// # Errors
    /// None but the need for a part.
    pub fn field_names(&mut self, turn: &mut Turn) -> Outcome<Vec<FieldName>> {
        self.needs(Parts::FIELDS)?;
        if self.settle(turn).is_none() {
            return Ok(Vec::new());
        }
        let names = |fields: &Fields| fields.values.keys().cloned().collect();
        Ok(self.fields().map(names).unwrap_or_default())
    }

    /// Changes one field. All fields of a session together weigh at most `limit` bytes.
    ///
    /// # Errors
    /// `TooLarge`, `Full`; `Unknown` for a resend that cannot be resolved any more.
    pub fn write_field(
        &mut self,
        turn: &mut Turn,
        req: &FieldWrite,
        limit: usize,
    ) -> Outcome<FieldWritten> {
        self.needs(Parts::FIELDS)?;
        if self.settle(turn).is_none() {
            return Ok(FieldWritten::Missing);
        }
        if let Some(answer) = self.fields().and_then(|fields| fields.answer_to(req.op)) {
            return Ok(answer.clone());
        }
        if self
            .fields()
            .is_some_and(|fields| fields.may_have_forgotten(turn.now(), req))
        {
            return Err(unresolved().into());
        }
        if self.epoch() != req.epoch {
            return Ok(FieldWritten::Ended);
        }
        let (before, after) = self.fields().map_or_else(
            || Fields::default().weights(req),
            |fields| fields.weights(req),
        );
        if after > limit && after > before {
            return Err(over(limit).into());
        }
        turn.make_room(before, after)?;
        Ok(self.fields_mut().write(turn.now(), req))
    }
}

impl Fields {
    /// Bytes of names and values, the remembered answers included.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    fn answer_to(&self, op: OpId) -> Option<&FieldWritten> {
        let known = self.recent.iter().find(|recent| recent.op == op);
        known.map(|recent| &recent.answer)
    }

    /// A resend whose first sending is older than the newest change that was forgotten may be that
    /// change.
    fn may_have_forgotten(&self, now: Timestamp, req: &FieldWrite) -> bool {
        match (req.resend, self.forgotten) {
            (Some(age), Some(forgotten)) => now.since(forgotten) <= age,
            _ => false,
        }
    }

    /// The weight before this change, and after it at most.
    fn weights(&self, req: &FieldWrite) -> (usize, usize) {
        let present = self.values.get(&req.name);
        let place = req.name.as_str().len() + OVERHEAD;
        let room = if present.is_some() { 0 } else { place };
        let (more, less) = match &req.change {
            FieldChange::Set(bytes) => (room + bytes.len(), present.map_or(0, content)),
            FieldChange::Append(bytes) => (room + bytes.len(), 0),
            FieldChange::Push(item) => (room + OVERHEAD + item.len(), 0),
            FieldChange::Incr(_) => (room, 0),
            // What is taken stays as the remembered answer for a while.
            FieldChange::Take | FieldChange::Clear => (0, 0),
        };
        (self.weight, self.weight + more - less)
    }

    fn write(&mut self, now: Timestamp, req: &FieldWrite) -> FieldWritten {
        let answer = self.apply(&req.name, &req.change);
        self.remember(Recent {
            op: req.op,
            at: now,
            answer: answer.clone(),
        });
        answer
    }

    fn apply(&mut self, name: &FieldName, change: &FieldChange) -> FieldWritten {
        match change {
            FieldChange::Set(bytes) => {
                self.put(name, FieldValue::Bytes(bytes.clone()));
                FieldWritten::Done
            }
            FieldChange::Incr(by) => self.incr(name, *by),
            FieldChange::Append(bytes) => self.append(name, bytes),
            FieldChange::Push(item) => self.push(name, item),
            FieldChange::Take => FieldWritten::Taken(self.remove(name)),
            FieldChange::Clear => {
                self.remove(name);
                FieldWritten::Done
            }
        }
    }

    fn incr(&mut self, name: &FieldName, by: i64) -> FieldWritten {
        let present = match self.values.get(name) {
            None => 0,
            Some(FieldValue::Number(number)) => *number,
            Some(_) => return FieldWritten::WrongKind,
        };
        match present.checked_add(by) {
            None => FieldWritten::Overflow,
            Some(sum) => {
                self.put(name, FieldValue::Number(sum));
                FieldWritten::Number(sum)
            }
        }
    }

    fn append(&mut self, name: &FieldName, more: &Redacted) -> FieldWritten {
        match self.values.get_mut(name) {
            None => {
                self.put(name, FieldValue::Bytes(more.clone()));
                FieldWritten::Length(more.len())
            }
            Some(FieldValue::Bytes(bytes)) => {
                // In place, unless a reader still shares them.
                let mut all = BytesMut::from(mem::take(bytes).into_bytes());
                all.extend_from_slice(more);
                *bytes = all.freeze().into();
                self.weight += more.len();
                FieldWritten::Length(bytes.len())
            }
            Some(_) => FieldWritten::WrongKind,
        }
    }

    fn push(&mut self, name: &FieldName, item: &Redacted) -> FieldWritten {
        match self.values.get_mut(name) {
            None => {
                self.put(name, FieldValue::List(vec![item.clone()]));
                FieldWritten::Length(1)
            }
            Some(FieldValue::List(items)) => {
                items.push(item.clone());
                self.weight += OVERHEAD + item.len();
                FieldWritten::Length(items.len())
            }
            Some(_) => FieldWritten::WrongKind,
        }
    }

    fn put(&mut self, name: &FieldName, value: FieldValue) {
        self.weight += name.as_str().len() + OVERHEAD + content(&value);
        if let Some(old) = self.values.insert(name.clone(), value) {
            self.weight -= name.as_str().len() + OVERHEAD + content(&old);
        }
    }

    fn remove(&mut self, name: &FieldName) -> Option<FieldValue> {
        let value = self.values.remove(name)?;
        self.weight -= name.as_str().len() + OVERHEAD + content(&value);
        Some(value)
    }

    fn remember(&mut self, recent: Recent) {
        if self.recent.len() == REMEMBERED
            && let Some(oldest) = self.recent.pop_front()
        {
            self.weight -= oldest.weight();
            self.forgotten = Some(oldest.at);
        }
        self.weight += recent.weight();
        self.recent.push_back(recent);
    }
}

impl Recent {
    /// What was taken, which nobody else keeps.
    fn weight(&self) -> usize {
        match &self.answer {
            FieldWritten::Taken(Some(value)) => content(value),
            _ => 0,
        }
    }
}

/// Bytes in a value.
fn content(value: &FieldValue) -> usize {
    match value {
        FieldValue::Bytes(bytes) => bytes.len(),
        FieldValue::Number(_) => 0,
        FieldValue::List(items) => items.iter().map(|item| OVERHEAD + item.len()).sum(),
    }
}

fn part_of(value: &FieldValue, wanted: Option<Range<usize>>) -> FieldValue {
    match (value, wanted) {
        (FieldValue::List(items), Some(range)) => {
            let end = range.end.min(items.len());
            let start = range.start.min(end);
            FieldValue::List(items[start..end].to_vec())
        }
        _ => value.clone(),
    }
}

fn over(limit: usize) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!("the fields of this session would pass {limit} bytes"),
    )
}

/// The fields as they are stored.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct StoredFields {
    values: Vec<(String, StoredValue)>,
    recent: Vec<([u8; OpId::LEN], u64, StoredAnswer)>,
    forgotten: Option<u64>,
}

#[derive(Serialize, Deserialize)]
enum StoredValue {
    Bytes(Vec<u8>),
    Number(i64),
    List(Vec<Vec<u8>>),
}

#[derive(Serialize, Deserialize)]
enum StoredAnswer {
    Done,
    Number(i64),
    Length(u64),
    Taken(Option<StoredValue>),
    WrongKind,
    Overflow,
}

impl StoredFields {
    pub(crate) fn of(fields: &Fields) -> Self {
        let values = fields.values.iter();
        let recent = fields.recent.iter();
        Self {
            values: values
                .map(|(name, value)| (name.as_str().to_owned(), StoredValue::of(value)))
                .collect(),
            recent: recent
                .map(|recent| {
                    let answer = StoredAnswer::of(&recent.answer);
                    (*recent.op.as_bytes(), recent.at.as_micros(), answer)
                })
                .collect(),
            forgotten: fields.forgotten.map(Timestamp::as_micros),
        }
    }

    pub(crate) fn restore(self) -> Result<Fields> {
        let mut fields = Fields {
            forgotten: self.forgotten.map(Timestamp::from_micros),
            ..Fields::default()
        };
        for (name, value) in self.values {
            fields.put(&FieldName::new(name)?, value.restore());
        }
        for (op, at, answer) in self.recent {
            fields.remember(Recent {
                op: OpId::from_bytes(op),
                at: Timestamp::from_micros(at),
                answer: answer.restore(),
            });
        }
        Ok(fields)
    }
}

impl StoredValue {
    fn of(value: &FieldValue) -> Self {
        match value {
            FieldValue::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
            FieldValue::Number(number) => Self::Number(*number),
            FieldValue::List(items) => Self::List(items.iter().map(|item| item.to_vec()).collect()),
        }
    }

    fn restore(self) -> FieldValue {
        match self {
            Self::Bytes(bytes) => FieldValue::Bytes(bytes.into()),
            Self::Number(number) => FieldValue::Number(number),
            Self::List(items) => FieldValue::List(items.into_iter().map(Into::into).collect()),
        }
    }
}

impl StoredAnswer {
    fn of(answer: &FieldWritten) -> Self {
        match answer {
            FieldWritten::Number(number) => Self::Number(*number),
            FieldWritten::Length(length) => Self::Length(*length as u64),
            FieldWritten::Taken(value) => Self::Taken(value.as_ref().map(StoredValue::of)),
            FieldWritten::WrongKind => Self::WrongKind,
            FieldWritten::Overflow => Self::Overflow,
            // Refusals before the change are not remembered.
            _ => Self::Done,
        }
    }

    fn restore(self) -> FieldWritten {
        match self {
            Self::Done => FieldWritten::Done,
            Self::Number(number) => FieldWritten::Number(number),
            Self::Length(length) => {
                FieldWritten::Length(usize::try_from(length).unwrap_or(usize::MAX))
            }
            Self::Taken(value) => FieldWritten::Taken(value.map(StoredValue::restore)),
            Self::WrongKind => FieldWritten::WrongKind,
            Self::Overflow => FieldWritten::Overflow,
        }
    }
}
