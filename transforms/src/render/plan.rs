//! Composing a run of geometric steps into one way to sample the source.

use super::{LARGEST_SIDE, Pixels};
use crate::matrix::corners;
use crate::{DecodeRequest, DrawnStep, ImageFacts, ImageStep, Kernel, Matrix, RgbImage, TransformError};

/// Rounding that composed maps are allowed, in pixels.
const SLACK: f64 = 1e-6;

/// Output pixels whose centre does not come from inside the input of one step get its fill.
#[derive(Clone, Debug)]
pub(super) struct Clip {
    /// From the output to that input.
    pub(super) matrix: Matrix,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) fill: [u8; 3],
}

/// How output pixels are had from the region of the source.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sampling {
    /// Pixel for pixel.
    Copy { mirror_x: bool, mirror_y: bool },
    /// Along the axes; `crop` is left, top, width, height within the region.
    Resize { crop: [f64; 4], mirror_x: bool, mirror_y: bool, kernel: Kernel },
    /// Any map; the region is shrunk to `shrunk` pixels first where the output is coarser, and `matrix` leads from the
    /// output to those.
    Warp { shrunk: [u32; 2], matrix: Matrix, kernel: Kernel },
}

/// What is sampled, and how.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Left, top, width and height of what is used of the source.
    pub(super) region: [u32; 4],
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) shrink: f64,
    pub(super) sampling: Sampling,
}

/// A geometric step, taken apart.
struct Projection {
    matrix: Matrix,
    width: u32,
    height: u32,
    fill: [u8; 3],
    kernel: Kernel,
}

impl Plan {
    /// Plans the rendering of `steps` (all geometric; the first is number `before` of its drawing) from an image of
    /// this size. Fills `clips`, the last step's first.
    pub(super) fn new(
        facts: &ImageFacts,
        steps: &[DrawnStep],
        before: usize,
        clips: &mut Vec<Clip>,
    ) -> Result<Self, TransformError> {
        clips.clear();
        let mut total = Matrix::IDENTITY;
        let mut output = *facts;
        for (index, drawn) in steps.iter().enumerate().rev() {
            let step = projection(drawn, before + index)?;
            if index + 1 == steps.len() {
                output = ImageFacts { width: step.width, height: step.height };
            }
            total = step.matrix.after(&total);
            let input = match index.checked_sub(1) {
                Some(previous) => projection(&steps[previous], before + previous)?.size(),
                None => *facts,
            };
            if !step.stays_inside(&input) {
                let (width, height) = (f64::from(input.width), f64::from(input.height));
                clips.push(Clip { matrix: total, width, height, fill: step.fill });
            }
        }
        if let Some(drawn) = steps.last()
            && !corners(output.width, output.height).iter().all(|(x, y)| total.depth(*x, *y) > SLACK)
        {
            let transform = drawn.transform.to_string();
            let message = "the composed map folds the image over".into();
            return Err(TransformError::Step { index: before + steps.len() - 1, transform, message });
        }
        let kernel = steps.iter().filter_map(|drawn| projection(drawn, 0).ok()).find(Projection::resizes);
        let kernel = kernel.map_or(Kernel::Bilinear, |step| step.kernel);
        let hard = hard_edges(facts, steps);
        Ok(Self::of(&total, output, hard, kernel, clips.is_empty()))
    }

