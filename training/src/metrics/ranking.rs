//! How well scores rank what is sought before what is not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Scores, and whether each is of what is sought.
pub(super) type Ranked = Vec<(f64, bool)>;

/// How figures of classes or labels become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RankedAverage {
    /// The mean over the classes, each alike.
    #[default]
    Macro,
    /// Of the scores of all classes together.
    Micro,
    /// The mean over the classes, each by its targets.
    Weighted,
}

impl RankedAverage {
    /// `roc_auc`, and `roc_auc_micro` where it is not the usual average.
    pub(super) fn figure_name(self, metric: &str) -> String {
        match self {
            Self::Macro => metric.into(),
            Self::Micro => format!("{metric}_micro"),
            Self::Weighted => format!("{metric}_weighted"),
        }
    }

    /// The figure of all columns; of those that have none it says nothing.
    pub(super) fn of(self, columns: impl Iterator<Item = Ranked>, figure: fn(Ranked) -> Option<f64>) -> Option<f64> {
        if self == Self::Micro {
            return figure(columns.flatten().collect());
        }
        let sought = |column: &Ranked| column.iter().filter(|(_, is_sought)| *is_sought).count() as f64;
        let weight = |column: &Ranked| if self == Self::Weighted { sought(column) } else { 1.0 };
        let each = columns.filter_map(|column| {
            let weight = weight(&column);
            figure(column).map(|figure| (figure, weight))
        });
        mean_by_weight(each)
    }
}

/// Σ value · weight / Σ weight; none of no weight.
pub(super) fn mean_by_weight(each: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (sum, weights) = each.fold((0.0, 0.0), |(sum, all), (value, weight)| (sum + value * weight, all + weight));
    (weights > 0.0).then(|| sum / weights)
}

/// Sought and other scores that are equal, from the highest down.
fn steps(mut ranked: Ranked) -> Vec<(u64, u64)> {
    ranked.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));
    let equal = ranked.chunk_by(|(a, _), (b, _)| a == b);
    equal
        .map(|scores| {
            let sought = scores.iter().filter(|(_, is_sought)| *is_sought).count();
            (sought as u64, (scores.len() - sought) as u64)
        })
        .collect()
}

/// The share of pairs of a sought and another score in which the sought one is higher, pairs of equals by half: the area
/// under the curve of true over false positives. Counted in whole numbers, so that no order of the rows changes it. None
/// where one of both is missing.
pub(super) fn area_under_curve(ranked: Ranked) -> Option<f64> {
    let (mut sought_above, mut others, mut twice): (u64, u64, u128) = (0, 0, 0);
    for (sought, other) in steps(ranked) {
        twice += u128::from(other) * (2 * u128::from(sought_above) + u128::from(sought));
        sought_above += sought;
        others += other;
    }
    let pairs = u128::from(sought_above) * u128::from(others);
    (pairs > 0).then(|| twice as f64 / (2 * pairs) as f64)
}

/// Σ (recall − recall before) · precision, from the highest score down, equal scores at once. None where nothing is sought.
pub(super) fn average_precision(ranked: Ranked) -> Option<f64> {
    let (mut found, mut taken, mut sum) = (0, 0, 0.0);
    for (sought, other) in steps(ranked) {
        found += sought;
        taken += sought + other;
        sum += sought as f64 * found as f64 / taken as f64;
    }
    (found > 0).then(|| sum / found as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pair by pair.
    fn slow_area(ranked: &Ranked) -> f64 {
        let of = |wanted: bool| ranked.iter().filter(move |(_, is)| *is == wanted).map(|(score, _)| *score);
        let pairs = of(true).flat_map(|sought| of(false).map(move |other| (sought, other)));
        let won = pairs.map(|(a, b)| {
            if a > b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            }
        });
        won.sum::<f64>() / (of(true).count() * of(false).count()) as f64
    }

    #[test]
    fn the_area_is_that_of_all_pairs_in_any_order() {
        let mut ranked: Ranked = (0..97_u32).map(|i| (f64::from(i * 37 % 11), i * 53 % 7 < 3)).collect();
        let found = area_under_curve(ranked.clone()).unwrap();
        assert!((found - slow_area(&ranked)).abs() < 1e-12);
        ranked.rotate_left(31);
        ranked.swap(3, 80);
        assert_eq!(area_under_curve(ranked), Some(found));
    }

    #[test]
    fn what_has_one_kind_of_rows_alone_has_no_figure() {
        assert_eq!(area_under_curve(vec![(0.5, true), (0.1, true)]), None);
        assert_eq!(area_under_curve(Vec::new()), None);
        assert_eq!(average_precision(vec![(0.5, false)]), None);
        assert_eq!(average_precision(vec![(0.5, true)]), Some(1.0));
        assert_eq!(area_under_curve(vec![(0.0, true), (-0.0, false)]), Some(0.5), "both zeros are one score");
    }
}
