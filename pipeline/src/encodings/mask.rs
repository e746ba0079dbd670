//! The class of each pixel of the row's image.

use std::collections::HashMap;
use std::sync::Arc;

use image::{DynamicImage, GrayImage, Luma};
use millstream_schemas::choice::Options;
use millstream_schemas::{ElementType, Tensor, TensorRole, TensorSpec, shown};
use millstream_transforms::Target;
use millstream_transforms::targets::{Mask, MoveRules, Targets};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, EncodingKind, EncodingOptions, Source};
use super::mark::{Mark, Seen};
use super::sample::Sample;
use crate::error::Damage;
use crate::sources::{Holds, RowValues, Value};
use crate::{PipelineError, decode};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "mask",
    summary: "The class of each pixel of the row's image.",
    documentation: "One tensor of int64 `[batch, height, width]`, of the size that the images end at: grey images of 8 bits without loss (PNG, BMP, TIFF) \
        whose values are the classes, or PNGs with a palette, whose numbers of colours are (as those of PASCAL VOC), as large as the row's image. It follows every step that was drawn for the image: each pixel \
        has the class of the one pixel that it comes from. What comes from outside the image, and pixels of the value 255, have \
        the class `ignore_index`, which `sparse_cross_entropy` leaves out; so have rows without a mask (null).",
    samples: &[
        r#"{"classes": ["background", "digit"]}"#,
        r#"{"column": "mask", "classes": ["road", "car"], "ignore_index": -1}"#,
    ],
    takes: &[Holds::Bytes],
    most_columns: 1,
    build: Build::of::<MaskOptions>(),
};

/// The value of pixels without a class, as in the PASCAL VOC masks.
const VOID: u8 = 255;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MaskOptions {
    /// Names of the classes, by the values of the pixels from 0.
    #[schemars(length(min = 2, max = 255))]
    classes: Vec<String>,
    /// The class of pixels that do not count.
    #[serde(default = "ignored")]
    ignore_index: i32,
}

fn ignored() -> i32 {
    -100
}

impl Options for MaskOptions {
    fn validate(&self) -> Result<(), String> {
        match (self.classes.len(), usize::try_from(self.ignore_index)) {
            (0 | 1, _) => Err(format!("classes are two or more, got {}", self.classes.len())),
            (256.., _) => Err(format!("classes are at most 255, got {}", self.classes.len())),
            (count, Ok(ignored)) if ignored < count => {
                Err(format!("ignore_index is no class, got that of `{}`", shown(&self.classes[ignored])))
            }
            _ => Ok(()),
        }
    }
}

impl EncodingOptions for MaskOptions {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        Ok(Arc::new(MaskEncoder { column: [source.columns[0].clone()], options: self.clone() }))
    }
}

#[derive(Debug)]
struct MaskEncoder {
    column: [String; 1],
    options: MaskOptions,
}

impl Encoder for MaskEncoder {
    fn columns(&self) -> &[String] {
        &self.column
    }

    fn learned(&self) -> Json {
        json!({ "pixel_classes": self.options.classes })
    }

