use millstream_schemas::ScoresOf;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ensemble_function::{EnsembleFunction, Fitted, FittedModel, Fitting};
use super::ensemble_kind::{Build, EnsembleKind, Worked};
use crate::TrainingError;

pub(super) const ENSEMBLE: EnsembleKind = EnsembleKind {
    name: "greedy_soup",
    summary: "One model: the mean of the weights of the members that make it better.",
    documentation: "The recipe 1 of Wortsman et al. (2022): members in the order of the figure that decides, the best first; each stays in the \
        mean if that does not become worse. The mean is run on the rows for each of them.",
    samples: &[
        // the fake soups of the tests give the mean of the scores: the second member spoils the first's answer to the last row
        Worked {
            options: "{}",
            columns: 2,
            members: &[
                &[1.0, 0.0, 1.0, 0.0, 0.0, 1.0],
                &[1.0, 0.0, 1.0, 0.0, 9.0, 0.0],
                &[0.0, 4.0, 5.0, 0.0, 0.0, 1.0],
            ],
            classes: &[0, 0, 1],
            wanted: r#"{"mean_of_weights": [0]}"#,
        },
        Worked {
            options: "{}",
            columns: 2,
            members: &[&[0.0, 1.0, 3.0, 0.0], &[3.0, 0.0, 1.0, 0.0], &[0.0, 9.0, 0.0, 9.0]],
            classes: &[0, 0],
            wanted: r#"{"mean_of_weights": [1, 0]}"#,
        },
    ],
    build: Build::of::<GreedySoup>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GreedySoup {}

impl Options for GreedySoup {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl EnsembleFunction for GreedySoup {
    fn takes(&self) -> &'static [ScoresOf] {
        &[ScoresOf::Classes, ScoresOf::Labels, ScoresOf::Numbers]
    }

    fn averages_weights(&self) -> bool {
        true
    }

    fn fit(&self, fitting: &mut Fitting<'_>) -> Result<Fitted, TrainingError> {
        let decides = fitting.metrics.decides().clone();
        let mut order = Vec::new();
        for member in 0..fitting.members.members() {
            order.push((member, fitting.deciding_figure(fitting.members.scores(member))?));
        }
        // of equals the earlier one comes first
        order.sort_by(|(_, a), (_, b)| match (decides.is_better(*a, *b), decides.is_better(*b, *a)) {
            (true, _) => std::cmp::Ordering::Less,
            (_, true) => std::cmp::Ordering::Greater,
            _ => std::cmp::Ordering::Equal,
        });
        let rows = fitting.members.rows().to_vec();
        let (mut taken, mut best) = (vec![order[0].0], order[0].1);
        for (member, _) in order.into_iter().skip(1) {
            let tried = [taken.as_slice(), &[member]].concat();
            let scores = fitting.soups.scores(&tried, &rows).map_err(|source| TrainingError::Soup { source })?;
            let found = fitting.deciding_figure(&scores)?;
            if found.is_some() && !decides.is_better(best, found) {
                (taken, best) = (tried, found);
            }
        }
        let shown = decides.shown(best);
        let (label, members) = (decides.label(), fitting.members.members());
        let note = match taken.as_slice() {
            [_] if members == 1 => None,
            [one] => Some(format!(
                "{} of the {members} members is kept alone, since with any other the mean becomes worse: {label} {shown} on the rows that it \
                 was chosen by",
                millstream_schemas::shown(fitting.members.name(*one))
            )),
            several => Some(format!(
                "{} of {members} members are in the mean: {label} {shown} on the rows that it was chosen by",
                several.len()
            )),
        };
        Ok(Fitted { model: FittedModel::MeanOfWeights(taken), notes: note.into_iter().collect() })
    }
}
