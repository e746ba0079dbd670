use std::collections::BTreeMap;
use std::sync::OnceLock;

use millstream_pipeline::encodings::View;
use millstream_schemas::TensorRole;
use millstream_schemas::recipe::Patterns;
use serde::Serialize;

use crate::class_count::ClassCount;
use crate::{RecipeError, RowSource};

/// One split of the data.
#[derive(Clone, Debug, Serialize)]
pub struct DataReport {
    /// As the recipe names it.
    pub path: Patterns,
    /// Parquet files.
    pub files: usize,
    /// Rows in them.
    pub rows: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Column with the model's input.
    pub input: String,
    /// `image` or `text`.
    pub kind: String,
    /// Column with the class.
    pub label: Option<String>,
    /// Rows of each class.
    pub classes: Vec<ClassCount>,
    /// Rows with the label −1; they have no weight.
    pub unlabelled: u64,
    /// The first of them.
    pub first_unlabelled: Option<String>,
    /// Rows whose label is null or none of the classes.
    pub bad_labels: u64,
    /// The first of them, and what is wrong with it.
    pub first_bad_label: Option<String>,
    /// The transforms, as captions.
    pub transforms: Vec<String>,
}

/// All splits, each counted when it is first asked for: that reads all labels.
#[derive(Debug, Default)]
pub(crate) struct DataReports {
    train: OnceLock<DataReport>,
    evaluate: OnceLock<DataReport>,
    sets: OnceLock<Vec<DataReport>>,
}

impl DataReports {
    pub(crate) fn train(&self, path: &Patterns, source: &RowSource) -> Result<&DataReport, RecipeError> {
        once(&self.train, || data_report(path, source))
    }

    pub(crate) fn evaluate(&self, path: &Patterns, source: &RowSource) -> Result<&DataReport, RecipeError> {
        once(&self.evaluate, || data_report(path, source))
    }

    /// Of the other sets, in the order of their names.
    pub(crate) fn sets(
        &self,
        paths: &BTreeMap<String, Patterns>,
        sources: &[(String, RowSource)],
    ) -> Result<&[DataReport], RecipeError> {
        let of_set = |(path, (_, source)): (&Patterns, &(String, RowSource))| data_report(path, source);
        once(&self.sets, || paths.values().zip(sources).map(of_set).collect()).map(Vec::as_slice)
    }
}

/// What is known, or is made; what fails is tried again.
fn once<T>(known: &OnceLock<T>, make: impl FnOnce() -> Result<T, RecipeError>) -> Result<&T, RecipeError> {
    if let Some(found) = known.get() {
        return Ok(found);
    }
    let found = make()?;
    Ok(known.get_or_init(|| found))
}

pub(crate) fn data_report(path: &Patterns, source: &RowSource) -> Result<DataReport, RecipeError> {
    let histogram = source.dataset.class_histogram(&source.encoders)?;
    let classes = source.classes().iter().zip(&histogram.counts);
    let files = source.dataset.files();
    Ok(DataReport {
        path: path.clone(),
        files: files.len(),
        rows: source.dataset.rows(),
        bytes: files.iter().map(|file| file.bytes).sum(),
        input: source.encoders.columns_of(TensorRole::Input).join(", "),
        kind: match source.encoders.shown_input() {
            Some((_, View::Text)) => "text".into(),
            Some((_, View::Image)) => "image".into(),
            _ => "numbers".into(),
        },
        label: source.encoders.class_column().map(str::to_owned),
        classes: classes.map(|(name, rows)| ClassCount { name: name.clone(), rows: *rows }).collect(),
        unlabelled: histogram.unlabelled,
        first_unlabelled: histogram.first_unlabelled.map(|row| row.to_string()),
        bad_labels: histogram.null + histogram.out_of_range,
        first_bad_label: histogram.first_bad.map(|(row, damage)| format!("{row}: {damage}")),
        transforms: source.chain.specs().iter().map(|spec| caption(&spec.name, &spec.options)).collect(),
    })
}

/// `rotate {"degrees":15}`.
pub(crate) fn caption(name: &str, options: &serde_json::Value) -> String {
    if options.as_object().is_some_and(serde_json::Map::is_empty) { name.into() } else { format!("{name} {options}") }
}
