//! The scripts, how they are called, and what they answer.

use std::{sync::LazyLock, time::Duration};

use asm_core::{Error, ErrorKind, Result, Timestamp};
use redis::{Cmd, Pipeline, Value};

use crate::{
    link::Sending,
    record::{corrupt, number},
};

/// How many arguments a script has at most, but for those of [`crate::subjects`], and how many bytes
/// they mostly have together, beside content.
const ARGUMENTS: usize = 11;
const ROOM: usize = 256;

/// One script: what the server runs under this name, in one step.
pub(crate) struct Script {
    source: &'static str,
    digest: String,
}

impl Script {
    fn new(source: &'static str) -> Self {
        let digest = redis::Script::new(source).get_hash().to_owned();
        Self { source, digest }
    }

    /// The command that runs it, up to its keys, with room for its arguments: those that all have,
    /// and content of so many bytes.
    pub(crate) fn command(&self, sending: Sending, keys: &[&str], content: usize) -> Cmd {
        let (how, script) = if sending.source {
            ("EVAL", self.source)
        } else {
            ("EVALSHA", &*self.digest)
        };
        let names: usize = keys.iter().map(|name| name.len()).sum();
        let room = how.len() + script.len() + names + ROOM + content;
        let mut cmd = Cmd::with_capacity(3 + keys.len() + ARGUMENTS, room);
        cmd.arg(how).arg(script).arg(keys.len()).arg(keys);
        cmd
    }
}

/// Defines a script as the parts that it is made of.
macro_rules! scripts {
    ($($name:ident: $($part:literal)+;)*) => {
        $(
            pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
                Script::new(concat!($(include_str!(concat!("../scripts/", $part, ".lua"))),+))
            });
        )*

        /// All of them, to be loaded.
        pub(crate) fn load() -> Pipeline {
            let mut pipeline = Pipeline::new();
            $(pipeline.cmd("SCRIPT").arg("LOAD").arg($name.source);)*
            pipeline
        }
    };
}

scripts! {
    CREATE: "head" "lock" "create";
    OPEN: "head" "open_free" "lock" "open";
    SAVE: "head" "save_free" "lock" "save";
    TOUCH: "head" "touch";
    DELETE: "head" "lock" "delete";
    ACQUIRE: "head" "acquire_handed" "lock" "acquire";
    RENEW: "head" "lock" "renew";
    RELEASE: "head" "lock" "release";
    BREAK: "head" "lock" "break";
    INSPECT: "head" "lock" "inspect";
    FOLLOW: "head" "follow";
    FIELD_READ: "head" "field_values" "field_read";
    FIELD_WRITE: "head" "field_values" "field_write";
    SUBJECT_RESERVE: "subject" "subject_reserve";
    SUBJECT_LIST: "subject" "subject_list";
    SUBJECT_REVOKE: "subject" "subject_revoke";
    SUBJECT_FORGET: "subject" "subject_forget";
}

/// What a script answered, read from front to back.
pub(crate) struct Reply {
    values: std::vec::IntoIter<Value>,
    /// How much slower everything ends on the server: 1, but in tests.
    slower: u32,
}

impl Reply {
    /// What came back is a list, or the one value of a common case: a number, or a grant as the
    /// string of its numbers.
    pub(crate) fn of(value: Value, slower: u32) -> Self {
        let values = match value {
            Value::Array(values) => values,
            Value::BulkString(grant) if grant.len() == 24 => {
                let number = |at| Value::Int(number(&grant[at..]).cast_signed());
                let held = Value::BulkString(b"held".to_vec());
                vec![held, number(0), number(8), number(16)]
            }
            short => vec![short],
        };
        Self {
            values: values.into_iter(),
            slower,
        }
    }

