use std::collections::BTreeSet;

use millstream_pipeline::arrow_schema::DataType;
use millstream_pipeline::encodings::BOX_CLASS_FIELDS;
use millstream_pipeline::{Dataset, Value};
use millstream_schemas::{Feature, count, shown};

use super::boxes::{BoxTask, Boxes, column_of_boxes, has_boxes};
use super::masks::Masks;
use super::most_rows::MOST_ROWS;
use super::points::{Points, may_be_points, no_labels};
use crate::RecipeError;
use crate::import::{are_classes, likeliest_label};
use crate::model_inputs::shown_shape;

/// Names of columns with masks.
const MASKS: [&str; 11] = [
    "mask",
    "masks",
    "annotation",
    "annotations",
    "gt",
    "label",
    "labels",
    "seg",
    "segmentation",
    "segmentation_mask",
    "semantic",
];

/// Rows and classes that are counted, at most.
const MOST_COUNTED_ROWS: u64 = 1_000_000;
const MOST_COUNTED_CLASSES: usize = 10_000;

/// What is to be told of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    /// One of several classes.
    Class { column: String },
    /// Labels that may hold together.
    Labels { column: String },
    /// A number.
    Number { column: String },
    /// The class of each pixel.
    Mask { column: String, masks: Masks },
    /// Where things are.
    Boxes { column: String, boxes: Boxes },
    /// Where points are, as many in each row.
    Points { column: String, points: Points },
}

/// What a column is looked for.
pub(super) struct Asked<'a> {
    /// The column, where it was named.
    pub(super) label: Option<&'a str>,
    /// The shape of what the model gives; none where no model is known yet.
    pub(super) scores: Option<&'a [Option<usize>]>,
    /// What the model's classes are called, where it says so.
    pub(super) names: &'a [String],
    /// Whether the model takes images and nothing else.
    pub(super) takes_images: bool,
    /// The columns that hold images.
    pub(super) images: &'a [String],
}

impl Asked<'_> {
    /// How many points of a picture the model tells, `[batch, points, 2]`; none where it tells something else.
    fn points(&self) -> Option<usize> {
        match self.scores {
            Some(&[_, Some(points), Some(2)]) if self.takes_images && points > 0 => Some(points),
            _ => None,
        }
    }
}

impl Told {
    /// # Errors
    /// It is not clear which column is to be told, or the model cannot tell it.
    pub(super) fn of(dataset: &Dataset, asked: &Asked<'_>) -> Result<Self, RecipeError> {
        let (name, feature) = column(dataset, asked)?;
        let kind = dataset.arrow_schema().field_with_name(name).map(|field| field.data_type().clone());
        let name = name.clone();
        if has_boxes(dataset, &name) {
            let boxes = Boxes::of(dataset, &name, asked.scores)?;
            return Ok(Self::Boxes { column: name, boxes });
        }
        if kind.as_ref().is_ok_and(may_be_points) && !asked.images.contains(&name) {
            if let Some(told) = asked.points() {
                let points = Points::of(dataset, &name, told)?;
                return Ok(Self::Points { column: name, points });
            }
            if let Some(scores) = asked.scores
                && let Some(holds) = no_labels(dataset, &name)?
            {
                let message = format!(
                    "`{}` holds {holds}, which are no labels, and the model gives {}; points of a picture are told by \
                     one that gives [batch, points, 2], see docs/tasks/key-points.md; another column is named by `--label`",
                    shown(&name),
                    shown_shape(scores)
                );
                return Err(RecipeError::mismatch("MODEL", message));
            }
        }
        Ok(match (feature, kind) {
            _ if asked.images.contains(&name) => {
                let classes = match asked.scores {
                    None => None,
                    Some(&[_, classes, _, _]) => classes,
                    Some(scores) => {
                        let message = format!(
                            "`{}` holds masks, and the model gives {}, not scores for each pixel, [batch, classes, height, width]; \
                             another column is named by `--label`",
                            shown(&name),
                            shown_shape(scores)
                        );
                        return Err(RecipeError::mismatch("MODEL", message));
                    }
                };
                let masks = Masks::of(dataset, &name, classes, asked.names)?;
                Self::Mask { column: name, masks }
            }
            (Feature::ClassLabel { names }, _) if names.len() == 1 => {
                let message = format!(
                    "all rows are of one class, `{}`, and two are needed; of images, the folder above them is the class",
                    shown(&names[0])
                );
                return Err(RecipeError::mismatch("DATA", message));
            }
            (Feature::ClassLabel { .. } | Feature::Text, _) => Self::Class { column: name },
            (_, Ok(DataType::List(_) | DataType::LargeList(_))) => Self::Labels { column: name },
            (_, Ok(kind)) if kind.is_floating() => Self::Number { column: name },
            (_, Ok(kind)) if kind.is_integer() || kind == DataType::Boolean => Self::Class { column: name },
            _ => {
                let message = format!(
                    "the column `{}` is neither a class, a list of labels, a number, a mask nor boxes; say by `--label` what is to be told",
                    shown(&name)
                );
                return Err(RecipeError::mismatch("DATA", message));
            }
        })
    }

