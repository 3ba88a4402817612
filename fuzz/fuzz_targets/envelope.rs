#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| (asm_it::Target::named("envelope").feed)(input));
