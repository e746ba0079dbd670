//! Which columns hold texts, and which of them a model reads.

use millstream_pipeline::Dataset;
use millstream_schemas::{Feature, shown};

use super::number_columns::{WrittenForPeople, named};
use super::told::Told;
use crate::RecipeError;

/// Names of columns that hold texts.
pub(super) const TEXTS: [&str; 6] = ["text", "sentence", "review", "content", "question", "premise"];

/// The columns of texts beside the one that is told.
pub(super) fn columns_of_texts(dataset: &Dataset, told: &Told) -> Vec<String> {
    let columns = dataset.features().columns.iter();
    let texts = columns.filter(|(name, feature)| *feature == Feature::Text && name != told.column());
    texts.map(|(name, _)| name.clone()).collect()
}

/// The column of texts that are read.
pub(super) fn text_column(dataset: &Dataset, told: &Told) -> Result<String, RecipeError> {
    let all = columns_of_texts(dataset, told);
    let texts: Vec<&str> = all.iter().map(String::as_str).collect();
    let by_name = || TEXTS.iter().find(|wanted| texts.contains(*wanted)).copied();
    let column = match texts.as_slice() {
        [only] => Some(*only),
        _ => by_name(),
    };
    if let Some(column) = column {
        return Ok(column.to_owned());
    }
    let named: Vec<String> = texts.iter().take(20).map(|name| format!("`{}`", shown(name))).collect();
    let message: String = match texts.as_slice() {
        [] => "the model reads text, and no column beside the one that is to be told holds any; another is told by `--label`".into(),
        _ => format!(
            "the model reads text, and which column holds it is not clear: {} do; call the one that is read `text`, or take the others out",
            named.join(", ")
        ),
    };
    let written = WrittenForPeople::among(dataset, &all)?;
    let cause = written.map_or_else(String::new, |written| format!("; {}", written.cause));
    Err(RecipeError::mismatch("DATA", message + &cause))
}

/// The columns beside them that are none.
pub(super) fn texts_in_words(texts: &[String]) -> String {
    if texts.is_empty() { String::new() } else { format!("; of texts are {}", named(texts)) }
}
