//! What holds for every transform, asked of every sample of every row of the table.

use millstream_schemas::Choice;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

use crate::steps::map::{Border, Project};
use crate::*;

const FACTS: ImageFacts = ImageFacts::new(64, 48);
const TEXT: &str = "The quick bröwn fox jumps över the lazy 狗, again and again.";

/// So many cases, the same at each run: whether a test fails is up to the code, not to chance. `PROPTEST_RNG_SEED` draws others.
pub(crate) fn seeded(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(17), ..ProptestConfig::default() }
}

fn samples() -> impl Iterator<Item = (&'static Transform, Choice)> {
    table().iter().flat_map(|row| {
        row.samples.iter().map(move |sample| {
            let options: Value = serde_json::from_str(sample).unwrap_or_else(|error| panic!("{}: {error}", row.name));
            (row, Choice::new(row.name, options))
        })
    })
}

fn chain(spec: &Choice) -> Chain {
    Chain::parse(std::slice::from_ref(spec)).unwrap_or_else(|error| panic!("{error}"))
}

fn key(epoch: u64, row: u64) -> DrawKey {
    DrawKey { seed: 17, epoch, row }
}

/// What a chain draws, for any kind of input, as JSON; reading it back must give the same.
fn drawn(chain: &Chain, key: &DrawKey) -> Value {
    fn there_and_back<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(
        value: &T,
    ) -> Value {
        let text = serde_json::to_string(value).unwrap();
        assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "JSON and back");
        serde_json::from_str(&text).unwrap()
    }
    let image = chain.draw_image(&FACTS, key).map(|drawing| there_and_back(&drawing));
    let text = chain.draw_text(TEXT, key).map(|drawing| there_and_back(&drawing));
    json!([image.ok(), text.ok(), there_and_back(&chain.draw_batch(&[true; 16], key))])
}

fn photo() -> RgbImage {
    let pixels = (0..FACTS.width * FACTS.height * 3).map(|i| (i * 7 % 251) as u8).collect();
    RgbImage { width: FACTS.width, height: FACTS.height, pixels }
}

#[test]
fn draws_are_functions_of_their_key() {
    for (row, spec) in samples() {
        let (one, two) = (chain(&spec), chain(&spec));
        let at = |chain: &Chain, epoch| (0..12).map(|row| drawn(chain, &key(epoch, row))).collect::<Vec<_>>();
        assert_eq!(at(&one, 0), at(&two, 0), "{}", row.name);
        if one.is_random() {
            assert_ne!(at(&one, 0), at(&one, 1), "{}: epochs differ", row.name);
            assert!(at(&one, 0).iter().any(|other| *other != drawn(&one, &key(0, 0))), "{}: rows differ", row.name);
        } else {
            assert_eq!(at(&one, 0), at(&one, 1), "{}: nothing is random", row.name);
        }
    }
}

#[test]
fn draws_do_not_depend_on_the_place_in_the_chain() {
    for (row, spec) in samples().filter(|(row, _)| matches!(row.kind(), Kind::Image | Kind::Combine)) {
        // neither changes the size, and both draw
        let others = [("gaussian_noise", json!({"sigma": 0.1})), ("vertical_flip", json!({}))];
        let before =
            others.into_iter().filter(|(name, _)| *name != row.name && !spec.options.to_string().contains(name));
        let mut specs: Vec<_> = before.map(|(name, options)| Choice::new(name, options)).collect();
        specs.push(spec.clone());
        let (alone, later) = (chain(&spec), Chain::parse(&specs).unwrap());
        for n in 0..12 {
            let (alone, later) = (alone.draw_image(&FACTS, &key(0, n)), later.draw_image(&FACTS, &key(0, n)));
            let (alone, later) = (alone.unwrap().steps, later.unwrap().steps);
            assert!(later.ends_with(&alone), "{}: {later:?} ends with {alone:?}", row.name);
        }
    }
}

