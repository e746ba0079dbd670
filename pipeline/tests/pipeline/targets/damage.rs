use super::*;

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
        (
            "boxes",
            &boxes,
            json!([[-3, 2, 30, 4]]),
            &coco,
            "is not in the image of 60×44 pixels; it reaches 3.0 pixels out",
        ),
        ("boxes", &boxes, json!([[70, 2, 5, 4]]), &coco, "is not in the image"),
        ("boxes", &objects, json!({"bbox": [[1, 2, 3, 4]], "category": [0, 1]}), &coco, "has 1 box and 2 classes"),
        ("boxes", &objects, json!({"bbox": [[1, 2, 3, 4]], "category": [-1]}), &coco, "the class −1, which is none"),
        ("boxes", &objects, json!({"bbox": [[1, 2, 3, 4]], "category": [null]}), &coco, "has as box 1: "),
        // Once these were rows without boxes, or lists of numbers.
        (
            "boxes",
            &objects,
            json!({"bbox": null, "category": [1, 2]}),
            &coco,
            "has classes, and null in place of boxes",
        ),
        ("key_points", &points, json!([]), &two, "has 0 points, wanted 2"),
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
        assert!(error.starts_with("`x.png` (marks, row group 0, row 0): ") && error.contains(part), "{row}: {error}");
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
