use millstream_schemas::count;
use serde::Serialize;

use super::Outcomes;

/// Labels that are named in one message.
const MOST_NAMED: usize = 8;

/// What a threshold is fitted to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Criterion {
    /// The greatest F1, 2·TP / (2·TP + FP + FN).
    F1,
    /// The greatest TP / (TP + FN) − FP / (FP + TN) (Youden, "Index for rating diagnostic tests", 1950).
    Youden,
    /// The greatest precision of those with at least this recall, 0 to 1.
    Recall(f64),
    /// The greatest recall of those with at least this precision, 0 to 1.
    Precision(f64),
}

/// From where on a label, or the second of two classes, is said to hold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Threshold {
    /// The log-odds above which it is: halfway between two that were met.
    pub log_odds: f64,
    /// The same as a probability.
    pub probability: f64,
    /// Precision on the rows that it was fitted to; none where nothing is said to hold.
    pub precision: Option<f64>,
    /// Recall on them; none where it never holds.
    pub recall: Option<f64>,
}

/// What came of a fit of thresholds.
#[derive(Clone, Debug, PartialEq)]
pub struct FittedThresholds {
    /// One for each label, or one for the second of two classes. Those that could not be fitted are a probability of ½.
    pub thresholds: Vec<Threshold>,
    /// Which could not be fitted, and why, in words.
    pub unfitted: Vec<String>,
}

/// A threshold for each label, or one for the second of two classes.
///
/// All that tell the outcomes apart are tried: those halfway between neighbouring log-odds that were met, the one below all and
/// the one above all of them. Of equally good ones it is the one nearest to a probability of ½.
///
/// # Errors
/// In words, with the number of the label where there are several: none can be fitted, since it never holds or always does, or no
/// threshold is as good as is asked; there are more or fewer than two classes.
pub fn fit_thresholds(outcomes: &Outcomes, criterion: Criterion) -> Result<FittedThresholds, String> {
    if !outcomes.labels.is_empty() {
        let columns = outcomes.columns;
        let (mut thresholds, mut unfitted) = (Vec::new(), Vec::new());
        for label in 0..columns {
            let scores = outcomes.scores.iter().skip(label).step_by(columns);
            let holds = outcomes.labels.iter().skip(label).step_by(columns);
            let mut ranked: Vec<_> =
                scores.zip(holds).map(|(score, target)| (f64::from(*score), *target > 0.5)).collect();
            thresholds.push(fit(&mut ranked, criterion).unwrap_or_else(|reason| {
                unfitted.push(format!("label {label}: {reason}"));
                half(&ranked)
            }));
        }
        return match unfitted.len() == columns {
            true => Err(first_of(&unfitted)),
            false => Ok(FittedThresholds { thresholds, unfitted }),
        };
    }
    if outcomes.columns != 2 {
        return Err(format!("a threshold tells two classes apart, and there are {}", outcomes.columns));
    }
    let rows = outcomes.scores.chunks(2).zip(&outcomes.classes);
    let mut ranked: Vec<_> =
        rows.map(|(scores, class)| (f64::from(scores[1]) - f64::from(scores[0]), *class == 1)).collect();
    fit(&mut ranked, criterion).map(|threshold| FittedThresholds { thresholds: vec![threshold], unfitted: Vec::new() })
}

impl FittedThresholds {
    /// Which labels have none, and why; nothing where all have one.
    pub fn warning(&self) -> Option<String> {
        (!self.unfitted.is_empty()).then(|| {
            let (labels, reasons) = (count(self.unfitted.len() as u64, "label"), first_of(&self.unfitted));
            format!("no threshold was fitted for {labels}: {reasons}; there it is a probability of ½")
        })
    }
}

fn first_of(reasons: &[String]) -> String {
    let (shown, more) = reasons.split_at(reasons.len().min(MOST_NAMED));
    let more = if more.is_empty() { String::new() } else { format!("; and {} more", more.len()) };
    shown.join("; ") + &more
}

