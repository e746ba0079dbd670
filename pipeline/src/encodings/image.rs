//! Encoded images as pixels.

use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::{ElementType, ImageLayout, TensorSpec};
use millstream_transforms::{DrawKey, ImageFacts, ImageTensor, PixelValues};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, ByHand, EncodingKind, EncodingOptions, Source};
use super::sample::{Sample, no_bytes};
use crate::error::Damage;
use crate::sources::{Holds, RowValues, Value};
use crate::{PipelineError, decode};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "image",
    summary: "Encoded images as pixels.",
    documentation: "One tensor `[batch, channels, height, width]`, or with `layout: channels_last` `[batch, height, width, channels]`; of floats, or with \
        `values: uint8` of bytes. A recipe with a model takes layout, values and channels from the model's input where they are not stated: `check` says \
        them. JPEG, PNG, WebP, GIF, BMP, PNM or TIFF files in a column of \
        binary values, or of structs with `bytes`, decoded as RGB, or with `channels: 1` as grey, and taken through the transforms; floats are 0 to 1 where no `normalize` \
        says otherwise, bytes 0 to 255, which `normalize` is refused for. All images must end at one size: that of the transforms, or else of the first image that can be used. \
        Null and what does not decode is a damaged row.",
    samples: &[
        "{}",
        r#"{"column": "image", "channels": 1}"#,
        r#"{"column": "image", "layout": "channels_last"}"#,
        r#"{"column": "image", "layout": "channels_last", "values": "uint8"}"#,
    ],
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
    /// The order of the axes; by itself that of the model's input, without a model `channels_first`.
    #[serde(skip_serializing_if = "is_usual")]
    layout: ImageLayout,
    /// What the pixels are; by itself as the model's input has them, without a model `float32`.
    #[serde(skip_serializing_if = "is_usual")]
    values: Values,
}

/// What pixels are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Values {
    /// 0 to 1, or normalized.
    #[default]
    Float32,
    /// 0 to 255.
    Uint8,
}

impl Default for Image {
    fn default() -> Self {
        Self { channels: 3, layout: ImageLayout::default(), values: Values::default() }
    }
}

/// What is usual is left out: so streams are what they were before there was a choice.
fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
        let Self { channels, layout, values } = *self;
        Ok(Arc::new(ImageEncoder { column: [source.columns[0].clone()], channels, layout, values }))
    }

    fn by_hand(&self, _: &[String], _: &Json) -> ByHand {
        let channels = match self.channels {
            1 => "1 channel, grey (the luma of ITU-R BT.601)",
            _ => "3 channels in the order red, green, blue",
        };
        let axes = match self.layout {
            ImageLayout::ChannelsFirst => "batch, channels, height, width",
            ImageLayout::ChannelsLast => "batch, height, width, channels",
        };
        let values = match self.values {
            Values::Float32 => {
                "Values are floats, 0 for black and 1 for white, before what happens to images further below."
            }
            Values::Uint8 => "Values are bytes, 0 for black and 255 for white.",
        };
        let said = vec![
            format!("Pictures of {channels}; the axes are {axes}."),
            values.into(),
            "A picture is turned as its EXIF orientation says. One that is missing or cannot be decoded is none that the model can take.".into(),
        ];
        ByHand { said, places: Vec::new() }
    }
}

#[derive(Debug)]
struct ImageEncoder {
    column: [String; 1],
    channels: u32,
    layout: ImageLayout,
    values: Values,
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
        let element_type = match self.values {
            Values::Float32 => ElementType::F32,
            Values::Uint8 => {
                // of any image; a row for which something else is drawn is refused when it is met
                let facts = ImageFacts::new(64, 64).with_channels(self.channels);
                let key = DrawKey { seed: stream.seed, epoch: 0, row: 0 };
                let drawing = stream.chain.draw_image(&facts, &key).map_err(refused)?;
                if let Some(transform) = drawing.leaves_range() {
                    return Err(no_bytes(transform));
                }
                ElementType::U8
            }
        };
        let shape = self.layout.shape(self.channels, height, width).map(|side| side as usize);
        Ok(vec![TensorSpec::fixed(name, element_type, &shape)])
    }

    fn encode(
        &self,
        row: RowValues<'_>,
        sample: &mut Sample<'_>,
        out: &mut [RowTensor<'_>],
    ) -> Result<(), EncodeError> {
        let [RowTensor { spec, values }] = out else { unreachable!("as `tensors` says") };
        let Value::Bytes(bytes) = row.get(0) else { return Err(Damage::NoImageBytes.into()) };
        let [Some(first), Some(second), Some(third)] = spec.shape[..] else { unreachable!("as `tensors` says") };
        let values = match values {
            RowElements::F32(values) => PixelValues::F32(values),
            RowElements::U8(values) => PixelValues::U8(values),
            _ => unreachable!("as `tensors` says"),
        };
        let shape = self.layout.read([first, second, third]).map(|side| side as u32);
        sample.image_tensor(bytes, shape, &mut ImageTensor { layout: self.layout, values })
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
        let image = || stream.dataset.image_name(&id);
        let damaged = |damage| PipelineError::Damaged { row: id.clone(), image: image(), damage };
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
