//! Boxes in the row's image.

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use millstream_schemas::choice::Options;
use millstream_schemas::features::{holds_class_numbers, is_text};
use millstream_schemas::{CROWD, ElementType, Tensor, TensorRole, TensorSpec, count, nearest, shown};
use millstream_transforms::targets::{BoundingBox, BoxFormat, MoveRules, Targets};
use millstream_transforms::{ImageFacts, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::box_fields::{BOX_CLASS_FIELDS, BOX_CROWD_FIELD, class_field_of_boxes};
use super::class_names::{self, ClassNames, MOST_CLASSES};
use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, EncodingKind, EncodingOptions, Source};
use super::length_unit::LengthUnit;
use super::mark::{Mark, Seen};
use super::sample::Sample;
use crate::error::Damage;
use crate::sources::{Holds, RowValues, Value, element};
use crate::{DataFile, Dataset, PipelineError};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "boxes",
    summary: "Boxes in the row's image, with their classes.",
    documentation: "A tensor of floats `[batch, most, 4]` (or flat), and where the boxes have classes a tensor of int64 `[batch, most]` \
        whose name ends in `.classes`. With `as: classed` the class is the fifth number of each box, `[batch, most, 5]`, as \
        the loss `fcos` takes it; a box around a crowd (COCO's `iscrowd`) has −2 − class there and stands behind the others, \
        so that loss and metric pass over what is found in it; elsewhere it is a box as any other, or left out where `crowd_field` \
        names the field. The column holds lists of boxes of four numbers, a single such \
        box, or boxes with classes: a struct of lists (`objects: {bbox, category}`) or a list of structs. They follow every \
        step that is drawn for the image: of a box, the box around what is left of it in the picture remains, unless it is \
        less than `least_visible` of its area or smaller than `least_area`; what remains keeps its order. Places behind the \
        row's own boxes are filled up with zeros and class −1; a row with an empty list is all of that. Boxes that reach out \
        of their image by a pixel at most are cut at its edge; what reaches further, has no area or no number is a damaged \
        row. A row with null has no weight in the loss. Where several inputs are images, `image` names the one that they \
        follow.",
    samples: &[
        r#"{"column": "objects", "convention": "coco", "most": 20}"#,
        r#"{"column": "bbox", "convention": "pascal_voc", "most": 1, "layout": "center_and_size", "without_boxes": "no_weight"}"#,
        r#"{"column": "objects", "convention": "coco", "most": 1, "as": "flat", "beyond": "cut", "class_field": ""}"#,
        r#"{"column": "objects", "convention": "coco", "most": 20, "as": "classed"}"#,
        r#"{"column": "objects", "convention": "yolo", "most": 8, "beyond": "cut", "box_field": "box", "class_field": "label", "classes": ["cat", "dog"], "least_visible": 0.1, "least_area": 16, "unit": "pixels"}"#,
    ],
    takes: &[Holds::Lists],
    most_columns: 1,
    build: Build::of::<Boxes>(),
};

