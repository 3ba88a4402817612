//! When content is worth compressing.

use std::{fmt, str::FromStr};

use asm_core::{Error, Result};

use crate::errors::invalid;

/// From how many bytes on content is compressed.
///
/// ```
/// use asm_compress::Threshold;
///
/// assert_eq!(Threshold::default(), Threshold::at(2048));
/// assert!(Threshold::ALWAYS.admits(0));
/// assert!(!Threshold::OFF.admits(usize::MAX));
/// // As it stands in a configuration. 0 is no way to say "off".
/// assert_eq!("4096".parse::<Threshold>()?, Threshold::at(4096));
/// assert_eq!("0".parse::<Threshold>()?, Threshold::ALWAYS);
/// assert_eq!("off".parse::<Threshold>()?, Threshold::OFF);
/// assert!("a little".parse::<Threshold>().is_err());
/// # Ok::<(), asm_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Threshold(Option<usize>);

impl Threshold {
    /// Whatever its length.
    pub const ALWAYS: Self = Self(Some(0));

    /// Never. What was compressed before is read all the same.
    pub const OFF: Self = Self(None);

    /// From this many bytes on.
    #[must_use]
    pub const fn at(bytes: usize) -> Self {
        Self(Some(bytes))
    }

    /// Whether content of this length is compressed.
    #[must_use]
    pub fn admits(self, bytes: usize) -> bool {
        self.0.is_some_and(|least| bytes >= least)
    }
}

impl Default for Threshold {
    /// 2048 bytes: a kilobyte of JSON shrinks to no less than three quarters.
    fn default() -> Self {
        Self::at(2048)
    }
}

impl FromStr for Threshold {
    type Err = Error;

    /// A number of bytes, `always` or `off`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "off" => Ok(Self::OFF),
            "always" => Ok(Self::ALWAYS),
            number => number
                .parse()
                .map(Self::at)
                .map_err(|_| invalid("a threshold is a number of bytes, \"always\" or \"off\"")),
        }
    }
}

impl fmt::Display for Threshold {
    /// As it is parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, "{bytes}"),
            None => f.write_str("off"),
        }
    }
}

/// How small content must become to be stored compressed, as a part of what it was: reading it back
/// costs time, which a few bytes do not pay for.
///
/// ```
/// use asm_compress::Ratio;
///
/// assert_eq!(Ratio::default(), Ratio::new(0.95)?);
/// assert_eq!(Ratio::new(0.5)?.of(1000), 500);
/// assert!(Ratio::new(0.0).is_err());
/// # Ok::<(), asm_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio(f64);

impl Ratio {
    /// Whatever shrinks, be it by one byte.
    pub const ANY: Self = Self(1.0);

    /// At most this part of what it was.
    ///
    /// # Errors
    /// `Invalid` unless it is more than 0 and at most 1.
    pub fn new(part: f64) -> Result<Self> {
        if part > 0.0 && part <= 1.0 {
            Ok(Self(part))
        } else {
            Err(invalid("a ratio is more than 0 and at most 1"))
        }
    }

    /// That part of so many bytes, rounded down.
    #[must_use]
    pub fn of(self, bytes: usize) -> usize {
        (bytes as f64 * self.0) as usize
    }
}

impl Default for Ratio {
    /// 0.95.
    fn default() -> Self {
        Self(0.95)
    }
}