    pub(super) fn column(&self) -> &str {
        match self {
            Self::Class { column }
            | Self::Labels { column }
            | Self::Number { column }
            | Self::Mask { column, .. }
            | Self::Boxes { column, .. }
            | Self::Points { column, .. } => column,
        }
    }

    /// Names of the classes, where the data have them; of all but boxes in the order of the scores.
    pub(super) fn classes(&self, dataset: &Dataset) -> Vec<String> {
        match (self, dataset.features().get(self.column())) {
            (Self::Mask { masks, .. }, _) => masks.classes.clone(),
            (Self::Boxes { boxes, .. }, _) => boxes.classes.clone(),
            (_, Some(Feature::ClassLabel { names })) => names.clone(),
            _ => Vec::new(),
        }
    }

    /// What the classes are called, those with names or the different texts of all rows, and how many there are, of numbers too; none and
    /// 0 where that is not known, as of numbers with gaps between them or of too many rows to be looked at.
    ///
    /// # Errors
    /// The rows cannot be read.
    pub(super) fn counted_classes(&self, dataset: &Dataset) -> Result<(Vec<String>, usize), RecipeError> {
        let names = self.classes(dataset);
        let count = names.len();
        let Self::Class { column } = self else { return Ok((names, count)) };
        if !names.is_empty() || dataset.rows() > MOST_COUNTED_ROWS {
            return Ok((names, count));
        }
        let (mut texts, mut numbers) = (BTreeSet::<String>::new(), BTreeSet::<u64>::new());
        let are_too_many = dataset.find_row(std::slice::from_ref(column), |row| {
            match row.get(0) {
                Value::Text(text) if !text.trim().is_empty() => {
                    texts.insert(text.to_owned());
                }
                // a negative one is a row without a class
                Value::Signed(number) => numbers.extend(u64::try_from(number).ok()),
                Value::Unsigned(number) => {
                    numbers.insert(number);
                }
                _ => {}
            }
            (texts.len() + numbers.len() > MOST_COUNTED_CLASSES).then_some(())
        })?;
        let have_no_gaps = numbers.last().is_none_or(|last| *last == numbers.len() as u64 - 1);
        let count = if are_too_many.is_none() && have_no_gaps { texts.len() + numbers.len() } else { 0 };
        // numbers have no names
        Ok((if count == texts.len() { texts.into_iter().collect() } else { Vec::new() }, count))
    }

    /// Whether boxes are told at the places of a map, where that is known by the last layer: whether it is a new one of that kind. Where
    /// none is known yet, whether they would be.
    pub(super) fn is_at_places(&self, is_of_places: Option<bool>) -> bool {
        let Self::Boxes { boxes, .. } = self else { return false };
        match boxes.task {
            BoxTask::InOrder | BoxTask::First => false,
            BoxTask::PlacesOrFirst => is_of_places.unwrap_or(true),
            BoxTask::Places => true,
        }
    }