/// What boxes are called that have no classes, where each is to have one.
const ONLY_CLASS: &str = "object";
/// More boxes of a row than this are taken for a mistake.
const MOST_BOXES: usize = 65_536;
/// Pixels that a box may reach out of its image: annotations are often rounded.
const ROUNDED: f64 = 1.0;
/// What share of its longer side a box reaches out of its image that is a slip, and not read by another convention.
const SMALL_SHARE: f64 = 0.1;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Boxes {
    /// What the four numbers of a box are in the column: `coco` left, top, width, height and `pascal_voc` left, top, right,
    /// bottom, in pixels; `albumentations` left, top, right, bottom and `yolo` centre across, centre down, width, height, as
    /// shares of the image's sides.
    convention: BoxFormat,
    /// The most boxes of a row.
    #[schemars(range(min = 1, max = MOST_BOXES))]
    most: usize,
    /// What happens to boxes beyond the most.
    #[serde(default)]
    beyond: Beyond,
    /// The field with the boxes, where the column holds structs.
    #[serde(default = "bbox")]
    box_field: String,
    /// The field with their classes (whole numbers or strings); `category` by itself where there is one, and none when it is
    /// empty.
    #[serde(default)]
    class_field: Option<String>,
    /// The field that says which boxes are around a crowd (numbers, 0 for none, or truth values). Of boxes that are `classed` it is not
    /// asked for what is found in these, nor for what is not: `iscrowd` by itself where there is one, and none when it is empty. Of
    /// others, where it is named, these are left out.
    // Left out where it is not said, so that streams are what they were before there was a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crowd_field: Option<String>,
    /// Names of the classes; by themselves those that the files' metadata declares, or else the sorted distinct strings, or 0
    /// to the largest number.
    #[serde(default)]
    #[schemars(length(max = MOST_CLASSES))]
    classes: Vec<String>,
    /// A box of whose area less than this share is left in the picture is left out; one of which nothing is left always is.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    least_visible: f64,
    /// A box of fewer square pixels in the final picture is left out.
    #[serde(default)]
    #[schemars(range(min = 0))]
    least_area: f64,
    /// What the four numbers of a box are in the tensor.
    #[serde(default)]
    layout: Layout,
    /// What they are measured in, of the final picture.
    #[serde(default)]
    unit: LengthUnit,
    /// What a row counts in the loss that has no boxes, or none left.
    #[serde(default)]
    without_boxes: WithoutBoxes,
    /// The axes of the tensor; by itself `boxes`.
    // Left out where it is usual, so that streams are what they were before there was a choice.
    #[serde(default, skip_serializing_if = "Form::is_boxes")]
    r#as: Form,
    /// The input whose image boxes follow; where there are pictures of several columns, it is to be said.
    // Left out where it is not said, so that streams are what they were before there was a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
}

