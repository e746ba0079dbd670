//! Composing a run of geometric steps into one way to sample the source.

use super::pixels::Pixels;
use crate::image_facts::LARGEST_SIDE;
use crate::matrix::corners;
use crate::{DecodeRequest, DrawnStep, ImageFacts, ImageStep, Kernel, Matrix, RgbImage, TransformError};

/// Rounding that composed maps are allowed, in pixels.
pub(super) const SLACK: f64 = 1e-6;

/// Beyond this, linear interpolation of the enlarged pixels is as good as enlarging further.
const MOST_ENLARGED: f64 = 16.0;

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
    /// Any map; the region is resized to `resized` pixels first, to about the output's scale, and `matrix` leads from
    /// the output to those.
    Warp { resized: [u32; 2], matrix: Matrix, kernel: Kernel },
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
    /// The last step's first.
    pub(super) clips: Vec<Clip>,
}

/// A geometric step, taken apart and checked.
pub(super) struct Projection<'a> {
    transform: &'a str,
    index: usize,
    pub(super) matrix: Matrix,
    width: u32,
    height: u32,
    fill: [u8; 3],
    kernel: Kernel,
}

impl Plan {
    /// Plans the rendering of `steps` from an image of this size: of the whole result, or of a `window` (left, top,
    /// width, height) of it.
    pub(super) fn new(
        input: &ImageFacts,
        steps: &[Projection<'_>],
        window: Option<[u32; 4]>,
    ) -> Result<Self, TransformError> {
        let whole = steps.last().map_or(*input, Projection::size);
        let [left, top, width, height] = window.unwrap_or([0, 0, whole.width, whole.height]);
        let mut total = Matrix::scale_then_move(1.0, 1.0, f64::from(left), f64::from(top));
        let mut clips = Vec::new();
        for (index, step) in steps.iter().enumerate().rev() {
            total = step.matrix.after(&total);
            let input = index.checked_sub(1).map_or(*input, |previous| steps[previous].size());
            if !step.stays_inside(&input) {
                let (width, height) = (f64::from(input.width), f64::from(input.height));
                clips.push(Clip { matrix: total, width, height, fill: step.fill });
            }
        }
        if let Some(step) = steps.last()
            && !corners(width, height).iter().all(|(x, y)| total.depth(*x, *y) > SLACK)
        {
            return Err(step.refused("the composed map folds the image over"));
        }
        let output = ImageFacts { width, height };
        let shrinks = scales(&total, &output).iter().any(|scale| *scale > 1.0 + SLACK);
        // the step that shrinks most, or enlarges most, says how
        let decisive = steps.iter().rev().max_by(|a, b| a.change(shrinks).total_cmp(&b.change(shrinks)));
        let kernel = decisive.filter(|step| step.change(shrinks) > 1.0 + SLACK).map(|step| step.kernel);
        let kernel = kernel.unwrap_or_default();
        Ok(Self::of(&total, output, hard_edges(input, steps), kernel, clips))
    }

    fn of(total: &Matrix, output: ImageFacts, hard: [f64; 4], kernel: Kernel, clips: Vec<Clip>) -> Self {
        let ImageFacts { width, height } = output;
        let [across, down] = scales(total, &output);
        let shrink = across.min(down);
        let [a, _, x, _, e, y, ..] = total.0;
        let (mirror_x, mirror_y) = (a < 0.0, e < 0.0);
        let aligned = clips.is_empty() && total.is_axis_aligned();
        let [left, top, right, bottom] = total.bounds(width, height).map(snap);
        let unit = a.abs() == 1.0 && e.abs() == 1.0;
        if aligned && unit && is_whole(x) && is_whole(y) {
            let region = [left as u32, top as u32, width, height];
            return Self { region, width, height, shrink, sampling: Sampling::Copy { mirror_x, mirror_y }, clips };
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
            return Self { region, width, height, shrink, sampling, clips };
        }
        let resized = |length: u32, scale: f64| {
            let shrinks = scale > 1.0 + SLACK && kernel != Kernel::Nearest;
            // the warp itself is bilinear
            let enlarges = scale < 1.0 - SLACK && !matches!(kernel, Kernel::Bilinear | Kernel::Nearest);
            if !shrinks && !enlarges {
                return length;
            }
            let exact = f64::from(length) / scale.max(1.0 / MOST_ENLARGED);
            exact.round().clamp(1.0, f64::from(LARGEST_SIDE)) as u32
        };
        let resized = [resized(region[2], across), resized(region[3], down)];
        let (x, y) = (f64::from(resized[0]) / f64::from(region[2]), f64::from(resized[1]) / f64::from(region[3]));
        let to_resized = Matrix::scale_then_move(x, y, -f64::from(region[0]) * x, -f64::from(region[1]) * y);
        let sampling = Sampling::Warp { resized, matrix: to_resized.after(total), kernel };
        Self { region, width, height, shrink, sampling, clips }
    }

    /// Bytes of the pixels that are copied or resized before the output's rows are made of them, and of those between
    /// the vertical and the horizontal pass of a resize.
    pub(super) fn buffer_bytes(&self) -> u64 {
        let [.., across, down] = self.region;
        let bytes = |width: u32, height: u32| u64::from(width).saturating_mul(u64::from(height)).saturating_mul(3);
        let both_passes = |[width, height]: [u32; 2]| bytes(width, height).saturating_add(bytes(across, height));
        match self.sampling {
            Sampling::Copy { .. } => 0,
            Sampling::Resize { .. } => both_passes([self.width, self.height]),
            Sampling::Warp { resized, .. } if resized == [across, down] => bytes(across, down),
            Sampling::Warp { resized, .. } => both_passes(resized),
        }
    }

    /// The region's pixels within a decoded image that begins at (`left`, `top`) of the whole.
    pub(super) fn view<'a>(&self, image: &'a RgbImage, [left, top]: [u32; 2]) -> Result<Pixels<'a>, TransformError> {
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

impl<'a> Projection<'a> {
    /// Refuses sizes and matrices that cannot be rendered; `index` is the step's position in its drawing.
    pub(super) fn checked(drawn: &'a DrawnStep, index: usize) -> Result<Self, TransformError> {
        let (matrix, width, height, fill, kernel) = match drawn.step {
            ImageStep::Project { matrix, width, height, fill, kernel } => (matrix, width, height, fill, kernel),
            _ => (Matrix::IDENTITY, 0, 0, [0; 3], Kernel::Nearest),
        };
        let step = Self { transform: &drawn.transform, index, matrix, width, height, fill, kernel };
        let sides = 1..=LARGEST_SIDE;
        if !sides.contains(&width) || !sides.contains(&height) {
            return Err(step.refused(&format!("{width}×{height} pixels; 1 to {LARGEST_SIDE} a side is possible")));
        }
        let sane = matrix.0.iter().all(|value| value.abs() < 1e9)
            && corners(width, height).iter().all(|(x, y)| matrix.depth(*x, *y) > SLACK)
            && matrix.inverse().is_some();
        if sane { Ok(step) } else { Err(step.refused("the matrix maps the image to nothing")) }
    }