    pub(super) fn in_words(&self, classes: usize, is_at_places: bool) -> String {
        let column = shown(self.column());
        match self {
            Self::Class { .. } if classes == 0 => format!("it tells the class in `{column}`"),
            Self::Class { .. } => format!("it tells the class in `{column}`, one of {classes}"),
            Self::Labels { .. } => format!("it tells the labels in `{column}`, which may hold together"),
            Self::Number { .. } => format!("it tells the number in `{column}`"),
            Self::Points { points, .. } => {
                format!("it tells {} in a picture, by those in `{column}`", count(points.count, "point"))
            }
            Self::Mask { masks, .. } => {
                let values = match masks.values.as_slice() {
                    [] => String::new(),
                    values => format!(" (pixels of {values:?})"),
                };
                let seen = count(masks.looked_at, "mask");
                format!("it tells the class of each pixel in `{column}`, one of {classes}{values}, by {seen}")
            }
            Self::Boxes { boxes, .. } if is_at_places => {
                let by = match &boxes.class_field {
                    Some(field) if field == BOX_CLASS_FIELDS[0] => format!("the boxes and classes in `{column}`"),
                    Some(field) => format!("the boxes in `{column}` and their classes in `{}`", shown(field)),
                    None => format!("the boxes in `{column}`, all of one class, `object`"),
                };
                let most = boxes.most_in_words();
                format!("it tells what is in a picture and where, by {by}; up to {most} in a picture were seen")
            }
            Self::Boxes { boxes, .. } => {
                let crowds = if boxes.has_crowds { " (those around a crowd are left out)" } else { "" };
                match boxes.task {
                    BoxTask::InOrder => format!(
                        "it tells up to {} in `{column}`{crowds}, in their order; nothing assigns them to what the model gives",
                        boxes.most_in_words()
                    ),
                    _ => format!(
                        "it tells where the thing in a picture is, four numbers, by the first box in `{column}`{crowds}"
                    ),
                }
            }
        }
    }

    /// What is to be looked at in the recipe.
    pub(super) fn to_look_at(&self) -> Option<String> {
        match self {
            Self::Mask { masks, .. } if !masks.is_named => {
                Some("nothing says what the classes of the masks are called: name them in the recipe".into())
            }
            Self::Boxes { boxes: Boxes { convention, is_recorded: true, .. }, .. } => Some(format!(
                "the numbers of the boxes are those of `{convention}`, as the data say; `millstream preview` shows them on the pictures"
            )),
            Self::Points { points, .. } => {
                let are = if points.are_shares { "shares of the picture" } else { "pixels" };
                Some(format!(
                    "the numbers of the points look like {are}: see them on the pictures by `millstream preview`"
                ))
            }
            Self::Boxes { boxes, .. } => Some(format!(
                "the numbers of the boxes look like those of `{}`: see them on the pictures by `millstream preview`",
                boxes.convention
            )),
            _ => None,
        }
    }
}

/// The column that is to be told.
fn column<'a>(dataset: &'a Dataset, asked: &Asked<'_>) -> Result<&'a (String, Feature), RecipeError> {
    let features = &dataset.features().columns;
    let names = || {
        let names: Vec<String> = features.iter().take(20).map(|(name, _)| format!("`{}`", shown(name))).collect();
        names.join(", ")
    };
    let find = |wanted: &str| features.iter().find(|(name, _)| name == wanted);
    if let Some(named) = asked.label {
        return find(named).ok_or_else(|| {
            RecipeError::mismatch("--label", format!("there is no column `{}`, there are {}", shown(named), names()))
        });
    }
    let mask = || if asked.takes_images { column_of_masks(features, asked.images) } else { None };
    let of_pixels = if asked.scores.is_some_and(|scores| scores.len() == 4) { mask() } else { None };
    let by_name = || likeliest_label(features.iter(), |(name, _)| name.as_str());
    let named_classes = || by_name().filter(|(name, feature)| may_be_classes(dataset, name, feature));
    let mut of_classes = features.iter().filter(|(_, feature)| matches!(feature, Feature::ClassLabel { .. }));
    let only = of_classes.next().filter(|_| of_classes.next().is_none());
    let boxes = || column_of_boxes(dataset).filter(|_| asked.takes_images).and_then(find);
    let kind = |name: &str| dataset.arrow_schema().field_with_name(name).map(|field| field.data_type().clone());
    let mut lists = features.iter().filter(|(name, _)| kind(name).is_ok_and(|kind| may_be_points(&kind)));
    let points = asked.points().and_then(|_| lists.next()).filter(|_| lists.next().is_none());
    // a column that is only declared may be something to tell by
    let by_type = of_pixels.or_else(named_classes).or(only);
    if let Some(found) = by_type.or_else(by_name).or_else(mask).or_else(boxes).or(points) {
        return Ok(found);
    }
    let like_classes = like_classes(dataset)?;
    if let [only] = like_classes.as_slice() {
        return Ok(only);
    }
    // what is one of images alone has nothing to be told
    let is_image = |name: &String| asked.images.contains(name);
    let others = features.iter().filter(|(name, _)| !is_image(name));
    let message = match (others.count(), like_classes.len()) {
        (0, _) => format!(
            "it has images ({}) and nothing that is to be told of them: put them into a folder for each class, or a table with a column \
             of their paths and one of their classes beside them",
            names()
        ),
        (_, 0) => {
            // a second one may be the masks
            let are_several = asked.images.len() > 1;
            let others = features.iter().filter(|(name, _)| are_several || !is_image(name));
            let others: Vec<&str> = others.take(20).map(|(name, _)| name.as_str()).collect();
            match others.as_slice() {
                [only] => only_column(dataset, only),
                others => {
                    let others: Vec<String> = others.iter().map(|name| format!("`{}`", shown(name))).collect();
                    format!(
                        "which column is to be told is not clear; name it by `--label`, one of {}",
                        others.join(", ")
                    )
                }
            }
        }
        (..) => {
            let several: Vec<String> = like_classes.iter().map(|(name, _)| format!("`{}`", shown(name))).collect();
            format!("which column is to be told is not clear: {} may be; name one by `--label`", several.join(", "))
        }
    };
    Err(RecipeError::mismatch("DATA", message))
}

