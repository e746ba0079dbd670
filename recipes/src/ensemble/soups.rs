//! Means of weights, run on the rows of a recipe.

use std::collections::HashMap;

use millstream_compiler::Model;
use millstream_compiler::fused::{AveragedWeights, Member, average_weights};
use millstream_pipeline::Beside;
use millstream_runtime::{Device, DeviceRequest};
use millstream_schemas::recipe::ByteSize;
use millstream_schemas::{Predictions, Recipe, RowId, count};
use millstream_training::BoxError;
use millstream_training::ensembles::Soups;

use super::mean_statistics::{MeanStatistics, left};
use super::members::Opened;
use crate::kept_predictions::KeptPredictions;
use crate::measuring::{Measuring, ToMeasure};
use crate::{Catalogs, Events, RecipeError, Stop};

/// Averages the weights of members and runs the mean on the evaluation rows of a recipe.
pub(super) struct RecipeSoups<'a> {
    pub(super) members: &'a [Opened],
    pub(super) recipe: &'a Recipe,
    /// Of means whose members have others than each other.
    pub(super) statistics: &'a MeanStatistics<'a>,
    pub(super) catalogs: &'a Catalogs,
    pub(super) metadata: &'a [(String, String)],
    pub(super) library: Option<&'a std::path::Path>,
    pub(super) events: &'a mut dyn Events,
    pub(super) stop: &'a Stop,
    /// For what a mean gives.
    pub(super) memory: ByteSize,
    /// Of the mean that was run last, by its members in order.
    pub(super) newest: Option<(Vec<usize>, Predictions)>,
    /// Where it was run.
    pub(super) device: Option<Device>,
}

/// The mean of the weights of some members, with running statistics of its own where `statistics` says from which rows.
pub(super) fn averaged(
    members: &[Opened],
    chosen: &[usize],
    metadata: &[(String, String)],
    catalogs: &Catalogs,
    statistics: Option<&MeanStatistics<'_>>,
) -> Result<AveragedWeights, RecipeError> {
    let of: Vec<Member<'_>> = chosen.iter().map(|at| members[*at].as_member()).collect();
    let mean = average_weights(&of, metadata, &catalogs.operators)?;
    match (statistics, chosen.first()) {
        _ if mean.statistics.is_empty() => Ok(mean),
        (Some(statistics), Some(first)) => statistics.computed(mean, &members[*first].path),
        _ => Ok(left(mean, "no recipe that can be read says on which rows they would be computed anew")),
    }
}

impl RecipeSoups<'_> {
    fn predicted(&mut self, chosen: &[usize]) -> Result<Predictions, RecipeError> {
        let file = averaged(self.members, chosen, self.metadata, self.catalogs, Some(self.statistics))?.file;
        let model = Model::from_bytes(file.to_vec())?;
        let data = self.recipe.data.evaluate.as_ref();
        let data = data.ok_or_else(|| {
            RecipeError::mismatch("data.evaluate", "missing; a mean of weights is measured on its rows")
        })?;
        let wanted = ToMeasure {
            recipe: self.recipe,
            model: &model,
            path: &self.members[chosen[0]].path,
            data,
            decimal_comma: false,
            place: "data.evaluate",
            slices_may_lack: false,
            views: None,
            catalogs: self.catalogs,
            shared: None,
            memory_check: None,
            beside: Beside::Nothing,
            session: None,
        };
        let (library, mut used) = (self.library, None);
        let mut measuring = Measuring::open(&wanted, || {
            let runtime = millstream_runtime::ready(library)?;
            let device = Device::resolve(self.recipe.training.device.parse::<DeviceRequest>()?, runtime)?;
            used = Some(device.clone());
            Ok(device)
        })?;
        self.device = used;
        let mut kept = KeptPredictions::in_memory(&model, &measuring, self.memory)?;
        let done = measuring.measure(Some(&mut kept), self.events, self.stop)?;
        let stopped = || RecipeError::mismatch("data.evaluate", "it was asked to stop");
        done.ok_or_else(stopped)?;
        kept.finish()?.ok_or_else(|| RecipeError::mismatch("data.evaluate", "no row has a target"))
    }
}

impl Soups for RecipeSoups<'_> {
    fn scores(&mut self, members: &[usize], rows: &[RowId]) -> Result<Vec<f32>, BoxError> {
        let mut chosen = members.to_vec();
        chosen.sort_unstable();
        let found = match self.newest.take().filter(|(of, _)| *of == chosen) {
            Some((_, found)) => found,
            None => self.predicted(&chosen)?,
        };
        let columns = found.header.columns;
        let places: HashMap<&RowId, usize> = found.rows.iter().enumerate().map(|(at, row)| (row, at)).collect();
        let mut scores = Vec::with_capacity(rows.len() * columns);
        for row in rows {
            let Some(at) = places.get(row) else {
                let message = format!(
                    "{row} is among the members' predictions, and not among the {} of the recipe's `data.evaluate`; name the recipe that they \
                     were predicted with by `--recipe`",
                    count(found.rows.len() as u64, "row")
                );
                return Err(message.into());
            };
            scores.extend_from_slice(&found.scores[at * columns..(at + 1) * columns]);
        }
        drop(places);
        self.newest = Some((chosen, found));
        Ok(scores)
    }
}
