//! The pictures that a model of masks was most wrong about.

use std::cmp::Ordering;
use std::fmt::Write as _;

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::{RowId, shown};
use serde::{Deserialize, Serialize};

use super::measured_batch::{MeasuredBatch, PlaceClasses};

/// A picture of which places were told as another class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MistakenMask {
    /// The row's file, by its path within the dataset.
    pub file: String,
    /// Row group within the file, from 0.
    pub row_group: u32,
    /// Row within the row group, from 0.
    pub row: u32,
    /// Share of the places that count, those of a class, that were told as another one.
    pub wrong: f64,
    /// Places across of both maps, which lie over the prepared picture.
    pub width: usize,
    /// The class of each place; empty where maps are left out.
    #[serde(default, skip_serializing_if = "ClassMap::is_empty")]
    pub truth: ClassMap,
    /// The class that each place was told as; likewise.
    #[serde(default, skip_serializing_if = "ClassMap::is_empty")]
    pub told: ClassMap,
}

/// A class for each place of a picture, by its place among the classes, row by row from the top left; none where there is none. In JSON a
/// text of runs: `0*120 2 -*7` are 120 places of the first class, one of the third, and seven of none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClassMap(pub Vec<Option<u16>>);

impl ClassMap {
    /// The most places of a map that is read: files of older builds have maps of 96 by 96.
    const MOST_READ: usize = 96 * 96;

    /// Whether it has no places.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<ClassMap> for String {
    fn from(map: ClassMap) -> Self {
        let mut text = Self::new();
        for run in map.0.chunk_by(|one, next| one == next) {
            if !text.is_empty() {
                text.push(' ');
            }
            match run.first().copied().flatten() {
                Some(class) => {
                    let _ = write!(text, "{class}");
                }
                None => text.push('-'),
            }
            if run.len() > 1 {
                let _ = write!(text, "*{}", run.len());
            }
        }
        text
    }
}

impl TryFrom<String> for ClassMap {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut places = Vec::new();
        for run in text.split_ascii_whitespace() {
            let no_run = || format!("`{}` is no run of places of a class", shown(run));
            let (class, many) = run.split_once('*').unwrap_or((run, "1"));
            let many: usize = many.parse().map_err(|_| no_run())?;
            let class = match class {
                "-" => None,
                class => Some(class.parse::<u16>().map_err(|_| no_run())?),
            };
            if places.len().saturating_add(many) > Self::MOST_READ {
                return Err(format!("a map of classes has more than {} places", Self::MOST_READ));
            }
            places.resize(places.len() + many, class);
        }
        Ok(Self(places))
    }
}

impl MistakenMask {
    /// Which row.
    pub fn row_id(&self) -> RowId {
        RowId { file: self.file.as_str().into(), row_group: self.row_group, row: self.row }
    }

    /// The worst first; of equals, the row that comes first.
    fn order(&self, wrong: f64, row: &RowId) -> Ordering {
        wrong
            .total_cmp(&self.wrong)
            .then_with(|| (*self.file).cmp(&*row.file))
            .then_with(|| (self.row_group, self.row).cmp(&(row.row_group, row.row)))
    }
}

/// The worst so far, in order.
#[derive(Debug, Default)]
pub(crate) struct MistakenMasks {
    worst: Vec<MistakenMask>,
    /// Of the row that is looked at.
    classes: PlaceClasses,
}

impl MistakenMasks {
    /// The most that are kept: each record of an evaluation has them whole.
    pub(crate) const MOST: usize = 6;
    /// Maps have so many places along their longer side at most: of more, the one in the middle stands for those around it.
    const SIDE: usize = 64;

    /// Adds those of a batch; none where it is not one of a class for each place of a picture.
    pub(crate) fn add(&mut self, rows: &[Option<RowId>], batch: &MeasuredBatch<'_>) {
        let &[_, _, height, width] = batch.shape() else { return };
        if batch.reads() != PredictionKind::ClassScores {
            return;
        }
        let Self { worst, classes } = self;
        for slot in batch.rows() {
            let Some(Some(row)) = rows.get(slot) else { continue };
            batch.classes_of_places(slot, classes);
            let (mut wrong, mut all) = (0_u64, 0_u64);
            for [truth, told] in classes.iter().filter(|[truth, _]| truth.is_some()) {
                wrong += u64::from(told != truth);
                all += 1;
            }
            if wrong == 0 {
                continue;
            }
            let wrong = wrong as f64 / all as f64;
            let place = worst.partition_point(|known| known.order(wrong, row).is_lt());
            if place >= Self::MOST {
                continue;
            }
            let (columns, [truth, told]) = maps(classes, [width, height]);
            let mask = MistakenMask {
                file: row.file.to_string(),
                row_group: row.row_group,
                row: row.row,
                wrong,
                width: columns,
                truth,
                told,
            };
            worst.insert(place, mask);
            worst.truncate(Self::MOST);
        }
    }

