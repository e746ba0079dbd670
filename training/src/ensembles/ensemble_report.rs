use millstream_schemas::{GOLDEN, mix};
use serde::{Deserialize, Serialize};

use super::member_scores::MemberScores;
use crate::TrainingError;
use crate::metrics::{Evaluation, FigureKind, Figures, MetricSet};

/// Draws of rows, for the interval of a gain.
const RESAMPLES: u64 = 1000;

/// What was measured of an ensemble and of its members, on the same rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnsembleReport {
    /// What is known of the figures beside the loss, in order.
    pub figures: Vec<FigureKind>,
    /// The figure that decides which member is the best.
    pub decides: FigureKind,
    /// Each member.
    pub members: Vec<MeasuredMember>,
    /// The means of the members' figures, the loss last.
    pub mean_of_members: Figures,
    /// The ensemble.
    pub ensemble: Evaluation,
    /// The ensemble against the best member.
    pub gain: Gain,
}

/// A member and its figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredMember {
    /// What it is called.
    pub name: String,
    /// Its figures.
    pub evaluation: Evaluation,
}

/// How much the ensemble's figure that decides is above that of the best member on these rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gain {
    /// The best member, by its number.
    pub over: usize,
    /// The ensemble's figure less the member's.
    pub difference: Option<f64>,
    /// From rows drawn again, the same for both: between so much and so much, as often as intervals are to hold.
    pub interval: Option<[f64; 2]>,
}

impl EnsembleReport {
    /// Of scores of an ensemble for the rows of its members.
    pub(super) fn of(
        names: &[String],
        members: &MemberScores,
        ensemble: &[f32],
        metrics: &MetricSet,
        seed: u64,
    ) -> Result<Self, TrainingError> {
        let mut measured = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            measured
                .push(MeasuredMember { name: name.clone(), evaluation: members.measure(members.scores(at), metrics)? });
        }
        let decides = metrics.decides().clone();
        let figure = |evaluation: &Evaluation| evaluation.figure(&decides.name);
        let own = members.measure(ensemble, metrics)?;
        let best = (0..measured.len()).reduce(|best, at| {
            let [one, other] = [at, best].map(|at| figure(&measured[at].evaluation));
            if decides.is_better(one, other) { at } else { best }
        });
        let over = best.unwrap_or(0);
        let difference = figure(&own).zip(figure(&measured[over].evaluation)).map(|(own, best)| own - best);
        let interval = resampled(members, ensemble, over, metrics, seed)?;
        let mut names: Vec<String> = metrics.figures().into_iter().map(|kind| kind.name).collect();
        names.push(FigureKind::LOSS.into());
        let mean = |name: &String| {
            let values: Option<Vec<f64>> = measured.iter().map(|member| member.evaluation.figure(name)).collect();
            values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
        };
        let mean_of_members = names.iter().map(|name| (name.clone(), mean(name))).collect();
        let gain = Gain { over, difference, interval };
        Ok(Self { figures: metrics.figures(), decides, members: measured, mean_of_members, ensemble: own, gain })
    }
}

/// The interval of the difference of both figures over the same draws of rows.
fn resampled(
    members: &MemberScores,
    ensemble: &[f32],
    over: usize,
    metrics: &MetricSet,
    seed: u64,
) -> Result<Option<[f64; 2]>, TrainingError> {
    let (rows, columns) = (members.rows().len(), members.columns());
    let name = &metrics.decides().name;
    let (deciding, best) = (metrics.of_figure(name), members.of_member(over));
    let mut found = Vec::new();
    for draw in 0..RESAMPLES {
        let mut state = mix(mix(seed ^ GOLDEN).wrapping_add(draw));
        let drawn: Vec<usize> = (0..rows)
            .map(|_| {
                state = state.wrapping_add(GOLDEN);
                ((u128::from(mix(state)) * rows as u128) >> 64) as usize
            })
            .collect();
        let part = best.of_rows(&drawn);
        let own: Vec<f32> =
            drawn.iter().flat_map(|row| ensemble[row * columns..(row + 1) * columns].iter().copied()).collect();
        let figure = |scores: &[f32]| match name.as_str() {
            FigureKind::LOSS => Ok(Some(part.loss(scores))),
            name => part.measure(scores, &deciding).map(|found| found.figure(name)),
        };
        found.extend(
            figure(&own)?
                .zip(figure(part.scores(0))?)
                .map(|(own, other)| own - other)
                .filter(|value| value.is_finite()),
        );
    }
    Ok(crate::metrics::percentiles(found, metrics.confidence()))
}
