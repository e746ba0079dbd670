//! Boxes and points in images, through streams.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema};
use millstream_pipeline::encodings::{self, Encoders, StreamFacts, WantedTensor};
use millstream_pipeline::{Batches, Dataset, Drawn, PipelineError, StreamOptions};
use millstream_schemas::recipe::{DamagedPolicy, OrderStrength};
use millstream_schemas::{Batch, Choice, TensorRole};
use millstream_transforms::{Chain, DrawKey, ImageDrawing, ImageFacts, Kind, Target, table};
use serde_json::{Value as Json, json};

use crate::corpus::{chain, image_columns, png, with_causes};
use crate::json_columns::{column, fields, fixed, list};

/// Width and height of the images of all rows.
const SIZE: (u32, u32) = (60, 44);

/// Rows with an image and a column `marks` of this type.
fn marked(of: &DataType, rows: &[Json], features: Option<Json>) -> Dataset {
    let images: Vec<_> = (0..rows.len()).map(|row| png(SIZE.0, SIZE.1, [row as u8, 100, 200])).collect();
    let images: Vec<_> = images.iter().map(|bytes| (Some(&bytes[..]), Some(0))).collect();
    let [(_, image), _] = image_columns(&images);
    let columns = [("image", image), ("marks", column(of, rows))];
    let schema: Vec<_> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let metadata = features.map(|of| ("huggingface".into(), json!({"info": {"features": {"marks": of}}}).to_string()));
    let schema = Schema::new_with_metadata(schema, metadata.into_iter().collect::<HashMap<_, _>>());
    let rows = RecordBatch::try_new(Arc::new(schema), columns.map(|(_, array)| array).to_vec()).unwrap();
    Dataset::from_batches("marks", &[rows], 7).unwrap()
}

fn open(dataset: &Dataset, kind: &str, mut options: Json) -> Result<Encoders, PipelineError> {
    let wanted = |name: &str, role, encoding: Choice| WantedTensor {
        name: name.into(),
        role,
        encoding,
        place: format!("data.{name}"),
    };
    options["column"] = "marks".into();
    let wanted = [
        wanted("pixels", TensorRole::Input, Choice::new("image", json!({"column": "image"}))),
        wanted("targets", TensorRole::Target, Choice::new(kind, options)),
    ];
    Encoders::open(dataset, encodings::standard(), &wanted, &[])
}

fn options(encoders: Encoders, chain: Chain, batch: usize) -> StreamOptions {
    let order = OrderStrength::Sequential;
    StreamOptions { batch, order, workers: 2, seed: 9, ..StreamOptions::new(chain, encoders) }
}

/// All rows as one batch.
fn only(dataset: &Dataset, kind: &str, wanted: Json, transforms: Json) -> Result<Batch, PipelineError> {
    let encoders = open(dataset, kind, wanted)?;
    Batches::open(dataset, options(encoders, chain(transforms), dataset.rows() as usize), None)?
        .next()
        .expect("a batch")
}

fn f32s<'a>(batch: &'a Batch, tensor: &str) -> &'a [f32] {
    batch.tensors[tensor].as_f32().unwrap()
}

fn i64s<'a>(batch: &'a Batch, tensor: &str) -> &'a [i64] {
    batch.tensors[tensor].as_i64().unwrap()
}

