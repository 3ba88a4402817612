//! The driver and the model, side by side.

mod harness;

use asm_testkit::model::{self, Options};

#[test]
fn answers_as_the_model_does() {
    model::check(|| async { harness::Files::new() }, Options::default());
}
