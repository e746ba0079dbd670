use millstream_compiler::fused::{Combination, LinearFeatures};
use millstream_schemas::choice::Options;
use millstream_schemas::{GOLDEN, PredictionTargets, ScoresOf, decimal, mix, shown};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ensemble_function::{EnsembleFunction, Fitted, Fitting};
use super::ensemble_kind::{Build, EnsembleKind, Worked};
use super::multinomial::Regression;
use super::non_negative::least_squares;
use crate::TrainingError;

/// Strengths that are tried, the strongest first, so that each fit starts near its end.
const STRENGTHS: [f64; 7] = [1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
/// Parts that rows are divided into for that.
const FOLDS: usize = 5;
/// Coefficients, at most.
const MOST_COEFFICIENTS: usize = 1 << 20;

pub(super) const ENSEMBLE: EnsembleKind = EnsembleKind {
    name: "stacking",
    summary: "A linear model on what all members say of a row: of classes a logistic regression, of numbers non-negative least squares.",
    documentation: "Wolpert, \"Stacked generalization\" (1992), with multinomial logistic regression: softmax(Wᵀx + b), where x holds the `features` of \
        all members, minimizes the mean of −ln of the probability of the class + ½·l2·‖W‖² (scikit-learn's `LogisticRegression` with C = 1 / \
        (l2 · rows)). Without `l2` the strength of 10⁰ to 10⁻⁶ is taken that does best over five folds of the rows. The predictions must be \
        of rows that no member was trained on: of a validation set, or out of fold. Of numbers (Breiman, \"Stacked regressions\", \
        1996) each is Σ weight · what a member gives for it + an intercept; weights are 0 or more and need not sum to 1. They minimize \
        half the mean squared error + ½·l2·Σ weight² by the active set of Lawson and Hanson; `l2` is 0 if it is not given.",
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
    /// What the linear model reads: probabilities (where it is not given), log_probabilities, or scores; of numbers they themselves (`scores`).
    features: Option<LinearFeatures>,
    /// Strength of the penalty on the coefficients, 0 or more; where it is not given, found by cross-validation, of numbers 0.
    l2: Option<f64>,
}

impl Options for Stacking {
    fn validate(&self) -> Result<(), String> {
        self.l2.map_or(Ok(()), |l2| millstream_schemas::choice::at_least("l2", l2))
    }
}

impl EnsembleFunction for Stacking {
    fn takes(&self) -> &'static [ScoresOf] {
        &[ScoresOf::Classes, ScoresOf::Numbers]
    }

    fn fit(&self, fitting: &mut Fitting<'_>) -> Result<Fitted, TrainingError> {
        let members = fitting.members;
        let (columns, rows) = (members.columns(), members.rows().len());
        let width = members.members() * columns;
        if width * columns > MOST_COEFFICIENTS {
            return fitting.refused(format!(
                "{} members of {columns} classes or numbers would take {width} × {columns} coefficients, more than can be fitted; choose \
                 `weighted`",
                members.members()
            ));
        }
        let classes = match members.targets() {
            PredictionTargets::Classes(classes) => classes,
            PredictionTargets::Numbers(targets) => return self.of_numbers(fitting, targets),
        };
        let read = self.features.unwrap_or_default();
        let mut features = vec![0.0; rows * width];
        for (member, scores) in members.all_scores().into_iter().enumerate() {
            for (row, scores) in scores.chunks(columns).enumerate() {
                let own = read.of(scores);
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
        let combination = Combination::Linear { features: read, coefficients, intercepts: solution.intercepts };
        Ok(Fitted { notes, ..combination.into() })
    }
}

impl Stacking {
    /// Least squares with weights of 0 or more.
    fn of_numbers(&self, fitting: &Fitting<'_>, targets: &[f32]) -> Result<Fitted, TrainingError> {
        if self.features.is_some_and(|features| features != LinearFeatures::Scores) {
            return fitting
                .refused("numbers have no probabilities, so that they are read as they are; leave `features` out");
        }
        let members = fitting.members;
        let (columns, count) = (members.columns(), members.members());
        let share = columns as f64 / targets.len() as f64;
        let mut coefficients = vec![vec![0.0; columns]; count * columns];
        let mut intercepts = Vec::with_capacity(columns);
        for column in 0..columns {
            let (target, mean) = centred(targets, columns, column);
            let (own, means): (Vec<Vec<f64>>, Vec<f64>) =
                members.all_scores().into_iter().map(|scores| centred(scores, columns, column)).unzip();
            let mut products: Vec<f64> = Vec::with_capacity(count * count);
            for (at, one) in own.iter().enumerate() {
                products.extend(own.iter().map(|other| share * dot(one, other)));
                products[at * count + at] += self.l2.unwrap_or(0.0);
            }
            let with_target: Vec<f64> = own.iter().map(|one| share * dot(one, &target)).collect();
            let weights = least_squares(&products, &with_target);
            intercepts.push(mean - dot(&weights, &means));
            weights
                .iter()
                .enumerate()
                .for_each(|(member, weight)| coefficients[member * columns + column][column] = *weight);
        }
        if coefficients.iter().flatten().all(|coefficient| *coefficient == 0.0) {
            return fitting.refused(
                "no member's numbers rise with what is true of the rows that it is fitted to, so that all weights are 0; choose \
                 `median` or `weighted`",
            );
        }
        let mut notes = Vec::new();
        if let (1, [intercept]) = (columns, &intercepts[..]) {
            let term =
                |(member, own): (usize, &Vec<f64>)| format!("{} · `{}`", decimal(own[0]), shown(members.name(member)));
            let terms: Vec<String> = coefficients.iter().enumerate().map(term).collect();
            notes.push(format!("the ensemble gives {} + {}", terms.join(" + "), decimal(*intercept)));
        }
        for (column, intercept) in intercepts.iter().enumerate() {
            if coefficients.iter().all(|own| own[column] == 0.0) {
                notes.push(format!(
                    "number {} of {columns}: what members say of it does not rise with what is true of the rows, so that the ensemble gives {} for \
                     each row",
                    column + 1,
                    decimal(*intercept)
                ));
            }
        }
        let combination = Combination::Linear { features: LinearFeatures::Scores, coefficients, intercepts };
        Ok(Fitted { notes, ..combination.into() })
    }
}

/// The values of a column less their mean, and that.
fn centred(all: &[f32], columns: usize, column: usize) -> (Vec<f64>, f64) {
    let values: Vec<f64> = all.iter().skip(column).step_by(columns).map(|value| f64::from(*value)).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.into_iter().map(|value| value - mean).collect(), mean)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
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

#[cfg(test)]
mod tests {
    use super::super::ensemble_function::{FittedModel, NoSoups};
    use super::super::member_scores::MemberScores;
    use super::super::member_scores::tests::predictions;
    use super::*;
    use crate::metrics::MetricSet;

    fn fitted(stacking: &Stacking, columns: usize, members: &[&[f32]], targets: &[f32]) -> Result<Fitted, String> {
        let own = |(at, scores): (usize, &&[f32])| {
            let targets = PredictionTargets::Numbers(targets.to_vec());
            (format!("member {at}"), predictions(ScoresOf::Numbers, columns, scores, targets))
        };
        let members = MemberScores::align(members.iter().enumerate().map(own).collect()).unwrap();
        let metrics = MetricSet::usual(members.reads());
        let mut fitting = Fitting { members: &members, metrics: &metrics, seed: 0, soups: &mut NoSoups };
        stacking.fit(&mut fitting).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn gives(stacking: &Stacking, members: &[&[f32]], weights: &[f64], intercept: f64) {
        let found = fitted(stacking, 1, members, &[1.0, 2.0, 4.0, 5.0]).unwrap();
        let FittedModel::Combination(Combination::Linear { features, coefficients, intercepts }) = &found.model else {
            panic!("{found:?}")
        };
        assert_eq!((*features, intercepts.len(), coefficients.len()), (LinearFeatures::Scores, 1, weights.len()));
        let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(coefficients.iter().zip(weights).all(|(found, wanted)| close(found[0], *wanted)), "{found:?}");
        assert!(close(intercepts[0], intercept), "{found:?}");
    }

    #[test]
    fn numbers_are_stacked_by_least_squares_with_weights_of_0_or_more() {
        let (low, turned): (&[f32], &[f32]) = (&[0.0, 0.5, 1.5, 2.0], &[5.0, 4.0, 2.0, 1.0]);
        // numpy: y = [1, 2, 4, 5]; a half of it less ½ is doubled, with an intercept of 1
        gives(&Stacking::default(), &[low], &[2.0], 1.0);
        // what falls where y rises would have the weight −1 alone, and has none
        gives(&Stacking::default(), &[low, turned], &[2.0, 0.0], 1.0);
        // numpy: X = [[0, 2], [1, 1], [3, 5], [2, 4]], scipy.optimize.nnls(X − X.mean(0), y − y.mean())
        let two: [&[f32]; 2] = [&[0.0, 1.0, 3.0, 2.0], &[2.0, 1.0, 5.0, 4.0]];
        gives(&Stacking::default(), &two, &OF_TWO, OF_TWO_INTERCEPT);
        // with l2: the same of X and y with rows of √(4 · l2) in front, and 0
        gives(&Stacking { l2: Some(0.5), ..Stacking::default() }, &two, &WITH_L2, WITH_L2_INTERCEPT);
    }

    #[test]
    fn each_number_of_a_row_has_weights_of_its_own_and_the_note_says_those_of_one() {
        let (a, b): (&[f32], &[f32]) = (&[1.0, 5.0, 2.0, 3.0, 3.0, 9.0], &[2.0, 10.0, 0.0, 20.0, 1.0, 40.0]);
        let found = fitted(&Stacking::default(), 2, &[a, b], &[10.0, 1.0, 20.0, 2.0, 30.0, 4.0]).unwrap();
        let FittedModel::Combination(Combination::Linear { coefficients, intercepts, .. }) = &found.model else {
            panic!("{found:?}")
        };
        let wanted = [[10.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.1]];
        let close = |(found, wanted): (&f64, &f64)| (found - wanted).abs() < 1e-6;
        assert!(coefficients.iter().flatten().zip(wanted.as_flattened()).all(close), "{coefficients:?}");
        assert!(intercepts.iter().all(|intercept| intercept.abs() < 1e-6) && found.notes.is_empty(), "{found:?}");
        let one = fitted(&Stacking::default(), 1, &[&[0.0, 1.0, 2.0]], &[1.0, 3.0, 5.0]).unwrap();
        assert_eq!(one.notes, ["the ensemble gives 2.0000 · `member 0` + 1.0000"]);
    }

    #[test]
    fn numbers_of_which_none_goes_with_the_target_and_features_that_they_lack_are_refused() {
        let message = fitted(&Stacking::default(), 1, &[&[3.0, 2.0, 1.0]], &[1.0, 2.0, 3.0]).unwrap_err();
        assert!(message.contains("all weights are 0"), "{message}");
        for features in [LinearFeatures::LogProbabilities, LinearFeatures::Probabilities] {
            let wanted = Stacking { features: Some(features), l2: None };
            let message = fitted(&wanted, 1, &[&[1.0, 2.0]], &[1.0, 2.0]).unwrap_err();
            assert!(message.contains("numbers have no probabilities"), "{message}");
        }
        let scores = Stacking { features: Some(LinearFeatures::Scores), l2: None };
        assert!(fitted(&scores, 1, &[&[1.0, 2.0]], &[1.0, 2.0]).is_ok());
    }

    #[test]
    fn a_number_of_several_for_which_no_member_has_a_weight_is_told() {
        // the second falls where what is true rises
        let own: &[f32] = &[1.0, 3.0, 2.0, 2.0, 3.0, 1.0];
        let found = fitted(&Stacking::default(), 2, &[own], &[1.0, 1.0, 2.0, 2.0, 3.0, 3.0]).unwrap();
        let [note] = &found.notes[..] else { panic!("{:?}", found.notes) };
        assert!(note.starts_with("number 2 of 2: ") && note.ends_with("gives 2.0000 for each row"), "{note}");
    }

    const OF_TWO: [f64; 2] = [6.0 / 7.0, 2.0 / 7.0];
    const OF_TWO_INTERCEPT: f64 = 6.0 / 7.0;
    const WITH_L2: [f64; 2] = [0.5, 5.0 / 12.0];
    const WITH_L2_INTERCEPT: f64 = 1.0;
}
