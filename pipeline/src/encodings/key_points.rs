//! Points in the row's image.

use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::{ElementType, Tensor, TensorRole, TensorSpec, count, shown};
use millstream_transforms::targets::{KeyPoint, MoveRules, Targets};
use millstream_transforms::{ImageFacts, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::class_names;
use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, EncodingKind, EncodingOptions, Source};
use super::length_unit::LengthUnit;
use super::mark::{Mark, Seen};
use super::sample::Sample;
use crate::PipelineError;
use crate::error::Damage;
use crate::sources::{Holds, List, RowValues, Value};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "key_points",
    summary: "Points in the row's image, always as many and in the same order.",
    documentation: "A tensor of floats `[batch, count, 2]`, across and down, and a tensor of int64 `[batch, count]` whose name ends in `.visible`: \
        0, 1 or 2 as in COCO (not marked, marked and hidden, marked and visible). The column holds a list of points of two or \
        three numbers, the third their visibility, or all numbers in one list. Points follow every step that is drawn for the image; one \
        that leaves the picture, that lies outside of its image or has no number is 0, and so are its numbers. Where the picture becomes a mirror image, the \
        points of each pair of `left_right` change places. With `visibility: false` there is no second tensor, and a row of which \
        a point is not marked has no weight in the loss; nor has a row with null. A row whose marked points all lie outside of its image is \
        damaged. Where several inputs are images, `image` names the one that they follow.",
    samples: &[
        r#"{"column": "keypoints", "count": 17}"#,
        r#"{"column": "landmarks", "count": 3, "names": ["left eye", "right eye", "nose"], "left_right": [["left eye", "right eye"]], "stored_in": "shares", "unit": "pixels"}"#,
        r#"{"column": "points", "count": 2, "left_right": [[0, 1]], "visibility": false}"#,
    ],
    takes: &[Holds::Lists],
    most_columns: 1,
    build: Build::of::<KeyPoints>(),
};

/// More points than this are taken for a mistake.
const MOST_POINTS: usize = 65_536;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyPoints {
    /// How many points a row has.
    #[schemars(range(min = 1, max = MOST_POINTS))]
    count: usize,
    /// Their names; none, or one for each.
    #[serde(default)]
    names: Vec<String>,
    /// Pairs of points, by name or number from 0, that change places in a mirror image.
    #[serde(default)]
    left_right: Vec<[PointName; 2]>,
    /// What the numbers in the column are measured in, of the image as stored.
    #[serde(default = "pixels")]
    stored_in: LengthUnit,
    /// What the numbers of the tensor are measured in, of the final picture.
    #[serde(default)]
    unit: LengthUnit,
    /// Make the tensor of what is visible.
    #[serde(default = "yes")]
    visibility: bool,
    /// The input whose image points follow; where there are pictures of several columns, it is to be said.
    // Left out where it is not said, so that streams are what they were before there was a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
}

fn pixels() -> LengthUnit {
    LengthUnit::Pixels
}
fn yes() -> bool {
    true
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum PointName {
    Number(usize),
    Name(String),
}

impl KeyPoints {
    fn number(&self, point: &PointName) -> Result<usize, String> {
        match point {
            PointName::Number(number) if *number < self.count => Ok(*number),
            PointName::Number(number) => {
                Err(format!("left_right names the point {number}, and they are 0 to {}", self.count - 1))
            }
            PointName::Name(name) => self
                .names
                .iter()
                .position(|known| known == name)
                .ok_or_else(|| format!("left_right names the point `{}`, which is none of `names`", shown(name))),
        }
    }

    /// Where each point's numbers are taken from in a mirror image.
    fn mirrored(&self) -> Result<Vec<usize>, String> {
        let mut from: Vec<usize> = (0..self.count).collect();
        let mut paired = vec![false; self.count];
        for [left, right] in &self.left_right {
            let (left, right) = (self.number(left)?, self.number(right)?);
            for point in [left, right] {
                if std::mem::replace(&mut paired[point], true) {
                    return Err(format!("left_right names the point {point} twice"));
                }
            }
            from.swap(left, right);
        }
        Ok(from)
    }
}

impl Options for KeyPoints {
    fn validate(&self) -> Result<(), String> {
        let Self { count, names, .. } = self;
        match (*count, names.len(), class_names::twice(names)) {
            (0, ..) => Err("count is 1 or more, got 0".into()),
            (count, ..) if count > MOST_POINTS => Err(format!("count is at most {MOST_POINTS}, got {count}")),
            (count, named, _) if named != 0 && named != count => {
                Err(format!("names are none or one for each of {count} points, got {named}"))
            }
            (.., Some(name)) => Err(format!("names has `{}` twice", shown(name))),
            _ => self.mirrored().map(drop),
        }
    }
}

impl EncodingOptions for KeyPoints {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        let refused = |reason| PipelineError::Option { option: "left_right", reason };
        let mirrored = self.mirrored().map_err(refused)?;
        Ok(Arc::new(KeyPointEncoder { column: [source.columns[0].clone()], mirrored, options: self.clone() }))
    }
}

