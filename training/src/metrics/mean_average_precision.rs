//! How well the boxes of pictures are found.

use std::collections::BTreeMap;

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::compared_boxes::{BOUNDS, Told, TrueBox, compared};
use super::detections::{Detecting, Detection};
use super::figure_kind::{Better, Unit};
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction, RowCounts};
use super::metric_kind::{Build, MetricKind, Worked};
use super::table::{Cell, Record, Table};

pub(super) const METRIC: MetricKind = MetricKind {
    name: "mean_average_precision",
    summary: "The mean over classes of the precision at which boxes are found, by the recall that each probability brings.",
    documentation: "As COCO counts it: of each picture the 100 likeliest things of all classes (COCO's evaluation takes 100 of each \
        class of those that it is given, seldom more than that) of a probability of 0.05 or more, after those were left \
        out that overlap a likelier one of their class by more than 0.6. The likeliest is held first against the box of its \
        class that it overlaps most and that none was held against, and is right where their intersection over union reaches \
        a bound. Over all pictures the precision is the largest at this recall or more, the average precision its mean at \
        the recalls 0, 0.01, … 1, and the figure the mean over the classes that occur. `mean_average_precision` is the mean \
        of it over the bounds 0.5, 0.55, … 0.95, `mean_average_precision_50` that of 0.5 alone. The table \
        `average_precision_by_class` has boxes and average precisions of each class, none of one that does not occur. Where \
        a box is around a crowd (`crowd_field` of the encoding `boxes`), what is found of its class with at least such a \
        share in it is neither right nor wrong. It holds 8 bytes for each thing that is found.",
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
            wanted: r#"{"mean_average_precision": 0.5544554455445545, "mean_average_precision_50": 1.0,
                "average_precision_by_class": [
                {"name": "0", "boxes": 2, "average_precision": 0.5544554455445545, "average_precision_50": 1.0}]}"#,
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
            wanted: r#"{"mean_average_precision": 0.25, "mean_average_precision_50": 0.25,
                "average_precision_by_class": [
                {"name": "0", "boxes": 1, "average_precision": 0.5, "average_precision_50": 0.5},
                {"name": "1", "boxes": 1, "average_precision": 0.0, "average_precision_50": 0.0}]}"#,
        },
        // One class, maps of one place. What is found first (p 0.95) lies in a crowd of the class and is left out of the count; what is
        // found then (p 0.88) is right.
        Worked {
            options: "{}",
            shape: &[2, 5, 1, 1],
            prediction: &[
                2.0,
                -1.386_294_4,
                -1.386_294_4,
                -1.386_294_4,
                -1.386_294_4,
                3.0,
                -1.386_294_4,
                -1.386_294_4,
                -1.386_294_4,
                -1.386_294_4,
            ],
            targets: &[0.25, 0.25, 0.75, 0.75, 0.0, 0.0, 0.0, 1.0, 1.0, -2.0],
            wanted: r#"{"mean_average_precision": 1.0, "mean_average_precision_50": 1.0,
                "average_precision_by_class": [
                {"name": "0", "boxes": 1, "average_precision": 1.0, "average_precision_50": 1.0}]}"#,
        },
        // No box in any picture: there is nothing to be found.
        Worked {
            options: "{}",
            shape: &[1, 5, 1, 1],
            prediction: &[0.0, 0.0, 0.0, 0.0, 0.0],
            targets: &[0.0, 0.0, 0.0, 0.0, -1.0],
            wanted: r#"{"mean_average_precision": null, "mean_average_precision_50": null,
                "average_precision_by_class": [
                {"name": "0", "boxes": 0, "average_precision": null, "average_precision_50": null}]}"#,
        },
    ],
    build: Build::of::<MeanAveragePrecision>(),
};

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

    fn start(&self, classes: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Found { classes: classes.to_vec(), ..Found::default() }))
    }
}

/// What was found in pictures, by classes.
#[derive(Debug, Default)]
struct Found {
    /// Their names; none where they are not known.
    classes: Vec<String>,
    of_class: BTreeMap<usize, OfClass>,
}

#[derive(Debug, Default)]
struct OfClass {
    /// Boxes that there are.
    boxes: u64,
    /// What was taken for one.
    told: Vec<Told>,
}

