//! Boxes that are told at the places of a map.

use millstream_compiler::losses::{BOX_SIDES, LONGEST_LOGARITHM, classes_among};

use super::probabilities::sigmoid;

/// A thing that was found in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// What it is.
    pub class: usize,
    /// How likely it is to be there, from 0 to 1.
    pub probability: f32,
    /// Left, top, right and bottom, as shares of the picture's width and height.
    pub bounds: [f32; 4],
}

/// Of what is told at the places of a map, what is taken for a thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detecting {
    /// Things that are less likely are none.
    pub least_probability: f32,
    /// Of two of a class whose intersection over union is above this, the likelier alone is one.
    pub most_overlap: f32,
    /// So many of a picture at most, the likeliest.
    pub most: usize,
}

/// As FCOS evaluates: from 0.05 on, 0.6 of overlap, 100 of a picture, of all classes together. COCO's evaluation takes 100 of each class
/// of those that it is given, which are seldom more than 100 of a picture.
impl Default for Detecting {
    fn default() -> Self {
        Self { least_probability: 0.05, most_overlap: 0.6, most: 100 }
    }
}

/// Before overlaps are looked at, so many of the likeliest are kept.
const MOST_CANDIDATES: usize = 1000;

impl Detecting {
    /// What is told to people is so likely or more: of focal losses that is seldom near to 1.
    pub const LEAST_TOLD: f32 = 0.3;

    /// The things of a picture, the likeliest first. `told`: scores of classes before a sigmoid, then logarithms of the distances from the
    /// middle of a place to the left, top, right and bottom side, in places: row-major `[classes + 4, height, width]`. None where it has
    /// another size; and nothing of a place whose four logarithms are not all numbers, or whose box has no area in the picture.
    pub fn things(&self, told: &[f32], [channels, height, width]: [usize; 3]) -> Vec<Detection> {
        let (classes, places) = (classes_among(channels).unwrap_or(0), height * width);
        if classes == 0 || places == 0 || told.len() != channels * places {
            return Vec::new();
        }
        let mut found = Vec::new();
        for (at, score) in told[..classes * places].iter().enumerate() {
            let probability = sigmoid(*score) as f32;
            // not so where it is no number
            if probability >= self.least_probability {
                let (class, place) = (at / places, at % places);
                let bounds = bounds(&told[classes * places..], place, [height, width]);
                found.extend(bounds.map(|bounds| Detection { class, probability, bounds }));
            }
        }
        found.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        found.truncate(MOST_CANDIDATES);
        let mut kept: Vec<Detection> = Vec::new();
        for one in found {
            if kept.len() == self.most {
                break;
            }
            let mut of_class = kept.iter().filter(|other| other.class == one.class);
            if !of_class.any(|other| overlap(&other.bounds, &one.bounds) > self.most_overlap) {
                kept.push(one);
            }
        }
        kept
    }
}

/// The box at a place, of logarithms of distances `[4, height, width]`, cut at the picture's edges; none where one is no number, or nothing
/// is left.
fn bounds(logarithms: &[f32], place: usize, [height, width]: [usize; 2]) -> Option<[f32; BOX_SIDES]> {
    let own: [f32; BOX_SIDES] = std::array::from_fn(|side| logarithms[side * height * width + place]);
    if !own.iter().all(|logarithm| logarithm.is_finite()) {
        return None;
    }
    let distance = |side: usize| own[side].min(LONGEST_LOGARITHM).exp();
    let (x, y) = ((place % width) as f32 + 0.5, (place / width) as f32 + 0.5);
    let (across, down) = (width as f32, height as f32);
    let sides =
        [(x - distance(0)) / across, (y - distance(1)) / down, (x + distance(2)) / across, (y + distance(3)) / down];
    let sides = sides.map(|side| side.clamp(0.0, 1.0));
    (area(sides) > 0.0).then_some(sides)
}

/// Intersection over union of two boxes; 0 where neither has an area.
pub(super) fn overlap(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let common = common(a, b);
    let union = area(*a) + area(*b) - common;
    if union > 0.0 { common / union } else { 0.0 }
}

/// Which share of a box lies in another; 0 where it has no area.
pub(super) fn covered(own: &[f32; 4], other: &[f32; 4]) -> f32 {
    let whole = area(*own);
    if whole > 0.0 { common(own, other) / whole } else { 0.0 }
}

/// The area that two boxes share.
fn common(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])])
}