    fn refused(&self, message: &str) -> TransformError {
        let (transform, message) = (self.transform.to_owned(), message.to_owned());
        TransformError::Step { index: self.index, transform, message }
    }

    /// Of the output.
    pub(super) fn size(&self) -> ImageFacts {
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

    /// The factor by which it shrinks, or enlarges, along the axis where that is most.
    fn change(&self, shrinks: bool) -> f64 {
        let [across, down] = scales(&self.matrix, &self.size());
        if shrinks { across.max(down) } else { (1.0 / across).max(1.0 / down) }
    }
}

pub(super) fn is_geometric(drawn: &DrawnStep) -> bool {
    matches!(drawn.step, ImageStep::Project { .. })
}

/// The box that samples are never taken from outside of: the source, or what crops at full resolution left of it.
///
/// A crop *after* a change of size only moves the window: the filter may look beyond it, as if the steps had been
/// carried out one by one.
pub(super) fn hard_edges(input: &ImageFacts, steps: &[Projection<'_>]) -> [f64; 4] {
    let mut edges = [0.0, 0.0, f64::from(input.width), f64::from(input.height)];
    let mut composed = Matrix::IDENTITY;
    for Projection { matrix, width, height, .. } in steps {
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
pub(super) fn scales(matrix: &Matrix, output: &ImageFacts) -> [f64; 2] {
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
    use millstream_schemas::Choice;
    use serde_json::json;

    use super::super::segments::segments;
    use super::*;
    use crate::{Chain, DrawKey};

    fn plan(specs: &[(&str, serde_json::Value)], width: u32, height: u32) -> (Plan, usize) {
        let specs: Vec<_> = specs.iter().map(|(name, options)| Choice::new(*name, options.clone())).collect();
        let facts = ImageFacts { width, height };
        let drawing = Chain::parse(&specs).unwrap().draw_image(&facts, &DrawKey { seed: 4, epoch: 0, row: 1 }).unwrap();
        let plan = segments(&facts, &drawing.steps).unwrap().remove(0).plan;
        let clips = plan.clips.len();
        (plan, clips)
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
        assert!(matches!(turned.sampling, Sampling::Warp { resized: [20, 20], .. }), "{turned:?}");
    }

    /// A crop of a shrunk image is not cut out of the source: that would be sharper. Yet no more is decoded or shrunk
    /// than the crop shows.
    #[test]
    fn enlarging_what_was_shrunk_does_not_sharpen_it() {
        let specs =
            [("resize", json!({"size": [40, 30]})), ("random_resized_crop", json!({"size": 20, "area": [0.1, 0.2]}))];
        let (plan, _) = plan(&specs, 400, 300);
        assert_eq!(plan.shrink, 10.0);
        assert!(plan.width < 30 && plan.height < 25, "{plan:?}");
        assert!(plan.region[2] < 300 && plan.region[3] < 250, "{plan:?}");
    }

    #[test]
    fn memory_is_that_of_the_buffers() {
        let crop = || Choice::new("center_crop", json!({"size": [40, 20]}));
        let turn = || Choice::new("rotate", json!({"degrees": 30}));
        let shrink = || Choice::new("resize", json!({"size": [10, 5]}));
        let enlarge = || Choice::new("resize", json!({"size": [80, 40]}));
        let noise = || Choice::new("gaussian_noise", json!({"sigma": 0.1}));
        for (specs, wanted) in [
            (vec![], 0),
            (vec![noise()], 0),
            (vec![crop()], 0),
            (vec![crop(), turn()], 40 * 20 * 3),
            (vec![crop(), shrink()], 10 * 5 * 3 + 40 * 5 * 3),
            (vec![crop(), shrink(), turn()], 10 * 5 * 3 + 40 * 5 * 3),
            (vec![crop(), noise(), turn()], 40 * 20 * 15 + 40 * 20 * 3),
            (vec![shrink(), enlarge()], 10 * 5 * 15 + 80 * 40 * 3 + 10 * 40 * 3),
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
