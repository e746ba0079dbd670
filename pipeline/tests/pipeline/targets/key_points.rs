use super::*;

#[test]
fn points_are_read_in_every_layout() {
    let lists = list(list(DataType::Float32));
    let flat = list(DataType::Float64);
    for (of, row, wanted, points, visible, weight) in [
        (&lists, json!([[15, 11], [30, 22]]), json!({}), [0.25, 0.25, 0.5, 0.5], Some([2, 2]), 1.0),
        (&lists, json!([[15, 11, 1], [30, 22, 2]]), json!({}), [0.25, 0.25, 0.5, 0.5], Some([1, 2]), 1.0),
        (&lists, json!([[15, 11, 1], [0, 0, 0]]), json!({}), [0.25, 0.25, 0.0, 0.0], Some([1, 0]), 1.0),
        (&lists, json!([null, [30, null]]), json!({}), [0.0; 4], Some([0, 0]), 1.0),
        (&lists, json!([null, null]), json!({}), [0.0; 4], Some([0, 0]), 1.0),
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
