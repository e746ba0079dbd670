use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_compiler::{FineTuning, HeadChoice, LayerInitializer, Loss, Method, Model, TrainingProgram};
use millstream_pipeline::{Beside, PipelineError, SharedResources, SplitRole, StreamOptions};
use millstream_schemas::recipe::{AdapterFormat, AverageRecipe, EvaluationRecipe, OrderStrength, TrainingRecipe};
use millstream_schemas::{
    AxisLength, BatchSpec, Choice, FileState, ImageLayout, Recipe, Standardization, TensorRole, count, shown,
};
use millstream_training::MetricSet;
use millstream_training::logs::Log;
use millstream_training::optimizers::Optimizer;
use millstream_training::schedules::{RunLength, Schedule};
use millstream_transforms::Chain;

use crate::choices::{Choices, chosen_loss};
use crate::class_balance::balanced;
use crate::classes::align;
use crate::data_report::{DataReport, DataReports};
use crate::evaluation_plan::{EvaluationPlan, of_view};
use crate::first_difference::first_difference;
use crate::input_types::InputTypes;
use crate::log_choices::LogChoices;
use crate::loss_targets::{prediction_axes, presumed_prediction, require_compared, require_targets};
use crate::model_choices::{ModelChoices, tokenized};
use crate::model_inputs::{input_names, require_embeddings, require_inputs, shapes};
use crate::preprocessing::Preprocessing;
use crate::row_source::Wanted;
use crate::statistics::StatisticsRows;
use crate::step_settings::{l1_note, require_averaged, step_settings};
use crate::stream_options::stream_options;
use crate::transform_differences::between_splits;
use crate::{
    Catalogs, RecipeError, RowSource, evaluation_sets, freezing, labels_file, one_length, overlap, parameter_groups,
};

/// Methods whose adapters a run writes at most.
pub(crate) const MOST_METHODS: usize = 8;

/// A recipe whose parts were opened and found to fit together. Clones share them; no run changes them.
#[derive(Clone, Debug)]
pub struct Opened(Arc<OpenedParts>);

/// What was opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenedParts {
    /// As given, but with the numbers that a `balanced` of the loss stands for.
    pub recipe: Recipe,
    /// Rows to train on.
    pub train: RowSource,
    /// Rows to evaluate on.
    pub evaluate: Option<RowSource>,
    /// Other sets of such rows, by their names.
    pub sets: Vec<(String, RowSource)>,
    /// The pretrained model.
    pub model: Arc<Model>,
    /// What the batches hold.
    pub spec: BatchSpec,
    /// The last linear layer.
    pub head: HeadChoice,
    /// Which layers start from new weights.
    pub initialize: Vec<LayerInitializer>,
    /// What is added to the model.
    pub methods: Vec<Method>,
    /// What is minimized.
    pub loss: Loss,
    /// What is measured, and which figure decides.
    pub metrics: MetricSet,
    /// How weights are updated.
    pub optimizer: Optimizer,
    /// The learning rate over time.
    pub schedule: Schedule,
    /// What is written while it runs, for other programs.
    pub logs: Vec<Log>,
    /// What the recipe could choose among.
    pub catalogs: Catalogs,
    /// What was noticed while the data were opened, each with its place in the recipe.
    pub notes: Vec<String>,
    /// Those of them that follow from how many rows the classes have.
    class_notes: Vec<String>,
    /// How long it took.
    pub took: Duration,
    /// What is measured and fitted at the end of a run.
    pub(crate) plan: EvaluationPlan,
    /// Which rows statistics of normalizations are computed anew from, where they are.
    pub(crate) statistics: Option<StatisticsRows>,
    /// How long the run is of which this one makes the first step, in a dry run.
    pub(crate) whole: Option<RunLength>,
    /// The model's file before it was read.
    model_file: Option<FileState>,
    reports: Arc<DataReports>,
}

impl Deref for Opened {
    type Target = OpenedParts;

    fn deref(&self) -> &OpenedParts {
        &self.0
    }
}

