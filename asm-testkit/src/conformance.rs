//! The macro that makes the suite of a driver: it writes the test functions, and the kit their
//! bodies.

/// One named `#[test]` for each case of the contract that concerns this driver.
///
/// Each case runs twice, on a fresh storage each time: `direct` on the driver as
/// [`Harness::connect`](crate::Harness::connect) answers it, and `arc` from behind one more
/// pointer. So `cargo test locks::` runs all cases on locks, and `cargo test direct::locks::` once.
///
/// - `setup`: an `async fn`, or a closure that answers a future, which makes a
///   [`Harness`](crate::Harness).
/// - `facets`: what the driver has, of `fields`, `changes`, `subjects`, `sweeper`,
///   `inventory`. A driver that
///   has another one, or lacks one of these, fails `declaration`.
/// - `deviations`, if there are any: cases that this driver does not pass, and why. Such a case must
///   really fail; one that passes fails its test, so that the list never tells less than the truth.
///
/// ```text
/// asm_testkit::conformance! {
///     setup: TapeHarness::start,
///     facets: [fields, sweeper],
///     deviations: [locks::grants_in_order: "the tape has one head"],
/// }
/// ```
#[macro_export]
macro_rules! conformance {
    (
        setup: $setup:expr,
        facets: [$($facet:ident),* $(,)?]
        $(, deviations: [$($module:ident :: $case:ident : $why:literal),* $(,)?])?
        $(,)?
    ) => {
        #[cfg(test)]
        fn conformance_suite() -> $crate::Suite {
            $($(let _ = $crate::cases::$module::$case;)*)?
            $crate::Suite::new($setup)
                .facets(&[$($crate::__facet!($facet)),*])
                $($(.deviation(stringify!($module), stringify!($case), $why))*)?
        }

        $crate::__cases! { __tests { [$($facet)*] } }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    ({ $facets:tt } $($module:ident $needs:tt { $($sentence:literal => [$($name:ident),* $(,)?],)* })*) => {
        #[cfg(test)]
        mod declaration {
            #[test]
            fn keeps_the_contract_of_this_kit() {
                super::conformance_suite().check_contract();
            }

            #[test]
            fn has_exactly_the_declared_facets() {
                super::conformance_suite().check_facets();
            }

            #[test]
            fn deviates_only_in_cases_that_run() {
                super::conformance_suite().check_deviations();
            }
        }

        #[cfg(test)]
        mod direct {
            $($crate::__if_needed! { $needs $facets
                mod $module {$($(
                    #[test]
                    fn $name() {
                        super::super::conformance_suite().run(
                            $crate::Way::Direct,
                            stringify!($module),
                            stringify!($name),
                        );
                    }
                )*)*}
            })*
        }

        #[cfg(test)]
        mod arc {
            $($crate::__if_needed! { $needs $facets
                mod $module {$($(
                    #[test]
                    fn $name() {
                        super::super::conformance_suite().run(
                            $crate::Way::BehindArc,
                            stringify!($module),
                            stringify!($name),
                        );
                    }
                )*)*}
            })*
        }
    };
}

/// Items of a part, if the facets that are declared (or what kind of codec it is) meet its needs.
#[doc(hidden)]
#[macro_export]
macro_rules! __if_needed {
    ([] $facets:tt $($item:tt)*) => { $($item)* };

    ([when fields] [fields $($rest:ident)*] $($item:tt)*) => { $($item)* };
    ([when changes] [changes $($rest:ident)*] $($item:tt)*) => { $($item)* };
    ([when subjects] [subjects $($rest:ident)*] $($item:tt)*) => { $($item)* };
    ([when sweeper] [sweeper $($rest:ident)*] $($item:tt)*) => { $($item)* };
    ([when inventory] [inventory $($rest:ident)*] $($item:tt)*) => { $($item)* };
    ([when compressor] [compressor $($rest:ident)*] $($item:tt)*) => { $($item)* };
    ([when seal] [seal $($rest:ident)*] $($item:tt)*) => { $($item)* };
    ([when half] [half $($rest:ident)*] $($item:tt)*) => { $($item)* };
    ([when $facet:ident] [] $($item:tt)*) => {};

    ([unless fields] [fields $($rest:ident)*] $($item:tt)*) => {};
    ([unless changes] [changes $($rest:ident)*] $($item:tt)*) => {};
    ([unless subjects] [subjects $($rest:ident)*] $($item:tt)*) => {};
    ([unless sweeper] [sweeper $($rest:ident)*] $($item:tt)*) => {};
    ([unless inventory] [inventory $($rest:ident)*] $($item:tt)*) => {};
    ([unless half] [half $($rest:ident)*] $($item:tt)*) => {};
    ([unless $facet:ident] [] $($item:tt)*) => { $($item)* };

    ([$if:ident $facet:ident] [$other:ident $($rest:ident)*] $($item:tt)*) => {
        $crate::__if_needed! { [$if $facet] [$($rest)*] $($item)* }
    };
}
