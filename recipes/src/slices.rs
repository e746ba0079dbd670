//! Rows told apart by the values of columns, which are read beside the stream, a row group at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use millstream_pipeline::arrow_schema::DataType;
use millstream_pipeline::{Dataset, Holds, Value};
use millstream_schemas::features::Feature;
use millstream_schemas::{RowId, count, nearest, shown};
use millstream_training::metrics::{ColumnSlices, SliceName};
use millstream_training::{BoxError, RowSlices};

use crate::RecipeError;

/// Where a recipe names the columns.
const PLACE: &str = "evaluation.slices";
/// A column with more different values tells nothing apart.
const MOST_VALUES: usize = 100_000;
/// Letters of a value; longer ones are no names.
const LONGEST: usize = 200;
/// Row groups whose numbers of slices are held, 2 bytes a row and column. Rows that are put together by their lengths come from a
/// few.
const HELD: usize = 16;

/// The slices of some columns of a dataset.
pub(crate) struct SlicedRows {
    dataset: Dataset,
    names: Vec<String>,
    columns: Vec<Column>,
    /// Of each column the number of each row's slice.
    held: VecDeque<(Arc<str>, u32, Vec<Vec<u16>>)>,
    /// What is worth knowing of them.
    pub(crate) notes: Vec<String>,
}

/// How the values of a column are told apart.
struct Column {
    reading: Reading,
    slices: Vec<SliceName>,
    numbers: HashMap<String, u16>,
    missing: u16,
    others: u16,
}

/// What the values of a column are called.
#[derive(Clone)]
pub(crate) enum Reading {
    AsTheyAre,
    Booleans,
    /// Class names by number.
    Classes(Vec<String>),
}

impl SlicedRows {
    /// Reads the columns once to find their values; of each the `most` frequent ones are told apart.
    ///
    /// # Errors
    /// There is no such column, it holds something else than names and numbers, its values are too many or too long, or it cannot
    /// be read.
    pub(crate) fn open(dataset: &Dataset, names: &[String], most: usize) -> Result<Self, RecipeError> {
        let (mut columns, mut notes) = (Vec::new(), Vec::new());
        for (index, name) in names.iter().enumerate() {
            let place = format!("{PLACE}[{index}]");
            let column = Column::open(dataset, name, most, &place)?;
            if let Some(SliceName::OtherValues(others)) = column.slices.last() {
                notes.push(format!(
                    "column `{}` has {}: the {most} most frequent are told apart, and the {} together \
                     (`evaluation.most_slices`)",
                    shown(name),
                    count(column.numbers.len() as u64 + others, "value"),
                    if *others == 1 { "other one".to_owned() } else { format!("{others} others") },
                ));
            }
            columns.push(column);
        }
        Ok(Self { dataset: dataset.clone(), names: names.to_vec(), columns, held: VecDeque::new(), notes })
    }

    /// Where the numbers of a row group's rows are held; read when they are not there.
    fn group_of(&mut self, row: &RowId) -> Result<usize, BoxError> {
        let is_it = |held: &(Arc<str>, u32, Vec<Vec<u16>>)| held.1 == row.row_group && held.0 == row.file;
        if let Some(at) = self.held.iter().position(is_it) {
            return Ok(at);
        }
        let mut numbers: Vec<Vec<u16>> = vec![Vec::new(); self.columns.len()];
        self.dataset.each_row_beside(row, &self.names, |values| {
            for (at, (column, numbers)) in self.columns.iter().zip(&mut numbers).enumerate() {
                numbers.push(column.number(values.get(at)));
            }
        })?;
        if self.held.len() == HELD {
            self.held.pop_front();
        }
        self.held.push_back((Arc::clone(&row.file), row.row_group, numbers));
        Ok(self.held.len() - 1)
    }
}

impl RowSlices for SlicedRows {
    fn columns(&self) -> Vec<ColumnSlices> {
        let columns = self.names.iter().zip(&self.columns);
        columns.map(|(name, column)| ColumnSlices { column: name.clone(), slices: column.slices.clone() }).collect()
    }

