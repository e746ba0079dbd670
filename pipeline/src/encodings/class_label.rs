//! A class as probabilities: 1 for the row's class, 0 for all others.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::{ElementType, Feature, Features, TensorRole, TensorSpec, shown};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, EncodingKind, EncodingOptions, Source};
use super::sample::Sample;
use crate::error::Damage;
use crate::sources::{Holds, RowValues, Value};
use crate::{DataFile, Dataset, PipelineError};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "class_label",
    summary: "A class as probabilities: 1 for the row's class, 0 for all others.",
    documentation: "One tensor of floats `[batch, classes]`. The column holds whole numbers, booleans or strings. The classes are those \
        that the files' metadata declares; or else the sorted distinct strings, or 0 to the largest number. A row of class \
        −1 is unlabelled: all zeros, and no weight in the loss. Null, and a class that is none of these, is a damaged row.",
    samples: &["{}", r#"{"column": "label"}"#],
    takes: &[Holds::Text, Holds::Numbers],
    most_columns: 1,
    build: Build::of::<ClassLabel>(),
};

/// More classes than this are taken for a mistake.
const MOST_CLASSES: usize = 65_536;

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClassLabel {}

impl Options for ClassLabel {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl EncodingOptions for ClassLabel {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        Ok(Arc::new(ClassEncoder::open(source)?))
    }
}

#[derive(Debug)]
struct ClassEncoder {
    column: [String; 1],
    classes: Vec<String>,
    by_name: HashMap<String, i64>,
}

/// A label as the file has it.
enum Label<'a> {
    /// Not checked against the number of classes.
    Class(i64),
    /// A whole number that is too large for [`Label::Class`].
    Beyond(u64),
    /// A fraction, or a number beyond all whole ones.
    NotWhole(f64),
    /// Null, or NaN, which some writers put for it.
    Null,
    Name(&'a str),
}

impl<'a> Label<'a> {
    fn of(value: Value<'a>) -> Self {
        match value {
            Value::Null | Value::Bytes(_) => Self::Null,
            Value::Text(name) => Self::Name(name),
            Value::Signed(class) => Self::Class(class),
            Value::Unsigned(class) => i64::try_from(class).map_or(Self::Beyond(class), Self::Class),
            Value::Float(number) => Self::of_float(number),
        }
    }

    /// A label that is stored as a float, as tables with a missing value become when they pass through pandas.
    fn of_float(number: f64) -> Self {
        /// Up to here every whole number has a float of its own.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match number {
            number if number.is_nan() => Self::Null,
            number if number.fract() == 0.0 && number.abs() <= EXACT => Self::Class(number as i64),
            number => Self::NotWhole(number),
        }
    }
}

impl ClassEncoder {
    fn open(source: &Source<'_>) -> Result<Self, PipelineError> {
        let (dataset, column) = (source.dataset, &source.columns[0]);
        let learned = source.learned.and_then(|learned| learned.get("classes")?.as_array());
        let classes = match learned {
            Some(classes) => classes.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
            None => match declared(dataset, column)? {
                Some(names) => names,
                None => read(dataset, column)?,
            },
        };
        if classes.len() > MOST_CLASSES {
            return Err(too_many(dataset, column, format!("{} classes", classes.len())));
        }
        let by_name = classes.iter().enumerate().map(|(index, name)| (name.clone(), index as i64)).collect();
        Ok(Self { column: [column.clone()], classes, by_name })
    }
}

impl Encoder for ClassEncoder {
    fn columns(&self) -> &[String] {
        &self.column
    }

    fn learned(&self) -> Json {
        json!({ "classes": self.classes })
    }

    fn tensors(&self, name: &str, _: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        Ok(vec![TensorSpec {
            name: name.into(),
            role: TensorRole::Target,
            element_type: ElementType::F32,
            shape: vec![Some(self.classes.len())],
            most_elements: self.classes.len(),
            padding: 0,
            multiple_of: 1,
        }])
    }

    fn encode(
        &self,
        row: RowValues<'_>,
        sample: &mut Sample<'_>,
        out: &mut [RowTensor<'_>],
    ) -> Result<(), EncodeError> {
        let [RowTensor { values: RowElements::F32(probabilities), .. }] = out else {
            unreachable!("as `tensors` says")
        };
        probabilities.fill(0.0);
        match usize::try_from(self.class(row)?) {
            Ok(class) => probabilities[class] = 1.0,
            Err(_) => sample.without_target(),
        }
        Ok(())
    }

    fn view(&self) -> View {
        View::Class
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn class(&self, row: RowValues<'_>) -> Result<i64, Damage> {
        let classes = self.classes.len();
        match Label::of(row.get(0)) {
            Label::Class(-1) => Ok(-1),
            Label::Class(label) if usize::try_from(label).is_ok_and(|label| label < classes) => Ok(label),
            Label::Class(label) => Err(Damage::LabelOutOfRange { label: label.into(), classes }),
            Label::Beyond(label) => Err(Damage::LabelOutOfRange { label: label.into(), classes }),
            Label::NotWhole(label) => Err(Damage::LabelNotWhole { label }),
            Label::Null => Err(Damage::NullLabel),
            Label::Name(name) => match self.by_name.get(name) {
                Some(class) => Ok(*class),
                None => Err(Damage::UnknownLabel { label: name.into(), classes }),
            },
        }
    }
}

/// The class names that files declare for a column of numbers; those that declare none go along.
fn declared(dataset: &Dataset, label: &str) -> Result<Option<Vec<String>>, PipelineError> {
    if dataset.holds(label, "a class", &[Holds::Text, Holds::Numbers])? == Holds::Text {
        return Ok(None);
    }
    let mut known: Option<(&DataFile, Vec<String>)> = None;
    for file in dataset.files() {
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

fn read(dataset: &Dataset, column: &String) -> Result<Vec<String>, PipelineError> {
    let (mut names, mut largest) = (BTreeSet::new(), -1);
    let (mut fitting, mut beyond) = (0_u64, 0_u64);
    let mut text = false;
    dataset.each_row(std::slice::from_ref(column), |row| match Label::of(row.get(0)) {
        Label::Class(class) if class < MOST_CLASSES as i64 => {
            fitting += u64::from(class >= 0);
            largest = largest.max(class);
        }
        Label::Class(_) | Label::Beyond(_) | Label::NotWhole(_) => beyond += 1,
        Label::Name(name) => {
            text = true;
            if names.len() <= MOST_CLASSES && !names.contains(name) {
                names.insert(name.to_owned());
            }
        }
        Label::Null => {}
    })?;
    if names.len() > MOST_CLASSES {
        return Err(too_many(dataset, column, format!("more than {MOST_CLASSES} different values")));
    }
    // A few strange numbers are damaged rows, each told when it is met; mostly strange ones are no classes at all.
    if beyond > fitting {
        let reason = format!("{beyond} values that are fractions or above {}", MOST_CLASSES - 1);
        return Err(too_many(dataset, column, reason));
    }
    Ok(match text {
        true => names.into_iter().collect(),
        false => (0..=largest).map(|class| class.to_string()).collect(),
    })
}

fn too_many(dataset: &Dataset, column: &str, reason: String) -> PipelineError {
    PipelineError::TooManyClasses { file: dataset.first().name.to_string(), column: shown(column), reason }
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
