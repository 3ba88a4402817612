//! Rows C1 to C3, what the codecs cost; the table that tells which one to choose (`--rows table`); and
//! the one that tells which deflate (`--rows backends`).

mod backends;
mod payloads;
mod rows;
mod table;

use std::{error::Error, hint::black_box, process::ExitCode, time::Duration};

use asm_bench::{Options, Report, cpu_seconds_for_one};
use asm_core::{Codec, CodecContext, Encoded, Key, Part};
use bytes::Bytes;

fn main() -> ExitCode {
    asm_bench::main("compress", measure)
}

fn measure(options: &Options, report: &mut Report) -> Result<(), Box<dyn Error>> {
    rows::rows(options, report)?;
    if options.wants("table") {
        table::print(options)?;
    }
    if options.wants("backends") {
        backends::print(options)?;
    }
    Ok(())
}

/// How long one contender runs at a time: short, so that a neighbour disturbs few.
const TURN: Duration = Duration::from_millis(20);

/// How often this can be done in a second of processor time.
fn rate(work: impl FnMut()) -> f64 {
    1.0 / cpu_seconds_for_one(TURN, work)
}

/// What the codec makes of it, if that is worth it.
fn coded(codec: &dyn Codec, plain: &Bytes) -> Option<Bytes> {
    match codec.encode(plain.clone(), &context(plain.len())) {
        Ok(Encoded::Coded(coded)) => Some(coded),
        Ok(Encoded::Declined(_)) => None,
        Err(error) => panic!("it is not compressed: {error}"),
    }
}

fn encode(codec: &dyn Codec, plain: &Bytes) {
    let encoded = codec.encode(black_box(plain.clone()), &context(plain.len()));
    black_box(encoded).expect("an encoded content");
}

fn decode(codec: &dyn Codec, coded: &Bytes, limit: usize) {
    let decoded = codec.decode(black_box(coded.clone()), &context(limit));
    black_box(decoded).expect("a decoded content");
}

fn context(limit: usize) -> CodecContext<'static> {
    const KEY: Key = Key::from_bytes([7; 16]);
    CodecContext {
        key: &KEY,
        part: Part::Body,
        associated: b"",
        client_half: None,
        limit,
    }
}
