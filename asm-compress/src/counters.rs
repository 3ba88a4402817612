//! What was counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a codec has done in this process so far.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counting {
            $(pub(crate) $name: Count,)*
        }

        impl Counting {
            pub(crate) fn read(&self) -> Counters {
                Counters { $($name: self.$name.0.load(Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Contents that were compressed.
    compressed,
    /// Bytes that these had before.
    bytes_before,
    /// Bytes that these have now.
    bytes_after,
    /// Contents below the threshold, which were not tried.
    small,
    /// Contents that would have shrunk too little, and were left as they are.
    useless,
    /// Compressions that failed; the session layer stores the content as it is.
    failed,
    /// Contents that were decoded.
    decoded,
    /// Contents that could not be decoded.
    refused,
}

#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, number: usize) {
        self.0.fetch_add(number as u64, Relaxed);
    }
}
