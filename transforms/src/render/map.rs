//! The maps of a drawing, in runs that are one resampling each, and what they show beyond their inputs.
//!
//! A point that is followed into the picture around a crop goes on through the maps before it, whatever their borders, until
//! it is inside of the input of one of them again, or outside of the image that the run of maps begins with.

use std::sync::Arc;

use crate::error::TransformError;
use crate::image_facts::ImageFacts;
use crate::matrix::Matrix;
use crate::steps::map::{Border, Displacement, MapStep, Place};
use crate::steps::{DrawnStep, ImageStep};

/// Rounding that composed maps are allowed, in pixels.
pub(super) const SLACK: f64 = 1e-6;

/// A map of a run: the images before and after it, and where it stands in its drawing.
#[derive(Clone, Copy)]
pub(super) struct Map<'a> {
    pub(super) step: &'a dyn MapStep,
    pub(super) transform: &'a str,
    pub(super) index: usize,
    /// Whether what was before it is known within its input alone: a stage begins with it.
    pub(super) begins: bool,
    pub(super) input: ImageFacts,
    pub(super) output: ImageFacts,
}

impl Map<'_> {
    /// From the output to the input; displacements are small beside it.
    pub(super) fn matrix(&self) -> Matrix {
        match self.step.place() {
            Place::Displaced(_) => Matrix::IDENTITY,
            Place::Projected(matrix) => matrix,
        }
    }

    pub(super) fn displacement(&self) -> Option<Arc<dyn Displacement>> {
        match self.step.place() {
            Place::Displaced(field) => Some(field),
            Place::Projected(_) => None,
        }
    }

    /// The factor by which it shrinks, or enlarges, along the axis where that is most.
    pub(super) fn change(&self, shrinks: bool) -> f64 {
        let [across, down] = scales(&self.matrix(), &self.output);
        if shrinks { across.max(down) } else { (1.0 / across).max(1.0 / down) }
    }

    pub(super) fn refused(&self, message: &str) -> TransformError {
        let (transform, message) = (self.transform.to_owned(), message.to_owned());
        TransformError::Step { index: self.index, transform, message }
    }
}

/// The maps among steps.
pub(super) fn unchecked_maps<'a>(source: &ImageFacts, steps: &'a [DrawnStep]) -> Vec<Map<'a>> {
    let (mut input, mut maps, mut detail) = (*source, Vec::new(), None);
    for (index, drawn) in steps.iter().enumerate() {
        let ImageStep::Map(step) = &drawn.step else {
            detail = None;
            continue;
        };
        let map = Map::new(&**step, drawn, index, input, &mut detail);
        input = map.output;
        maps.push(map);
    }
    maps
}

impl<'a> Map<'a> {
    /// A map of an image; `detail` is that of the maps right before it, of which it becomes the last.
    pub(super) fn new(
        step: &'a dyn MapStep,
        drawn: &'a DrawnStep,
        index: usize,
        input: ImageFacts,
        detail: &mut Option<Detail>,
    ) -> Self {
        let output = step.output(&input);
        let mut map = Self { step, transform: &drawn.transform, index, begins: false, input, output };
        map.begins = detail.as_mut().is_none_or(|detail| detail.comes_back(&map));
        if map.begins {
            detail.insert(Detail::default()).comes_back(&map);
        }
        map
    }
}

/// What becomes of a point that a map takes from outside of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beyond {
    /// There is nothing further out: it gets the fill of the map that looked there first.
    Ends,
    /// It gets the map's fill, unless it was followed already.
    Filled,
    /// It comes from inside.
    Folded(Border),
    /// It goes on through the maps before.
    Followed,
}

impl Beyond {
    pub(super) fn of(map: &Map<'_>) -> Self {
        match map.step.border() {
            Border::Fill | Border::Picture if map.begins => Self::Ends,
            Border::Fill => Self::Filled,
            Border::Picture => Self::Followed,
            border @ (Border::Edge | Border::Reflect | Border::Wrap) => Self::Folded(border),
        }
    }
}

impl Map<'_> {
    /// Whether pixels come from elsewhere in the input than the matrix says.
    pub(super) fn folds(&self) -> bool {
        matches!(Beyond::of(self), Beyond::Folded(_)) && !self.step.stays_inside(&self.input)
    }
}

/// Whether pixels outside of a map's input are ever taken for what lies there in the picture, by a map behind it.
pub(super) fn is_looked_beyond(after: &[Map<'_>]) -> bool {
    let looks = |map: &Map<'_>| Beyond::of(map) == Beyond::Followed && !map.step.stays_inside(&map.input);
    after.iter().any(looks)
}

/// Of each step, whether what lies outside of the image after it is seen by a map behind it: boxes and key points are not
/// cut there.
pub(crate) fn seen_beyond(source: &ImageFacts, steps: &[DrawnStep]) -> Vec<bool> {
    let maps = unchecked_maps(source, steps);
    let (mut seen, mut later) = (vec![false; steps.len()], maps.iter().rev().peekable());
    let mut beyond = false;
    for (index, drawn) in steps.iter().enumerate().rev() {
        seen[index] = beyond;
        if let (ImageStep::Map(step), Some(map)) = (&drawn.step, later.next_if(|map| map.index == index)) {
            let border = step.border();
            beyond = !map.begins && (border == Border::Picture || (beyond && step.stays_inside(&map.input)));
        }
    }
    seen
}

/// The steps that are to show the picture around their input, where a part of it was cut off, and cannot, since a stage begins with
/// them: each with the step before it.
pub(crate) fn ended_pictures(source: &ImageFacts, steps: &[DrawnStep]) -> Vec<(usize, usize)> {
    let (mut seen, mut ended) = (Matrix::IDENTITY, Vec::new());
    for map in unchecked_maps(source, steps) {
        let [left, top, right, bottom] = seen.bounds(map.input.width, map.input.height);
        let is_cut =
            left > 1.0 || top > 1.0 || right < f64::from(source.width) - 1.0 || bottom < f64::from(source.height) - 1.0;
        if map.begins && is_cut && map.step.border() == Border::Picture && !map.step.stays_inside(&map.input) {
            ended.push((map.index, map.index - 1));
        }
        seen = seen.after(&map.matrix());
    }
    ended
}

/// How coarse a run of maps has made an image.
pub(super) struct Detail {
    composed: Matrix,
    /// Most source pixels an output pixel so far, across and down the source; 1 where nothing was lost.
    coarsest: [f64; 2],
}

impl Default for Detail {
    fn default() -> Self {
        Self { composed: Matrix::IDENTITY, coarsest: [1.0; 2] }
    }
}

impl Detail {
    /// Adds a map; whether it makes finer what was made coarser before.
    fn comes_back(&mut self, map: &Map<'_>) -> bool {
        self.composed = self.composed.after(&map.matrix());
        let scales = scales(&self.composed, &map.output);
        let finer = |(scale, coarsest): (&f64, &f64)| *coarsest > 1.0 + SLACK && *scale < coarsest * (1.0 - SLACK);
        let back = scales.iter().zip(&self.coarsest).any(finer);
        self.coarsest = [self.coarsest[0].max(scales[0]), self.coarsest[1].max(scales[1])];
        back
    }
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
