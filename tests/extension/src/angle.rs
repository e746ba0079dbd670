//! An encoding: an angle as its sine and cosine, so that 359° is next to 0°.

use std::sync::Arc;

use millstream::pipeline::encodings::{
    Build, EncodeError, Encoder, EncodingKind, EncodingOptions, RowElements, RowTensor, Sample, Source, StreamFacts,
    View,
};
use millstream::pipeline::{Damage, Holds, PipelineError, RowValues, Value};
use millstream::schemas::choice::Options;
use millstream::schemas::{ElementType, TensorRole, TensorSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

pub const ANGLE: EncodingKind = EncodingKind {
    name: "angle",
    summary: "An angle as its sine and cosine.",
    documentation: "One tensor of floats `[batch, 2]`: sin and cos of the column, a full turn being `turn`. Null is a damaged row.",
    samples: &["{}", r#"{"column": "wind", "turn": 400}"#],
    takes: &[Holds::Numbers],
    most_columns: 1,
    build: Build::of::<Angle>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Angle {
    /// A full turn, above 0.
    turn: f64,
}

impl Default for Angle {
    fn default() -> Self {
        Self { turn: 360.0 }
    }
}

impl Options for Angle {
    fn validate(&self) -> Result<(), String> {
        if self.turn > 0.0 { Ok(()) } else { Err(format!("turn is above 0, got {}", self.turn)) }
    }
}

impl EncodingOptions for Angle {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        Ok(Arc::new(AngleEncoder { columns: source.columns.to_vec(), turn: self.turn }))
    }
}

#[derive(Debug)]
struct AngleEncoder {
    columns: Vec<String>,
    turn: f64,
}

impl Encoder for AngleEncoder {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn learned(&self) -> Json {
        json!({})
    }

    fn tensors(&self, name: &str, _: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        Ok(vec![TensorSpec {
            name: name.into(),
            role: TensorRole::Input,
            element_type: ElementType::F32,
            shape: vec![Some(2)],
            most_elements: 2,
            padding: 0,
            multiple_of: 1,
            as_long_as: None,
        }])
    }

    fn encode(&self, row: RowValues<'_>, _: &mut Sample<'_>, out: &mut [RowTensor<'_>]) -> Result<(), EncodeError> {
        let angle = match row.get(0) {
            Value::Float(angle) => angle,
            Value::Signed(angle) => angle as f64,
            Value::Unsigned(angle) => angle as f64,
            _ => return Err(Damage::Value { column: self.columns[0].clone(), reason: "is missing".into() }.into()),
        };
        if let [RowTensor { values: RowElements::F32(values), .. }] = out {
            let (sin, cos) = (angle / self.turn * std::f64::consts::TAU).sin_cos();
            values.copy_from_slice(&[sin as f32, cos as f32]);
        }
        Ok(())
    }

    fn view(&self) -> View {
        View::Numbers
    }
}