    fn of_rows(&mut self, rows: &[Option<RowId>]) -> Result<Vec<Vec<usize>>, BoxError> {
        let mut found = vec![vec![0; rows.len()]; self.columns.len()];
        for (slot, row) in rows.iter().enumerate() {
            let Some(row) = row else { continue };
            let at = self.group_of(row)?;
            let numbers = &self.held[at].2;
            for (found, numbers) in found.iter_mut().zip(numbers) {
                let number = numbers.get(row.row as usize).ok_or_else(|| format!("{row} is not in its row group"))?;
                found[slot] = usize::from(*number);
            }
        }
        Ok(found)
    }
}

impl Column {
    fn open(dataset: &Dataset, name: &str, most: usize, place: &str) -> Result<Self, RecipeError> {
        let refused = |message: String| RecipeError::mismatch(place, message);
        let reading = reading(dataset, name, "the evaluation rows").map_err(refused)?;
        let (mut counts, mut missing, mut problem) = (HashMap::<String, u64>::new(), 0_u64, None);
        dataset.each_row(&[name.to_owned()], |row| {
            let Some(value) = reading.text(row.get(0)) else {
                missing += 1;
                return;
            };
            if value.chars().count() > LONGEST {
                problem.get_or_insert(format!("has values of more than {LONGEST} letters, which name nothing"));
            } else if counts.len() < MOST_VALUES || counts.contains_key(&value) {
                *counts.entry(value).or_default() += 1;
            } else {
                problem
                    .get_or_insert(format!("has more than {MOST_VALUES} different values, which tell nothing apart"));
            }
        })?;
        if let Some(problem) = problem {
            let name = shown(name);
            return Err(refused(format!("column `{name}` {problem}; name a column of groups")));
        }
        let mut values: Vec<(String, u64)> = counts.into_iter().collect();
        values.sort_unstable_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then_with(|| a.cmp(b)));
        let others = values.split_off(most.min(values.len())).len() as u64;
        let mut slices: Vec<SliceName> = values.iter().map(|(value, _)| SliceName::Value(value.clone())).collect();
        let numbers = values.into_iter().zip(0..).map(|((value, _), number)| (value, number)).collect();
        let missing_at = slices.len() as u16;
        slices.extend((missing > 0).then_some(SliceName::Missing(true)));
        let others_at = slices.len() as u16;
        slices.extend((others > 0).then_some(SliceName::OtherValues(others)));
        Ok(Self { reading, slices, numbers, missing: missing_at, others: others_at })
    }

    fn number(&self, value: Value<'_>) -> u16 {
        let Some(value) = self.reading.text(value) else { return self.missing };
        self.numbers.get(&value).copied().unwrap_or(self.others)
    }
}

/// Those of the columns that a dataset has, and what is said of the others.
pub(crate) fn columns_there(dataset: &Dataset, names: &[String]) -> (Vec<String>, Option<String>) {
    let is_there = |name: &&String| dataset.arrow_schema().field_with_name(name).is_ok();
    let (there, lacking): (Vec<&String>, Vec<&String>) = names.iter().partition(is_there);
    let lacking: Vec<String> = lacking.iter().map(|name| format!("`{}`", shown(name))).collect();
    let (columns, them) = if lacking.len() == 1 { ("column", "it") } else { ("columns", "them") };
    let said = format!("these rows have no {columns} {}, and are not told apart by {them}", lacking.join(", "));
    (there.into_iter().cloned().collect(), (!lacking.is_empty()).then_some(said))
}

/// How a column is read; `rows` are what the dataset is called.
pub(crate) fn reading(dataset: &Dataset, name: &str, rows: &str) -> Result<Reading, String> {
    let known = || dataset.arrow_schema().fields().iter().map(|field| field.name().as_str());
    let Ok(field) = dataset.arrow_schema().field_with_name(name) else {
        let near = nearest(name, known()).map_or_else(String::new, |near| format!("; did you mean `{}`?", shown(near)));
        return Err(format!("{rows} have no column `{}`{near}", shown(name)));
    };
    let data_type = match field.data_type() {
        DataType::Dictionary(_, value) => value,
        other => other,
    };
    match (Holds::of(field.data_type()), dataset.features().get(name)) {
        (Some(Holds::Numbers), Some(Feature::ClassLabel { names })) => Ok(Reading::Classes(names.clone())),
        (Some(Holds::Numbers), _) if *data_type == DataType::Boolean => Ok(Reading::Booleans),
        (Some(Holds::Text | Holds::Numbers), _) => Ok(Reading::AsTheyAre),
        (Some(other), _) => {
            Err(format!("column `{}` holds {}, and rows are told apart by names or numbers", shown(name), other.name()))
        }
        (None, _) => Err(format!("column `{}` is of a type that is not read", shown(name))),
    }
}