/// What was noticed while the files were chosen.
fn places(source: &RowSource, place: &str) -> Result<Vec<String>, RecipeError> {
    let copies = overlap::copies(&source.dataset)?;
    Ok(source.notes_of_files().chain(&copies).map(|note| format!("{place}: {note}")).collect())
}

impl Opened {
    /// Opens the data and the model and checks that they fit: columns and classes, the transforms' output and the model's
    /// input, the same classes in both splits, nothing random in evaluation.
    ///
    /// # Errors
    /// Something is missing, damaged or does not fit; the place in the recipe is named.
    pub fn open(recipe: &Recipe, catalogs: &Catalogs) -> Result<Self, RecipeError> {
        Self::open_beside(recipe, catalogs, None)
    }

    /// As [`Opened::open`], beside what is open already: a model or rows at the same places are not opened again.
    pub(crate) fn open_beside(recipe: &Recipe, catalogs: &Catalogs, known: Option<&Self>) -> Result<Self, RecipeError> {
        let began = Instant::now();
        let model_recipe = recipe.require_model("training")?;
        let chains =
            [("transforms.train", &recipe.transforms.train), ("transforms.evaluate", &recipe.transforms.evaluate)];
        let [train_chain, evaluate_chain] =
            chains.map(|(place, specs)| Chain::parse_from(&catalogs.transforms, place, specs));
        let (train_chain, evaluate_chain) = (train_chain?, evaluate_chain?);
        let set_chain = evaluate_chain.clone();
        let Choices { loss, metrics, optimizer, schedule } = Choices::of(&recipe.training, catalogs)?;
        let LogChoices { logs } = LogChoices::of(&recipe.output, catalogs)?;
        let metrics = metrics.with_memory(recipe.data.memory.0);
        let ModelChoices { head, initialize, methods } = ModelChoices::of(model_recipe, catalogs)?;
        refuse_random(&recipe.transforms.evaluate, catalogs)?;
        let has_model =
            |known: &&Self| known.recipe.model.as_ref().is_some_and(|model| model.path == model_recipe.path);
        let (model, model_file) = match known.filter(has_model) {
            Some(known) => (Arc::clone(&known.model), known.model_file.clone()),
            None => {
                let file = FileState::of(&model_recipe.path);
                (Arc::new(Model::read(&model_recipe.path).map_err(RecipeError::at("model.path"))?), file)
            }
        };
        let inputs = input_names(&model, !recipe.data.inputs.is_empty())?;
        let types = InputTypes::of(&model);
        let wanted = Wanted {
            data: &recipe.data,
            catalogs,
            place: "data.train",
            patterns: &recipe.data.train,
            decimal_comma: false,
            role: SplitRole::Train,
            inputs: &inputs,
            types: &types,
            output: &recipe.output.folder,
            known: known.filter(|known| known.recipe.data.train == recipe.data.train).map(|known| &known.train.dataset),
        };
        let mut train = RowSource::open(&wanted, train_chain)?;
        let methods = tokenized(methods, &train.encoders)?;
        require_target(&train)?;
        let mut notes = Vec::new();
        if head.keeps()
            && let Some(labels) = labels_file::of_model(&model, &model_recipe.path)?
        {
            notes.extend(align(&mut train, &labels, "the model, whose head is kept", "data.train")?);
        }
        metrics.check(train.classes()).map_err(RecipeError::at("training.metrics"))?;
        notes.extend(places(&train, "data.train")?);
        notes.extend(types.notes(&recipe.data, &train.encoders));
        let reports = Arc::new(DataReports::default());
        let counted = || reports.train(&recipe.data.train, &train).map(|report| report.classes.clone());
        let (recipe, class_notes) = balanced(recipe, train.dataset.rows(), counted)?;
        let loss = if class_notes.is_empty() { loss } else { chosen_loss(&recipe.training, catalogs)? };
        notes.extend(class_notes.iter().cloned());
        notes.extend(l1_note(&recipe.training));
        let evaluate = match &recipe.data.evaluate {
            None => None,
            Some(patterns) => {
                let known = known.filter(|known| known.recipe.data.evaluate == recipe.data.evaluate);
                let known = known.and_then(|known| known.evaluate.as_ref()).map(|source| &source.dataset);
                let wanted = Wanted { place: "data.evaluate", patterns, role: SplitRole::Evaluate, known, ..wanted };
                let mut source = RowSource::open(&wanted, evaluate_chain)?;
                notes.extend(align(&mut source, train.classes(), "the training data", "data.evaluate")?);
                source.encoders = source.encoders.relearned(&source.dataset, &train.encoders.learned())?;
                // the same import is told once
                source.notes.retain(|note| !train.notes.contains(note));
                notes.extend(places(&source, "data.evaluate")?);
                let (place, allowed) = ("data.evaluate", recipe.data.allow_overlap);
                notes.extend(overlap::of_files(&train.dataset, &source.dataset, place, allowed)?);
                Some(source)
            }
        };
        let sets = evaluation_sets::open(&recipe, &wanted, &train, &set_chain, &mut notes)?;
        let spec = train.spec("transforms.train", recipe.seed, recipe.data.batch)?;
        require_inputs(&model, &spec, "transforms.train")?;
        require_embeddings(&model, &train.encoders)?;
        for source in evaluate.iter().chain(sets.iter().map(|(_, source)| source)) {
            let of_evaluation = source.spec("transforms.evaluate", recipe.seed, recipe.data.batch)?;
            require_inputs(&model, &of_evaluation, "transforms.evaluate")?;
            require_same(&spec, &of_evaluation)?;
        }
        let plan = EvaluationPlan::of(&recipe, loss.reads(), None, catalogs)?;
        let statistics = StatisticsRows::of(&recipe, &train, &set_chain)?;
        let batch = recipe.data.batch;
        let parts = OpenedParts {
            recipe,
            train,
            evaluate,
            sets,
            model,
            spec,
            head,
            initialize,
            methods,
            loss,
            metrics,
            optimizer,
            schedule,
            logs,
            catalogs: catalogs.clone(),
            notes,
            class_notes,
            took: began.elapsed(),
            plan,
            statistics,
            whole: None,
            model_file,
            reports,
        };
        if parts.steps_per_epoch() == 0 {
            let rows = parts.train.dataset.rows();
            let message = format!("{rows} rows do not fill one batch of {batch}, and `drop_last` leaves out the rest");
            return Err(RecipeError::mismatch("data.batch", message));
        }
        parts.require_evaluation()?;
        Ok(Self(Arc::new(parts)))
    }

