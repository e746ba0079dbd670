//! The way of each point of an output to the source, map by map, where it is not straight.

use super::map::{Beyond, SLACK};
use crate::steps::map::{Border, Place};

/// One step of the way from an output pixel to the source, for ways that are not straight.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    pub(super) place: Place,
    /// What becomes of points outside of the step's input.
    pub(super) beyond: Beyond,
    /// The box (left, top, right, bottom) within which points are before this leg.
    pub(super) from: [f64; 4],
    /// Of the step's input.
    pub(super) width: f64,
    pub(super) height: f64,
    /// 0 to 1, of each channel.
    pub(super) fill: Vec<f32>,
}

/// Points of a row of the output on their way to the source.
#[derive(Default)]
pub(super) struct Points {
    pub(super) xs: Vec<f64>,
    pub(super) ys: Vec<f64>,
    /// The leg whose fill a point gets.
    pub(super) left: Vec<Option<usize>>,
    /// The leg by which a point was followed out of its input.
    followed: Vec<Option<usize>>,
}

impl Points {
    /// The centres of the pixels of a row that begins at `x`.
    pub(super) fn begin(&mut self, width: usize, [x, y]: [u32; 2]) {
        let Self { xs, ys, left, followed } = self;
        xs.clear();
        xs.extend((0..width).map(|column| f64::from(x) + column as f64 + 0.5));
        ys.clear();
        ys.resize(width, f64::from(y) + 0.5);
        left.clear();
        left.resize(width, None);
        followed.clear();
        followed.resize(width, None);
    }

    /// Looks which points have come from outside of a leg's input, `index` being the leg's.
    pub(super) fn look(&mut self, index: usize, leg: &Leg) {
        let Self { xs, ys, left, followed } = self;
        let inside = |x: f64, y: f64| x >= -SLACK && x <= leg.width + SLACK && y >= -SLACK && y <= leg.height + SLACK;
        let points = xs.iter_mut().zip(ys).zip(left).zip(followed);
        for (((x, y), left), followed) in points.filter(|((_, left), _)| left.is_none()) {
            if let Beyond::Folded(border) = leg.beyond {
                (*x, *y, *followed) = (border.folded(*x, leg.width), border.folded(*y, leg.height), None);
            } else if inside(*x, *y) {
                *followed = None;
            } else {
                match (leg.beyond, *followed) {
                    (Beyond::Ends, first) => *left = Some(first.unwrap_or(index)),
                    (Beyond::Followed, None) => *followed = Some(index),
                    (_, None) => *left = Some(index),
                    (_, Some(_)) => {}
                }
            }
        }
    }
}

/// Where points of a box are after a leg, `followed` being whether some may have been followed out of the input of a leg
/// before.
pub(super) fn kept(bounds: [f64; 4], beyond: Beyond, followed: bool, [width, height]: [f64; 2]) -> [f64; 4] {
    let [left, top, right, bottom] = bounds;
    let clamped = [left.clamp(0.0, width), top.clamp(0.0, height), right.clamp(0.0, width), bottom.clamp(0.0, height)];
    match beyond {
        Beyond::Filled if followed => bounds,
        Beyond::Followed => bounds,
        Beyond::Ends | Beyond::Filled | Beyond::Folded(Border::Edge | Border::Fill | Border::Picture) => clamped,
        Beyond::Folded(Border::Reflect | Border::Wrap) => {
            let axis =
                |low: f64, high: f64, length: f64| if low < 0.0 || high > length { (0.0, length) } else { (low, high) };
            let ((left, right), (top, bottom)) = (axis(left, right, width), axis(top, bottom, height));
            [left, top, right, bottom]
        }
    }
}