impl Reading {
    /// The value in words; none where there is none.
    pub(crate) fn text(&self, value: Value<'_>) -> Option<String> {
        let number = value.number();
        Some(match (self, value) {
            (_, Value::Null | Value::Bytes(_) | Value::List(_) | Value::Struct(_)) => return None,
            (_, Value::Text(text)) => text.to_owned(),
            (Self::Booleans, Value::Signed(number)) => (number != 0).to_string(),
            (Self::Classes(names), _) => {
                let number = number?;
                let index = number as usize;
                let named = names.get(index).filter(|_| index as f64 == number);
                // The class −1 is none.
                if number == -1.0 {
                    return None;
                }
                named.cloned().unwrap_or_else(|| number.to_string())
            }
            (_, Value::Signed(number)) => number.to_string(),
            (_, Value::Unsigned(number)) => number.to_string(),
            (_, Value::Float(number)) if number.is_nan() => return None,
            // −0 is 0
            (_, Value::Float(number)) => (number + 0.0).to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use millstream_pipeline::arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};

    use super::*;

    fn dataset(columns: Vec<(&str, ArrayRef)>, rows_a_group: usize) -> Dataset {
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)));
        Dataset::from_batches("rows", &[batch.unwrap()], rows_a_group).unwrap()
    }

    #[test]
    fn columns_that_tell_nothing_apart_are_refused() {
        let many: Int64Array = (0..=MOST_VALUES as i64).map(Some).collect();
        let long: StringArray = (0..=MOST_VALUES).map(|_| Some("x".repeat(LONGEST + 1))).collect();
        let rows = dataset(vec![("many", Arc::new(many)), ("long", Arc::new(long))], 50_000);
        for (column, wanted) in [
            ("many", "evaluation.slices[0]: column `many` has more than 100000 different values"),
            ("long", "evaluation.slices[0]: column `long` has values of more than 200 letters"),
            ("mny", "evaluation.slices[0]: the evaluation rows have no column `mny`; did you mean `many`?"),
        ] {
            let error = SlicedRows::open(&rows, &[column.to_owned()], 20).err().unwrap().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn zero_below_zero_is_no_slice_of_its_own() {
        for (number, wanted) in [(0.0, "0"), (-0.0, "0"), (-1.5, "-1.5")] {
            assert_eq!(Reading::AsTheyAre.text(Value::Float(number)).as_deref(), Some(wanted));
        }
    }

    #[test]
    fn columns_that_another_set_does_not_have_are_left_out_and_named() {
        let rows = dataset(vec![("site", Arc::new(Int64Array::from(vec![1, 2])))], 10);
        let names = ["site", "camera", "hour"].map(String::from);
        let (there, said) = columns_there(&rows, &names);
        assert_eq!(there, ["site"]);
        assert_eq!(said.unwrap(), "these rows have no columns `camera`, `hour`, and are not told apart by them");
        let (there, said) = columns_there(&rows, &names[..1]);
        assert_eq!((there, said), (vec!["site".to_owned()], None));
    }

    #[test]
    fn the_slice_of_a_row_does_not_depend_on_what_was_asked_before() {
        let values: Float64Array = (0..400).map(|at| (at % 7 != 6).then_some(f64::from(at % 7) / 2.0)).collect();
        let rows = dataset(vec![("value", Arc::new(values))], 10);
        let mut slices = SlicedRows::open(&rows, &["value".to_owned()], 4).unwrap();
        let names: Vec<String> = slices.columns()[0].slices.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["0", "0.5", "1", "1.5", "(no value)", "(2 other values)"]);
        assert_eq!(slices.notes.len(), 1);
        // More row groups than are held, from both ends.
        for at in (0..400).flat_map(|at| [at, 399 - at]) {
            let found = slices.of_rows(&[None, Some(rows.row_at(at))]).unwrap();
            let wanted = match at % 7 {
                6 => 4,
                5 | 4 => 5,
                value => value as usize,
            };
            assert_eq!(found[0][1], wanted, "{at}");
        }
    }
}
