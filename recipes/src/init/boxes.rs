//! What the boxes of a column are.

use std::collections::BTreeSet;

use millstream_pipeline::encodings::{
    self, BOX_CROWD_FIELD, BoxPlace, Encoders, WantedTensor, class_field_of_boxes, place_of_boxes,
};
use millstream_pipeline::{Dataset, List, Value};
use millstream_schemas::{Choice, Features, TARGETS, TensorRole, count, shown};
use serde_json::json;

use super::most_rows::MOST_ROWS;
use crate::RecipeError;
use crate::import::BOX_CONVENTIONS;
use crate::model_inputs::shown_shape;

/// What four numbers may be.
const CONVENTIONS: [&str; 4] = ["albumentations", "coco", "pascal_voc", "yolo"];
/// Boxes from where on it is no chance that all of them could be corners.
const ENOUGH: usize = 20;
/// Names of classes that are looked at, at most.
const MOST_NAMES: usize = 10_000;
/// Of the rows with boxes, those that may have several and still be taken for pictures of one thing.
const FEW: f64 = 0.1;

/// Boxes of rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Boxes {
    /// The field of structs, where it is not the usual one.
    pub(super) field: Option<String>,
    /// The field of structs with their classes, where there is one.
    pub(super) class_field: Option<String>,
    /// What these classes are called, where the data say so.
    pub(super) classes: Vec<String>,
    /// What their four numbers are.
    pub(super) convention: &'static str,
    /// Whether the data say so; else they only seem to be.
    pub(super) is_recorded: bool,
    /// As many of a row are told, those around a crowd among them: they take places too.
    pub(super) most: usize,
    /// As many without these.
    pub(super) most_things: usize,
    /// Whether there are any around a crowd.
    pub(super) has_crowds: bool,
    /// How they are told.
    pub(super) task: BoxTask,
}

/// How boxes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BoxTask {
    /// As many as the model gives, in their order, by four numbers each.
    InOrder,
    /// The first of each picture, by a row of four numbers: there is one of one class in each.
    First,
    /// At the places of a map, with their classes; or the first, where the model has no such map: there is one in each picture.
    PlacesOrFirst,
    /// At the places of a map, with their classes: there is no other way.
    Places,
}

/// The first column of a dataset that holds boxes.
pub(super) fn column_of_boxes(dataset: &Dataset) -> Option<&str> {
    let mut columns = dataset.features().columns.iter().map(|(name, _)| name.as_str());
    columns.find(|name| has_boxes(dataset, name))
}

/// Whether a column holds boxes.
pub(super) fn has_boxes(dataset: &Dataset, column: &str) -> bool {
    let field = dataset.arrow_schema().field_with_name(column);
    field.is_ok_and(|field| place_of_boxes(column, field.data_type()).is_some())
}

impl Boxes {
    /// Looks at the boxes of a column that has some; `scores` is the shape of what the model gives, none where no model is known yet.
    ///
    /// # Errors
    /// They cannot be read, or cannot be learned by a model that gives this.
    pub(super) fn of(dataset: &Dataset, column: &str, scores: Option<&[Option<usize>]>) -> Result<Self, RecipeError> {
        let schema = dataset.arrow_schema();
        let kind = schema.field_with_name(column).map(|field| field.data_type().clone()).ok();
        let field = match kind.as_ref().and_then(|kind| place_of_boxes(column, kind)) {
            Some(BoxPlace::Field(field)) => Some(field.to_owned()),
            _ => None,
        };
        let (mut rows, mut with_one, mut with_several, mut seen) = (0, 0_u64, 0_u64, Vec::new());
        let (mut largest, mut most_things, mut has_crowds) = (1, 1, false);
        let class_field = kind.as_ref().and_then(class_field_of_boxes).map(str::to_owned);
        let mut classes = SeenClasses::default();
        dataset.each_row(&[column.to_owned()], |row| {
            rows += 1;
            let (boxes, crowds) = boxes_in(row.get(0), field.as_deref());
            let things = boxes.saturating_sub(crowds);
            // what does not fit in is not learned, nor is a crowd that does not fit in passed over
            (largest, most_things) = (largest.max(boxes), most_things.max(things));
            has_crowds |= crowds > 0;
            match things {
                0 => {}
                1 => with_one += 1,
                _ => with_several += 1,
            }
            // rows are often in the order of their classes
            each_class(row.get(0), class_field.as_deref(), &mut classes);
            if rows <= MOST_ROWS {
                each_box(row.get(0), field.as_deref(), &mut seen);
            }
        })?;
        let declared = match &class_field {
            Some(field) => Features::classes_in_lists(schema, "DATA", column, Some(field))?,
            None => None,
        };
        let refused = |why: String| {
            let message = format!(
                "`{}` holds boxes, and {why}; there is no loss that assigns boxes to a detector's anchors or queries. What can be trained: a \
                 model of classes or features of convolutions, whose last map gets a new last layer (`head: boxes`, `loss: fcos`); a model \
                 whose first output is [batch, boxes, 4], on boxes in their order; a loss of your own (`loss: {{onnx: {{file: …}}}}`) from such \
                 an output and the boxes; a loop of your own, to which the batches give the boxes and their classes",
                shown(column)
            );
            Err(RecipeError::mismatch("MODEL", message))
        };
        let recorded = recorded(dataset, column);
        let (convention, is_recorded) = (recorded.unwrap_or_else(|| convention(&seen)), recorded.is_some());
        let field = field.filter(|field| field != "bbox");
        let are_several = with_several as f64 > FEW * (with_one + with_several) as f64;
        let (most, task) = match scores {
            Some([_, Some(most), Some(4)]) if *most > 0 => (*most, BoxTask::InOrder),
            Some([_, _, _, _]) => (largest, BoxTask::Places),
            None | Some([_, _]) if are_several => (largest, BoxTask::Places),
            // at places a crowd is passed over, where there is one box alone it is left out
            None | Some([_, _]) if classes.are_several() || has_crowds => (largest, BoxTask::PlacesOrFirst),
            None | Some([_, _]) => (1, BoxTask::First),
            Some(other) => return refused(format!("the model's first output is {}", shown_shape(other))),
        };
        let classes = declared.unwrap_or_else(|| classes.names.into_iter().collect());
        let most_things = if task == BoxTask::InOrder { most } else { most_things };
        Ok(Self { field, class_field, classes, convention, is_recorded, most, most_things, has_crowds, task })
    }