    /// The same with a model of the same nodes and shapes, and other weights.
    pub(crate) fn with_weights(&self, model: Model) -> Self {
        Self(Arc::new(OpenedParts { model: Arc::new(model), ..OpenedParts::clone(self) }))
    }

    /// The same data and model under a recipe that has another `training`, `evaluation` (but for its `sets`) or `output`: nothing is
    /// opened again, and rows are counted once.
    ///
    /// # Errors
    /// The recipe differs in something else, or chooses what does not fit.
    pub fn with(&self, recipe: &Recipe) -> Result<Self, RecipeError> {
        let began = Instant::now();
        let Recipe { training, evaluation, output, .. } = self.recipe.clone();
        let value =
            |recipe: &Recipe| serde_json::to_value(recipe).expect("a recipe has string keys, so it always serializes");
        let (then, now) = (value(&self.recipe), value(&Recipe { training, evaluation, output, ..recipe.clone() }));
        // these are rows that are open
        let sets = |recipe: &Recipe| serde_json::json!(recipe.evaluation.sets);
        let of_sets = || first_difference(&sets(&self.recipe), &sets(recipe), "evaluation.sets");
        if let Some((place, then, now)) = first_difference(&then, &now, "").or_else(of_sets) {
            return Err(RecipeError::OpenedOtherwise { place, then, now });
        }
        let Choices { loss, metrics, optimizer, schedule } = Choices::of(&recipe.training, &self.catalogs)?;
        let LogChoices { logs } = LogChoices::of(&recipe.output, &self.catalogs)?;
        let metrics = metrics.with_memory(recipe.data.memory.0);
        metrics.check(self.train.classes()).map_err(RecipeError::at("training.metrics"))?;
        let plan = EvaluationPlan::of(recipe, loss.reads(), None, &self.catalogs)?;
        let (recipe, class_notes) =
            balanced(recipe, self.train.dataset.rows(), || Ok(self.train_report()?.classes.clone()))?;
        let loss = if class_notes.is_empty() { loss } else { chosen_loss(&recipe.training, &self.catalogs)? };
        let took = began.elapsed();
        let mut of_self = OpenedParts::clone(self);
        of_self.notes.retain(|note| !self.class_notes.contains(note));
        of_self.notes.extend(class_notes.iter().cloned());
        let parts =
            OpenedParts { recipe, loss, metrics, optimizer, schedule, logs, class_notes, took, plan, ..of_self };
        parts.require_evaluation()?;
        Ok(Self(Arc::new(parts)))
    }

