//! Running statistics computed anew: means over batches, by the weights as they are.

use std::collections::BTreeMap;
use std::time::Instant;

use millstream_schemas::ParameterEntry;

use crate::TrainingError;
use crate::batches::BatchSource;
use crate::evaluator::RunSources;
use crate::observers::{Event, Observer};
use crate::session::{BatchStatistics, StepRunner};

/// Mean and variance for each running statistic of a program, in manifest order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Statistics {
    /// Rows that they are of.
    pub(crate) rows: u64,
    /// Batches.
    pub(crate) batches: u64,
    values: Vec<Vec<f32>>,
}

impl Statistics {
    /// The mean over the batches, each by its rows that have weight: with full batches the cumulative average of
    /// `torch.optim.swa_utils.update_bn`, of variances as of means. `progress` is told the rows so far and may stop it by
    /// returning `false`; none then.
    ///
    /// # Errors
    /// A batch fails or does not fit the graph, no row has weight, or a statistic is no number.
    pub(crate) fn of(
        runner: &mut StepRunner,
        batches: &mut dyn BatchSource,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Self>, TrainingError> {
        let mut sums: Vec<Vec<f64>> = Vec::new();
        let (mut rows, mut count) = (0_u64, 0);
        while let Some(batch) = batches.next_batch() {
            let batch = batch.map_err(TrainingError::batches)?;
            let found = if batch.is_empty() { None } else { runner.batch_statistics(batch)?.1 };
            if let Some(BatchStatistics { rows: of_batch, values }) = found {
                sums.resize_with(values.len(), Vec::new);
                for (sum, values) in sums.iter_mut().zip(&values) {
                    sum.resize(values.len(), 0.0);
                    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += of_batch as f64 * f64::from(*value));
                }
                (rows, count) = (rows + of_batch, count + 1);
            }
            if !progress(rows) {
                return Ok(None);
            }
        }
        if rows == 0 {
            return Err(TrainingError::NoStatistics);
        }
        let mean = |sum: &Vec<f64>| sum.iter().map(|sum| (sum / rows as f64) as f32).collect();
        Ok(Some(Self { rows, batches: count, values: sums.iter().map(mean).collect() }))
    }

    /// Puts them in the places of the running ones among parameters of a program with these entries.
    pub(crate) fn write_into(&self, entries: &[ParameterEntry], parameters: &mut [Vec<f32>]) {
        let places = entries.iter().zip(parameters).filter(|(entry, _)| entry.is_statistic);
        for ((_, place), values) in places.zip(&self.values) {
            place.clone_from(values);
        }
    }

    /// The first that is no number, by the name of its entry.
    pub(crate) fn not_finite<'a>(&self, entries: &'a [ParameterEntry]) -> Option<(&'a str, f32)> {
        let named = entries.iter().filter(|entry| entry.is_statistic).zip(&self.values);
        let mut all = named.flat_map(|(entry, values)| values.iter().map(move |value| (entry.name.as_str(), *value)));
        all.find(|(_, value)| !value.is_finite())
    }
}

/// Running statistics, and the rows that they are of.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningStatistics {
    /// Rows.
    pub rows: u64,
    /// Mean or variance of each channel, by the names of the parameters.
    pub values: BTreeMap<String, Vec<f32>>,
}

/// Running statistics by the weights of a runner as they are: means over the batches, as a run whose statistics are computed anew has them.
/// None where `stop` said so. The runner's own stay.
///
/// # Errors
/// The program was not compiled for it, a batch fails, no row has weight, or a statistic is no number.
pub fn running_statistics(
    runner: &mut StepRunner,
    batches: &mut dyn BatchSource,
    stop: &dyn Fn() -> bool,
) -> Result<Option<RunningStatistics>, TrainingError> {
    let Some(found) = Statistics::of(runner, batches, &mut |_| !stop())? else { return Ok(None) };
    let entries = &runner.manifest().parameters;
    if let Some((name, value)) = found.not_finite(entries) {
        return Err(TrainingError::NonFiniteParameter { name: name.to_owned(), value, step: 0, checkpoint: None });
    }
    let names = entries.iter().filter(|entry| entry.is_statistic).map(|entry| entry.name.clone());
    Ok(Some(RunningStatistics { rows: found.rows, values: names.zip(found.values).collect() }))
}

/// Computes running statistics by the weights of a runner as they are, and lets it have them; none when it was stopped.
///
/// # Errors
/// There are no rows for it, a batch fails, or a statistic is no number after the step `step`.
pub(crate) fn reestimate(
    runner: &mut StepRunner,
    sources: &mut RunSources<'_, '_, '_>,
    step: u64,
    observer: &mut dyn Observer,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Statistics>, TrainingError> {
    let open = sources.statistics.as_mut().ok_or(TrainingError::Setting {
        name: "model.batch_normalization",
        value: "reestimated".into(),
        wanted: "rows that statistics are computed from (`RunSources::statistics`)",
    })?;
    let (mut batches, started) = (open().map_err(TrainingError::batches)?, Instant::now());
    let mut progress = |rows| {
        observer.observe(&Event::StatisticsBatch { rows, seconds: started.elapsed().as_secs_f64() });
        !stop()
    };
    let Some(found) = Statistics::of(runner, &mut *batches, &mut progress)? else { return Ok(None) };
    let mut parameters = runner.parameters()?;
    let entries = &runner.manifest().parameters;
    if let Some((name, value)) = found.not_finite(entries) {
        return Err(TrainingError::NonFiniteParameter { name: name.to_owned(), value, step, checkpoint: None });
    }
    found.write_into(entries, &mut parameters);
    runner.set_parameters(parameters)?;
    Ok(Some(found))
}
