//! On what it was measured, and with what.

use std::{error::Error, fs, path::Path, process::Command, thread};

use rustix::system::uname;
use serde::Deserialize;

/// The crates whose version tells what was compared.
const CRATES: [&str; 25] = [
    "actix-session",
    "actix-web",
    "aes-gcm",
    "axum",
    "chacha20poly1305",
    "cookie",
    "dashmap",
    "deadpool-redis",
    "flate2",
    "fred",
    "hashbrown",
    "hyper",
    "lz4_flex",
    "miniz_oxide",
    "redis",
    "serde_json",
    "sha2",
    "snap",
    "tokio",
    "tower-sessions",
    "tower-sessions-core",
    "tower-sessions-redis-store",
    "zlib-rs",
    "libz-sys",
    "lzf-sys",
];

/// A line for each thing.
pub(crate) fn lines(home: &Path, server: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut lines = vec![
        format!(
            "{} cores ({}), {}, {} {}",
            thread::available_parallelism()?,
            field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into()),
            memory().unwrap_or_else(|| "unknown memory".into()),
            uname().sysname().to_string_lossy(),
            kernel(),
        ),
        said(Path::new("rustc"), "--version")?,
        said(server, "--version")?,
    ];
    // It goes on with a usage, and fails.
    let wrk = Command::new("wrk").arg("--version").output()?;
    let wrk = String::from_utf8_lossy(&wrk.stdout).into_owned();
    lines.push(wrk.split('[').next().unwrap_or_default().trim().to_owned());
    lines.push(crates(home)?.join(", "));
    Ok(lines)
}

/// Its version, without what its packager adds.
fn kernel() -> String {
    let release = uname().release().to_string_lossy().into_owned();
    let version = release.split('-').next();
    version.unwrap_or_default().to_owned()
}

fn said(program: &Path, argument: &str) -> Result<String, Box<dyn Error>> {
    let output = Command::new(program).arg(argument).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn memory() -> Option<String> {
    let kib = field("/proc/meminfo", "MemTotal")?;
    let kib: f64 = kib.strip_suffix(" kB")?.parse().ok()?;
    Some(format!("{:.0} GiB of memory", kib / 1024.0 / 1024.0))
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

fn crates(home: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let lock: Lock = toml::from_str(&fs::read_to_string(home.join("Cargo.lock"))?)?;
    let compared = |package: &&Package| CRATES.contains(&package.name.as_str());
    let packages = lock.package.iter().filter(compared);
    Ok(packages
        .map(|Package { name, version }| format!("{name} {version}"))
        .collect())
}
