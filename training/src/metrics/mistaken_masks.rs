//! The pictures that a model of masks was most wrong about.

use std::cmp::Ordering;
use std::fmt::Write as _;

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::{RowId, shown};
use serde::{Deserialize, Serialize};

use super::measured_batch::MeasuredBatch;

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
    /// The class of each place.
    pub truth: ClassMap,
    /// The class that each place was told as.
    pub told: ClassMap,
}

/// A class for each place of a picture, by its place among the classes, row by row from the top left; none where there is none. In JSON a
/// text of runs: `0*120 2 -*7` are 120 places of the first class, one of the third, and seven of none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClassMap(pub Vec<Option<u16>>);

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
            if places.len().saturating_add(many) > MistakenMasks::SIDE * MistakenMasks::SIDE {
                return Err(format!("a map of classes has more than {0} by {0} places", MistakenMasks::SIDE));
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
pub(crate) struct MistakenMasks(Vec<MistakenMask>);

impl MistakenMasks {
    /// The most that are kept.
    pub(crate) const MOST: usize = 12;
    /// Maps have so many places along their longer side at most: of more, the one in the middle stands for those around it.
    const SIDE: usize = 96;

    /// Adds those of a batch; none where it is not one of a class for each place of a picture.
    pub(crate) fn add(&mut self, rows: &[Option<RowId>], batch: &MeasuredBatch<'_>) {
        let &[_, _, height, width] = batch.shape() else { return };
        if batch.reads() != PredictionKind::ClassScores {
            return;
        }
        let mut counts = vec![[0_u64; 2]; rows.len()];
        batch.each_answer(|answer| {
            if let Some([wrong, all]) = counts.get_mut(answer.row) {
                *wrong += u64::from(answer.predicted != Some(answer.truth));
                *all += 1;
            }
        });
        for (slot, [wrong, all]) in counts.into_iter().enumerate() {
            let Some(Some(row)) = rows.get(slot).filter(|_| wrong > 0) else { continue };
            let wrong = wrong as f64 / all as f64;
            let place = self.0.partition_point(|known| known.order(wrong, row).is_lt());
            if place >= Self::MOST {
                continue;
            }
            let (columns, [truth, told]) = maps(batch, slot, [width, height]);
            let mask = MistakenMask {
                file: row.file.to_string(),
                row_group: row.row_group,
                row: row.row,
                wrong,
                width: columns,
                truth,
                told,
            };
            self.0.insert(place, mask);
            self.0.truncate(Self::MOST);
        }
    }

    /// At most [`MOST`](Self::MOST), the worst first.
    pub(crate) fn finish(self) -> Vec<MistakenMask> {
        self.0
    }
}

/// Places across, and what is true and what was told of a row's picture of so many places across and down.
fn maps(batch: &MeasuredBatch<'_>, row: usize, [width, height]: [usize; 2]) -> (usize, [ClassMap; 2]) {
    let share = (MistakenMasks::SIDE as f64 / width.max(height).max(1) as f64).min(1.0);
    let [columns, lines] = [width, height].map(|length| ((length as f64 * share).round() as usize).max(1));
    let middle = |at: usize, few: usize, many: usize| (2 * at + 1) * many / (2 * few);
    let (mut truth, mut told) = (Vec::with_capacity(columns * lines), Vec::with_capacity(columns * lines));
    for (line, column) in (0..lines).flat_map(|line| (0..columns).map(move |column| (line, column))) {
        let place = middle(line, lines, height) * width + middle(column, columns, width);
        let found = batch.classes_at(row, place);
        let [own, said] = found.map(|class| class.and_then(|class| u16::try_from(class).ok()));
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
        assert_eq!((all[0].width, all[0].truth.0.len(), all[0].wrong), (96, 96 * 48, 0.5));
        assert_eq!(String::from(all[0].told.clone()), format!("0*{}", 96 * 48));
        assert!(String::from(all[0].truth.clone()).starts_with("0*48 1*48 0*48 1*48 "));
    }
}
