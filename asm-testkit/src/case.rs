//! The list of cases as data.

use std::fmt;

use futures_util::future::LocalBoxFuture;

use crate::Harness;

/// One case of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its part of the contract.
    pub module: &'static str,
    /// Its name, unique in its module.
    pub name: &'static str,
    /// The sentence that it shows, or shows a part of.
    pub sentence: &'static str,
    /// Which drivers it is for.
    pub needs: Needs,
    run: Body,
}

type Body = for<'a> fn(&'a dyn Harness) -> LocalBoxFuture<'a, ()>;

/// Which drivers a case is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// All.
    Nothing,
    /// Those that have this facet.
    Facet(Facet),
    /// Those that do not.
    Absence(Facet),
}

/// What a driver may have beyond the two stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facet {
    /// [`LocklessFields`](asm_core::LocklessFields).
    Fields,
    /// [`ChangeFeed`](asm_core::ChangeFeed).
    Changes,
    /// [`SubjectIndex`](asm_core::SubjectIndex).
    Subjects,
    /// [`Sweep`](asm_core::Sweep).
    Sweeper,
    /// [`Inventory`](asm_core::Inventory).
    Inventory,
}

impl Facet {
    /// Every facet that there is.
    pub const ALL: [Self; 5] = [
        Self::Fields,
        Self::Changes,
        Self::Subjects,
        Self::Sweeper,
        Self::Inventory,
    ];

    /// Whether this driver has it.
    #[must_use]
    pub fn is_in(self, driver: &dyn asm_core::Driver) -> bool {
        match self {
            Self::Fields => driver.fields().is_some(),
            Self::Changes => driver.changes().is_some(),
            Self::Subjects => driver.subjects().is_some(),
            Self::Sweeper => driver.sweeper().is_some(),
            Self::Inventory => driver.inventory().is_some(),
        }
    }
}

impl Needs {
    /// Whether a driver with exactly these facets is among them.
    #[must_use]
    pub fn met_by(self, facets: &[Facet]) -> bool {
        match self {
            Self::Nothing => true,
            Self::Facet(facet) => facets.contains(&facet),
            Self::Absence(facet) => !facets.contains(&facet),
        }
    }
}

impl Case {
    /// The case of this name.
    #[must_use]
    pub fn named(module: &str, name: &str) -> Option<&'static Self> {
        CASES
            .iter()
            .find(|case| case.module == module && case.name == name)
    }

    /// Goes through it once. Panics when the sentence does not hold.
    pub async fn run(&self, harness: &dyn Harness) {
        (self.run)(harness).await;
    }
}

impl fmt::Display for Case {
    /// `module::name`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.module, self.name)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes the two lists below.
#[doc(hidden)]
#[macro_export]
macro_rules! __tables {
    ({} $($module:ident $needs:tt { $($sentence:literal => [$($name:ident),* $(,)?],)* })*) => {
        /// Every case of the suite, in the order of the contract.
        pub const CASES: &[Case] = &[$($($(Case {
            module: stringify!($module),
            name: stringify!($name),
            sentence: $sentence,
            needs: $crate::__needs!($needs),
            run: |harness| Box::pin($crate::cases::$module::$name(harness)),
        },)*)*)*];

        /// Every sentence of the contract, with its part.
        pub const SENTENCES: &[(&str, &str)] = &[$($((stringify!($module), $sentence),)*)*];
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __needs {
    ([]) => {
        $crate::Needs::Nothing
    };
    ([when $facet:ident]) => {
        $crate::Needs::Facet($crate::__facet!($facet))
    };
    ([unless $facet:ident]) => {
        $crate::Needs::Absence($crate::__facet!($facet))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __facet {
    (fields) => {
        $crate::Facet::Fields
    };
    (changes) => {
        $crate::Facet::Changes
    };
    (subjects) => {
        $crate::Facet::Subjects
    };
    (sweeper) => {
        $crate::Facet::Sweeper
    };
    (inventory) => {
        $crate::Facet::Inventory
    };
}

crate::__cases! { __tables {} }
