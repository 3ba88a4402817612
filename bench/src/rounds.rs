//! Contenders take turns.

/// Lets each contender run once a round, each round beginning with another one. Answers the figures
/// of each contender, round by round.
pub fn rounds<C>(
    count: u32,
    contenders: &mut [C],
    mut measure: impl FnMut(&mut C) -> f64,
) -> Vec<Vec<f64>> {
    let mut figures = vec![Vec::new(); contenders.len()];
    for round in 0..count as usize {
        for turn in 0..contenders.len() {
            let place = (round + turn) % contenders.len();
            figures[place].push(measure(&mut contenders[place]));
        }
    }
    figures
}
