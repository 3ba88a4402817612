//! What several rounds gave.

use serde::{Deserialize, Serialize};

/// What several rounds gave: the least, the median, the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The one in the middle; of an even number, the mean of the two.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of these values, one a round.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len() - 1;
        Self {
            min: sorted[0],
            median: f64::midpoint(sorted[last / 2], sorted[sorted.len() / 2]),
            max: sorted[last],
        }
    }

    /// Of the ratios round by round, so that what disturbed a whole round cancels out.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn of_ratios(ours: &[f64], yardstick: &[f64]) -> Self {
        let ratios: Vec<f64> = ours.iter().zip(yardstick).map(|(a, b)| a / b).collect();
        Self::of(&ratios)
    }
}

/// The value below which this part of all lies: 0.5 for the median, 0.99 for what one of a hundred is
/// above.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() as f64 * part) as usize;
    sorted[place.min(sorted.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        let one = Spread::of(&[7.0]);
        assert_eq!((one.min, one.median, one.max), (7.0, 7.0, 7.0));
        assert_eq!(Spread::of_ratios(&[2.0, 9.0], &[1.0, 3.0]).max, 3.0);
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<f64> = (0..100).rev().map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), 50.0);
        assert_eq!(quantile(&values, 0.99), 99.0);
        assert_eq!(quantile(&[7.0], 0.99), 7.0);
    }
}
