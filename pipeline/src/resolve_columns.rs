//! Which columns of a dataset play which role, and whether every file can play along.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow_schema::{DataType, Schema};
use millstream_schemas::features::{holds_class_numbers, is_text, only_a_path};
use millstream_schemas::{Feature, Features, SchemaError, shown, shown_up_to};

use crate::sources::{Classes, LabelReading, LabelValue};
use crate::{Columns, DataFile, Dataset, InputKind, PipelineError};

/// More classes than this are taken for a mistake.
const MOST_CLASSES: usize = 65_536;
/// Candidates that a message lists.
const MOST_LISTED: usize = 20;

impl Dataset {
    /// Finds the input column (the only image or text column when `input` is `None`), the label column (none when
    /// `label` is empty) and the class names. Labels without names in the metadata of any file are read to learn them:
    /// strings become their sorted distinct values, numbers 0 to the largest.
    ///
    /// Only these columns are compared between files, and only by what they hold: numbers of different widths go together,
    /// as do binary values and strings that lie differently in memory.
    ///
    /// # Errors
    /// A column is missing in some file, occurs twice, or is of a type that cannot play its role; the files declare
    /// different class names; or the input is ambiguous.
    pub fn resolve_columns(&self, input: Option<&str>, label: &str) -> Result<Columns, PipelineError> {
        let input = match input {
            Some(input) => input.to_owned(),
            None => self.only_input(label)?,
        };
        let kind = self.same_in_all_files(&input, "image or text", InputKind::of, InputKind::name)?;
        if label.is_empty() {
            return Ok(Columns { input, kind, label: None, classes: Vec::new() });
        }
        let classes = match self.declared_classes(label)? {
            Some(names) => names,
            None => self.read_classes(label)?,
        };
        if classes.len() > MOST_CLASSES {
            return Err(self.too_many_classes(label, format!("{} classes", classes.len())));
        }
        Ok(Columns { input, kind, label: Some(label.into()), classes })
    }

    /// How the label column is read under these columns.
    pub(crate) fn classes(&self, columns: &Columns) -> Result<Classes, PipelineError> {
        let Some(label) = &columns.label else { return Ok(None) };
        let reading = self.label_reading(label)?;
        let names = columns.classes.iter().enumerate().map(|(index, name)| (name.clone(), index as i64));
        Ok(Some((reading, Arc::new(names.collect()))))
    }

    fn only_input(&self, label: &str) -> Result<String, PipelineError> {
        let which = |reason: String| PipelineError::WhichInput { file: self.first().name.to_string(), reason };
        for kind in [InputKind::Image, InputKind::Text] {
            let fits = |feature: &Feature| match feature {
                Feature::Image(_) => kind == InputKind::Image,
                Feature::Text => kind == InputKind::Text,
                _ => false,
            };
            let columns = self.features().columns.iter().filter(|(name, feature)| name != label && fits(feature));
            match columns.map(|(name, _)| name).collect::<Vec<_>>().as_slice() {
                [] => {}
                [only] => return Ok((*only).clone()),
                several => {
                    let several: Vec<_> =
                        several.iter().take(MOST_LISTED).map(|name| format!("`{}`", shown(name))).collect();
                    return Err(which(format!("there are several: {}", several.join(", "))));
                }
            }
        }
        let fields = self.arrow_schema().fields();
        if let Some(field) = fields.iter().find(|field| only_a_path(field.data_type())) {
            return Err(paths_are_not_followed(self.first(), field.name()));
        }
        Err(which("there is no image or text column".into()))
    }

    fn label_reading(&self, label: &str) -> Result<LabelReading, PipelineError> {
        let reading = |data_type: &DataType| match data_type {
            data_type if is_text(data_type) => Some(LabelReading::Name),
            data_type if holds_class_numbers(data_type) => Some(LabelReading::Number),
            _ => None,
        };
        self.same_in_all_files(
            label,
            "a class (whole numbers, booleans or strings)",
            reading,
            |reading| match reading {
                LabelReading::Name => "strings",
                LabelReading::Number => "numbers",
            },
        )
    }

    /// What a column is taken for, which must be the same in every file.
    fn same_in_all_files<T: Copy + PartialEq>(
        &self,
        column: &str,
        wanted: &str,
        taken_for: impl Fn(&DataType) -> Option<T>,
        name: impl Fn(T) -> &'static str,
    ) -> Result<T, PipelineError> {
        let mut first: Option<T> = None;
        for file in self.files_with_rows() {
            let data_type = column_type(file, column)?;
            let Some(found) = taken_for(data_type) else {
                if only_a_path(data_type) {
                    return Err(paths_are_not_followed(file, column));
                }
                return Err(PipelineError::Schema(SchemaError::ColumnType {
                    file: file.name.to_string(),
                    column: shown(column),
                    wanted: wanted.into(),
                    got: shown_up_to(data_type.to_string(), 200),
                }));
            };
            match first {
                Some(first) if first != found => {
                    let differs =
                        |of: T, data_type: &DataType| format!("{} ({})", name(of), shown(data_type.to_string()));
                    return Err(PipelineError::SchemaDrift {
                        first: self.first().name.to_string(),
                        second: file.name.to_string(),
                        column: shown(column),
                        wanted: differs(first, column_type(self.first(), column)?),
                        got: differs(found, data_type),
                    });
                }
                _ => first = Some(found),
            }
        }
        Ok(first.expect("a dataset has a file"))
    }

