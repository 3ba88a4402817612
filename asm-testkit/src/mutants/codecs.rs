//! Broken codecs: the suite of [`codecs`](crate::codecs), tested.
//!
//! Each [`CodecMutant`] is a healthy codec with one thing wrong, and names the cases that must catch
//! it. A case on codecs that no mutant needs shows nothing.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use asm_core::{
    Codec, CodecContext, CodecName, CodecRole, Encoded, Error, ErrorKind, Part, Result,
};
use bytes::Bytes;

use crate::codecs::{CODEC_CASES, CodecCase, CodecSuite, Peak, Vector};

/// A codec with one thing wrong.
#[derive(Clone, Copy)]
pub struct CodecMutant {
    /// Its name, unique.
    pub name: &'static str,
    /// What is wrong with it.
    pub flaw: &'static str,
    /// The cases that must fail with it, as part and name.
    pub kills: &'static [(&'static str, &'static str)],
    suite: fn(Peak) -> CodecSuite,
}

impl CodecMutant {
    /// All of them.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        MUTANTS.iter()
    }

    /// What they are made of, with nothing wrong: a compressor, a seal, and a seal with halves.
    pub fn healthy() -> impl Iterator<Item = &'static Self> {
        HEALTHY.iter()
    }

    /// Those that this case must catch.
    pub fn caught_by(case: &CodecCase) -> impl Iterator<Item = &'static Self> {
        let (module, name) = (case.module, case.name);
        Self::all().filter(move |mutant| mutant.kills.contains(&(module, name)))
    }

    /// Its suite, with memory measured in this way.
    #[must_use]
    pub fn suite(&self, peak: Peak) -> CodecSuite {
        (self.suite)(peak).patience(PATIENCE)
    }

    /// The cases that run on it.
    pub fn cases(&self, peak: Peak) -> impl Iterator<Item = &'static CodecCase> {
        let suite = self.suite(peak);
        CODEC_CASES
            .iter()
            .filter(move |case| case.needs.met_by(&suite))
    }
}

impl fmt::Debug for CodecMutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CodecMutant({})", self.name)
    }
}

/// How long a case may take with a mutant before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// A codec that differs from the one inside in a method.
trait Broken: fmt::Debug + Send + Sync + Default + 'static {
    type Healthy: Codec + Default;

    fn name(&self) -> CodecName {
        Self::Healthy::default().name()
    }

    fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
        Self::Healthy::default().encode(plain, context)
    }

    fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
        Self::Healthy::default().decode(coded, context)
    }

    fn suite(peak: Peak) -> CodecSuite;
}

/// As a codec.
#[derive(Debug, Default)]
struct AsCodec<B>(B);

impl<B: Broken> Codec for AsCodec<B> {
    fn name(&self) -> CodecName {
        self.0.name()
    }
    fn role(&self) -> CodecRole {
        B::Healthy::default().role()
    }
    fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
        self.0.encode(plain, context)
    }
    fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
        self.0.decode(coded, context)
    }
}

fn suite_of_packing<B: Broken>(peak: Peak) -> CodecSuite {
    CodecSuite::compressor(AsCodec::<B>::default)
        .peak(peak)
        .vectors([Vector::hex("aaaaaaaabc", "0000000a8661016263")])
}

fn suite_of_seals<B: Broken>(peak: Peak) -> CodecSuite {
    CodecSuite::seal(AsCodec::<B>::default, || Sealing::with_key(8))
        .peak(peak)
        .overhead(Sealing::OVERHEAD)
        .vectors([Vector::hex("sealed", SEALED)])
}

fn suite_of_halves<B: Broken>(peak: Peak) -> CodecSuite {
    CodecSuite::seal(AsCodec::<B>::default, || Sealing::with_key(8))
        .peak(peak)
        .overhead(Sealing::OVERHEAD)
        .vectors([Vector::hex("sealed", SEALED_WITH_HALF)])
        .client_half([9; 32])
}

const SEALED: &str = "0700000001248ed4fda63807e0d537c711e128";
const SEALED_WITH_HALF: &str = "0700000001248ed4fda638cee384a6742faae8";

/// Packs runs of equal bytes, as PackBits does in TIFF, behind the length of the content: a byte
/// below 128 is followed by so many and one bytes of content, another one by the byte that stands
/// there so many times, less 126.
#[derive(Clone, Copy, Debug, Default)]
struct Packing;