#[derive(Debug)]
struct KeyPointEncoder {
    column: [String; 1],
    mirrored: Vec<usize>,
    options: KeyPoints,
}

/// A point with its visibility, 0 to 2.
type StoredPoint = (KeyPoint, i64);

impl Encoder for KeyPointEncoder {
    fn columns(&self) -> &[String] {
        &self.column
    }

    fn learned(&self) -> Json {
        json!({ "points": self.options.names })
    }

    fn tensors(&self, name: &str, stream: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        let refused = |source| PipelineError::Transform { row: stream.dataset.row_at(0), source };
        stream.chain.check_target(Target::KeyPoints).map_err(refused)?;
        let count = self.options.count;
        let spec = |name: String, element_type, shape: &[usize]| TensorSpec {
            name,
            role: TensorRole::Target,
            element_type,
            shape: shape.iter().copied().map(Some).collect(),
            most_elements: shape.iter().product(),
            padding: 0,
            multiple_of: 1,
            as_long_as: None,
        };
        let visible = self.options.visibility.then(|| spec(format!("{name}.visible"), ElementType::I64, &[count]));
        Ok(std::iter::once(spec(name.into(), ElementType::F32, &[count, 2])).chain(visible).collect())
    }

    fn encode(
        &self,
        row: RowValues<'_>,
        sample: &mut Sample<'_>,
        out: &mut [RowTensor<'_>],
    ) -> Result<(), EncodeError> {
        let [RowTensor { values: RowElements::F32(values), .. }, visible @ ..] = out else {
            unreachable!("as `tensors` says")
        };
        let visible = match visible {
            [] => &mut [][..],
            [RowTensor { values: RowElements::I64(visible), .. }] => visible,
            _ => unreachable!("as `tensors` says"),
        };
        values.fill(0.0);
        visible.fill(0);
        let drawing = sample.image_drawing("key points follow")?;
        let ImageFacts { width, height, .. } = drawing.source;
        let Some(stored) =
            self.read(row.get(0), (width, height)).map_err(|reason| Damage::value(&self.column[0], reason))?
        else {
            sample.without_target();
            return Ok(());
        };
        let key_points = stored.iter().map(|(point, _)| *point).collect();
        let targets = Targets { key_points, ..Targets::default() };
        let moved = targets.moved_with_image(drawing, &MoveRules::default());
        let moved = moved.map_err(|error| Damage::value(&self.column[0], error.to_string()))?.key_points;
        let mirrored = drawing.mirrors(f64::from(width) / 2.0, f64::from(height) / 2.0);
        let (across, down) = self.options.unit.in_pixels(drawing.output_size(&drawing.source));
        for (index, out) in values.chunks_exact_mut(2).enumerate() {
            let from = if mirrored { self.mirrored[index] } else { index };
            if moved[from].visible {
                out.copy_from_slice(&[(moved[from].x / across) as f32, (moved[from].y / down) as f32]);
                visible.iter_mut().skip(index).take(1).for_each(|visible| *visible = stored[from].1);
            }
        }
        if !self.options.visibility && moved.iter().any(|point| !point.visible) {
            sample.without_target();
        }
        Ok(())
    }

    fn view(&self) -> View {
        View::Numbers
    }

    fn follows_input(&self) -> bool {
        true
    }

    fn followed_image(&self) -> Option<&str> {
        self.options.image.as_deref()
    }

    fn marks(&self, tensors: &[&Tensor], seen: Seen<'_>) -> Vec<Mark> {
        let Seen::Picture(picture) = seen else { return Vec::new() };
        let Some(values) = tensors.first().and_then(|points| points.as_f32()) else { return Vec::new() };
        let visible = tensors.get(1).and_then(|visible| visible.as_i64());
        let (across, down) = self.options.unit.in_pixels(picture);
        let is_visible = |index: usize, point: &[f32; 2]| match visible {
            Some(visible) => visible.get(index).is_some_and(|visible| *visible > 0),
            None => *point != [0.0; 2],
        };
        let points = values.as_chunks::<2>().0.iter().enumerate();
        let mark = |(number, [x, y]): (usize, &[f32; 2])| Mark::Point {
            x: x * across as f32,
            y: y * down as f32,
            number,
            name: self.options.names.get(number).cloned(),
        };
        points.filter(|(index, point)| is_visible(*index, point)).map(mark).collect()
    }
}

impl KeyPointEncoder {
    /// The points of a row in an image of this size, in pixels; `None` where it has null.
    fn read(&self, value: Value<'_>, size: (u32, u32)) -> Result<Option<Vec<StoredPoint>>, String> {
        let list = match value {
            Value::Null => return Ok(None),
            Value::List(list) => list,
            _ => return Err("holds no points".into()),
        };
        let wanted = self.options.count;
        let numbers = |list: List<'_>| list.iter().map(Value::number).collect::<Vec<_>>();
        let nested = list.holds_lists();
        let points: Vec<Vec<Option<f64>>> = match (nested, list.len()) {
            (true, got) if got == wanted => {
                let point = |point| if let Value::List(point) = point { numbers(point) } else { vec![None; 2] };
                list.iter().map(point).collect()
            }
            (false, got) if got == 2 * wanted || got == 3 * wanted => {
                numbers(list).chunks(got / wanted).map(<[_]>::to_vec).collect()
            }
            (true, got) => return Err(format!("has {}, wanted {wanted}", count(got, "point"))),
            (false, got) => {
                let (two, three) = (2 * wanted, 3 * wanted);
                return Err(format!("has {}, wanted {two} or {three} for {wanted} points", count(got, "number")));
            }
        };
        let unit = self.options.stored_in.in_pixels(size);
        let place = |index: usize, reason: String| format!("has as point {index}: {reason}");
        let read = |(index, point): (usize, &Vec<Option<f64>>)| {
            self.point(point, unit, size).map_err(|reason| place(index, reason))
        };
        let read: Vec<(StoredPoint, bool)> = points.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        if read.iter().all(|((point, _), marked)| !(*marked && point.visible)) && read.iter().any(|(_, marked)| *marked)
        {
            let (width, height) = size;
            let stored_in = json!(self.options.stored_in);
            return Err(format!(
                "has no point in the image of {width}×{height} pixels; are they `stored_in: {}`?",
                stored_in.as_str().unwrap_or_default()
            ));
        }
        Ok(Some(read.into_iter().map(|(point, _)| point).collect()))
    }

