//! Random chains of all steps: no more is made than is used, and what is made is what the steps say.

use proptest::prelude::*;

use super::reference::render_all;
use super::*;
use crate::properties::seeded;
use crate::steps::rows;
use crate::{DrawnStep, ImageStep};

/// Every sample of every step of the tables.
fn samples() -> Vec<ImageStep> {
    let read = |row: &crate::steps::StepRow, sample: &str| {
        serde_json::from_str(&format!("{{\"{}\": {sample}}}", row.name)).unwrap_or_else(|e| panic!("{}: {e}", row.name))
    };
    rows().flat_map(|row| row.samples.iter().map(move |sample| read(row, sample))).collect()
}

/// Whether it takes pixels as they are, or leaves them where they are.
fn keeps_pixels(step: &ImageStep) -> bool {
    let ImageStep::Map(map) = step else { return true };
    match map.place() {
        crate::steps::map::Place::Displaced(_) => false,
        crate::steps::map::Place::Projected(matrix) => matrix.0[0].abs() == 1.0 && matrix.is_axis_aligned(),
    }
}

fn drawing(steps: Vec<ImageStep>, image: &RgbImage) -> ImageDrawing {
    let named = |step| DrawnStep { transform: "test".into(), step };
    ImageDrawing { source: image.facts(), steps: steps.into_iter().map(named).collect() }
}

/// Soft colours with some grain.
fn photo(width: u32, height: u32) -> RgbImage {
    let mut random = crate::Random::new(3, 1);
    let pixel = |index: u32| {
        let (x, y) = (f64::from(index % width), f64::from(index / width));
        let wave = |shift: f64| 120.0 + 80.0 * ((x / 7.0 + shift).sin() * (y / 9.0 - shift).cos());
        [wave(0.0), wave(1.0), wave(2.5)]
    };
    let pixels = (0..width * height).flat_map(pixel).map(|value| (value + 30.0 * random.uniform_f64()) as u8).collect();
    RgbImage { width, height, pixels }
}

fn rendered(plan: &ImagePlan<'_>, image: &RgbImage) -> Vec<f32> {
    let mut out = vec![f32::NAN; plan.output().value_count()];
    plan.render(&image.into(), &mut Scratch::default(), &mut out).unwrap();
    out
}

/// The largest and the mean difference, of 255.
fn apart(got: &[f32], wanted: &[f32]) -> (f32, f32) {
    assert_eq!(got.len(), wanted.len());
    let differences = || got.iter().zip(wanted).map(|(a, b)| 255.0 * (a - b).abs());
    (differences().fold(0.0, f32::max), differences().sum::<f32>() / got.len() as f32)
}

fn chains(only: fn(&ImageStep) -> bool) -> impl Strategy<Value = Vec<ImageStep>> {
    // what is for models alone stands last
    let for_pixels = samples().into_iter().filter(move |step| only(step) && !step.is_for_models()).collect::<Vec<_>>();
    prop::collection::vec(prop::sample::select(for_pixels), 1..7)
}

/// Equalizing counts pixels of each level in whole steps: of images that differ by a rounding it makes different ones, and the
/// more so when it is done twice. In front of a chain both sides equalize the same image.
fn equalized_first_or_not(steps: Vec<ImageStep>) -> Vec<ImageStep> {
    let stays = |(at, step): &(usize, ImageStep)| *at == 0 || step.step().name() != "equalize";
    steps.into_iter().enumerate().filter(stays).map(|(_, step)| step).collect()
}

#[test]
fn each_step_is_what_its_twin_makes() {
    let image = photo(33, 26);
    for step in samples() {
        let limit = match &step {
            // 8-bit weights, and interpolation after a filter
            ImageStep::Map(_) if !keeps_pixels(&step) => (2.5, 0.6),
            _ if step.is_for_models() => (0.05, 0.01),
            _ => (0.02, 0.001),
        };
        let drawing = drawing(vec![step], &image);
        let got = rendered(&drawing.plan(&image.facts()).unwrap(), &image);
        let (most, mean) = apart(&got, &render_all(&drawing.steps, &image));
        assert!(most <= limit.0 && mean <= limit.1, "{:?}: most {most}, mean {mean}", drawing.steps);
    }
}

proptest! {
    #![proptest_config(seeded(400))]

    /// Where pixels are taken as they are, bit for bit.
    #[test]
    fn windows_change_no_bit(steps in chains(keeps_pixels), width in 1u32..50, height in 1u32..50) {
        let image = photo(width, height);
        let drawing = drawing(steps, &image);
        let whole = ImagePlan::without_windows(&image.facts(), &drawing.steps).unwrap();
        prop_assert!(rendered(&drawing.plan(&image.facts()).unwrap(), &image) == rendered(&whole, &image));
    }

    /// Where they are resampled, but for rounding, and for where the pixels of what is filtered before a turn begin.
    #[test]
    fn windows_change_nothing_but_rounding(steps in chains(|_| true).prop_map(equalized_first_or_not), width in 1u32..50, height in 1u32..50) {
        let image = photo(width, height);
        let drawing = drawing(steps, &image);
        let whole = ImagePlan::without_windows(&image.facts(), &drawing.steps).unwrap();
        let windowed = rendered(&drawing.plan(&image.facts()).unwrap(), &image);
        let (most, mean) = apart(&windowed, &rendered(&whole, &image));
        prop_assert!(most <= 30.0 && mean <= 1.5, "most {most}, mean {mean}: {:?}", drawing.steps);
    }

    /// One after the other and on whole images, by the definitions.
    #[test]
    fn chains_are_what_their_twins_make(
        steps in chains(keeps_pixels).prop_map(equalized_first_or_not),
        width in 1u32..50,
        height in 1u32..50,
    ) {
        let image = photo(width, height);
        let drawing = drawing(steps, &image);
        let got = rendered(&drawing.plan(&image.facts()).unwrap(), &image);
        let (most, mean) = apart(&got, &render_all(&drawing.steps, &image));
        prop_assert!(most <= 8.0 && mean <= 0.5, "most {most}, mean {mean}: {:?}", drawing.steps);
    }

    /// The decoded part gives the same bytes as the whole image, and memory is stated.
    #[test]
    fn the_requested_part_is_enough(steps in chains(|_| true), width in 1u32..50, height in 1u32..50) {
        let image = photo(width, height);
        let drawing = drawing(steps, &image);
        let plan = drawing.plan(&image.facts()).unwrap();
        let request = plan.decode_request();
        let row = |y: u32| {
            let start = ((y * width + request.left) * 3) as usize;
            &image.pixels[start..start + request.width as usize * 3]
        };
        let pixels = (request.top..request.top + request.height).flat_map(row).copied().collect();
        let part = RgbImage { width: request.width, height: request.height, pixels };
        let source = SourceImage::rgb_part(image.facts(), [request.left, request.top], &part);
        let mut out = vec![f32::NAN; plan.output().value_count()];
        plan.render(&source, &mut Scratch::default(), &mut out).unwrap();
        prop_assert!(out == rendered(&plan, &image));
    }
}
