//! Ranks of scores among those of rows that are known.

use serde::{Deserialize, Serialize};

/// Places beyond so many are thinned out.
const MOST_PLACES: usize = 256;
/// Scores nearer to each other than this share of their size count as equal: 32-bit floats tell no more apart.
const NEAREST: f64 = 1e-6;

/// Where a score stands among those of rows that are known: the share of them that are below, equal ones counted by half (the mid-rank of
/// SciPy's `rankdata`, less a half, over their number). Between two known scores it grows in proportion, beyond them it stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RankTable {
    /// Scores, each above the one before.
    pub(super) places: Vec<f32>,
    /// The rank at each, above 0 and below 1.
    pub(super) ranks: Vec<f64>,
}

impl RankTable {
    /// Of known scores; more than 256 different ones are thinned out evenly. None where there is none, or one is no number.
    pub fn of(scores: &[f32]) -> Option<Self> {
        if scores.is_empty() || scores.iter().any(|score| !score.is_finite()) {
            return None;
        }
        let mut sorted = scores.to_vec();
        sorted.sort_unstable_by(f32::total_cmp);
        let count = sorted.len() as f64;
        let (mut places, mut ranks): (Vec<f32>, Vec<f64>) = (Vec::new(), Vec::new());
        let mut first = 0;
        while first < sorted.len() {
            let own = sorted[first];
            let most = f64::from(own) + NEAREST * f64::from(own).abs().max(1.0);
            let equal = sorted[first..].iter().take_while(|score| f64::from(**score) <= most).count();
            places.push(own);
            ranks.push((first as f64 + equal as f64 / 2.0) / count);
            first += equal;
        }
        let last = places.len() - 1;
        if last >= MOST_PLACES {
            let kept = |at: usize| at * last / (MOST_PLACES - 1);
            places = (0..MOST_PLACES).map(|at| places[kept(at)]).collect();
            ranks = (0..MOST_PLACES).map(|at| ranks[kept(at)]).collect();
        }
        Some(Self { places, ranks })
    }

    /// The rank of a score.
    pub fn rank(&self, score: f64) -> f64 {
        let steps = self.places.windows(2).zip(self.ranks.windows(2));
        let passed = steps.map(|(places, ranks)| {
            let (from, to) = (f64::from(places[0]), f64::from(places[1]));
            (ranks[1] - ranks[0]) * ((score - from) / (to - from)).clamp(0.0, 1.0)
        });
        self.ranks.first().copied().unwrap_or(0.5) + passed.sum::<f64>()
    }

    /// Refuses what [`RankTable::of`] does not make, as a file may hold it.
    pub(super) fn check(&self) -> Result<(), String> {
        let is_whole = (1..=MOST_PLACES).contains(&self.places.len()) && self.places.len() == self.ranks.len();
        let grows = self.places.windows(2).all(|pair| pair[0] < pair[1])
            && self.ranks.windows(2).all(|pair| pair[0] <= pair[1]);
        let in_bounds = self.places.iter().all(|place| place.is_finite())
            && self.ranks.iter().all(|rank| *rank > 0.0 && *rank < 1.0);
        if is_whole && grows && in_bounds {
            return Ok(());
        }
        Err(format!(
            "a table of ranks has 1 to {MOST_PLACES} scores that grow, with ranks above 0 and below 1 that grow too"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_at_known_scores_are_those_of_scipy_and_between_them_in_proportion() {
        // (scipy.stats.rankdata([0.5, -1, 0.5, 2, 7]) - 0.5) / 5
        let table = RankTable::of(&[0.5, -1.0, 0.5, 2.0, 7.0]).unwrap();
        for (score, rank) in [(-1.0, 0.1), (0.5, 0.4), (2.0, 0.7), (7.0, 0.9), (-9.0, 0.1), (99.0, 0.9), (4.5, 0.8)] {
            assert!((table.rank(score) - rank).abs() < 1e-12, "{score}: {}", table.rank(score));
        }
        table.check().unwrap();
        assert_eq!(RankTable::of(&[3.0, 3.0]).unwrap(), RankTable { places: vec![3.0], ranks: vec![0.5] });
        assert_eq!((RankTable::of(&[]), RankTable::of(&[1.0, f32::NAN])), (None, None));
    }

    #[test]
    fn many_scores_are_thinned_out_and_keep_their_ends() {
        let scores: Vec<f32> = (0..1000).map(|at| at as f32).collect();
        let table = RankTable::of(&scores).unwrap();
        assert_eq!((table.places.len(), table.places[0], table.places[255]), (256, 0.0, 999.0));
        for score in [0.0, 17.5, 500.0, 999.0] {
            assert!((table.rank(score) - (score + 0.5) / 1000.0).abs() < 1e-9, "{score}");
        }
    }

    #[test]
    fn tables_of_a_file_that_make_no_sense_are_refused() {
        for (places, ranks) in [
            (vec![], vec![]),
            (vec![1.0, 1.0], vec![0.1, 0.2]),
            (vec![1.0, 2.0], vec![0.2, 0.1]),
            (vec![1.0], vec![1.0]),
            (vec![f32::INFINITY], vec![0.5]),
            (vec![1.0, 2.0], vec![0.1]),
        ] {
            assert!(RankTable { places, ranks }.check().is_err());
        }
    }
}