impl Meter for Found {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        let &[_, channels, height, width] = batch.shape() else { return };
        for (_, told, targets) in batch.pictures() {
            let things = Detecting::default().things(told, [channels, height, width]);
            self.add_picture(&things, &TrueBox::all(targets));
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
        let there: Vec<[f64; 2]> = self.of_class.values().filter_map(OfClass::figures).collect();
        let mean = |figure: usize| {
            let sum: f64 = there.iter().map(|of| of[figure]).sum();
            (!there.is_empty()).then(|| sum / there.len() as f64)
        };
        vec![mean(0), mean(1)]
    }

    fn tables(&self) -> Vec<(String, Table)> {
        if self.classes.is_empty() {
            return Vec::new();
        }
        let record = |(class, name): (usize, &String)| {
            let of = self.of_class.get(&class);
            let [all, at_half] = of.and_then(OfClass::figures).map_or([None; 2], |figures| figures.map(Some));
            Record(vec![
                ("name".into(), Cell::Text(name.clone())),
                ("boxes".into(), Cell::Count(of.map_or(0, |of| of.boxes))),
                ("average_precision".into(), Cell::Share(all)),
                ("average_precision_50".into(), Cell::Share(at_half)),
            ])
        };
        let records = self.classes.iter().enumerate().map(record).collect();
        vec![("average_precision_by_class".into(), Table::Classes(records))]
    }
}

impl Found {
    /// What was found in a picture, the likeliest first, and what is there.
    fn add_picture(&mut self, things: &[Detection], boxes: &[TrueBox]) {
        for one in boxes.iter().filter(|one| !one.is_crowd) {
            self.of_class.entry(one.class).or_default().boxes += 1;
        }
        for (thing, told) in things.iter().zip(compared(things, boxes)) {
            self.of_class.entry(thing.class).or_default().told.push(told);
        }
    }
}

impl OfClass {
    /// Its average precision, the mean over the bounds and that at the first; none where there are no boxes of it.
    fn figures(&self) -> Option<[f64; 2]> {
        if self.boxes == 0 {
            return None;
        }
        let mut order: Vec<Told> = self.told.clone();
        order.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        let all: [f64; BOUNDS] = std::array::from_fn(|bound| self.average_precision(&order, bound));
        Some([all.iter().sum::<f64>() / BOUNDS as f64, all[0]])
    }

