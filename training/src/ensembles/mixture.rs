//! Members in the space that their mean is taken in: probabilities of classes or labels, or numbers.

use millstream_schemas::ScoresOf;

use super::log_space::{log_sigmoid, log_softmax};
use super::member_scores::MemberScores;

/// What is averaged of each member, row-major `[rows, columns]`, in doubles.
#[derive(Debug)]
pub(super) struct Mixture {
    scores_of: ScoresOf,
    members: Vec<Vec<f64>>,
}

impl Mixture {
    pub(super) fn of(members: &MemberScores) -> Self {
        let (scores_of, columns) = (members.scores_of(), members.columns());
        let own = |scores: &[f32]| -> Vec<f64> {
            match scores_of {
                ScoresOf::Classes => scores.chunks(columns).flat_map(log_softmax).map(f64::exp).collect(),
                ScoresOf::Labels => scores.iter().map(|score| log_sigmoid(f64::from(*score)).exp()).collect(),
                _ => scores.iter().map(|score| f64::from(*score)).collect(),
            }
        };
        Self { scores_of, members: members.all_scores().into_iter().map(own).collect() }
    }

    /// What is averaged of a member.
    pub(super) fn member(&self, member: usize) -> &[f64] {
        &self.members[member]
    }

    /// The scores that a sum over so many members stands for.
    pub(super) fn scores(&self, sum: impl Iterator<Item = f64>, count: usize) -> Vec<f32> {
        let score = |sum: f64| {
            let mean = sum / count as f64;
            match self.scores_of {
                ScoresOf::Classes => mean.max(f64::MIN_POSITIVE).ln(),
                ScoresOf::Labels => {
                    let [holds, not] = [mean, 1.0 - mean].map(|share| share.max(f64::MIN_POSITIVE).ln());
                    holds - not
                }
                _ => mean,
            }
        };
        sum.map(|sum| score(sum) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::member_scores::tests::of_classes;
    use super::*;

    #[test]
    fn the_scores_of_one_member_are_its_own_up_to_what_a_softmax_leaves_out() {
        let members = of_classes(2, &[&[1.0, -1.0, 0.0, 500.0]], &[0, 1]);
        let mixture = Mixture::of(&members);
        let scores = mixture.scores(mixture.member(0).iter().copied(), 1);
        assert!((scores[0] - scores[1] - 2.0).abs() < 1e-6);
        assert!(scores.iter().all(|score| score.is_finite()) && scores[3] == 0.0 && scores[2] < -400.0, "{scores:?}");
    }
}