    /// At most [`MOST`](Self::MOST), the worst first.
    pub(crate) fn finish(self) -> Vec<MistakenMask> {
        self.worst
    }
}

/// Places across, and what is true and what was told of a picture of so many places across and down.
fn maps(classes: &PlaceClasses, [width, height]: [usize; 2]) -> (usize, [ClassMap; 2]) {
    let share = (MistakenMasks::SIDE as f64 / width.max(height).max(1) as f64).min(1.0);
    let [columns, lines] = [width, height].map(|length| ((length as f64 * share).round() as usize).max(1));
    let middle = |at: usize, few: usize, many: usize| (2 * at + 1) * many / (2 * few);
    let (mut truth, mut told) = (Vec::with_capacity(columns * lines), Vec::with_capacity(columns * lines));
    for (line, column) in (0..lines).flat_map(|line| (0..columns).map(move |column| (line, column))) {
        let place = middle(line, lines, height) * width + middle(column, columns, width);
        let [own, said] = classes.at(place).map(|class| class.and_then(|class| u16::try_from(class).ok()));
        truth.push(own);
        told.push(said);
    }
    (columns, [truth, told].map(ClassMap))
}

#[cfg(test)]
mod tests {
    use millstream_schemas::Tensor;

    use super::*;

    /// What is kept of pictures of two by two places and two classes, by the places that are told wrong of each.
    fn found(wrong: &[&[usize]], in_a_batch: usize) -> Vec<MistakenMask> {
        let mut mistaken = MistakenMasks::default();
        let row_id = |row: u32| Some(RowId { file: "a.parquet".into(), row_group: 0, row });
        for (first, wrong) in (0..).step_by(in_a_batch).zip(wrong.chunks(in_a_batch)) {
            let rows = wrong.len();
            // the last place of each does not count
            let targets = Tensor::i64([rows, 2, 2], [0, 1, 0, -1].repeat(rows));
            let scores = wrong.iter().flat_map(|wrong| {
                let told = [0, 1, 2, 3].map(|place| usize::from((place == 1) != wrong.contains(&place)));
                [0, 1].into_iter().flat_map(move |class| told.map(|told| if told == class { 2.0 } else { 0.0 }))
            });
            let (scores, shape, weights) = (scores.collect::<Vec<f32>>(), [rows, 2, 2, 2], vec![1.0; rows]);
            let batch = MeasuredBatch::new((&shape, &scores), &targets, &weights, PredictionKind::ClassScores).unwrap();
            let rows: Vec<_> = (first..).take(rows).map(row_id).collect();
            mistaken.add(&rows, &batch);
        }
        mistaken.finish()
    }

    #[test]
    fn pictures_of_which_most_was_told_as_another_class_come_first_whatever_the_batches_are() {
        let wrong: &[&[usize]] = &[&[0], &[], &[0, 1, 2], &[3], &[1, 2], &[2]];
        let all = found(wrong, 6);
        let rows: Vec<(u32, f64)> = all.iter().map(|mask| (mask.row, mask.wrong)).collect();
        assert_eq!(rows, [(2, 1.0), (4, 2.0 / 3.0), (0, 1.0 / 3.0), (5, 1.0 / 3.0)]);
        assert_eq!((all[1].width, all[1].truth.0.as_slice()), (2, &[Some(0), Some(1), Some(0), None][..]));
        assert_eq!(all[1].told.0, [Some(0), Some(0), Some(1), Some(0)]);
        assert_eq!((found(wrong, 1), found(wrong, 4)), (all.clone(), all));
        let many = vec![&[0_usize][..]; 40];
        assert_eq!(found(&many, 7).len(), MistakenMasks::MOST);
    }

