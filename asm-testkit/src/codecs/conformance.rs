//! The macro that makes the suite of a codec: it writes the test functions, and the kit their
//! bodies.

/// One named `#[test]` for each case that concerns this codec. For several codecs put each into a
/// module of its own.
///
/// - `compressor`, or `seal` and `stranger`: how the codec is made, and a seal that knows none of
///   its keys. A compressor should encode from the first byte, or at most from 2 KiB on.
/// - `peak`: runs what it is given and answers the most memory that was taken at once meanwhile on
///   this thread, in bytes. It takes an allocator that counts, which a test's binary chooses for
///   itself: `allocation-counter` is one.
/// - `vectors`: [`Vector`](crate::codecs::Vector)s, what must be read for ever. One that is missing
///   is shown by the test that misses it.
/// - `half`, if the client brings one of the halves of a seal's key: any 32 bytes.
/// - `settings`, if there are any: further methods of [`CodecSuite`](crate::codecs::CodecSuite).
///
/// ```text
/// asm_testkit::codec_conformance! {
///     compressor: Fold::default,
///     peak: |run| allocation_counter::measure(run).bytes_max,
///     vectors: [Vector::hex("aaaaaaaa", "0861")],
///     settings: { sizes: [1023, 1024, 1025] },
/// }
///
/// mod sealed {
///     asm_testkit::codec_conformance! {
///         seal: || Wax::new(RING),
///         stranger: || Wax::new(ANOTHER_RING),
///         peak: |run| allocation_counter::measure(run).bytes_max,
///         vectors: [Vector::hex("", "01a5f3")],
///         half: [7; 32],
///         settings: { overhead: 80 },
///     }
/// }
/// ```
#[macro_export]
macro_rules! codec_conformance {
    (
        compressor: $make:expr,
        peak: $peak:expr,
        vectors: $vectors:expr
        $(, settings: { $($setting:ident : $value:expr),* $(,)? })?
        $(,)?
    ) => {
        $crate::__codec_conformance! {
            [compressor]
            $crate::codecs::CodecSuite::compressor($make)
                .peak($peak)
                .vectors($vectors)
                $($(.$setting($value))*)?
        }
    };
    (
        seal: $make:expr,
        stranger: $stranger:expr,
        peak: $peak:expr,
        vectors: $vectors:expr
        $(, settings: { $($setting:ident : $value:expr),* $(,)? })?
        $(,)?
    ) => {
        $crate::__codec_conformance! {
            [seal]
            $crate::codecs::CodecSuite::seal($make, $stranger)
                .peak($peak)
                .vectors($vectors)
                $($(.$setting($value))*)?
        }
    };
    (
        seal: $make:expr,
        stranger: $stranger:expr,
        peak: $peak:expr,
        vectors: $vectors:expr,
        half: $half:expr
        $(, settings: { $($setting:ident : $value:expr),* $(,)? })?
        $(,)?
    ) => {
        $crate::__codec_conformance! {
            [seal half]
            $crate::codecs::CodecSuite::seal($make, $stranger)
                .peak($peak)
                .vectors($vectors)
                .client_half($half)
                $($(.$setting($value))*)?
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __codec_conformance {
    ($kinds:tt $suite:expr) => {
        #[cfg(test)]
        fn codec_suite() -> $crate::codecs::CodecSuite {
            $suite
        }

        $crate::__codec_cases! { __codec_tests { $kinds } }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __codec_tests {
    ({ $kinds:tt } $($module:ident $needs:tt { $($sentence:literal => [$($name:ident),* $(,)?],)* })*) => {
        $($crate::__if_needed! { $needs $kinds
            #[cfg(test)]
            mod $module {$($(
                #[test]
                fn $name() {
                    super::codec_suite().run(stringify!($module), stringify!($name));
                }
            )*)*}
        })*
    };
}
