use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::TransformError;
use crate::image_drawing::ImageDrawing;
use crate::image_facts::ImageFacts;

/// A box in an image, its sides along the axes, in continuous pixels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundingBox {
    /// From the left of the image.
    pub left: f64,
    /// From the top of the image.
    pub top: f64,
    /// From the left of the image.
    pub right: f64,
    /// From the top of the image.
    pub bottom: f64,
    /// What it bounds; goes with it.
    pub label: i64,
}

/// How a box is written as four numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BoxFormat {
    /// Left, top, right, bottom as shares of the image's width and height.
    Albumentations,
    /// Left, top, width, height in pixels.
    Coco,
    /// Left, top, right, bottom in pixels.
    #[default]
    PascalVoc,
    /// Centre across, centre down, width, height as shares of the image's width and height.
    Yolo,
}

impl BoxFormat {
    /// The box that the numbers stand for in an image of this size.
    ///
    /// # Errors
    /// Numbers that are none, or a box without area.
    pub fn read(self, numbers: [f64; 4], image: &ImageFacts, label: i64) -> Result<BoundingBox, TransformError> {
        let (width, height) = self.unit(image);
        let [a, b, c, d] = numbers;
        let [left, top, right, bottom] = match self {
            Self::Albumentations | Self::PascalVoc => [a, b, c, d],
            Self::Coco => [a, b, a + c, b + d],
            Self::Yolo => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
        };
        if numbers.iter().all(|number| number.is_finite()) && left < right && top < bottom {
            let (left, right) = (left * width, right * width);
            return Ok(BoundingBox { left, top: top * height, right, bottom: bottom * height, label });
        }
        Err(TransformError::BoundingBox { numbers, form: self.form() })
    }

    /// The numbers for a box in an image of this size.
    pub fn write(self, bounds: &BoundingBox, image: &ImageFacts) -> [f64; 4] {
        let (width, height) = self.unit(image);
        let (left, right) = (bounds.left / width, bounds.right / width);
        let (top, bottom) = (bounds.top / height, bounds.bottom / height);
        match self {
            Self::Albumentations | Self::PascalVoc => [left, top, right, bottom],
            Self::Coco => [left, top, right - left, bottom - top],
            Self::Yolo => [(left + right) / 2.0, (top + bottom) / 2.0, right - left, bottom - top],
        }
    }

    /// What one is, in pixels across and down.
    fn unit(self, image: &ImageFacts) -> (f64, f64) {
        match self {
            Self::Albumentations | Self::Yolo => (f64::from(image.width), f64::from(image.height)),
            Self::Coco | Self::PascalVoc => (1.0, 1.0),
        }
    }

    /// What the four numbers are.
    fn form(self) -> &'static str {
        match self {
            Self::Albumentations => "left, top, right, bottom as shares of width and height",
            Self::Coco => "left, top, width, height in pixels",
            Self::PascalVoc => "left, top, right, bottom in pixels",
            Self::Yolo => "centre across, centre down, width, height as shares of width and height",
        }
    }
}

type Point = (f64, f64);

/// Points of an outline along each side of a box: a map that is not straight bends its sides.
const POINTS_A_SIDE: u32 = 16;

impl BoundingBox {
    /// The box around what the steps leave of this one in the picture: its outline is moved, cut at the edges of each
    /// picture on the way (not around a crop that is looked beyond, as `seen` says of each step), and bounded again. None,
    /// where nothing is left, or a smaller share of its area than `least_visible`.
    pub(super) fn moved(&self, drawing: &ImageDrawing, seen: &[bool], least_visible: f64) -> Option<Self> {
        let (mut outline, mut facts, mut visible) = (self.outline(), drawing.source, 1.0);
        for (drawn, seen) in drawing.steps.iter().zip(seen).filter(|(drawn, _)| drawn.step.moves_pixels()) {
            for point in &mut outline {
                *point = drawn.step.forward(point.0, point.1);
            }
            facts = drawn.step.output(&facts);
            if *seen {
                continue;
            }
            let whole = area(&outline);
            outline = cut(outline, f64::from(facts.width), f64::from(facts.height));
            let left = area(&outline);
            if left.is_nan() || left <= 0.0 || whole <= 0.0 {
                return None;
            }
            visible *= left / whole;
        }
        // rounding is no part of a box
        if visible < least_visible - 1e-9 {
            return None;
        }
        let across = || outline.iter().map(|point| point.0);
        let down = || outline.iter().map(|point| point.1);
        Some(Self {
            left: across().fold(f64::INFINITY, f64::min),
            top: down().fold(f64::INFINITY, f64::min),
            right: across().fold(f64::NEG_INFINITY, f64::max),
            bottom: down().fold(f64::NEG_INFINITY, f64::max),
            label: self.label,
        })
    }

