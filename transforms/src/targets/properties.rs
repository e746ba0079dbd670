//! Targets land where the pixels that they mark land, for every sample of every transform that moves pixels.

use millstream_schemas::Choice;
use serde_json::Value;

use super::*;
use crate::render::reference::source_of;
use crate::*;

const FACTS: ImageFacts = ImageFacts::new(60, 44);

/// What each sample draws for some rows; `None` where a draw moves nothing.
fn drawings() -> impl Iterator<Item = (String, ImageDrawing)> {
    let moving = table().iter().filter(|row| row.kind() == Kind::Image && row.targets.contains(&Target::Boxes));
    let samples = moving.flat_map(|row| row.samples.iter().map(move |sample| (row.name, *sample)));
    let chains = samples.map(|(name, sample)| vec![(name, sample)]).chain([
        vec![("rotate", r#"{"degrees": 30}"#), ("random_resized_crop", r#"{"size": 40, "area": [0.3, 0.9]}"#)],
        vec![("center_crop", r#"{"size": 24}"#), ("rotate", r#"{"degrees": 60}"#), ("horizontal_flip", "{}")],
        vec![("center_crop", r#"{"size": 24}"#), ("equalize", "{}"), ("rotate", r#"{"degrees": 60}"#)],
        vec![
            ("center_crop", r#"{"size": 20}"#),
            ("translate", r#"{"fraction": [0.5, 0.5]}"#),
            ("rotate", r#"{"degrees": 30}"#),
        ],
        vec![("center_crop", r#"{"size": 26}"#), ("elastic", r#"{"alpha": 30, "sigma": 5}"#)],
        vec![("elastic", r#"{"alpha": 30, "sigma": 5}"#), ("rotate", r#"{"degrees": 20}"#), ("horizontal_flip", "{}")],
        vec![
            ("resize", r#"{"size": 30}"#),
            ("gaussian_blur", r#"{"sigma": [1, 2]}"#),
            ("resize", r#"{"size": [90, 70]}"#),
        ],
    ]);
    chains.flat_map(|chain| {
        let name = format!("{chain:?}");
        let option = |sample: &str| serde_json::from_str::<Value>(sample).unwrap();
        let specs: Vec<_> = chain.iter().map(|(name, sample)| Choice::new(*name, option(sample))).collect();
        let chain = Chain::parse(&specs).unwrap();
        (0..6).map(move |row| (name.clone(), chain.draw_image(&FACTS, &DrawKey { seed: 5, epoch: 0, row }).unwrap()))
    })
}

/// Those in which each place of the source is seen once at most.
fn unfolded() -> impl Iterator<Item = (String, ImageDrawing)> {
    let folds = |name: &str| ["edge", "reflect", "wrap"].iter().any(|border| name.contains(border));
    drawings().filter(move |(name, _)| !folds(name))
}

/// The source pixel that each output pixel of a mask comes from, or −1.
fn numbered(drawing: &ImageDrawing) -> Mask {
    let classes = (0..(FACTS.width * FACTS.height) as i32).collect();
    let mask = Mask { width: FACTS.width, height: FACTS.height, classes };
    let targets = Targets { mask: Some(mask), ..Targets::default() };
    targets.moved_with_image(drawing, &MoveRules { outside: -1, ..MoveRules::default() }).unwrap().mask.unwrap()
}

/// Each pixel of a mask has the one number of the source pixel that its centre comes from, asked step by step.
#[test]
fn masks_take_the_pixel_that_each_centre_comes_from() {
    for (name, drawing) in drawings() {
        let mask = numbered(&drawing);
        let facts = drawing.output(&FACTS);
        assert_eq!((mask.width, mask.height), (facts.width, facts.height), "{name}");
        for (index, got) in (0..).zip(&mask.classes) {
            let center = (f64::from(index % mask.width) + 0.5, f64::from(index / mask.width) + 0.5);
            let Some((u, v)) = source_of(&drawing, center) else {
                assert_eq!(*got, -1, "{name}: {center:?}");
                continue;
            };
            // where it comes from an edge between two pixels, either will do
            let near = |place: f64, length: u32| {
                [place - 1e-6, place + 1e-6].map(|p| p.clamp(0.0, f64::from(length - 1) + 0.5) as i32)
            };
            let (columns, rows) = (near(u, FACTS.width), near(v, FACTS.height));
            let allowed = rows.iter().any(|row| columns.iter().any(|column| row * FACTS.width as i32 + column == *got));
            assert!(allowed, "{name}: {center:?} comes from ({u}, {v}), and is {got}");
        }
    }
}

/// Key points land within half a pixel of the pixels they mark, and are marked where those left the picture.
#[test]
fn key_points_land_where_their_pixels_land() {
    let mut found = 0;
    for (name, drawing) in unfolded() {
        let mask = numbered(&drawing);
        // some of the pixels, on all rows and columns
        for (index, number) in (0..).zip(&mask.classes).step_by(23).filter(|(_, number)| **number >= 0) {
            let (width, number) = (mask.width, *number as u32);
            let (x, y) = (f64::from(index % width) + 0.5, f64::from(index / width) + 0.5);
            let source = (f64::from(number % FACTS.width) + 0.5, f64::from(number / FACTS.width) + 0.5);
            let point = KeyPoint { x: source.0, y: source.1, visible: true };
            let targets = Targets { key_points: vec![point], ..Targets::default() };
            let moved = targets.moved_with_image(&drawing, &MoveRules::default()).unwrap().key_points[0];
            // the source pixel's centre is at most half a source pixel from where the output pixel's centre comes from
            let reach = [(-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5)].map(|(right, down)| {
                let (u, v) = drawing.project_point(source.0 + right, source.1 + down);
                (u - moved.x).abs().max((v - moved.y).abs())
            });
            let reach = 2.0 * reach.iter().fold(0.0f64, |most, reach| most.max(*reach)) + 0.05;
            assert!(
                (moved.x - x).abs() <= reach && (moved.y - y).abs() <= reach,
                "{name}: {moved:?}, pixel ({x}, {y})"
            );
            found += 1;
        }
        let away = KeyPoint { x: -500.0, y: 3.0, visible: true };
        let targets = Targets { key_points: vec![away], ..Targets::default() };
        let moved = targets.moved_with_image(&drawing, &MoveRules::default()).unwrap().key_points[0];
        assert!(!moved.visible || drawing.steps.is_empty(), "{name}");
    }
    assert!(found > 3_000, "{found}");
}

/// A box holds the pixels that were in it, touches them on each side, and holds no others where nothing is turned.
#[test]
fn boxes_are_around_their_pixels() {
    let bounds = BoundingBox { left: 12.0, top: 9.0, right: 41.0, bottom: 30.0, label: 1 };
    for (name, drawing) in unfolded() {
        let targets = Targets { boxes: vec![bounds], ..Targets::default() };
        let moved = targets.moved_with_image(&drawing, &MoveRules::default()).unwrap().boxes;
        let mask = numbered(&drawing);
        let inside = (0u32..).zip(&mask.classes).filter(|(_, number)| {
            let (x, y) = (f64::from(**number % FACTS.width as i32), f64::from(**number / FACTS.width as i32));
            **number >= 0 && x >= bounds.left && x < bounds.right && y >= bounds.top && y < bounds.bottom
        });
        let places: Vec<(f64, f64)> =
            inside.map(|(index, _)| (f64::from(index % mask.width), f64::from(index / mask.width))).collect();
        let Some(moved) = moved.first() else {
            assert!(places.len() < 3, "{name}: {} pixels are left", places.len());
            continue;
        };
        if places.is_empty() {
            assert!(moved.right - moved.left < 1.5 || moved.bottom - moved.top < 1.5, "{name}: {moved:?}");
            continue;
        }
        let bound = |place: fn(&(f64, f64)) -> f64| {
            let low = places.iter().map(place).fold(f64::INFINITY, f64::min);
            (low, places.iter().map(place).fold(f64::NEG_INFINITY, f64::max) + 1.0)
        };
        let ((left, right), (top, bottom)) = (bound(|place| place.0), bound(|place| place.1));
        // a corner that is turned ends between pixels
        let slack = if name.contains("rotate") || name.contains("elastic") { 1.6 } else { 0.5001 };
        let slack = slack * f64::from(mask.width.max(FACTS.width)) / f64::from(FACTS.width);
        for (got, wanted) in [(moved.left, left), (moved.right, right), (moved.top, top), (moved.bottom, bottom)] {
            assert!((got - wanted).abs() <= slack, "{name}: {moved:?}, pixels {left}..{right}, {top}..{bottom}");
        }
    }
}

#[test]
fn boxes_that_are_hardly_visible_are_removed() {
    let crop = Choice::new("center_crop", serde_json::json!({"size": [30, 44]}));
    let drawing = Chain::parse(&[crop]).unwrap().draw_image(&FACTS, &DrawKey { seed: 0, epoch: 0, row: 0 }).unwrap();
    // the crop begins at column 15: a quarter of the box is left
    let bounds = BoundingBox { left: 3.0, top: 4.0, right: 19.0, bottom: 20.0, label: 2 };
    let targets = Targets { boxes: vec![bounds], ..Targets::default() };
    for (least_visible, stays) in [(0.0, true), (0.25, true), (0.26, false), (1.0, false)] {
        let rules = MoveRules { least_visible, ..MoveRules::default() };
        let moved = targets.moved_with_image(&drawing, &rules).unwrap().boxes;
        let wanted = BoundingBox { left: 0.0, right: 4.0, ..bounds };
        assert_eq!(moved, if stays { vec![wanted] } else { Vec::new() }, "{least_visible}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let drawing = Chain::default().draw_image(&FACTS, &DrawKey { seed: 0, epoch: 0, row: 0 }).unwrap();
    for (mask, message) in [
        (
            Mask { width: 5, height: 4, classes: vec![0; 20] },
            "the drawing was made for an image of 60×44 pixels, and this one has 5×4",
        ),
        (
            Mask { width: 5, height: 4, classes: vec![0; 19] },
            "an image of 5×4 pixels with 1 channels has 20 values, got 19",
        ),
        (
            Mask { width: 60, height: 44, classes: vec![i32::MIN; 60 * 44] },
            "a mask has classes of at most 16777216 either way, got -2147483648",
        ),
    ] {
        let targets = Targets { mask: Some(mask), ..Targets::default() };
        let error = targets.moved_with_image(&drawing, &MoveRules::default()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}