    fn of(total: &Matrix, output: ImageFacts, hard: [f64; 4], kernel: Kernel, unclipped: bool) -> Self {
        let ImageFacts { width, height } = output;
        let [across, down] = scales(total, &output);
        let shrink = across.min(down);
        let [a, _, x, _, e, y, ..] = total.0;
        let (mirror_x, mirror_y) = (a < 0.0, e < 0.0);
        let aligned = unclipped && total.is_axis_aligned();
        let [left, top, right, bottom] = total.bounds(width, height).map(snap);
        let unit = a.abs() == 1.0 && e.abs() == 1.0;
        if aligned && unit && is_whole(x) && is_whole(y) {
            let region = [left as u32, top as u32, width, height];
            return Self { region, width, height, shrink, sampling: Sampling::Copy { mirror_x, mirror_y } };
        }
        let reach = |scale: f64| support(kernel) * scale.max(1.0) + 1.0;
        let region = grown([left, top, right, bottom], [reach(across), reach(down)], hard);
        // a shift by part of a pixel is left to the warp: resizing would take it for a copy
        if aligned && !unit {
            let (from_left, from_top) = (left - f64::from(region[0]), top - f64::from(region[1]));
            let (from_left, from_top) = (from_left.max(0.0), from_top.max(0.0));
            let crop = [
                from_left,
                from_top,
                (right - left).min(f64::from(region[2]) - from_left),
                (bottom - top).min(f64::from(region[3]) - from_top),
            ];
            let sampling = Sampling::Resize { crop, mirror_x, mirror_y, kernel };
            return Self { region, width, height, shrink, sampling };
        }
        let coarse = |length: u32, scale: f64| {
            let shrinks = scale > 1.0 + SLACK && kernel != Kernel::Nearest;
            if shrinks { ((f64::from(length) / scale).round() as u32).max(1) } else { length }
        };
        let shrunk = [coarse(region[2], across), coarse(region[3], down)];
        let (x, y) = (f64::from(shrunk[0]) / f64::from(region[2]), f64::from(shrunk[1]) / f64::from(region[3]));
        let to_shrunk = Matrix::scale_then_move(x, y, -f64::from(region[0]) * x, -f64::from(region[1]) * y);
        let sampling = Sampling::Warp { shrunk, matrix: to_shrunk.after(total), kernel };
        Self { region, width, height, shrink, sampling }
    }

    /// Bytes of the pixels that are copied or resized before the output's rows are made of them, and of those between
    /// the vertical and the horizontal pass of a resize.
    pub(super) fn buffer_bytes(&self) -> u64 {
        let [.., across, down] = self.region;
        let bytes = |width: u32, height: u32| u64::from(width).saturating_mul(u64::from(height)).saturating_mul(3);
        let resized = |[width, height]: [u32; 2]| bytes(width, height).saturating_add(bytes(across, height));
        match self.sampling {
            Sampling::Copy { .. } => 0,
            Sampling::Resize { .. } => resized([self.width, self.height]),
            Sampling::Warp { shrunk, .. } if shrunk == [across, down] => bytes(across, down),
            Sampling::Warp { shrunk, .. } => resized(shrunk),
        }
    }

    /// The region's pixels within a decoded image that begins at (`left`, `top`) of the whole.
    pub(super) fn view<'a>(&self, image: &'a RgbImage, left: u32, top: u32) -> Result<Pixels<'a>, TransformError> {
        let [x, y, width, height] = self.region;
        let there = x >= left
            && y >= top
            && u64::from(x) + u64::from(width) <= u64::from(left) + u64::from(image.width)
            && u64::from(y) + u64::from(height) <= u64::from(top) + u64::from(image.height);
        if !there {
            let request = |[left, top, width, height]: [u32; 4]| {
                DecodeRequest { left, top, width, height, shrink: 1.0 }.to_string()
            };
            let got = request([left, top, image.width, image.height]);
            return Err(TransformError::MissingRegion { wanted: request(self.region), got });
        }
        Ok(Pixels { bytes: &image.pixels, stride: image.width as usize, left: x - left, top: y - top })
    }
}

impl Projection {
    fn size(&self) -> ImageFacts {
        ImageFacts { width: self.width, height: self.height }
    }

    /// Whether every output pixel comes from inside an input of this size.
    fn stays_inside(&self, input: &ImageFacts) -> bool {
        let [left, top, right, bottom] = self.matrix.bounds(self.width, self.height);
        left >= -SLACK
            && top >= -SLACK
            && right <= f64::from(input.width) + SLACK
            && bottom <= f64::from(input.height) + SLACK
    }

    fn resizes(&self) -> bool {
        scales(&self.matrix, &self.size()).iter().any(|scale| (scale - 1.0).abs() > SLACK)
    }
}

