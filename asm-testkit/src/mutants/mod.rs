//! Broken drivers: the tester, tested.
//!
//! Each [`Mutant`] is a healthy driver with one thing wrong, and names the cases that must catch it.
//! A case that no mutant needs shows nothing.
//!
//! ```
//! use asm_testkit::{Way, mutants::Mutant};
//!
//! let mutant = Mutant::named("release_by_anyone").expect("one of the list");
//! let suite = mutant.suite();
//! for case in mutant.killers() {
//!     assert!(suite.check(Way::Direct, case).is_err(), "{case}");
//! }
//! ```
//!
//! To add one: put it into the table of its part, with the method that is wrong (a
//! [`Layer`](crate::Layer)'s), or with what is wrong below the verbs.

pub mod codecs;

mod bench;
mod draft;
mod harness;

mod feed;
mod fields;
mod healthy;
mod inventory;
mod locks;
mod records;
mod subjects;
mod sweep;
mod trouble;

use std::{fmt, time::Duration};

use crate::{
    Case, Facet, Harness, Suite,
    model::{Comparison, Difference, Options, Tally},
};

/// A driver with one thing wrong.
#[derive(Clone, Copy)]
pub struct Mutant {
    /// Its name, unique.
    pub name: &'static str,
    /// What is wrong with it.
    pub flaw: &'static str,
    /// The cases that must fail with it, as part and name.
    pub kills: &'static [(&'static str, &'static str)],
    facets: &'static [Facet],
    suite: fn() -> Suite,
    start: fn() -> Box<dyn Harness>,
}

/// How long a case may take with a mutant before it counts as hung: what waits for ever is caught.
const PATIENCE: Duration = Duration::from_secs(2);

/// The parts of the list of mutants, under the names that the cases' parts have.
const TABLES: [(&str, &[Mutant]); 8] = [
    ("records", records::MUTANTS),
    ("locks", locks::MUTANTS),
    ("fields", fields::MUTANTS),
    ("feed", feed::MUTANTS),
    ("subjects", subjects::MUTANTS),
    ("sweep", sweep::MUTANTS),
    ("inventory", inventory::MUTANTS),
    ("trouble", trouble::MUTANTS),
];

impl Mutant {
    /// All of them.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        TABLES.iter().flat_map(|(_, mutants)| *mutants)
    }

    /// The parts of the contract whose cases are about drivers: a mutant needs each of these cases.
    pub fn parts() -> impl Iterator<Item = &'static str> {
        TABLES.iter().map(|(part, _)| *part)
    }

    /// The drivers that they are made of, with nothing wrong: one with every facet, one with none.
    pub fn healthy() -> impl Iterator<Item = &'static Self> {
        healthy::MUTANTS.iter()
    }

    /// A storage of one with every facet and nothing wrong.
    pub(crate) fn healthy_storage() -> Box<dyn Harness> {
        (healthy::MUTANTS[0].start)()
    }

    /// The mutant of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::all().find(|mutant| mutant.name == name)
    }

    /// Those that this case must catch.
    pub fn caught_by(case: &Case) -> impl Iterator<Item = &'static Self> {
        let (module, name) = (case.module, case.name);
        Self::all().filter(move |mutant| mutant.kills.contains(&(module, name)))
    }

    /// The cases that must catch it.
    ///
    /// # Panics
    /// When it names a case that there is not.
    pub fn killers(&self) -> impl Iterator<Item = &'static Case> {
        let name = self.name;
        self.kills.iter().map(move |(module, case)| {
            Case::named(module, case)
                .unwrap_or_else(|| panic!("{name} names {module}::{case}, which there is not"))
        })
    }

    /// The cases that run on it.
    pub fn cases(&self) -> impl Iterator<Item = &'static Case> {
        let facets = self.facets;
        crate::CASES.iter().filter(|case| case.needs.met_by(facets))
    }

    /// The driver under test.
    #[must_use]
    pub fn suite(&self) -> Suite {
        (self.suite)().facets(self.facets).patience(PATIENCE)
    }

    /// Compares it with the [model](crate::model).
    ///
    /// # Errors
    /// The shortest history that was found in which they differ.
    pub fn compare(&self, options: Options) -> Result<Tally, Difference> {
        let start = self.start;
        Comparison::of(Box::new(move || Box::pin(async move { start() })), options).run()
    }
}

impl fmt::Debug for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mutant({})", self.name)
    }
}

/// Makes a table of mutants: name, what all its handles note together (if they do), the cases that
/// must catch it, what is broken below the verbs, and the methods that are wrong.
macro_rules! mutants {
    (
        $(
            $(#[doc = $flaw:literal])+
            $name:ident $(notes $notes:ty)? {
                kills: [$($module:ident :: $case:ident),* $(,)?],
                $(facets: $facets:expr,)?
                $(flaws: { $($flaws:tt)* },)?
                $(wrong: { $($wrong:tt)* },)?
            }
        )*
    ) => {
        $(
            $(#[doc = $flaw])+
            #[allow(non_camel_case_types, reason = "the name of the mutant")]
            #[derive(Debug)]
            struct $name {
                base: $crate::mutants::bench::Base,
                #[allow(dead_code, reason = "not every mutant takes notes")]
                notes: $crate::mutants::harness::Notes<
                    $crate::mutants::mutants!(@or [$($notes)?] ())
                >,
            }

            impl $crate::mutants::harness::Broken for $name {
                type Notes = $crate::mutants::mutants!(@or [$($notes)?] ());

                const FLAWS: $crate::mutants::bench::Flaws = $crate::mutants::bench::Flaws {
                    $($($flaws)*)?
                    ..$crate::mutants::bench::Flaws::NONE
                };

                fn new(
                    base: $crate::mutants::bench::Base,
                    notes: $crate::mutants::harness::Notes<Self::Notes>,
                ) -> Self {
                    Self { base, notes }
                }
            }

            #[async_trait::async_trait]
            impl $crate::Layer for $name {
                fn inner(&self) -> &dyn asm_core::Driver {
                    &self.base
                }

                $($($wrong)*)?
            }
        )*

        /// The mutants of this part.
        pub(super) const MUTANTS: &[$crate::mutants::Mutant] = &[$($crate::mutants::Mutant {
            name: stringify!($name),
            flaw: concat!($($flaw),+),
            kills: &[$((stringify!($module), stringify!($case))),*],
            facets: $crate::mutants::mutants!(@or_expr [$($facets)?] &$crate::Facet::ALL),
            suite: $crate::mutants::harness::suite::<$name>,
            start: $crate::mutants::harness::start::<$name>,
        }),*];
    };
    (@or [$given:ty] $default:ty) => { $given };
    (@or [] $default:ty) => { $default };
    (@or_expr [$given:expr] $default:expr) => { $given };
    (@or_expr [] $default:expr) => { $default };
}
use mutants;
