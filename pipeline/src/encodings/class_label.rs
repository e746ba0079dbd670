//! A class as probabilities: 1 for the row's class, 0 for all others.

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
    summary: "A class as probabilities: 1 for the row's class, 0 for all others.",
    documentation: "One tensor of floats `[batch, classes]`. The column holds whole numbers, booleans or strings. The classes are those \
        that the files' metadata declares; or else the sorted distinct strings, or 0 to the largest number. A row of class \
        −1 is unlabelled: all zeros, and no weight in the loss. Null, and a class that is none of these, is a damaged row.",
    samples: &["{}", r#"{"column": "label"}"#],
    takes: &[Holds::Text, Holds::Numbers],
    most_columns: 1,
    build: Build::of::<ClassLabel>(),
};

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
    classes: ClassNames,
}

impl ClassEncoder {
    fn open(source: &Source<'_>) -> Result<Self, PipelineError> {
        let (dataset, column) = (source.dataset, &source.columns[0]);
        let classes = match class_names::learned(source.learned, "classes") {
            Some(classes) => classes,
            None => match declared(dataset, column)? {
                Some(names) => names,
                None => read(dataset, column)?,
            },
        };
        let classes = class_names::not_too_many(dataset, column, classes)?;
        Ok(Self { column: [column.clone()], classes: ClassNames::new(classes) })
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
        Ok(vec![TensorSpec {
            name: name.into(),
            role: TensorRole::Target,
            element_type: ElementType::F32,
            shape: vec![Some(self.classes.names().len())],
            most_elements: self.classes.names().len(),
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
