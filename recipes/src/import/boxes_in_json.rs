//! Boxes in an object of JSON, as `metadata.jsonl` of the Hub's folders of images has them: `{"bbox": [[…]], "categories": […]}`.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::objects::{Annotation, Objects, ObjectsKind};

/// Classes at most: with more it is no list of classes.
const MOST_CLASSES: usize = 100_000;
/// What the list of classes is called.
const CLASSES: [&str; 2] = ["categories", "category"];
/// What may be said of each box beside.
const ANNOTATIONS: [&str; 3] = ["id", "area", "iscrowd"];

/// The boxes of a column that were met.
#[derive(Clone, Debug, Default)]
pub(super) struct BoxesSeen {
    /// Cells of them.
    pub(super) cells: u64,
    classes: BTreeSet<String>,
    annotated: bool,
}

impl BoxesSeen {
    /// Counts a cell of boxes; false where it is something else.
    pub(super) fn see(&mut self, cell: &Map<String, Json>) -> bool {
        let Some((_, classes)) = boxes(cell) else { return false };
        self.classes.extend(classes);
        self.annotated |= ANNOTATIONS.iter().any(|key| cell.contains_key(*key));
        let are_few = self.classes.len() <= MOST_CLASSES;
        self.cells += u64::from(are_few);
        are_few
    }

    /// Classes by their letters, or as numbers where all are whole numbers.
    pub(super) fn kind(&self) -> ObjectsKind {
        let mut names: Vec<String> = self.classes.iter().cloned().collect();
        if names.iter().all(|name| name.parse::<i64>().is_ok()) {
            names.sort_by_key(|name| name.parse::<i64>().ok());
        }
        ObjectsKind { names, annotated: self.annotated }
    }
}

/// The boxes of a cell, with the places of their classes; none where it is something else.
pub(super) fn objects(cell: &Map<String, Json>, kind: &ObjectsKind) -> Option<Objects> {
    let (boxes, classes) = boxes(cell)?;
    let place = |class: &String| kind.names.iter().position(|name| name == class).map(|place| place as u32);
    let classes: Vec<u32> = classes.iter().map(place).collect::<Option<_>>()?;
    let of = |key: &str, at: usize| cell.get(key).and_then(|values| values.get(at)).unwrap_or(&Json::Null);
    let annotation = |at| Annotation {
        id: of("id", at).as_i64(),
        area: of("area", at).as_f64(),
        is_crowd: *of("iscrowd", at) == Json::Bool(true) || of("iscrowd", at).as_i64() == Some(1),
    };
    let annotations = if kind.annotated { (0..boxes.len()).map(annotation).collect() } else { Vec::new() };
    Some(Objects { boxes, classes, annotations })
}

/// Four numbers and a class for each; none where there is something else in it, which would be lost.
fn boxes(cell: &Map<String, Json>) -> Option<(Vec<[f64; 4]>, Vec<String>)> {
    let known = |key: &String| key == "bbox" || CLASSES.contains(&key.as_str()) || ANNOTATIONS.contains(&key.as_str());
    let classes = CLASSES.iter().find_map(|key| cell.get(*key))?.as_array()?;
    let boxes = cell.get("bbox")?.as_array()?;
    if boxes.len() != classes.len() || !cell.keys().all(known) {
        return None;
    }
    let fits = |(key, values): (&String, &Json)| {
        let is_one = |value: &Json| match key.as_str() {
            "id" => value.is_null() || value.is_i64(),
            "area" => value.is_null() || value.is_number(),
            _ => value.is_null() || value.is_boolean() || matches!(value.as_i64(), Some(0 | 1)),
        };
        !ANNOTATIONS.contains(&key.as_str())
            || values.as_array().is_some_and(|values| values.len() == boxes.len() && values.iter().all(is_one))
    };
    if !cell.iter().all(fits) {
        return None;
    }
    let four = |sides: &Json| {
        let sides: Vec<f64> = sides.as_array()?.iter().map(Json::as_f64).collect::<Option<_>>()?;
        <[f64; 4]>::try_from(sides).ok()
    };
    let class = |class: &Json| match class {
        Json::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Json::Number(number) if number.is_i64() => Some(number.to_string()),
        _ => None,
    };
    Some((boxes.iter().map(four).collect::<Option<_>>()?, classes.iter().map(class).collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(text: &str) -> Map<String, Json> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn boxes_of_a_metadata_table_are_no_text_of_json() {
        let mut seen = BoxesSeen::default();
        let two = cell(r#"{"bbox": [[1, 2, 3, 4.5], [0, 0, 1, 1]], "categories": [10, 2]}"#);
        let none = cell(r#"{"bbox": [], "categories": []}"#);
        assert!(seen.see(&two) && seen.see(&none));
        let kind = seen.kind();
        assert_eq!((seen.cells, kind.names.as_slice(), kind.annotated), (2, &["2".into(), "10".into()][..], false));
        let read = objects(&two, &kind).unwrap();
        assert_eq!((read.boxes[0], read.classes, read.annotations), ([1.0, 2.0, 3.0, 4.5], vec![1, 0], vec![]));
        assert_eq!(objects(&none, &kind), Some(Objects::default()));
        let crowd = cell(r#"{"bbox": [[1, 2, 3, 4]], "category": ["dog"], "id": [7], "area": [12], "iscrowd": [1]}"#);
        assert!(seen.see(&crowd));
        let read = objects(&crowd, &seen.kind()).unwrap();
        assert_eq!(read.annotations, [Annotation { id: Some(7), area: Some(12.0), is_crowd: true }]);
    }

    #[test]
    fn what_is_something_else_is_left_as_it_is() {
        for other in [
            r#"{"bbox": [[1, 2, 3, 4]]}"#,
            r#"{"bbox": [[1, 2, 3, 4]], "categories": []}"#,
            r#"{"bbox": [[1, 2, 3]], "categories": [1]}"#,
            r#"{"bbox": [[1, 2, 3, 4]], "categories": [1], "segmentation": [[1, 2]]}"#,
            r#"{"bbox": [[1, 2, 3, 4]], "categories": [null]}"#,
            r#"{"bbox": [[1, 2, 3, 4]], "categories": [1], "id": ["a7"]}"#,
            r#"{"bbox": [[1, 2, 3, 4]], "categories": [1], "area": [3, 4]}"#,
            r#"{"bbox": [[1, 2, 3, 4]], "categories": [1], "iscrowd": 1}"#,
        ] {
            assert!(!BoxesSeen::default().see(&cell(other)), "{other}");
        }
    }
}
