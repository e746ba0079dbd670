use std::path::Path;

use millstream_pipeline::encodings::{self, Encoders, WantedTensor};
use millstream_pipeline::{Dataset, PipelineError};
use millstream_schemas::{Choice, Feature, TensorRole, count, shown};
use serde::Serialize;

use crate::RecipeError;
use crate::class_count::{ClassCount, empty_classes};
use crate::imported::NamedRows;
use crate::init::class_column;

/// The column of classes where none is named; where it is not there, it is looked for as `init` does.
const USUAL_LABEL: &str = "label";

/// What a Parquet dataset holds.
#[derive(Clone, Debug, Serialize)]
pub struct DatasetReport {
    /// Its files, in order.
    pub files: Vec<FileReport>,
    /// Rows of all files.
    pub rows: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes of all columns once decompressed (images stay encoded).
    pub uncompressed_bytes: u64,
    /// Row groups of all files.
    pub row_groups: usize,
    /// Rows of the largest row group: what is read at once.
    pub largest_row_group: u32,
    /// Columns, in order.
    pub columns: Vec<ColumnReport>,
    /// The column that `train` would take as input, when it can be told.
    pub input: Option<String>,
    /// The column that holds the class, when there is one.
    pub label: Option<String>,
    /// Rows of each class.
    pub classes: Vec<ClassCount>,
    /// Rows with the label −1.
    pub unlabelled: u64,
    /// Rows whose label is null.
    pub null_labels: u64,
    /// Rows whose label is none of the classes.
    pub labels_out_of_range: u64,
    /// What stands in the way of training on it, or deserves a look.
    pub notes: Vec<String>,
}

/// One file.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    /// Name within the dataset.
    pub name: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// Row groups.
    pub row_groups: usize,
    /// Software that wrote it, as it says itself.
    pub created_by: Option<String>,
}

/// One column.
#[derive(Clone, Debug, Serialize)]
pub struct ColumnReport {
    /// Its name.
    pub name: String,
    /// Arrow type.
    pub r#type: String,
    /// What it means: `image`, `text`, `class label`, or `value`.
    pub feature: String,
}

/// Looks at files, folders and patterns as one dataset; relative ones start from `base`. Where no column of classes is named, it is `label`,
/// or else looked for as `init` does.
///
/// # Errors
/// Nothing matches, a file is damaged, or the files differ in their columns.
pub fn inspect_dataset(patterns: &[String], base: &Path, label: Option<&str>) -> Result<DatasetReport, RecipeError> {
    let dataset = Dataset::open_all(patterns, base).map_err(|error| match NamedRows::are_sources(patterns, base) {
        true => {
            let message = "it is no Parquet: `millstream import` makes Parquet of it, and `train`, `init` and recipes take it as it is";
            RecipeError::mismatch(shown(patterns.join(", ")), message)
        }
        false => error.into(),
    })?;
    let mut notes = Vec::new();
    let columns = choose_columns(&dataset, label, &mut notes);
    let histogram = match columns.as_ref().filter(|columns| columns.class_column().is_some()) {
        Some(columns) => Some(dataset.class_histogram(columns)?),
        None => None,
    };
    let classes = columns.iter().flat_map(|columns| columns.classes());
    let counts = histogram.iter().flat_map(|histogram| &histogram.counts);
    let classes: Vec<_> =
        classes.zip(counts).map(|(name, rows)| ClassCount { name: name.clone(), rows: *rows }).collect();
    let histogram = histogram.unwrap_or_default();
    if histogram.out_of_range > 0 {
        notes.push(format!("{} labels are out of range", histogram.out_of_range));
    }
    notes.extend(empty_classes(&classes, ""));
    let files = dataset.files();
    let groups = || files.iter().flat_map(|file| &file.row_groups);
    let arrow_type =
        |name: &str| dataset.arrow_schema().field_with_name(name).map(|field| field.data_type().to_string());
    Ok(DatasetReport {
        rows: dataset.rows(),
        bytes: files.iter().map(|file| file.bytes).sum(),
        uncompressed_bytes: groups().map(|group| group.uncompressed).sum(),
        row_groups: groups().count(),
        largest_row_group: groups().map(|group| group.rows).max().unwrap_or(0),
        columns: dataset
            .features()
            .columns
            .iter()
            .map(|(name, feature)| ColumnReport {
                name: name.clone(),
                r#type: shown(arrow_type(name).unwrap_or_default()),
                feature: describe(feature),
            })
            .collect(),
        input: columns.as_ref().and_then(|columns| Some(columns.shown_input()?.0.to_owned())),
        label: columns.and_then(|columns| Some(columns.class_column()?.to_owned())),
        classes,
        unlabelled: histogram.unlabelled,
        null_labels: histogram.null,
        labels_out_of_range: histogram.out_of_range,
        notes,
        files: files
            .iter()
            .map(|file| FileReport {
                name: file.name.to_string(),
                bytes: file.bytes,
                rows: file.rows,
                row_groups: file.row_groups.len(),
                created_by: file.created_by.clone(),
            })
            .collect(),
    })
}

