//! Scores of all rows, for figures that are of their order.

use millstream_compiler::losses::PredictionKind;

use super::measured_batch::MeasuredBatch;
use super::ranking::Ranked;

/// Scores of places with their classes or labels: 4 bytes a score, and 4 a class or 1 a label.
#[derive(Debug, Default)]
pub(super) struct HeldScores {
    columns: usize,
    scores: Vec<f32>,
    classes: Vec<u32>,
    labels: Vec<bool>,
}

/// Of the scores of a place, what gives the log-odds of each class. It follows from the differences of the scores alone, taken in
/// their order, so that log-odds that are equal have the same bits whatever the order of the classes is, and however high all scores are.
struct Odds {
    highest: f64,
    /// The second highest, less the highest.
    second: f64,
    /// The log of Σ e^(score − the second highest) over all classes but one with the highest score.
    others: f64,
}

impl HeldScores {
    pub(super) fn add(&mut self, batch: &MeasuredBatch<'_>) {
        if batch.reads() == PredictionKind::LabelScores {
            self.columns = batch.shape().get(1).copied().unwrap_or(1);
            let places = batch.shape().iter().skip(2).product::<usize>();
            // By label, then by place, as they lie in the batch: a column is found by place.
            let mut row = vec![(0.0, false); self.columns * places];
            let mut at = 0;
            batch.each_label(|answer| {
                row[at % places * self.columns + answer.label] = (answer.score, answer.holds());
                at += 1;
                if at == row.len() {
                    self.scores.extend(row.iter().map(|(score, _)| *score));
                    self.labels.extend(row.iter().map(|(_, holds)| *holds));
                    at = 0;
                }
            });
        } else {
            batch.each_answer(|answer| {
                self.columns = answer.scores.len();
                self.scores.extend_from_slice(answer.scores);
                self.classes.push(answer.truth as u32);
            });
        }
    }

    /// Bytes of all of it.
    pub(super) fn bytes(&self) -> u64 {
        (4 * self.scores.len() + 4 * self.classes.len() + self.labels.len()) as u64
    }

    /// The log-odds of each class or label against all others, and whether it is that of the row. Of two classes the second
    /// alone. A score that is no number is the worst that there is.
    pub(super) fn one_vs_rest(&self) -> impl Iterator<Item = Ranked> {
        let odds: Vec<Option<Odds>> = if self.labels.is_empty() {
            self.scores.chunks(self.columns.max(1)).map(Odds::among).collect()
        } else {
            Vec::new()
        };
        let first = usize::from(self.labels.is_empty() && self.columns == 2);
        (first..self.columns).map(move |column| {
            let scores = self.scores.iter().skip(column).step_by(self.columns);
            if self.labels.is_empty() {
                let rows = scores.zip(&odds).zip(&self.classes);
                rows.map(|((score, odds), class)| {
                    sunk(odds.as_ref().map(|odds| odds.of(*score)), *class as usize == column)
                })
                .collect()
            } else {
                let rows = scores.zip(self.labels.iter().skip(column).step_by(self.columns));
                rows.map(|(score, holds)| sunk(score.is_finite().then_some(f64::from(*score)), *holds)).collect()
            }
        })
    }

    /// Of each pair of classes: the log-odds of the first in the rows of both, whether each row is of it, and the same of the
    /// second.
    pub(super) fn one_vs_one(&self) -> impl Iterator<Item = [Ranked; 2]> {
        let odds: Vec<Option<Odds>> = self.scores.chunks(self.columns.max(1)).map(Odds::among).collect();
        let mut of_class: Vec<Vec<usize>> = vec![Vec::new(); self.columns];
        for (row, class) in self.classes.iter().enumerate() {
            of_class[*class as usize].push(row);
        }
        let pairs = (0..self.columns).flat_map(|a| (0..a).map(move |b| (b, a)));
        pairs.map(move |(a, b)| {
            [a, b].map(|class| {
                let rows = of_class[a].iter().chain(&of_class[b]);
                let ranked = rows.map(|row| {
                    let score = self.scores[row * self.columns + class];
                    sunk(odds[*row].as_ref().map(|odds| odds.of(score)), self.classes[*row] as usize == class)
                });
                ranked.collect()
            })
        })
    }
}

impl Odds {
    /// None where a score is no number.
    fn among(scores: &[f32]) -> Option<Self> {
        if scores.iter().any(|score| !score.is_finite()) {
            return None;
        }
        let mut sorted: Vec<f64> = scores.iter().map(|score| f64::from(*score)).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let highest = sorted.pop()?;
        let second = sorted.last().copied().unwrap_or(f64::NEG_INFINITY);
        let sum: f64 = sorted.iter().map(|score| (score - second).exp()).sum();
        Some(Self { highest, second: second - highest, others: sum.ln() })
    }

    /// ln(p / (1 − p)) for the probability p that a softmax gives a class of this score: it tells apart what p rounds to 1.
    fn of(&self, score: f32) -> f64 {
        let below = f64::from(score) - self.highest;
        if below == 0.0 {
            return -(self.second + self.others);
        }
        let rest = 1.0 + ((self.second + self.others).exp() - below.exp()).max(0.0);
        below - rest.ln()
    }
}

/// What is not known ranks below all where it is sought, and above all where it is not.
fn sunk(score: Option<f64>, is_sought: bool) -> (f64, bool) {
    let worst = if is_sought { f64::NEG_INFINITY } else { f64::INFINITY };
    (score.unwrap_or(worst), is_sought)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn odds_are_those_of_the_softmax_and_tell_apart_what_it_rounds_to_one() {
        let scores = [1.5_f32, -0.25, 3.0, 2.75];
        let sum: f64 = scores.iter().map(|score| f64::from(*score).exp()).sum();
        let odds = Odds::among(&scores).unwrap();
        for score in &scores {
            let p = f64::from(*score).exp() / sum;
            assert!((odds.of(*score) - (p / (1.0 - p)).ln()).abs() < 1e-12);
        }
        for [a, b] in [[0.3_f32, -1.1], [80.0, -3.5], [-900.0, 900.0]] {
            let odds = Odds::among(&[a, b]).unwrap();
            assert_eq!(odds.of(b), f64::from(b) - f64::from(a), "{a} {b}");
            assert_eq!(odds.of(a), f64::from(a) - f64::from(b), "{a} {b}");
        }
    }

    /// An exact tie of two rows was missed where a softmax of the same differences had another last bit.
    #[test]
    fn log_odds_of_small_whole_numbers_are_equal_where_the_differences_of_the_scores_are() {
        let mut known: BTreeMap<Vec<i32>, u64> = BTreeMap::new();
        for number in 0..7_i32.pow(4) {
            let row = [0, 1, 2, 3].map(|place| number / 7_i32.pow(place) % 7 - 3);
            let scores = [row[0], row[1], row[2], row[3], -50].map(|score| score as f32);
            let odds = Odds::among(&scores).unwrap();
            for (class, score) in scores.iter().enumerate() {
                let others = scores.iter().enumerate().filter(|(other, _)| *other != class);
                let mut differences: Vec<i32> = others.map(|(_, other)| (other - score) as i32).collect();
                differences.sort_unstable();
                // both zeros are one score
                let bits = (odds.of(*score) + 0.0).to_bits();
                assert_eq!(*known.entry(differences).or_insert(bits), bits, "{scores:?} {class}");
            }
        }
    }
}
