//! Which deflate, at which level: what the choices of `gzip` rest on.

use std::{
    hint::black_box,
    io::{self, Write},
};

use asm_bench::{Options, Spread, rounds};
use asm_bench_c::zlib::{self, Around};
use bytes::Bytes;
use comfy_table::{Table, presets};
use miniz_oxide::{
    DataFormat,
    deflate::core::{CompressionStrategy, CompressorOxide, TDEFLFlush, TDEFLStatus, compress},
    inflate::{
        TINFLStatus,
        core::{
            DecompressorOxide, decompress,
            inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF as WHOLE,
        },
    },
};

use crate::{
    payloads::{cart, php, profile},
    rate,
};

/// Prints a line for each implementation and level; in each column, how many times smaller, and the
/// microseconds that it takes to write and to read.
pub(crate) fn print(options: &Options) -> io::Result<()> {
    let contents: [(&str, Bytes); 5] = [
        ("cart, 2 KiB", cart(2 << 10)),
        ("cart, 8 KiB", cart(8 << 10)),
        ("cart, 64 KiB", cart(64 << 10)),
        ("profile, 8 KiB", profile(8 << 10)),
        ("PHP, 8 KiB", php(8 << 10)),
    ];
    let mut lines: Vec<(String, Box<dyn Deflate>)> = Vec::new();
    for level in 1..=9 {
        lines.push((format!("zlib-rs {level}"), Box::new(ZlibRs::new(level))));
        lines.push((
            format!("miniz_oxide {level}"),
            Box::new(Miniz::new(level as u8)),
        ));
        lines.push((format!("C zlib {level}"), Box::new(Zlib::new(level as i32))));
    }
    let mut cells = vec![Vec::new(); lines.len()];
    for (_, plain) in &contents {
        let coded: Vec<Vec<u8>> = lines.iter_mut().map(|(_, one)| one.write(plain)).collect();
        let write = rounds(options.rounds(), &mut lines, |(_, one)| {
            rate(|| drop(black_box(one.write(black_box(plain)))))
        });
        let mut pairs: Vec<_> = lines.iter_mut().zip(&coded).collect();
        let read = rounds(options.rounds(), &mut pairs, |((_, one), coded)| {
            rate(|| assert_eq!(one.read(black_box(coded), plain.len()).len(), plain.len()))
        });
        for (line, coded) in coded.iter().enumerate() {
            let ratio = plain.len() as f64 / coded.len() as f64;
            let micros = |rates: &[f64]| 1e6 / Spread::of(rates).median;
            let (write, read) = (micros(&write[line]), micros(&read[line]));
            cells[line].push(format!("{ratio:.2} ({write:.1} / {read:.1})"));
        }
    }
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let contents = contents.iter().map(|(name, _)| (*name).to_owned());
    table.set_header(["deflate".to_owned()].into_iter().chain(contents));
    for ((name, _), cells) in lines.iter().zip(cells) {
        table.add_row([name.clone()].into_iter().chain(cells));
    }
    writeln!(
        io::stdout(),
        "{table}\n\ntimes smaller (microseconds to write / to read); no header, no checksum\n"
    )
}

/// An implementation at one level, whose states are used again.
trait Deflate {
    fn write(&mut self, plain: &[u8]) -> Vec<u8>;
    fn read(&mut self, coded: &[u8], len: usize) -> Vec<u8>;
}

struct ZlibRs(flate2::Compress, flate2::Decompress);

impl ZlibRs {
    fn new(level: u32) -> Self {
        let level = flate2::Compression::new(level);
        Self(
            flate2::Compress::new(level, false),
            flate2::Decompress::new(false),
        )
    }
}

impl Deflate for ZlibRs {
    fn write(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut room = Vec::with_capacity(plain.len());
        self.0.reset();
        let status = self
            .0
            .compress_vec(plain, &mut room, flate2::FlushCompress::Finish);
        assert_eq!(status.expect("deflated"), flate2::Status::StreamEnd);
        room
    }

    fn read(&mut self, coded: &[u8], len: usize) -> Vec<u8> {
        let mut room = Vec::with_capacity(len + 1);
        self.1.reset(false);
        let status = self
            .1
            .decompress_vec(coded, &mut room, flate2::FlushDecompress::Finish);
        assert_eq!(status.expect("inflated"), flate2::Status::StreamEnd);
        room
    }
}

struct Miniz(CompressorOxide, DecompressorOxide);

impl Miniz {
    fn new(level: u8) -> Self {
        let strategy = CompressionStrategy::Default;
        let deflate = CompressorOxide::with_params(DataFormat::Raw, level, strategy, 15);
        Self(deflate, DecompressorOxide::new())
    }
}

impl Deflate for Miniz {
    fn write(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut room = vec![0; plain.len()];
        self.0.reset();
        let (status, _, used) = compress(&mut self.0, plain, &mut room, TDEFLFlush::Finish);
        assert_eq!(status, TDEFLStatus::Done);
        room.truncate(used);
        room
    }

    fn read(&mut self, coded: &[u8], len: usize) -> Vec<u8> {
        let mut room = vec![0; len];
        self.1.init();
        let (status, _, made) = decompress(&mut self.1, coded, &mut room, 0, WHOLE);
        assert_eq!((status, made), (TINFLStatus::Done, len));
        room
    }
}

struct Zlib(zlib::Deflate, zlib::Inflate);

impl Zlib {
    fn new(level: i32) -> Self {
        Self(
            zlib::Deflate::new(level, Around::Nothing),
            zlib::Inflate::new(Around::Nothing),
        )
    }
}

impl Deflate for Zlib {
    fn write(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut room = vec![0; plain.len()];
        let used = self.0.run(plain, &mut room);
        room.truncate(used);
        room
    }

    fn read(&mut self, coded: &[u8], len: usize) -> Vec<u8> {
        let mut room = vec![0; len];
        assert_eq!(self.1.run(coded, &mut room), len);
        room
    }
}
