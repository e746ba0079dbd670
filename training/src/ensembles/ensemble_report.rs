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
        // one that says nothing of these rows, as the first five of three classes, is none
        let is_there = |kind: &FigureKind| {
            let mut all = measured.iter().map(|member| &member.evaluation).chain([&own]);
            all.any(|evaluation| evaluation.figure(&kind.name).is_some())
        };
        let figures: Vec<FigureKind> = metrics.figures().into_iter().filter(is_there).collect();
        let mut names: Vec<String> = figures.iter().map(|kind| kind.name.clone()).collect();
        names.push(FigureKind::LOSS.into());
        let mean = |name: &String| {
            let values: Option<Vec<f64>> = measured.iter().map(|member| member.evaluation.figure(name)).collect();
            values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
        };
        let mean_of_members = names.iter().map(|name| (name.clone(), mean(name))).collect();
        let gain = Gain { over, difference, interval };
        Ok(Self { figures, decides, members: measured, mean_of_members, ensemble: own, gain })
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
    let rows = members.rows().len();
    let name = &metrics.decides().name;
    let (deciding, both) = (metrics.of_figure(name), members.of_member(over).with_scores(ensemble));
    let losses = [0, 1].map(|member| both.row_losses(member));
    let mut found = Vec::new();
    let mut drawn = vec![0; rows];
    for draw in 0..RESAMPLES {
        let mut state = mix(mix(seed ^ GOLDEN).wrapping_add(draw));
        for row in &mut drawn {
            state = state.wrapping_add(GOLDEN);
            *row = ((u128::from(mix(state)) * rows as u128) >> 64) as usize;
        }
        let figure = |member: usize| match name.as_str() {
            FigureKind::LOSS => Ok(Some(drawn.iter().map(|row| losses[member][*row]).sum::<f64>() / rows as f64)),
            name => both.measure_drawn(member, &drawn, &losses[member], &deciding).map(|found| found.figure(name)),
        };
        let (other, own) = (figure(0)?, figure(1)?);
        found.extend(own.zip(other).map(|(own, other)| own - other).filter(|value| value.is_finite()));
    }
    Ok(crate::metrics::percentiles(found, metrics.confidence()))
}
