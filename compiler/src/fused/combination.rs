//! How what several models give becomes one answer.

use serde::{Deserialize, Serialize};

use super::log_space::{log_sigmoid, log_softmax, log_sum};
use super::ranks::RankTable;
use crate::CompilerError;
use crate::losses::PredictionKind;

/// Votes and ranks below this share count as so much, since their logarithms are handed on; what it lacks to 1 is a 32-bit float, too.
pub(super) const LEAST_SHARE: f64 = 1.0 / 1_048_576.0;
/// How far the sum of weights may be from 1.
const SUM_WITHIN: f64 = 1e-6;

/// How the scores of members become those of an ensemble: scores that are read as those of the members are, so that an ensemble takes the
/// place of one of them. `fuse` writes it as nodes, [`Combination::apply`] computes the same in doubles.
///
/// Weights are one for each member, 0 or more, and sum to 1; those of scores need not, since they may change the scale, too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by", deny_unknown_fields)]
#[non_exhaustive]
pub enum Combination {
    /// A linear function of all that the members give about a row: of classes, which a softmax follows, or of numbers.
    Linear {
        /// Of what.
        features: LinearFeatures,
        /// Row-major: a row for each member and class or number (the first member's first), a column for each of them.
        coefficients: Vec<Vec<f64>>,
        /// What is added to the score of each class, or to each number.
        intercepts: Vec<f64>,
    },
    /// The median over the members: of the logarithms of the probabilities of each class, of the scores of each label, or of each number.
    /// Of an even number of members it is the mean of the two in the middle.
    Median {},
    /// The mean of the probabilities, by a softmax over classes or a sigmoid of each label. Handed on are their logarithms, of labels their
    /// log-odds.
    Probabilities {
        /// Of each member.
        weights: Vec<f64>,
    },
    /// The mean of ranks among rows that are known, whose logarithms are handed on, of labels their log-odds: what counts is the order
    /// that each member brings the rows in, not how sure it is.
    Ranks {
        /// Of each member.
        weights: Vec<f64>,
        /// By member, then by class or label: ranks of the logarithms of probabilities of classes, or of the scores of labels.
        tables: Vec<Vec<RankTable>>,
    },
    /// The weighted sum of the scores, or of the numbers.
    Scores {
        /// Of each member.
        weights: Vec<f64>,
    },
    /// The share of votes for each class, of labels that for it, whose logarithms (log-odds) are handed on. A member votes for its most
    /// likely class, the first of equals, or for a label whose score is above 0.
    Votes {
        /// Of each member.
        weights: Vec<f64>,
    },
}

/// What a linear combination is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinearFeatures {
    /// Logarithms of the probabilities.
    LogProbabilities,
    /// Probabilities.
    #[default]
    Probabilities,
    /// Scores before the softmax.
    Scores,
}

impl Combination {
    /// The weight of each member; none where they have no single ones.
    pub fn weights(&self) -> Option<&[f64]> {
        match self {
            Self::Linear { .. } | Self::Median {} => None,
            Self::Probabilities { weights }
            | Self::Ranks { weights, .. }
            | Self::Scores { weights }
            | Self::Votes { weights } => Some(weights),
        }
    }

    /// Whether one of so many members is read: it has weight, or a coefficient that is not 0.
    pub fn counts(&self, member: usize, members: usize) -> bool {
        if let Self::Linear { coefficients, .. } = self {
            let columns = coefficients.len() / members.max(1);
            let has_own = |member: usize| {
                coefficients.iter().skip(member * columns).take(columns).flatten().any(|value| *value != 0.0)
            };
            // a function of none of them is still written as one of all
            return has_own(member) || !(0..members).any(has_own);
        }
        self.weights().is_none_or(|weights| weights.get(member).is_some_and(|weight| *weight > 0.0))
    }

    /// Refuses what does not fit so many members, whose output is read so and has so many columns.
    ///
    /// # Errors
    /// Another number of members or columns, weights that are none, or an output that cannot be combined so.
    pub fn check(&self, reads: PredictionKind, members: usize, columns: usize) -> Result<(), CompilerError> {
        self.fault(reads, members, columns).map_or(Ok(()), |message| Err(CompilerError::Selection(message)))
    }

