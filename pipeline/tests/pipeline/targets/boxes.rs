use super::*;

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

#[test]
fn boxes_whose_file_numbers_the_classes_otherwise_keep_the_class_of_their_name() {
    let of = fields(&[("bbox", list(list(DataType::Float32))), ("category", list(DataType::Int64))]);
    let declared = |names: &[&str]| {
        let numbers = json!({"feature": {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "Sequence"}, "_type": "Sequence"});
        json!({"bbox": numbers, "category": {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "Sequence"}})
    };
    let row = json!({"bbox": [[6, 11, 24, 22]], "category": [0]});
    let train = marked(&of, std::slice::from_ref(&row), Some(declared(&["cat", "dog"])));
    let wanted = json!({"convention": "coco", "most": 1, "as": "classed"});
    let encoders = open(&train, "boxes", wanted.clone()).unwrap();
    let (learned, names) = (encoders.learned(), encoders.classes().to_vec());
    for (of_file, class) in [(&["dog", "cat"][..], Some(1.0)), (&["dog"][..], Some(1.0)), (&["eel"][..], None)] {
        let other = marked(&of, std::slice::from_ref(&row), Some(declared(of_file)));
        let fresh = open(&other, "boxes", wanted.clone()).unwrap();
        for encoders in [fresh.of_classes(&other, &names).unwrap().unwrap(), fresh.relearned(&other, &learned).unwrap()]
        {
            assert_eq!(encoders.classes(), names, "{of_file:?}");
            let mut batches = Batches::open(&other, options(encoders, chain(json!([])), 1), None).unwrap();
            match (batches.next().unwrap(), class) {
                (Ok(batch), Some(class)) => assert_eq!(f32s(&batch, "targets")[4], class, "{of_file:?}"),
                (Err(error), None) => assert!(error.to_string().contains("`eel` is none of the 2 classes"), "{error}"),
                (found, _) => panic!("{of_file:?}: {:?}", found.map(drop)),
            }
        }
    }
}

/// As losses of several boxes a picture take them: the class beside the corners, one class where there are none, −1 behind the boxes.
#[test]
fn classed_boxes_have_their_class_as_the_fifth_number() {
    let with_classes = list(fields(&[("category", DataType::Utf8), ("bbox", list(DataType::Float32))]));
    let two = json!([{"category": "pear", "bbox": [6, 11, 24, 22]}, {"category": "apple", "bbox": [30, 0, 30, 44]}]);
    let plain = list(list(DataType::Float32));
    for (of, first, classes, numbers) in [
        (with_classes, two, &["apple", "pear"][..], [1.0, 0.0]),
        (plain, json!([[6, 11, 24, 22], [30, 0, 30, 44]]), &["object"][..], [0.0, 0.0]),
    ] {
        let dataset = marked(&of, &[first, json!([]), Json::Null], None);
        let wanted = json!({"convention": "coco", "most": 3, "as": "classed"});
        let encoders = open(&dataset, "boxes", wanted.clone()).unwrap();
        assert_eq!(encoders.classes(), classes, "{of}");
        assert!(encoders.class_column().is_none(), "{of}");
        assert_eq!(encoders.learned()["targets"], json!({"box_classes": classes}), "{of}");
        let batch = only(&dataset, "boxes", wanted, json!([])).unwrap();
        assert_eq!(batch.tensors["targets"].shape, [3, 3, 5], "{of}");
        assert!(!batch.tensors.contains_key("targets.classes"), "{of}");
        let none = [0.0, 0.0, 0.0, 0.0, -1.0];
        let boxes = [[0.1, 0.25, 0.5, 0.75, numbers[0]], [0.5, 0.0, 1.0, 1.0, numbers[1]], none];
        let all = [boxes, [none; 3], [none; 3]].concat().concat();
        let found = f32s(&batch, "targets");
        assert!(found.iter().zip(&all).all(|(a, b)| (a - b).abs() < 1e-6), "{of}: {found:?}");
        assert_eq!(batch.weights.as_slice(), [1.0, 1.0, 0.0], "{of}");
    }
    // a model that knows other classes too
    let of = list(fields(&[("category", DataType::Utf8), ("bbox", list(DataType::Float32))]));
    let dataset = marked(&of, &[json!([{"category": "pear", "bbox": [6, 11, 24, 22]}])], None);
    let encoders = open(&dataset, "boxes", json!({"convention": "coco", "most": 1, "as": "classed"})).unwrap();
    let names = ["apple", "fig", "pear"].map(str::to_owned);
    let encoders = encoders.of_classes(&dataset, &names).unwrap().unwrap();
    assert_eq!(encoders.classes(), names);
}