#[test]
fn images_have_the_stated_size_and_finite_values() {
    let (photo, mut scratch) = (photo(), Scratch::default());
    for (row, spec) in samples().filter(|(row, _)| matches!(row.kind(), Kind::Image | Kind::Combine)) {
        let chain = chain(&spec);
        for n in 0..8 {
            let drawing = chain.draw_image(&FACTS, &key(0, n)).unwrap();
            let (width, height) = drawing.output_size(&FACTS);
            if let Some(stated) = chain.image_output_size() {
                assert_eq!(stated, (width, height), "{}", row.name);
            }
            let mut out = vec![f32::NAN; 3 * width as usize * height as usize];
            drawing.render(&photo, &mut scratch, &mut out).unwrap();
            assert!(out.iter().all(|value| value.is_finite()), "{}: {drawing:?}", row.name);
            let replayed: ImageDrawing = serde_json::from_value(serde_json::to_value(&drawing).unwrap()).unwrap();
            let mut again = vec![0.0; out.len()];
            replayed.render(&photo, &mut Scratch::default(), &mut again).unwrap();
            assert_eq!(out, again, "{}: replayed from JSON", row.name);
            for drawn in &drawing.steps {
                assert!(drawn.to_string().starts_with(&*drawn.transform));
            }
            let request = drawing.decode_request(&FACTS).unwrap();
            assert!(request.left + request.width <= 64 && request.top + request.height <= 48, "{request}");
        }
    }
}

#[test]
fn every_option_is_guarded() {
    for (row, spec) in samples() {
        if let Value::Object(options) = &spec.options {
            let mut misspelt = options.clone();
            misspelt.insert("no_such_option".into(), json!(1));
            let error = Chain::parse(&[Choice::new(row.name, Value::Object(misspelt))]).unwrap_err();
            assert!(error.is_of_key(), "{}: {error}", row.name);
        }
        for (option, value) in spec.options.as_object().into_iter().flatten() {
            for nonsense in [json!(-1e30), json!("often"), json!({"a": [1]}), json!([[]])] {
                let mut options = spec.options.clone();
                options[option] = nonsense.clone();
                let error = Chain::parse(&[Choice::new(row.name, options)]);
                assert!(error.is_err() || *value == nonsense, "{}.{option}: {nonsense}", row.name);
            }
        }
    }
}

#[test]
fn what_moves_pixels_says_so() {
    for (row, spec) in samples().filter(|(row, _)| row.kind() == Kind::Image) {
        let steps = (0..12).flat_map(|n| chain(&spec).draw_image(&FACTS, &key(0, n)).unwrap().steps);
        let moves = steps.into_iter().any(|drawn| drawn.step.moves_pixels());
        assert_eq!(row.targets.contains(&Target::KeyPoints), moves, "{}", row.name);
        assert!(row.targets.contains(&Target::Image), "{}", row.name);
    }
}

/// What the schema calls too small or too large does not load.
#[test]
fn ranges_in_the_schema_are_those_that_are_checked() {
    let mut checked = 0;
    for (row, spec) in samples() {
        let schema = row.schema();
        let options = spec.options.as_object().into_iter().flatten();
        for (option, value) in options.filter(|(_, value)| value.is_number() || value.is_array()) {
            let schema = &schema["properties"][option];
            let bounds = if value.is_array() { &schema["items"] } else { schema };
            for (bound, outside) in [("minimum", -0.001), ("maximum", 0.001)] {
                let Some(limit) = bounds[bound].as_f64() else { continue };
                let outside =
                    json!(if value.as_u64().is_some() { limit + f64::signum(outside) } else { limit + outside });
                let outside = value.as_array().map_or(outside.clone(), |list| vec![outside; list.len()].into());
                let mut options = spec.options.clone();
                options[option] = outside.clone();
                let parsed = Chain::parse(&[Choice::new(row.name, options)]);
                assert!(parsed.is_err(), "{}.{option}: {outside}", row.name);
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "{checked}");
}

fn geometry() -> impl Strategy<Value = Choice> {
    let size = 1u32..90;
    prop_oneof![
        (size.clone(), size.clone()).prop_map(|(w, h)| Choice::new("resize", json!({"size": [w, h]}))),
        (size.clone(), size.clone()).prop_map(|(w, h)| Choice::new("center_crop", json!({"size": [w, h]}))),
        (size.clone(), size).prop_map(|(w, h)| Choice::new("random_resized_crop", json!({"size": [w, h]}))),
        (0.0..180.0).prop_map(|degrees| Choice::new("rotate", json!({"degrees": degrees}))),
        (0.0..1.0).prop_map(|f| Choice::new("translate", json!({"fraction": [f, f]}))),
        Just(Choice::new("horizontal_flip", json!({}))),
        Just(Choice::new("vertical_flip", json!({}))),
        Just(Choice::new("gaussian_noise", json!({"sigma": 0.1, "probability": 0.3}))),
    ]
}

/// Lengths of a side: possible ones, and those that must be refused before anything is allocated.
fn side() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0u32..60, 1 => Just(u32::MAX), 1 => Just(1 << 15)]
}

