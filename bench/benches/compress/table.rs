//! How small, and how fast: each codec on each kind of content.

use std::io::{self, Write};

use asm_bench::{Options, Spread, rounds};
use asm_compress::{Compress, Ratio, Threshold};
use bytes::Bytes;
use comfy_table::{Table, presets};

use crate::{coded, decode, encode, payloads::PAYLOADS, rate};

const SIZES: [usize; 4] = [1 << 10, 2 << 10, 8 << 10, 64 << 10];

/// Prints a line for each kind and size; in each column, how many times smaller, and the
/// microseconds that it takes to write and to read.
pub(crate) fn print(options: &Options) -> io::Result<()> {
    let codecs = codecs();
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let names = codecs.iter().map(|(name, _)| (*name).to_owned());
    table.set_header(
        ["content".to_owned(), "KiB".to_owned()]
            .into_iter()
            .chain(names),
    );
    for (kind, make) in PAYLOADS {
        for size in SIZES {
            let plain = make(size);
            let cells = codecs.iter().map(|(_, codec)| cell(options, codec, &plain));
            let begin = [kind.to_owned(), (size >> 10).to_string()];
            table.add_row(begin.into_iter().chain(cells));
        }
    }
    writeln!(
        io::stdout(),
        "{table}\n\ntimes smaller (microseconds to write / to read)\n"
    )
}

fn codecs() -> Vec<(&'static str, Compress)> {
    let gzip = |level| Compress::gzip().level(level).expect("a level");
    let named = [
        ("lz4", Compress::lz4()),
        ("snappy", Compress::snappy()),
        ("lzf", Compress::lzf()),
        ("gzip 1", gzip(1)),
        ("gzip 6", gzip(6)),
        ("gzip 9", gzip(9)),
    ];
    let always = |(name, codec): (_, Compress)| (name, codec.threshold(Threshold::ALWAYS));
    named.map(always).to_vec()
}

fn cell(options: &Options, codec: &Compress, plain: &Bytes) -> String {
    let codec = codec.clone().keep_raw(Ratio::default());
    let micros = |rates: &[f64]| 1e6 / Spread::of(rates).median;
    let write = rounds(options.rounds(), &mut [()], |()| {
        rate(|| encode(&codec, plain))
    });
    let write = micros(&write[0]);
    let Some(coded) = coded(&codec, plain) else {
        return format!("as it is ({write:.1})");
    };
    let read = rounds(options.rounds(), &mut [()], |()| {
        rate(|| decode(&codec, &coded, plain.len()))
    });
    let ratio = plain.len() as f64 / coded.len() as f64;
    format!("{ratio:.2} ({write:.1} / {:.1})", micros(&read[0]))
}