/// As COCO marks them: what is found in a crowd is neither right nor wrong.
#[test]
fn boxes_around_a_crowd_stand_behind_the_others_with_a_number_below_minus_one() {
    let with_structs =
        list(fields(&[("category", DataType::Utf8), ("bbox", list(DataType::Float32)), ("iscrowd", DataType::Int64)]));
    let with_lists = fields(&[
        ("category", list(DataType::Utf8)),
        ("bbox", list(list(DataType::Float32))),
        ("iscrowd", list(DataType::Int64)),
    ]);
    let structs = json!([
        {"category": "pear", "bbox": [6, 11, 24, 22], "iscrowd": 1},
        {"category": "apple", "bbox": [30, 0, 30, 44], "iscrowd": 0},
    ]);
    let boxes = json!([[6, 11, 24, 22], [30, 0, 30, 44]]);
    let lists = |crowds: Json| json!({"category": ["pear", "apple"], "bbox": boxes, "iscrowd": crowds});
    let near = |found: &[f32], wanted: [[f32; 5]; 3]| {
        found.len() == 15 && found.iter().zip(wanted.concat()).all(|(a, b)| (a - b).abs() < 1e-5)
    };
    let none = [0.0, 0.0, 0.0, 0.0, -1.0];
    let (pear, apple) = ([0.1, 0.25, 0.5, 0.75], [0.5, 0.0, 1.0, 1.0]);
    let of_class = |[left, top, right, bottom]: [f32; 4], class: f32| [left, top, right, bottom, class];
    let classed = json!({"convention": "coco", "most": 3, "as": "classed"});
    for (of, row) in [(&with_structs, structs), (&with_lists, lists(json!([1, 0])))] {
        let dataset = marked(of, &[row], None);
        let batch = only(&dataset, "boxes", classed.clone(), json!([])).unwrap();
        let found = f32s(&batch, "targets");
        assert!(near(found, [of_class(apple, 0.0), of_class(pear, -3.0), none]), "{of}: {found:?}");
        // as others, where that is asked for, and where the class is no number of the box
        let mut as_others = classed.clone();
        as_others["crowd_field"] = "".into();
        let batch = only(&dataset, "boxes", as_others, json!([])).unwrap();
        let found = f32s(&batch, "targets");
        assert!(near(found, [of_class(pear, 1.0), of_class(apple, 0.0), none]), "{of}: {found:?}");
        let apart = only(&dataset, "boxes", json!({"convention": "coco", "most": 3}), json!([])).unwrap();
        assert_eq!(i64s(&apart, "targets.classes"), [1, 0, -1], "{of}");
        // whatever is left of a crowd stays, and is nothing to be found
        let mut cut = classed.clone();
        cut["least_visible"] = json!(0.9);
        cut["without_boxes"] = "no_weight".into();
        let batch = only(&dataset, "boxes", cut, json!([{"center_crop": {"size": [30, 44]}}])).unwrap();
        let found = f32s(&batch, "targets");
        assert!(near(found, [of_class([0.0, 0.25, 0.5, 0.75], -3.0), none, none]), "{of}: {found:?}");
        assert_eq!(batch.weights.as_slice(), [0.0], "{of}");
    }
    let unmarked = marked(&with_lists, &[lists(Json::Null)], None);
    let batch = only(&unmarked, "boxes", classed.clone(), json!([])).unwrap();
    assert!(near(f32s(&batch, "targets"), [of_class(pear, 1.0), of_class(apple, 0.0), none]));

    let short = marked(&with_lists, &[lists(json!([1, 0])), lists(json!([1]))], None);
    let error = only(&short, "boxes", classed.clone(), json!([])).unwrap_err().to_string();
    assert!(error.contains("has 2 boxes and 1 entry in `iscrowd`"), "{error}");
    for form in ["classed", "boxes", "flat"] {
        let options = json!({"convention": "coco", "most": 3, "as": form, "crowd_field": "crowded"});
        let error = with_causes(&open(&short, "boxes", options).map(drop).unwrap_err());
        assert!(error.contains("has no field `crowded` that says which boxes are around a crowd"), "{error}");
    }
}

