//! What every sample of the table draws, and what comes out, against `golden.txt`: whoever changes either breaks runs
//! that are resumed and rows that are replayed, and should know it.
//!
//! `MILLSTREAM_UPDATE_GOLDEN=1 cargo test -p millstream-transforms --test golden` writes the file anew.

use std::path::Path;

use millstream_schemas::Choice;
use millstream_schemas::Fingerprint;
use millstream_transforms::{Chain, DrawKey, ImageFacts, Kind, RgbImage, Scratch, table};
use serde_json::{Value, json};

const ROWS: u64 = 3;
const FACTS: ImageFacts = ImageFacts::new(64, 48);
const TEXT: &str = "The quick bröwn fox jumps över the lazy 狗, again and again.";

/// Waves, so that every kernel and every direction shows.
fn picture() -> RgbImage {
    let byte = |x: u32, y: u32, channel: u32| (x * (3 + channel) + y * (7 - channel) + x * y % 11) as u8;
    let at = |y| (0..FACTS.width).flat_map(move |x| (0..3).map(move |channel| byte(x, y, channel)));
    RgbImage { width: FACTS.width, height: FACTS.height, pixels: (0..FACTS.height).flat_map(at).collect() }
}

/// One line for each step: its caption, then all of it as JSON.
fn line(golden: &mut String, caption: &impl std::fmt::Display, step: &impl serde::Serialize) {
    let json = serde_json::to_string(step).expect("steps have string keys");
    *golden += &format!("    {caption}\n        {json}\n");
}

fn drawn(golden: &mut String, chain: &Chain, kind: Kind, key: &DrawKey, pixels: &mut Vec<u8>) {
    match kind {
        Kind::Batch => {
            let drawing = chain.draw_batch(&[true, true, false, true, true, true], key);
            drawing.steps.iter().for_each(|step| line(golden, step, step));
        }
        Kind::Text => {
            let drawing = chain.draw_text(TEXT, key).expect("a chain for text");
            drawing.edits.iter().for_each(|edit| *golden += &format!("    {edit}\n"));
        }
        _ => {
            let drawing = chain.draw_image(&FACTS, key).expect("a chain for images");
            drawing.steps.iter().for_each(|step| line(golden, step, step));
            let (width, height) = drawing.output_size(&FACTS);
            let mut values = vec![0.0f32; 3 * width as usize * height as usize];
            let rendered = drawing.render(&picture(), &mut Scratch::default(), &mut values);
            rendered.expect("the buffer is as long as the drawing says");
            pixels.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
    }
}

/// What steps do to each other: fused, cut apart, and through 8-bit pixels.
fn chains() -> [Value; 9] {
    let crop = json!({"random_resized_crop": {"size": [40, 30], "area": [0.2, 0.7]}});
    let turn = json!({"rotate": {"degrees": 40, "fill": [10, 200, 30]}});
    let noise = json!({"gaussian_noise": {"sigma": 0.1}});
    let middle = json!({"center_crop": {"size": [33, 21]}});
    let normalize = json!({"normalize": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}});
    let kernel = |name: &str| json!({"resize": {"size": [50, 70], "kernel": name}});
    [
        json!([]),
        json!([crop, turn, "horizontal_flip", noise, normalize]),
        json!([noise, middle, "vertical_flip", noise]),
        json!([{"resize": {"shorter_side": 20}}, turn, {"resize": {"size": 64, "kernel": "cubic"}}, normalize]),
        json!([turn, {"translate": {"fraction": [0.2, 0.1]}}, turn, {"resize": {"size": 24, "kernel": "area"}}]),
        json!([kernel("lanczos3"), turn]),
        json!([kernel("nearest"), turn, noise]),
        json!([kernel("area"), middle, normalize]),
        json!([noise, noise, {"translate": {"fraction": [0.4, 0.4], "fill": [1, 2, 3]}}, crop]),
    ]
}

#[test]
fn drawings_and_pixels_are_those_of_the_golden_file() {
    let samples = table().iter().flat_map(|row| row.samples.iter().map(move |sample| (row, *sample)));
    let samples = samples.map(|(row, sample)| {
        let options = serde_json::from_str(sample).unwrap();
        (format!("{} {sample}", row.name), vec![Choice::new(row.name, options)], row.kind())
    });
    let chains = chains().map(|specs| (specs.to_string(), serde_json::from_value(specs).unwrap(), Kind::Image));
    let mut golden = String::new();
    for (name, specs, kind) in samples.chain(chains) {
        let chain = Chain::parse(&specs).unwrap();
        let mut pixels = Vec::new();
        golden += &format!("{name}\n");
        for number in 0..ROWS {
            golden += &format!("  row {number}\n");
            let key = DrawKey { seed: 3, epoch: 0, row: number };
            drawn(&mut golden, &chain, kind, &key, &mut pixels);
        }
        if !pixels.is_empty() {
            golden += &format!("  pixels {}\n", Fingerprint::of_bytes(&pixels));
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden.txt");
    if std::env::var_os("MILLSTREAM_UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &golden).unwrap();
    }
    let wanted = std::fs::read_to_string(&file).unwrap();
    for (number, (got, wanted)) in golden.lines().zip(wanted.lines()).enumerate() {
        assert_eq!(got, wanted, "line {} of {}; see the head of this test", number + 1, file.display());
    }
    assert_eq!(golden.lines().count(), wanted.lines().count(), "lines of {}", file.display());
}
