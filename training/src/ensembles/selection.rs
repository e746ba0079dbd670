use millstream_compiler::fused::Combination;
use millstream_schemas::choice::{Options, above, between};
use millstream_schemas::{GOLDEN, ScoresOf, mix};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ensemble_function::{EnsembleFunction, Fitted, Fitting};
use super::ensemble_kind::{Build, EnsembleKind, Worked};
use super::mixture::Mixture;
use crate::TrainingError;
use crate::metrics::FigureKind;

pub(super) const ENSEMBLE: EnsembleKind = EnsembleKind {
    name: "selection",
    summary: "The mean of the probabilities of members that are chosen one after another, with replacement.",
    documentation: "Caruana et al., \"Ensemble selection from libraries of models\" (2004): in each round the member is added whose addition makes the \
        figure `by` the best, the first of equals; a member can be added again, and counts as often. Of all rounds the first with the best \
        figure is kept. `bags`: so often with a part of the members alone, drawn by the seed; the counts of all bags are added up, which makes \
        it less prone to fit chance. `by` is any figure of the metrics or `loss`. Of numbers it is their mean.",
    samples: &[
        Worked {
            options: r#"{"bags": 1, "bag_share": 1.0, "rounds": 4}"#,
            columns: 2,
            members: &[&[2.0, 0.0, 0.0, 2.0], &[1.0, 0.0, 0.0, 1.0], &[0.0, 2.0, 2.0, 0.0]],
            classes: &[0, 1],
            wanted: r#"{"combination": {"by": "probabilities", "weights": [1.0, 0.0, 0.0]}}"#,
        },
        // each is sure of one row; together they are right of both, and no third addition is better
        Worked {
            options: r#"{"bags": 1, "bag_share": 1.0, "rounds": 3, "by": "accuracy"}"#,
            columns: 2,
            members: &[&[3.0, 0.0, 1.0, 0.0], &[0.0, 1.0, 0.0, 3.0]],
            classes: &[0, 1],
            wanted: r#"{"combination": {"by": "probabilities", "weights": [0.5, 0.5]}}"#,
        },
    ],
    build: Build::of::<Selection>(),
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Selection {
    /// Additions, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    rounds: u32,
    /// How often with a part of the members, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    bags: u32,
    /// The part, above 0 to 1.
    bag_share: f64,
    /// The figure that is to be the best: one of the metrics, or `loss`.
    by: String,
}

impl Default for Selection {
    fn default() -> Self {
        Self { rounds: 50, bags: 20, bag_share: 0.5, by: FigureKind::LOSS.into() }
    }
}

impl Options for Selection {
    fn validate(&self) -> Result<(), String> {
        between("rounds", self.rounds, 1, 1000)?;
        between("bags", self.bags, 1, 1000)?;
        above("bag_share", self.bag_share)?;
        between("bag_share", self.bag_share, 0.0, 1.0)
    }
}

impl EnsembleFunction for Selection {
    fn takes(&self) -> &'static [ScoresOf] {
        &[ScoresOf::Classes, ScoresOf::Labels, ScoresOf::Numbers]
    }

    fn fit(&self, fitting: &mut Fitting<'_>) -> Result<Fitted, TrainingError> {
        let mut kinds = fitting.metrics.figures();
        kinds.push(FigureKind::loss());
        let Some(kind) = kinds.iter().find(|kind| kind.name == self.by) else {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name.as_str()).collect();
            return fitting.refused(format!(
                "no figure is called `{}`; there are {}",
                millstream_schemas::shown(&self.by),
                names.join(", ")
            ));
        };
        let mixture = Mixture::of(fitting.members);
        let members = fitting.members.members();
        let mut counts = vec![0.0; members];
        for bag in 0..self.bags {
            let chosen = self.bag(members, mix(fitting.seed).wrapping_add(u64::from(bag)));
            let found = self.climb(fitting, kind, &mixture, &chosen)?;
            // each bag counts alike
            let sum = found.iter().sum::<u32>().max(1);
            counts.iter_mut().zip(found).for_each(|(count, own)| *count += f64::from(own) / f64::from(sum));
        }
        let weights: Vec<f64> = counts.into_iter().map(|count| count / f64::from(self.bags)).collect();
        Ok(match fitting.members.scores_of() {
            ScoresOf::Numbers => Combination::Scores { weights }.into(),
            _ => Combination::Probabilities { weights }.into(),
        })
    }
}

impl Selection {
    /// A part of the members, in order; at least one.
    fn bag(&self, members: usize, seed: u64) -> Vec<usize> {
        let count = ((members as f64 * self.bag_share).ceil() as usize).clamp(1, members);
        let mut drawn: Vec<usize> = (0..members).collect();
        drawn.sort_unstable_by_key(|member| (mix(mix(seed) ^ GOLDEN.wrapping_mul(*member as u64 + 1)), *member));
        drawn.truncate(count);
        drawn.sort_unstable();
        drawn
    }

    /// How often each member is added.
    fn climb(
        &self,
        fitting: &Fitting<'_>,
        kind: &FigureKind,
        mixture: &Mixture,
        members: &[usize],
    ) -> Result<Vec<u32>, TrainingError> {
        let figure = |scores: &[f32]| match kind.name.as_str() {
            FigureKind::LOSS => Ok(Some(fitting.members.loss(scores))),
            name => fitting.members.measure(scores, fitting.metrics).map(|found| found.figure(name)),
        };
        let mut sum = vec![0.0; mixture.member(0).len()];
        let mut counts = vec![0; fitting.members.members()];
        let mut best: (Option<f64>, Vec<u32>) = (None, counts.clone());
        for round in 1..=self.rounds as usize {
            let mut added: Option<(usize, Option<f64>)> = None;
            for member in members {
                let with = sum.iter().zip(mixture.member(*member)).map(|(sum, own)| sum + own);
                let found = figure(&mixture.scores(with, round))?;
                if added.is_none_or(|(_, best)| kind.is_better(found, best)) {
                    added = Some((*member, found));
                }
            }
            let Some((member, found)) = added else { break };
            sum.iter_mut().zip(mixture.member(member)).for_each(|(sum, own)| *sum += own);
            counts[member] += 1;
            if round == 1 || kind.is_better(found, best.0) {
                best = (found, counts.clone());
            }
        }
        Ok(best.1)
    }
}
