use millstream_compiler::fused::{Combination, LinearFeatures};
use millstream_schemas::choice::Options;
use millstream_schemas::{GOLDEN, PredictionTargets, ScoresOf, decimal, mix};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ensemble_function::{EnsembleFunction, Fitted, Fitting};
use super::ensemble_kind::{Build, EnsembleKind, Worked};
use super::multinomial::Regression;
use crate::TrainingError;

/// Strengths that are tried, the strongest first, so that each fit starts near its end.
const STRENGTHS: [f64; 7] = [1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
/// Parts that rows are divided into for that.
const FOLDS: usize = 5;
/// Coefficients, at most.
const MOST_COEFFICIENTS: usize = 1 << 20;

pub(super) const ENSEMBLE: EnsembleKind = EnsembleKind {
    name: "stacking",
    summary: "A linear model on what all members say of a row.",
    documentation: "Wolpert, \"Stacked generalization\" (1992), with multinomial logistic regression: softmax(Wᵀx + b), where x holds the `features` of \
        all members, minimizes the mean of −ln of the probability of the class + ½·l2·‖W‖² (scikit-learn's `LogisticRegression` with C = 1 / \
        (l2 · rows)). Without `l2` the strength of 10⁰ to 10⁻⁶ is taken that does best over five folds of the rows. The predictions must be \
        of rows that no member was trained on: of a validation set, or out of fold. For classes.",
    samples: &[Worked {
        options: r#"{"l2": 1000000.0}"#,
        columns: 2,
        members: &[&[2.0, 0.0, 0.0, 2.0, 0.0, 0.0], &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]],
        classes: &[0, 1, 0],
        // nothing but the intercepts is left: ln(2/3) and ln(1/3), of which a softmax knows the difference, ln 2
        wanted: r#"{"combination": {"by": "linear", "features": "probabilities", "coefficients": [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]],
            "intercepts": [0.34657359, -0.34657359]}}"#,
    }],
    build: Build::of::<Stacking>(),
};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Stacking {
    /// What the linear model reads: probabilities, log_probabilities, or scores.
    features: LinearFeatures,
    /// Strength of the penalty on the coefficients, 0 or more; found by cross-validation where it is not given.
    l2: Option<f64>,
}

impl Options for Stacking {
    fn validate(&self) -> Result<(), String> {
        self.l2.map_or(Ok(()), |l2| millstream_schemas::choice::at_least("l2", l2))
    }
}

impl EnsembleFunction for Stacking {
    fn takes(&self) -> &'static [ScoresOf] {
        &[ScoresOf::Classes]
    }

    fn fit(&self, fitting: &mut Fitting<'_>) -> Result<Fitted, TrainingError> {
        let members = fitting.members;
        let (columns, rows) = (members.columns(), members.rows().len());
        let PredictionTargets::Classes(classes) = members.targets() else {
            return fitting.refused("stacking is for classes");
        };
        let width = members.members() * columns;
        if width * columns > MOST_COEFFICIENTS {
            return fitting.refused(format!(
                "{} members of {columns} classes would take {width} × {columns} coefficients, more than can be fitted; choose `weighted`",
                members.members()
            ));
        }
        let mut features = vec![0.0; rows * width];
        for (member, scores) in members.all_scores().into_iter().enumerate() {
            for (row, scores) in scores.chunks(columns).enumerate() {
                let own = self.features.of(scores);
                let from = row * width + member * columns;
                features[from..from + columns].copy_from_slice(&own);
            }
        }
        let all = Regression { width, columns, features: &features, classes };
        let mut notes = Vec::new();
        let l2 = match self.l2 {
            Some(l2) => l2,
            None => {
                let fold =
                    |row: usize| (mix(members.rows()[row].key() ^ mix(fitting.seed ^ GOLDEN)) % FOLDS as u64) as usize;
                let folds: Vec<usize> = (0..rows).map(fold).collect();
                let (l2, loss) = strength(&all, &folds);
                notes.push(format!(
                    "l2 = {l2:e} was chosen by {FOLDS} folds of the rows, whose mean loss is {}",
                    decimal(loss)
                ));
                l2
            }
        };
        let solution = all.fit(l2, None);
        let coefficients = solution.coefficients.chunks(columns).map(<[f64]>::to_vec).collect();
        let combination =
            Combination::Linear { features: self.features, coefficients, intercepts: solution.intercepts };
        Ok(Fitted { notes, ..combination.into() })
    }
}

/// The strength whose loss on the folds that are left out is the least, and that loss.
fn strength(all: &Regression<'_>, folds: &[usize]) -> (f64, f64) {
    let mut losses = [0.0; STRENGTHS.len()];
    for fold in 0..FOLDS {
        let [(features, classes), (held_features, held_classes)] =
            [false, true].map(|held| all.part(|row| (folds[row] == fold) == held));
        if classes.is_empty() || held_classes.is_empty() {
            continue;
        }
        let part = Regression { features: &features, classes: &classes, ..*all };
        let held = Regression { features: &held_features, classes: &held_classes, ..*all };
        let mut solution = None;
        for (loss, l2) in losses.iter_mut().zip(STRENGTHS) {
            let found = part.fit(l2, solution.as_ref());
            *loss += held.loss(&found) * held_classes.len() as f64;
            solution = Some(found);
        }
    }
    let best = (0..STRENGTHS.len()).reduce(|best, at| if losses[at] < losses[best] { at } else { best }).unwrap_or(0);
    (STRENGTHS[best], losses[best] / folds.len().max(1) as f64)
}