    /// At one of the bounds, of what was told, the likeliest first.
    fn average_precision(&self, order: &[Told], bound: usize) -> f64 {
        let mut right = 0;
        let mut curve: Vec<(f64, f64)> = Vec::with_capacity(order.len());
        for (at, told) in order.iter().filter(|told| (told.ignored >> bound) & 1 == 0).enumerate() {
            right += u64::from((told.right >> bound) & 1);
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

    fn counted((probability, right): (f32, u16)) -> Told {
        Told { probability, right, ignored: 0 }
    }

    #[test]
    fn average_precisions_are_those_worked_by_hand() {
        let of = |boxes, told: &[(f32, u16)]| {
            let told = told.iter().copied().map(counted).collect();
            let [_, at_half] = OfClass { boxes, told }.figures().unwrap();
            at_half
        };
        assert_eq!(of(3, &[]), 0.0);
        assert_eq!(of(1, &[(0.9, 1), (0.8, 0)]), 1.0);
        assert_eq!(of(1, &[(0.8, 1), (0.9, 0)]), 0.5);
        // right, wrong, right of three: recalls of 1/3 at 1, and of 2/3 at 2/3: 34 and 33 of the 101
        let found = of(3, &[(0.9, 1), (0.7, 1), (0.8, 0)]);
        assert!((found - (34.0 + 33.0 * 2.0 / 3.0) / 101.0).abs() < 1e-12, "{found}");
        // the wrong one is ignored at the first bound
        let told = vec![counted((0.8, 1)), Told { probability: 0.9, right: 0, ignored: 1 }];
        assert_eq!(OfClass { boxes: 1, told }.figures().unwrap()[1], 1.0);
    }

    #[test]
    fn a_class_that_is_told_and_does_not_occur_is_left_out_of_the_mean() {
        let mut found = Found::default();
        found.of_class.insert(0, OfClass { boxes: 1, told: vec![counted((0.9, u16::MAX))] });
        found.of_class.insert(1, OfClass { boxes: 0, told: vec![counted((0.9, 0))] });
        assert_eq!(found.figures(), [Some(1.0), Some(1.0)]);
    }

    #[test]
    fn things_of_all_pictures_are_counted_by_their_probability_and_of_equal_ones_those_of_the_first_picture() {
        let there = [0.0, 0.0, 0.5, 1.0];
        let elsewhere = [0.5, 0.0, 1.0, 1.0];
        let thing = |probability, bounds| Detection { class: 0, probability, bounds };
        let one = |is_crowd| TrueBox { class: 0, sides: there, is_crowd };
        // of each picture what was found, the likeliest first
        for (pictures, wanted) in [
            // the right one of the second picture comes before the wrong one of the first
            ([vec![thing(0.6, elsewhere)], vec![thing(0.9, there)]], 51.0 / 101.0),
            ([vec![thing(0.9, elsewhere)], vec![thing(0.6, there)]], 51.0 / 2.0 / 101.0),
            // equal ones in the order of the pictures
            ([vec![thing(0.6, there)], vec![thing(0.6, elsewhere)]], 51.0 / 101.0),
            ([vec![thing(0.6, elsewhere)], vec![thing(0.6, there)]], 51.0 / 2.0 / 101.0),
            // right in both, with a second finding of the same box in between: precisions of 1 and 2/3
            ([vec![thing(0.9, there), thing(0.8, there)], vec![thing(0.7, there)]], (51.0 + 50.0 * 2.0 / 3.0) / 101.0),
        ] {
            let mut found = Found::default();
            for things in &pictures {
                found.add_picture(things, &[one(false)]);
            }
            for figure in found.figures() {
                assert!((figure.unwrap() - wanted).abs() < 1e-12, "{pictures:?}: {figure:?}");
            }
            // the classes of what is in crowds alone, and of what is told and is not there, are left out of the mean
            found.add_picture(&[thing(0.9, there)].map(|own| Detection { class: 1, ..own }), &[]);
            found.add_picture(
                &[thing(0.9, there)].map(|own| Detection { class: 2, ..own }),
                &[TrueBox { class: 2, ..one(true) }],
            );
            for figure in found.figures() {
                assert!((figure.unwrap() - wanted).abs() < 1e-12, "{pictures:?}: {figure:?}");
            }
        }
    }

    #[test]
    fn average_precision_of_each_class_is_told_and_its_mean_is_the_figure() {
        let of_class = [
            (0, OfClass { boxes: 2, told: [(0.9, u16::MAX), (0.8, 1)].map(counted).to_vec() }),
            (2, OfClass { boxes: 4, told: Vec::new() }),
        ];
        let classes = ["cat", "dog", "eel"].map(String::from).to_vec();
        let found = Found { classes, of_class: of_class.into() };
        let tables = found.tables();
        let [(name, Table::Classes(records))] = tables.as_slice() else { panic!("{tables:?}") };
        assert_eq!((name.as_str(), records.len()), ("average_precision_by_class", 3));
        let share = |at: usize, column: &str| match records[at].get(column) {
            Some(Cell::Share(share)) => *share,
            other => panic!("{other:?}"),
        };
        let boxes = |at: usize| records[at].get("boxes").cloned();
        assert_eq!([0, 1, 2].map(boxes), [2, 0, 4].map(|boxes| Some(Cell::Count(boxes))));
        assert_eq!([0, 1, 2].map(|at| share(at, "average_precision_50")), [Some(1.0), None, Some(0.0)]);
        // of the bounds but the first one of two is found: 51 of the 101 recalls
        let wanted = (1.0 + 9.0 * 51.0 / 101.0) / 10.0;
        assert!((share(0, "average_precision").unwrap() - wanted).abs() < 1e-12, "{records:?}");
        let figures = found.figures();
        assert!((figures[0].unwrap() - wanted / 2.0).abs() < 1e-12 && figures[1] == Some(0.5), "{figures:?}");
        assert!(Found::default().tables().is_empty(), "classes without names have no lines");
    }
}