    fn fault(&self, reads: PredictionKind, members: usize, columns: usize) -> Option<String> {
        let is_known = matches!(reads, PredictionKind::ClassScores | PredictionKind::LabelScores);
        let is_of_numbers = matches!(self, Self::Linear { .. } | Self::Median {} | Self::Scores { .. });
        if !is_known && (reads != PredictionKind::Numbers || !is_of_numbers) {
            let of = if reads == PredictionKind::Numbers {
                "numbers are combined by a mean, a median or a linear function of them"
            } else {
                "only classes, labels and numbers are combined"
            };
            return Some(format!("{of}; choose another method"));
        }
        if let Some(weights) = self.weights() {
            if weights.len() != members {
                return Some(format!("{} weights for {members} members", weights.len()));
            }
            let sum: f64 = weights.iter().sum();
            let is_mean = (sum - 1.0).abs() <= SUM_WITHIN || matches!(self, Self::Scores { .. }) && sum > 0.0;
            if !weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0) || !is_mean {
                return Some(format!("weights of members are 0 or more and sum to 1, got {weights:?}"));
            }
        }
        match self {
            Self::Linear { features, coefficients, intercepts } => {
                if reads == PredictionKind::LabelScores {
                    return Some(
                        "a linear combination is of classes or numbers; choose another method for labels".into(),
                    );
                }
                if reads == PredictionKind::Numbers && *features != LinearFeatures::Scores {
                    return Some("numbers have no probabilities; a linear combination is of them as they are".into());
                }
                let is_whole = coefficients.len() == members * columns
                    && coefficients.iter().all(|row| row.len() == columns)
                    && intercepts.len() == columns;
                let are_numbers = coefficients.iter().flatten().chain(intercepts).all(|value| value.is_finite());
                (!is_whole || !are_numbers).then(|| {
                    format!(
                        "a linear combination of {members} members with {columns} classes or numbers has {} × {columns} finite \
                         coefficients and {columns} intercepts",
                        members * columns
                    )
                })
            }
            Self::Ranks { tables, .. } => {
                if tables.len() != members || tables.iter().any(|of_member| of_member.len() != columns) {
                    return Some(format!(
                        "ranks of {members} members with {columns} classes or labels have so many tables each"
                    ));
                }
                tables.iter().flatten().find_map(|table| table.check().err())
            }
            Self::Median {} | Self::Probabilities { .. } | Self::Scores { .. } | Self::Votes { .. } => None,
        }
    }

    /// The scores of the ensemble of those of its members, each row-major `[rows, columns]`. In doubles, and rounded at the end.
    ///
    /// # Errors
    /// As [`Combination::check`], or the members' scores are not equally many whole rows.
    pub fn apply(&self, reads: PredictionKind, columns: usize, members: &[&[f32]]) -> Result<Vec<f32>, CompilerError> {
        self.check(reads, members.len(), columns)?;
        let length = members.first().map_or(0, |scores| scores.len());
        if columns == 0 || !length.is_multiple_of(columns) || members.iter().any(|scores| scores.len() != length) {
            return Err(CompilerError::Selection(format!(
                "the members' scores are not equally many rows of {columns}"
            )));
        }
        let rows = length / columns;
        let mut found = Vec::with_capacity(length);
        for row in 0..rows {
            let of_row: Vec<&[f32]> =
                members.iter().map(|scores| &scores[row * columns..(row + 1) * columns]).collect();
            found.extend(self.row(reads, &of_row).into_iter().map(|score| score as f32));
        }
        Ok(found)
    }

    /// Of one row.
    fn row(&self, reads: PredictionKind, members: &[&[f32]]) -> Vec<f64> {
        let columns = members[0].len();
        let of_labels = reads == PredictionKind::LabelScores;
        let mean = |weights: &[f64], value: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            (0..columns)
                .map(|column| weights.iter().enumerate().map(|(at, weight)| weight * value(at, column)).sum())
                .collect()
        };
        match self {
            Self::Median {} => {
                let places = known_places(reads, members);
                (0..columns).map(|column| middle(places.iter().map(|own| own[column]).collect())).collect()
            }
            Self::Scores { weights } => mean(weights, &|at, column| f64::from(members[at][column])),
            Self::Votes { weights } => {
                let votes: Vec<usize> = members.iter().map(|scores| first_highest(scores)).collect();
                let vote = |at: usize, column: usize| {
                    let holds = if of_labels { members[at][column] > 0.0 } else { votes[at] == column };
                    f64::from(u8::from(holds))
                };
                handed_on(mean(weights, &vote), of_labels)
            }
            Self::Ranks { weights, tables } => {
                let places = known_places(reads, members);
                handed_on(mean(weights, &|at, column| tables[at][column].rank(places[at][column])), of_labels)
            }
            Self::Probabilities { weights } if of_labels => {
                let side = |column: usize, sign: f64| {
                    let terms = weights.iter().zip(members).filter(|(weight, _)| **weight > 0.0);
                    log_sum(
                        terms.map(move |(weight, scores)| weight.ln() + log_sigmoid(sign * f64::from(scores[column]))),
                    )
                };
                (0..columns).map(|column| side(column, 1.0) - side(column, -1.0)).collect()
            }
            Self::Probabilities { weights } => {
                let logs = known_places(reads, members);
                let of_column = |column: usize| {
                    let terms = weights.iter().zip(&logs).filter(|(weight, _)| **weight > 0.0);
                    log_sum(terms.map(move |(weight, logs)| weight.ln() + logs[column]))
                };
                (0..columns).map(of_column).collect()
            }
            Self::Linear { features, coefficients, intercepts } => {
                let features: Vec<f64> = members.iter().flat_map(|scores| features.of(scores)).collect();
                let mut scores = intercepts.clone();
                for (feature, row) in features.iter().zip(coefficients) {
                    scores.iter_mut().zip(row).for_each(|(score, coefficient)| *score += feature * coefficient);
                }
                scores
            }
        }
    }

    /// What ranks are of: the logarithms of probabilities of classes, or the scores of labels; by member, then by row and column of
    /// scores `[rows, columns]`.
    pub fn ranked(reads: PredictionKind, columns: usize, scores: &[f32]) -> Vec<f32> {
        let rows = scores.chunks(columns.max(1));
        rows.flat_map(|row| known_places(reads, &[row]).remove(0)).map(|value| value as f32).collect()
    }
}