    /// As what is opened for the first step of a run of this training: its moments are of that run.
    pub(crate) fn as_start_of(&self, whole: &TrainingRecipe) -> Self {
        let parts = OpenedParts::clone(self);
        Self(Arc::new(OpenedParts { whole: Some(self.length_of(whole)), ..parts }))
    }
}

impl OpenedParts {
    fn require_evaluation(&self) -> Result<(), RecipeError> {
        self.plan.check_classes(self.loss.reads(), self.train.classes().len())?;
        self.plan.check_targets(&self.train.encoders)?;
        for source in self.evaluation_sources() {
            self.plan.check_views(&self.model, source, self.recipe.seed)?;
        }
        let decides = self.recipe.evaluation.decides();
        if decides != EvaluationRecipe::MAIN && !self.sets.iter().any(|(name, _)| name == decides) {
            let message = format!("no set of the name `{}` is open; name one of `evaluation.sets`", shown(decides));
            return Err(RecipeError::mismatch("evaluation.best_on", message));
        }
        if self.evaluate.is_some() {
            return Ok(());
        }
        if !self.recipe.evaluation.is_usual() {
            let message = "there are no rows to measure on; state `data.evaluate`, or leave it out";
            return Err(RecipeError::mismatch("evaluation", message));
        }
        let training = &self.recipe.training;
        let averages = matches!(training.average, Some(AverageRecipe::Last(_) | AverageRecipe::Best(_)));
        let gains = "nothing tells whether the run gets better";
        let states = "it takes states that were evaluated, and there is nothing to evaluate on";
        let needs = [
            ("training.early_stopping", training.early_stopping.is_some(), gains),
            ("training.schedule", self.schedule.plateau().is_some(), gains),
            ("training.average", averages, states),
        ];
        match needs.into_iter().find(|(_, needs, _)| *needs) {
            None => Ok(()),
            Some((place, _, message)) => Err(RecipeError::mismatch(place, format!("{message}; state `data.evaluate`"))),
        }
    }

    /// All sets of rows to evaluate on with their names, the one that decides first.
    pub fn evaluation_sets(&self) -> Vec<(&str, &RowSource)> {
        let main = self.evaluate.iter().map(|source| (EvaluationRecipe::MAIN, source));
        let mut sets: Vec<_> = main.chain(self.sets.iter().map(|(name, source)| (name.as_str(), source))).collect();
        let decides = self.recipe.evaluation.decides();
        sets.sort_by_key(|(name, _)| *name != decides);
        sets
    }

    /// The set that decides and that the figures of the run are of; none where nothing is evaluated.
    pub(crate) fn deciding_set(&self) -> Option<(&str, &RowSource)> {
        self.evaluation_sets().into_iter().next()
    }

    /// How many rows of a set an evaluation takes.
    pub(crate) fn evaluated_rows(&self, source: &RowSource) -> u64 {
        let (rows, batch) = (source.dataset.rows(), self.recipe.data.batch.max(1) as u64);
        self.recipe.evaluation.rows.map_or(rows, |limit| limit.next_multiple_of(batch).min(rows))
    }

