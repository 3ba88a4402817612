//! The list: what is wrong with each mutant, where its fault is put, and the cases that must catch
//! it.

mod bytes;
mod changes;
mod extras;
mod ids;
mod lifetimes;
mod members;
mod profiles;
mod round_trips;
mod session_trouble;

use asm_testkit::Case;

/// A session layer with one thing wrong.
#[derive(Clone, Copy)]
pub(crate) struct Mutant {
    /// Its name, unique.
    pub(crate) name: &'static str,
    /// What is wrong with it.
    pub(crate) flaw: &'static str,
    /// The cases that must catch it, as part and name.
    pub(crate) kills: &'static [(&'static str, &'static str)],
    /// Where its fault is put.
    pub(crate) places: &'static [Place],
}

/// One place of the session layer's sources, and what a mutant has there instead. Neither cares how
/// its code is spaced.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// The file, in `asm-session/src`.
    pub(crate) file: &'static str,
    /// The function, or those of this name.
    pub(crate) function: &'static str,
    /// What must stand there exactly once: an expression, or statements.
    pub(crate) old: &'static str,
    /// As many of the same type.
    pub(crate) new: &'static str,
}

/// The parts of the list.
const TABLES: [&[Mutant]; 9] = [
    changes::MUTANTS,
    ids::MUTANTS,
    extras::MUTANTS,
    lifetimes::MUTANTS,
    profiles::MUTANTS,
    bytes::MUTANTS,
    round_trips::MUTANTS,
    session_trouble::MUTANTS,
    members::MUTANTS,
];

impl Mutant {
    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = &'static Self> {
        TABLES.iter().flat_map(|mutants| *mutants)
    }

    /// Those that this case must catch.
    pub(crate) fn caught_by(case: &Case) -> impl Iterator<Item = &'static Self> {
        let (module, name) = (case.module, case.name);
        Self::all().filter(move |mutant| mutant.kills.contains(&(module, name)))
    }
}

/// Makes a table of mutants: what is wrong with each, its name, the cases that must catch it, and
/// for each place its file and function, the code there, and the code of the mutant.
macro_rules! mutants {
    (
        $(
            $(#[doc = $flaw:literal])+
            $name:ident {
                kills: [$($module:ident :: $case:ident),* $(,)?],
                wrong: {
                    $($file:literal $function:ident: { $($old:tt)* } => { $($new:tt)* })*
                },
            }
        )*
    ) => {
        /// The mutants of this part.
        pub(super) const MUTANTS: &[$crate::mutants::Mutant] = &[$($crate::mutants::Mutant {
            name: stringify!($name),
            flaw: concat!($($flaw),+),
            kills: &[$((stringify!($module), stringify!($case))),*],
            places: &[$($crate::mutants::Place {
                file: $file,
                function: stringify!($function),
                old: stringify!($($old)*),
                new: stringify!($($new)*),
            }),*],
        }),*];
    };
}
use mutants;