#[test]
fn a_crowd_in_front_of_a_thing_is_not_the_first_box_of_a_picture_where_its_field_is_named() {
    let of = fields(&[("bbox", list(list(DataType::Float32))), ("iscrowd", list(DataType::Int64))]);
    let row = |crowds: Json| json!({"bbox": [[6, 11, 24, 22], [30, 0, 30, 44]], "iscrowd": crowds});
    let dataset = marked(&of, &[row(json!([1, 0])), row(json!([0, 1])), row(json!([1, 1]))], None);
    let (first, second): ([f32; 4], [f32; 4]) = ([0.1, 0.25, 0.5, 0.75], [0.5, 0.0, 1.0, 1.0]);
    for (form, field, wanted, weights) in [
        ("flat", "iscrowd", [second, first, [0.0; 4]], [1.0, 1.0, 0.0]),
        ("boxes", "iscrowd", [second, first, [0.0; 4]], [1.0, 1.0, 0.0]),
        // as they were before there was a choice
        ("flat", "", [first; 3], [1.0; 3]),
    ] {
        let mut options = json!({"convention": "coco", "most": 1, "as": form, "beyond": "cut"});
        options["without_boxes"] = "no_weight".into();
        if !field.is_empty() {
            options["crowd_field"] = field.into();
        }
        let batch = only(&dataset, "boxes", options, json!([])).unwrap();
        let found = f32s(&batch, "targets");
        let is_near = found.len() == 12 && found.iter().zip(wanted.concat()).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(is_near, "{form} {field}: {found:?}");
        assert_eq!(batch.weights.as_slice(), weights, "{form} {field}");
    }
}

#[test]
fn classed_boxes_whose_classes_lie_in_another_field_are_not_all_of_one_class() {
    let of = fields(&[("bbox", list(list(DataType::Float32))), ("categories", list(DataType::Utf8))]);
    let dataset = marked(&of, &[json!({"bbox": [[6, 11, 24, 22]], "categories": ["pear"]})], None);
    for (field, wanted) in
        [(None, Err("`class_field: categories`")), (Some("categories"), Ok("pear")), (Some(""), Ok("object"))]
    {
        let mut options = json!({"convention": "coco", "most": 1, "as": "classed"});
        if let Some(field) = field {
            options["class_field"] = field.into();
        }
        match (open(&dataset, "boxes", options), wanted) {
            (Ok(encoders), Ok(class)) => assert_eq!(encoders.classes(), [class], "{field:?}"),
            (Err(error), Err(part)) => assert!(with_causes(&error).contains(part), "{}", with_causes(&error)),
            (found, _) => panic!("{field:?}: {:?}", found.map(drop)),
        }
    }
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
    for part in [
        "`x.png` (marks, row group 0, row 1): ",
        "has 5 boxes in the picture, and a row has 2 at most",
        "`beyond: cut`",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let encoders = open(&dataset, "boxes", json!({"convention": "coco", "most": 2, "beyond": "cut"})).unwrap();
    let mut batches = Batches::open(&dataset, options(encoders, chain(json!([])), 3), None).unwrap();
    let batch = batches.next().unwrap().unwrap();
    assert_eq!(batches.counters().parts_left_out, 4);
    let lefts: Vec<_> = f32s(&batch, "targets").chunks(4).map(|corners| (corners[0] * 60.0).round()).collect();
    assert_eq!(lefts, [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
}

#[test]
fn more_declared_classes_of_boxes_than_are_taken_are_refused() {
    let of = fields(&[("bbox", list(list(DataType::Float32))), ("category", list(DataType::Int64))]);
    let row = json!({"bbox": [[1, 2, 3, 4]], "category": [0]});
    for (count, refused) in [(65_536, false), (65_537, true)] {
        let names: Vec<String> = (0..count).map(|class| class.to_string()).collect();
        let numbers = json!({"feature": {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "Sequence"}, "_type": "Sequence"});
        let declared = json!({"bbox": numbers, "category": {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "Sequence"}});
        let dataset = marked(&of, std::slice::from_ref(&row), Some(declared));
        let opened = open(&dataset, "boxes", json!({"convention": "coco", "most": 1}));
        match (opened, refused) {
            (Ok(_), false) => {}
            (Err(error), true) => {
                let error = with_causes(&error);
                assert!(error.contains("column `marks`") && error.contains("65537 classes"), "{error}");
            }
            (opened, _) => panic!("{count}: {:?}", opened.map(drop)),
        }
    }
}