/// The threshold of a label that none is fitted to.
fn half(ranked: &[(f64, bool)]) -> Threshold {
    let counted =
        |said: bool, holds: bool| ranked.iter().filter(|row| (!said || row.0 > 0.0) && (!holds || row.1)).count();
    let (right, said, all) = (counted(true, true), counted(true, false), counted(false, true));
    Threshold {
        log_odds: 0.0,
        probability: 0.5,
        precision: (said > 0).then(|| right as f64 / said as f64),
        recall: (all > 0).then(|| right as f64 / all as f64),
    }
}

/// What is said to hold above a threshold.
#[derive(Clone, Copy)]
struct Said {
    right: u64,
    wrong: u64,
}

fn fit(ranked: &mut [(f64, bool)], criterion: Criterion) -> Result<Threshold, String> {
    let all = ranked.iter().filter(|(_, holds)| *holds).count() as u64;
    let others = ranked.len() as u64 - all;
    if all == 0 || others == 0 {
        let always = if all == 0 { "never holds" } else { "always holds" };
        return Err(format!("it {always} in the evaluation rows, so no threshold can be fitted"));
    }
    ranked.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));
    let mut candidates = vec![(f64::INFINITY, Said { right: 0, wrong: 0 })];
    let mut said = Said { right: 0, wrong: 0 };
    let mut equal = ranked.chunk_by(|(a, _), (b, _)| a == b).peekable();
    while let Some(scores) = equal.next() {
        let right = scores.iter().filter(|(_, holds)| *holds).count() as u64;
        said = Said { right: said.right + right, wrong: said.wrong + scores.len() as u64 - right };
        let next = equal.peek().map_or(f64::NEG_INFINITY, |below| below[0].0);
        candidates.push((between(next, scores[0].0), said));
    }
    let precision = |said: Said| said.right as f64 / (said.right + said.wrong) as f64;
    let recall = |said: Said| said.right as f64 / all as f64;
    // What is to be the greatest, then what decides among equals; none where it is not good enough.
    let worth = |said: Said| -> Option<[f64; 2]> {
        match criterion {
            Criterion::F1 => Some([2.0 * said.right as f64 / (said.right + said.wrong + all) as f64, 0.0]),
            // Over one denominator, so that equal ones are equal.
            Criterion::Youden => {
                let (right, wrong) = (u128::from(said.right), u128::from(said.wrong));
                Some([(right * u128::from(others)) as f64 - (wrong * u128::from(all)) as f64, 0.0])
            }
            Criterion::Recall(least) => {
                (said.right > 0 && recall(said) >= least).then(|| [precision(said), recall(said)])
            }
            Criterion::Precision(least) => {
                (said.right > 0 && precision(said) >= least).then(|| [recall(said), precision(said)])
            }
        }
    };
    let mut best: Option<(f64, Said, [f64; 2])> = None;
    for (log_odds, said) in candidates {
        let Some(worth) = worth(said) else { continue };
        let is_better = best.is_none_or(|(known, _, most)| match worth.partial_cmp(&most) {
            Some(std::cmp::Ordering::Equal) => log_odds.abs() < known.abs(),
            order => order == Some(std::cmp::Ordering::Greater),
        });
        if is_better {
            best = Some((log_odds, said, worth));
        }
    }
    let Some((log_odds, said, _)) = best else {
        let Criterion::Precision(least) = criterion else { return Err("no threshold is good enough".into()) };
        return Err(format!("no threshold has a precision of {least} or more in the evaluation rows; ask for less"));
    };
    Ok(Threshold {
        log_odds,
        probability: 1.0 / (1.0 + (-log_odds).exp()),
        precision: (said.right + said.wrong > 0).then(|| precision(said)),
        recall: Some(recall(said)),
    })
}

