//! M3: memory per session, each store in a process of its own.

use std::{env, error::Error, process::Command};

use asm_bench::{Goal, Options, Report, Row, Unit, resident, try_rounds};
use fastrand::Rng;

use crate::{
    contenders::{Contender, Ours, ShardedMap},
    speed::runtime,
};

const SESSIONS: u32 = 1_000_000;
const DATA: [u8; 200] = [b'x'; 200];

/// Adds the row.
pub(crate) fn row(options: &Options, report: &mut Report) -> Result<(), Box<dyn Error>> {
    if !options.wants("M3") {
        return Ok(());
    }
    // Memory hardly varies, and filling takes seconds.
    let count = if options.quick { 1 } else { 5 };
    for (state, what) in [
        ("made", "created"),
        ("used", "created, then opened and saved"),
    ] {
        let mut contenders = ["ours", "map"];
        let figures = try_rounds(count, &mut contenders, |contender| {
            bytes_of(&format!("{contender}-{state}"))
        })?;
        let what =
            format!("memory per session of 200 B, 10^6 of them, {what}, against a sharded map");
        let goal = Goal::RatioAtMost(1.2);
        report.add(Row::new("M3", what, Unit::Bytes, &figures[0], goal).against(&figures[1]));
    }
    Ok(())
}

/// What a child process measures of this contender.
fn bytes_of(contender: &str) -> Result<f64, Box<dyn Error>> {
    let output = Command::new(env::current_exe()?)
        .args(["--child", contender])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Fills this contender's store, and prints how many bytes of memory that took per session.
pub(crate) fn child(contender: &str) -> Result<(), Box<dyn Error>> {
    let bytes = match contender {
        "ours-made" => fill(&Ours::new(), false)?,
        "ours-used" => fill(&Ours::new(), true)?,
        "map-made" => fill(&ShardedMap::default(), false)?,
        "map-used" => fill(&ShardedMap::default(), true)?,
        _ => return Err("no such contender".into()),
    };
    println!("{bytes}");
    Ok(())
}

fn fill<C: Contender>(store: &C, use_them: bool) -> Result<f64, Box<dyn Error>> {
    let seed = 1;
    let before = resident()?;
    runtime(1)?.block_on(async {
        let mut keys = Rng::with_seed(seed);
        for _ in 0..SESSIONS {
            store.create(keys.u128(..), &DATA).await;
        }
        if use_them {
            let (mut keys, mut rng) = (Rng::with_seed(seed), Rng::new());
            for _ in 0..SESSIONS {
                store.cycle(keys.u128(..), &DATA, &mut rng).await;
            }
        }
    });
    Ok((resident()? - before) as f64 / f64::from(SESSIONS))
}