/// One row of two boxes, one of none, and one that is null; as the four conventions and the layouts of people have them.
#[test]
fn boxes_are_read_from_every_layout() {
    let coco = || list(fixed(DataType::Float32, 4));
    let (voc, lists) = (list(list(DataType::Int64)), list(list(DataType::Float64)));
    let label = json!({"names": ["cat", "dog"], "_type": "ClassLabel"});
    let objects = |first: Json| [first, json!({"bbox": [], "category": []}), json!({"bbox": null, "category": null})];
    let plain = |first: Json| [first, json!([]), Json::Null];
    let declared = json!({"feature": {"bbox": {"feature": {"dtype": "float32", "_type": "Value"}, "length": 4, "_type": "Sequence"}, "category": label}, "_type": "Sequence"});
    for (of, rows, features, wanted, classes) in [
        (
            fields(&[("bbox", coco()), ("category", list(DataType::Int64)), ("area", list(DataType::Int64))]),
            objects(json!({"bbox": [[6, 11, 24, 22], [30, 0, 30, 44]], "category": [1, 0], "area": [1]})),
            Some(declared.clone()),
            json!({"convention": "coco"}),
            Some([1, 0]),
        ),
        (
            fields(&[("boxes", lists.clone()), ("name", list(DataType::Utf8))]),
            [
                json!({"boxes": [[0.1, 0.25, 0.5, 0.75], [0.5, 0, 1, 1]], "name": ["dog", "cat"]}),
                json!({"boxes": [], "name": []}),
                Json::Null,
            ],
            None,
            json!({"convention": "albumentations", "box_field": "boxes", "class_field": "name"}),
            Some([1, 0]),
        ),
        (
            list(fields(&[("category", DataType::Utf8), ("bbox", list(DataType::Float32))])),
            plain(json!([
                {"category": "cat", "bbox": [0.3, 0.5, 0.4, 0.5]}, {"category": "owl", "bbox": [0.75, 0.5, 0.5, 1]}
            ])),
            None,
            json!({"convention": "yolo", "classes": ["owl", "cat"]}),
            Some([1, 0]),
        ),
        (
            list(fields(&[("category", DataType::Int64), ("bbox", fixed(DataType::Float64, 4))])),
            plain(json!([{"category": 5, "bbox": [6, 11, 24, 22]}, {"category": 2, "bbox": [30, 0, 30, 44]}])),
            None,
            json!({"convention": "coco"}),
            Some([5, 2]),
        ),
        (
            list(fields(&[("category", DataType::Int64), ("bbox", fixed(DataType::Float64, 4))])),
            plain(json!([{"category": 5, "bbox": [6, 11, 24, 22]}, {"category": 2, "bbox": [30, 0, 30, 44]}])),
            None,
            json!({"convention": "coco", "class_field": ""}),
            None,
        ),
        (voc, plain(json!([[6, 11, 30, 33], [30, 0, 60, 44]])), None, json!({"convention": "pascal_voc"}), None),
        // annotations that are rounded reach out of the image by less than a pixel
        (lists, plain(json!([[6, 11, 30, 33], [30, -0.5, 60.7, 45]])), None, json!({"convention": "pascal_voc"}), None),
    ] {
        let dataset = marked(&of, &rows, features);
        let mut wanted = wanted;
        wanted["most"] = 3.into();
        let batch = only(&dataset, "boxes", wanted.clone(), json!([])).unwrap();
        let (boxes, none) = ([0.1, 0.25, 0.5, 0.75, 0.5, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], [0.0; 24]);
        assert_eq!(batch.tensors["targets"].shape, [3, 3, 4], "{of} {wanted}");
        let near = f32s(&batch, "targets").iter().zip(boxes.iter().chain(&none)).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near, "{of} {wanted}: {:?}", f32s(&batch, "targets"));
        assert_eq!(batch.weights.as_slice(), [1.0, 1.0, 0.0], "{of} {wanted}");
        match classes {
            Some([first, second]) => {
                assert_eq!(batch.tensors["targets.classes"].shape, [3, 3]);
                assert_eq!(
                    i64s(&batch, "targets.classes"),
                    [first, second, -1, -1, -1, -1, -1, -1, -1],
                    "{of} {wanted}"
                );
            }
            None => assert!(!batch.tensors.contains_key("targets.classes"), "{of} {wanted}"),
        }
        // A row of one box may have no list around it.
        let single = only(
            &marked(&fixed(DataType::Float32, 4), &[json!([6, 11, 24, 22])], None),
            "boxes",
            json!({"convention": "coco", "most": 1}),
            json!([]),
        );
        assert!(f32s(&single.unwrap(), "targets").iter().zip(boxes).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}

#[test]
fn classes_of_boxes_are_learned_once_and_are_the_same_for_other_rows() {
    let of = list(fields(&[("category", DataType::Utf8), ("bbox", list(DataType::Float32))]));
    let row = |class: &str| json!([{"category": class, "bbox": [1, 2, 3, 4]}]);
    let train = marked(&of, &[row("pear"), row("apple")], None);
    let wanted = json!({"convention": "coco", "most": 1});
    let learned = open(&train, "boxes", wanted.clone()).unwrap().learned();
    assert_eq!(learned["targets"], json!({"box_classes": ["apple", "pear"]}));
    let other = marked(&of, &[row("pear")], None);
    let fresh = open(&other, "boxes", wanted.clone()).unwrap();
    let encoders = fresh.relearned(&other, &learned).unwrap();
    let batch = Batches::open(&other, options(encoders, chain(json!([])), 1), None).unwrap().next().unwrap().unwrap();
    assert_eq!(i64s(&batch, "targets.classes"), [1]);
    let strange = marked(&of, &[row("quince")], None);
    let encoders = open(&strange, "boxes", wanted).unwrap().relearned(&strange, &learned).unwrap();
    let error =
        Batches::open(&strange, options(encoders, chain(json!([])), 1), None).unwrap().next().unwrap().unwrap_err();
    assert!(error.to_string().contains("has as box 1: "), "{error}");
    assert!(error.to_string().contains("quince"), "{error}");
}

/// What becomes of boxes that a crop cuts: the picture is the middle 30×44 pixels of 60×44.
#[test]
fn what_remains_of_boxes_is_told_by_options() {
    let of = list(list(DataType::Float32));
    let whole = json!([[0, 0, 16, 10], [20, 10, 25, 30], [13, 20, 17, 24]]);
    let crop = || json!([{"center_crop": {"size": [30, 44]}}]);
    let cases: Vec<(Json, Json, &[[f32; 4]], f32)> = vec![
        (json!({}), crop(), &[[0.0, 0.0, 1.0, 10.0], [5.0, 10.0, 10.0, 30.0], [0.0, 20.0, 2.0, 24.0]], 1.0),
        (
            json!({"least_visible": 0.0625}),
            crop(),
            &[[0.0, 0.0, 1.0, 10.0], [5.0, 10.0, 10.0, 30.0], [0.0, 20.0, 2.0, 24.0]],
            1.0,
        ),
        (json!({"least_visible": 0.07}), crop(), &[[5.0, 10.0, 10.0, 30.0], [0.0, 20.0, 2.0, 24.0]], 1.0),
        (json!({"least_visible": 0.51}), crop(), &[[5.0, 10.0, 10.0, 30.0]], 1.0),
        (
            json!({"least_area": 8}),
            crop(),
            &[[0.0, 0.0, 1.0, 10.0], [5.0, 10.0, 10.0, 30.0], [0.0, 20.0, 2.0, 24.0]],
            1.0,
        ),
        (json!({"least_area": 8.5}), crop(), &[[0.0, 0.0, 1.0, 10.0], [5.0, 10.0, 10.0, 30.0]], 1.0),
        (json!({"least_area": 101, "without_boxes": "no_weight"}), crop(), &[], 0.0),
        (json!({"least_area": 101}), crop(), &[], 1.0),
        (json!({"least_area": 11, "layout": "corner_and_size"}), crop(), &[[5.0, 10.0, 5.0, 20.0]], 1.0),
        (json!({"least_area": 11, "layout": "center_and_size"}), crop(), &[[7.5, 20.0, 5.0, 20.0]], 1.0),
        (
            json!({"least_area": 11, "unit": "shares"}),
            json!([{"center_crop": {"size": [30, 20]}}]),
            &[[5.0 / 30.0, 0.0, 10.0 / 30.0, 0.9]],
            1.0,
        ),
    ];
    for (mut wanted, transforms, boxes, weight) in cases {
        for (key, value) in [("convention", json!("pascal_voc")), ("most", json!(4)), ("unit", json!("pixels"))] {
            if wanted.get(key).is_none() {
                wanted[key] = value;
            }
        }
        let batch =
            only(&marked(&of, std::slice::from_ref(&whole), None), "boxes", wanted.clone(), transforms).unwrap();
        let mut filled = boxes.concat();
        filled.resize(16, 0.0);
        let near = f32s(&batch, "targets").iter().zip(&filled).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near, "{wanted}: {:?}", f32s(&batch, "targets"));
        assert_eq!(batch.weights.as_slice(), [weight], "{wanted}");
    }
}

