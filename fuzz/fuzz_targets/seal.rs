//! Feeds `seal` of `asm_it::TARGETS`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asm_it::feed("seal", data));