    /// Which rows statistics of normalizations are computed anew from, in words.
    pub(crate) fn statistics_note(&self) -> Option<String> {
        self.statistics.as_ref().map(|rows| rows.note(&self.recipe, self.evaluations().saturating_sub(1)))
    }

    /// Whether another file lies now where rows or the model were opened, or none.
    pub(crate) fn has_changed(&self) -> bool {
        let is_other_model = |path: &Path| FileState::of(path) != self.model_file;
        self.recipe.model.as_ref().is_some_and(|model| is_other_model(&model.path))
            || self.train.dataset.has_changed()
            || self.evaluation_sources().any(|source| source.dataset.has_changed())
    }

    /// Whether the files of rows and model can be seen now.
    pub(crate) fn is_there(&self) -> bool {
        self.recipe.model.as_ref().is_none_or(|model| FileState::of(&model.path).is_some())
            && self.train.dataset.is_there()
            && self.evaluation_sources().all(|source| source.dataset.is_there())
    }

    pub(crate) fn evaluation_sources(&self) -> impl Iterator<Item = &RowSource> {
        self.evaluate.iter().chain(self.sets.iter().map(|(_, source)| source))
    }

    /// What the rows to train on hold.
    pub(crate) fn train_report(&self) -> Result<&DataReport, RecipeError> {
        self.reports.train(&self.recipe.data.train, &self.train)
    }

    /// What the rows to evaluate on hold, if there are any.
    pub(crate) fn evaluate_report(&self) -> Result<Option<&DataReport>, RecipeError> {
        let rows = self.recipe.data.evaluate.as_ref().zip(self.evaluate.as_ref());
        rows.map(|(path, source)| self.reports.evaluate(path, source)).transpose()
    }

    /// What the other sets hold, in the order in which they are open.
    pub(crate) fn set_reports(&self) -> Result<&[DataReport], RecipeError> {
        self.reports.sets(&self.recipe.evaluation.sets, &self.sets)
    }

    /// What the model is compiled into.
    pub fn fine_tuning(&self) -> FineTuning {
        self.fine_tuning_of(self.recipe.data.batch.into())
    }

    fn fine_tuning_of(&self, batch: AxisLength) -> FineTuning {
        let model = self.recipe.model.clone().expect("only a recipe with a model is opened");
        let training = &self.recipe.training;
        FineTuning {
            inputs: shapes(&self.spec, &batch),
            masks: self.masks(),
            batch,
            output: model.output,
            head: self.head.clone(),
            classes: match self.train.classes().len() {
                0 => self.spec.of_role(TensorRole::Target).map(|target| target.most_elements).next().unwrap_or(0),
                classes => classes,
            },
            prediction_axes: prediction_axes(&self.loss, &self.train, &self.spec),
            standardize: self.standardizations(TensorRole::Input).collect(),
            undo: self.standardizations(TensorRole::Target).map(|(_, learned)| learned).next(),
            initialize: self.initialize.clone(),
            train: model.train,
            batch_normalization: model.batch_normalization,
            dropout: model.dropout,
            stochastic_depth: model.stochastic_depth,
            methods: self.methods.clone(),
            layer_decay: training.layer_decay,
            learning_rate_multipliers: training.learning_rate_multipliers.clone(),
            selections: parameter_groups::selections(training),
            loss: self.loss.clone(),
            seed: self.recipe.seed,
            precision: training.precision,
        }
    }

    /// Compiles the training step.
    ///
    /// # Errors
    /// The model, what is trained of it, or the loss do not fit each other or the data.
    pub(crate) fn program(&self) -> Result<TrainingProgram, RecipeError> {
        self.program_of(self.recipe.data.batch.into())
    }

    /// As [`Opened::program`], for so many rows in a batch.
    pub(crate) fn program_of(&self, batch: AxisLength) -> Result<TrainingProgram, RecipeError> {
        self.with_rates(self.compiled_model(batch)?)
    }

