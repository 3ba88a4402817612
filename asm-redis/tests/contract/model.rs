//! The driver and the model, side by side.

use std::time::Duration;

use crate::harness::Redis;
use asm_testkit::model::{self, Options};

/// By how much a time may be off because the server's goes on by itself.
const SLACK: Duration = Duration::from_millis(500);

#[test]
fn answers_as_the_model_does() {
    check(Options {
        calls: 2_000,
        each: 0,
        ..Options::default()
    });
}

#[test]
#[ignore = "takes minutes: 100,000 answers, and each outcome a hundred times"]
fn answers_as_the_model_does_for_long() {
    check(Options::default());
}

fn check(mut options: Options) {
    options.slack = SLACK;
    model::check(|| Redis::alone(""), options);
}
