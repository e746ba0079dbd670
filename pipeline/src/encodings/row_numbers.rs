//! As many numbers in each row: of columns side by side, or of one column of lists.

use millstream_schemas::{count, shown};

use super::encoding_kind::Source;
use crate::PipelineError;
use crate::error::Damage;
use crate::sources::{Holds, RowValues, Value};

/// How long lists are taken for meant.
const LONGEST: usize = 1 << 20;

/// Where the numbers of a row are.
#[derive(Clone, Debug)]
pub(super) struct RowNumbers {
    columns: Vec<String>,
    are_lists: bool,
}

impl RowNumbers {
    /// Of columns of numbers, or of one column of lists.
    ///
    /// # Errors
    /// There are several columns, and one of them has lists.
    pub(super) fn of(source: &Source<'_>) -> Result<Self, PipelineError> {
        let columns = source.columns.to_vec();
        let mut are_lists = false;
        for column in &columns {
            let holds = source.dataset.holds(column, "numbers or lists of them", &[Holds::Numbers, Holds::Lists])?;
            are_lists |= holds == Holds::Lists;
        }
        if are_lists && columns.len() > 1 {
            let reason = format!("a column of lists stands alone, got {}", count(columns.len(), "column"));
            return Err(PipelineError::Option { option: "column", reason });
        }
        Ok(Self { columns, are_lists })
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(super) fn are_lists(&self) -> bool {
        self.are_lists
    }

    /// The numbers of a row, of which there are as many as `out` has places.
    ///
    /// # Errors
    /// There are more or fewer, or one is missing or none that a model can take.
    pub(super) fn read(&self, row: RowValues<'_>, out: &mut [f32]) -> Result<(), Damage> {
        if !self.are_lists {
            for (place, out) in out.iter_mut().enumerate() {
                *out = number(row.get(place)).map_err(|reason| Damage::value(&self.columns[place], reason))?;
            }
            return Ok(());
        }
        let damaged = |reason: String| Damage::value(&self.columns[0], reason);
        let Value::List(list) = row.get(0) else { return Err(damaged("is missing (null)".into())) };
        if list.len() != out.len() {
            return Err(damaged(format!("has {}, wanted {}", count(list.len(), "number"), out.len())));
        }
        for ((place, value), out) in list.iter().enumerate().zip(out) {
            *out = number(value).map_err(|reason| damaged(format!("at place {} of its list {reason}", place + 1)))?;
        }
        Ok(())
    }
}

/// A number that a model can take.
///
/// # Errors
/// It is missing, or none; in words.
pub(super) fn number(value: Value<'_>) -> Result<f32, String> {
    match value.number().filter(|number| !number.is_nan()) {
        None => Err("is missing (null)".into()),
        Some(number) if !(number as f32).is_finite() => {
            Err(format!("is {number}, which is no number that a model can take"))
        }
        Some(number) => Ok(number as f32),
    }
}

/// How many numbers the lists of a column have, as the first of them says that is neither empty nor endless: such a list is that of
/// a damaged row.
///
/// # Errors
/// The rows cannot be read, or no row has a list that is neither.
pub(super) fn length_of_lists(source: &Source<'_>) -> Result<usize, PipelineError> {
    let mut strange = None;
    let found = source.dataset.find_row(source.columns, |row| match row.get(0) {
        Value::List(list) if (1..=LONGEST).contains(&list.len()) => Some(list.len()),
        Value::List(list) => {
            strange = strange.or(Some(list.len()));
            None
        }
        _ => None,
    })?;
    match found {
        Some(length) => Ok(length),
        None => {
            let reason = match strange {
                None => "has no list in any row".to_owned(),
                Some(length) => format!("has {} in the first list", count(length, "number")),
            };
            let (file, column) = (source.dataset.first().name.to_string(), shown(&source.columns[0]));
            Err(PipelineError::Column { file, column, reason })
        }
    }
}