impl Packing {
    fn pack(plain: &[u8]) -> Vec<u8> {
        let mut packed = (plain.len() as u32).to_be_bytes().to_vec();
        let mut rest = plain;
        while let Some(&byte) = rest.first() {
            let run = run_of(rest, byte);
            if run >= 3 {
                packed.extend([run as u8 + 126, byte]);
                rest = &rest[run..];
                continue;
            }
            let most = rest.len().min(128);
            let literal = (1..most).find(|&at| run_of(&rest[at..], rest[at]) >= 3);
            let literal = literal.unwrap_or(most);
            packed.push(literal as u8 - 1);
            packed.extend_from_slice(&rest[..literal]);
            rest = &rest[literal..];
        }
        packed
    }

    /// What it says that it has become of, and the rest.
    fn claimed(coded: &[u8]) -> Result<(usize, &[u8])> {
        let (len, rest) = coded.split_first_chunk().ok_or_else(corrupt)?;
        Ok((u32::from_be_bytes(*len) as usize, rest))
    }

    fn unpack(mut packed: &[u8], plain: &mut Vec<u8>, limit: usize) -> Result<()> {
        while let Some((&head, rest)) = packed.split_first() {
            let left = limit - plain.len();
            if head < 128 {
                let len = usize::from(head) + 1;
                let literal = rest.get(..len).ok_or_else(corrupt)?;
                plain.extend_from_slice(&literal[..len.min(left)]);
                packed = &rest[len..];
                if len > left {
                    return Err(too_large());
                }
            } else {
                let (&byte, rest) = rest.split_first().ok_or_else(corrupt)?;
                let len = usize::from(head) - 126;
                plain.resize(plain.len() + len.min(left), byte);
                packed = rest;
                if len > left {
                    return Err(too_large());
                }
            }
        }
        Ok(())
    }
}

/// At most as long as can be written.
fn run_of(bytes: &[u8], byte: u8) -> usize {
    bytes.iter().take(129).take_while(|b| **b == byte).count()
}

impl Codec for Packing {
    fn name(&self) -> CodecName {
        CodecName::new("packing").expect("a name")
    }

    fn role(&self) -> CodecRole {
        CodecRole::Compress
    }

    fn encode(&self, plain: Bytes, _: &CodecContext<'_>) -> Result<Encoded> {
        let packed = Self::pack(&plain);
        Ok(if packed.len() < plain.len() {
            Encoded::Coded(packed.into())
        } else {
            Encoded::Declined(plain)
        })
    }

    fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
        let (len, packed) = Self::claimed(&coded)?;
        if len > context.limit {
            return Err(too_large());
        }
        let mut plain = Vec::with_capacity(len);
        Self::unpack(packed, &mut plain, len)?;
        if plain.len() != len {
            return Err(corrupt());
        }
        Ok(plain.into())
    }
}

/// The name of its key, a nonce, the content under a stream of bytes of both, a digest of all that
/// it is bound to. It shows what a seal has to do, and is none.
#[derive(Clone, Copy, Debug)]
struct Sealing {
    key: u8,
    flaws: SealFlaws,
}

/// What the seal forgets.
#[derive(Clone, Copy, Debug, Default)]
struct SealFlaws {
    key: bool,
    part: bool,
    associated: bool,
    half: bool,
    nonce: bool,
}

impl Default for Sealing {
    fn default() -> Self {
        Self::with_key(7)
    }
}

impl Sealing {
    const NONCE: usize = 4;
    const TAG: usize = 8;
    const OVERHEAD: usize = 1 + Self::NONCE + Self::TAG;

    fn with_key(key: u8) -> Self {
        let flaws = SealFlaws::default();
        Self { key, flaws }
    }

    fn that_forgets(flaws: SealFlaws) -> Self {
        Self {
            flaws,
            ..Self::default()
        }
    }

    fn stream(self, nonce: [u8; Self::NONCE], content: &[u8]) -> Vec<u8> {
        let stream = (0_u64..)
            .flat_map(|block| digest(&[&[self.key], &nonce, &block.to_be_bytes()]).to_be_bytes());
        content.iter().zip(stream).map(|(a, b)| a ^ b).collect()
    }

