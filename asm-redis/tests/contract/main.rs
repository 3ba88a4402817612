//! The contract, on one server in both protocols, on a Cluster, and under Sentinel.

mod harness;
mod model;

mod resp2 {
    asm_testkit::conformance! {
        setup: || crate::harness::Redis::alone(""),
        facets: [fields, changes, subjects, inventory],
    }
}

mod resp3 {
    asm_testkit::conformance! {
        setup: || crate::harness::Redis::alone("?protocol=resp3"),
        facets: [fields, changes, subjects, inventory],
    }
}

mod cluster {
    asm_testkit::conformance! {
        setup: crate::harness::Redis::cluster,
        facets: [fields, changes, subjects, inventory],
    }
}

mod sentinel {
    asm_testkit::conformance! {
        setup: crate::harness::Redis::sentinel,
        facets: [fields, changes, subjects, inventory],
    }
}