    /// Whether these are the classes of all boxes of the column, in any order.
    ///
    /// # Errors
    /// The rows cannot be read.
    pub(super) fn are_of(&self, dataset: &Dataset, column: &str, classes: &[String]) -> Result<bool, RecipeError> {
        let mut options =
            json!({ "column": column, "convention": self.convention, "most": self.most, "as": "classed" });
        let fields = [("box_field", &self.field), ("class_field", &self.class_field)];
        for (option, field) in fields.into_iter().filter_map(|(option, field)| Some((option, field.as_ref()?))) {
            options[option] = field.as_str().into();
        }
        let wanted = WantedTensor {
            name: TARGETS.into(),
            role: TensorRole::Target,
            encoding: Choice::new("boxes", options),
            place: "DATA".into(),
        };
        let own = Encoders::open(dataset, encodings::standard(), &[wanted], &[])?;
        let sorted = |names: &[String]| names.iter().cloned().collect::<BTreeSet<String>>();
        Ok(sorted(own.classes()) == sorted(classes))
    }

    /// How many of a row there are at most, without those around a crowd, in words.
    pub(super) fn most_in_words(&self) -> String {
        count(self.most_things as u64, "box")
    }
}

/// How many boxes a row has, and how many of these are around a crowd.
fn boxes_in(value: Value<'_>, field: Option<&str>) -> (usize, usize) {
    let is_crowd = |value: Option<Value<'_>>| value.and_then(Value::number).is_some_and(|number| number != 0.0);
    match (value, field) {
        (Value::Struct(fields), Some(field)) => {
            let Some(Value::List(boxes)) = fields.get(field) else { return (0, 0) };
            let crowds = match fields.get(BOX_CROWD_FIELD) {
                Some(Value::List(crowds)) => crowds.iter().filter(|value| is_crowd(Some(*value))).count(),
                _ => 0,
            };
            (boxes.len(), crowds)
        }
        (Value::List(objects), Some(_)) => {
            let of_crowd = |object: &Value<'_>| match object {
                Value::Struct(fields) => is_crowd(fields.get(BOX_CROWD_FIELD)),
                _ => false,
            };
            (objects.len(), objects.iter().filter(of_crowd).count())
        }
        (Value::List(boxes), None) => (boxes.len(), 0),
        _ => (0, 0),
    }
}

/// Adds the numbers of each box of a row.
fn each_box(value: Value<'_>, field: Option<&str>, seen: &mut Vec<[f64; 4]>) {
    let mut add = |numbers: List<'_>| {
        let numbers: Vec<f64> = numbers.iter().filter_map(Value::number).collect();
        seen.extend(<[f64; 4]>::try_from(numbers));
    };
    match (value, field) {
        (Value::Struct(fields), Some(field)) => {
            if let Some(Value::List(boxes)) = fields.get(field) {
                boxes.iter().for_each(|one| {
                    if let Value::List(numbers) = one {
                        add(numbers)
                    }
                });
            }
        }
        (Value::List(objects), Some(field)) => objects.iter().for_each(|object| {
            if let Value::Struct(fields) = object
                && let Some(Value::List(numbers)) = fields.get(field)
            {
                add(numbers);
            }
        }),
        (Value::List(boxes), None) => {
            boxes.iter().for_each(|one| {
                if let Value::List(numbers) = one {
                    add(numbers)
                }
            });
        }
        _ => {}
    }
}

