//! Which columns hold images.

use millstream_pipeline::{Dataset, Value, decode};
use millstream_schemas::Feature;

use super::most_rows::MOST_ROWS;
use crate::RecipeError;

/// The columns that hold images, in file order: those that say so; where none does, those of binary values of which the first that is there
/// is an image that is read.
///
/// # Errors
/// The rows cannot be read.
pub(super) fn columns_of_images(dataset: &Dataset) -> Result<Vec<String>, RecipeError> {
    let names: Vec<String> = dataset.image_columns().into_iter().map(str::to_owned).collect();
    let says_so = |name: &String| matches!(dataset.features().get(name), Some(Feature::Image(_)));
    if names.is_empty() || names.iter().all(says_so) {
        return Ok(names);
    }
    // of each column, whether its first value is an image
    let mut found: Vec<Option<bool>> = vec![None; names.len()];
    let mut rows = 0_usize;
    dataset.find_row(&names, |row| {
        rows += 1;
        for (at, found) in found.iter_mut().enumerate().filter(|(_, found)| found.is_none()) {
            if let Value::Bytes(bytes) = row.get(at) {
                *found = Some(decode::header(bytes).is_ok());
            }
        }
        (rows >= MOST_ROWS || found.iter().all(Option::is_some)).then_some(())
    })?;
    let are = names.into_iter().zip(found).filter(|(_, found)| *found == Some(true));
    Ok(are.map(|(name, _)| name).collect())
}
