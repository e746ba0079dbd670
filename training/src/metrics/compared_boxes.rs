//! What was found in a picture, held against what is there, as COCO does it.

use super::detections::{Detection, covered, overlap};

/// Of intersections over unions: 0.5, 0.55, … 0.95.
pub(super) const BOUNDS: usize = 10;
/// As targets have it.
const CROWD: f32 = millstream_schemas::CROWD as f32;

/// What was taken for a thing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Told {
    /// How likely it was told to be.
    pub(super) probability: f32,
    /// A bit for each bound at which it is right.
    pub(super) right: u16,
    /// A bit for each bound at which it is not counted, since it lies in a crowd.
    pub(super) ignored: u16,
}

/// A box that is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TrueBox {
    /// What it is.
    pub(super) class: usize,
    /// Left, top, right and bottom, as shares.
    pub(super) sides: [f32; 4],
    /// Whether it is around several things of its class.
    pub(super) is_crowd: bool,
}

impl TrueBox {
    /// Those of a picture, of five numbers each; without what fills it up.
    pub(super) fn all(targets: &[f32]) -> Vec<Self> {
        targets.chunks_exact(5).filter_map(Self::read).collect()
    }

    fn read(numbers: &[f32]) -> Option<Self> {
        let (sides, class) = numbers.split_first_chunk::<4>()?;
        let number = class.first().copied()?;
        let is_crowd = number <= CROWD;
        let class = if is_crowd { CROWD - number } else { number };
        let is_there = class >= 0.0 && sides[2] > sides[0] && sides[3] > sides[1];
        is_there.then_some(Self { class: class as usize, sides: *sides, is_crowd })
    }
}

/// What each thing of a picture is worth, the likeliest first.
pub(super) fn compared(things: &[Detection], boxes: &[TrueBox]) -> Vec<Told> {
    let told = |thing: &Detection| Told { probability: thing.probability, ..Told::default() };
    let mut all: Vec<Told> = things.iter().map(told).collect();
    for bound in 0..BOUNDS {
        // rounded as little as the numbers are
        let least = 0.5 + 0.05 * bound as f32 - 1e-6;
        let mut taken = vec![false; boxes.len()];
        for (thing, told) in things.iter().zip(&mut all) {
            let mut best: Option<(usize, f32)> = None;
            for (at, one) in boxes.iter().enumerate() {
                let is_open = one.class == thing.class && !one.is_crowd && !taken[at];
                let found = if is_open { overlap(&one.sides, &thing.bounds) } else { 0.0 };
                // of those that it overlaps as much the last, as COCO's evaluation does
                if found >= least && best.is_none_or(|(_, most)| found >= most) {
                    best = Some((at, found));
                }
            }
            let mut crowds = boxes.iter().filter(|one| one.is_crowd && one.class == thing.class);
            if let Some((at, _)) = best {
                taken[at] = true;
                told.right |= 1 << bound;
            } else if crowds.any(|one| covered(&thing.bounds, &one.sides) >= least) {
                told.ignored |= 1 << bound;
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_found_once_and_by_the_likeliest_that_overlaps_it_most() {
        let thing = |probability, bounds| Detection { class: 0, probability, bounds };
        let one = |class, sides| TrueBox { class, sides, is_crowd: false };
        let boxes = [one(0, [0.0, 0.0, 0.5, 1.0]), one(0, [0.5, 0.0, 1.0, 1.0]), one(1, [0.0, 0.0, 0.5, 1.0])];
        let things = [
            thing(0.9, [0.0, 0.0, 0.5, 1.0]),
            thing(0.8, [0.0, 0.0, 0.5, 1.0]),
            // 0.4 of 0.6, which is 2/3
            thing(0.7, [0.4, 0.0, 0.9, 1.0]),
            thing(0.6, [0.0, 0.0, 1.0, 0.1]),
        ];
        let found = compared(&things, &boxes);
        let right: Vec<u16> = found.iter().map(|told| told.right).collect();
        assert_eq!(right, [0b11_1111_1111, 0, 0b1111, 0], "0.5, 0.55, 0.6 and 0.65");
        assert!(found.iter().all(|told| told.ignored == 0), "{found:?}");
    }

    #[test]
    fn of_two_boxes_that_are_overlapped_as_much_the_last_is_taken() {
        let thing = |probability, bounds| Detection { class: 0, probability, bounds };
        let [left, right] = [[0.0, 0.0, 0.75, 1.0], [0.25, 0.0, 1.0, 1.0]];
        // 5/8 of 7/8 of each, which is 0.714; then the left one as it is, which overlaps the right one by half
        let things = [thing(0.9, [0.125, 0.0, 0.875, 1.0]), thing(0.8, left)];
        for (boxes, wanted) in [
            ([left, right], [0b1_1111, 0b11_1111_1111]),
            // up to 0.7 the left one is taken, and at 0.5 the right one is left for the second
            ([right, left], [0b1_1111, 0b11_1110_0001]),
        ] {
            let boxes = boxes.map(|sides| TrueBox { class: 0, sides, is_crowd: false });
            let found: Vec<u16> = compared(&things, &boxes).iter().map(|told| told.right).collect();
            assert_eq!(found, wanted, "{boxes:?}");
        }
    }

    #[test]
    fn what_lies_in_a_crowd_is_neither_right_nor_wrong_unless_a_box_of_its_own_is_there() {
        let thing = |class, bounds| Detection { class, probability: 0.5, bounds };
        let crowd = TrueBox { class: 0, sides: [0.0, 0.0, 0.5, 1.0], is_crowd: true };
        let own = TrueBox { class: 0, sides: [0.0, 0.0, 0.25, 0.5], is_crowd: false };
        let things = [
            thing(0, [0.0, 0.0, 0.25, 0.5]),
            // the same again, of which there is one, and elsewhere in the crowd
            thing(0, [0.0, 0.0, 0.25, 0.5]),
            thing(0, [0.25, 0.5, 0.5, 1.0]),
            // 0.3 of 0.5, which is 0.6
            thing(0, [0.2, 0.0, 0.7, 1.0]),
            thing(0, [0.5, 0.0, 1.0, 1.0]),
            thing(1, [0.0, 0.0, 0.25, 0.5]),
        ];
        let all = 0b11_1111_1111;
        for boxes in [[crowd, own], [own, crowd]] {
            let found = compared(&things, &boxes);
            let ignored: Vec<u16> = found.iter().map(|told| told.ignored).collect();
            assert_eq!(ignored, [0, all, all, 0b111, 0, 0]);
            let right: Vec<u16> = found.iter().map(|told| told.right).collect();
            assert_eq!(right, [all, 0, 0, 0, 0, 0]);
        }
    }

    #[test]
    fn numbers_below_minus_one_are_crowds_of_their_class() {
        let of = |class: f32| TrueBox::read(&[0.0, 0.0, 0.5, 0.5, class]).map(|one| (one.class, one.is_crowd));
        let found = [0.0, 3.0, -1.0, -2.0, -5.0, f32::NAN].map(of);
        assert_eq!(found, [Some((0, false)), Some((3, false)), None, Some((0, true)), Some((3, true)), None]);
        assert_eq!(TrueBox::read(&[0.5, 0.0, 0.5, 0.5, 0.0]), None);
    }
}
