//! The pictures that a detector was most wrong about.

use std::cmp::Ordering;

use millstream_schemas::RowId;
use serde::{Deserialize, Serialize};

use super::compared_boxes::{Told, TrueBox, compared};
use super::detections::{Detecting, Detection};
use super::measured_batch::MeasuredBatch;

/// A picture in which boxes were not found, or things told that are not there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MistakenPicture {
    /// The row's file, by its path within the dataset.
    pub file: String,
    /// Row group within the file, from 0.
    pub row_group: u32,
    /// Row within the row group, from 0.
    pub row: u32,
    /// Boxes that no thing of their class was told at, with an intersection over union of 0.5 or more.
    pub missed: u64,
    /// Things of a probability of 0.3 or more that are none of the boxes, and in no crowd of their class.
    pub wrong: u64,
    /// Boxes missed and the probabilities of what is wrong, together.
    pub weight: f32,
    /// What is there, then what was told, the likeliest first; a few dozen of each at most.
    pub boxes: Vec<PictureBox>,
}

/// A box that is in a picture, or that was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureBox {
    /// Which of these it is.
    pub role: BoxRole,
    /// Its class, by its place among the classes.
    pub class: usize,
    /// Left, top, right and bottom, as shares of the prepared picture's sides.
    pub bounds: [f32; 4],
    /// Of what was told, how likely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f32>,
}

/// What a box of a picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoxRole {
    /// It is there.
    There,
    /// It is around a crowd.
    Crowd,
    /// It was told, and is there.
    Right,
    /// It was told, and is not there.
    Wrong,
    /// It was told, and lies in a crowd: neither right nor wrong.
    InCrowd,
}

impl MistakenPicture {
    /// Which row.
    pub fn row_id(&self) -> RowId {
        RowId { file: self.file.as_str().into(), row_group: self.row_group, row: self.row }
    }

    /// The worst first; of equals, the row that comes first.
    fn order(&self, weight: f32, row: &RowId) -> Ordering {
        weight
            .total_cmp(&self.weight)
            .then_with(|| (*self.file).cmp(&*row.file))
            .then_with(|| (self.row_group, self.row).cmp(&(row.row_group, row.row)))
    }
}

/// The worst so far, in order.
#[derive(Debug, Default)]
pub(crate) struct MistakenPictures(Vec<MistakenPicture>);

impl MistakenPictures {
    /// The most that are kept.
    pub(crate) const MOST: usize = 12;
    /// So many boxes of a picture are kept, and so many things.
    const MOST_BOXES: usize = 40;

    /// Adds those of a batch; none where it is not one of boxes.
    pub(crate) fn add(&mut self, rows: &[Option<RowId>], batch: &MeasuredBatch<'_>) {
        let &[_, channels, height, width] = batch.shape() else { return };
        let detecting = Detecting { least_probability: Detecting::LEAST_TOLD, ..Detecting::default() };
        for (row, told, targets) in batch.pictures() {
            let Some(Some(row)) = rows.get(row) else { continue };
            let things = detecting.things(told, [channels, height, width]);
            let boxes = TrueBox::all(targets);
            let told = compared(&things, &boxes);
            let there = boxes.iter().filter(|one| !one.is_crowd).count();
            let right = told.iter().filter(|told| role(told) == BoxRole::Right).count();
            let wrong = || told.iter().filter(|told| role(told) == BoxRole::Wrong);
            let (missed, wrong_things) = (there.saturating_sub(right), wrong().count());
            let weight = missed as f32 + wrong().map(|told| told.probability).sum::<f32>();
            let place = self.0.partition_point(|known| known.order(weight, row).is_lt());
            if missed + wrong_things == 0 || place >= Self::MOST {
                continue;
            }
            let picture = MistakenPicture {
                file: row.file.to_string(),
                row_group: row.row_group,
                row: row.row,
                missed: missed as u64,
                wrong: wrong_things as u64,
                weight,
                boxes: drawn(&boxes, &things, &told),
            };
            self.0.insert(place, picture);
            self.0.truncate(Self::MOST);
        }
    }

    /// At most [`MOST`](Self::MOST), the worst first.
    pub(crate) fn finish(self) -> Vec<MistakenPicture> {
        self.0
    }
}

/// What a thing is by an intersection over union of 0.5, the first of the bounds.
fn role(told: &Told) -> BoxRole {
    match (told.right & 1, told.ignored & 1) {
        (1, _) => BoxRole::Right,
        (_, 1) => BoxRole::InCrowd,
        _ => BoxRole::Wrong,
    }
}

