//! Images of other channels and depths are rendered as those of 8-bit red, green, blue are.

use super::*;
use crate::raster::{Raster, Samples};
use crate::steps::{StepRow, rows};
use crate::{Depth, DrawnStep, ImageStep};

const SIZE: [u32; 2] = [41, 33];

fn level(index: u32) -> u8 {
    let (x, y) = (f64::from(index % SIZE[0]), f64::from(index / SIZE[0]));
    (125.0 + 70.0 * (x / 6.0).sin() * (y / 8.0).cos() + 40.0 * (x / 3.0 + y / 5.0).sin()) as u8
}

/// The same grey in every channel.
fn grey(channels: u32, depth: Depth) -> Raster {
    let levels = (0..SIZE[0] * SIZE[1]).flat_map(|index| (0..channels).map(move |_| level(index)));
    let samples = match depth {
        Depth::U8 => Samples::U8(levels.collect()),
        Depth::U16 => Samples::U16(levels.map(|level| u16::from(level) * 257).collect()),
        Depth::F32 => Samples::F32(levels.map(|level| f32::from(level) / 255.0).collect()),
    };
    Raster { width: SIZE[0], height: SIZE[1], channels, samples }
}

fn render(steps: &[ImageStep], image: &Raster) -> Result<Vec<f32>, TransformError> {
    let named = |step: &ImageStep| DrawnStep { transform: "test".into(), step: step.clone() };
    let drawing = ImageDrawing { source: image.facts(), steps: steps.iter().map(named).collect() };
    let mut out = vec![f32::NAN; drawing.output(&image.facts()).value_count()];
    drawing.render(image, &mut Scratch::default(), &mut out).map(|()| out)
}

fn step(row: &StepRow, sample: &str) -> ImageStep {
    serde_json::from_str(&format!("{{\"{}\": {sample}}}", row.name)).unwrap()
}

/// Every step that treats channels alike, alone and between a blur and each map: the planes are those of three channels.
#[test]
fn every_channel_and_depth_gives_the_same_picture() {
    let alike = |row: &&StepRow| !["add_noise", "hue", "normalize", "saturation"].contains(&row.name);
    let samples = rows().filter(alike).flat_map(|row| row.samples.iter().map(move |sample| step(row, sample)));
    let samples: Vec<ImageStep> = samples.collect();
    let mut chains: Vec<Vec<ImageStep>> = samples.iter().map(|step| vec![step.clone()]).collect();
    let blur = samples.iter().find(|step| step.step().name() == "gaussian_blur").unwrap();
    let maps = samples.iter().filter(|step| step.moves_pixels());
    chains.extend(maps.flat_map(|map| samples.iter().map(|step| vec![blur.clone(), step.clone(), map.clone()])));
    for chain in chains {
        // a fill of three values is another grey
        let fills = chain.iter().any(|step| step.moves_pixels());
        let wanted = render(&chain, &grey(3, Depth::U8)).unwrap();
        let plane = wanted.len() / 3;
        for (channels, depth) in [
            (1, Depth::U8),
            (2, Depth::U8),
            (4, Depth::U8),
            (5, Depth::U8),
            (3, Depth::U16),
            (1, Depth::U16),
            (3, Depth::F32),
            (7, Depth::F32),
        ] {
            let got = render(&chain, &grey(channels, depth)).unwrap();
            assert_eq!(got.len(), plane * channels as usize, "{channels} {depth:?}");
            assert!(got.iter().all(|value| value.is_finite()), "{channels} {depth:?} {chain:?}");
            assert!(
                got.chunks(plane).all(|other| channels == 3 || *other == got[..plane]),
                "{channels} {depth:?} {chain:?}"
            );
            let differences = || {
                let pairs = got[..plane].iter().zip(&wanted[..plane]);
                pairs.map(|(a, b)| 255.0 * (a - b).abs())
            };
            let mean = differences().sum::<f32>() / plane as f32;
            let exact = depth == Depth::U8 && channels <= 4;
            // between stages others are not rounded to bytes, and a shrunk warp is filtered with finer weights
            let limit = if exact { 0.01 } else { 1.2 };
            assert!(fills || mean <= limit, "{channels} {depth:?}: {mean}: {chain:?}");
        }
    }
}

#[test]
fn colours_and_channels_that_do_not_fit_are_refused() {
    for row in rows() {
        for sample in row.samples {
            let refused = ["hue", "normalize", "saturation"].contains(&row.name);
            let rendered = render(&[step(row, sample)], &grey(4, Depth::U8));
            assert_eq!(rendered.is_err(), refused, "{} {sample}: {rendered:?}", row.name);
        }
    }
    let normalize = rows().find(|row| row.name == "normalize").unwrap();
    let error = render(&[step(normalize, normalize.samples[0])], &grey(1, Depth::F32)).unwrap_err();
    let message = "drawn step 1 (test): mean has 3 numbers and std 3, and the image has 1 channels";
    assert_eq!(error.to_string(), message);
    let one = step(normalize, r#"{"mean": [0.5], "std": [0.25]}"#);
    let values = render(&[one], &grey(1, Depth::U8)).unwrap();
    assert!((values[0] - (f32::from(level(0)) / 255.0 - 0.5) / 0.25).abs() < 1e-5);
    let none = Raster { channels: 0, ..grey(1, Depth::U8) };
    let message = "an image of 0 channels cannot be transformed; 1 to 256 are possible";
    assert_eq!(render(&[], &none).unwrap_err().to_string(), message);
    let short = Raster { width: 40, ..grey(1, Depth::U16) };
    let message = "an image of 40×33 pixels with 1 channels has 1320 values, got 1353";
    assert_eq!(render(&[], &short).unwrap_err().to_string(), message);
}

/// A 16-bit image keeps what 8 bits cannot hold.
#[test]
fn depth_is_kept_between_stages() {
    let image = Raster { width: 3, height: 1, channels: 1, samples: Samples::U16(vec![1000, 1100, 1200]) };
    let rows: Vec<_> = rows().filter(|row| row.name == "gaussian_blur").collect();
    let blurred = render(&[step(rows[0], r#"{"sigma": 0.1}"#), step(rows[0], r#"{"sigma": 0.1}"#)], &image).unwrap();
    for (value, wanted) in blurred.iter().zip([1000.0, 1100.0, 1200.0]) {
        assert!((value * 65535.0 - wanted).abs() < 0.1, "{blurred:?}");
    }
}
