//! The tests of the workspace: built once, then run one file at a time.

use std::{
    collections::{BTreeSet, HashMap},
    env,
    error::Error,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use asm_bench::Options;
use regex::Regex;
use serde::Deserialize;

use crate::table::{PROOFS, Proof};

/// Why a test could not be run.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Test programs, by package and file.
pub(crate) struct Tests {
    programs: HashMap<(String, String), Program>,
    options: Options,
}

struct Program {
    path: PathBuf,
    /// Where its package is.
    home: PathBuf,
}

/// What a proof came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) tries: u64,
    pub(crate) violations: u64,
}

impl Tests {
    /// As `./test` builds them; for long runs optimized.
    pub(crate) fn build<'a>(
        proofs: impl Iterator<Item = &'a Proof>,
        options: &Options,
    ) -> Result<Self, Failure> {
        // Always the same packages, so that what they share is built once.
        let packages: BTreeSet<_> = PROOFS
            .iter()
            .map(|one| ["--package", one.package])
            .collect();
        let targets: BTreeSet<_> = proofs.map(|one| ["--test", one.target]).collect();
        let (mut programs, options) = (HashMap::new(), options.clone());
        if targets.is_empty() {
            return Ok(Self { programs, options });
        }
        let mut cargo = Command::new("cargo");
        // What cargo tells of this package: build scripts that look at it would run again.
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(&name);
            }
        }
        let output = cargo
            .args(["test", "--locked", "--all-features", "--no-run"])
            .args(["--message-format", "json-render-diagnostics"])
            .args(options.long.then_some("--release"))
            .args(packages.iter().chain(&targets).flatten())
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err("the tests do not build".into());
        }
        for line in String::from_utf8(output.stdout)?.lines() {
            // Others have no program.
            if let Ok(built) = serde_json::from_str::<Built>(line) {
                let home = built
                    .manifest_path
                    .parent()
                    .unwrap_or_else(|| Path::new("/"));
                let package = home.file_name().unwrap_or_default().to_string_lossy();
                let program = Program {
                    path: built.executable,
                    home: home.into(),
                };
                programs.insert((package.into_owned(), built.target.name), program);
            }
        }
        Ok(Self { programs, options })
    }

    pub(crate) fn run(&self, proof: &Proof) -> Result<Count, Failure> {
        let key = (proof.package.to_owned(), proof.target.to_owned());
        let program = &self.programs.get(&key).ok_or("a test that is not built")?;
        let long = proof.long.filter(|_| self.options.long);
        let quick = proof.quick.filter(|_| self.options.quick);
        let began = Instant::now();
        let mut command = Command::new(&program.path);
        command
            .args(["--nocapture"])
            .args(long.unwrap_or(proof.bounded))
            .args(quick.unwrap_or_default())
            .current_dir(&program.home);
        let more = match self.options {
            Options { quick: true, .. } => proof.given_quick,
            Options { long: true, .. } => proof.given_long,
            _ => &[],
        };
        command.envs([proof.given, more].concat());
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let mut count = Count::read(proof.line, &said)?;
        if !output.status.success() {
            eprintln!("{said}{}", String::from_utf8_lossy(&output.stderr));
            count.violations = count.violations.max(1);
        }
        eprintln!("{:.1?} for {}", began.elapsed(), proof.part());
        Ok(count)
    }
}

/// What cargo says of a program that it built.
#[derive(Deserialize)]
struct Built {
    manifest_path: PathBuf,
    target: Target,
    executable: PathBuf,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

impl Count {
    /// Sums what stands in the lines; tests that failed are violations, too.
    pub(crate) fn read(line: &str, said: &str) -> Result<Self, Failure> {
        let (line, failed) = (
            Regex::new(line)?,
            Regex::new(r"passed; (?<bad>\d+) failed")?,
        );
        let mut count = Self::default();
        for pattern in [&line, &failed] {
            for found in pattern.captures_iter(said) {
                for name in pattern.capture_names().flatten() {
                    let number: u64 = found[name].parse()?;
                    match name {
                        "n" => count.tries += number,
                        _ => count.violations += number,
                    }
                }
            }
        }
        Ok(count)
    }
}
