use millstream_schemas::{Fingerprint, GOLDEN, RowId, mix};
use serde::{Deserialize, Serialize};

use crate::TrainingError;

/// Which rows an ensemble is fitted to and which it is measured on: by their identities and a seed alone, so that it is the same for any
/// order and any members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowSplit {
    /// Of the draw.
    pub seed: u64,
    /// The share of rows that is measured on, 0 to 1.
    pub holdout: f64,
    /// Rows that it is fitted to.
    pub fitted: u64,
    /// Rows that it is measured on.
    pub measured: u64,
    /// Of the identities of those that it is measured on.
    pub fingerprint: Fingerprint,
}

/// Numbers of rows, each part in order.
pub(super) struct Parts {
    pub(super) fitted: Vec<usize>,
    pub(super) measured: Vec<usize>,
}

impl RowSplit {
    /// Of these rows a share is drawn to measure on. Where nothing is fitted (`fits` is false) all are measured on.
    ///
    /// # Errors
    /// The share is none of 0 to below 1, or leaves no row on one of two sides.
    pub(super) fn draw(rows: &[RowId], holdout: f64, seed: u64, fits: bool) -> Result<(Self, Parts), TrainingError> {
        let refused = |message: String| Err(TrainingError::Ensemble { message });
        if !(0.0..1.0).contains(&holdout) {
            return refused(format!("the share of rows to measure on is 0 to below 1, got {holdout}"));
        }
        let count = (rows.len() as f64 * holdout).round() as usize;
        let parts = if !fits {
            Parts { fitted: Vec::new(), measured: (0..rows.len()).collect() }
        } else if holdout == 0.0 {
            Parts { fitted: (0..rows.len()).collect(), measured: (0..rows.len()).collect() }
        } else if count == 0 || count == rows.len() {
            return refused(format!(
                "of {} rows a share of {holdout} to measure on leaves none on one side",
                rows.len()
            ));
        } else {
            let mut drawn: Vec<usize> = (0..rows.len()).collect();
            drawn.sort_unstable_by_key(|row| (mix(rows[*row].key() ^ mix(seed.wrapping_add(GOLDEN))), *row));
            let mut measured = drawn.split_off(rows.len() - count);
            drawn.sort_unstable();
            measured.sort_unstable();
            Parts { fitted: drawn, measured }
        };
        let mut names: Vec<(&str, u32, u32)> =
            parts.measured.iter().map(|row| (&*rows[*row].file, rows[*row].row_group, rows[*row].row)).collect();
        names.sort_unstable();
        let split = Self {
            seed,
            holdout,
            fitted: parts.fitted.len() as u64,
            measured: parts.measured.len() as u64,
            fingerprint: Fingerprint::of(&names),
        };
        Ok((split, parts))
    }

    /// Whether it is measured on rows that it was fitted to.
    pub fn is_of_fitted_rows(&self) -> bool {
        self.fitted > 0 && self.holdout == 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: u32) -> Vec<RowId> {
        (0..count).map(|row| RowId { file: "a.parquet".into(), row_group: row / 10, row: row % 10 }).collect()
    }

    #[test]
    fn a_split_depends_on_identities_and_seed_alone() {
        let (split, parts) = RowSplit::draw(&rows(100), 0.3, 7, true).unwrap();
        assert_eq!((split.fitted, split.measured, parts.measured.len()), (70, 30, 30));
        let mut turned = rows(100);
        turned.reverse();
        let (again, mirrored) = RowSplit::draw(&turned, 0.3, 7, true).unwrap();
        let named = |rows: &[RowId], parts: &[usize]| {
            let mut names: Vec<String> = parts.iter().map(|row| rows[*row].to_string()).collect();
            names.sort_unstable();
            names
        };
        assert_eq!(again, split);
        assert_eq!(named(&rows(100), &parts.measured), named(&turned, &mirrored.measured));
        assert_ne!(RowSplit::draw(&rows(100), 0.3, 8, true).unwrap().0.fingerprint, split.fingerprint);
        let mut all = [parts.fitted, parts.measured].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_not_fitted_is_measured_on_all_rows_and_shares_that_leave_none_are_refused() {
        let (split, parts) = RowSplit::draw(&rows(4), 0.5, 0, false).unwrap();
        assert_eq!((split.fitted, parts.measured.len(), split.is_of_fitted_rows()), (0, 4, false));
        let (split, _) = RowSplit::draw(&rows(4), 0.0, 0, true).unwrap();
        assert_eq!((split.fitted, split.measured, split.is_of_fitted_rows()), (4, 4, true));
        for holdout in [1.0, -0.1, f64::NAN, 0.01] {
            assert!(RowSplit::draw(&rows(4), holdout, 0, true).is_err(), "{holdout}");
        }
    }
}
