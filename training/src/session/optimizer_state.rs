use millstream_schemas::ParameterEntry;

use super::loss_scale::LossScale;
use crate::freezing::FreezePlan;
use crate::optimizers::{Averaging, ParameterFacts, StateValues, UpdateRule};

/// What the optimizer remembers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OptimizerState {
    /// Updates done.
    pub updates: u64,
    /// For each cohort of the [plan](FreezePlan) of what is frozen, the updates that it had; empty where nothing ever is.
    pub cohorts: Vec<u64>,
    /// Ends of epochs whose weights are in the average that is evaluated and exported, where it is one of these.
    pub averaged: u64,
    /// For each parameter, the tensors that its rule remembers.
    pub tensors: Vec<Vec<StateValues>>,
    /// The scale of the loss, in float16.
    pub loss_scale: Option<LossScale>,
}

impl OptimizerState {
    /// What is evaluated and exported of parameters, in manifest order: the rule's average of each whose average has begun, and
    /// the others as they are. `averaging`: the average that is around the rule, which has else one of its own.
    pub(super) fn evaluated(
        &self,
        (rule, averaging): (&dyn UpdateRule, Option<Averaging>),
        plan: &FreezePlan,
        entries: &[ParameterEntry],
        parameters: Vec<Vec<f32>>,
    ) -> Vec<Vec<f32>> {
        let of_cohort = |cohort: &usize| self.cohorts.get(*cohort).copied().unwrap_or(0);
        let updates = |index: usize| plan.of().get(index).map_or(self.updates, of_cohort);
        let all = entries.iter().zip(parameters).zip(&self.tensors).enumerate();
        // running statistics have no average: they are one
        let has_begun = |updates: u64| averaging.map_or(updates > 0, |own| own.has_begun(updates, self.averaged));
        let averaged =
            all.map(|(index, ((entry, own), state))| match !entry.is_statistic && has_begun(updates(index)) {
                true => rule.average(ParameterFacts::from(entry), own, state),
                false => own,
            });
        averaged.collect()
    }
}
