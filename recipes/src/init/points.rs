//! What the points of a column are.

use millstream_pipeline::arrow_schema::DataType;
use millstream_pipeline::{Dataset, List, Value};
use millstream_schemas::{count, shown};

use super::most_rows::MOST_ROWS;
use crate::RecipeError;

/// Points in the pictures of rows, as many in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Points {
    pub(super) count: usize,
    /// Whether their numbers seem to be shares of the picture, and no pixels.
    pub(super) are_shares: bool,
}

impl Points {
    /// Looks at the lists of a column, for a model that tells so many points, one or more.
    ///
    /// # Errors
    /// They cannot be read, or hold another number of points.
    pub(super) fn of(dataset: &Dataset, column: &str, told: usize) -> Result<Self, RecipeError> {
        let (mut rows, mut seen, mut are_shares) = (0_usize, 0_usize, true);
        let wrong = dataset.find_row(&[column.to_owned()], |row| {
            if rows >= MOST_ROWS {
                return Some(None);
            }
            rows += 1;
            let Value::List(list) = row.get(0) else { return None };
            match places(list, told) {
                Ok(places) => {
                    seen += places.len();
                    are_shares &= places.iter().all(|place| (-0.01..=1.01).contains(place));
                    None
                }
                Err(has) => Some(Some(has)),
            }
        })?;
        match wrong {
            Some(Some(has)) => {
                let message = format!(
                    "the model tells {}, [batch, {told}, 2], and `{}` of row {} has {has}; wanted a list of {told} points of two or three \
                     numbers, or all of these in one list, see docs/tasks/key-points.md",
                    count(told, "point"),
                    shown(column),
                    rows - 1
                );
                Err(RecipeError::mismatch("DATA", message))
            }
            _ => Ok(Self { count: told, are_shares: are_shares && seen > 0 }),
        }
    }
}

/// Across and down of each point, where they are numbers.
///
/// # Errors
/// How many numbers or points there are, where these are not so many points.
fn places(list: List<'_>, told: usize) -> Result<Vec<f64>, String> {
    let numbers = |list: List<'_>| list.iter().map(Value::number).collect::<Vec<Option<f64>>>();
    let points: Vec<Vec<Option<f64>>> = match (list.holds_lists(), list.len()) {
        (true, found) if found == told => {
            let point = |point| if let Value::List(point) = point { numbers(point) } else { Vec::new() };
            list.iter().map(point).collect()
        }
        (false, found) if found == 2 * told || found == 3 * told => {
            numbers(list).chunks(found / told).map(<[_]>::to_vec).collect()
        }
        (true, found) => return Err(count(found, "point")),
        (false, found) => return Err(count(found, "number")),
    };
    Ok(points.iter().flat_map(|point| point.iter().take(2)).flatten().copied().collect())
}

/// Whether values of this type may be the points of a row.
pub(super) fn may_be_points(kind: &DataType) -> bool {
    matches!(kind, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..))
}

/// What the lists of a column hold that no labels are: lists, or fractions; nothing where they may be labels.
///
/// # Errors
/// The rows cannot be read.
pub(super) fn no_labels(dataset: &Dataset, column: &str) -> Result<Option<&'static str>, RecipeError> {
    let mut rows = 0_usize;
    let found = dataset.find_row(&[column.to_owned()], |row| {
        if rows >= MOST_ROWS {
            return Some(None);
        }
        rows += 1;
        let Value::List(list) = row.get(0) else { return None };
        if list.holds_lists() {
            return Some(Some("lists in lists"));
        }
        let has_fractions = list.iter().filter_map(Value::number).any(|number| number.fract() != 0.0);
        has_fractions.then_some(Some("lists of fractions"))
    })?;
    Ok(found.flatten())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use millstream_pipeline::arrow_array::builder::{Float64Builder, ListBuilder};
    use millstream_pipeline::arrow_array::{ArrayRef, RecordBatch};

    use super::*;

    fn flat(rows: &[&[f64]]) -> Dataset {
        let mut lists = ListBuilder::new(Float64Builder::new());
        for row in rows {
            lists.values().append_slice(row);
            lists.append(true);
        }
        of_column(Arc::new(lists.finish()))
    }

    fn nested(rows: &[&[[f64; 2]]]) -> Dataset {
        let mut lists = ListBuilder::new(ListBuilder::new(Float64Builder::new()));
        for row in rows {
            for point in *row {
                lists.values().values().append_slice(point);
                lists.values().append(true);
            }
            lists.append(true);
        }
        of_column(Arc::new(lists.finish()))
    }

    fn of_column(column: ArrayRef) -> Dataset {
        let rows = RecordBatch::try_from_iter_with_nullable([("spots", column, true)]).unwrap();
        Dataset::from_batches("rows", &[rows], 10).unwrap()
    }

    #[test]
    fn points_are_as_many_as_the_model_tells_in_one_list_or_a_list_each() {
        let found = |dataset: &Dataset| Points::of(dataset, "spots", 2).map_err(|error| error.to_string());
        let pixels = Ok(Points { count: 2, are_shares: false });
        assert_eq!(found(&flat(&[&[13.5, 36.0, 2.0, 1.0]])), pixels);
        // with what is visible
        let shares = Ok(Points { count: 2, are_shares: true });
        assert_eq!(found(&flat(&[&[0.5, 0.25, 2.0, 0.0, 1.0, 1.0]])), shares);
        assert_eq!(found(&nested(&[&[[13.5, 36.0], [1.0, 2.0]]])), pixels);
        for (dataset, wanted) in [
            (flat(&[&[1.0, 2.0, 3.0, 4.0], &[1.5]]), "`spots` of row 1 has 1 number; wanted a list of 2 points"),
            (nested(&[&[[1.0, 2.0]]]), "the model tells 2 points, [batch, 2, 2], and `spots` of row 0 has 1 point"),
        ] {
            let refused = found(&dataset).unwrap_err();
            assert!(refused.contains(wanted) && refused.contains("key-points.md"), "{refused}");
        }
    }

    #[test]
    fn lists_of_fractions_and_lists_in_lists_are_no_labels() {
        assert_eq!(no_labels(&flat(&[&[1.0, 2.0], &[1.5]]), "spots").unwrap(), Some("lists of fractions"));
        assert_eq!(no_labels(&nested(&[&[[1.0, 2.0]]]), "spots").unwrap(), Some("lists in lists"));
        assert_eq!(no_labels(&flat(&[&[1.0, 2.0], &[]]), "spots").unwrap(), None);
    }
}