    /// A point, and whether it is marked, in the image or outside.
    fn point(
        &self,
        numbers: &[Option<f64>],
        (across, down): (f64, f64),
        (width, height): (u32, u32),
    ) -> Result<(StoredPoint, bool), String> {
        let (x, y, visibility) = match numbers {
            [x, y] => (*x, *y, 2),
            [x, y, seen] => match seen.unwrap_or(0.0) {
                seen @ (0.0 | 1.0 | 2.0) => (*x, *y, seen as i64),
                other => return Err(format!("a visibility of {other}; wanted 0, 1 or 2")),
            },
            other => return Err(format!("{}, wanted two or three", count(other.len(), "number"))),
        };
        let unmarked = ((KeyPoint { x: 0.0, y: 0.0, visible: false }, 0), false);
        let (Some(x), Some(y), true) = (x, y, visibility > 0) else { return Ok(unmarked) };
        if x.is_nan() || y.is_nan() {
            return Ok(unmarked);
        }
        let (x, y) = (x * across, y * down);
        let inside = |place: f64, length: u32| place >= 0.0 && place < f64::from(length);
        let visible = inside(x, width) && inside(y, height);
        // A place that is not in the image need not be one that steps can move.
        let point = if visible { KeyPoint { x, y, visible } } else { unmarked.0.0 };
        Ok(((point, visibility), true))
    }
}
