//! Which columns hold images.

use millstream_pipeline::{Dataset, Value, decode};
use millstream_schemas::{Feature, shown};

use super::most_rows::MOST_ROWS;
use crate::RecipeError;
use crate::folder_files::is_image;

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

/// Why there is no image to take, and what to do.
pub(super) fn no_images(dataset: &Dataset) -> Result<String, RecipeError> {
    let features = dataset.features().columns.iter();
    let texts: Vec<String> =
        features.filter(|(_, feature)| *feature == Feature::Text).map(|(name, _)| name.clone()).collect();
    let mut rows = 0_usize;
    let named = match texts.is_empty() {
        true => None,
        false => dataset.find_row(&texts, |row| {
            rows += 1;
            let named = texts.iter().enumerate().find_map(|(at, name)| match row.get(at) {
                Value::Text(text) if is_image(text) => Some((name.clone(), text.to_owned())),
                _ => None,
            });
            (named.is_some() || rows >= MOST_ROWS).then_some(named)
        })?,
    };
    let named = named.flatten();
    let what = "the model takes images, and no column holds any";
    Ok(match named {
        None => what.to_owned(),
        Some((column, path)) => {
            let (column, path) = (shown(column), shown(path));
            format!(
                "{what}; `{column}` has names of images (`{path}`), which count from the folder of the table and lie below it: \
                 `millstream import TABLE --image {column} -o FOLDER` embeds them, and says of each that is not there why"
            )
        }
    })
}