    /// The training step before anything of it follows from rates, schedules and lengths.
    pub(crate) fn compiled_model(&self, batch: AxisLength) -> Result<TrainingProgram, RecipeError> {
        require_targets(&self.loss, &self.train, &self.spec)?;
        let says_outputs = self.loss.reads().outputs(self.train.classes().len()).is_some();
        if !says_outputs && !self.head.keeps() {
            let loss = &self.loss.choice().name;
            let message = format!("the loss `{loss}` leaves open how many outputs a head has; use `head: keep`");
            return Err(RecipeError::mismatch("model.head", message));
        }
        one_length::compile_for(&self.model, &self.spec, &self.fine_tuning_of(batch), &self.catalogs.operators)
    }

    /// A program of this recipe, or of one that compiles to the same, with what follows from its rates.
    pub(crate) fn with_rates(&self, mut program: TrainingProgram) -> Result<TrainingProgram, RecipeError> {
        let files = &self.recipe.output.adapter_files;
        if !files.is_empty() {
            let methods = self.recipe.model.as_ref().map_or(0, |model| model.methods.len());
            if methods > MOST_METHODS {
                let message = format!("of {methods} methods; files are written of at most {MOST_METHODS}");
                return Err(RecipeError::mismatch("output.adapter_files", message));
            }
            for format in files {
                program.require_adapters(*format == AdapterFormat::OnnxAdapter)?;
            }
        }
        parameter_groups::apply(&mut program, &self.recipe.training, &self.optimizer)?;
        // what is wrong with these is told before a run begins
        let run = self.whole_length();
        require_averaged(&self.recipe.training, run)?;
        step_settings(&self.recipe, &self.optimizer, run).check(&program)?;
        freezing::plan(&program, &self.recipe.training, run)?;
        if self.plan.temperature {
            program.require_temperature(self.recipe.output.adapters)?;
        }
        if !self.loss.reads().are_counted() {
            require_compared(&self.loss, &program.manifest.targets[0], &self.spec)?;
            return Ok(program);
        }
        let prediction = &program.manifest.prediction;
        let wanted = presumed_prediction(&self.train, &self.spec);
        let fits = |(got, wanted): (&AxisLength, &usize)| got.fixed().is_none_or(|got| got == *wanted);
        if prediction.shape.len() != wanted.len() || !prediction.shape.iter().zip(&wanted).all(fits) {
            let message = format!(
                "the model gives `{}` of {:?}, and the targets are those of {wanted:?}",
                shown(&prediction.name),
                prediction.shape
            );
            return Err(RecipeError::mismatch("model.output", message));
        }
        Ok(program)
    }

    /// Inputs that hold 1 for what is a row's and 0 for padding, as the recipe names them.
    fn masks(&self) -> Vec<String> {
        let inputs = self.train.encoders.choices().filter(|(_, role, _)| *role == TensorRole::Input);
        let masks = inputs.filter_map(|(_, _, encoding)| encoding.options.get("attention_mask")?.as_str());
        masks.map(str::to_owned).collect()
    }

    /// What was learned of columns of numbers and becomes a part of the model, by the tensors' names.
    fn standardizations(&self, role: TensorRole) -> impl Iterator<Item = (String, Standardization)> {
        let all = self.train.encoders.standardizations().filter(move |(_, of, _)| *of == role);
        all.map(|(name, _, learned)| (name.to_owned(), learned.clone()))
    }

    /// Where training, evaluation and the pretrained model disagree on what is done to the values, in words.
    pub fn preprocessing_warnings(&self) -> Vec<String> {
        let transforms = &self.recipe.transforms;
        let mut found = between_splits(&transforms.train, &transforms.evaluate);
        let (encoders, catalogs) = (&self.train.encoders, &self.catalogs);
        found.extend(Preprocessing::differences(&self.model, &self.recipe, encoders, catalogs));
        found
    }

