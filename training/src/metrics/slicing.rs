//! Measuring rows apart, by the values of columns.

use super::bootstrap::Stopped;
use super::measured_batch::MeasuredBatch;
use super::measurement::Measurement;
use super::metric_set::MetricSet;
use super::slices::{ColumnSlices, Slice, SlicedColumn};
use crate::TrainingError;

/// An evaluation of each slice of some columns under way.
pub(crate) struct Slicing(Vec<Column>);

struct Column {
    names: ColumnSlices,
    measurements: Vec<Measurement>,
}

impl Slicing {
    /// For these columns.
    ///
    /// # Errors
    /// A metric makes no sense for these classes.
    pub(crate) fn start(
        metrics: &MetricSet,
        classes: &[String],
        columns: Vec<ColumnSlices>,
    ) -> Result<Self, TrainingError> {
        // A matrix of counts for each slice would be much memory for what nobody asked for.
        let metrics = metrics.of_figures();
        let start = |names: ColumnSlices| {
            let measurements = names.slices.iter().map(|_| Measurement::start(&metrics, classes));
            Ok(Column { measurements: measurements.collect::<Result<_, _>>()?, names })
        };
        columns.into_iter().map(start).collect::<Result<_, _>>().map(Self)
    }

    /// Adds the rows of a batch, whose weights are these; `slices` has the number of each row's slice, by column.
    ///
    /// # Errors
    /// There are not as many scores as classes.
    pub(crate) fn add(
        &mut self,
        batch: &MeasuredBatch<'_>,
        weights: &[f64],
        slices: &[Vec<usize>],
    ) -> Result<(), TrainingError> {
        let mut own = vec![0.0; weights.len()];
        for (column, slices) in self.0.iter_mut().zip(slices) {
            for (slice, measurement) in column.measurements.iter_mut().enumerate() {
                let mut any = false;
                for ((own, weight), of_row) in own.iter_mut().zip(weights).zip(slices) {
                    *own = if *of_row == slice { *weight } else { 0.0 };
                    any |= *own != 0.0;
                }
                if any {
                    measurement.add(&batch.of_rows(&own), 0.0, 0.0)?;
                }
            }
        }
        Ok(())
    }

    /// Bytes of what is held of each row.
    pub(crate) fn bytes_held(&self) -> u64 {
        self.0.iter().flat_map(|column| &column.measurements).map(Measurement::bytes_held).sum()
    }

    /// What was found. `go_on` is asked again and again while intervals are found.
    ///
    /// # Errors
    /// It said no.
    pub(crate) fn finish_while(self, go_on: &mut dyn FnMut() -> bool) -> Result<Vec<SlicedColumn>, Stopped> {
        let mut columns = Vec::with_capacity(self.0.len());
        for Column { names, measurements } in self.0 {
            let mut slices = Vec::with_capacity(measurements.len());
            for (name, measurement) in names.slices.into_iter().zip(&measurements) {
                slices.push(match measurement.finish_while(go_on)? {
                    Some(found) => Slice { name, rows: found.rows, figures: found.figures, intervals: found.intervals },
                    None => Slice { name, rows: 0, figures: super::Figures::default(), intervals: Vec::new() },
                });
            }
            columns.push(SlicedColumn { column: names.column, slices });
        }
        Ok(columns)
    }
}

#[cfg(test)]
mod tests {
    use millstream_compiler::losses::PredictionKind;
    use millstream_schemas::Tensor;

    use super::super::SliceName;
    use super::*;

    #[test]
    fn a_slice_has_the_figures_that_an_evaluation_of_its_rows_alone_has() {
        let classes = ["a", "b", "c"].map(String::from).to_vec();
        let metrics = MetricSet::usual(PredictionKind::ClassScores).with_bootstrap(Default::default());
        let names = [SliceName::Value("x".into()), SliceName::Value("y".into()), SliceName::Missing(true)];
        let columns = vec![ColumnSlices { column: "light".into(), slices: names.to_vec() }];
        let mut slicing = Slicing::start(&metrics, &classes, columns).unwrap();
        let mut alone = Measurement::start(&metrics.of_figures(), &classes).unwrap();
        for batch in 0..5_u64 {
            let value = |at: u64| (millstream_schemas::mix(batch * 100 + at) % 1000) as f32 / 1000.0;
            let prediction: Vec<f32> = (0..12).map(value).collect();
            let targets = Tensor::i64([4], (0..4).map(|row| (value(20 + row) * 3.0) as i64).collect::<Vec<_>>());
            // The last row of each batch has no weight.
            let weights = [1.0, 1.0, 1.0, 0.0];
            let measured =
                MeasuredBatch::new((&[4, 3], &prediction), &targets, &weights, PredictionKind::ClassScores).unwrap();
            slicing.add(&measured, &weights, &[vec![0, 1, 0, 0]]).unwrap();
            alone.add(&measured.of_rows(&[1.0, 0.0, 1.0, 0.0]), 0.0, 0.0).unwrap();
        }
        let found = slicing.finish_while(&mut || true).unwrap();
        let [x, y, missing] = &found[0].slices[..] else { panic!() };
        let alone = alone.finish().unwrap();
        assert_eq!((x.rows, &x.figures, &x.intervals), (10, &alone.figures, &alone.intervals));
        assert!(x.interval("accuracy").is_some() && x.figures.get("accuracy") != y.figures.get("accuracy"));
        assert_eq!((y.rows, missing.rows, missing.figures.get("accuracy")), (5, 0, None));
    }
}
