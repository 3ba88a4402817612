//! Nothing wrong: what the mutants are made of.

use super::mutants;

mutants! {
    /// Nothing is wrong, and every facet is there.
    whole {
        kills: [],
    }

    /// Nothing is wrong, and no facet is there.
    bare {
        kills: [],
        facets: &[],
        wrong: {
            fn has(&self, _: crate::Facet) -> bool {
                false
            }
        },
    }
}