/// That the only column that may be told is to be named, since it does not look like classes, and what it would be.
fn only_column(dataset: &Dataset, name: &str) -> String {
    let kind = dataset.arrow_schema().field_with_name(name).map(|field| field.data_type().clone());
    let what = match kind {
        Ok(kind) if kind.is_floating() => {
            "it holds fractions and no classes: the model would tell a number (regression)"
        }
        Ok(DataType::List(_) | DataType::LargeList(_)) => {
            "it holds lists: the model would tell labels, boxes or points"
        }
        _ => "its values hardly come again, as those of classes do",
    };
    let name = shown(name);
    format!(
        "whether `{name}` is to be told is not clear, the only column that may be; {what}. Go on by `--label {name}`"
    )
}

/// Whether a column is of a type that classes have.
fn may_be_classes(dataset: &Dataset, name: &str, feature: &Feature) -> bool {
    let is_whole = |kind: &DataType| kind.is_integer() || *kind == DataType::Boolean;
    let kind = dataset.arrow_schema().field_with_name(name).map(|field| field.data_type().clone());
    matches!(feature, Feature::ClassLabel { .. } | Feature::Text) || kind.is_ok_and(|kind| is_whole(&kind))
}

/// Columns of a few texts that come again and again; without any, those of whole numbers.
fn like_classes(dataset: &Dataset) -> Result<Vec<&(String, Feature)>, RecipeError> {
    let schema = dataset.arrow_schema();
    let features = dataset.features().columns.iter();
    let kind =
        |name: &str| schema.field_with_name(name).map(|field| field.data_type().clone()).unwrap_or(DataType::Null);
    let is_whole = |name: &str| kind(name).is_integer() || kind(name) == DataType::Boolean;
    let columns: Vec<&(String, Feature)> =
        features.filter(|(name, feature)| *feature == Feature::Text || is_whole(name)).collect();
    let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut seen: Vec<(u64, BTreeSet<String>)> = vec![(0, BTreeSet::new()); names.len()];
    let mut rows = 0;
    dataset.find_row(&names, |row| {
        rows += 1;
        for (at, (values, different)) in seen.iter_mut().enumerate() {
            let value = match row.get(at) {
                Value::Text(text) if !text.trim().is_empty() => text.to_owned(),
                Value::Signed(number) => number.to_string(),
                Value::Unsigned(number) => number.to_string(),
                _ => continue,
            };
            *values += 1;
            different.insert(value);
        }
        (rows >= MOST_ROWS).then_some(())
    })?;
    let are_classes = seen.iter().map(|(values, different)| are_classes(*values, different.len()));
    let found: Vec<&(String, Feature)> =
        columns.into_iter().zip(are_classes).filter(|(_, are)| *are).map(|(column, _)| column).collect();
    let of_texts: Vec<&(String, Feature)> =
        found.iter().copied().filter(|(_, feature)| *feature == Feature::Text).collect();
    Ok(if of_texts.is_empty() { found } else { of_texts })
}

