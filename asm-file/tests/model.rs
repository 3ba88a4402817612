//! The driver and the model, side by side.

mod harness;

use asm_testkit::model::{self, Options};

#[test]
fn answers_as_the_model_does() {
    check(Options {
        calls: 1_000,
        each: 0,
        ..Options::default()
    });
}

#[test]
#[ignore = "takes minutes: 100,000 answers, and each outcome a hundred times"]
fn answers_as_the_model_does_for_long() {
    check(Options::default());
}

fn check(options: Options) {
    model::check(|| async { harness::Files::new() }, options);
}
