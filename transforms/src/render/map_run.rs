//! Composing a run of maps into one way to sample the source.

use super::clips::{Clip, Clips, fill_values};
use super::legs::{Leg, kept};
use super::map::{Beyond, Map, SLACK, is_looked_beyond, scales};
use crate::TransformError;
use crate::image_facts::{Depth, ImageFacts, LARGEST_SIDE};
use crate::matrix::{Matrix, corners};
use crate::steps::Kernel;
use crate::steps::map::Place;

/// Beyond this, linear interpolation of the enlarged pixels is as good as enlarging further.
const MOST_ENLARGED: f64 = 16.0;

/// The most channels of images that stay bytes while they are rendered.
pub(super) const MOST_BYTE_CHANNELS: u32 = 4;

/// How output pixels are had from the region of the source.
#[derive(Clone, Debug)]
pub(super) enum Sampling {
    /// Pixel for pixel.
    Copy { mirror_x: bool, mirror_y: bool },
    /// Along the axes; `crop` is left, top, width, height within the region.
    Resize { crop: [f64; 4], mirror_x: bool, mirror_y: bool, kernel: Kernel },
    /// Any map; the region is resized to `resized` pixels first, to about the output's scale, and `matrix` leads from
    /// the output to those.
    Warp { resized: [u32; 2], matrix: Matrix, kernel: Kernel },
    /// As `Warp`, by several legs, the output's first; `matrix` leads from the source to the resized region.
    Bend { resized: [u32; 2], legs: Vec<Leg>, matrix: Matrix, kernel: Kernel },
}

/// What is sampled, and how.
#[derive(Clone, Debug)]
pub(super) struct MapRun {
    /// Left, top, width and height of what is used of the source.
    pub(super) region: [u32; 4],
    /// Left, top, width and height of what is made of the output.
    pub(super) window: [u32; 4],
    pub(super) shrink: f64,
    pub(super) sampling: Sampling,
    /// The last step's first.
    pub(super) clips: Vec<Clip>,
    /// Of the source and the output.
    pub(super) channels: u32,
    pub(super) depth: Depth,
}

impl MapRun {
    /// Plans the rendering of a window (left, top, width, height) of what the maps make of an image. All of them pick
    /// pixels unmixed where `kernel` says so.
    pub(super) fn new(
        input: &ImageFacts,
        maps: &[Map<'_>],
        window: [u32; 4],
        kernel: Option<Kernel>,
    ) -> Result<Self, TransformError> {
        let [left, top, width, height] = window;
        let mut total = Matrix::scale_then_move(1.0, 1.0, f64::from(left), f64::from(top));
        let mut clips = Clips::default();
        for map in maps.iter().rev() {
            total = map.matrix().after(&total);
            clips.add(map, &total, window);
        }
        if let Some(map) = maps.last()
            && !corners(width, height).iter().all(|(x, y)| total.depth(*x, *y) > SLACK)
        {
            return Err(map.refused("the composed map folds the image over"));
        }
        let output = input.resized(width, height);
        let shrinks = scales(&total, &output).iter().any(|scale| *scale > 1.0 + SLACK);
        // the step that shrinks most, or enlarges most, says how
        let decisive = maps.iter().rev().max_by(|a, b| a.change(shrinks).total_cmp(&b.change(shrinks)));
        let decisive = decisive.filter(|map| map.change(shrinks) > 1.0 + SLACK).map(|map| map.step.kernel());
        let kernel = kernel.or(decisive).unwrap_or_default();
        let clips = clips.finish();
        let bent = clips.is_none() || maps.iter().any(|map| map.displacement().is_some());
        let clips = clips.unwrap_or_default();
        let mut run = Self::straight(&total, input, window, hard_edges(input, maps), kernel, clips);
        if bent {
            run.bend(&total, input, maps, kernel)?;
        }
        Ok(run)
    }

    fn straight(
        total: &Matrix,
        input: &ImageFacts,
        window: [u32; 4],
        hard: [f64; 4],
        kernel: Kernel,
        clips: Vec<Clip>,
    ) -> Self {
        let [.., width, height] = window;
        let [across, down] = scales(total, &input.resized(width, height));
        let (shrink, channels, depth) = (across.min(down), input.channels, input.depth);
        let made = |region, sampling, clips| Self { region, window, shrink, sampling, clips, channels, depth };
        let [a, _, x, _, e, y, ..] = total.0;
        let (mirror_x, mirror_y) = (a < 0.0, e < 0.0);
        let aligned = clips.is_empty() && total.is_axis_aligned();
        let [left, top, right, bottom] = total.bounds(width, height).map(snap);
        let unit = a.abs() == 1.0 && e.abs() == 1.0;
        if aligned && unit && is_whole(x) && is_whole(y) {
            return made([left as u32, top as u32, width, height], Sampling::Copy { mirror_x, mirror_y }, clips);
        }
        let region = region([left, top, right, bottom], [across, down], hard, kernel);
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
            return made(region, Sampling::Resize { crop, mirror_x, mirror_y, kernel }, clips);
        }
        let (resized, to_resized) = resized(region, [across, down], kernel);
        made(region, Sampling::Warp { resized, matrix: to_resized.after(total), kernel }, clips)
    }