/// Classes of boxes.
#[derive(Debug, Default)]
struct SeenClasses {
    /// Those that are texts.
    names: BTreeSet<String>,
    /// Those that are numbers, by their bits, until there are two.
    numbers: BTreeSet<u64>,
}

impl SeenClasses {
    fn add(&mut self, class: Value<'_>) {
        match (class, class.number()) {
            (Value::Text(name), _) if self.names.len() < MOST_NAMES && !self.names.contains(name) => {
                self.names.insert(name.to_owned());
            }
            (_, Some(number)) if self.numbers.len() < 2 => {
                self.numbers.insert(number.to_bits());
            }
            _ => {}
        }
    }

    fn are_several(&self) -> bool {
        self.names.len() + self.numbers.len() > 1
    }
}

/// Adds the classes of the boxes of a row.
fn each_class(value: Value<'_>, field: Option<&str>, classes: &mut SeenClasses) {
    let Some(field) = field else { return };
    match value {
        Value::Struct(fields) => {
            if let Some(Value::List(of_boxes)) = fields.get(field) {
                of_boxes.iter().for_each(|class| classes.add(class));
            }
        }
        Value::List(objects) => objects.iter().for_each(|object| {
            if let Value::Struct(fields) = object
                && let Some(class) = fields.get(field)
            {
                classes.add(class);
            }
        }),
        _ => {}
    }
}

/// What the four numbers of a column's boxes are, where its files say so, as those of imports do.
fn recorded(dataset: &Dataset, column: &str) -> Option<&'static str> {
    let text = dataset.arrow_schema().metadata().get(BOX_CONVENTIONS)?;
    let all: serde_json::Value = serde_json::from_str(text).ok()?;
    let own = all.get(column)?.as_str()?;
    CONVENTIONS.into_iter().find(|convention| *convention == own)
}

