//! A bounded number of hostile inputs for each target, in every ordinary run. `fuzz/` has the same
//! targets for a fuzzer that learns.

use std::{
    env, fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
};

use asm_it::{Mutations, Target, targets};

/// Inputs for each target, or as many as `ASM_INPUTS` says.
const INPUTS: usize = 200_000;

/// What may be taken beyond the limit.
const ROOM: usize = 64 << 10;

/// One test for each target, so that they run beside each other.
macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                attack(Target::named(stringify!($name)));
            }
        )*

        #[test]
        fn every_target_is_attacked() {
            let attacked = [$(stringify!($name)),*];
            let names: Vec<_> = targets().map(|target| target.name).collect();
            assert_eq!(attacked[..], names[..]);
            for name in names {
                let file = fuzz().join("fuzz_targets").join(name).with_extension("rs");
                assert!(file.exists(), "{} is not fuzzed", file.display());
            }
        }
    };
}

targets! { id envelope head seal cookie keys gzip lzf lz4 snappy cm compressors lzf_block }

fn attack(target: &Target) {
    let mut seeds = (target.seeds)();
    seeds.extend(kept(target.name));
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    let inputs = env::var("ASM_INPUTS").map_or(INPUTS, |inputs| inputs.parse().expect("a number"));
    let mutations = Mutations::new(seeds.clone(), 71).take(inputs);
    let mut number = 0;
    for input in seeds.into_iter().chain(mutations) {
        let peak = allocation_counter::measure(|| {
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.feed)(&input)));
            if outcome.is_err() {
                panic!("{}: input {number} is {}", target.name, hex(&input));
            }
        });
        let most = (target.limit)(&input) + input.len() + ROOM;
        assert!(
            peak.bytes_max <= most as u64,
            "{}: input {number} takes {} bytes at once: {}",
            target.name,
            peak.bytes_max,
            hex(&input)
        );
        number += 1;
    }
    println!("{}: {number} inputs, 0 failures", target.name);
}

/// What a fuzzer has found worth keeping.
fn kept(name: &str) -> Vec<Vec<u8>> {
    let Ok(folder) = fs::read_dir(fuzz().join("seeds").join(name)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = folder
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let read = |path: PathBuf| fs::read(path).expect("a seed");
    paths.into_iter().map(read).collect()
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