fn drawn(boxes: &[TrueBox], things: &[Detection], told: &[Told]) -> Vec<PictureBox> {
    let there = boxes.iter().take(MistakenPictures::MOST_BOXES).map(|one| PictureBox {
        role: if one.is_crowd { BoxRole::Crowd } else { BoxRole::There },
        class: one.class,
        bounds: one.sides,
        probability: None,
    });
    let found = things.iter().zip(told).take(MistakenPictures::MOST_BOXES).map(|(thing, told)| PictureBox {
        role: role(told),
        class: thing.class,
        bounds: thing.bounds,
        probability: Some(thing.probability),
    });
    there.chain(found).collect()
}

#[cfg(test)]
mod tests {
    use millstream_compiler::losses::PredictionKind;
    use millstream_schemas::Tensor;

    use super::*;

    /// Scores and distances of maps of one place, of one class, which tell the middle quarter of their pictures.
    fn told(scores: &[f32]) -> Vec<f32> {
        let quarter = 0.25_f32.ln();
        scores.iter().flat_map(|score| [*score, quarter, quarter, quarter, quarter]).collect()
    }

    fn found(scores: &[f32], targets: &[[f32; 5]], in_a_batch: usize) -> Vec<MistakenPicture> {
        let mut mistaken = MistakenPictures::default();
        let row_id = |row: u32| Some(RowId { file: "a.parquet".into(), row_group: 0, row });
        for ((first, scores), targets) in
            (0..).step_by(in_a_batch).zip(scores.chunks(in_a_batch)).zip(targets.chunks(in_a_batch))
        {
            let rows = scores.len();
            let (told, shape, weights) = (told(scores), [rows, 5, 1, 1], vec![1.0; rows]);
            let targets = Tensor::f32([rows, 1, 5], targets.concat());
            let batch = MeasuredBatch::new((&shape, &told), &targets, &weights, PredictionKind::Boxes).unwrap();
            let rows: Vec<_> = (first..).take(rows).map(row_id).collect();
            mistaken.add(&rows, &batch);
        }
        mistaken.finish()
    }

    const MIDDLE: [f32; 5] = [0.25, 0.25, 0.75, 0.75, 0.0];
    const CORNER: [f32; 5] = [0.0, 0.0, 0.2, 0.2, 0.0];
    const NOTHING: [f32; 5] = [0.0, 0.0, 0.0, 0.0, -1.0];
    const CROWD: [f32; 5] = [0.0, 0.0, 1.0, 1.0, -2.0];

    #[test]
    fn pictures_are_those_in_which_most_was_missed_and_told_in_vain() {
        let scores = [2.0, 2.0, -2.0, 1.0, -2.0, 3.0];
        let targets = [MIDDLE, CORNER, MIDDLE, NOTHING, NOTHING, CROWD];
        let of_all = found(&scores, &targets, 6);
        let rows: Vec<(u32, u64, u64)> = of_all.iter().map(|one| (one.row, one.missed, one.wrong)).collect();
        // found, or nothing to be found, or in a crowd: no mistake
        assert_eq!(rows, [(1, 1, 1), (2, 1, 0), (3, 0, 1)]);
        let weights: Vec<f32> = of_all.iter().map(|one| one.weight).collect();
        let near = weights.iter().zip([1.880_797, 1.0, 0.731_059]).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near, "{weights:?}");
        let roles: Vec<BoxRole> = of_all[0].boxes.iter().map(|one| one.role).collect();
        assert_eq!(roles, [BoxRole::There, BoxRole::Wrong]);
        assert_eq!((of_all[0].boxes[0].probability, of_all[0].boxes[0].bounds), (None, [0.0, 0.0, 0.2, 0.2]));
        assert_eq!(found(&scores, &targets, 4), of_all);
        let written = serde_json::to_string(&of_all).unwrap();
        assert_eq!(serde_json::from_str::<Vec<MistakenPicture>>(&written).unwrap(), of_all);
    }

    #[test]
    fn a_few_of_many_are_kept_and_the_first_of_equals() {
        let scores: Vec<f32> = (0..30).map(|row| if row == 20 { 3.0 } else { 1.0 }).collect();
        let kept = found(&scores, &vec![NOTHING; 30], 7);
        let rows: Vec<u32> = kept.iter().map(|one| one.row).collect();
        let wanted: Vec<u32> = std::iter::once(20).chain(0..11).collect();
        assert_eq!(rows, wanted);
    }

    #[test]
    fn of_what_was_told_in_a_picture_each_has_its_role() {
        let all = |right, ignored| role(&Told { probability: 0.5, right, ignored });
        assert_eq!([all(0b11, 0), all(0b10, 0b1), all(0b10, 0)], [BoxRole::Right, BoxRole::InCrowd, BoxRole::Wrong]);
    }
}