    #[test]
    fn classes_that_are_found_class_by_class_are_those_that_metrics_count_place_by_place() {
        let (rows, places, weights) = (3, 9, [1.0; 3]);
        for classes in [2, 5] {
            let (shape, all) = ([rows, classes, 3, 3], rows * classes * places);
            // with equal ones, and some that are no numbers
            let score = |at: usize| if at % 11 == 4 { f32::NAN } else { (at * 7919 % 13) as f32 };
            let scores: Vec<f32> = (0..all).map(score).collect();
            let numbers: Vec<i64> = (0..rows * places).map(|at| (at % (classes + 2)) as i64 - 1).collect();
            let share = |at: usize| if at % places < 3 { 0.0 } else { (at * 31 % 7) as f32 };
            let shares: Vec<f32> = (0..all).map(share).collect();
            for targets in [Tensor::i64([rows, 3, 3], numbers), Tensor::f32(shape, shares)] {
                for thresholds in [Vec::new(), vec![0.5]] {
                    let batch = MeasuredBatch::new((&shape, &scores), &targets, &weights, PredictionKind::ClassScores);
                    let batch = batch.unwrap().with_thresholds(&thresholds);
                    let (mut wanted, mut found) = (Vec::new(), Vec::new());
                    batch.each_answer(|answer| wanted.push((answer.row, answer.truth, answer.predicted)));
                    let mut own = PlaceClasses::default();
                    for row in 0..rows {
                        batch.classes_of_places(row, &mut own);
                        let there = own.iter().filter_map(|[truth, told]| Some((row, truth?, told)));
                        found.extend(
                            there.map(|(row, truth, told)| (row, truth as usize, told.map(|told| told as usize))),
                        );
                    }
                    assert_eq!(found, wanted, "{classes} classes, {thresholds:?}");
                    assert!(found.len() < rows * places && found.iter().any(|(.., told)| told.is_none()), "{found:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_kept_of_pictures_that_are_wrong_in_each_place_is_small() {
        let side = 200;
        let (shape, weights) = ([8, 2, side, side], [1.0; 8]);
        // each place is a run for itself
        let targets: Vec<i64> = (0..8 * side * side).map(|place| (place * place / 7 % 2) as i64).collect();
        let scores: Vec<f32> = (0..16 * side * side).map(|place| (place * 31 % 11) as f32).collect();
        let targets = Tensor::i64([8, side, side], targets);
        let batch = MeasuredBatch::new((&shape, &scores), &targets, &weights, PredictionKind::ClassScores).unwrap();
        let rows: Vec<_> = (0..8).map(|row| Some(RowId { file: "a.parquet".into(), row_group: 0, row })).collect();
        let mut mistaken = MistakenMasks::default();
        mistaken.add(&rows, &batch);
        let all = mistaken.finish();
        let bytes = serde_json::to_string(&all).unwrap().len();
        assert!(all.len() == MistakenMasks::MOST && bytes < 200_000, "{} of {bytes} bytes", all.len());
    }

    #[test]
    fn a_map_is_written_by_its_runs_and_read_as_it_was() {
        for (places, wanted) in [
            (vec![], ""),
            (vec![Some(7)], "7"),
            (vec![Some(0), Some(0), None, None, None, Some(65_535)], "0*2 -*3 65535"),
        ] {
            let map = ClassMap(places);
            let text = String::from(map.clone());
            assert_eq!(text, wanted);
            assert_eq!(ClassMap::try_from(text), Ok(map));
        }
        for text in ["x", "1*", "*3", "70000", "1*-1", "0*9217", "0*9216 1", "0*18446744073709551615"] {
            assert!(ClassMap::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_large_picture_is_kept_small() {
        let (height, width) = (200, 400);
        let targets: Vec<i64> = (0..height * width).map(|place| i64::from(place % width >= width / 2)).collect();
        let scores = [vec![1.0_f32; height * width], vec![0.0; height * width]].concat();
        let (shape, weights, targets) = ([1, 2, height, width], [1.0], Tensor::i64([1, height, width], targets));
        let batch = MeasuredBatch::new((&shape, &scores), &targets, &weights, PredictionKind::ClassScores).unwrap();
        let mut mistaken = MistakenMasks::default();
        mistaken.add(&[Some(RowId { file: "a.parquet".into(), row_group: 0, row: 0 })], &batch);
        let all = mistaken.finish();
        assert_eq!((all[0].width, all[0].truth.0.len(), all[0].wrong), (64, 64 * 32, 0.5));
        assert_eq!(String::from(all[0].told.clone()), format!("0*{}", 64 * 32));
        assert!(String::from(all[0].truth.clone()).starts_with("0*32 1*32 0*32 1*32 "));
    }
}