/// A number below `high` and not below `low`; finite where one of them is.
fn between(low: f64, high: f64) -> f64 {
    if low == f64::NEG_INFINITY {
        return low;
    }
    let middle = low + (high - low) / 2.0;
    if middle < high { middle } else { low }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes() -> Outcomes {
        let scores: Vec<f32> = (0..80).map(|at| ((f64::from(at) * 1.7).sin() * 4.0) as f32).collect();
        let odds = scores.chunks(2).map(|pair| f64::from(pair[1] - pair[0]));
        let classes = odds.enumerate().map(|(row, odds)| u32::from(odds + 4.0 * (row as f64 * 2.3).sin() > 0.0));
        Outcomes::of_classes(2, scores.clone(), classes.collect())
    }

    fn first(outcomes: &Outcomes, criterion: Criterion) -> Threshold {
        fit_thresholds(outcomes, criterion).unwrap().thresholds[0]
    }

    #[test]
    fn a_label_that_never_holds_leaves_the_thresholds_of_the_others() {
        let scores = vec![3.0, 1.0, 1.0, -2.0, -4.0, 2.0];
        let outcomes = Outcomes::of_labels(2, scores, vec![1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        let FittedThresholds { thresholds, unfitted } = fit_thresholds(&outcomes, Criterion::F1).unwrap();
        assert_eq!(thresholds[0].log_odds, -1.5);
        let many = FittedThresholds { thresholds: Vec::new(), unfitted: vec!["label 1: no".into(); 10] };
        let message = many.warning().unwrap();
        assert!(message.contains("for 10 labels: label 1: no; ") && message.contains("; and 2 more; "), "{message}");
        let half = Threshold { log_odds: 0.0, probability: 0.5, precision: Some(0.0), recall: None };
        assert_eq!(thresholds[1], half);
        assert!(unfitted.len() == 1 && unfitted[0].starts_with("label 1: it never holds"), "{unfitted:?}");
    }

    #[test]
    fn thresholds_are_the_best_that_there_are() {
        let outcomes = outcomes();
        for (criterion, precision, recall) in WANTED {
            let found = first(&outcomes, criterion);
            let (p, r) = (found.precision.unwrap(), found.recall.unwrap());
            assert!((p - precision).abs() < 1e-12 && (r - recall).abs() < 1e-12, "{criterion:?}: {found:?}");
            // Labels of the same scores have the same threshold.
            let odds: Vec<f32> = outcomes.scores.chunks(2).map(|pair| pair[1] - pair[0]).collect();
            let labels = outcomes.classes.iter().map(|class| *class as f32).collect();
            let of_label = first(&Outcomes::of_labels(1, odds, labels), criterion);
            assert!((of_label.log_odds - found.log_odds).abs() < 1e-6, "{of_label:?} {found:?}");
            assert_eq!((of_label.precision, of_label.recall), (found.precision, found.recall));
        }
    }

    /// scikit-learn: the best of `precision_recall_curve` and of `roc_curve(drop_intermediate=False)`.
    const WANTED: [(Criterion, f64, f64); 4] = [
        (Criterion::F1, 0.7586206896551724, 1.0),
        (Criterion::Youden, 0.7586206896551724, 1.0),
        (Criterion::Recall(0.5), 1.0, 0.5454545454545454),
        (Criterion::Precision(0.85), 0.875, 0.6363636363636364),
    ];

    #[test]
    fn degenerate_outcomes_are_refused_or_told_apart() {
        let of = |scores: &[f32], labels: &[f32]| Outcomes::of_labels(1, scores.to_vec(), labels.to_vec());
        let best = first(&of(&[3.0, 1.0, -4.0], &[1.0, 1.0, 0.0]), Criterion::F1);
        assert_eq!((best.log_odds, best.precision, best.recall), (-1.5, Some(1.0), Some(1.0)));
        // All scores are equal: all is said to hold, or nothing.
        let best = first(&of(&[2.0; 3], &[1.0, 0.0, 0.0]), Criterion::F1);
        assert_eq!((best.log_odds, best.probability, best.recall), (f64::NEG_INFINITY, 0.0, Some(1.0)));
        for (outcomes, criterion, wanted) in [
            (of(&[1.0, 2.0], &[0.0, 0.0]), Criterion::F1, "label 0: it never holds"),
            (of(&[1.0, 2.0], &[1.0, 1.0]), Criterion::Youden, "label 0: it always holds"),
            (of(&[1.0, 2.0], &[1.0, 0.0]), Criterion::Precision(0.9), "no threshold has a precision of 0.9 or more"),
            (Outcomes::of_classes(3, vec![0.0; 6], vec![0, 1]), Criterion::F1, "two classes apart, and there are 3"),
        ] {
            let message = fit_thresholds(&outcomes, criterion).unwrap_err();
            assert!(message.contains(wanted), "{message}");
        }
    }
}