    /// The number that is all of the answer of a common case.
    pub(crate) fn short_number(&self) -> Option<u64> {
        match self.values.as_slice() {
            [Value::Int(number)] => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The next, which is a word of ours.
    pub(crate) fn word(&mut self) -> Result<String> {
        let word = String::from_utf8(self.bytes()?).map_err(|_| strange())?;
        match word.as_str() {
            "corrupt" => Err(corrupt()),
            "unknown" => Err(Error::new(
                ErrorKind::Unknown,
                "this write may have been applied before, and its op id is no longer remembered",
            )),
            "unstaged" => Err(Error::new(
                ErrorKind::NotReady,
                "the server dropped the bytes of this write before they came to their place",
            )),
            _ => Ok(word),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>> {
        match self.values.next() {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            Some(Value::SimpleString(text)) => Ok(text.into_bytes()),
            _ => Err(strange()),
        }
    }

    pub(crate) fn number(&mut self) -> Result<u64> {
        u64::try_from(self.signed()?).map_err(|_| strange())
    }

    /// A number that is written out.
    pub(crate) fn decimal<T: std::str::FromStr>(&mut self) -> Result<T> {
        let text = String::from_utf8(self.bytes()?).map_err(|_| strange())?;
        text.parse().map_err(|_| strange())
    }

    pub(crate) fn signed(&mut self) -> Result<i64> {
        match self.values.next() {
            Some(Value::Int(number)) => Ok(number),
            _ => Err(strange()),
        }
    }

    pub(crate) fn millis(&mut self) -> Result<Duration> {
        let slower = self.slower;
        self.number()
            .map(|millis| Duration::from_millis(millis.div_ceil(slower.into())))
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp> {
        self.number().map(Timestamp::from_micros)
    }

    /// What is left of a lifetime, as PTTL tells it.
    pub(crate) fn left(&mut self) -> Result<Left> {
        let slower = self.slower;
        self.signed().map(|pttl| Left::of(pttl, slower))
    }

    pub(crate) fn list(&mut self) -> Result<Self> {
        let slower = self.slower;
        let list = self.values.next().ok_or_else(strange)?;
        Ok(Self::of(list, slower))
    }

    /// The next, if there is one more.
    pub(crate) fn more(&mut self) -> Option<Self> {
        let next = self.values.next()?;
        Some(Self {
            values: vec![next].into_iter(),
            slower: self.slower,
        })
    }

    pub(crate) fn is_over(&self) -> bool {
        self.values.len() == 0
    }

    pub(crate) fn all_bytes(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut all = Vec::with_capacity(self.values.len());
        while !self.is_over() {
            all.push(self.bytes()?);
        }
        Ok(all)
    }
}

/// What is left of a lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing: it is not there.
    Gone,
    /// It was lost: it would stay for ever.
    Lost,
    /// So much.
    For(Duration),
}

impl Left {
    pub(crate) fn of(pttl: i64, slower: u32) -> Self {
        match u64::try_from(pttl) {
            Ok(millis) => Self::For(Duration::from_millis(millis.div_ceil(slower.into()))),
            Err(_) if pttl == -1 => Self::Lost,
            Err(_) => Self::Gone,
        }
    }

    pub(crate) fn duration(self) -> Option<Duration> {
        match self {
            Self::For(left) => Some(left),
            Self::Gone | Self::Lost => None,
        }
    }
}

/// The server's time, as TIME tells it.
pub(crate) fn time(value: Value) -> Result<Timestamp> {
    let mut parts = Reply::of(value, 1);
    let (seconds, micros): (u64, u64) = (parts.decimal()?, parts.decimal()?);
    Ok(Timestamp::from_micros(seconds * 1_000_000 + micros))
}

/// Whole milliseconds, as the server takes them: rounded up, 1 at least.
pub(crate) fn millis(duration: Duration) -> u64 {
    /// Some thousand years: what the server can still add to its time.
    const MOST: u128 = 100_000_000_000_000;
    let millis = duration.as_micros().div_ceil(1000).clamp(1, MOST);
    u64::try_from(millis).unwrap_or(u64::MAX)
}

/// Whole microseconds, as scripts can still calculate with.
pub(crate) fn micros(duration: Duration) -> u64 {
    const MOST: u128 = 1_000_000_000_000_000;
    u64::try_from(duration.as_micros().min(MOST)).unwrap_or(u64::MAX)
}

pub(crate) fn strange() -> Error {
    Error::new(
        ErrorKind::Other,
        "the server answered something else than its script does",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_to_what_the_server_takes() {
        assert_eq!(millis(Duration::ZERO), 1);
        assert_eq!(millis(Duration::from_micros(1001)), 2);
        assert_eq!(millis(Duration::MAX), 100_000_000_000_000);
        assert_eq!(micros(Duration::MAX), 1_000_000_000_000_000);
    }

    #[test]
    fn a_reply_is_read_from_front_to_back() {
        let values = vec![Value::BulkString(b"held".to_vec()), Value::Int(7)];
        let mut reply = Reply::of(Value::Array(values), 1);
        assert_eq!(reply.short_number(), None);
        assert_eq!(reply.word().expect("a word"), "held");
        assert_eq!(reply.number().expect("a number"), 7);
        assert!(reply.is_over());
        assert!(reply.number().is_err());
    }

    #[test]
    fn a_common_case_is_one_value() {
        let reply = Reply::of(Value::Int(7), 1);
        assert_eq!(reply.short_number(), Some(7));
        let packed = [7, 8, -1].map(i64::to_be_bytes).concat();
        let mut reply = Reply::of(Value::BulkString(packed), 1);
        assert_eq!(reply.short_number(), None);
        assert_eq!(reply.word().expect("a word"), "held");
        assert_eq!(reply.number().expect("a fence"), 7);
        assert_eq!(reply.time().expect("a time"), Timestamp::from_micros(8));
        assert_eq!(reply.left().expect("a lifetime"), Left::Lost);
        assert!(reply.is_over());
    }

    #[test]
    fn words_that_are_errors_are_told_as_such() {
        let reply = |word: &str| Reply::of(Value::BulkString(word.into()), 1);
        let kinds = [
            ("corrupt", ErrorKind::Corrupt),
            ("unknown", ErrorKind::Unknown),
            ("unstaged", ErrorKind::NotReady),
        ];
        for (word, kind) in kinds {
            let error = reply(word).word().expect_err(word);
            assert_eq!(error.kind(), kind, "{word}");
        }
        assert_eq!(reply("held").word().expect("a word"), "held");
        let mut simple = Reply::of(Value::SimpleString("OK".to_owned()), 1);
        assert_eq!(simple.word().expect("a word"), "OK");
    }

    #[test]
    fn the_time_of_the_server_is_seconds_and_microseconds() {
        let parts = ["7", "8"].map(|part| Value::BulkString(part.into()));
        let at = time(Value::Array(parts.to_vec())).expect("a time");
        assert_eq!(at, Timestamp::from_micros(7_000_008));
    }
}
