//! How well the boxes of pictures are found.

use std::collections::BTreeMap;

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::detections::{Detecting, Detection, overlap};
use super::figure_kind::{Better, Unit};
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction, RowCounts};
use super::metric_kind::{Build, MetricKind, Worked};

pub(super) const METRIC: MetricKind = MetricKind {
    name: "mean_average_precision",
    summary: "The mean over classes of the precision at which boxes are found, by the recall that each probability brings.",
    documentation: "As COCO counts it: of each picture the 100 likeliest things of all classes (COCO's evaluation takes 100 of each \
        class of those that it is given, seldom more than that) of a probability of 0.05 or more, after those were left \
        out that overlap a likelier one of their class by more than 0.6. The likeliest is held first against the box of its \
        class that it overlaps most and that none was held against, and is right where their intersection over union reaches \
        a bound. Over all pictures the precision is the largest at this recall or more, the average precision its mean at \
        the recalls 0, 0.01, … 1, and the figure the mean over the classes that occur. `mean_average_precision` is the mean \
        of it over the bounds 0.5, 0.55, … 0.95, `mean_average_precision_50` that of 0.5 alone. Boxes of crowds and of \
        difficult things count as others. It holds 8 bytes for each thing that is found.",
    better: Better::Higher,
    unit: Unit::Share,
    of_constant_answer: false,
    samples: &[
        // One class, maps of one place. The first picture: a box that is found as it is (p 0.88); the second: told twice as wide (p
        // 0.73), which makes an intersection over union of 1/2. At 0.5 both are right; from 0.55 on the first alone, with which
        // recalls up to 0.5 are reached: 51 of 101.
        Worked {
            options: "{}",
            shape: &[2, 5, 1, 1],
            prediction: &[
                2.0,
                -1.386_294_4,
                -1.386_294_4,
                -1.386_294_4,
                -1.386_294_4,
                1.0,
                -std::f32::consts::LN_2,
                -1.386_294_4,
                -std::f32::consts::LN_2,
                -1.386_294_4,
            ],
            targets: &[0.25, 0.25, 0.75, 0.75, 0.0, 0.25, 0.25, 0.75, 0.75, 0.0],
            wanted: r#"{"mean_average_precision": 0.5544554455445545, "mean_average_precision_50": 1.0}"#,
        },
        // Two classes, maps of one place. Class 0 is found in the first picture (p 0.5) and told where there is none in the second (p
        // 0.88): a precision of 1/2 at all recalls. The box of class 1 in the second picture is not told (p 0.02).
        Worked {
            options: "{}",
            shape: &[2, 6, 1, 1],
            prediction: &[
                0.0,
                -4.0,
                -1.386_294_4,
                -1.386_294_4,
                -1.386_294_4,
                -1.386_294_4,
                2.0,
                -4.0,
                -1.386_294_4,
                -1.386_294_4,
                -1.386_294_4,
                -1.386_294_4,
            ],
            targets: &[0.25, 0.25, 0.75, 0.75, 0.0, 0.25, 0.25, 0.75, 0.75, 1.0],
            wanted: r#"{"mean_average_precision": 0.25, "mean_average_precision_50": 0.25}"#,
        },
        // No box in any picture: there is nothing to be found.
        Worked {
            options: "{}",
            shape: &[1, 5, 1, 1],
            prediction: &[0.0, 0.0, 0.0, 0.0, 0.0],
            targets: &[0.0, 0.0, 0.0, 0.0, -1.0],
            wanted: r#"{"mean_average_precision": null, "mean_average_precision_50": null}"#,
        },
    ],
    build: Build::of::<MeanAveragePrecision>(),
};

/// Of intersections over unions: 0.5, 0.55, … 0.95.
const BOUNDS: usize = 10;
/// Recalls at which the precision is asked for: 0, 0.01, … 1.
const RECALLS: usize = 101;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MeanAveragePrecision {}

impl Options for MeanAveragePrecision {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for MeanAveragePrecision {
    fn reads(&self) -> PredictionKind {
        PredictionKind::Boxes
    }

    fn figure_names(&self) -> Vec<String> {
        vec!["mean_average_precision".into(), "mean_average_precision_50".into()]
    }

    fn start(&self, _: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Found::default()))
    }
}

/// What was found in pictures, by classes.
#[derive(Debug, Default)]
struct Found {
    of_class: BTreeMap<usize, OfClass>,
}

#[derive(Debug, Default)]
struct OfClass {
    /// Boxes that there are.
    boxes: u64,
    /// What was taken for one: how likely, and a bit for each bound at which it is right.
    told: Vec<(f32, u16)>,
}