    /// How the training rows are streamed, alone or with what is shared. What evaluation needs of the memory is left to it.
    ///
    /// # Errors
    /// The evaluation data cannot be streamed.
    pub fn train_stream(&self, shared: Option<&SharedResources>) -> Result<StreamOptions, PipelineError> {
        let data = &self.recipe.data;
        let mut least = None;
        for source in self.evaluation_sources() {
            least = least.max(Some(self.stream_of(source, shared).least_memory(&source.dataset)?));
        }
        if let (Some(source), Some(views)) = (&self.evaluate, &self.plan.views) {
            let options = of_view(self.stream_of(source, shared), 0, &views.chain);
            least = least.max(Some(options.least_memory(&source.dataset)?));
        }
        if let Some(rows) = &self.statistics {
            let options = rows.stream(&self.recipe, shared, Beside::Nothing);
            least = least.max(Some(options.least_memory(&rows.source().dataset)?));
        }
        let beside = least.map_or(Beside::Nothing, Beside::Later);
        Ok(StreamOptions {
            epochs: self.recipe.training.epochs,
            drop_last: data.drop_last,
            sampling: data.sampling.clone(),
            beside,
            shared: shared.cloned(),
            ..stream_options(&self.recipe, &self.train, data.order)
        })
    }

    /// How the evaluation rows are streamed, if there are any; beside the training stream when there is one.
    pub fn evaluate_stream(&self, shared: Option<&SharedResources>) -> Option<StreamOptions> {
        Some(self.stream_of(self.evaluate.as_ref()?, shared))
    }

    /// How rows to evaluate on are streamed: in order, or where only some are taken drawn from all of them, since files may be
    /// sorted by class.
    pub(crate) fn stream_of(&self, source: &RowSource, shared: Option<&SharedResources>) -> StreamOptions {
        let takes_all = self.evaluated_rows(source) == source.dataset.rows();
        let order = if takes_all { OrderStrength::Sequential } else { OrderStrength::Global };
        let all = stream_options(&self.recipe, source, order);
        let group_by_length = if takes_all { all.group_by_length } else { Some(false) };
        StreamOptions { shared: shared.cloned(), group_by_length, ..all }
    }
}

/// Evaluation measures the model, not the luck of a draw.
pub(crate) fn refuse_random(specs: &[Choice], catalogs: &Catalogs) -> Result<(), RecipeError> {
    for (index, spec) in specs.iter().enumerate() {
        let place = format!("transforms.evaluate[{index}]");
        let chain = Chain::parse_from(&catalogs.transforms, "transforms.evaluate", std::slice::from_ref(spec));
        if chain.is_ok_and(|chain| chain.is_random()) {
            let message = format!("`{}` is random; evaluation must be the same each time", spec.name);
            return Err(RecipeError::mismatch(place, message));
        }
    }
    Ok(())
}

/// There is something to train towards.
fn require_target(train: &RowSource) -> Result<(), RecipeError> {
    let classes = train.classes().len();
    match train.encoders.class_column() {
        Some(column) if classes < 2 => Err(RecipeError::mismatch(
            "data.label",
            format!("column `{}` has {}; 2 are needed", shown(column), count(classes, "class")),
        )),
        None if !train.encoders.have_targets() => {
            let message = "there is nothing to train towards; name the column with the class, or `data.targets`";
            Err(RecipeError::mismatch("data.label", message))
        }
        _ => Ok(()),
    }
}

/// Rows of training and evaluation go through one graph: where both fix a length, it is the same.
fn require_same(train: &BatchSpec, evaluate: &BatchSpec) -> Result<(), RecipeError> {
    for tensor in &train.tensors {
        let other = evaluate.get(&tensor.name).map(|other| &other.shape);
        if other.is_some_and(|other| *other != tensor.shape) {
            let name = shown(&tensor.name);
            let (got, wanted) = (other.cloned().unwrap_or_default(), &tensor.shape);
            let images = ImageLayout::of_row(wanted).zip(ImageLayout::of_row(&got));
            let message = if let Some(((_, [_, height, width]), (_, [_, got_height, got_width]))) = images {
                format!(
                    "images end at {got_width}×{got_height} pixels, and in training at {width}×{height}; end with `resize`, \
                     `center_crop` or `random_resized_crop` to that size"
                )
            } else {
                format!("`{name}` has rows of shape {got:?}, and in training of {wanted:?}")
            };
            return Err(RecipeError::mismatch("transforms.evaluate", message));
        }
    }
    Ok(())
}