impl LinearFeatures {
    /// Of the scores of a row.
    pub fn of(self, scores: &[f32]) -> Vec<f64> {
        match self {
            Self::LogProbabilities => log_softmax(scores).collect(),
            Self::Probabilities => log_softmax(scores).map(f64::exp).collect(),
            Self::Scores => scores.iter().map(|score| f64::from(*score)).collect(),
        }
    }
}

fn known_places(reads: PredictionKind, members: &[&[f32]]) -> Vec<Vec<f64>> {
    let of_member = |scores: &&[f32]| match reads {
        PredictionKind::ClassScores => log_softmax(scores).collect(),
        _ => scores.iter().map(|score| f64::from(*score)).collect(),
    };
    members.iter().map(of_member).collect()
}

/// Shares as scores.
fn handed_on(shares: Vec<f64>, of_labels: bool) -> Vec<f64> {
    let score = |share: f64| match of_labels {
        true => {
            let share = share.clamp(LEAST_SHARE, 1.0 - LEAST_SHARE);
            share.ln() - (1.0 - share).ln()
        }
        false => share.max(LEAST_SHARE).ln(),
    };
    shares.into_iter().map(score).collect()
}

/// The median of one value or more.
fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len().is_multiple_of(2) { (values[half - 1] + values[half]) / 2.0 } else { values[half] }
}

