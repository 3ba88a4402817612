//! C1 to C3: each codec against the fastest way to do the same without it.

use std::{error::Error, hint::black_box};

use asm_bench::{Goal, Options, Report, Row, Unit, rounds};
use asm_bench_c::{
    lzf,
    zlib::{self, Around},
};
use asm_compress::{Compress, Threshold};
use asm_core::Codec;
use bytes::Bytes;

use crate::{coded, decode, encode, payloads, rate};

const SIZES: [usize; 3] = [1 << 10, 2 << 10, 8 << 10];

/// What is measured of each codec: an id, a codec, its yardstick, and what is to be reached when it
/// writes and when it reads.
struct Course {
    id: &'static str,
    codec: Compress,
    yardstick: Yardstick,
    goals: [f64; 2],
}

#[derive(Clone, Copy)]
enum Yardstick {
    Lz4,
    Snappy,
    Liblzf,
    Zlib,
}

/// Adds the rows.
pub(crate) fn rows(options: &Options, report: &mut Report) -> Result<(), Box<dyn Error>> {
    if !["C1", "C2", "C3"].iter().any(|row| options.wants(row)) {
        return Ok(());
    }
    if lzf::clears_its_table() {
        return Err("liblzf is not built as its release is: run cargo within bench/".into());
    }
    report.note(format!(
        "C zlib {}; C liblzf with INIT_HTAB=0",
        zlib::version()
    ));
    // To take at most 1.15 times as long is to do 0.87 times as much.
    let crates = [0.87, 0.87];
    let courses = [
        Course {
            id: "C1",
            codec: Compress::lz4(),
            yardstick: Yardstick::Lz4,
            goals: crates,
        },
        Course {
            id: "C1",
            codec: Compress::snappy(),
            yardstick: Yardstick::Snappy,
            goals: crates,
        },
        Course {
            id: "C2",
            codec: Compress::lzf(),
            yardstick: Yardstick::Liblzf,
            goals: [0.8, 0.9],
        },
        Course {
            id: "C3",
            codec: Compress::gzip(),
            yardstick: Yardstick::Zlib,
            goals: [0.9, 0.9],
        },
    ];
    for course in courses {
        if options.wants(course.id) {
            for size in SIZES {
                course.run(options, report, &payloads::cart(size));
            }
        }
    }
    Ok(())
}

impl Course {
    fn run(&self, options: &Options, report: &mut Report, plain: &Bytes) {
        let codec = self.codec.clone().threshold(Threshold::ALWAYS);
        let ours = coded(&codec, plain).expect("a cart shrinks");
        let mut yardstick = self.yardstick.contender(plain, &ours);
        let theirs = yardstick.compressed(plain);
        let name = codec.name();
        let kib = plain.len() >> 10;

        let write = rounds(options.rounds(), &mut [true, false], |ours| match ours {
            true => rate(|| encode(&codec, plain)),
            false => rate(|| yardstick.write(plain)),
        });
        let read = rounds(
            options.rounds(),
            &mut [true, false],
            |is_ours| match is_ours {
                true => rate(|| decode(&codec, &ours, plain.len())),
                false => rate(|| yardstick.read(plain.len())),
            },
        );
        for (what, figures, goal) in [
            ("write", write, self.goals[0]),
            ("read", read, self.goals[1]),
        ] {
            let what = format!("{name}, {what} {kib} KiB, {}", self.yardstick.name());
            let goal = Goal::RatioAtLeast(goal);
            let row = Row::new(self.id, what, Unit::PerSecond, &figures[0], goal);
            report.add(row.against(&figures[1]));
        }
        let what = format!("{name}, what {kib} KiB become, {}", self.yardstick.name());
        let len = |coded: &[u8]| [coded.len() as f64];
        let row = Row::new(self.id, what, Unit::Bytes, &len(&ours), Goal::None);
        report.add(row.against(&len(&theirs)));
    }
}

/// A library as it is called by whoever wants nothing but speed: its state is used again.
struct Contender {
    kind: Yardstick,
    coded: Vec<u8>,
    snappy: snap::raw::Encoder,
    deflate: zlib::Deflate,
    inflate: zlib::Inflate,
}

impl Yardstick {
    fn name(self) -> &'static str {
        match self {
            Self::Lz4 => "to lz4_flex",
            Self::Snappy => "to snap",
            Self::Liblzf => "to C liblzf",
            Self::Zlib => "to C zlib",
        }
    }

    /// One that reads what ours wrote: all of them write what the other one reads.
    fn contender(self, plain: &[u8], ours: &[u8]) -> Contender {
        let block = match self {
            // A length is in front of it.
            Self::Liblzf => &ours[4..],
            Self::Lz4 | Self::Snappy | Self::Zlib => ours,
        };
        let mut contender = Contender {
            kind: self,
            coded: block.to_vec(),
            snappy: snap::raw::Encoder::new(),
            deflate: zlib::Deflate::new(6, Around::Gzip),
            inflate: zlib::Inflate::new(Around::Gzip),
        };
        contender.read(plain.len());
        contender
    }
}

impl Contender {
    fn write(&mut self, plain: &[u8]) {
        let coded = self.compressed(black_box(plain));
        black_box(coded);
    }

    fn compressed(&mut self, plain: &[u8]) -> Vec<u8> {
        match self.kind {
            Yardstick::Lz4 => lz4_flex::block::compress_prepend_size(plain),
            Yardstick::Snappy => self.snappy.compress_vec(plain).expect("compressed"),
            Yardstick::Liblzf => {
                let mut room = vec![0; plain.len()];
                let used = lzf::compress(plain, &mut room);
                room.truncate(used);
                room
            }
            Yardstick::Zlib => {
                let mut room = vec![0; plain.len()];
                let used = self.deflate.run(plain, &mut room);
                room.truncate(used);
                room
            }
        }
    }

    fn read(&mut self, len: usize) {
        let coded = black_box(&self.coded);
        let plain = match self.kind {
            Yardstick::Lz4 => lz4_flex::block::decompress_size_prepended(coded).expect("read"),
            Yardstick::Snappy => {
                let mut decoder = snap::raw::Decoder::new();
                decoder.decompress_vec(coded).expect("read")
            }
            Yardstick::Liblzf => {
                let mut room = vec![0; len];
                assert_eq!(lzf::decompress(coded, &mut room), len);
                room
            }
            Yardstick::Zlib => {
                let mut room = vec![0; len];
                assert_eq!(self.inflate.run(coded, &mut room), len);
                room
            }
        };
        assert_eq!(black_box(plain).len(), len);
    }
}
