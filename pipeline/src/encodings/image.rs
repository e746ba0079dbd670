//! Encoded images as pixels in planes.

use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::{ElementType, TensorRole, TensorSpec};
use millstream_transforms::DrawKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, EncodingKind, EncodingOptions, Source};
use super::sample::Sample;
use crate::error::Damage;
use crate::sources::{Holds, RowValues, Value};
use crate::{PipelineError, decode};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "image",
    summary: "Encoded images as pixels in planes.",
    documentation: "One tensor of floats `[batch, channels, height, width]`: JPEG, PNG, WebP, GIF, BMP or TIFF files in a column of \
        binary values, or of structs with `bytes`, decoded as RGB, or with `channels: 1` as grey, and taken through the transforms; 0 to 1 where no `normalize` \
        says otherwise. All images must end at one size: that of the transforms, or else of the first image that can be used. \
        Null and what does not decode is a damaged row.",
    samples: &["{}", r#"{"column": "image", "channels": 1}"#],
    takes: &[Holds::Bytes],
    most_columns: 1,
    build: Build::of::<Image>(),
};

/// Rows that are looked at to learn the images' size, when the transforms leave it open.
const ROWS_LOOKED_AT: u64 = 16;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Image {
    /// Values of a pixel: 3 for red, green and blue, 1 for grey (the luma of ITU-R BT.601).
    #[schemars(extend("enum" = [1, 3]))]
    channels: u32,
}

impl Default for Image {
    fn default() -> Self {
        Self { channels: 3 }
    }
}

impl Options for Image {
    fn validate(&self) -> Result<(), String> {
        match self.channels {
            1 | 3 => Ok(()),
            other => Err(format!("channels is 1 or 3, got {other}")),
        }
    }
}

impl EncodingOptions for Image {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        Ok(Arc::new(ImageEncoder { column: [source.columns[0].clone()], channels: self.channels }))
    }
}

#[derive(Debug)]
struct ImageEncoder {
    column: [String; 1],
    channels: u32,
}

impl Encoder for ImageEncoder {
    fn columns(&self) -> &[String] {
        &self.column
    }

    fn learned(&self) -> Json {
        json!({})
    }

    fn tensors(&self, name: &str, stream: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        let refused = |source| PipelineError::Transform { row: stream.dataset.row_at(0), source };
        stream.chain.check_channels(self.channels).map_err(refused)?;
        let (width, height) = self.size(stream)?;
        let shape = [self.channels as usize, height as usize, width as usize];
        Ok(vec![TensorSpec {
            name: name.into(),
            role: TensorRole::Input,
            element_type: ElementType::F32,
            shape: shape.map(Some).to_vec(),
            most_elements: shape.into_iter().fold(1, usize::saturating_mul),
            padding: 0,
            multiple_of: 1,
            as_long_as: None,
        }])
    }

    fn encode(
        &self,
        row: RowValues<'_>,
        sample: &mut Sample<'_>,
        out: &mut [RowTensor<'_>],
    ) -> Result<(), EncodeError> {
        let [RowTensor { spec, values: RowElements::F32(pixels) }] = out else { unreachable!("as `tensors` says") };
        let Value::Bytes(bytes) = row.get(0) else { return Err(Damage::NoImageBytes.into()) };
        let [Some(_), Some(height), Some(width)] = spec.shape[..] else { unreachable!("as `tensors` says") };
        sample.image(bytes, [self.channels, height as u32, width as u32], pixels)
    }

    fn view(&self) -> View {
        View::Image
    }

    fn decodes_images(&self) -> bool {
        true
    }
}

impl ImageEncoder {
    /// Width and height that all images of a stream end at: as the transforms say, or, where they leave the size open,
    /// that of the first image that can be used. (One that ends at another size is refused when it is met.)
    fn size(&self, stream: &StreamFacts<'_>) -> Result<(u32, u32), PipelineError> {
        if let Some(size) = stream.chain.image_output_size() {
            return Ok(size);
        }
        let mut first_error = None;
        for index in 0..stream.dataset.rows().min(ROWS_LOOKED_AT) {
            match self.size_of(index, stream) {
                Err(error @ PipelineError::Damaged { .. }) => first_error = first_error.or(Some(error)),
                other => return other,
            }
        }
        Err(first_error.expect("a dataset has rows, and each was either returned or refused"))
    }

    fn size_of(&self, index: u64, stream: &StreamFacts<'_>) -> Result<(u32, u32), PipelineError> {
        let id = stream.dataset.row_at(index);
        let damaged = |damage| PipelineError::Damaged { row: id.clone(), damage };
        let row = stream.dataset.read_row(&id, &self.column)?;
        let Value::Bytes(bytes) = row.values().get(0) else { return Err(damaged(Damage::NoImageBytes)) };
        let facts = decode::header(bytes).map_err(|error| damaged(Damage::Image(error)))?.facts;
        let facts = facts.with_channels(self.channels);
        let key = DrawKey { seed: stream.seed, epoch: 0, row: id.key() };
        match stream.chain.draw_image(&facts, &key) {
            Ok(drawing) => Ok(drawing.output_size(&facts)),
            Err(source) => Err(match Damage::of_transform(source) {
                Ok(damage) => damaged(damage),
                Err(source) => PipelineError::Transform { row: id, source },
            }),
        }
    }
}
