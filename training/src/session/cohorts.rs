/// Parameters that are frozen and trained at the same times, with the updates that each of these sets has had.
#[derive(Clone, Debug, Default)]
pub(super) struct Cohorts {
    /// Of each parameter; empty where nothing is ever frozen, and all are one cohort.
    of: Vec<usize>,
    /// Of each cohort.
    pub(super) updates: Vec<u64>,
    is_frozen: Vec<bool>,
}

impl Cohorts {
    /// `of`: the cohort of each parameter, of which there are `count`.
    pub(super) fn new(of: &[usize], count: usize) -> Self {
        Self { of: of.to_vec(), updates: vec![0; count], is_frozen: vec![false; count] }
    }

    /// Whether nothing is ever frozen.
    pub(super) fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    pub(super) fn freeze(&mut self, is_frozen: Vec<bool>) {
        self.is_frozen = is_frozen;
    }

    /// Which cohort a parameter is of; the first where there are none.
    pub(super) fn of(&self, parameter: usize) -> usize {
        self.of.get(parameter).copied().unwrap_or(0)
    }

    pub(super) fn is_frozen(&self, parameter: usize) -> bool {
        self.is_frozen.get(self.of(parameter)).copied().unwrap_or(false)
    }

    /// For each cohort, or for all parameters together where there are none: the updates done before the next one, of `all` in
    /// the run, and whether it is frozen.
    pub(super) fn next(&self, all: u64) -> Vec<(u64, bool)> {
        if self.is_empty() {
            return vec![(all, false)];
        }
        self.updates.iter().copied().zip(self.is_frozen.iter().copied()).collect()
    }

    /// Counts an update of what is not frozen.
    pub(super) fn count(&mut self) {
        let live = self.updates.iter_mut().zip(&self.is_frozen).filter(|(_, is_frozen)| !**is_frozen);
        live.for_each(|(updates, _)| *updates += 1);
    }
}
