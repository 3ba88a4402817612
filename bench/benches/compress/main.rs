//! Rows C1 to C3, what the codecs cost, and the table that tells which one to choose.

mod payloads;
mod rows;
mod table;

use std::{error::Error, hint::black_box, process::ExitCode, time::Instant};

use asm_bench::{Options, Report};
use asm_core::{Codec, CodecContext, Encoded, Key, Part};
use bytes::Bytes;

fn main() -> ExitCode {
    match measure(&Options::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compress: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut report = Report::default();
    rows::rows(options, &mut report);
    if options.wants("table") {
        table::print(options)?;
    }
    Ok(report.end(options)?)
}

/// How long one contender runs at a time, in seconds.
const TURN: f64 = 0.02;

/// How often this can be done in a second.
fn rate(mut work: impl FnMut()) -> f64 {
    let began = Instant::now();
    let mut done = 0;
    loop {
        for _ in 0..16 {
            work();
        }
        done += 16;
        let took = began.elapsed().as_secs_f64();
        if took >= TURN {
            return f64::from(done) / took;
        }
    }
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
