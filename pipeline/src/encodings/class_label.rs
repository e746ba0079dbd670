//! A class as probabilities, 1 for the row's class and 0 for all others, or as its number.

use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::{ElementType, TensorRole, TensorSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::class_names::{self, ClassNames, LabelCollector, too_many};
use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, EncodingKind, EncodingOptions, Source};
use super::sample::Sample;
use crate::error::Damage;
use crate::sources::{Holds, RowValues};
use crate::{Dataset, PipelineError};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "class_label",
    summary: "A class as probabilities, 1 for the row's class and 0 for all others, or as its number.",
    documentation: "One tensor of floats `[batch, classes]`, or with `as: index` of int64 `[batch]`, as `sparse_cross_entropy` and \
        `sparse_focal` take it. The column holds whole numbers, booleans or strings. The classes are those \
        that the files' metadata declares; or else the sorted distinct strings, or 0 to the largest number. A row of class \
        −1 is unlabelled: all zeros, or the number `ignore_index`, and no weight in the loss. Null, and a class that is none of these, is a damaged row.",
    samples: &["{}", r#"{"column": "label"}"#, r#"{"as": "index", "ignore_index": -1}"#],
    takes: &[Holds::Text, Holds::Numbers],
    most_columns: 1,
    build: Build::of::<ClassLabel>(),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClassLabel {
    /// How the class is written.
    r#as: Form,
    /// The number of rows without a class, below 0, where classes are numbers; that of the loss.
    #[schemars(range(max = -1))]
    ignore_index: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Form {
    /// A float for each class, 1 for that of the row.
    #[default]
    Probabilities,
    /// Its number.
    Index,
}

impl Default for ClassLabel {
    fn default() -> Self {
        Self { r#as: Form::default(), ignore_index: IGNORED }
    }
}

/// What losses leave out by themselves.
const IGNORED: i64 = -100;

impl Options for ClassLabel {
    fn validate(&self) -> Result<(), String> {
        match self.ignore_index {
            ..0 => Ok(()),
            other => Err(format!("ignore_index is below 0, so that it is no class, got {other}")),
        }
    }
}

impl EncodingOptions for ClassLabel {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        Ok(Arc::new(ClassEncoder::open(source, *self)?))
    }
}

#[derive(Debug)]
struct ClassEncoder {
    column: [String; 1],
    classes: ClassNames,
    options: ClassLabel,
}

impl ClassEncoder {
    fn open(source: &Source<'_>, options: ClassLabel) -> Result<Self, PipelineError> {
        let (dataset, column) = (source.dataset, &source.columns[0]);
        let classes = match class_names::learned(source.learned, "classes") {
            Some(classes) => classes,
            None => match declared(dataset, column)? {
                Some(names) => names,
                None => read(dataset, column)?,
            },
        };
        let classes = class_names::not_too_many(dataset, column, classes)?;
        Ok(Self { column: [column.clone()], classes: ClassNames::new(classes), options })
    }
}

impl Encoder for ClassEncoder {
    fn columns(&self) -> &[String] {
        &self.column
    }

    fn learned(&self) -> Json {
        json!({ "classes": self.classes.names() })
    }

    fn tensors(&self, name: &str, _: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        let spec = match self.options.r#as {
            Form::Probabilities => TensorSpec::fixed(name, ElementType::F32, &[self.classes.names().len()]),
            Form::Index => {
                TensorSpec { padding: self.options.ignore_index, ..TensorSpec::fixed(name, ElementType::I64, &[]) }
            }
        };
        Ok(vec![TensorSpec { role: TensorRole::Target, ..spec }])
    }

    fn encode(
        &self,
        row: RowValues<'_>,
        sample: &mut Sample<'_>,
        out: &mut [RowTensor<'_>],
    ) -> Result<(), EncodeError> {
        let class = usize::try_from(self.class(row)?).ok();
        if class.is_none() {
            sample.without_target();
        }
        match &mut out[0].values {
            RowElements::F32(probabilities) => {
                probabilities.fill(0.0);
                class.into_iter().for_each(|class| probabilities[class] = 1.0);
            }
            RowElements::I64(number) => number[0] = class.map_or(self.options.ignore_index, |class| class as i64),
            _ => unreachable!("as `tensors` says"),
        }
        Ok(())
    }

    fn view(&self) -> View {
        View::Class
    }

    fn classes(&self) -> &[String] {
        self.classes.names()
    }

    fn class(&self, row: RowValues<'_>) -> Result<i64, Damage> {
        self.classes.class(row.get(0))
    }
}

/// The class names that files declare for a column of numbers; those that declare none go along.
fn declared(dataset: &Dataset, label: &str) -> Result<Option<Vec<String>>, PipelineError> {
    match dataset.holds(label, "a class", &[Holds::Text, Holds::Numbers])? {
        Holds::Text => Ok(None),
        _ => class_names::declared(dataset, label, None),
    }
}

fn read(dataset: &Dataset, column: &String) -> Result<Vec<String>, PipelineError> {
    let mut collector = LabelCollector::default();
    dataset.each_row(std::slice::from_ref(column), |row| collector.see(row.get(0)))?;
    collector.names().map_err(|reason| too_many(dataset, column, reason))
}