fn projection(drawn: &DrawnStep, index: usize) -> Result<Projection, TransformError> {
    let refused = |message: &str| {
        let message = message.to_owned();
        TransformError::Step { index, transform: drawn.transform.to_string(), message }
    };
    let ImageStep::Project { matrix, width, height, fill, kernel } = &drawn.step else {
        return Err(refused("not a geometric step"));
    };
    let sides = 1..=LARGEST_SIDE;
    if !sides.contains(width) || !sides.contains(height) {
        return Err(refused(&format!("{width}×{height} pixels; 1 to {LARGEST_SIDE} a side is possible")));
    }
    let sane = matrix.0.iter().all(|value| value.abs() < 1e9)
        && corners(*width, *height).iter().all(|(x, y)| matrix.depth(*x, *y) > SLACK)
        && matrix.inverse().is_some();
    if !sane {
        return Err(refused("the matrix maps the image to nothing"));
    }
    Ok(Projection { matrix: *matrix, width: *width, height: *height, fill: *fill, kernel: *kernel })
}

/// The box that samples are never taken from outside of: the source, or what crops at full resolution left of it.
///
/// A crop *after* a change of size only moves the window: the filter may look beyond it, as if the steps had been
/// carried out one by one.
pub(super) fn hard_edges(facts: &ImageFacts, steps: &[DrawnStep]) -> [f64; 4] {
    let mut edges = [0.0, 0.0, f64::from(facts.width), f64::from(facts.height)];
    let mut composed = Matrix::IDENTITY;
    for drawn in steps {
        let ImageStep::Project { matrix, width, height, .. } = &drawn.step else { break };
        let [a, _, x, _, e, y, ..] = composed.0;
        let unit = a.abs() == 1.0 && e.abs() == 1.0 && is_whole(x) && is_whole(y);
        if !composed.is_axis_aligned() || !unit || !matrix.is_axis_aligned() {
            break;
        }
        composed = composed.after(matrix);
        let [left, top, right, bottom] = composed.bounds(*width, *height).map(snap);
        if [left, top, right, bottom].iter().all(|edge| is_whole(*edge)) {
            let cut = [edges[0].max(left), edges[1].max(top), edges[2].min(right), edges[3].min(bottom)];
            if cut[0] < cut[2] && cut[1] < cut[3] {
                edges = cut;
            }
        }
    }
    edges
}

/// Source pixels an output pixel, across and down (in the middle of the output, for a perspective).
fn scales(matrix: &Matrix, output: &ImageFacts) -> [f64; 2] {
    let [a, b, _, d, e, _, g, h, _] = matrix.0;
    if matrix.is_affine() {
        return [(a * a + b * b).sqrt(), (d * d + e * e).sqrt()];
    }
    let (x, y) = (f64::from(output.width) / 2.0, f64::from(output.height) / 2.0);
    let ((u, v), depth) = (matrix.apply(x, y), matrix.depth(x, y));
    let length = |first: f64, second: f64| (first * first + second * second).sqrt() / depth;
    [length(a - u * g, b - u * h), length(d - v * g, e - v * h)]
}

/// How far a kernel looks either way, in output pixels when shrinking.
fn support(kernel: Kernel) -> f64 {
    match kernel {
        Kernel::Area => 0.5,
        Kernel::Bilinear | Kernel::Nearest => 1.0,
        Kernel::Cubic => 2.0,
        Kernel::Lanczos3 => 3.0,
    }
}

/// Whole pixels around a box, so much wider each way, within `hard`; at least one pixel.
fn grown([left, top, right, bottom]: [f64; 4], [across, down]: [f64; 2], hard: [f64; 4]) -> [u32; 4] {
    let span = |low: f64, high: f64, reach: f64, least: f64, most: f64| {
        let start = (low - reach).floor().clamp(least, most - 1.0);
        let end = (high + reach).ceil().clamp(start + 1.0, most);
        (start as u32, (end - start) as u32)
    };
    let (x, width) = span(left, right, across, hard[0], hard[2]);
    let (y, height) = span(top, bottom, down, hard[1], hard[3]);
    [x, y, width, height]
}

fn snap(value: f64) -> f64 {
    let whole = value.round();
    if (value - whole).abs() < SLACK { whole } else { value }
}

fn is_whole(value: f64) -> bool {
    value.fract() == 0.0
}

