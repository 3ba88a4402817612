//! The load: `wrk`, for a bounded time.

use std::{error::Error, fs, process::Command, time::Duration};

use asm_bench::{Options, cpu_time};

use crate::contenders::Contender;

/// How long a contender is measured in each round; `wrk` counts in seconds.
pub(crate) fn round(options: &Options) -> Duration {
    Duration::from_secs(if options.quick { 1 } else { 2 })
}

/// How long it runs before that.
pub(crate) const WARM_UP: Duration = Duration::from_secs(1);

const CONNECTIONS: u32 = 32;

/// What a load came to.
pub(crate) struct Load {
    /// Requests a second, all of which were answered well.
    pub(crate) rate: f64,
    /// Processor time of the application for each, in milliseconds.
    pub(crate) cpu: f64,
}

/// For so long.
pub(crate) fn run(
    contender: &Contender,
    method: &str,
    path: &str,
    time: Duration,
) -> Result<Load, Box<dyn Error>> {
    let script = tempfile::Builder::new().suffix(".lua").tempfile()?;
    fs::write(script.path(), requests(contender, method, path))?;
    let billed = cpu_time();
    let output = Command::new("wrk")
        .arg(format!("--connections={CONNECTIONS}"))
        .arg("--threads=1")
        .arg(format!("--duration={}s", time.as_secs()))
        .arg("--script")
        .arg(script.path())
        .arg(format!("http://{}{path}", contender.address))
        .output()
        .map_err(|error| format!("wrk: {error}; it is a package of that name"))?;
    // The application is a part of this process, which does nothing else meanwhile.
    let billed = cpu_time() - billed;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || said.contains("Non-2xx") || said.contains("Socket errors") {
        return Err(format!("{method} {path}: {said}").into());
    }
    let rate = said
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    let rate = rate.ok_or("wrk names no rate")?.trim().parse()?;
    let requests = said
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "));
    let requests: f64 = requests.ok_or("wrk names no number")?.0.parse()?;
    let cpu = billed.as_secs_f64() * 1e3 / requests;
    Ok(Load { rate, cpu })
}

/// A request for each session, in turn. They are made before the load begins.
fn requests(contender: &Contender, method: &str, path: &str) -> String {
    let cookies: String = contender
        .cookies
        .iter()
        .map(|cookie| format!("  \"{cookie}\",\n"))
        .collect();
    format!(
        "local cookies = {{\n{cookies}}}\n\
         local requests, place = {{}}, 0\n\
         init = function()\n\
         \x20 for i, cookie in ipairs(cookies) do\n\
         \x20   requests[i] = wrk.format(\"{method}\", \"{path}\", {{ [\"Cookie\"] = cookie }})\n\
         \x20 end\n\
         end\n\
         request = function()\n\
         \x20 place = place % #requests + 1\n\
         \x20 return requests[place]\n\
         end\n"
    )
}
