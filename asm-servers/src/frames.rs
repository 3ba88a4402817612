//! Where a command or an answer ends in a stream of RESP.
//!
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>

use std::ops::Range;

/// What is no RESP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A command, and where its arguments are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) length: usize,
    pub(crate) arguments: Vec<Range<usize>>,
}

/// The first command. `None` when it is not all there.
pub(crate) fn command(bytes: &[u8]) -> Result<Option<Command>, Malformed> {
    let Some((kind, count, mut at)) = header(bytes, 0)? else {
        return Ok(None);
    };
    if kind != b'*' {
        return Err(Malformed);
    }
    let mut arguments = Vec::new();
    for _ in 0..count {
        let Some((b'$', length, start)) = header(bytes, at)? else {
            return Ok(None);
        };
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let end = start.checked_add(length).ok_or(Malformed)?;
        if bytes.len() < end + 2 {
            return Ok(None);
        }
        arguments.push(start..end);
        at = end + 2;
    }
    Ok(Some(Command {
        length: at,
        arguments,
    }))
}

/// An answer, or what a server says unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) length: usize,
    /// Nobody asked: a message of RESP3.
    pub(crate) push: bool,
}

/// The first answer. `None` when it is not all there.
pub(crate) fn answer(bytes: &[u8]) -> Result<Option<Answer>, Malformed> {
    let push = bytes.first() == Some(&b'>');
    // How many values are still to come.
    let (mut at, mut open) = (0, 1_u64);
    while open > 0 {
        let Some((kind, number, end)) = header(bytes, at)? else {
            return Ok(None);
        };
        open -= 1;
        at = end;
        match kind {
            b'$' | b'=' | b'!' if number >= 0 => {
                let length = usize::try_from(number).map_err(|_| Malformed)?;
                at = end.checked_add(length + 2).ok_or(Malformed)?;
                if bytes.len() < at {
                    return Ok(None);
                }
            }
            b'*' | b'~' | b'>' => open += u64::try_from(number).unwrap_or(0),
            b'%' => open += 2 * u64::try_from(number).unwrap_or(0),
            // An attribute stands before the value that it belongs to.
            b'|' => open += 2 * u64::try_from(number).unwrap_or(0) + 1,
            _ => {}
        }
    }
    Ok(Some(Answer { length: at, push }))
}

/// The kind of a value, the number in its first line (0 where there is a text), and where that line
/// ends.
fn header(bytes: &[u8], at: usize) -> Result<Option<(u8, i64, usize)>, Malformed> {
    let Some(rest) = bytes.get(at..) else {
        return Ok(None);
    };
    let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let (kind, line) = rest[..end].split_first().ok_or(Malformed)?;
    let number = match kind {
        b'$' | b'=' | b'!' | b'*' | b'~' | b'>' | b'%' | b'|' => {
            let text = str::from_utf8(line).map_err(|_| Malformed)?;
            text.parse().map_err(|_| Malformed)?
        }
        b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => 0,
        _ => return Err(Malformed),
    };
    Ok(Some((*kind, number, at + end + 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_arguments_of_a_command() {
        let bytes = b"*2\r\n$3\r\nGET\r\n$5\r\na\r\nbc\r\n*1\r\n$4\r\nPING\r\n";
        let Command { length, arguments } = command(bytes).expect("RESP").expect("all of it");
        assert_eq!(length, 24);
        let arguments: Vec<_> = arguments.into_iter().map(|range| &bytes[range]).collect();
        assert_eq!(arguments, [&b"GET"[..], b"a\r\nbc"]);
        for cut in 0..length {
            assert_eq!(command(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
        assert_eq!(command(b"PING\r\n"), Err(Malformed));
    }

    #[test]
    fn finds_the_end_of_an_answer() {
        for whole in [
            &b"+OK\r\n"[..],
            b"-ERR no\r\n",
            b":42\r\n",
            b"$5\r\na\r\nbc\r\n",
            b"$0\r\n\r\n",
            b"$-1\r\n",
            b"_\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"*3\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n$-1\r\n",
            b"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n",
            b"|1\r\n+ttl\r\n:1\r\n:42\r\n",
            b"~1\r\n#t\r\n",
            b"=7\r\ntxt:abc\r\n",
        ] {
            let expected = Answer {
                length: whole.len(),
                push: false,
            };
            let followed = [whole, b"+NEXT\r\n"].concat();
            assert_eq!(answer(&followed), Ok(Some(expected)), "{whole:?}");
            for cut in 0..whole.len() {
                assert_eq!(answer(&whole[..cut]), Ok(None), "{whole:?} cut at {cut}");
            }
        }
        let push = b">3\r\n+message\r\n+a\r\n+b\r\n";
        assert!(answer(push).expect("RESP").expect("all of it").push);
        assert_eq!(answer(b"?\r\n"), Err(Malformed));
    }
}