#[test]
fn boxes_beyond_the_most_are_an_error_or_cut_and_counted() {
    let of = list(list(DataType::Float32));
    let row = |boxes: i32| (0..boxes).map(|index| json!([index, 2, 5, 6])).collect::<Json>();
    let dataset = marked(&of, &[row(2), row(5), row(3)], None);
    let error = only(&dataset, "boxes", json!({"convention": "coco", "most": 2}), json!([])).unwrap_err().to_string();
    for part in ["marks, row group 0, row 1: ", "has 5 boxes in the picture, and a row has 2 at most", "`beyond: cut`"]
    {
        assert!(error.contains(part), "{error}");
    }
    let encoders = open(&dataset, "boxes", json!({"convention": "coco", "most": 2, "beyond": "cut"})).unwrap();
    let mut batches = Batches::open(&dataset, options(encoders, chain(json!([])), 3), None).unwrap();
    let batch = batches.next().unwrap().unwrap();
    assert_eq!(batches.counters().parts_left_out, 4);
    let lefts: Vec<_> = f32s(&batch, "targets").chunks(4).map(|corners| (corners[0] * 60.0).round()).collect();
    assert_eq!(lefts, [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
}

/// A name of a row's mistake, and what is said of it.
#[test]
fn rows_with_nonsense_are_damaged_and_say_where() {
    let boxes = list(list(DataType::Float32));
    let objects = fields(&[("bbox", list(list(DataType::Float32))), ("category", list(DataType::Int64))]);
    let points = list(list(DataType::Float32));
    let flat = list(DataType::Float32);
    let coco = json!({"convention": "coco", "most": 4});
    let two = json!({"count": 2});
    for (kind, of, row, wanted, part) in [
        (
            "boxes",
            &boxes,
            json!([[1, 2, 3, 4], [1, 2, -3, 4]]),
            &coco,
            "column `marks` has as box 2: the box [1.0, 2.0, -3.0, 4.0] has no area",
        ),
        ("boxes", &boxes, json!([[1, 2, null, 4]]), &coco, "has as box 1: the box [1.0, 2.0, NaN, 4.0]"),
        ("boxes", &boxes, json!([[1, 2, 3]]), &coco, "3 numbers where four are wanted"),
        ("boxes", &boxes, json!([null]), &coco, "null where four numbers are wanted"),
        (
            "boxes",
            &boxes,
            json!([[50, 2, 30, 4]]),
            &coco,
            "the box from (50, 2) to (80, 6) is not in the image of 60×44 pixels; is it `convention: coco`?",
        ),
        ("boxes", &boxes, json!([[-3, 2, 30, 4]]), &coco, "is not in the image"),
        ("boxes", &boxes, json!([[70, 2, 5, 4]]), &coco, "is not in the image"),
        ("boxes", &objects, json!({"bbox": [[1, 2, 3, 4]], "category": [0, 1]}), &coco, "has 1 box and 2 classes"),
        ("boxes", &objects, json!({"bbox": [[1, 2, 3, 4]], "category": [-1]}), &coco, "the class −1, which is none"),
        ("boxes", &objects, json!({"bbox": [[1, 2, 3, 4]], "category": [null]}), &coco, "has as box 1: "),
        ("key_points", &points, json!([[1, 2]]), &two, "column `marks` has 1 point, wanted 2"),
        ("key_points", &points, json!([[1, 2], [3]]), &two, "has as point 1: 1 number, wanted two or three"),
        (
            "key_points",
            &points,
            json!([[1, 2, 7], [3, 4, 0]]),
            &two,
            "has as point 0: a visibility of 7; wanted 0, 1 or 2",
        ),
        (
            "key_points",
            &points,
            json!([[100, 200], [300, 400]]),
            &two,
            "has no point in the image of 60×44 pixels; are they `stored_in: pixels`?",
        ),
        ("key_points", &flat, json!([1, 2, 3]), &two, "has 3 numbers, wanted 4 or 6 for 2 points"),
    ] {
        let dataset = marked(of, std::slice::from_ref(&row), None);
        let error = only(&dataset, kind, wanted.clone(), json!([])).unwrap_err().to_string();
        assert!(error.starts_with("marks, row group 0, row 0: ") && error.contains(part), "{row}: {error}");
        // Other rows go on where damaged ones are left out.
        let encoders = open(&dataset, kind, wanted.clone()).unwrap();
        let skip = StreamOptions { damaged: DamagedPolicy::Skip, ..options(encoders, chain(json!([])), 1) };
        let rows: Vec<_> = Batches::open(&dataset, skip, None).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(rows.iter().map(Batch::len).sum::<usize>(), 0, "{row}");
    }
}

#[test]
fn options_and_columns_that_do_not_fit_are_told() {
    let boxes = list(list(DataType::Float32));
    let objects = fields(&[("bbox", list(list(DataType::Float32))), ("category", list(DataType::Int64))]);
    let coco = |more: Json| {
        let mut options = json!({"convention": "coco", "most": 4});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        options
    };
    for (kind, of, wanted, part) in [
        ("boxes", &boxes, coco(json!({"convention": "voc"})), "pascal_voc"),
        ("boxes", &boxes, coco(json!({"most": 0})), "most is 1 or more, got 0"),
        ("boxes", &boxes, coco(json!({"least_visible": 1.5})), "least_visible is a share from 0 to 1, got 1.5"),
        ("boxes", &boxes, coco(json!({"least_area": -1})), "least_area is 0 or more square pixels, got -1"),
        ("boxes", &boxes, coco(json!({"classes": ["a"]})), "holds boxes without classes"),
        ("boxes", &objects, coco(json!({"classes": ["a", "a"]})), "classes name `a` twice"),
        ("boxes", &objects, coco(json!({"box_field": "box"})), "has no field `box` with boxes; did you mean `bbox`?"),
        (
            "boxes",
            &objects,
            coco(json!({"class_field": "categorie"})),
            "has no field `categorie` with classes; did you mean `category`?",
        ),
        ("boxes", &objects, coco(json!({"box_field": "category"})), "which are no boxes"),
        ("boxes", &list(DataType::Utf8), coco(json!({})), "and boxes are lists of boxes of four numbers"),
        ("boxes", &DataType::Float32, coco(json!({})), "column `marks` cannot be read as lists"),
        ("key_points", &boxes, json!({"count": 0}), "count is 1 or more, got 0"),
        (
            "key_points",
            &boxes,
            json!({"count": 2, "names": ["a"]}),
            "names are none or one for each of 2 points, got 1",
        ),
        (
            "key_points",
            &boxes,
            json!({"count": 2, "left_right": [[0, 2]]}),
            "left_right names the point 2, and they are 0 to 1",
        ),
        (
            "key_points",
            &boxes,
            json!({"count": 3, "left_right": [[0, 1], [1, 2]]}),
            "left_right names the point 1 twice",
        ),
        (
            "key_points",
            &boxes,
            json!({"count": 1, "names": ["a"], "left_right": [["a", "b"]]}),
            "left_right names the point `b`, which is none of `names`",
        ),
    ] {
        let error = open(&marked(of, &[Json::Null], None), kind, wanted.clone()).unwrap_err().to_string();
        assert!(error.contains(part), "{wanted}: {error}");
    }
    // What cannot move boxes, and a picture that is not there, are told before a row is read.
    let dataset = marked(&boxes, &[json!([])], None);
    let mixed = only(&dataset, "boxes", coco(json!({})), json!([{"mix_up": {"alpha": 0.2}}])).unwrap_err();
    let mixed = with_causes(&mixed);
    assert!(mixed.contains("mix_up") && mixed.contains("boxes"), "{mixed}");
    let wanted = WantedTensor {
        name: "targets".into(),
        role: TensorRole::Target,
        encoding: Choice::new("boxes", coco(json!({"column": "marks"}))),
        place: "data.targets.boxes".into(),
    };
    let alone = Encoders::open(&dataset, encodings::standard(), &[wanted], &[]).unwrap();
    let error =
        Batches::open(&dataset, options(alone, chain(json!([])), 1), None).unwrap().next().unwrap().unwrap_err();
    assert!(error.to_string().contains("boxes follow the row's image, and no input is an `image`"), "{error}");
}

#[test]
fn points_are_read_in_every_layout() {
    let lists = list(list(DataType::Float32));
    let flat = list(DataType::Float64);
    for (of, row, wanted, points, visible, weight) in [
        (&lists, json!([[15, 11], [30, 22]]), json!({}), [0.25, 0.25, 0.5, 0.5], Some([2, 2]), 1.0),
        (&lists, json!([[15, 11, 1], [30, 22, 2]]), json!({}), [0.25, 0.25, 0.5, 0.5], Some([1, 2]), 1.0),
        (&lists, json!([[15, 11, 1], [0, 0, 0]]), json!({}), [0.25, 0.25, 0.0, 0.0], Some([1, 0]), 1.0),
        (&lists, json!([null, [30, null]]), json!({}), [0.0; 4], Some([0, 0]), 1.0),
        (&lists, json!([[15, 11], [61, 22]]), json!({}), [0.25, 0.25, 0.0, 0.0], Some([2, 0]), 1.0),
        (&flat, json!([15, 11, 30, 22]), json!({}), [0.25, 0.25, 0.5, 0.5], Some([2, 2]), 1.0),
        (&flat, json!([15, 11, 2, 30, 22, 0]), json!({}), [0.25, 0.25, 0.0, 0.0], Some([2, 0]), 1.0),
        (
            &flat,
            json!([0.25, 0.25, 0.5, 0.5]),
            json!({"stored_in": "shares"}),
            [0.25, 0.25, 0.5, 0.5],
            Some([2, 2]),
            1.0,
        ),
        (&flat, json!([15, 11, 30, 22]), json!({"unit": "pixels"}), [15.0, 11.0, 30.0, 22.0], Some([2, 2]), 1.0),
        (&flat, json!([15, 11, 30, 22]), json!({"visibility": false}), [0.25, 0.25, 0.5, 0.5], None, 1.0),
        (&flat, json!([15, 11, 2, 30, 22, 0]), json!({"visibility": false}), [0.25, 0.25, 0.0, 0.0], None, 0.0),
        (&flat, Json::Null, json!({}), [0.0; 4], Some([0, 0]), 0.0),
    ] {
        let mut wanted = wanted;
        wanted["count"] = 2.into();
        let batch =
            only(&marked(of, std::slice::from_ref(&row), None), "key_points", wanted.clone(), json!([])).unwrap();
        assert_eq!(batch.tensors["targets"].shape, [1, 2, 2]);
        assert_eq!(f32s(&batch, "targets"), points, "{row} {wanted}");
        assert_eq!(
            batch.tensors.get("targets.visible").map(|tensor| tensor.as_i64().unwrap()),
            visible.as_ref().map(|seen| &seen[..]),
            "{row} {wanted}"
        );
        assert_eq!(batch.weights.as_slice(), [weight], "{row} {wanted}");
    }
}

/// Left and right change places in a mirror image, and not in one that is turned or mirrored twice.
#[test]
fn pairs_of_points_change_places_in_a_mirror_image() {
    let (across, down, turned) = (
        json!({"horizontal_flip": {"probability": 1}}),
        json!({"vertical_flip": {"probability": 1}}),
        json!({"rotate": {"degrees": 20, "probability": 1}}),
    );
    let row = json!([[20, 20], [40, 20], [30, 30]]);
    for (transforms, exchanged) in [
        (json!([]), false),
        (json!([across]), true),
        (json!([down]), true),
        (json!([across, down]), false),
        (json!([turned]), false),
        (json!([turned, across, turned]), true),
        (json!([across, turned, across]), false),
    ] {
        let dataset = marked(&list(list(DataType::Float32)), std::slice::from_ref(&row), None);
        let of = |pairs: Json| {
            let wanted = json!({"count": 3, "names": ["left", "right", "nose"], "left_right": pairs, "unit": "pixels"});
            f32s(&only(&dataset, "key_points", wanted, transforms.clone()).unwrap(), "targets").to_vec()
        };
        let (plain, paired) = (of(json!([])), of(json!([["left", 1]])));
        let wanted: Vec<f32> = match exchanged {
            true => [&plain[2..4], &plain[..2], &plain[4..]].concat(),
            false => plain.clone(),
        };
        assert_ne!(plain[..2], plain[2..4]);
        assert_eq!(paired, wanted, "{transforms}");
    }
}

/// Every sample of every transform that moves pixels, and some of them one after the other.
fn chains() -> Vec<Json> {
    let moving = table().iter().filter(|row| row.kind() == Kind::Image && row.targets.contains(&Target::Boxes));
    let option = |sample: &str| serde_json::from_str::<Json>(sample).unwrap();
    let samples = moving.flat_map(|row| row.samples.iter().map(move |sample| json!([{row.name: option(sample)}])));
    let more = [
        json!([{"rotate": {"degrees": 30}}, {"random_resized_crop": {"size": 40, "area": [0.3, 0.9]}}, "horizontal_flip"]),
        json!([{"elastic": {"alpha": 30, "sigma": 5}}, {"rotate": {"degrees": 20}}, "vertical_flip", {"resize": {"size": [50, 41]}}]),
    ];
    // Images of one size make a batch.
    let mut chains: Vec<Json> = samples.chain(more).collect();
    chains.iter_mut().for_each(|chain| chain.as_array_mut().unwrap().push(json!({"resize": {"size": [48, 52]}})));
    chains
}

/// Where a point is after all steps; none where one of them took it out of the picture.
fn moved(drawing: &ImageDrawing, from: (f64, f64)) -> Option<(f64, f64)> {
    let mut until = ImageDrawing { source: drawing.source, steps: Vec::new() };
    let mut place = Some(from);
    for step in &drawing.steps {
        until.steps.push(step.clone());
        let (x, y) = until.project_point(from.0, from.1);
        let (width, height) = until.output_size(&drawing.source);
        let inside = x >= 0.0 && y >= 0.0 && x < f64::from(width) && y < f64::from(height);
        place = place.filter(|_| inside).map(|_| (x, y));
    }
    place
}

/// Whether what is around the middle of the image is mirrored, by three points that are followed.
fn mirrored(drawing: &ImageDrawing) -> bool {
    let (x, y) = (f64::from(SIZE.0) / 2.0, f64::from(SIZE.1) / 2.0);
    let at = |dx: f64, dy: f64| drawing.project_point(x + dx, y + dy);
    let (here, right, below) = (at(0.0, 0.0), at(1e-3, 0.0), at(0.0, 1e-3));
    let (a, b) = ((right.0 - here.0, right.1 - here.1), (below.0 - here.0, below.1 - here.1));
    a.0 * b.1 - a.1 * b.0 < 0.0
}

/// The slow twin follows every point alone: of a box, many that lie on and in it.
#[test]
fn encoded_boxes_and_points_are_where_each_of_their_points_went() {
    const ROWS: u64 = 5;
    let points = [[20.0, 17.0], [41.0, 9.0], [33.0, 40.0], [3.0, 3.0]];
    let corners = [12.0, 9.0, 41.0, 30.0];
    let point_rows = vec![json!(points); ROWS as usize];
    let box_rows = vec![json!([corners]); ROWS as usize];
    let point_data = marked(&list(list(DataType::Float32)), &point_rows, None);
    let box_data = marked(&list(list(DataType::Float32)), &box_rows, None);
    let (mut seen, mut exchanged) = (0, 0);
    for specs in chains() {
        let chain = chain(specs.clone());
        let point_options = json!({"count": 4, "left_right": [[0, 2]], "unit": "pixels"});
        let of_points = only(&point_data, "key_points", point_options, specs.clone()).unwrap();
        let box_options = json!({"convention": "pascal_voc", "most": 1, "unit": "pixels"});
        let of_boxes = only(&box_data, "boxes", box_options, specs.clone()).unwrap();
        for row in 0..ROWS as usize {
            let key = |dataset: &Dataset| DrawKey { seed: 9, epoch: 0, row: dataset.row_at(row as u64).key() };
            let facts = ImageFacts::new(SIZE.0, SIZE.1);
            let drawing = chain.draw_image(&facts, &key(&point_data)).unwrap();
            let exchange = mirrored(&drawing);
            exchanged += usize::from(exchange);
            let got = &f32s(&of_points, "targets")[row * 8..][..8];
            let visible = &i64s(&of_points, "targets.visible")[row * 4..][..4];
            for (index, from) in
                [if exchange { 2 } else { 0 }, 1, if exchange { 0 } else { 2 }, 3].into_iter().enumerate()
            {
                let wanted = moved(&drawing, (points[from][0], points[from][1]));
                assert_eq!(visible[index] == 2, wanted.is_some(), "{specs}: row {row}, point {index}");
                let (x, y) = wanted.unwrap_or_default();
                let near =
                    (f64::from(got[index * 2]) - x).abs() < 1e-4 && (f64::from(got[index * 2 + 1]) - y).abs() < 1e-4;
                assert!(near, "{specs}: row {row}, point {index}: {got:?}, wanted ({x}, {y})");
                seen += usize::from(wanted.is_some());
            }
            let drawing = chain.draw_image(&facts, &key(&box_data)).unwrap();
            const FINE: u32 = 90;
            let between = |from: f64, to: f64, part: u32| from + (to - from) * f64::from(part) / f64::from(FINE);
            let inside = (0..=FINE).flat_map(|down| (0..=FINE).map(move |across| (across, down)));
            let places: Vec<_> = inside
                .filter_map(|(across, down)| {
                    moved(&drawing, (between(corners[0], corners[2], across), between(corners[1], corners[3], down)))
                })
                .collect();
            let got = &f32s(&of_boxes, "targets")[row * 4..][..4];
            if places.is_empty() || got == [0.0; 4] {
                let (width, height) = (got[2] - got[0], got[3] - got[1]);
                assert!(
                    places.len() < 180 && (width < 1.0 || height < 1.0),
                    "{specs}: row {row}: {got:?} {}",
                    places.len()
                );
                continue;
            }
            let low = |place: fn(&(f64, f64)) -> f64| places.iter().map(place).fold(f64::INFINITY, f64::min);
            let high = |place: fn(&(f64, f64)) -> f64| places.iter().map(place).fold(f64::NEG_INFINITY, f64::max);
            let wanted = [low(|at| at.0), low(|at| at.1), high(|at| at.0), high(|at| at.1)];
            // Points lie closer than half a pixel in the source; steps enlarge to what they make of it.
            let slack = 2.0;
            let near = got.iter().zip(wanted).all(|(got, wanted)| (f64::from(*got) - wanted).abs() < slack);
            assert!(near, "{specs}: row {row}: {got:?}, wanted {wanted:?}");
        }
    }
    assert!(seen > 250 && exchanged > 15, "{seen} {exchanged}");
}

/// Batches do not depend on the workers, and a stream goes on where it was left.
#[test]
fn boxes_and_points_resume_and_do_not_depend_on_workers() {
    let of = fields(&[("bbox", list(list(DataType::Float32))), ("category", list(DataType::Int64))]);
    let row = |index: usize| {
        let boxes: Json = (0..index % 4).map(|part| json!([part * 9, index, 12, 14])).collect();
        json!({"bbox": boxes, "category": (0..index % 4).collect::<Vec<_>>()})
    };
    let dataset = marked(&of, &(0..25).map(row).collect::<Vec<_>>(), None);
    let specs = || chain(json!([{"random_resized_crop": {"size": 32}}, "horizontal_flip"]));
    let run = |workers: usize, from: Option<usize>| -> Vec<Batch> {
        let encoders = open(&dataset, "boxes", json!({"convention": "coco", "most": 3})).unwrap();
        let order = OrderStrength::Windowed;
        let options = StreamOptions { workers, order, epochs: 2, ..options(encoders, specs(), 4) };
        let all: Vec<Batch> =
            Batches::open(&dataset, options.clone(), None).unwrap().collect::<Result<_, _>>().unwrap();
        let Some(from) = from else { return all };
        Batches::open(&dataset, options, Some(&all[from].resume)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let bits = |batches: &[Batch]| -> Vec<(Vec<u32>, Vec<i64>)> {
        let of = |batch: &Batch| {
            (
                f32s(batch, "targets").iter().map(|value| value.to_bits()).collect(),
                i64s(batch, "targets.classes").to_vec(),
            )
        };
        batches.iter().map(of).collect()
    };
    let whole = bits(&run(1, None));
    assert_eq!(whole.len(), 14);
    assert_eq!(bits(&run(3, None)), whole);
    assert_eq!(bits(&run(2, Some(4))), whole[5..]);
}

/// What is shown of a row is read back from what a stream makes of it.
#[test]
fn what_is_shown_of_a_row_is_what_its_tensors_hold() {
    use millstream_pipeline::encodings::Mark;
    let of = fields(&[("bbox", list(list(DataType::Float32))), ("category", list(DataType::Utf8))]);
    let dataset = marked(&of, &[json!({"bbox": [[6, 11, 24, 22], [40, 1, 10, 10]], "category": ["b", "a"]})], None);
    let chain = chain(json!([{"horizontal_flip": {"probability": 1}}, {"resize": {"size": [120, 88]}}]));
    let drawing = chain.draw_image(&ImageFacts::new(SIZE.0, SIZE.1), &DrawKey { seed: 0, epoch: 0, row: 0 }).unwrap();
    let stream = StreamFacts { dataset: &dataset, chain: &chain, seed: 0 };
    let encoders =
        open(&dataset, "boxes", json!({"convention": "coco", "most": 4, "layout": "center_and_size"})).unwrap();
    let row = dataset.read_row(&dataset.row_at(0), encoders.columns()).unwrap();
    let class = |number: usize, name: &str| Some((number, name.to_owned()));
    let marks = encoders.marks(&row, &stream, Drawn::Image(&drawing)).unwrap();
    let wanted = [([60.0, 22.0, 108.0, 66.0], class(1, "b")), ([20.0, 2.0, 40.0, 22.0], class(0, "a"))];
    assert_eq!(marks.len(), 2);
    for (mark, (corners, class)) in marks.iter().zip(wanted) {
        let Mark::Box { left, top, right, bottom, class: got } = mark else { panic!("{mark:?}") };
        let near = [left, top, right, bottom].into_iter().zip(corners).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(near && *got == class, "{mark:?}");
    }
    let dataset = marked(&list(list(DataType::Float32)), &[json!([[6, 11], [-4, 3], [40, 30]])], None);
    let stream = StreamFacts { dataset: &dataset, chain: &chain, seed: 0 };
    let wanted = json!({"count": 3, "names": ["x", "y", "z"], "left_right": [["x", "z"]]});
    let encoders = open(&dataset, "key_points", wanted).unwrap();
    let row = dataset.read_row(&dataset.row_at(0), encoders.columns()).unwrap();
    let marks = encoders.marks(&row, &stream, Drawn::Image(&drawing)).unwrap();
    let point = |x: f32, y: f32, number, name: &str| Mark::Point { x, y, number, name: Some(name.into()) };
    assert_eq!(marks, [point(40.0, 60.0, 0, "x"), point(108.0, 22.0, 2, "z")]);
}