    /// The class names that files declare for a column of numbers; those that declare none go along.
    fn declared_classes(&self, label: &str) -> Result<Option<Vec<String>>, PipelineError> {
        if self.label_reading(label)? == LabelReading::Name {
            return Ok(None);
        }
        let mut known: Option<(&DataFile, Vec<String>)> = None;
        for file in self.files() {
            let features = Features::from_arrow(file.schema(), &file.name)?;
            let Some(Feature::ClassLabel { names }) = features.get(label) else { continue };
            match &known {
                _ if names.is_empty() => {}
                None => known = Some((file, names.clone())),
                Some((_, first)) if first == names => {}
                Some((first_file, first)) => {
                    let (wanted, got) = first_difference(first, names);
                    return Err(PipelineError::SchemaDrift {
                        first: first_file.name.to_string(),
                        second: file.name.to_string(),
                        column: shown(label),
                        wanted,
                        got,
                    });
                }
            }
        }
        Ok(known.map(|(_, names)| names))
    }

    fn read_classes(&self, label: &str) -> Result<Vec<String>, PipelineError> {
        let reading = self.label_reading(label)?;
        let classes = Some((reading, Arc::new(HashMap::new())));
        let (mut names, mut largest) = (BTreeSet::new(), -1);
        let (mut fitting, mut beyond) = (0_u64, 0_u64);
        self.read_labels(label, &classes, |value| match value {
            LabelValue::Class(class) if *class < MOST_CLASSES as i64 => {
                fitting += u64::from(*class >= 0);
                largest = largest.max(*class);
            }
            LabelValue::Class(_) | LabelValue::Beyond(_) | LabelValue::NotWhole(_) => beyond += 1,
            LabelValue::Unknown(name) => {
                if names.len() <= MOST_CLASSES && !names.contains(name) {
                    names.insert(name.clone());
                }
            }
            LabelValue::Null => {}
        })?;
        if names.len() > MOST_CLASSES {
            return Err(self.too_many_classes(label, format!("more than {MOST_CLASSES} different values")));
        }
        // A few strange numbers are damaged rows, each told when it is met; mostly strange ones are no classes at all.
        if beyond > fitting {
            let reason = format!("{beyond} values that are fractions or above {}", MOST_CLASSES - 1);
            return Err(self.too_many_classes(label, reason));
        }
        Ok(match reading {
            LabelReading::Name => names.into_iter().map(String::from).collect(),
            LabelReading::Number => (0..=largest).map(|class| class.to_string()).collect(),
        })
    }

    fn too_many_classes(&self, column: &str, reason: String) -> PipelineError {
        PipelineError::TooManyClasses { file: self.first().name.to_string(), column: shown(column), reason }
    }

    fn first(&self) -> &DataFile {
        self.files_with_rows().next().expect("a dataset has rows")
    }

    fn files_with_rows(&self) -> impl Iterator<Item = &DataFile> {
        self.files().iter().filter(|file| file.has_rows())
    }
}

/// The type of a column that a file must have, once.
fn column_type<'a>(file: &'a DataFile, column: &str) -> Result<&'a DataType, PipelineError> {
    let schema: &Schema = file.schema();
    let mut fields = schema.fields().iter().filter(|field| field.name() == column);
    let Some(field) = fields.next() else {
        let missing = Features::from_arrow(schema, &file.name)?.require(column, &file.name).err();
        return Err(missing.expect("the schema has no such column").into());
    };
    if fields.next().is_some() {
        let reason = "occurs twice, so it cannot be told which is meant; rename one".into();
        return Err(PipelineError::Column { file: file.name.to_string(), column: shown(column), reason });
    }
    Ok(field.data_type())
}

fn paths_are_not_followed(file: &DataFile, column: &str) -> PipelineError {
    let reason = "holds paths of image files, and paths are not followed: write the files themselves into the column, as \
                  `bytes` (in the `datasets` library, `embed_table_storage` or `push_to_hub` do it)";
    PipelineError::Column { file: file.name.to_string(), column: shown(column), reason: reason.into() }
}

/// What two lists of class names have where they first differ.
fn first_difference(first: &[String], second: &[String]) -> (String, String) {
    let place = (0..first.len().max(second.len())).find(|&place| first.get(place) != second.get(place)).unwrap_or(0);
    let class = |names: &[String]| match names.get(place) {
        Some(name) => format!("class {place} `{}`", shown(name)),
        None => format!("{} classes", names.len()),
    };
    (class(first), class(second))
}