#[cfg(test)]
mod tests {
    use millstream_schemas::recipe::TransformSpec;
    use serde_json::json;

    use super::*;
    use crate::{Chain, DrawKey};

    fn plan(specs: &[(&str, serde_json::Value)], width: u32, height: u32) -> (Plan, usize) {
        let specs: Vec<_> = specs.iter().map(|(name, options)| TransformSpec::new(*name, options.clone())).collect();
        let facts = ImageFacts { width, height };
        let drawing = Chain::parse(&specs).unwrap().draw_image(&facts, &DrawKey { seed: 4, epoch: 0, row: 1 }).unwrap();
        let mut clips = Vec::new();
        (Plan::new(&facts, &drawing.steps, 0, &mut clips).unwrap(), clips.len())
    }

    #[test]
    fn whole_pixels_are_copied() {
        let flip = json!({"probability": 1});
        let (plan, _) = plan(&[("center_crop", json!({"size": 10})), ("horizontal_flip", flip)], 20, 31);
        assert_eq!(plan.sampling, Sampling::Copy { mirror_x: true, mirror_y: false });
        assert_eq!(plan.region, [5, 10, 10, 10]);
    }

    #[test]
    fn crops_along_the_axes_need_no_warp() {
        let crop = ("random_resized_crop", json!({"size": 8, "area": [0.3, 0.5]}));
        let (plan, clips) = plan(&[crop, ("vertical_flip", json!({"probability": 1}))], 100, 80);
        let Sampling::Resize { crop, mirror_x: false, mirror_y: true, .. } = plan.sampling else { panic!("{plan:?}") };
        assert_eq!(crop, [0.0, 0.0, f64::from(plan.region[2]), f64::from(plan.region[3])]);
        assert_eq!(clips, 0);
    }

    #[test]
    fn turning_after_a_crop_uses_the_crop_alone() {
        let crop = ("random_resized_crop", json!({"size": 20, "area": [0.3, 0.5]}));
        let (straight, _) = plan(std::slice::from_ref(&crop), 100, 80);
        let (turned, clips) = plan(&[crop, ("rotate", json!({"degrees": 20}))], 100, 80);
        assert_eq!(turned.region, straight.region);
        assert_eq!(clips, 1);
        assert!(matches!(turned.sampling, Sampling::Warp { shrunk: [20, 20], .. }), "{turned:?}");
    }

    #[test]
    fn memory_is_that_of_the_buffers() {
        let crop = || TransformSpec::new("center_crop", json!({"size": [40, 20]}));
        let turn = || TransformSpec::new("rotate", json!({"degrees": 30}));
        let shrink = || TransformSpec::new("resize", json!({"size": [10, 5]}));
        let noise = || TransformSpec::new("gaussian_noise", json!({"sigma": 0.1}));
        for (specs, wanted) in [
            (vec![], 0),
            (vec![noise()], 0),
            (vec![crop()], 0),
            (vec![crop(), turn()], 40 * 20 * 3),
            (vec![crop(), shrink()], 10 * 5 * 3 + 40 * 5 * 3),
            (vec![crop(), shrink(), turn()], 10 * 5 * 3 + 40 * 5 * 3),
            (vec![crop(), noise(), turn()], 40 * 20 * 15 + 40 * 20 * 3),
        ] {
            let facts = ImageFacts { width: 40, height: 20 };
            let key = DrawKey { seed: 4, epoch: 0, row: 1 };
            let drawing = Chain::parse(&specs).unwrap().draw_image(&facts, &key).unwrap();
            assert_eq!(drawing.memory(&facts), wanted, "{specs:?}");
        }
    }

    #[test]
    fn a_crop_after_resizing_is_decoded_with_its_margin_alone() {
        let (plan, clips) =
            plan(&[("resize", json!({"shorter_side": 32})), ("center_crop", json!({"size": 28}))], 400, 300);
        assert_eq!(clips, 0);
        let [left, top, width, height] = plan.region;
        assert!(left > 50 && top > 5 && width < 290 && height < 295, "{plan:?}");
        assert!((plan.shrink - 300.0 / 32.0).abs() < 0.2, "{plan:?}");
    }
}
