//! The contract, on sessions in files.

mod harness;

asm_testkit::conformance! {
    setup: || async { harness::Files::new() },
    facets: [fields, changes, subjects, sweeper, inventory],
}
