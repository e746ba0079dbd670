//! A program with other graphs of the same model.

use millstream_schemas::TrainingManifest;

use super::TrainingProgram;
use crate::graph::Graph;

impl TrainingProgram {
    /// Names of the inputs that come from the data.
    pub(crate) fn data_names(&self) -> Vec<String> {
        self.manifest.inputs.iter().map(|entry| entry.name.clone()).collect()
    }

    /// Training step, evaluation, and what gives the statistics of a batch where they are computed anew.
    pub(crate) fn graphs(&self) -> Vec<&Graph> {
        [&self.step, &self.evaluation].into_iter().chain(&self.statistics).collect()
    }

    /// The same with these inputs and outputs, and what becomes of each graph that is run.
    pub(crate) fn mapped(&self, manifest: TrainingManifest, map: impl Fn(&Graph) -> Graph) -> Self {
        let (step, evaluation, statistics) =
            (map(&self.step), map(&self.evaluation), self.statistics.as_ref().map(&map));
        Self { manifest, step, evaluation, statistics, ..self.clone() }
    }
}
