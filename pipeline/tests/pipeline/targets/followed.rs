use super::*;

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

#[test]
fn targets_that_move_with_their_row_are_known() {
    let boxes = fields(&[("bbox", list(list(DataType::Float32))), ("category", list(DataType::Utf8))]);
    let points = list(list(DataType::Float32));
    for (of, row, kind, wanted, moving) in [
        (
            &boxes,
            json!({"bbox": [[6, 11, 24, 22]], "category": ["a"]}),
            "boxes",
            json!({"convention": "coco", "most": 4}),
            true,
        ),
        (&points, json!([[6, 11]]), "key_points", json!({"count": 1}), true),
        (&DataType::Float32, json!(1.5), "number", json!({}), false),
    ] {
        let encoders = open(&marked(of, &[row], None), kind, wanted).unwrap();
        assert_eq!(encoders.moving_target(), moving.then_some("data.targets"), "{kind}");
    }
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
    let marks = MarkReader::new(&encoders, &stream).unwrap().marks(&row, Drawn::Image(&drawing)).unwrap();
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
    let marks = MarkReader::new(&encoders, &stream).unwrap().marks(&row, Drawn::Image(&drawing)).unwrap();
    let point = |x: f32, y: f32, number, name: &str| Mark::Point { x, y, number, name: Some(name.into()) };
    assert_eq!(marks, [point(40.0, 60.0, 0, "x"), point(108.0, 22.0, 2, "z")]);
}

/// Rows with two images of different sizes and a point of the one that is larger, or of the other.
fn of_two_images() -> Dataset {
    let picture = |(width, height): (u32, u32)| {
        let bytes = png(width, height, [9, 100, 200]);
        let [(_, image), _] = image_columns(&[(Some(&bytes[..]), Some(0))]);
        image
    };
    let points = column(&list(list(DataType::Float32)), &[json!([[10, 11]])]);
    let columns = [("large", picture(SIZE)), ("small", picture((30, 22))), ("marks", points)];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    Dataset::from_batches("pairs", &[rows], 7).unwrap()
}

/// The inputs are images of these columns, by the names that they get.
fn open_beside(dataset: &Dataset, images: &[(&str, &str)], options: &Json) -> Result<Encoders, PipelineError> {
    let wanted = |name: &str, role, encoding: Choice| WantedTensor {
        name: name.into(),
        role,
        encoding,
        place: format!("data.{name}"),
    };
    let image = |(name, column): &(&str, &str)| {
        wanted(name, TensorRole::Input, Choice::new("image", json!({"column": column})))
    };
    let target = wanted("targets", TensorRole::Target, Choice::new("key_points", options.clone()));
    let all: Vec<WantedTensor> = images.iter().map(image).chain([target]).collect();
    Encoders::open(dataset, encodings::standard(), &all, &[])
}

#[test]
fn a_target_beside_two_images_moves_with_the_one_that_it_names() {
    let dataset = of_two_images();
    let transforms = json!([{"horizontal_flip": {"probability": 1}}, {"resize": {"size": [48, 52]}}]);
    let named = |image: &str| json!({"column": "marks", "count": 1, "unit": "pixels", "image": image});
    // Mirrored and enlarged by hand: 60 − 10 of 60 across and 11 of 44 down, or 30 − 10 of 30 and 11 of 22.
    let places = [("large", [40.0, 13.0]), ("small", [32.0, 26.0])];
    for inputs in [[("a", "large"), ("b", "small")], [("a", "small"), ("b", "large")]] {
        for (column, wanted) in places {
            let (input, _) = inputs.iter().find(|(_, of)| *of == column).unwrap();
            let encoders = open_beside(&dataset, &inputs, &named(input)).unwrap();
            let shown = encoders.shown_input().unwrap().0.to_owned();
            assert_eq!(shown, column, "what a target follows is what is shown");
            let options = options(encoders, chain(transforms.clone()), 1);
            let batch = Batches::open(&dataset, options, None).unwrap().next().unwrap().unwrap();
            let got = f32s(&batch, "targets");
            assert!(got.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 1e-4), "{input}: {got:?}");
        }
    }
    // What was drawn last is not taken for what is meant.
    let both = [("a", "large"), ("b", "small")];
    let unnamed = json!({"column": "marks", "count": 1});
    let error = open_beside(&dataset, &both, &unnamed).unwrap_err().to_string();
    assert!(error.contains("image: the inputs `a`, `b` are images"), "{error}");
    let error = open_beside(&dataset, &both, &named("c")).unwrap_err().to_string();
    assert!(error.contains("image: `c` is none of the inputs that are images: `a`, `b`"), "{error}");
    // Two pictures of one column are drawn alike.
    let twice = [("a", "large"), ("b", "large")];
    assert!(open_beside(&dataset, &twice, &unnamed).is_ok());
}

/// A target that names no image is what it was before there was a choice.
#[test]
fn streams_of_one_image_are_not_others_because_an_image_can_be_named() {
    let boxes = marked(&list(list(DataType::Float32)), &[json!([[6, 11, 24, 22]])], None);
    for (kind, options) in [("boxes", json!({"convention": "coco", "most": 4})), ("key_points", json!({"count": 1}))] {
        let encoders = open(&boxes, kind, options).unwrap();
        let (.., choice) = encoders.choices().find(|(name, ..)| *name == "targets").unwrap();
        assert!(choice.options.get("image").is_none(), "{choice:?}");
    }
}