fn bbox() -> String {
    "bbox".into()
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Beyond {
    /// The row is damaged.
    #[default]
    Damaged,
    /// They are left out, and counted in the stream's figures.
    Cut,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Layout {
    /// Left, top, right, bottom.
    #[default]
    Corners,
    /// Left, top, width, height.
    CornerAndSize,
    /// Centre across, centre down, width, height.
    CenterAndSize,
}

impl Layout {
    fn write(self, [left, top, right, bottom]: [f64; 4]) -> [f64; 4] {
        match self {
            Self::Corners => [left, top, right, bottom],
            Self::CornerAndSize => [left, top, right - left, bottom - top],
            Self::CenterAndSize => [(left + right) / 2.0, (top + bottom) / 2.0, right - left, bottom - top],
        }
    }

    fn corners(self, [a, b, c, d]: [f32; 4]) -> [f32; 4] {
        match self {
            Self::Corners => [a, b, c, d],
            Self::CornerAndSize => [a, b, a + c, b + d],
            Self::CenterAndSize => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Form {
    /// `[batch, most, 4]`.
    #[default]
    Boxes,
    /// `[batch, 4 × most]`, as a new last layer gives numbers.
    Flat,
    /// `[batch, most, 5]`: the class is the last number, −1 where there is no box. Boxes without classes are all of one, `object`.
    Classed,
}

impl Form {
    fn is_boxes(&self) -> bool {
        *self == Self::Boxes
    }

    /// Numbers of a box in the tensor.
    fn numbers(self) -> usize {
        if self == Self::Classed { 5 } else { 4 }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WithoutBoxes {
    /// As much as any other row: there is nothing to be found in it.
    #[default]
    Count,
    /// Nothing, as rows with null: for models that always answer with a box.
    NoWeight,
}

impl Options for Boxes {
    fn validate(&self) -> Result<(), String> {
        match self {
            Self { most: 0, .. } => Err("most is 1 or more, got 0".into()),
            Self { most, .. } if *most > MOST_BOXES => Err(format!("most is at most {MOST_BOXES}, got {most}")),
            Self { least_visible: share, .. } if !(0.0..=1.0).contains(share) => {
                Err(format!("least_visible is a share from 0 to 1, got {share}"))
            }
            Self { least_area: area, .. } if !(area.is_finite() && *area >= 0.0) => {
                Err(format!("least_area is 0 or more square pixels, got {area}"))
            }
            Self { classes, class_field: Some(field), .. } if field.is_empty() && !classes.is_empty() => {
                Err("classes are named, and class_field is empty: there are none".into())
            }
            Self { r#as: Form::Classed, layout, unit, .. }
                if *layout != Layout::Corners || *unit != LengthUnit::default() =>
            {
                Err("boxes that are `classed` have `layout: corners` and `unit: shares`".into())
            }
            _ => class_names::check(&self.classes),
        }
    }
}

impl EncodingOptions for Boxes {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        let column = source.columns[0].clone();
        let class_field = self.found_class_field(source.dataset, &column)?;
        self.require_crowd_field(source.dataset, &column)?;
        let mut encoder = BoxEncoder { column: [column], class_field, classes: None, options: self.clone() };
        if let Some(field) = &encoder.class_field {
            encoder.classes = Some(self.class_names(source, &encoder, field)?);
        } else if self.r#as == Form::Classed {
            encoder.classes = Some(ClassNames::new(vec![ONLY_CLASS.into()]));
        }
        Ok(Arc::new(encoder))
    }
}

impl Boxes {
    /// The field with the classes, if the column has one, after a look at what all files hold.
    fn found_class_field(&self, dataset: &Dataset, column: &str) -> Result<Option<String>, PipelineError> {
        let mut found: Option<(&DataFile, Option<String>)> = None;
        for file in dataset.files().iter().filter(|file| file.has_rows()) {
            let refused = |reason| PipelineError::Column { file: file.name.to_string(), column: shown(column), reason };
            let field = file.schema().field_with_name(column).expect("the dataset was asked for the column");
            let here = self.class_field_of(field.data_type()).map_err(refused)?;
            match &found {
                Some((first, other)) if *other != here => {
                    let has = |field: &Option<String>| field.as_ref().map_or("none", |_| "classes").to_owned();
                    return Err(PipelineError::SchemaDrift {
                        first: first.name.to_string(),
                        second: file.name.to_string(),
                        column: shown(column),
                        wanted: has(other),
                        got: has(&here),
                    });
                }
                _ => found = Some((file, here)),
            }
        }
        Ok(found.and_then(|(_, field)| field))
    }

    /// Refuses a field of crowds that was named and that a file has not.
    fn require_crowd_field(&self, dataset: &Dataset, column: &str) -> Result<(), PipelineError> {
        let Some(name) = self.crowd_field.as_deref().filter(|name| !name.is_empty()) else { return Ok(()) };
        for file in dataset.files().iter().filter(|file| file.has_rows()) {
            let field = file.schema().field_with_name(column).expect("the dataset was asked for the column");
            let fields = match (field.data_type(), element(field.data_type())) {
                (DataType::Struct(fields), _) | (_, Some(DataType::Struct(fields))) => &**fields,
                _ => &[][..],
            };
            if !fields.iter().any(|field| field.name() == name) {
                let near = nearest(name, fields.iter().map(|field| field.name().as_str()));
                let near = near.map_or_else(String::new, |near| format!("; did you mean `{}`?", shown(near)));
                let reason = format!("has no field `{}` that says which boxes are around a crowd{near}", shown(name));
                return Err(PipelineError::Column { file: file.name.to_string(), column: shown(column), reason });
            }
        }
        Ok(())
    }

    /// The field that says which boxes are around a crowd, where that is asked for.
    fn crowds(&self) -> Option<&str> {
        let usual = if self.r#as == Form::Classed { BOX_CROWD_FIELD } else { "" };
        let name = self.crowd_field.as_deref().unwrap_or(usual);
        (!name.is_empty()).then_some(name)
    }

    /// The field with the classes in a column of this type.
    fn class_field_of(&self, data_type: &DataType) -> Result<Option<String>, String> {
        let wanted = "lists of boxes of four numbers, with classes or without";
        let other = || format!("holds {}, and boxes are {wanted}", shown(data_type.to_string()));
        let fields = match data_type {
            DataType::Struct(fields) => fields,
            list => match element(list).ok_or_else(other)? {
                DataType::Struct(fields) => fields,
                inner => {
                    let numbers = holds_class_numbers(inner) || element(inner).is_some_and(holds_class_numbers);
                    return if numbers { self.no_field().map(|()| None) } else { Err(other()) };
                }
            },
        };
        let in_struct = !matches!(data_type, DataType::Struct(_));
        let find = |name: &str| fields.iter().find(|field| field.name() == name);
        let near = |name: &str| {
            let near = nearest(name, fields.iter().map(|field| field.name().as_str()));
            near.map_or_else(String::new, |near| format!("; did you mean `{}`?", shown(near)))
        };
        let boxes = find(&self.box_field).ok_or_else(|| {
            format!(
                "has no field `{}` with boxes{}; name it as `box_field`",
                shown(&self.box_field),
                near(&self.box_field)
            )
        })?;
        let of_row = |field: &Field| match in_struct {
            true => Some(field.data_type().clone()),
            false => element(field.data_type()).cloned(),
        };
        if !of_row(boxes).as_ref().and_then(element).is_some_and(holds_class_numbers) {
            return Err(format!(
                "has a field `{}` of {}, which are no boxes",
                shown(&self.box_field),
                shown(boxes.data_type().to_string())
            ));
        }
        let name = self.class_field.as_deref().unwrap_or(BOX_CLASS_FIELDS[0]);
        let are_classes =
            |field: &Field| of_row(field).is_some_and(|kind| is_text(&kind) || holds_class_numbers(&kind));
        match (find(name), &self.class_field) {
            (_, Some(none)) if none.is_empty() => Ok(None),
            (Some(field), _) if are_classes(field) => Ok(Some(name.to_owned())),
            (Some(field), _) => Err(format!(
                "has a field `{}` of {}, which are no classes",
                shown(name),
                shown(field.data_type().to_string())
            )),
            (None, Some(_)) => Err(format!("has no field `{}` with classes{}", shown(name), near(name))),
            (None, None) => match class_field_of_boxes(data_type) {
                Some(other) if self.r#as == Form::Classed => Err(format!(
                    "has no field `{name}` with classes, and one called `{0}`: read them by `class_field: {0}`, or none by \
                     `class_field: ''`",
                    shown(other)
                )),
                _ => self.no_field().map(|()| None),
            },
        }
    }

    /// Refuses options for classes where there are none.
    fn no_field(&self) -> Result<(), String> {
        match self.class_field.as_deref().is_some_and(|field| !field.is_empty()) || !self.classes.is_empty() {
            true => Err("holds boxes without classes: leave out `classes` and `class_field`".into()),
            false => Ok(()),
        }
    }

    fn class_names(&self, source: &Source<'_>, encoder: &BoxEncoder, field: &str) -> Result<ClassNames, PipelineError> {
        class_names::in_lists(source, &self.classes, "box_classes", Some(field), |row, collector| {
            // What cannot be read is told when the row is met.
            let boxes = encoder.stored(row.get(0)).unwrap_or_default().unwrap_or_default();
            boxes.into_iter().filter_map(|stored| stored.class).for_each(|class| collector.see(class));
        })
    }
}

#[derive(Debug)]
struct BoxEncoder {
    column: [String; 1],
    class_field: Option<String>,
    classes: Option<ClassNames>,
    options: Boxes,
}

/// A box as its row holds it.
struct StoredBox<'a> {
    /// Four of them.
    numbers: Value<'a>,
    /// Where there are classes.
    class: Option<Value<'a>>,
    is_crowd: bool,
}

impl<'a> StoredBox<'a> {
    fn plain(numbers: Value<'a>) -> Self {
        Self { numbers, class: None, is_crowd: false }
    }
}

/// Whether a value of the field for it says that a box is around a crowd.
fn says_crowd(value: Option<Value<'_>>) -> bool {
    value.and_then(Value::number).is_some_and(|number| number != 0.0)
}

impl Encoder for BoxEncoder {
    fn columns(&self) -> &[String] {
        &self.column
    }

    fn learned(&self) -> Json {
        match &self.classes {
            Some(classes) => json!({ "box_classes": classes.names() }),
            None => json!({}),
        }
    }

    fn tensors(&self, name: &str, stream: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        let refused = |source| PipelineError::Transform { row: stream.dataset.row_at(0), source };
        stream.chain.check_target(Target::Boxes).map_err(refused)?;
        let most = self.options.most;
        let spec = |name: String, element_type, shape: &[usize], padding| TensorSpec {
            name,
            role: TensorRole::Target,
            element_type,
            shape: shape.iter().copied().map(Some).collect(),
            most_elements: shape.iter().product(),
            padding,
            multiple_of: 1,
            as_long_as: None,
        };
        let form = self.options.r#as;
        let axes: &[usize] = if form == Form::Flat { &[4 * most] } else { &[most, form.numbers()] };
        let boxes = spec(name.into(), ElementType::F32, axes, 0);
        let apart = self.classes.as_ref().filter(|_| form != Form::Classed);
        let classes = apart.map(|_| spec(format!("{name}.classes"), ElementType::I64, &[most], -1));
        Ok(std::iter::once(boxes).chain(classes).collect())
    }

    fn encode(
        &self,
        row: RowValues<'_>,
        sample: &mut Sample<'_>,
        out: &mut [RowTensor<'_>],
    ) -> Result<(), EncodeError> {
        let [RowTensor { values: RowElements::F32(values), .. }, classes @ ..] = out else {
            unreachable!("as `tensors` says")
        };
        let (form, most) = (self.options.r#as, self.options.most);
        values.fill(0.0);
        if form == Form::Classed {
            values.iter_mut().skip(4).step_by(form.numbers()).for_each(|class| *class = -1.0);
        }
        let classes = match classes {
            [] => &mut [][..],
            [RowTensor { values: RowElements::I64(classes), .. }] => classes,
            _ => unreachable!("as `tensors` says"),
        };
        classes.fill(-1);
        let drawing = sample.image_drawing("boxes follow")?;
        let Some(boxes) =
            self.read(row.get(0), &drawing.source).map_err(|reason| Damage::value(&self.column[0], reason))?
        else {
            sample.without_target();
            return Ok(());
        };
        let (crowds, boxes): (Vec<_>, Vec<_>) = boxes.into_iter().partition(|bounds| bounds.label <= CROWD);
        let moved = |boxes: Vec<BoundingBox>, least_visible: f64| {
            let targets = Targets { boxes, ..Targets::default() };
            let rules = MoveRules { least_visible, ..MoveRules::default() };
            let moved = targets.moved_with_image(drawing, &rules);
            moved.map(|moved| moved.boxes).map_err(|error| Damage::value(&self.column[0], error.to_string()))
        };
        let mut boxes = moved(boxes, self.options.least_visible)?;
        boxes.retain(|bounds| (bounds.right - bounds.left) * (bounds.bottom - bounds.top) >= self.options.least_area);
        let own = boxes.len();
        if form == Form::Classed {
            // of a crowd whatever is left of it may be found
            boxes.extend(moved(crowds, 0.0)?);
        }
        let (width, height) = self.options.unit.in_pixels(drawing.output_size(&drawing.source));
        for (bounds, out) in boxes.iter().zip(values.chunks_exact_mut(form.numbers())) {
            let BoundingBox { left, top, right, bottom, label } = *bounds;
            let numbers = self.options.layout.write([left / width, top / height, right / width, bottom / height]);
            // names are so few that each has a float of its own
            let numbers = numbers.into_iter().chain([label as f64]);
            out.iter_mut().zip(numbers).for_each(|(out, number)| *out = number as f32);
        }
        classes.iter_mut().zip(&boxes).for_each(|(out, bounds)| *out = bounds.label);
        match (boxes.len(), self.options.beyond) {
            _ if own == 0 && self.options.without_boxes == WithoutBoxes::NoWeight => sample.without_target(),
            (boxes, Beyond::Damaged) if boxes > most => {
                let has = format!("has {boxes} boxes in the picture, and a row has {most} at most; raise `most`");
                return Err(Damage::value(&self.column[0], format!("{has}, or set `beyond: cut`")).into());
            }
            (boxes, _) => sample.leave_out(boxes.saturating_sub(most)),
        }
        Ok(())
    }

    fn view(&self) -> View {
        View::Numbers
    }

    fn classes(&self) -> &[String] {
        self.names_of_scores().unwrap_or_default()
    }

    fn classes_are_presumed(&self) -> bool {
        self.options.classes.is_empty()
    }

    fn learned_of(&self, classes: &[String]) -> Option<Json> {
        let are_learned = self.options.classes.is_empty() && self.class_field.is_some();
        self.names_of_scores().filter(|_| are_learned).map(|_| json!({ "box_classes": classes }))
    }

    fn follows_input(&self) -> bool {
        true
    }

    fn followed_image(&self) -> Option<&str> {
        self.options.image.as_deref()
    }

    fn marks(&self, tensors: &[&Tensor], seen: Seen<'_>) -> Vec<Mark> {
        let Seen::Picture(picture) = seen else { return Vec::new() };
        let Some(values) = tensors.first().and_then(|boxes| boxes.as_f32()) else { return Vec::new() };
        let classes = tensors.get(1).and_then(|classes| classes.as_i64());
        let (width, height) = self.options.unit.in_pixels(picture);
        let (width, height) = (width as f32, height as f32);
        let of_boxes = values.chunks_exact(self.options.r#as.numbers()).enumerate();
        let boxes = of_boxes.filter_map(|(index, all)| {
            let (numbers, class) = all.split_first_chunk::<4>().filter(|(numbers, _)| **numbers != [0.0; 4])?;
            let class = class.first().map(|class| *class as i64);
            Some((*numbers, class.or_else(|| classes?.get(index).copied())))
        });
        let mark = |(numbers, class): ([f32; 4], Option<i64>)| {
            let [left, top, right, bottom] = self.options.layout.corners(numbers);
            let is_crowd = class.is_some_and(|class| class <= CROWD);
            let class = class.map(|class| if is_crowd { CROWD - class } else { class });
            let class = class.and_then(|class| usize::try_from(class).ok());
            let name = |class: usize| {
                let name = self.classes.as_ref()?.names().get(class)?;
                Some(if is_crowd { format!("{name} (crowd)") } else { name.clone() })
            };
            let class = class.and_then(|class| Some((class, name(class)?)));
            let (left, right) = (left * width, right * width);
            Mark::Box { left, top: top * height, right, bottom: bottom * height, class }
        };
        boxes.map(mark).collect()
    }
}

impl BoxEncoder {
    /// Names of the classes, where a model has scores of them.
    fn names_of_scores(&self) -> Option<&[String]> {
        self.classes.as_ref().filter(|_| self.options.r#as == Form::Classed).map(ClassNames::names)
    }

    /// The boxes of a row as stored; `None` where it has null.
    fn stored<'a>(&self, value: Value<'a>) -> Result<Option<Vec<StoredBox<'a>>>, String> {
        match value {
            Value::Null => Ok(None),
            Value::List(list) if list.iter().next().is_some_and(|first| first.number().is_some()) => {
                Ok(Some(vec![StoredBox::plain(value)]))
            }
            Value::List(list) => {
                let one = |value: Value<'a>| match value {
                    Value::Struct(fields) => {
                        let class = self.class_field.as_ref().map(|name| fields.get(name).unwrap_or(Value::Null));
                        let numbers = fields.get(&self.options.box_field).unwrap_or(Value::Null);
                        let is_crowd = says_crowd(self.options.crowds().and_then(|name| fields.get(name)));
                        StoredBox { numbers, class, is_crowd }
                    }
                    numbers => StoredBox::plain(numbers),
                };
                Ok(Some(list.iter().map(one).collect()))
            }
            Value::Struct(fields) => {
                let list = |name: &str| match fields.get(name) {
                    Some(Value::List(list)) => Some(list),
                    _ => None,
                };
                let Some(boxes) = list(&self.options.box_field) else {
                    let has_classes = self.class_field.as_ref().is_some_and(|name| list(name).is_some());
                    return if has_classes { Err("has classes, and null in place of boxes".into()) } else { Ok(None) };
                };
                let mut stored: Vec<StoredBox<'a>> = boxes.iter().map(StoredBox::plain).collect();
                if let Some(name) = &self.class_field {
                    let classes = list(name);
                    let number = classes.map_or(0, |classes| classes.len());
                    if number != boxes.len() {
                        return Err(format!("has {} and {}", count(boxes.len(), "box"), count(number, "class")));
                    }
                    let classes = classes.into_iter().flat_map(|classes| classes.iter());
                    stored.iter_mut().zip(classes).for_each(|(stored, class)| stored.class = Some(class));
                }
                if let Some((name, crowds)) = self.options.crowds().and_then(|name| Some((name, list(name)?))) {
                    if crowds.len() != boxes.len() {
                        let (boxes, entries) = (count(boxes.len(), "box"), count(crowds.len(), "entry"));
                        return Err(format!("has {boxes} and {entries} in `{}`", shown(name)));
                    }
                    let all = stored.iter_mut().zip(crowds.iter());
                    all.for_each(|(stored, value)| stored.is_crowd = says_crowd(Some(value)));
                }
                Ok(Some(stored))
            }
            _ => Err("holds no boxes".into()),
        }
    }

    /// The boxes of a row in an image of this size.
    fn read(&self, value: Value<'_>, image: &ImageFacts) -> Result<Option<Vec<BoundingBox>>, String> {
        let Some(stored) = self.stored(value)? else { return Ok(None) };
        let read = |(index, StoredBox { numbers, class, is_crowd }): (usize, StoredBox<'_>)| {
            let place = |reason: String| format!("has as box {}: {reason}", index + 1);
            let class = match (class, &self.classes) {
                (Some(class), Some(known)) => match known.class(class) {
                    Ok(-1) => return Err(place("the class −1, which is none".into())),
                    Ok(class) => class,
                    Err(damage) => return Err(place(damage.to_string())),
                },
                _ => 0,
            };
            let label = if is_crowd { CROWD - class } else { class };
            self.bounds(numbers, image, label).map_err(place)
        };
        stored.into_iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
    }

    fn bounds(&self, value: Value<'_>, image: &ImageFacts, class: i64) -> Result<BoundingBox, String> {
        let Value::List(list) = value else { return Err("null where four numbers are wanted".into()) };
        let numbers: Vec<Option<f64>> = list.iter().map(Value::number).collect();
        let numbers: [Option<f64>; 4] =
            numbers.try_into().map_err(|_| format!("{} where four are wanted", count(list.len(), "number")))?;
        // A number that is missing is none.
        let numbers = numbers.map(|number| number.unwrap_or(f64::NAN));
        let read = self.options.convention.read(numbers, image, class).map_err(|error| error.to_string())?;
        let (width, height) = (f64::from(image.width), f64::from(image.height));
        let inside = |from: f64, until: f64, length: f64| {
            from >= -ROUNDED && until <= length + ROUNDED && until > 0.0 && from < length
        };
        if !inside(read.left, read.right, width) || !inside(read.top, read.bottom, height) {
            let BoundingBox { left, top, right, bottom, .. } = read;
            let beyond = [-left, -top, right - width, bottom - height].into_iter().fold(0.0, f64::max);
            // numbers of another convention lie far off
            let advice = match beyond <= SMALL_SHARE * width.max(height) {
                true => format!("it reaches {beyond:.1} pixels out of it"),
                false => {
                    let convention = json!(self.options.convention);
                    format!("is it `convention: {}`?", convention.as_str().unwrap_or_default())
                }
            };
            return Err(format!(
                "the box from ({left}, {top}) to ({right}, {bottom}) is not in the image of {width}×{height} pixels; {advice}"
            ));
        }
        let cut = |place: f64, length: f64| place.clamp(0.0, length);
        Ok(BoundingBox {
            left: cut(read.left, width),
            top: cut(read.top, height),
            right: cut(read.right, width),
            bottom: cut(read.bottom, height),
            label: class,
        })
    }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::choice::Options;
    use serde_json::{Value, json};

    use super::Boxes;

    #[test]
    fn boxes_of_earlier_runs_are_not_others_because_they_can_be_flat_now() {
        let written = |options: Value| serde_json::to_value(serde_json::from_value::<Boxes>(options).unwrap()).unwrap();
        let before = json!({
            "convention": "coco", "most": 4, "beyond": "damaged", "box_field": "bbox", "class_field": null, "classes": [],
            "least_visible": 0.0, "least_area": 0.0, "layout": "corners", "unit": "shares", "without_boxes": "count",
        });
        assert_eq!(written(json!({"convention": "coco", "most": 4})), before);
        assert_eq!(written(json!({"convention": "coco", "most": 4, "as": "boxes"})), before);
        assert_eq!(written(json!({"convention": "coco", "most": 4, "as": "flat"}))["as"], "flat");
    }

    #[test]
    fn classed_boxes_are_corners_in_shares_of_the_picture() {
        for (options, is_right) in [
            (json!({"convention": "coco", "most": 4, "as": "classed"}), true),
            (json!({"convention": "coco", "most": 4, "as": "classed", "layout": "center_and_size"}), false),
            (json!({"convention": "coco", "most": 4, "as": "classed", "unit": "pixels"}), false),
            (json!({"convention": "coco", "most": 4, "unit": "pixels"}), true),
        ] {
            let read: Boxes = serde_json::from_value(options.clone()).unwrap();
            assert_eq!(read.validate().is_ok(), is_right, "{options}");
        }
    }
}