    fn tensors(&self, name: &str, stream: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        let refused = |source| PipelineError::Transform { row: stream.dataset.row_at(0), source };
        stream.chain.check_target(Target::Masks).map_err(refused)?;
        let size = match stream.chain.image_output_size() {
            Some(size) => size,
            None => self.first_size(stream)?,
        };
        let shape = [size.1 as usize, size.0 as usize];
        Ok(vec![TensorSpec {
            name: name.into(),
            role: TensorRole::Target,
            element_type: ElementType::I64,
            shape: shape.map(Some).to_vec(),
            most_elements: shape.into_iter().fold(1, usize::saturating_mul),
            padding: self.options.ignore_index.into(),
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
        let [RowTensor { spec, values: RowElements::I64(values) }] = out else { unreachable!("as `tensors` says") };
        let Value::Bytes(bytes) = row.get(0) else {
            sample.without_target();
            values.fill(self.options.ignore_index.into());
            return Ok(());
        };
        let mask = self.read(bytes, sample)?;
        let drawing = sample.image_drawing("a mask follows")?;
        let targets = Targets { mask: Some(mask), ..Targets::default() };
        let rules = MoveRules { outside: self.options.ignore_index, ..MoveRules::default() };
        let moved = targets
            .moved_with_image(drawing, &rules)
            .map_err(|error| Damage::value(&self.column[0], error.to_string()))?;
        let mask = moved.mask.expect("a mask went in");
        if spec.shape != [Some(mask.height as usize), Some(mask.width as usize)] {
            let reason = format!("ends at {}×{} pixels, and other masks do not", mask.width, mask.height);
            return Err(Damage::value(&self.column[0], reason).into());
        }
        values.iter_mut().zip(mask.classes).for_each(|(out, class)| *out = class.into());
        Ok(())
    }

    fn view(&self) -> View {
        View::Image
    }

    fn classes(&self) -> &[String] {
        &self.options.classes
    }

    fn follows_input(&self) -> bool {
        true
    }

    fn marks(&self, tensors: &[&Tensor], _: Seen<'_>) -> Vec<Mark> {
        let [mask] = tensors else { return Vec::new() };
        let (Some(classes), &[_, _, width]) = (mask.as_i64(), mask.shape.as_slice()) else { return Vec::new() };
        let counted =
            |class: &i64| u16::try_from(*class).ok().filter(|class| usize::from(*class) < self.options.classes.len());
        let classes = classes.iter().map(counted).collect();
        vec![Mark::Regions { width, classes, names: self.options.classes.as_slice().into() }]
    }

    fn decodes_images(&self) -> bool {
        true
    }
}

impl MaskEncoder {
    fn first_size(&self, stream: &StreamFacts<'_>) -> Result<(u32, u32), PipelineError> {
        let id = stream.dataset.row_at(0);
        let row = stream.dataset.read_row(&id, &self.column)?;
        let Value::Bytes(bytes) = row.values().get(0) else {
            let reason =
                "the transforms leave open which size images end at, and the first row has no mask to tell it".into();
            return Err(PipelineError::Option { option: "data.targets", reason });
        };
        let facts =
            decode::header(bytes).map_err(|error| PipelineError::Damaged { row: id, damage: error.into() })?.facts;
        Ok((facts.width, facts.height))
    }

    /// The classes of the pixels as stored.
    fn read(&self, bytes: &[u8], sample: &Sample<'_>) -> Result<Mask, EncodeError> {
        let header = decode::header(bytes).map_err(Damage::Image)?;
        // Pixels as bytes, as classes and as floats, before and after the steps.
        let pixels = u64::from(header.facts.width) * u64::from(header.facts.height);
        let _admitted = sample.admit(&header, header.memory.saturating_add(pixels.saturating_mul(16)))?;
        let lossless = matches!(header.format, decode::Format::Png | decode::Format::Bmp | decode::Format::Tiff);
        let refused = |what: &str| {
            Damage::value(
                &self.column[0],
                format!("is {what}; a mask is a grey image of 8 bits without loss, such as PNG"),
            )
        };
        if !lossless {
            return Err(refused(&format!("a {}", header.format.name())).into());
        }
        let decoded =
            image::load_from_memory(bytes).map_err(|_| Damage::value(&self.column[0], "does not decode".into()))?;
        let numbered = decode::palette(bytes).map(|palette| of_palette(&decoded, &palette));
        let grey = match (decoded, numbered) {
            (_, Some(numbered)) => {
                numbered.ok_or_else(|| refused("an image whose colours are not each one number of its palette"))?
            }
            (DynamicImage::ImageLuma8(grey), None) => grey,
            _ => return Err(refused("an image of colours").into()),
        };
        let classes = self.options.classes.len();
        let class = |value: &u8| match *value {
            value if usize::from(value) < classes => Ok(i32::from(value)),
            VOID => Ok(self.options.ignore_index),
            value => Err(Damage::value(
                &self.column[0],
                format!("has a pixel of class {value}, and there are {classes} classes"),
            )),
        };
        let (width, height) = grey.dimensions();
        let classes = grey.as_raw().iter().map(class).collect::<Result<_, _>>()?;
        Ok(Mask { width, height, classes })
    }
}

/// The numbers of the colours of an image's pixels; none where it is not clear which number a colour is.
fn of_palette(image: &DynamicImage, palette: &[[u8; 3]]) -> Option<GrayImage> {
    let mut numbers: HashMap<[u8; 3], Option<u8>> = HashMap::with_capacity(palette.len());
    for (number, colour) in palette.iter().enumerate() {
        let number = u8::try_from(number).ok()?;
        numbers.entry(*colour).and_modify(|known| *known = None).or_insert(Some(number));
    }
    let colours = image.to_rgb8();
    let mut grey = GrayImage::new(colours.width(), colours.height());
    // neighbours are of one colour mostly
    let mut last: Option<([u8; 3], u8)> = None;
    for (out, colour) in grey.pixels_mut().zip(colours.pixels()) {
        let number = match last {
            Some((known, number)) if known == colour.0 => number,
            _ => (*numbers.get(&colour.0)?)?,
        };
        last = Some((colour.0, number));
        *out = Luma([number]);
    }
    Some(grey)
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    #[test]
    fn colours_of_a_palette_are_their_numbers_where_that_is_clear() {
        let image = DynamicImage::from(RgbImage::from_fn(5, 1, |x, _| Rgb([x as u8 / 2 % 2 * 128, 0, 0])));
        let numbers = |palette: &[[u8; 3]]| of_palette(&image, palette).map(GrayImage::into_raw);
        assert_eq!(numbers(&[[0, 0, 0], [9, 9, 9], [128, 0, 0], [9, 9, 9]]), Some(vec![0, 0, 2, 2, 0]));
        assert_eq!(numbers(&[[0, 0, 0], [128, 0, 0], [0, 0, 0]]), None);
        assert_eq!(numbers(&[[0, 0, 0]]), None);
    }
}
