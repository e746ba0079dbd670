use millstream_training::RunRecord;
use millstream_training::metrics::{FigureKind, Unit};

use super::figures::{Sought, is_cost};
use crate::run_folder::RunFolder;

/// The confidence of an interval of the mean over several runs.
pub(super) const STUDENT: f64 = 0.95;

/// Where the first figure of a trial lies: Student's interval of the mean over its runs, of 95 %, or that of the evaluation of its only
/// one, of the confidence that the recipe asks for.
pub(super) fn interval(sought: &Sought, runs: &[(RunRecord, RunFolder)]) -> Option<[f64; 2]> {
    let first = sought.first();
    if let [(record, _)] = runs {
        return record.evaluation.as_ref()?.interval(&first.kind.name);
    }
    let values = runs.iter().map(|(record, run)| first.value(record, run)).collect::<Option<Vec<f64>>>()?;
    Some(within_range(&first.kind, &values, mean_interval(&values)?))
}

/// An interval without what the figure cannot be: a share is from 0 to 1, unless it was seen above, and no cost is below 0.
fn within_range(kind: &FigureKind, values: &[f64], [low, high]: [f64; 2]) -> [f64; 2] {
    match kind.unit {
        Unit::Share => [low.max(0.0), high.min(values.iter().copied().fold(1.0, f64::max))],
        Unit::Number if is_cost(kind) => [low.max(0.0), high],
        Unit::Number => [low, high],
    }
}

fn mean_interval(values: &[f64]) -> Option<[f64; 2]> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let half = student(values.len().checked_sub(1)?)? * (variance / count).sqrt();
    // runs that are equal say nothing of how far others would lie apart
    let are_equal = values.iter().all(|value| *value == values[0]);
    (half.is_finite() && !are_equal).then_some([mean - half, mean + half])
}

/// The point that 97.5 % of Student's distribution of so many degrees of freedom lie below.
fn student(freedom: usize) -> Option<f64> {
    const POINTS: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    match freedom {
        0 => None,
        1..=30 => Some(POINTS[freedom - 1]),
        // Off by less than 0.001.
        more => Some(1.96 + 2.42 / more as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_share_ends_at_what_a_share_can_be() {
        let share = FigureKind { name: "accuracy".into(), unit: Unit::Share, ..FigureKind::loss() };
        let values = [0.75, 0.92, 0.94];
        let mean = mean_interval(&values).unwrap();
        assert!(mean[1] > 1.0, "{mean:?}");
        assert_eq!(within_range(&share, &values, mean), [mean[0], 1.0]);
        // a word error rate may be above
        assert_eq!(within_range(&share, &[0.1, 1.4], [-0.5, 2.0]), [0.0, 1.4]);
        let seconds = FigureKind { name: "seconds".into(), ..FigureKind::loss() };
        assert_eq!(within_range(&seconds, &[1.0, 9.0], [-3.0, 13.0]), [0.0, 13.0]);
        assert_eq!(within_range(&FigureKind::loss(), &[1.0, 9.0], [-3.0, 13.0]), [-3.0, 13.0]);
    }

    /// Against SciPy's `stats.t.interval`.
    #[test]
    fn intervals_of_means_are_those_of_student() {
        for (values, wanted) in [
            (&[0.8, 0.9, 0.85][..], [0.725_793, 0.974_207]),
            (&[0.5, 0.7], [-0.670_620, 1.870_620]),
            (&[1.0, 2.0, 3.0, 4.0, 5.0], [1.036_757, 4.963_243]),
        ] {
            let got = mean_interval(values).unwrap();
            assert!((got[0] - wanted[0]).abs() < 1e-3 && (got[1] - wanted[1]).abs() < 1e-3, "{got:?}");
        }
        for values in [&[0.5][..], &[0.9, 0.9], &[0.1, 0.1, 0.1]] {
            assert_eq!(mean_interval(values), None, "{values:?}");
        }
        assert!((student(60).unwrap() - 2.000).abs() < 1e-3 && (student(120).unwrap() - 1.980).abs() < 1e-3);
    }
}