    fn tag(self, sealed: &[u8], context: &CodecContext<'_>) -> [u8; Self::TAG] {
        let (kind, name) = match context.part {
            _ if self.flaws.part => (0, ""),
            Part::Head => (1, ""),
            Part::Body => (2, ""),
            Part::Field(name) => (3, name),
        };
        let half = context.client_half.filter(|_| !self.flaws.half);
        let key = context.key.as_bytes();
        digest(&[
            &[self.key, kind],
            name.as_bytes(),
            if self.flaws.key { &[] } else { key },
            if self.flaws.associated {
                &[]
            } else {
                context.associated
            },
            half.map_or(&[], |half| half),
            sealed,
        ])
        .to_be_bytes()
    }

    /// The nonce and the content.
    fn opened(self, sealed: &[u8]) -> Result<([u8; Self::NONCE], &[u8])> {
        let (key, rest) = sealed.split_first().ok_or_else(tampered)?;
        let (nonce, content) = rest.split_first_chunk().ok_or_else(tampered)?;
        if *key != self.key {
            return Err(Error::new(ErrorKind::Unreadable, "the key is not known"));
        }
        Ok((*nonce, content))
    }
}

/// Of parts, none of which can pass for an end of another. (FNV-1a: short, and the same for ever.)
fn digest(parts: &[&[u8]]) -> u64 {
    let lengths = parts.iter().flat_map(|part| part.len().to_be_bytes());
    let bytes = parts.iter().flat_map(|part| part.iter().copied());
    lengths
        .chain(bytes)
        .fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
            (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
}

impl Codec for Sealing {
    fn name(&self) -> CodecName {
        CodecName::new("sealing").expect("a name")
    }

    fn role(&self) -> CodecRole {
        CodecRole::Seal
    }

    fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nonce = match self.flaws.nonce {
            true => 0,
            false => NEXT.fetch_add(1, Relaxed),
        };
        let nonce = nonce.to_be_bytes();
        let mut sealed = [&[self.key][..], &nonce, &self.stream(nonce, &plain)].concat();
        let tag = self.tag(&sealed, context);
        sealed.extend_from_slice(&tag);
        Ok(Encoded::Coded(sealed.into()))
    }

    fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
        let (sealed, tag) = coded.split_last_chunk().ok_or_else(tampered)?;
        let (nonce, content) = self.opened(sealed)?;
        if content.len() > context.limit {
            return Err(too_large());
        }
        if self.tag(sealed, context) != *tag {
            return Err(tampered());
        }
        Ok(self.stream(nonce, content).into())
    }
}

