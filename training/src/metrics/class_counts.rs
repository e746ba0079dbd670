use millstream_compiler::losses::PredictionKind;

use super::measured_batch::{Answer, MeasuredBatch};
use super::table::{Cell, Record, Table};

/// Targets and answers of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClassCount {
    /// Targets of this class.
    pub(super) rows: u64,
    /// Taken for this class.
    pub(super) taken: u64,
    /// Of this class, and taken for it.
    pub(super) right: u64,
}

/// Targets and answers by class.
#[derive(Clone, Debug)]
pub(super) struct ClassCounts(pub(super) Vec<ClassCount>);

impl ClassCounts {
    pub(super) fn new(classes: &[String]) -> Self {
        Self(vec![ClassCount::default(); classes.len()])
    }

    /// What has scores that are no numbers was taken for no class. Of labels that may hold together each counts by itself.
    pub(super) fn add(&mut self, batch: &MeasuredBatch<'_>) {
        if batch.reads() == PredictionKind::LabelScores {
            return self.add_labels(batch);
        }
        batch.each_answer(|answer| self.count(answer));
    }

    /// Adds one place.
    pub(super) fn count(&mut self, answer: &Answer<'_>) {
        self.0[answer.truth].rows += 1;
        if let Some(predicted) = answer.predicted {
            self.0[predicted].taken += 1;
            self.0[answer.truth].right += u64::from(predicted == answer.truth);
        }
    }

    /// The table of a figure that each class has, `iou_by_class` of `iou`, with the places that are of the class. `of_class`: the figure,
    /// none of a class that is in neither targets nor answers. The first `left_out` classes have no line.
    pub(super) fn by_class(
        &self,
        figure: &str,
        (classes, left_out): (&[String], usize),
        of_class: fn(&ClassCount) -> Option<f64>,
    ) -> (String, Table) {
        let record = |(name, count): (&String, &ClassCount)| {
            Record(vec![
                ("name".into(), Cell::Text(name.clone())),
                ("places".into(), Cell::Count(count.rows)),
                (figure.into(), Cell::Share(of_class(count))),
            ])
        };
        let records = classes.iter().zip(&self.0).skip(left_out).map(record).collect();
        (format!("{figure}_by_class"), Table::Classes(records))
    }

    fn add_labels(&mut self, batch: &MeasuredBatch<'_>) {
        batch.each_label(|answer| {
            if self.0.len() <= answer.label {
                self.0.resize(answer.label + 1, ClassCount::default());
            }
            let (count, holds, is_said) = (&mut self.0[answer.label], answer.holds(), answer.is_said());
            count.rows += u64::from(holds);
            count.taken += u64::from(is_said);
            count.right += u64::from(holds && is_said);
        });
    }

    /// Classes that are there, among the targets or the answers.
    pub(super) fn present(&self) -> impl Iterator<Item = &ClassCount> {
        self.0.iter().filter(|class| class.rows > 0 || class.taken > 0)
    }
}

/// A share of something; none of nothing.
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
