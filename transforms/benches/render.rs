//! Microseconds an image, for the chains of the published comparison and for every sample of the table:
//! `cargo bench -p millstream-transforms`.
//!
//! An argument such as `cargo bench -p millstream-transforms -- 2000` sets the number of images.
#![expect(clippy::print_stdout, reason = "a bench prints")]

use std::time::Duration;

use millstream_schemas::Choice;
use millstream_transforms::{Chain, DrawKey, ImageFacts, Kind, RgbImage, Scratch, table};
use serde_json::{Value, json};

const DRAWS: u64 = 50;
const FACTS: ImageFacts = ImageFacts::new(500, 375);

fn main() {
    let images: u64 = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(2000);
    let crop = json!({"random_resized_crop": {"size": 224}});
    let flip = json!("horizontal_flip");
    // as the published comparison turns: black corners
    let turn = json!({"rotate": {"degrees": 15, "border": "fill"}});
    let turn_within = json!({"rotate": {"degrees": 15}});
    let noise = json!({"gaussian_noise": {"sigma": 0.05}});
    let amounts =
        json!({"brightness": 0.4, "contrast": 0.4, "contrast_about": "middle", "saturation": 0.4, "hue": 0.1});
    let jitter = json!({ "color_jitter": amounts });
    let blur = json!({"gaussian_blur": {"sigma": [0.1, 2]}});
    let center = json!({"center_crop": {"size": 96}});
    let normalize = json!({"normalize": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}});
    println!("from 500×375, processor time of one thread, {images} images a line, best of 5");
    let published = [
        ("(A)  crop 224, flip, rotate, noise, normalize", json!([crop, flip, turn, noise, normalize])),
        ("(A1) the same, the picture around the crop", json!([crop, flip, turn_within, noise, normalize])),
        ("(A0) crop 224, flip, normalize", json!([crop, flip, normalize])),
        ("(B)  crop 224, flip, jitter, blur, normalize", json!([crop, flip, jitter, blur, normalize])),
        ("(B0) jitter, blur, crop 224, flip, normalize", json!([jitter, blur, crop, flip, normalize])),
        ("(B1) jitter, blur, center crop 96, normalize", json!([jitter, blur, center, normalize])),
    ];
    let published = published.into_iter().map(|(name, specs)| (name.to_owned(), specs));
    let images_only = table().iter().filter(|row| matches!(row.kind(), Kind::Image | Kind::Combine));
    let samples = images_only.flat_map(|row| {
        row.samples.iter().map(|sample| {
            let options: Value = serde_json::from_str(sample).expect("samples are JSON");
            (format!("{} {sample}", row.name), json!([{row.name: options}]))
        })
    });
    for (name, specs) in published.chain(samples) {
        let (draw, render) = (0..5)
            .map(|_| time(&specs, images))
            .fold((f64::MAX, f64::MAX), |best, run| (best.0.min(run.0), best.1.min(run.1)));
        println!("{name:<90} draw {draw:6.2} µs  render {render:7.1} µs");
    }
}

/// Microseconds an image for drawing and for rendering.
fn time(specs: &Value, images: u64) -> (f64, f64) {
    let specs: Vec<Choice> = serde_json::from_value(specs.clone()).expect("a list of transforms");
    let chain = Chain::parse(&specs).expect("a chain of images");
    let pixels = (0..FACTS.width * FACTS.height * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let photo = RgbImage { width: FACTS.width, height: FACTS.height, pixels };
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    let draw = |row| chain.draw_image(&FACTS, &DrawKey { seed: 0, epoch: 0, row }).expect("the image has pixels");
    let begin = clock();
    // drawing is far shorter than the system's clock ticks
    for row in 0..images * DRAWS {
        std::hint::black_box(draw(row));
    }
    let drawn = clock();
    let drawings: Vec<_> = (0..images).map(draw).collect();
    let ready = clock();
    for drawing in &drawings {
        let (width, height) = drawing.output_size(&FACTS);
        out.resize(3 * width as usize * height as usize, 0.0f32);
        drawing.render(&photo, &mut scratch, &mut out).expect("the drawing is whole");
        std::hint::black_box(&out);
    }
    let each = |time: Duration| time.as_secs_f64() * 1e6 / images as f64;
    (each(drawn - begin) / DRAWS as f64, each(clock() - ready))
}

/// Time this thread has had a processor, where the system says so: a busy machine does not falsify it.
fn clock() -> Duration {
    static BEGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let begin = *BEGIN.get_or_init(std::time::Instant::now);
    let scheduled = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = scheduled.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanoseconds.map_or_else(|| begin.elapsed(), Duration::from_nanos)
}