/// Makes the table: name, what it is made of, the cases that must catch it, and what is wrong.
macro_rules! codec_mutants {
    ($table:ident: $(
        $(#[doc = $flaw:literal])+
        $name:ident $(($($field:ident: $type:ty),*))?: $healthy:ident by $suite:expr, kills [
            $($module:ident :: $case:ident),* $(,)?
        ] { $($wrong:tt)* }
    )*) => {
        $(
            $(#[doc = $flaw])+
            #[allow(non_camel_case_types, reason = "the name of the mutant")]
            #[derive(Debug, Default)]
            struct $name { $($($field: $type),*)? }

            impl Broken for $name {
                type Healthy = $healthy;

                fn suite(peak: Peak) -> CodecSuite {
                    let suite: fn(Peak) -> CodecSuite = $suite;
                    suite(peak)
                }

                $($wrong)*
            }
        )*

        const $table: &[CodecMutant] = &[$(CodecMutant {
            name: stringify!($name),
            flaw: concat!($($flaw),+),
            kills: &[$((stringify!($module), stringify!($case))),*],
            suite: <$name as Broken>::suite,
        }),*];
    };
}

codec_mutants! { HEALTHY:
    /// Nothing is wrong with this compressor.
    compresses: Packing by suite_of_packing::<compresses>, kills [] {}

    /// Nothing is wrong with this seal.
    seals: Sealing by suite_of_seals::<seals>, kills [] {}

    /// Nothing is wrong with this seal, which wants a half from the client.
    seals_with_halves: Sealing by suite_of_halves::<seals_with_halves>, kills [] {}
}

codec_mutants! { MUTANTS:
    /// Loses the last byte of an odd number.
    loses_a_byte: Packing by suite_of_packing::<loses_a_byte>, kills [
        encoding::reads_back_every_length,
    ] {
        fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
            Packing.encode(plain.slice(..plain.len() & !1), context)
        }
    }

    /// Takes for equal what is equal at both ends.
    compares_the_ends: Packing by suite_of_packing::<compares_the_ends>, kills [
        encoding::reads_back_what_does_not_repeat,
    ] {
        fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
            let is_one_run = plain.len() > 60 && plain.first() == plain.last();
            let plain = match plain.first() {
                Some(byte) if is_one_run && !plain.starts_with(b"{") => vec![*byte; plain.len()].into(),
                _ => plain,
            };
            Packing.encode(plain, context)
        }
    }

    /// Writes lengths in 20 bits.
    wraps_at_a_mebibyte: Packing by suite_of_packing::<wraps_at_a_mebibyte>, kills [
        encoding::reads_back_4_mib,
    ] {
        fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
            Packing.encode(plain.slice(..plain.len() & 0xf_ffff), context)
        }
    }

    /// Knows no parts of an empty name.
    knows_no_empty_name: Packing by suite_of_packing::<knows_no_empty_name>, kills [
        encoding::reads_back_every_part,
    ] {
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            match context.part {
                Part::Field("") => Err(corrupt()),
                _ => Packing.decode(coded, context),
            }
        }
    }

    /// Keeps what it works on where all threads can reach it.
    shares_its_buffer(buffer: Mutex<Bytes>): Packing by suite_of_packing::<shares_its_buffer>, kills [
        encoding::reads_back_on_many_threads,
    ] {
        fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
            *self.buffer.lock().unwrap_or_else(PoisonError::into_inner) = plain;
            thread::yield_now();
            let shared = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
            Packing.encode(shared.clone(), context)
        }
    }

    /// Has another name once it has worked.
    changes_its_name(worked: AtomicBool): Packing by suite_of_packing::<changes_its_name>, kills [
        encoding::keeps_its_name_and_role,
    ] {
        fn name(&self) -> CodecName {
            let name = if self.worked.load(Relaxed) { "packing2" } else { "packing" };
            CodecName::new(name).expect("a name")
        }
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            self.worked.store(true, Relaxed);
            Packing.decode(coded, context)
        }
    }

    /// Works no more after an error.
    bears_a_grudge(failed: AtomicBool): Packing by suite_of_packing::<bears_a_grudge>, kills [
        encoding::is_as_before_after_hostile_bytes,
    ] {
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            let decoded = Packing.decode(coded, context);
            if decoded.is_err() || self.failed.load(Relaxed) {
                self.failed.store(true, Relaxed);
                return Err(corrupt());
            }
            decoded
        }
    }

    /// Once much did not shrink, it keeps a part of what comes after.
    is_tired_of_noise(tired: AtomicBool): Packing by suite_of_packing::<is_tired_of_noise>, kills [
        encoding::is_as_before_after_noise,
    ] {
        fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
            let all = plain.len() - usize::from(self.tired.load(Relaxed));
            let encoded = Packing.encode(plain.slice(..all), context)?;
            if matches!(encoded, Encoded::Declined(_)) && all > 1 << 12 {
                self.tired.store(true, Relaxed);
            }
            Ok(encoded)
        }
    }

    /// Codes also what becomes longer by it.
    grows: Packing by suite_of_packing::<grows>, kills [
        compressing::shrinks_or_declines,
    ] {
        fn encode(&self, plain: Bytes, _: &CodecContext<'_>) -> Result<Encoded> {
            Ok(Encoded::Coded(Packing::pack(&plain).into()))
        }
    }

    /// Gives back less than it declined.
    declines_a_part: Packing by suite_of_packing::<declines_a_part>, kills [
        compressing::shrinks_or_declines,
        encoding::reads_back_what_does_not_repeat,
    ] {
        fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
            Ok(match Packing.encode(plain, context)? {
                Encoded::Declined(plain) if plain.len() > 1 => Encoded::Declined(plain.slice(1..)),
                encoded => encoded,
            })
        }
    }

    /// Declines everything.
    declines_everything: Packing by suite_of_packing::<declines_everything>, kills [
        compressing::shrinks_what_repeats,
        records::is_named_where_it_is_not_known,
    ] {
        fn encode(&self, plain: Bytes, _: &CodecContext<'_>) -> Result<Encoded> {
            Ok(Encoded::Declined(plain))
        }
    }

    /// Panics where bytes are missing.
    panics_at_a_cut: Packing by suite_of_packing::<panics_at_a_cut>, kills [
        decoding::survives_every_cut,
    ] {
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            let (len, packed) = Packing::claimed(&coded)?;
            let plain = Packing.decode(coded.clone(), context);
            assert!(plain.is_ok() || len != 3000 || packed.len() > 100, "index out of bounds");
            plain
        }
    }

    /// Believes in the length that stands at the beginning, and decodes more.
    checks_the_claim_only: Packing by suite_of_packing::<checks_the_claim_only>, kills [
        decoding::survives_every_flipped_bit,
    ] {
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            let (len, packed) = Packing::claimed(&coded)?;
            if len > context.limit {
                return Err(too_large());
            }
            let mut plain = Vec::with_capacity(len);
            Packing::unpack(packed, &mut plain, usize::MAX)?;
            Ok(plain.into())
        }
    }

    /// Has an error of no kind for what it cannot read.
    tells_no_kind: Packing by suite_of_packing::<tells_no_kind>, kills [
        decoding::survives_bytes_made_up,
        decoding::survives_every_cut,
    ] {
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            Packing.decode(coded, context).map_err(|error| match error.kind() {
                ErrorKind::Corrupt => Error::new(ErrorKind::Other, "something is wrong"),
                _ => error,
            })
        }
    }

    /// Measures nothing.
    measures_nothing: Packing by |_| suite_of_packing::<measures_nothing>(|run| { run(); 0 }), kills [
        decoding::measures_memory,
    ] {}

    /// Makes room for what the bytes claim.
    makes_room_for_a_claim: Packing by suite_of_packing::<makes_room_for_a_claim>, kills [
        decoding::takes_no_memory_for_a_lie,
    ] {
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            let (len, _) = Packing::claimed(&coded)?;
            std::hint::black_box(Vec::<u8>::with_capacity(len));
            Packing.decode(coded, context)
        }
    }

    /// Looks at the limit when all is unpacked.
    unpacks_before_it_looks: Packing by suite_of_packing::<unpacks_before_it_looks>, kills [
        decoding::takes_no_memory_for_a_bomb,
    ] {
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            let (_, packed) = Packing::claimed(&coded)?;
            let _ = Packing::unpack(packed, &mut Vec::new(), usize::MAX);
            Packing.decode(coded, context)
        }
    }

    /// Has one byte less than is allowed.
    stops_before_the_limit: Packing by suite_of_packing::<stops_before_the_limit>, kills [
        decoding::decodes_up_to_the_limit,
    ] {
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            let limit = context.limit.saturating_sub(1);
            Packing.decode(coded, &CodecContext { limit, ..*context })
        }
    }

    /// Says what it could not read.
    shows_what_it_reads: Packing by suite_of_packing::<shows_what_it_reads>, kills [
        decoding::shows_nothing_that_it_carries,
    ] {
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            let decoded = Packing.decode(coded.clone(), context);
            decoded.map_err(|error| {
                let text = String::from_utf8_lossy(&coded).into_owned();
                Error::new(error.kind(), "it does not unpack").because(text)
            })
        }
    }

    /// Writes and reads in another way than last year.
    reads_nothing_old: Packing by suite_of_packing::<reads_nothing_old>, kills [
        decoding::reads_every_stored_vector,
    ] {
        fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
            Ok(match Packing.encode(plain, context)? {
                Encoded::Coded(coded) => Encoded::Coded(turned(&coded)),
                declined => declined,
            })
        }
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            Packing.decode(turned(&coded), context)
        }
    }

    /// Reads nothing as long as a session.
    reads_no_session: Packing by suite_of_packing::<reads_no_session>, kills [
        records::reads_back_a_session,
    ] {
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            match context.associated {
                b"associated" => Packing.decode(coded, context),
                _ => Err(corrupt()),
            }
        }
    }

    /// Seals nothing that is empty.
    declines_to_seal_nothing: Sealing by suite_of_seals::<declines_to_seal_nothing>, kills [
        sealing::seals_everything,
    ] {
        fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
            if plain.is_empty() {
                return Ok(Encoded::Declined(plain));
            }
            Sealing::default().encode(plain, context)
        }
    }

    /// Seals with a digest alone.
    signs_and_hides_nothing: Sealing by suite_of_seals::<signs_and_hides_nothing>, kills [
        sealing::hides_what_it_seals,
    ] {
        fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
            let mut signed = plain.to_vec();
            signed.extend_from_slice(&Sealing::default().tag(&plain, context));
            Ok(Encoded::Coded(signed.into()))
        }
    }

    /// Has one nonce for all.
    never_changes_its_nonce: Sealing by suite_of_seals::<never_changes_its_nonce>, kills [
        sealing::seals_nothing_twice_alike,
    ] {
        fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
            let flaws = SealFlaws { nonce: true, ..SealFlaws::default() };
            Sealing::that_forgets(flaws).encode(plain, context)
        }
    }

    /// Opens what has no digest.
    needs_no_digest: Sealing by suite_of_seals::<needs_no_digest>, kills [
        sealing::refuses_every_cut,
    ] {
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            let seal = Sealing::default();
            match seal.decode(coded.clone(), context) {
                Err(_) if coded.len() == 1 + Sealing::NONCE => Ok(Bytes::new()),
                decoded => decoded,
            }
        }
    }

    /// Compares the first half of the digest.
    compares_half_a_digest: Sealing by suite_of_seals::<compares_half_a_digest>, kills [
        sealing::refuses_every_flipped_bit,
    ] {
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            let seal = Sealing::default();
            let (sealed, tag) = coded.split_last_chunk::<8>().ok_or_else(tampered)?;
            let (nonce, content) = seal.opened(sealed)?;
            if seal.tag(sealed, context)[..4] != tag[..4] {
                return Err(tampered());
            }
            Ok(seal.stream(nonce, content).into())
        }
    }

    /// Is bound to no session.
    forgets_the_session: Sealing by suite_of_seals::<forgets_the_session>, kills [
        sealing::refuses_what_is_of_another_session,
    ] {
        fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
            let flaws = SealFlaws { key: true, ..SealFlaws::default() };
            Sealing::that_forgets(flaws).encode(plain, context)
        }
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            let flaws = SealFlaws { key: true, ..SealFlaws::default() };
            Sealing::that_forgets(flaws).decode(coded, context)
        }
    }

    /// Is bound to no part.
    forgets_the_part: Sealing by suite_of_seals::<forgets_the_part>, kills [
        sealing::refuses_what_is_of_another_part,
    ] {
        fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
            let flaws = SealFlaws { part: true, ..SealFlaws::default() };
            Sealing::that_forgets(flaws).encode(plain, context)
        }
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            let flaws = SealFlaws { part: true, ..SealFlaws::default() };
            Sealing::that_forgets(flaws).decode(coded, context)
        }
    }

    /// Is bound to no header.
    forgets_the_header: Sealing by suite_of_seals::<forgets_the_header>, kills [
        sealing::refuses_what_is_of_another_header,
    ] {
        fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
            let flaws = SealFlaws { associated: true, ..SealFlaws::default() };
            Sealing::that_forgets(flaws).encode(plain, context)
        }
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            let flaws = SealFlaws { associated: true, ..SealFlaws::default() };
            Sealing::that_forgets(flaws).decode(coded, context)
        }
    }

    /// Takes a key that it does not know for an attack.
    takes_a_stranger_for_a_forger: Sealing by suite_of_seals::<takes_a_stranger_for_a_forger>, kills [
        sealing::leaves_what_an_unknown_key_sealed,
    ] {
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            Sealing::default().decode(coded, context).map_err(|_| tampered())
        }
    }

    /// Opens with any half.
    forgets_the_half: Sealing by suite_of_halves::<forgets_the_half>, kills [
        halves::refuses_another_half,
        halves::refuses_to_go_without_the_half,
    ] {
        fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
            let flaws = SealFlaws { half: true, ..SealFlaws::default() };
            Sealing::that_forgets(flaws).encode(plain, context)
        }
        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            let flaws = SealFlaws { half: true, ..SealFlaws::default() };
            Sealing::that_forgets(flaws).decode(coded, context)
        }
    }
}

/// With every bit turned over.
fn turned(bytes: &Bytes) -> Bytes {
    bytes.iter().map(|byte| !byte).collect()
}

fn corrupt() -> Error {
    Error::new(ErrorKind::Corrupt, "it does not unpack")
}

fn too_large() -> Error {
    Error::new(ErrorKind::TooLarge, "it is longer than the limit")
}

fn tampered() -> Error {
    Error::new(ErrorKind::Tampered, "the digest does not fit")
}