fn first_highest(scores: &[f32]) -> usize {
    (0..scores.len()).reduce(|best, at| if scores[at] > scores[best] { at } else { best }).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [f32; 6] = [1.0, -0.5, 2.0, 0.25, 0.5, -1.0];
    const B: [f32; 6] = [0.0, 3.0, 1.0, -2.0, 0.75, 0.5];
    use PredictionKind::{ClassScores, LabelScores, Numbers};

    #[track_caller]
    fn gives(combination: &Combination, reads: PredictionKind, wanted: &[f64]) {
        let found = combination.apply(reads, 3, &[&A, &B]).unwrap();
        let close = found.iter().zip(wanted).all(|(found, wanted)| (f64::from(*found) - wanted).abs() < 1e-6);
        assert!(close && found.len() == wanted.len(), "{combination:?}: {found:?}, wanted {wanted:?}");
    }

    #[test]
    fn combinations_are_those_of_numpy() {
        let weights = vec![0.25, 0.75];
        // numpy and scipy: a, b = the scores as [2, 3], w = [0.25, 0.75]
        // log(w0*softmax(a, 1) + w1*softmax(b, 1))
        gives(&Combination::Probabilities { weights: weights.clone() }, ClassScores, &PROBABILITIES);
        // logit(w0*expit(a) + w1*expit(b))
        gives(&Combination::Probabilities { weights: weights.clone() }, LabelScores, &LABELS);
        // w0*a + w1*b
        let scores = [0.25, 2.125, 1.25, -1.4375, 0.6875, 0.125];
        for reads in [ClassScores, LabelScores, Numbers] {
            gives(&Combination::Scores { weights: weights.clone() }, reads, &scores);
        }
        let least = LEAST_SHARE.ln();
        // a votes for 2 and 1, b for 1 and 1
        let votes = Combination::Votes { weights: weights.clone() };
        gives(&votes, ClassScores, &[least, 0.75_f64.ln(), 0.25_f64.ln(), least, 0.0, least]);
        let odds = |share: f64| share.ln() - (1.0 - share).ln();
        let all = odds(1.0 - LEAST_SHARE);
        gives(&votes, LabelScores, &[odds(0.25), odds(0.75), all, odds(0.25), all, odds(0.75)]);
    }

    /// See above.
    const PROBABILITIES: [f64; 6] = [
        -2.3545460311607873,
        -0.43541055492895736,
        -1.3545460311607875,
        -2.0933362934025626,
        -0.6313288127062631,
        -1.064673934675569,
    ];
    const LABELS: [f64; 6] = [
        0.2320948711256361,
        1.442333597712151,
        1.1998224872756011,
        -1.2086143547464325,
        0.6856513789148442,
        0.13653110715019084,
    ];

    #[test]
    fn ranks_and_linear_functions_are_worked_by_hand() {
        let table = |scores: &[f32]| RankTable::of(scores).unwrap();
        let of_member = |scores: &[f32]| {
            let ranked = Combination::ranked(LabelScores, 3, scores);
            assert_eq!(ranked, scores);
            (0..3).map(|column| table(&[scores[column], scores[3 + column]])).collect::<Vec<_>>()
        };
        let ranks = Combination::Ranks { weights: vec![0.25, 0.75], tables: vec![of_member(&A), of_member(&B)] };
        // the higher of two rows has the rank 0.75, the lower 0.25
        let odds = |share: f64| share.ln() - (1.0 - share).ln();
        gives(&ranks, LabelScores, &[0.75, 0.625, 0.75, 0.25, 0.375, 0.25].map(odds));

        let mut coefficients = vec![vec![0.0; 3]; 6];
        (coefficients[0][1], coefficients[5][1], coefficients[4][2]) = (2.0, -1.0, 0.5);
        let linear = |features| Combination::Linear {
            features,
            coefficients: coefficients.clone(),
            intercepts: vec![0.5, 0.0, 1.0],
        };
        gives(&linear(LinearFeatures::Scores), ClassScores, &[0.5, 1.0, 2.5, 0.5, 0.0, 1.375]);
        let softmax = |scores: &[f32]| LinearFeatures::Probabilities.of(scores);
        let (a, b) = (softmax(&A[..3]), softmax(&B[..3]));
        let (c, d) = (softmax(&A[3..]), softmax(&B[3..]));
        let of = |a: &[f64], b: &[f64]| [0.5, 2.0 * a[0] - b[2], 1.0 + 0.5 * b[1]];
        gives(&linear(LinearFeatures::Probabilities), ClassScores, &[of(&a, &b), of(&c, &d)].concat());
    }

    #[test]
    fn medians_are_those_of_numpy() {
        let median = Combination::Median {};
        let third: [f32; 6] = [0.5, 0.5, -4.0, 9.0, 0.75, 0.0];
        // numpy.median([a, b, c], axis=0), of an even number numpy.median([a, b], axis=0)
        let of_three = median.apply(Numbers, 3, &[&A, &B, &third]).unwrap();
        assert_eq!(of_three, [0.5, 0.5, 1.0, 0.25, 0.75, 0.0]);
        gives(&median, Numbers, &[0.5, 1.25, 1.5, -0.875, 0.625, -0.25]);
        gives(&median, LabelScores, &[0.5, 1.25, 1.5, -0.875, 0.625, -0.25]);
        // the mean of log(softmax(a, 1)) and log(softmax(b, 1))
        gives(&median, ClassScores, &MEDIANS);
        assert_eq!(median.apply(Numbers, 3, &[&A]).unwrap(), A, "of one member it is that member");
        assert_eq!(serde_json::to_string(&median).unwrap(), r#"{"by":"median"}"#);
        assert!(serde_json::from_str::<Combination>(r#"{"by": "median", "weights": [1.0]}"#).is_err());
    }

    /// See above.
    const MEDIANS: [f64; 6] = [
        -2.2706925257044843,
        -1.5206925257044843,
        -1.2706925257044843,
        -2.1526798091860107,
        -0.6526798091860109,
        -1.5276798091860107,
    ];

    #[test]
    fn a_linear_function_of_numbers_reads_the_members_that_have_coefficients() {
        let mut coefficients = vec![vec![0.0; 3]; 6];
        (coefficients[3][0], coefficients[4][1], coefficients[5][2]) = (2.0, 0.5, 1.0);
        let intercepts = vec![0.25, 0.0, -1.0];
        let linear = Combination::Linear { features: LinearFeatures::Scores, coefficients, intercepts };
        // 2·b + ¼, ½·b, b − 1
        gives(&linear, Numbers, &[0.25, 1.5, 0.0, -3.75, 0.375, -0.5]);
        assert_eq!([0, 1].map(|member| linear.counts(member, 2)), [false, true]);
        let weighted = Combination::Scores { weights: vec![1.0, 0.0] };
        assert_eq!([0, 1].map(|member| weighted.counts(member, 2)), [true, false]);
        assert!((0..3).all(|member| Combination::Median {}.counts(member, 3)));
    }

    #[test]
    fn what_does_not_fit_is_refused_in_words() {
        let probabilities = |weights: &[f64]| Combination::Probabilities { weights: weights.to_vec() };
        for (combination, reads, wanted) in [
            (probabilities(&[1.0]), ClassScores, "1 weights for 2 members"),
            (probabilities(&[0.5, 0.6]), ClassScores, "sum to 1"),
            (probabilities(&[1.5, -0.5]), ClassScores, "0 or more"),
            (probabilities(&[f64::NAN, 1.0]), ClassScores, "0 or more"),
            (probabilities(&[0.5, 0.5]), Numbers, "by a mean, a median or a linear function"),
            (probabilities(&[0.5, 0.5]), PredictionKind::Embeddings, "only classes, labels and numbers"),
            (
                Combination::Linear {
                    features: LinearFeatures::Scores,
                    coefficients: vec![vec![0.0; 3]; 5],
                    intercepts: vec![0.0; 3],
                },
                ClassScores,
                "6 × 3 finite coefficients",
            ),
            (
                Combination::Linear {
                    features: LinearFeatures::Scores,
                    coefficients: vec![vec![0.0; 3]; 6],
                    intercepts: vec![0.0; 3],
                },
                LabelScores,
                "is of classes or numbers",
            ),
            (
                Combination::Linear {
                    features: LinearFeatures::Probabilities,
                    coefficients: vec![vec![0.0; 3]; 6],
                    intercepts: vec![0.0; 3],
                },
                Numbers,
                "numbers have no probabilities",
            ),
            (Combination::Ranks { weights: vec![0.5, 0.5], tables: vec![] }, ClassScores, "have so many tables"),
        ] {
            let message = combination.apply(reads, 3, &[&A, &B]).unwrap_err().to_string();
            assert!(message.contains(wanted), "{message}");
        }
        let message = probabilities(&[0.5, 0.5]).apply(ClassScores, 3, &[&A, &B[..3]]).unwrap_err().to_string();
        assert!(message.contains("equally many rows of 3"), "{message}");
    }

    #[test]
    fn a_combination_is_read_as_it_was_written() {
        let one = Combination::Ranks {
            weights: vec![0.25, 0.75],
            tables: vec![vec![RankTable::of(&[1.0, 2.5]).unwrap()]; 2],
        };
        let text = serde_json::to_string(&one).unwrap();
        assert!(text.starts_with(r#"{"by":"ranks""#), "{text}");
        assert_eq!(serde_json::from_str::<Combination>(&text).unwrap(), one);
        assert!(serde_json::from_str::<Combination>(r#"{"by": "votes", "weights": [1], "more": 1}"#).is_err());
    }
}