/// What the four numbers of boxes seem to be.
fn convention(boxes: &[[f64; 4]]) -> &'static str {
    let are_shares = !boxes.is_empty() && boxes.iter().flatten().all(|number| (-0.01..=1.01).contains(number));
    let are_corners = boxes.iter().all(|[left, top, right, bottom]| right > left && bottom > top);
    match (are_shares, are_corners && boxes.len() >= ENOUGH) {
        (true, true) => "albumentations",
        (true, false) => "yolo",
        (false, true) => "pascal_voc",
        (false, false) => "coco",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use millstream_pipeline::arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, ListBuilder};
    use millstream_pipeline::arrow_array::{Array, ArrayRef, RecordBatch, StructArray};
    use millstream_pipeline::arrow_schema::{DataType, Field};

    use super::*;

    #[test]
    fn what_the_numbers_of_boxes_are_follows_from_them() {
        let many = |one: [f64; 4]| vec![one; ENOUGH];
        for (boxes, wanted) in [
            (many([10.0, 20.0, 5.0, 60.0]), "coco"),
            (many([10.0, 20.0, 50.0, 60.0]), "pascal_voc"),
            (vec![[10.0, 20.0, 50.0, 60.0]], "coco"),
            (many([0.1, 0.2, 0.5, 0.6]), "albumentations"),
            (many([0.5, 0.5, 0.2, 0.2]), "yolo"),
            (vec![], "coco"),
        ] {
            assert_eq!(convention(&boxes), wanted, "{boxes:?}");
        }
    }

    /// Rows whose objects are things or crowds, `true` for a crowd, of one class.
    fn with_crowds(rows: &[&[bool]]) -> Dataset {
        let mut sides = ListBuilder::new(ListBuilder::new(Float64Builder::new()));
        let (mut names, mut crowds) = (ListBuilder::new(Int64Builder::new()), ListBuilder::new(BooleanBuilder::new()));
        for row in rows {
            for is_crowd in *row {
                sides.values().values().append_slice(&[1.0, 2.0, 3.0, 4.0]);
                sides.values().append(true);
                names.values().append_value(0);
                crowds.values().append_value(*is_crowd);
            }
            sides.append(true);
            names.append(true);
            crowds.append(true);
        }
        let (sides, names, crowds) = (sides.finish(), names.finish(), crowds.finish());
        let field = |name: &str, kind: &DataType| Arc::new(Field::new(name, kind.clone(), true));
        let of = vec![
            (field("bbox", sides.data_type()), Arc::new(sides) as ArrayRef),
            (field("category", names.data_type()), Arc::new(names) as ArrayRef),
            (field("iscrowd", crowds.data_type()), Arc::new(crowds) as ArrayRef),
        ];
        let objects: ArrayRef = Arc::new(StructArray::from(of));
        let rows = RecordBatch::try_from_iter_with_nullable([("objects", objects, true)]).unwrap();
        Dataset::from_batches("rows", &[rows], 10).unwrap()
    }

    #[test]
    fn a_crowd_beside_a_thing_is_no_second_thing_and_has_a_place_all_the_same() {
        let scores: &[Option<usize>] = &[None, Some(10)];
        let (thing, crowd) = (false, true);
        for (rows, wanted) in [
            // a crowd in each picture, and never more than one thing: pictures of one thing, where its box can be told from the crowd's
            (&[&[thing, crowd][..], &[crowd, thing], &[crowd]][..], (2, 1, BoxTask::PlacesOrFirst)),
            (&[&[thing, thing, crowd][..], &[thing]][..], (3, 2, BoxTask::Places)),
            (&[&[thing][..], &[thing]][..], (1, 1, BoxTask::First)),
        ] {
            let found = Boxes::of(&with_crowds(rows), "objects", Some(scores)).unwrap();
            assert_eq!((found.most, found.most_things, found.task), wanted, "{rows:?}");
            assert_eq!(found.has_crowds, rows.concat().contains(&crowd), "{rows:?}");
        }
    }

    #[test]
    fn several_boxes_or_classes_are_told_at_the_places_of_a_map() {
        let rows = |boxes: &[usize], classes: &[i64]| {
            let mut sides = ListBuilder::new(ListBuilder::new(Float64Builder::new()));
            let mut names = ListBuilder::new(Int64Builder::new());
            for (count, class) in boxes.iter().zip(classes) {
                for _ in 0..*count {
                    sides.values().values().append_slice(&[1.0, 2.0, 3.0, 4.0]);
                    sides.values().append(true);
                    names.values().append_value(*class);
                }
                sides.append(true);
                names.append(true);
            }
            let (sides, names) = (sides.finish(), names.finish());
            let field = |name: &str, kind: &DataType| Arc::new(Field::new(name, kind.clone(), true));
            let of = vec![
                (field("bbox", sides.data_type()), Arc::new(sides) as ArrayRef),
                (field("category", names.data_type()), Arc::new(names) as ArrayRef),
            ];
            let objects: ArrayRef = Arc::new(StructArray::from(of));
            let rows = RecordBatch::try_from_iter_with_nullable([("objects", objects, true)]).unwrap();
            Dataset::from_batches("rows", &[rows], 10).unwrap()
        };
        let (one, several) = (rows(&[1, 1, 0], &[0, 0, 0]), rows(&[1, 3, 0], &[0, 0, 0]));
        let of_classes = rows(&[1, 1, 0], &[0, 1, 0]);
        let scores: &[Option<usize>] = &[None, Some(10)];
        let map: &[Option<usize>] = &[None, Some(10), Some(7), Some(7)];
        let in_order: &[Option<usize>] = &[None, Some(5), Some(4)];
        for (dataset, scores, wanted) in [
            (&one, Some(scores), (1, BoxTask::First)),
            (&several, Some(scores), (3, BoxTask::Places)),
            (&of_classes, Some(scores), (1, BoxTask::PlacesOrFirst)),
            (&one, Some(map), (1, BoxTask::Places)),
            (&several, Some(in_order), (5, BoxTask::InOrder)),
            (&several, None, (3, BoxTask::Places)),
            (&one, None, (1, BoxTask::First)),
        ] {
            let found = Boxes::of(dataset, "objects", scores).unwrap();
            assert_eq!((found.most, found.task), wanted, "{scores:?}");
        }
        // the fullest picture may stand behind all that are looked at
        let counts: Vec<usize> = [vec![2; MOST_ROWS + 5], vec![9, 2]].concat();
        let late = rows(&counts, &vec![0; counts.len()]);
        assert_eq!(Boxes::of(&late, "objects", Some(scores)).unwrap().most, 9);
        // and so may another class, or all pictures of several things
        let mut of_two = vec![0; MOST_ROWS + 5];
        of_two[MOST_ROWS + 2] = 1;
        let late = rows(&vec![1; of_two.len()], &of_two);
        assert_eq!(Boxes::of(&late, "objects", Some(scores)).unwrap().task, BoxTask::PlacesOrFirst);
        let counts: Vec<usize> = [vec![1; MOST_ROWS], vec![2; MOST_ROWS]].concat();
        let late = rows(&counts, &vec![0; counts.len()]);
        assert_eq!(Boxes::of(&late, "objects", Some(scores)).unwrap().task, BoxTask::Places);
        let refused = Boxes::of(&several, "objects", Some(&[None, Some(5), Some(6)])).unwrap_err().to_string();
        assert!(refused.contains("first output is [?, 5, 6]") && refused.contains("`head: boxes`"), "{refused}");
    }
}
