//! Which columns and fields hold boxes, and which the classes of boxes, by what they are usually called.

use arrow_schema::{DataType, Field, Fields};
use millstream_schemas::features::{holds_class_numbers, is_text};

use crate::sources::element;

/// What columns and fields with boxes are usually called.
const BOX_FIELDS: [&str; 4] = ["bbox", "bboxes", "box", "boxes"];
/// What fields with the classes of boxes are usually called, in any case of letters, the likeliest first; the first is read by itself.
pub const BOX_CLASS_FIELDS: [&str; 6] = ["category", "categories", "label", "labels", "class", "classes"];

/// The field that says of each box whether it is around a crowd, as COCO calls it; it is read by itself.
pub const BOX_CROWD_FIELD: &str = "iscrowd";

/// Where in a column boxes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoxPlace<'a> {
    /// The column is lists of them.
    Column,
    /// In a field of its structs, whichever way round lists and structs are.
    Field(&'a str),
}

/// Where boxes lie in a column of this name and type; none where it holds none under a usual name.
pub fn place_of_boxes<'a>(name: &str, kind: &'a DataType) -> Option<BoxPlace<'a>> {
    let is_known = |name: &str| BOX_FIELDS.iter().any(|known| name.eq_ignore_ascii_case(known));
    let is_box = |kind: &DataType| element(kind).is_some_and(holds_class_numbers);
    let first = |fields: &'a Fields, fits: &dyn Fn(&DataType) -> bool| {
        let mut found = fields.iter().filter(|field| is_known(field.name()));
        found.find(|field| fits(field.data_type())).map(|field| BoxPlace::Field(field.name()))
    };
    match kind {
        DataType::Struct(fields) => first(fields, &|kind: &DataType| element(kind).is_some_and(is_box)),
        list => match element(list)? {
            DataType::Struct(fields) => first(fields, &is_box),
            inner if is_known(name) && is_box(inner) => Some(BoxPlace::Column),
            _ => None,
        },
    }
}

/// The field with the classes of the boxes in a column of this type, by its name; none where it has none under a usual name.
pub fn class_field_of_boxes(kind: &DataType) -> Option<&str> {
    let (fields, are_of_lists) = match (kind, element(kind)) {
        (DataType::Struct(fields), _) => (fields, true),
        (_, Some(DataType::Struct(fields))) => (fields, false),
        _ => return None,
    };
    let are_classes = |field: &Field| {
        let kind = if are_of_lists { element(field.data_type()) } else { Some(field.data_type()) };
        kind.is_some_and(|kind| is_text(kind) || holds_class_numbers(kind))
    };
    let of_name = |name: &&str| {
        let mut found = fields.iter().filter(|field| field.name().eq_ignore_ascii_case(name));
        found.find(|field| are_classes(field)).map(|field| field.name().as_str())
    };
    BOX_CLASS_FIELDS.iter().find_map(of_name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn classes_of_boxes_are_found_whatever_their_field_is_called() {
        let list = |of: DataType| DataType::List(Arc::new(Field::new_list_field(of, true)));
        for (fields, wanted) in [
            (&[("bbox", DataType::Float32), ("categories", DataType::Int64)][..], Some("categories")),
            (&[("label", DataType::Utf8), ("category", DataType::Int64)][..], Some("category")),
            (&[("Label", DataType::Utf8), ("area", DataType::Float32)][..], Some("Label")),
            (&[("class", DataType::Binary), ("area", DataType::Float32)][..], None),
        ] {
            let one = |(name, kind): &(&str, DataType)| Field::new(*name, kind.clone(), true);
            let of_structs = list(DataType::Struct(fields.iter().map(one).collect()));
            let of_lists = |(name, kind): &(&str, DataType)| Field::new(*name, list(kind.clone()), true);
            let of_lists = DataType::Struct(fields.iter().map(of_lists).collect());
            for kind in [of_structs, of_lists] {
                assert_eq!(class_field_of_boxes(&kind), wanted, "{kind}");
            }
        }
        assert_eq!(class_field_of_boxes(&list(list(DataType::Float64))), None);
    }

    #[test]
    fn boxes_are_found_in_columns_and_fields() {
        let list = |of: DataType| DataType::List(Arc::new(Field::new_list_field(of, true)));
        let structs = |name: &str, kind: DataType| DataType::Struct(vec![Field::new(name, kind, true)].into());
        let boxes = || list(list(DataType::Float64));
        for (name, kind, wanted) in [
            ("objects", structs("bbox", boxes()), Some(Some("bbox"))),
            ("objects", list(structs("box", list(DataType::Float32))), Some(Some("box"))),
            ("bbox", boxes(), Some(None)),
            ("vectors", boxes(), None),
            ("objects", structs("points", boxes()), None),
            ("label", DataType::Int64, None),
        ] {
            let found = place_of_boxes(name, &kind).map(|place| match place {
                BoxPlace::Column => None,
                BoxPlace::Field(field) => Some(field),
            });
            assert_eq!(found, wanted, "{name} {kind}");
        }
    }
}