/// Input and label as `train` would take them; what cannot be had becomes a note, one question at a time.
fn choose_columns(dataset: &Dataset, label: Option<&str>, notes: &mut Vec<String>) -> Option<Encoders> {
    let is_there = |label: &&str| dataset.features().get(label).is_some();
    if let Some(label) = label.filter(|label| !is_there(label)) {
        notes.push(format!("there is no column `{}`; name the one with the class by `--label`", shown(label)));
        return Encoders::standard(dataset, None, "").ok();
    }
    let named = label.or(Some(USUAL_LABEL).filter(is_there));
    if let Some(named) = named {
        match Encoders::standard(dataset, None, named) {
            // a text beside columns of numbers is not what `init` takes
            Ok(columns) => {
                let is_by_numbers = matches!(class_column(dataset, Some(named)), Ok(Some((_, true))));
                return if is_by_numbers { of_class(dataset, named).or(Some(columns)) } else { Some(columns) };
            }
            // what is made of several columns is seen by `init`
            Err(PipelineError::WhichInput { .. }) => {}
            Err(error) => {
                notes.push(error.to_string());
                return of_class(dataset, named);
            }
        }
    }
    match class_column(dataset, named) {
        Ok(Some((column, is_by_numbers))) => {
            let alone = || of_class(dataset, &column);
            let standard = || Encoders::standard(dataset, None, &column).ok();
            if is_by_numbers { alone().or_else(standard) } else { standard().or_else(alone) }
        }
        Ok(None) => Encoders::standard(dataset, None, "").ok(),
        Err(error) => {
            notes.push(match error {
                RecipeError::Mismatch { message, .. } => message,
                other => other.to_string(),
            });
            match named {
                Some(named) => of_class(dataset, named),
                None => Encoders::standard(dataset, None, "").ok(),
            }
        }
    }
}

/// Classes alone: tables without an image or text column still have classes worth counting.
fn of_class(dataset: &Dataset, label: &str) -> Option<Encoders> {
    match dataset.features().get(label) {
        Some(Feature::ClassLabel { names }) if !names.is_empty() => {
            let encoding = Choice::new("class_label", serde_json::json!({ "column": label }));
            let (name, place) = ("class".into(), "--label".into());
            let class = WantedTensor { name, role: TensorRole::Target, encoding, place };
            Encoders::open(dataset, encodings::standard(), &[class], &[]).ok()
        }
        _ => None,
    }
}

fn describe(feature: &Feature) -> String {
    match feature {
        Feature::Image(_) => "image".into(),
        Feature::Text => "text".into(),
        Feature::ClassLabel { names } if names.is_empty() => "class label".into(),
        Feature::ClassLabel { names } => format!("class label, {}", count(names.len(), "class")),
        _ => "value".into(),
    }
}
