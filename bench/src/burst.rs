//! What is to be said of a crowd that waited for one lock.

use std::time::{Duration, Instant};

/// What became of a crowd.
#[derive(Clone, Debug)]
pub struct Burst {
    /// When the lock was released that all were waiting for.
    pub began: Instant,
    /// The turn of each, in the order in which they came. There is one at least.
    pub turns: Vec<Turn>,
}

/// When one of them had the lock.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Since when.
    pub held: Instant,
    /// Until when.
    pub released: Instant,
}

impl Turn {
    fn hold(self) -> Duration {
        self.released - self.held
    }
}

impl Burst {
    /// From the first release to the last, by the sum of the holds.
    #[must_use]
    pub fn wall(&self) -> f64 {
        let ends = self.turns.iter().map(|turn| turn.released);
        let wall = ends.max().map_or(Duration::ZERO, |last| last - self.began);
        let holds: Duration = self.turns.iter().map(|turn| turn.hold()).sum();
        wall.as_secs_f64() / holds.as_secs_f64()
    }

    /// The times from a release to the next grant in hand, in milliseconds.
    #[must_use]
    pub fn gaps(&self) -> Vec<f64> {
        let mut last = self.began;
        let mut gaps = Vec::new();
        for turn in self.granted().iter().map(|(_, turn)| turn) {
            gaps.push((turn.held - last).as_secs_f64() * 1e3);
            last = turn.released;
        }
        gaps
    }

    /// The longest that anybody waited, by the holds of those who had come before. Whoever came first
    /// has nobody before, and is out of turn unless it is served first.
    #[must_use]
    pub fn unfairness(&self) -> f64 {
        let (mut before, mut longest) = (Duration::ZERO, 0.0_f64);
        for turn in &self.turns {
            if !before.is_zero() {
                let waited = turn.held - self.began;
                longest = longest.max(waited.as_secs_f64() / before.as_secs_f64());
            }
            before += turn.hold();
        }
        longest
    }

    /// How many grants were to somebody who had come later than another one who still waited.
    #[must_use]
    pub fn out_of_turn(&self) -> f64 {
        let mut waiting: Vec<usize> = (0..self.turns.len()).collect();
        let mut count = 0;
        for (place, _) in self.granted() {
            count += u32::from(waiting.first() != Some(&place));
            waiting.retain(|one| *one != place);
        }
        f64::from(count)
    }

    /// Their turns, and who came when, in the order of the grants.
    fn granted(&self) -> Vec<(usize, Turn)> {
        let mut turns: Vec<_> = self.turns.iter().copied().enumerate().collect();
        turns.sort_by_key(|(_, turn)| turn.held);
        turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_millis(10);

    /// The one who came as the nth is served as this one.
    fn served(order: &[u32]) -> Burst {
        let began = Instant::now();
        let turn = |place: &u32| {
            // A hand-off takes a tenth of a hold.
            let held = began + HOLD / 10 + (HOLD + HOLD / 10) * *place;
            Turn {
                held,
                released: held + HOLD,
            }
        };
        let turns = order.iter().map(turn).collect();
        Burst { began, turns }
    }

    #[test]
    fn whoever_waits_for_those_before_is_treated_fairly() {
        let burst = served(&[0, 1, 2, 3]);
        assert!((burst.wall() - 1.1).abs() < 1e-6);
        // The second waits for one hold and two hand-offs.
        assert!((burst.unfairness() - 1.2).abs() < 1e-6);
        assert_eq!(burst.out_of_turn(), 0.0);
        assert!(burst.gaps().iter().all(|gap| (gap - 1.0).abs() < 1e-6));
        assert_eq!(burst.gaps().len(), 4);
    }

    #[test]
    fn the_last_to_come_and_first_to_be_served_is_seen() {
        let burst = served(&[3, 2, 1, 0]);
        assert!((burst.wall() - 1.1).abs() < 1e-6, "it takes no longer");
        assert!(burst.unfairness() > 2.2, "{}", burst.unfairness());
        assert_eq!(burst.out_of_turn(), 3.0);
        let burst = served(&[0, 2, 1, 3]);
        assert_eq!(burst.out_of_turn(), 1.0);
    }
}