    /// Its points, all around.
    fn outline(&self) -> Vec<Point> {
        let corners =
            [(self.left, self.top), (self.right, self.top), (self.right, self.bottom), (self.left, self.bottom)];
        let side = |(from, to): (Point, Point)| {
            (0..POINTS_A_SIDE).map(move |index| {
                let share = f64::from(index) / f64::from(POINTS_A_SIDE);
                // the corner itself, to the bit
                let between = |from: f64, to: f64| if from == to { from } else { from + share * (to - from) };
                (between(from.0, to.0), between(from.1, to.1))
            })
        };
        let next = corners.iter().cycle().skip(1);
        corners.iter().zip(next).flat_map(|(from, to)| side((*from, *to))).collect()
    }
}

/// Of the inside of an outline (the shoelace formula).
fn area(outline: &[Point]) -> f64 {
    let next = outline.iter().cycle().skip(1);
    let doubled: f64 = outline.iter().zip(next).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum();
    doubled.abs() / 2.0
}

/// What of an outline lies in [0, width] × [0, height] (Sutherland and Hodgman 1974).
fn cut(outline: Vec<Point>, width: f64, height: f64) -> Vec<Point> {
    // how far a point is within each of the four edges
    let edges: [fn(&Point, f64, f64) -> f64; 4] = [
        |point, _, _| point.0,
        |point, width, _| width - point.0,
        |point, _, _| point.1,
        |point, _, height| height - point.1,
    ];
    edges.iter().fold(outline, |outline, within| {
        let mut left = Vec::with_capacity(outline.len() + 2);
        let next = outline.iter().cycle().skip(1);
        for (from, to) in outline.iter().zip(next) {
            let (here, there) = (within(from, width, height), within(to, width, height));
            if here >= 0.0 {
                left.push(*from);
            }
            if (here > 0.0 && there < 0.0) || (here < 0.0 && there > 0.0) {
                let share = here / (here - there);
                left.push((from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1)));
            }
        }
        left
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_ways_to_write_a_box() {
        let image = ImageFacts::new(200, 100);
        let wanted = BoundingBox { left: 20.0, top: 10.0, right: 60.0, bottom: 90.0, label: 3 };
        for (format, numbers) in [
            (BoxFormat::PascalVoc, [20.0, 10.0, 60.0, 90.0]),
            (BoxFormat::Coco, [20.0, 10.0, 40.0, 80.0]),
            (BoxFormat::Yolo, [0.2, 0.5, 0.2, 0.8]),
            (BoxFormat::Albumentations, [0.1, 0.1, 0.3, 0.9]),
        ] {
            let got = format.read(numbers, &image, 3).unwrap();
            let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
            assert!(near(got.left, wanted.left) && near(got.right, wanted.right), "{format:?}: {got:?}");
            assert!(near(got.top, wanted.top) && near(got.bottom, wanted.bottom), "{format:?}: {got:?}");
            let back = format.write(&wanted, &image);
            assert!(back.iter().zip(numbers).all(|(a, b)| near(*a, b)), "{format:?}: {back:?}");
        }
        for (format, numbers, message) in [
            (
                BoxFormat::PascalVoc,
                [60.0, 10.0, 20.0, 90.0],
                "the box [60.0, 10.0, 20.0, 90.0] has no area; it is left, top, right, bottom in pixels",
            ),
            (
                BoxFormat::Coco,
                [1.0, 2.0, 0.0, 5.0],
                "the box [1.0, 2.0, 0.0, 5.0] has no area; it is left, top, width, height in pixels",
            ),
        ] {
            assert_eq!(format.read(numbers, &image, 0).unwrap_err().to_string(), message);
        }
        assert!(BoxFormat::Yolo.read([f64::NAN; 4], &image, 0).is_err());
    }

    #[test]
    fn outlines_are_cut_and_measured() {
        let square = vec![(-2.0, -2.0), (2.0, -2.0), (2.0, 2.0), (-2.0, 2.0)];
        assert_eq!(area(&square), 16.0);
        assert_eq!(area(&cut(square.clone(), 10.0, 10.0)), 4.0);
        assert_eq!(area(&cut(square.clone(), 10.0, 1.0)), 2.0);
        let away = square.into_iter().map(|(x, y)| (x + 20.0, y)).collect();
        assert_eq!(area(&cut(away, 10.0, 10.0)), 0.0);
    }
}