proptest! {
    #![proptest_config(seeded(300))]

    /// Any chain on any image renders, from the requested part as from the whole, to values between black and white.
    #[test]
    fn any_chain_renders(
        specs in prop::collection::vec(geometry(), 0..6), width in 1u32..80, height in 1u32..80, row: u64,
    ) {
        let facts = ImageFacts::new(width, height);
        let bytes = |x: u32, y: u32| [x * 3 + y, x + 5 * y, x ^ y].map(|value| value as u8);
        let image = |left: u32, top: u32, width: u32, height: u32| {
            let pixels = (top..top + height).flat_map(|y| (left..left + width).flat_map(move |x| bytes(x, y))).collect();
            RgbImage { width, height, pixels }
        };
        let drawing = Chain::parse(&specs).unwrap().draw_image(&facts, &key(0, row)).unwrap();
        let (across, down) = drawing.output_size(&facts);
        let mut out = vec![f32::NAN; 3 * across as usize * down as usize];
        drawing.render(&image(0, 0, width, height), &mut Scratch::default(), &mut out).unwrap();
        prop_assert!(out.iter().all(|value| (0.0..=1.0).contains(value)), "{:?}", drawing);
        let request = drawing.decode_request(&facts).unwrap();
        let part = image(request.left, request.top, request.width, request.height);
        let source = SourceImage::rgb_part(facts, [request.left, request.top], &part);
        let mut again = vec![f32::NAN; out.len()];
        drawing.render_part(&source, &mut Scratch::default(), &mut again).unwrap();
        prop_assert_eq!(out, again);
    }

    /// Drawings written by hand render or are refused; they never panic.
    #[test]
    fn any_matrix_renders_or_is_refused(
        matrix in prop::array::uniform9(-2.0..2.0f64), shift in -50.0..50.0f64, flat: bool, width in side(), height in side(),
    ) {
        let mut matrix = matrix;
        matrix[2] += shift;
        if flat {
            matrix[6..].copy_from_slice(&[0.0, 0.0, 1.0]);
        } else {
            matrix[6] *= 0.01;
            matrix[7] *= 0.01;
        }
        let step = Project { matrix: Matrix(matrix), width, height, fill: [1; 3], border: Border::default(), kernel: Kernel::Bilinear }.into();
        let drawing = ImageDrawing { source: FACTS, steps: vec![DrawnStep { transform: "hand".into(), step }] };
        let shown = drawing.render_rgb8(&photo(), &mut Scratch::default());
        let mut out = vec![f32::NAN; if width.max(height) < 60 { 3 * width as usize * height as usize } else { 0 }];
        let rendered = drawing.render(&photo(), &mut Scratch::default(), &mut out);
        prop_assert_eq!(rendered.is_ok(), shown.is_ok());
        prop_assert!(rendered.is_err() || out.iter().all(|value| (0.0..=1.0).contains(value)));
    }

    /// Edits fit any text, whatever its characters.
    #[test]
    fn any_text_is_edited(text: String, row: u64) {
        for (_, spec) in samples().filter(|(row, _)| row.kind() == Kind::Text) {
            let chain = Chain::parse(&[spec.clone(), spec]).unwrap();
            let drawing = chain.draw_text(&text, &key(0, row)).unwrap();
            let edited = drawing.apply(&text).unwrap();
            let change = |edit: &TextEdit| edit.replacement.chars().count() as i64 - (edit.end - edit.start) as i64;
            let change: i64 = drawing.edits.iter().map(change).sum();
            prop_assert_eq!(edited.chars().count() as i64, text.chars().count() as i64 + change);
            prop_assert_eq!(edited.is_empty(), text.is_empty());
        }
    }
}