    /// Replaces the straight way by the one through the displacements.
    fn bend(
        &mut self,
        total: &Matrix,
        input: &ImageFacts,
        maps: &[Map<'_>],
        kernel: Kernel,
    ) -> Result<(), TransformError> {
        let [left, top, width, height] = self.window.map(f64::from);
        let mut around = [left, top, left + width, top + height];
        let (mut legs, mut followed) = (Vec::with_capacity(maps.len()), false);
        for map in maps.iter().rev() {
            let (from, place) = (around, map.step.place());
            around = match &place {
                Place::Displaced(field) => {
                    let reach = field.reach();
                    [around[0] - reach, around[1] - reach, around[2] + reach, around[3] + reach]
                }
                Place::Projected(matrix) => {
                    let corners = [(0, 1), (2, 1), (0, 3), (2, 3)].map(|(x, y)| (around[x], around[y]));
                    if !corners.iter().all(|(x, y)| matrix.depth(*x, *y) > SLACK) {
                        return Err(map.refused("the composed map folds the image over"));
                    }
                    Matrix::bounds_of(corners.map(|(x, y)| matrix.apply(x, y)))
                }
            };
            let (beyond, fill) = (Beyond::of(map), fill_values(map.step.fill(), input.channels));
            let (width, height) = (f64::from(map.input.width), f64::from(map.input.height));
            around = kept(around, beyond, followed, [width, height]);
            // those that were followed before are inside again of what a stage begins with
            followed = (followed || beyond == Beyond::Followed) && beyond != Beyond::Ends;
            legs.push(Leg { place, beyond, from, width, height, fill });
        }
        let scales = scales(total, &input.resized(self.window[2], self.window[3]));
        self.region = region(around, scales, hard_edges(input, maps), kernel);
        let (resized, matrix) = resized(self.region, scales, kernel);
        self.sampling = Sampling::Bend { resized, legs, matrix, kernel };
        self.clips.clear();
        Ok(())
    }

    /// Whether values stay bytes while they are rendered.
    pub(super) fn is_bytes(&self) -> bool {
        self.depth == Depth::U8 && self.channels <= MOST_BYTE_CHANNELS
    }

    /// Bytes of a value between two stages.
    pub(super) fn sample_size(&self) -> u64 {
        if self.is_bytes() { 1 } else { 4 }
    }

    /// Bytes of the pixels that are copied or resized before the output's rows are made of them, and of those between
    /// the vertical and the horizontal pass of a resize.
    pub(super) fn buffer_bytes(&self) -> u64 {
        let [.., across, down] = self.region;
        let pixel = u64::from(self.channels) * self.sample_size();
        let bytes = |width: u32, height: u32| u64::from(width).saturating_mul(u64::from(height)).saturating_mul(pixel);
        let both_passes = |[width, height]: [u32; 2]| bytes(width, height).saturating_add(bytes(across, height));
        match &self.sampling {
            Sampling::Copy { .. } => 0,
            Sampling::Resize { .. } => both_passes([self.window[2], self.window[3]]),
            Sampling::Warp { resized, .. } | Sampling::Bend { resized, .. } if *resized == [across, down] => {
                bytes(across, down)
            }
            Sampling::Warp { resized, .. } | Sampling::Bend { resized, .. } => both_passes(*resized),
        }
    }
}

/// The box that samples are never taken from outside of: the source, or what crops at full resolution left of it.
///
/// A crop *after* a change of size only moves the window: the filter may look beyond it, as if the steps had been
/// carried out one by one. One around which a later map shows the picture is no edge either.
pub(super) fn hard_edges(input: &ImageFacts, maps: &[Map<'_>]) -> [f64; 4] {
    let mut edges = [0.0, 0.0, f64::from(input.width), f64::from(input.height)];
    let mut composed = Matrix::IDENTITY;
    for (index, map) in maps.iter().enumerate() {
        let (matrix, [a, _, x, _, e, y, ..]) = (map.matrix(), composed.0);
        let unit = a.abs() == 1.0 && e.abs() == 1.0 && is_whole(x) && is_whole(y);
        let is_straight = matrix.is_axis_aligned() && map.displacement().is_none() && !map.folds();
        if !composed.is_axis_aligned() || !unit || !is_straight {
            break;
        }
        composed = composed.after(&matrix);
        let [left, top, right, bottom] = composed.bounds(map.output.width, map.output.height).map(snap);
        let is_edge = [left, top, right, bottom].iter().all(|edge| is_whole(*edge));
        if is_edge && !is_looked_beyond(&maps[index + 1..]) {
            let cut = [edges[0].max(left), edges[1].max(top), edges[2].min(right), edges[3].min(bottom)];
            if cut[0] < cut[2] && cut[1] < cut[3] {
                edges = cut;
            }
        }
    }
    edges
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

/// What is used of a source of which an output comes from this box, so many source pixels an output pixel.
fn region(around: [f64; 4], [across, down]: [f64; 2], hard: [f64; 4], kernel: Kernel) -> [u32; 4] {
    let reach = |scale: f64| support(kernel) * scale.max(1.0) + 1.0;
    grown(around, [reach(across), reach(down)], hard)
}

/// The size to which a region is resized before it is interpolated, and the map from the source to that.
fn resized(region: [u32; 4], [across, down]: [f64; 2], kernel: Kernel) -> ([u32; 2], Matrix) {
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
    (resized, Matrix::scale_then_move(x, y, -f64::from(region[0]) * x, -f64::from(region[1]) * y))
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

    use super::super::plan::ImagePlan;
    use super::*;
    use crate::{Chain, DrawKey, ImageDrawing};

    fn plan(specs: &[(&str, serde_json::Value)], width: u32, height: u32) -> (MapRun, usize) {
        let specs: Vec<_> = specs.iter().map(|(name, options)| Choice::new(*name, options.clone())).collect();
        let facts = ImageFacts::new(width, height);
        let drawing = Chain::parse(&specs).unwrap().draw_image(&facts, &DrawKey { seed: 4, epoch: 0, row: 1 }).unwrap();
        let ImageDrawing { steps, .. } = &drawing;
        let run = ImagePlan::new(&facts, steps).unwrap().stages.remove(0).run;
        let clips = run.clips.len();
        (run, clips)
    }

    #[test]
    fn whole_pixels_are_copied() {
        let flip = json!({"probability": 1});
        let (plan, _) = plan(&[("center_crop", json!({"size": 10})), ("horizontal_flip", flip)], 20, 31);
        assert!(matches!(plan.sampling, Sampling::Copy { mirror_x: true, mirror_y: false }), "{plan:?}");
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
        let (turned, clips) = plan(&[crop.clone(), ("rotate", json!({"degrees": 20, "border": "fill"}))], 100, 80);
        assert_eq!(turned.region, straight.region);
        assert_eq!(clips, 1);
        assert!(matches!(turned.sampling, Sampling::Warp { resized: [20, 20], .. }), "{turned:?}");
        // and what lies around it, where that is to be seen; nothing is cut off where all of it is there
        let (wider, _) = plan(&[crop, ("rotate", json!({"degrees": 20}))], 100, 80);
        assert!(wider.region[2] > straight.region[2] && wider.region[3] > straight.region[3], "{wider:?}");
        let middle = ("center_crop", json!({"size": 20}));
        let (copied, clips) = plan(&[middle, ("translate", json!({"fraction": [0.5, 0.5]}))], 100, 80);
        assert_eq!((copied.region[2], copied.region[3], clips), (20, 20, 0));
        assert!(matches!(copied.sampling, Sampling::Copy { mirror_x: false, mirror_y: false }), "{copied:?}");
    }

    /// A crop of a shrunk image is not cut out of the source: that would be sharper. Yet no more is decoded or shrunk
    /// than the crop shows.
    #[test]
    fn enlarging_what_was_shrunk_does_not_sharpen_it() {
        let specs =
            [("resize", json!({"size": [40, 30]})), ("random_resized_crop", json!({"size": 20, "area": [0.1, 0.2]}))];
        let (plan, _) = plan(&specs, 400, 300);
        assert_eq!(plan.shrink, 10.0);
        assert!(plan.window[2] < 30 && plan.window[3] < 25, "{plan:?}");
        assert!(plan.region[2] < 300 && plan.region[3] < 250, "{plan:?}");
    }

    #[test]
    fn memory_is_that_of_the_buffers() {
        let crop = || Choice::new("center_crop", json!({"size": [40, 20]}));
        let turn = || Choice::new("rotate", json!({"degrees": 30}));
        let shrink = || Choice::new("resize", json!({"size": [10, 5]}));
        let enlarge = || Choice::new("resize", json!({"size": [80, 40]}));
        let noise = || Choice::new("gaussian_noise", json!({"sigma": 0.1}));
        let blur = || Choice::new("gaussian_blur", json!({"sigma": [2, 2]}));
        let equalize = || Choice::new("equalize", json!({"probability": 1}));
        let middle = || Choice::new("center_crop", json!({"size": [10, 4]}));
        for (specs, wanted) in [
            (vec![], 0),
            (vec![noise()], 0),
            (vec![crop()], 0),
            (vec![crop(), turn()], 40 * 20 * 3),
            (vec![crop(), shrink()], 10 * 5 * 3 + 40 * 5 * 3),
            (vec![crop(), shrink(), turn()], 10 * 5 * 3 + 40 * 5 * 3),
            (vec![crop(), noise(), turn()], 40 * 20 * 15 + 40 * 20 * 3),
            (vec![shrink(), enlarge()], 10 * 5 * 15 + 80 * 40 * 3 + 10 * 40 * 3),
            (vec![blur()], 40 * 20 * 12),
            (vec![equalize()], 0),
            (vec![blur(), equalize(), blur()], 40 * 20 * 24),
            (vec![blur(), turn()], 40 * 20 * (24 + 3 + 3)),
            // the middle, and six pixels around it
            (vec![blur(), middle()], 22 * 16 * 12 + 10 * 4 * 12 + 10 * 4 * 3),
        ] {
            let facts = ImageFacts::new(40, 20);
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