impl Meter for Found {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        let &[_, channels, height, width] = batch.shape() else { return };
        for (told, targets) in batch.pictures() {
            let things = Detecting::default().things(told, [channels, height, width]);
            let boxes: Vec<(usize, [f32; 4])> = targets.chunks_exact(5).filter_map(true_box).collect();
            boxes.iter().for_each(|(class, _)| self.of_class.entry(*class).or_default().boxes += 1);
            for (thing, right) in things.iter().zip(rightness(&things, &boxes)) {
                self.of_class.entry(thing.class).or_default().told.push((thing.probability, right));
            }
        }
    }

    fn counts_of(&self, row: &MeasuredBatch<'_>) -> Option<RowCounts> {
        let mut found = Self::default();
        found.add(row);
        let bytes = found.bytes_held() + (found.of_class.len() * size_of::<(usize, OfClass)>()) as u64;
        Some(RowCounts { counts: Box::new(found.of_class), bytes })
    }

    fn add_counts(&mut self, counts: &RowCounts) {
        let Some(of_class) = counts.counts.downcast_ref::<BTreeMap<usize, OfClass>>() else { return };
        for (class, of_row) in of_class {
            let all = self.of_class.entry(*class).or_default();
            all.boxes += of_row.boxes;
            all.told.extend_from_slice(&of_row.told);
        }
    }

    fn bytes_held(&self) -> u64 {
        self.of_class.values().map(|of| size_of_val(of.told.as_slice()) as u64).sum()
    }

    fn figures(&self) -> Vec<Option<f64>> {
        let there: Vec<&OfClass> = self.of_class.values().filter(|of| of.boxes > 0).collect();
        if there.is_empty() {
            return vec![None, None];
        }
        let of_bound =
            |bound: usize| there.iter().map(|of| of.average_precision(bound)).sum::<f64>() / there.len() as f64;
        let all: Vec<f64> = (0..BOUNDS).map(of_bound).collect();
        vec![Some(all.iter().sum::<f64>() / BOUNDS as f64), all.first().copied()]
    }
}

/// Its class and sides; none of what fills a row up.
fn true_box(numbers: &[f32]) -> Option<(usize, [f32; 4])> {
    let (sides, class) = numbers.split_first_chunk::<4>()?;
    let class = class.first().copied().filter(|class| *class >= 0.0)?;
    (sides[2] > sides[0] && sides[3] > sides[1]).then_some((class as usize, *sides))
}

/// For each thing of a picture, the likeliest first, a bit for each bound at which it is right.
fn rightness(things: &[Detection], boxes: &[(usize, [f32; 4])]) -> Vec<u16> {
    let mut right = vec![0; things.len()];
    for bound in 0..BOUNDS {
        let least = 0.5 + 0.05 * bound as f32;
        let mut taken = vec![false; boxes.len()];
        for (thing, right) in things.iter().zip(&mut right) {
            let mut best: Option<(usize, f32)> = None;
            for (at, (class, sides)) in boxes.iter().enumerate() {
                let found = if *class == thing.class && !taken[at] { overlap(sides, &thing.bounds) } else { 0.0 };
                // rounded as little as the numbers are
                if found >= least - 1e-6 && best.is_none_or(|(_, most)| found > most) {
                    best = Some((at, found));
                }
            }
            if let Some((at, _)) = best {
                taken[at] = true;
                *right |= 1 << bound;
            }
        }
    }
    right
}

impl OfClass {
    /// At one of the bounds.
    fn average_precision(&self, bound: usize) -> f64 {
        let mut order: Vec<&(f32, u16)> = self.told.iter().collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut right = 0;
        let mut curve: Vec<(f64, f64)> = Vec::with_capacity(order.len());
        for (at, (_, bits)) in order.into_iter().enumerate() {
            right += u64::from((bits >> bound) & 1);
            curve.push((right as f64 / self.boxes as f64, right as f64 / (at + 1) as f64));
        }
        // the largest precision at this recall or more
        let mut largest = 0.0_f64;
        for (_, precision) in curve.iter_mut().rev() {
            largest = largest.max(*precision);
            *precision = largest;
        }
        let at_recall = |step: usize| {
            let recall = step as f64 / (RECALLS - 1) as f64;
            let first = curve.partition_point(|(reached, _)| *reached < recall);
            curve.get(first).map_or(0.0, |(_, precision)| *precision)
        };
        (0..RECALLS).map(at_recall).sum::<f64>() / RECALLS as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_found_once_and_by_the_likeliest_that_overlaps_it_most() {
        let thing = |probability, bounds| Detection { class: 0, probability, bounds };
        let boxes = [(0, [0.0, 0.0, 0.5, 1.0]), (0, [0.5, 0.0, 1.0, 1.0]), (1, [0.0, 0.0, 0.5, 1.0])];
        let things = [
            thing(0.9, [0.0, 0.0, 0.5, 1.0]),
            thing(0.8, [0.0, 0.0, 0.5, 1.0]),
            // 0.4 of 0.6, which is 2/3
            thing(0.7, [0.4, 0.0, 0.9, 1.0]),
            thing(0.6, [0.0, 0.0, 1.0, 0.1]),
        ];
        let found = rightness(&things, &boxes);
        assert_eq!(found, [0b11_1111_1111, 0, 0b1111, 0], "0.5, 0.55, 0.6 and 0.65");
    }

    #[test]
    fn average_precisions_are_those_worked_by_hand() {
        let of = |boxes, told: &[(f32, u16)]| OfClass { boxes, told: told.to_vec() }.average_precision(0);
        assert_eq!(of(3, &[]), 0.0);
        assert_eq!(of(1, &[(0.9, 1), (0.8, 0)]), 1.0);
        assert_eq!(of(1, &[(0.8, 1), (0.9, 0)]), 0.5);
        // right, wrong, right of three: recalls of 1/3 at 1, and of 2/3 at 2/3: 34 and 33 of the 101
        let found = of(3, &[(0.9, 1), (0.7, 1), (0.8, 0)]);
        assert!((found - (34.0 + 33.0 * 2.0 / 3.0) / 101.0).abs() < 1e-12, "{found}");
    }

    #[test]
    fn a_class_that_is_told_and_does_not_occur_is_left_out_of_the_mean() {
        let mut found = Found::default();
        found.of_class.insert(0, OfClass { boxes: 1, told: vec![(0.9, u16::MAX)] });
        found.of_class.insert(1, OfClass { boxes: 0, told: vec![(0.9, 0)] });
        assert_eq!(found.figures(), [Some(1.0), Some(1.0)]);
    }
}
