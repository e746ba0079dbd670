//! The class of each pixel of the row's image.

use std::sync::Arc;

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
use crate::PipelineError;
use crate::decode::{self, PixelNumbers};
use crate::error::Damage;
use crate::sources::{Holds, RowValues, Value};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "mask",
    summary: "The class of each pixel of the row's image.",
    documentation: "One tensor of int64 `[batch, height, width]`, of the size that the images end at: grey images of 8 bits or fewer without loss (PNG, BMP, \
        TIFF) whose values, as they are stored, are the classes (or as `values` says), or PNGs with a palette, whose numbers of colours are (as those of PASCAL VOC), as large as the row's image. It follows every step that was drawn for the image: each pixel \
        has the class of the one pixel that it comes from. What comes from outside the image, and pixels of the value 255 where that is no class, have \
        the class `ignore_index`, which `sparse_cross_entropy` leaves out; so have rows without a mask (null). Where several inputs are images, `image` names the one that it follows.",
    samples: &[
        r#"{"classes": ["background", "digit"]}"#,
        r#"{"column": "mask", "classes": ["road", "car"], "ignore_index": -1, "image": "camera"}"#,
        r#"{"column": "mask", "classes": ["background", "polyp"], "values": [0, 255]}"#,
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
    /// The values of the pixels of each class, in the order of `classes`; by itself 0, 1, 2, …. With `[0, 255]` pixels of 255
    /// are of the second class.
    // Left out where it is usual, so that streams are what they were before there was a choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 255))]
    values: Vec<u8>,
    /// The input whose image a mask follows; where there are pictures of several columns, it is to be said.
    // Left out where it is not said, so that streams are what they were before there was a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
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
            (count, _) if !self.values.is_empty() && self.values.len() != count => {
                Err(format!("values are one for each class, got {} for {count} classes", self.values.len()))
            }
            _ => match self.values.iter().enumerate().find(|(at, value)| self.values[..*at].contains(value)) {
                Some((_, value)) => Err(format!("values are one for each class, got {value} twice")),
                None => Ok(()),
            },
        }
    }
}

impl EncodingOptions for MaskOptions {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        let mut class_of = Box::new([None; 256]);
        class_of[usize::from(VOID)] = Some(self.ignore_index);
        for class in 0..self.classes.len() {
            let value = self.values.get(class).copied().map_or(class, usize::from);
            class_of[value] = i32::try_from(class).ok();
        }
        Ok(Arc::new(MaskEncoder { column: [source.columns[0].clone()], options: self.clone(), class_of }))
    }
}

#[derive(Debug)]
struct MaskEncoder {
    column: [String; 1],
    options: MaskOptions,
    /// The class of each value of a pixel; none of those that are of no class.
    class_of: Box<[Option<i32>; 256]>,
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

    fn followed_image(&self) -> Option<&str> {
        self.options.image.as_deref()
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
        let facts = decode::header(bytes)
            .map_err(|error| PipelineError::Damaged { row: id, image: None, damage: error.into() })?
            .facts;
        Ok((facts.width, facts.height))
    }

    /// The classes of the pixels as stored.
    fn read(&self, bytes: &[u8], sample: &Sample<'_>) -> Result<Mask, EncodeError> {
        let header = decode::header(bytes).map_err(Damage::Image)?;
        // Pixels as bytes, as classes and as floats, before and after the steps.
        let pixels = u64::from(header.facts.width) * u64::from(header.facts.height);
        let _admitted = sample.admit(&header, header.memory.saturating_add(pixels.saturating_mul(16)))?;
        let PixelNumbers { width, height, numbers } =
            PixelNumbers::read(&header, bytes).map_err(|reason| Damage::value(&self.column[0], reason))?;
        let class = |value: &u8| {
            self.class_of[usize::from(*value)].ok_or_else(|| {
                let known = match self.options.values.as_slice() {
                    [] => format!("there are {} classes", self.options.classes.len()),
                    values => format!("the classes have {values:?}"),
                };
                Damage::value(&self.column[0], format!("has a pixel of class {value}, and {known}"))
            })
        };
        let classes = numbers.iter().map(class).collect::<Result<_, _>>()?;
        Ok(Mask { width, height, classes })
    }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::choice::Options;
    use serde_json::{Value, json};

    use super::MaskOptions;

    #[test]
    fn masks_of_earlier_runs_are_not_others_because_there_are_values_now() {
        let written = |options: Value| {
            let options: MaskOptions = serde_json::from_value(options).unwrap();
            options.validate().unwrap();
            serde_json::to_value(options).unwrap()
        };
        let before = json!({"classes": ["a", "b"], "ignore_index": -100});
        assert_eq!(written(json!({"classes": ["a", "b"]})), before);
        assert_eq!(written(json!({"classes": ["a", "b"], "values": [0, 255]}))["values"], json!([0, 255]));
    }
}