fn area([left, top, right, bottom]: [f32; 4]) -> f32 {
    (right - left).max(0.0) * (bottom - top).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of one class on a map of two by two places: scores, and the box of each place by its distances.
    fn map(scores: [f32; 4], distances: [[f32; 4]; 4]) -> Vec<f32> {
        let of_side = |side: usize| distances.map(|of_place| of_place[side].ln());
        [scores, of_side(0), of_side(1), of_side(2), of_side(3)].concat()
    }

    #[test]
    fn boxes_are_where_their_places_say() {
        let told = map([9.0, -9.0, -9.0, 0.0], [[0.25, 0.5, 1.5, 0.5], [1.0; 4], [1.0; 4], [9.0, 0.5, 0.5, 0.25]]);
        let found = Detecting::default().things(&told, [5, 2, 2]);
        assert_eq!(found.len(), 2, "{found:?}");
        let near = |a: [f32; 4], b: [f32; 4]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(found[0].bounds, [0.125, 0.0, 1.0, 0.5]) && found[0].probability > 0.999, "{found:?}");
        // what reaches out of the picture is cut
        assert!(near(found[1].bounds, [0.0, 0.5, 1.0, 0.875]) && found[1].probability == 0.5, "{found:?}");
    }

    #[test]
    fn of_boxes_that_overlap_the_likelier_of_a_class_remains() {
        let whole = [[0.5, 0.5, 1.5, 1.5], [1.5, 0.5, 0.5, 1.5], [0.5, 1.5, 1.5, 0.5], [1.5, 1.5, 0.5, 0.5]];
        let told = map([1.0, 3.0, 2.0, 0.0], whole);
        let found = Detecting::default().things(&told, [5, 2, 2]);
        assert_eq!(found.len(), 1);
        assert!((found[0].probability - 0.952_574).abs() < 1e-5, "{found:?}");
        // the same of two classes, one of which is told at two places
        let two = [&[1.0, -9.0, -9.0, -9.0, -9.0, 3.0, 2.0, -9.0][..], &told[4..]].concat();
        let classes: Vec<usize> = Detecting::default().things(&two, [6, 2, 2]).iter().map(|one| one.class).collect();
        assert_eq!(classes, [1, 0]);
        let few = Detecting { most: 1, ..Detecting::default() };
        assert_eq!(few.things(&two, [6, 2, 2]).len(), 1);
        let all = Detecting { most_overlap: 1.0, ..Detecting::default() };
        assert_eq!(all.things(&told, [5, 2, 2]).len(), 4);
        let sure = Detecting { least_probability: 0.96, ..Detecting::default() };
        assert!(sure.things(&told, [5, 2, 2]).is_empty());
    }

    #[test]
    fn of_a_picture_the_hundred_likeliest_of_all_classes_are_things() {
        // two classes at 8 by 8 places that do not overlap, the second a little less likely, and less so from place to place
        let score = |at: u8| 3.0 - f32::from(at % 64) / 64.0 - if at < 64 { 0.0 } else { 0.5 };
        let scores: Vec<f32> = (0..128).map(score).collect();
        let told = [scores, vec![0.5_f32.ln(); 4 * 64]].concat();
        let found = Detecting::default().things(&told, [6, 8, 8]);
        let of_class = |class: usize| found.iter().filter(|one| one.class == class).count();
        assert_eq!((found.len(), of_class(0), of_class(1)), (100, 64, 36), "{:?}", found.last());
        assert!(found.is_sorted_by(|a, b| a.probability >= b.probability));
    }

    #[test]
    fn distances_that_are_no_number_do_not_become_a_box_of_the_whole_picture() {
        let told = map([9.0; 4], [[0.5; 4]; 4]);
        assert_eq!(Detecting::default().things(&told, [5, 2, 2]).len(), 4);
        for strange in [f32::NAN, f32::INFINITY] {
            for side in 0..4 {
                let mut told = told.clone();
                told[4 + 4 * side + 2] = strange;
                assert_eq!(Detecting::default().things(&told, [5, 2, 2]).len(), 3, "{strange} {side}");
            }
        }
        // a distance that is too short for a float has no area
        let told = map([9.0; 4], [[0.5; 4], [1e-30; 4], [0.5; 4], [0.5; 4]]);
        assert_eq!(Detecting::default().things(&told, [5, 2, 2]).len(), 3);
    }

    #[test]
    fn what_is_no_number_and_maps_of_another_size_tell_nothing() {
        let told = map([f32::NAN; 4], [[1.0; 4]; 4]);
        assert!(Detecting::default().things(&told, [5, 2, 2]).is_empty());
        assert!(Detecting::default().things(&told, [5, 2, 3]).is_empty());
        assert!(Detecting::default().things(&told, [4, 2, 2]).is_empty());
    }

    #[test]
    fn the_overlap_that_is_documented_is_the_one_that_is_used() {
        let said = format!("overlap a likelier one of their class by more than {}.", Detecting::default().most_overlap);
        let documented = super::super::mean_average_precision::METRIC.documentation;
        let page = include_str!("../../../docs/tasks/boxes.md");
        assert!(documented.contains(&said), "{documented}");
        assert!(page.contains(&said), "docs/tasks/boxes.md: {said}");
    }

    #[test]
    fn overlaps_are_intersections_over_unions() {
        for (a, b, wanted) in [
            ([0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.5, 0.5], 1.0),
            ([0.0, 0.0, 0.5, 1.0], [0.25, 0.0, 0.75, 1.0], 1.0 / 3.0),
            ([0.0, 0.0, 0.25, 0.25], [0.5, 0.5, 1.0, 1.0], 0.0),
            ([0.5; 4], [0.5; 4], 0.0),
        ] {
            assert!((overlap(&a, &b) - wanted).abs() < 1e-6, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_box_is_covered_by_the_share_that_lies_in_the_other() {
        for (own, other, wanted) in [
            ([0.25, 0.25, 0.5, 0.5], [0.0, 0.0, 1.0, 1.0], 1.0),
            ([0.0, 0.0, 1.0, 1.0], [0.25, 0.25, 0.5, 0.5], 0.0625),
            ([0.0, 0.0, 0.5, 1.0], [0.25, 0.0, 1.0, 1.0], 0.5),
            ([0.5; 4], [0.0, 0.0, 1.0, 1.0], 0.0),
        ] {
            assert!((covered(&own, &other) - wanted).abs() < 1e-6, "{own:?} {other:?}");
        }
    }
}
