//! Which columns hold numbers that a model may learn from, and which number the rows alone.

use millstream_pipeline::{Dataset, Value};
use millstream_schemas::{Feature, count, shown};

use super::most_rows::MOST_ROWS;
use super::told::Told;
use crate::RecipeError;
use crate::import::Seen;

/// Names of columns that number rows from anywhere.
const ROW_NUMBERS: [&str; 8] = ["id", "idx", "index", "row", "row_id", "rowid", "row_number", "unnamed: 0"];
/// Of fewer rows nothing is said.
const LEAST_ROWS: usize = 10;
/// Columns that a sentence names.
const MOST_NAMED: usize = 8;

/// The columns of numbers beside the one that is told.
pub(super) struct NumberColumns<'a> {
    /// All of them, in file order.
    pub(super) all: Vec<&'a (String, Feature)>,
    /// Those of them that number the rows: running whole numbers, no two alike.
    pub(super) row_numbers: Vec<String>,
}

impl<'a> NumberColumns<'a> {
    /// # Errors
    /// The rows cannot be read.
    pub(super) fn of(dataset: &'a Dataset, told: &Told) -> Result<Self, RecipeError> {
        let kind = |column: &str| dataset.arrow_schema().field_with_name(column).map(|field| field.data_type().clone());
        let columns = || dataset.features().columns.iter().filter(|(name, _)| name != told.column());
        let all = columns().filter(|(name, _)| kind(name).is_ok_and(|kind| kind.is_numeric())).collect();
        // what is declared as a class is one, however its rows lie
        let whole = columns().filter(|(name, feature)| {
            !matches!(feature, Feature::ClassLabel { .. }) && kind(name).is_ok_and(|kind| kind.is_integer())
        });
        let whole: Vec<String> = whole.map(|(name, _)| name.clone()).collect();
        Ok(Self { all, row_numbers: row_numbers(dataset, whole)? })
    }

    /// Those that say something of their row.
    pub(super) fn telling(&self) -> impl Iterator<Item = &'a (String, Feature)> {
        self.all.iter().copied().filter(move |(name, _)| !self.row_numbers.contains(name))
    }
}

/// Of columns of whole numbers those that number the rows, as far as [`MOST_ROWS`] tell.
fn row_numbers(dataset: &Dataset, names: Vec<String>) -> Result<Vec<String>, RecipeError> {
    if names.is_empty() {
        return Ok(names);
    }
    // nothing once a value is missing
    let mut seen: Vec<Option<Vec<i64>>> = vec![Some(Vec::new()); names.len()];
    let mut rows = 0_usize;
    dataset.find_row(&names, |row| {
        rows += 1;
        for (at, values) in seen.iter_mut().enumerate() {
            let value = match row.get(at) {
                Value::Signed(number) => Some(number),
                Value::Unsigned(number) => i64::try_from(number).ok(),
                _ => None,
            };
            let both = values.take().zip(value);
            *values = both.map(|(mut values, value)| {
                values.push(value);
                values
            });
        }
        (rows >= MOST_ROWS).then_some(())
    })?;
    let is_whole = rows as u64 >= dataset.rows();
    let named = names.into_iter().zip(seen);
    let numbering = named.filter(|(name, values)| {
        let from_anywhere = ROW_NUMBERS.iter().any(|known| name.eq_ignore_ascii_case(known));
        values.as_ref().is_some_and(|values| number_the_rows(values, is_whole, from_anywhere))
    });
    Ok(numbering.map(|(name, _)| name).collect())
}

/// Columns of texts all of whose values are numbers as people write them.
pub(super) struct WrittenForPeople {
    /// How many there are, one at least.
    pub(super) columns: usize,
    /// Which they are, why they are texts, and what to do.
    pub(super) cause: String,
}

impl WrittenForPeople {
    /// Those among these columns; nothing where none is.
    ///
    /// # Errors
    /// The rows cannot be read.
    pub(super) fn among(dataset: &Dataset, texts: &[String]) -> Result<Option<Self>, RecipeError> {
        if texts.is_empty() {
            return Ok(None);
        }
        let mut seen = vec![Seen::default(); texts.len()];
        let mut rows = 0_usize;
        dataset.find_row(texts, |row| {
            rows += 1;
            for (at, seen) in seen.iter_mut().enumerate() {
                if let Value::Text(text) = row.get(at) {
                    seen.text(text);
                }
            }
            (rows >= MOST_ROWS).then_some(())
        })?;
        let written: Vec<(&String, String)> =
            texts.iter().zip(&seen).filter_map(|(name, seen)| Some((name, seen.written_for_people()?))).collect();
        Ok(written.first().map(|(_, are)| {
            let cause = format!("the values of {} {are}", named(written.iter().map(|(name, _)| *name)));
            Self { columns: written.len(), cause }
        }))
    }
}

/// Whether these are running numbers from about 0 on, or from anywhere: no two alike and hardly one left out, as where some rows were put
/// aside to evaluate on; in order, unless all rows were seen.
fn number_the_rows(values: &[i64], is_whole: bool, from_anywhere: bool) -> bool {
    let (Some(least), Some(most)) = (values.iter().min(), values.iter().max()) else { return false };
    let rows = values.len();
    let begins = from_anywhere || usize::try_from(*least).is_ok_and(|least| least <= rows / 4);
    if rows < LEAST_ROWS || !begins || most.abs_diff(*least) >= 2 * rows as u64 {
        return false;
    }
    let rises = |values: &[i64]| values.windows(2).all(|pair| matches!(pair, [before, after] if before < after));
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    rises(values) || (is_whole && rises(&sorted))
}

/// Names of columns for a sentence: `a`, `b` and 3 more.
pub(super) fn named<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let all: Vec<&String> = names.into_iter().collect();
    let named: Vec<String> = all.iter().take(MOST_NAMED).map(|name| format!("`{}`", shown(name))).collect();
    let more = match all.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", named.join(", "))
}

/// What numbers a model takes, in words, and which it does not.
pub(super) fn numbers_in_words(columns: &[String], row_numbers: &[String]) -> String {
    let taken = format!("{} ({})", count(columns.len() as u64, "column"), named(columns));
    match row_numbers {
        [] => taken,
        left_out => format!("{taken}, without {}, which number the rows", named(left_out)),
    }
}

/// The columns of numbers that there are.
pub(super) fn columns_in_words<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    match names.len() {
        0 => "no column of numbers".to_owned(),
        several => format!("{} of numbers ({})", count(several as u64, "column"), named(names)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_row_numbers_are_told_from_numbers_that_say_something() {
        let up_to = |rows: i64| (0..rows).collect::<Vec<_>>();
        let shuffled: Vec<i64> = (0..20).map(|row| row * 7 % 20).collect();
        let some_put_aside: Vec<i64> = (0..40).filter(|row| row % 5 != 3).collect();
        for (values, is_whole, from_anywhere, wanted) in [
            (up_to(20), true, false, true),
            (up_to(20), false, false, true),
            (some_put_aside, true, false, true),
            (shuffled.clone(), true, false, true),
            // the rest of the rows may have the same
            (shuffled, false, false, false),
            (up_to(5), true, true, false),
            ((0..20).map(|row| row / 2).collect(), true, true, false),
            ((0..20).map(|row| row * row).collect(), true, true, false),
            // years
            ((1990..2020).collect(), true, false, false),
            ((1990..2020).collect(), true, true, true),
            (Vec::new(), true, true, false),
        ] {
            assert_eq!(number_the_rows(&values, is_whole, from_anywhere), wanted, "{values:?}");
        }
    }
}
