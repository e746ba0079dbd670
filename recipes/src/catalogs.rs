use millstream_compiler::OperatorCatalog;
use millstream_compiler::finetuning::heads::{self, HeadKind};
use millstream_compiler::finetuning::methods::{self, MethodKind};
use millstream_compiler::initializers::{self, InitializerKind};
use millstream_compiler::losses::{self, LossKind};
use millstream_pipeline::encodings::{self, EncodingKind};
use millstream_schemas::choice::Catalog;
use millstream_schemas::recipe::{Definitions, Setting};
use millstream_search::proposers::{self, ProposerKind};
use millstream_search::stopping::{self, StoppingKind};
use millstream_training::ensembles::{self, EnsembleKind};
use millstream_training::logs::{self, LogKind};
use millstream_training::metrics::{self, MetricKind};
use millstream_training::optimizers::{self, OptimizerKind};
use millstream_training::schedules::{self, ScheduleKind};
use millstream_transforms::Transform;
use serde_json::Value;

/// What a recipe can choose among: the rows of every kind. The default has those of Millstream; a program of its own adds rows.
///
/// ```
/// use millstream_recipes::Catalogs;
/// let names: Vec<_> = Catalogs::default().schedules.rows().iter().map(|row| row.name).collect();
/// assert_eq!(names[..3], ["constant", "cosine", "cosine_restarts"]);
/// ```
#[derive(Clone, Debug)]
pub struct Catalogs {
    /// `data.inputs` and `data.targets`.
    pub encodings: Catalog<EncodingKind>,
    /// `--method` of `millstream ensemble fit`.
    pub ensembles: Catalog<EnsembleKind>,
    /// `model.head`.
    pub heads: Catalog<HeadKind>,
    /// `model.head.new_with` and `model.initialize`.
    pub initializers: Catalog<InitializerKind>,
    /// Items of `output.logs`.
    pub logs: Catalog<LogKind>,
    /// `training.loss`.
    pub losses: Catalog<LossKind>,
    /// Items of `model.methods`.
    pub methods: Catalog<MethodKind>,
    /// Items of `training.metrics`.
    pub metrics: Catalog<MetricKind>,
    /// Operators of models.
    pub operators: OperatorCatalog,
    /// `training.optimizer`.
    pub optimizers: Catalog<OptimizerKind>,
    /// `search.proposer`.
    pub proposers: Catalog<ProposerKind>,
    /// `training.schedule`.
    pub schedules: Catalog<ScheduleKind>,
    /// Items of `search.stopping`.
    pub stopping: Catalog<StoppingKind>,
    /// Items of `transforms.train` and `transforms.evaluate`.
    pub transforms: Catalog<Transform>,
}

impl Default for Catalogs {
    fn default() -> Self {
        Self {
            encodings: encodings::standard().clone(),
            ensembles: ensembles::standard().clone(),
            heads: heads::standard().clone(),
            initializers: initializers::standard().clone(),
            logs: logs::standard().clone(),
            losses: losses::standard().clone(),
            methods: methods::standard().clone(),
            metrics: metrics::standard().clone(),
            operators: OperatorCatalog::standard(),
            optimizers: optimizers::standard().clone(),
            proposers: proposers::standard().clone(),
            schedules: schedules::standard().clone(),
            stopping: stopping::standard().clone(),
            transforms: millstream_transforms::standard().clone(),
        }
    }
}

impl Catalogs {
    /// JSON Schema of a recipe, every row of every catalog with its options included, in which any value may be left open for a
    /// search. Editors complete and check recipes with it.
    pub fn recipe_schema(&self) -> Value {
        self.definitions().with("Transform", self.transforms.schema()).open_recipe_schema()
    }

    /// What a recipe is checked against before anything else. Transforms are not in it: their lists check themselves, and
    /// know what other libraries call them.
    /// All that can be set in a recipe, with the words that can stand there.
    pub fn settings(&self) -> Vec<Setting> {
        self.definitions().settings()
    }

    pub(crate) fn definitions(&self) -> Definitions {
        Definitions::default()
            .with("Encoding", self.encodings.schema())
            .with("Head", self.heads.schema())
            .with("Initializer", self.initializers.schema())
            .with("Log", self.logs.schema())
            .with("Method", self.methods.schema())
            .with("Loss", self.losses.schema())
            .with("Metric", self.metrics.schema())
            .with("Optimizer", self.optimizers.schema())
            .with("Proposer", self.proposers.schema())
            .with("Schedule", self.schedules.schema())
            .with("StoppingRule", self.stopping.schema())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        let schema = Catalogs::default().recipe_schema();
        let mut open = vec![&schema];
        let mut references = 0;
        while let Some(value) = open.pop() {
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                let place = reference.strip_prefix('#').expect("references stay inside");
                assert!(schema.pointer(place).is_some(), "{reference}");
                references += 1;
            }
            match value {
                Value::Object(map) => open.extend(map.values()),
                Value::Array(list) => open.extend(list),
                _ => {}
            }
        }
        assert!(references > 10);
        assert!(schema.to_string().contains("horizontal_flip"));
    }
}