/// The column of images that holds masks of another: by its name, or the second of two.
fn column_of_masks<'a>(features: &'a [(String, Feature)], images: &[String]) -> Option<&'a (String, Feature)> {
    let images: Vec<&(String, Feature)> = features.iter().filter(|(name, _)| images.contains(name)).collect();
    let mut named = images.iter().filter(|(name, _)| MASKS.iter().any(|mask| name.eq_ignore_ascii_case(mask)));
    match images.as_slice() {
        [] | [_] => None,
        [_, second] => named.next().or(Some(second)).copied(),
        _ => named.next().copied(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use millstream_pipeline::arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
    use millstream_pipeline::arrow_schema::{Field, Schema};

    use super::*;

    #[test]
    fn the_number_of_classes_is_told_of_texts_and_numbers_too() {
        let of_texts: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), Some("y"), None, Some("z"), Some("y")]));
        let of_numbers = |numbers: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(numbers)) };
        for (values, wanted) in [
            (of_texts, "it tells the class in `kind`, one of 3"),
            (of_numbers(vec![0, 1, 1, -1]), "it tells the class in `kind`, one of 2"),
            (of_numbers(vec![3, 7, 7, 3]), "it tells the class in `kind`"),
        ] {
            let rows = RecordBatch::try_from_iter_with_nullable([("kind", values, true)]).unwrap();
            let dataset = Dataset::from_batches("rows", &[rows], 10).unwrap();
            let told = Told::Class { column: "kind".into() };
            let (names, count) = told.counted_classes(&dataset).unwrap();
            assert_eq!(told.in_words(count, false), wanted);
            assert!(names.is_empty() || names == ["x", "y", "z"], "{names:?}");
        }
    }

    #[test]
    fn the_only_column_that_may_be_told_is_not_asked_for_as_one_of_several() {
        let fractions: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 1.5, 2.5]));
        let texts = |texts: [&str; 3]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
        for (column, wanted) in [
            (fractions, "it holds fractions and no classes: the model would tell a number (regression)"),
            (texts(["x", "y", "z"]), "its values hardly come again"),
        ] {
            let paths = texts(["0.png", "1.png", "2.png"]);
            let rows = RecordBatch::try_from_iter_with_nullable([("path", paths, true), ("brightness", column, true)]);
            let dataset = Dataset::from_batches("rows", &[rows.unwrap()], 10).unwrap();
            let images = ["path".to_owned()];
            let asked = Asked { label: None, scores: None, names: &[], takes_images: true, images: &images };
            let refused = Told::of(&dataset, &asked).unwrap_err().to_string();
            assert!(refused.contains(wanted) && refused.contains("by `--label brightness`"), "{refused}");
        }
    }

    #[test]
    fn a_column_that_is_declared_as_classes_is_not_told_where_another_is_called_like_a_label() {
        let declared = r#"{"info": {"features": {"kind": {"names": ["a", "b"], "_type": "ClassLabel"}}}}"#;
        let whole: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, 1]));
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 1.5, 2.5]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x", "y", "y"]));
        for (named, column, wanted) in [
            ("label", &whole, Told::Class { column: "label".into() }),
            ("category", &texts, Told::Class { column: "category".into() }),
            // no class has a fraction
            ("score", &floats, Told::Class { column: "kind".into() }),
            ("weight", &floats, Told::Class { column: "kind".into() }),
        ] {
            let fields =
                vec![Field::new("kind", DataType::Int64, true), Field::new(named, column.data_type().clone(), true)];
            let metadata = HashMap::from([("huggingface".to_owned(), declared.to_owned())]);
            let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
            let rows = RecordBatch::try_new(schema, vec![Arc::clone(&whole), Arc::clone(column)]).unwrap();
            let dataset = Dataset::from_batches("rows", &[rows], 10).unwrap();
            let asked = Asked { label: None, scores: None, names: &[], takes_images: false, images: &[] };
            assert_eq!(Told::of(&dataset, &asked).unwrap(), wanted, "{named}");
        }
    }
}
