//! Labels that may hold together: 1 for each that a row's list names, 0 for all others.

use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::{ElementType, TensorRole, TensorSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::class_names::{self, ClassNames};
use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, EncodingKind, EncodingOptions, Source};
use super::sample::Sample;
use crate::PipelineError;
use crate::error::Damage;
use crate::sources::{Holds, RowValues, Value};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "multi_label",
    summary: "Labels that may hold together: 1 for each that a row's list names, 0 for all others.",
    documentation: "One tensor of floats `[batch, labels]`, for `binary_cross_entropy`. The column holds lists of whole numbers or of strings; an empty list \
        is a row of which no label holds. The labels are those that `classes` says, or that the files' metadata declares, or else the sorted distinct strings, or 0 \
        to the largest number; their names are kept with the trained model. A label that is none of these, or missing, is a damaged row; a row with null \
        has no weight in the loss. Labels that stand in columns of 0 and 1 are `number`s.",
    samples: &[r#"{"column": "tags"}"#, r#"{"column": "topics", "classes": ["politics", "sports"]}"#],
    takes: &[Holds::Lists],
    most_columns: 1,
    build: Build::of::<MultiLabel>(),
};

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MultiLabel {
    /// Names of the labels, in the order of the scores.
    #[schemars(length(max = class_names::MOST_CLASSES))]
    classes: Vec<String>,
}

impl Options for MultiLabel {
    fn validate(&self) -> Result<(), String> {
        class_names::check(&self.classes)
    }
}

impl EncodingOptions for MultiLabel {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        let labels = class_names::in_lists(source, &self.classes, "labels", None, |row, collector| {
            if let Value::List(list) = row.get(0) {
                list.iter().for_each(|label| collector.see(label));
            }
        })?;
        let (column, are_stated) = ([source.columns[0].clone()], !self.classes.is_empty());
        Ok(Arc::new(LabelEncoder { column, labels, are_stated }))
    }
}

#[derive(Debug)]
struct LabelEncoder {
    column: [String; 1],
    labels: ClassNames,
    /// Whether the recipe names them.
    are_stated: bool,
}

impl Encoder for LabelEncoder {
    fn columns(&self) -> &[String] {
        &self.column
    }

    fn learned(&self) -> Json {
        json!({ "labels": self.labels.names() })
    }

    fn tensors(&self, name: &str, _: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        let spec = TensorSpec::fixed(name, ElementType::F32, &[self.labels.names().len()]);
        Ok(vec![TensorSpec { role: TensorRole::Target, ..spec }])
    }

    fn encode(
        &self,
        row: RowValues<'_>,
        sample: &mut Sample<'_>,
        out: &mut [RowTensor<'_>],
    ) -> Result<(), EncodeError> {
        let [RowTensor { values: RowElements::F32(values), .. }] = out else { unreachable!("as `tensors` says") };
        values.fill(0.0);
        let list = match row.get(0) {
            Value::List(list) => list,
            Value::Null => {
                sample.without_target();
                return Ok(());
            }
            _ => return Err(Damage::value(&self.column[0], "holds no labels".into()).into()),
        };
        for label in list.iter() {
            match usize::try_from(self.labels.class(label)?) {
                Ok(label) => values[label] = 1.0,
                Err(_) => return Err(Damage::value(&self.column[0], "has the label −1, which is none".into()).into()),
            }
        }
        Ok(())
    }

    fn view(&self) -> View {
        View::Numbers
    }

    fn classes(&self) -> &[String] {
        self.labels.names()
    }

    fn classes_hold_together(&self) -> bool {
        true
    }

    fn learned_of(&self, classes: &[String]) -> Option<Json> {
        (!self.are_stated).then(|| json!({ "labels": classes }))
    }
}
