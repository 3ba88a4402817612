//! The list of cases on codecs: names, sentences, and as data.

use std::fmt;

use asm_core::CodecRole;

use super::CodecSuite;

/// Hands the list of all cases on codecs to the macro of this crate that is named, behind these
/// arguments.
///
/// To add a case: write it in `cases.rs`, put its name behind its sentence, and write a codec that
/// is caught by it into `mutants/codecs.rs`.
#[doc(hidden)]
#[macro_export]
macro_rules! __codec_cases {
    ($consumer:ident $arguments:tt) => {
        $crate::$consumer! { $arguments
            encoding [] {
                "What was encoded decodes to the same bytes: nothing, one byte, lengths around every power of two up to 64 KiB, what does not repeat, 4 MiB; for every part of a session, and on many threads at once." => [
                    reads_back_every_length,
                    reads_back_what_does_not_repeat,
                    reads_back_4_mib,
                    reads_back_every_part,
                    reads_back_on_many_threads,
                ],
                "Its name and its role never change." => [
                    keeps_its_name_and_role,
                ],
                "What it answers does not depend on what it was given before." => [
                    is_as_before_after_hostile_bytes,
                    is_as_before_after_noise,
                ],
            }
            compressing [when compressor] {
                "What a compressor codes is shorter than it was; what would not shrink it declines, and gives back unchanged." => [
                    shrinks_or_declines,
                    shrinks_what_repeats,
                ],
            }
            decoding [] {
                "Bytes that were cut, flipped or made up decode to no more than the limit or to `Corrupt`, `TooLarge`, `Tampered` or `Unreadable`, and never panic." => [
                    survives_every_cut,
                    survives_every_flipped_bit,
                    survives_bytes_made_up,
                ],
                "Whatever the bytes claim, decoding takes no more memory than the limit and 64 KiB." => [
                    measures_memory,
                    takes_no_memory_for_a_lie,
                    takes_no_memory_for_a_bomb,
                ],
                "Content of exactly the limit is decoded, longer content is `TooLarge`." => [
                    decodes_up_to_the_limit,
                ],
                "Neither errors nor `Debug` show what is carried." => [
                    shows_nothing_that_it_carries,
                ],
                "What was ever stored is read for ever." => [
                    reads_every_stored_vector,
                ],
            }
            sealing [when seal] {
                "A seal never declines, and adds no more than its author says." => [
                    seals_everything,
                ],
                "What was sealed shows nothing of its content, and the same content never looks the same twice." => [
                    hides_what_it_seals,
                    seals_nothing_twice_alike,
                ],
                "What was sealed and then cut or edited, or is of another session, part or header, is `Tampered`; a key that is not known is `Unreadable`." => [
                    refuses_every_cut,
                    refuses_every_flipped_bit,
                    refuses_what_is_of_another_session,
                    refuses_what_is_of_another_part,
                    refuses_what_is_of_another_header,
                    leaves_what_an_unknown_key_sealed,
                ],
            }
            halves [when half] {
                "What was sealed with a client's half opens with that half and no other." => [
                    refuses_another_half,
                    refuses_to_go_without_the_half,
                ],
            }
            records [unless half] {
                "A session goes through it and back, also for who only reads through it; who does not know it is told its name, and leaves the record." => [
                    reads_back_a_session,
                    is_named_where_it_is_not_known,
                ],
            }
        }
    };
}

/// One case on codecs.
#[derive(Clone, Copy)]
pub struct CodecCase {
    /// Its part of the list.
    pub module: &'static str,
    /// Its name, unique in its part.
    pub name: &'static str,
    /// The sentence that it shows, or shows a part of.
    pub sentence: &'static str,
    /// Which codecs it is for.
    pub needs: CodecNeeds,
    run: fn(&CodecSuite),
}

/// Which codecs a case is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecNeeds {
    /// All.
    Nothing,
    /// Those of this role.
    Role(CodecRole),
    /// Those whose client brings a half of the key.
    Half,
    /// Those whose client brings none.
    NoHalf,
}

impl CodecNeeds {
    /// Whether this codec is among them.
    #[must_use]
    pub fn met_by(self, suite: &CodecSuite) -> bool {
        match self {
            Self::Nothing => true,
            Self::Role(role) => suite.role == role,
            Self::Half => suite.client_half.is_some(),
            Self::NoHalf => suite.client_half.is_none(),
        }
    }
}

impl CodecCase {
    /// The case of this name.
    #[must_use]
    pub fn named(module: &str, name: &str) -> Option<&'static Self> {
        CODEC_CASES
            .iter()
            .find(|case| case.module == module && case.name == name)
    }

    /// Goes through it once. Panics when the sentence does not hold.
    pub fn run(&self, suite: &CodecSuite) {
        (self.run)(suite);
    }
}

impl fmt::Display for CodecCase {
    /// `module::name`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.module, self.name)
    }
}

impl fmt::Debug for CodecCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes the two lists below.
#[doc(hidden)]
#[macro_export]
macro_rules! __codec_tables {
    ({} $($module:ident $needs:tt { $($sentence:literal => [$($name:ident),* $(,)?],)* })*) => {
        /// Every case on codecs.
        pub const CODEC_CASES: &[CodecCase] = &[$($($(CodecCase {
            module: stringify!($module),
            name: stringify!($name),
            sentence: $sentence,
            needs: $crate::__codec_needs!($needs),
            run: super::cases::$name,
        },)*)*)*];

        /// Every sentence on codecs, with its part.
        pub const CODEC_SENTENCES: &[(&str, &str)] = &[$($((stringify!($module), $sentence),)*)*];
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __codec_needs {
    ([]) => {
        CodecNeeds::Nothing
    };
    ([when compressor]) => {
        CodecNeeds::Role(CodecRole::Compress)
    };
    ([when seal]) => {
        CodecNeeds::Role(CodecRole::Seal)
    };
    ([when half]) => {
        CodecNeeds::Half
    };
    ([unless half]) => {
        CodecNeeds::NoHalf
    };
}

crate::__codec_cases! { __codec_tables {} }
