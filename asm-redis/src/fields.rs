//! Lockless fields.

use asm_core::{
    Error, ErrorKind, FieldChange, FieldFound, FieldRead, FieldValue, FieldWrite, FieldWritten,
    Key, LocklessFields, Redacted, Result,
};
use async_trait::async_trait;
use bytes::BytesMut;

use crate::{
    RedisDriver,
    driver::{Around, during},
    scripts::{FIELD_READ, FIELD_WRITE, Reply, micros, strange},
};

#[async_trait]
impl LocklessFields for RedisDriver {
    async fn read_field(&self, key: &Key, req: FieldRead) -> Result<FieldFound> {
        self.read_value(key, &req)
            .await
            .map_err(during("read_field"))
    }

    async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
        self.write_value(key, &req)
            .await
            .map_err(during("write_field"))
    }
}

impl RedisDriver {
    async fn read_value(&self, key: &Key, req: &FieldRead) -> Result<FieldFound> {
        let FieldRead { name, epoch, items } = req;
        let keys = self.keys(key);
        let fields = keys.fields();
        let names = [keys.record(), &fields];
        let answered = self.run(&keys, &FIELD_READ, &names, Around::default(), |cmd, _| {
            cmd.arg(&epoch.get().to_be_bytes()).arg(name.as_str());
            match items {
                Some(items) => cmd.arg(items.start).arg(items.end),
                None => cmd.arg("").arg(""),
            };
        });
        let mut reply = answered.await?.reply;
        let word = reply.word()?;
        Ok(match word.as_str() {
            "missing" => FieldFound::Missing,
            "ended" => FieldFound::Ended,
            "absent" => FieldFound::Absent,
            kind => FieldFound::Value(value(kind, &mut reply)?),
        })
    }

    async fn write_value(&self, key: &Key, req: &FieldWrite) -> Result<FieldWritten> {
        let FieldWrite {
            name,
            epoch,
            op,
            resend,
            change,
        } = req;
        let keys = self.keys(key);
        let fields = keys.fields();
        let names = [keys.record(), &fields];
        let limit = self.inner.settings.max_record;
        let deadline = self.inner.settings.deadline;
        let answered = self.run(
            &keys,
            &FIELD_WRITE,
            &names,
            Around::default(),
            |cmd, again| {
                cmd.arg(&epoch.get().to_be_bytes()).arg(op.as_bytes());
                // All sendings of this call are over by its deadline.
                let age = resend.or(again.again.then_some(deadline));
                match age {
                    Some(age) => cmd.arg(micros(age)),
                    None => cmd.arg(""),
                };
                cmd.arg(name.as_str());
                match change {
                    FieldChange::Set(bytes) => cmd.arg("set").arg(&bytes[..]),
                    FieldChange::Incr(by) => cmd.arg("incr").arg(*by),
                    FieldChange::Append(bytes) => cmd.arg("append").arg(&bytes[..]),
                    FieldChange::Push(item) => cmd.arg("push").arg(&item[..]),
                    FieldChange::Take => cmd.arg("take").arg(""),
                    FieldChange::Clear => cmd.arg("clear").arg(""),
                };
                cmd.arg(limit);
            },
        );
        let mut reply = answered.await?.reply;
        let word = reply.word()?;
        Ok(match word.as_str() {
            "missing" => FieldWritten::Missing,
            "ended" => FieldWritten::Ended,
            "large" => {
                let message = format!("the fields of this session would pass {limit} bytes");
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
            "d" => FieldWritten::Done,
            "n" => FieldWritten::Number(reply.decimal()?),
            "l" => FieldWritten::Length(reply.decimal()?),
            "w" => FieldWritten::WrongKind,
            "v" => FieldWritten::Overflow,
            "t" => FieldWritten::Taken(None),
            taken => {
                let kind = taken.strip_prefix('t').ok_or_else(strange)?;
                FieldWritten::Taken(Some(value(kind, &mut reply)?))
            }
        })
    }
}

fn value(kind: &str, reply: &mut Reply) -> Result<FieldValue> {
    Ok(match kind {
        "n" => FieldValue::Number(reply.decimal()?),
        "b" => FieldValue::Bytes(joined(reply.list()?.all_bytes()?)),
        "l" => {
            let items = reply.list()?.all_bytes()?;
            FieldValue::List(items.into_iter().map(Redacted::from).collect())
        }
        _ => return Err(strange()),
    })
}

fn joined(mut chunks: Vec<Vec<u8>>) -> Redacted {
    match (chunks.len(), chunks.pop()) {
        (1, Some(only)) => only.into(),
        (_, last) => {
            let mut all = BytesMut::new();
            for chunk in chunks.into_iter().chain(last) {
                all.extend_from_slice(&chunk);
            }
            all.freeze().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_become_one() {
        assert_eq!(&joined(Vec::new())[..], b"");
        assert_eq!(&joined(vec![b"a".to_vec()])[..], b"a");
        assert_eq!(&joined(vec![b"a".to_vec(), b"bc".to_vec()])[..], b"abc");
    }
}
