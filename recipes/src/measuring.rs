//! A model with labelled rows that it is measured on.

use std::path::Path;
use std::time::Instant;

use millstream_compiler::losses::PredictionKind;
use millstream_compiler::{Model, RowPlaces};
use millstream_pipeline::{Beside, SharedResources, SplitRole, StreamOptions};
use millstream_runtime::{Device, DeviceKind};
use millstream_schemas::recipe::{MemoryCheck, OrderStrength, Patterns};
use millstream_schemas::{Fingerprint, Recipe, TensorRole, count, shown_path};
use millstream_training::calibration::Outcomes;
use millstream_training::{
    Evaluation, EvaluationExtras, LossRunner, MetricSet, PredictionSink, Predictor, TrainingError, ViewMean,
    evaluate_with,
};
use millstream_transforms::Chain;

use crate::balanced_loss::balanced_loss;
use crate::calibrated::thresholds_of;
use crate::check::label_findings;
use crate::choices::Choices;
use crate::class_balance::balanced_options;
use crate::classes::{align, numbers_up_to};
use crate::data_report::{DataReport, data_report};
use crate::evaluation_plan::{EvaluationPlan, of_view, with_intervals};
use crate::imported::NamedRows;
use crate::input_types::InputTypes;
use crate::loss_targets::{prediction_axes, require_targets};
use crate::machine_memory::machine_memory;
use crate::memory_check::{MemoryFinding, inference_finding};
use crate::model_inputs::{fixed_batch, input_names, require_inputs};
use crate::opened::refuse_random;
use crate::preprocessing::{self, Preprocessing};
use crate::row_source::{RowSource, Wanted};
use crate::run_folder::make_place_for;
use crate::slices::{self, SlicedRows};
use crate::stream::{Stream, boxes_left_out, no_usable_row};
use crate::stream_options::stream_options;
use crate::{Catalogs, Event, Events, MemoryEstimate, RecipeError, Stop, labels_file, overlap};

/// What is measured, where it is not all in the recipe.
pub(crate) struct ToMeasure<'a> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) model: &'a Model,
    /// Its file, beside which there may be class names.
    pub(crate) path: &'a Path,
    pub(crate) data: &'a Patterns,
    /// Whether numbers of tables among them may have a comma in front of their decimals.
    pub(crate) decimal_comma: bool,
    /// Where the rows are named.
    pub(crate) place: &'a str,
    /// Whether columns of slices that these rows do not have are left out, and noted.
    pub(crate) slices_may_lack: bool,
    /// So many views of each row, in place of what the recipe says.
    pub(crate) views: Option<u64>,
    pub(crate) catalogs: &'a Catalogs,
    pub(crate) shared: Option<&'a SharedResources>,
    /// What is done where the machine has too little memory for it; nothing where that is known to suffice.
    pub(crate) memory_check: Option<MemoryCheck>,
    /// Whether its streams have the ceiling on memory to themselves.
    pub(crate) beside: Beside,
    /// In which the same model was measured by the same recipe on other rows, where it was.
    pub(crate) session: Option<&'a ScoringSession>,
}

/// The session that a model is measured in. Its clones are the same session, in which other rows are measured too, unless what
/// the rows say of classes and places leads to another graph.
#[derive(Clone)]
pub(crate) struct ScoringSession {
    read_as: ReadAs,
    places: RowPlaces,
    predictor: Predictor,
    /// What is worth knowing of it.
    warnings: Vec<String>,
}

/// By what scores are found in a model beside the recipe: how many classes there are, and axes of the prediction.
type ReadAs = (Option<usize>, Option<usize>);

impl ScoringSession {
    /// # Errors
    /// The model has no such scores, the machine has too little memory by the policy, or ONNX Runtime refuses the model.
    fn open(
        wanted: &ToMeasure<'_>,
        source: &RowSource,
        reads: PredictionKind,
        read_as: ReadAs,
        device: &Device,
    ) -> Result<Self, RecipeError> {
        let ToMeasure { recipe, model, catalogs, .. } = *wanted;
        let output = recipe.model.as_ref().and_then(|model| model.output.as_deref());
        let (classes, axes) = read_as;
        let scoring = model.evaluated_for(output, reads, classes, axes, &catalogs.operators)?;
        let mut warnings: Vec<String> = scoring.note.into_iter().collect();
        if let (Some(policy), DeviceKind::Cpu) = (wanted.memory_check, device.kind) {
            let rows = fixed_batch(model).unwrap_or(recipe.data.batch);
            let spec = source.spec("transforms.evaluate", recipe.seed, rows)?;
            let estimate = MemoryEstimate::of_inference(model, &spec, rows, &catalogs.operators);
            let finding =
                estimate.and_then(|held| inference_finding(&held, machine_memory(), policy, (rows, "`data.batch`")));
            match finding {
                Some(MemoryFinding::Problem(message) | MemoryFinding::TooMany(message)) => {
                    let message = format!("{message}. `training.memory_check: warn` goes on all the same");
                    return Err(RecipeError::mismatch("training.memory_check", message));
                }
                Some(MemoryFinding::Warning(message)) => warnings.push(message),
                None => {}
            }
        }
        let predictor = Predictor::open_graph(&scoring.model, device, recipe.training.threads, Some(&scoring.scores))?;
        warnings.extend(predictor.warning().map(str::to_owned));
        Ok(Self { read_as, places: scoring.places, predictor, warnings })
    }
}

/// A model and rows, opened and checked against each other.
pub(crate) struct Measuring {
    recipe: Recipe,
    source: RowSource,
    place: String,
    report: DataReport,
    reads: PredictionKind,
    metrics: MetricSet,
    session: ScoringSession,
    loss: LossRunner,
    plan: EvaluationPlan,
    shared: Option<SharedResources>,
    beside: Beside,
    slices: Option<SlicedRows>,
    /// Damaged rows that were left out of the newest pass.
    pub(crate) skipped: u64,
    pub(crate) warnings: Vec<String>,
    pub(crate) notes: Vec<String>,
    /// Which of these are of the rows and do not name them: other rows can have the same.
    pub(crate) of_these_rows: Vec<String>,
    pub(crate) preprocessing_known: bool,
}

impl Measuring {
    /// # Errors
    /// The model or the rows cannot be opened or do not fit together, or the recipe asks for what does not fit them.
    pub(crate) fn open(
        wanted: &ToMeasure<'_>,
        device: impl FnOnce() -> Result<Device, RecipeError>,
    ) -> Result<Self, RecipeError> {
        let ToMeasure { recipe, model, path, place, catalogs, .. } = *wanted;
        let chain = Chain::parse_from(&catalogs.transforms, "transforms.evaluate", &recipe.transforms.evaluate)?;
        refuse_random(&recipe.transforms.evaluate, catalogs)?;
        let inputs = input_names(model, !recipe.data.inputs.is_empty())?;
        let types = InputTypes::of(model);
        let of_rows = Wanted {
            data: &recipe.data,
            catalogs,
            place,
            patterns: wanted.data,
            decimal_comma: wanted.decimal_comma,
            role: SplitRole::Evaluate,
            inputs: &inputs,
            types: &types,
            output: &recipe.output.folder,
            known: None,
        };
        let mut source = RowSource::open(&of_rows, chain)?;
        if let Some(learned) = Preprocessing::learned(model, &source.encoders) {
            source.encoders = source.encoders.relearned(&source.dataset, &learned)?;
        }
        let mut notes: Vec<String> = source.notes_of_files().cloned().collect();
        notes.extend(overlap::copies(&source.dataset)?);
        // Rows to train on need not be there any more; where they are, measuring them is told.
        let train = NamedRows::of(&recipe.data, &recipe.data.train, &recipe.output.folder);
        let train = train.open(SplitRole::Train).map(|(train, _)| train);
        if let Ok(train) = &train {
            notes.extend(overlap::of_files(train, &source.dataset, place, true)?);
        }
        let spec = source.spec("transforms.evaluate", recipe.seed, 1)?;
        require_inputs(model, &spec, "transforms.evaluate")?;
        let mut warnings = Preprocessing::differences(model, recipe, &source.encoders, catalogs);
        let Choices { loss, metrics, .. } = Choices::of(&recipe.training, catalogs)?;
        let plan = EvaluationPlan::of(recipe, loss.reads(), wanted.views, catalogs)?;
        plan.check_targets(&source.encoders)?;
        plan.check_views(model, &source, recipe.seed)?;
        let evaluation = &recipe.evaluation;
        let (columns, lacking) = match wanted.slices_may_lack {
            true => slices::columns_there(&source.dataset, &evaluation.slices),
            false => (evaluation.slices.clone(), None),
        };
        let mut of_these_rows: Vec<String> = lacking.into_iter().collect();
        let slices = match columns.as_slice() {
            [] => None,
            columns => Some(SlicedRows::open(&source.dataset, columns, evaluation.most_slices)?),
        };
        of_these_rows.extend(slices.iter().flat_map(|slices| &slices.notes).cloned());
        notes.extend(of_these_rows.iter().cloned());
        let device = device()?;
        let classes = Some(source.classes().len()).filter(|classes| *classes > 0);
        let read_as = (classes, prediction_axes(&loss, &source, &spec));
        let session = match wanted.session.filter(|session| session.read_as == read_as) {
            Some(session) => session.clone(),
            None => ScoringSession::open(wanted, &source, loss.reads(), read_as, &device)?,
        };
        warnings.extend(session.warnings.iter().cloned());
        let predictor = &session.predictor;
        let named = labels_file::of_model(model, path)?;
        let numbered = predictor.classes().filter(|_| named.is_none());
        let numbered = numbered.and_then(|classes| numbers_up_to(&source, classes));
        if let Some(numbers) = &numbered {
            notes.push(format!(
                "{place}: the rows have {}, and the model has {}, which it does not name: each is taken by its number",
                count(source.classes().len(), "class"),
                numbers.len()
            ));
        }
        if let Some(labels) = named.or(numbered) {
            notes.extend(align(&mut source, &labels, "the model", place)?);
        }
        let loss = match balanced_options(recipe).is_empty() {
            true => loss,
            false => {
                let (loss, of_classes) = balanced_loss(recipe, &of_rows, &source, &train)?;
                notes.extend(of_classes);
                loss
            }
        };
        metrics.check(source.classes()).map_err(RecipeError::at("training.metrics"))?;
        require_targets(&loss, &source, &source.spec("transforms.evaluate", recipe.seed, recipe.data.batch)?)?;
        let of_classes = source.encoders.class_tensor().is_some();
        let differ = |classes: &usize| of_classes && *classes != source.classes().len();
        if let Some(classes) = predictor.classes().filter(differ) {
            let message =
                format!("{}, and the model {} has {classes}", count(source.classes().len(), "class"), shown_path(path));
            return Err(RecipeError::mismatch(place, message));
        }
        let report = data_report(wanted.data, &source)?;
        let (of_labels, problem) = label_findings("evaluation", &report, &recipe.data.damaged);
        if let Some(problem) = problem {
            return Err(RecipeError::mismatch(place, problem));
        }
        of_these_rows.extend(of_labels.iter().cloned());
        warnings.extend(of_labels);
        let mut recipe = recipe.clone();
        // A graph made for one batch size takes no other.
        let fixed = predictor.inputs().first().and_then(|(_, shape)| usize::try_from(*shape.first()?).ok());
        recipe.data.batch = fixed.filter(|batch| *batch > 0).unwrap_or(recipe.data.batch);
        Ok(Self {
            metrics: with_intervals(metrics, &recipe).with_thresholds(thresholds_of(model)?),
            reads: loss.reads(),
            loss: LossRunner::new(&loss, &catalogs.operators, &device).with_places(session.places.clone()),
            recipe,
            source,
            place: place.to_owned(),
            report,
            session,
            plan,
            shared: wanted.shared.cloned(),
            beside: wanted.beside.clone(),
            slices,
            skipped: 0,
            warnings,
            notes,
            of_these_rows,
            preprocessing_known: !preprocessing::is_unknown(model),
        })
    }

    /// What the model is measured in.
    pub(crate) fn session(&self) -> &ScoringSession {
        &self.session
    }

    /// The rows.
    pub(crate) fn source(&self) -> &RowSource {
        &self.source
    }

    /// Names of the classes, in the order of the scores.
    pub(crate) fn classes(&self) -> &[String] {
        self.source.classes()
    }

    /// What the rows and their labels are.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn data(&self) -> Result<Fingerprint, RecipeError> {
        let labels = self.source.encoders.columns_of(TensorRole::Target);
        Ok(self.source.dataset.fingerprint_with(&labels)?)
    }

    /// What is measured.
    pub(crate) fn metrics(&self) -> &MetricSet {
        &self.metrics
    }

    /// Measures all rows, and hands what the model gives to `sink`; none when it was asked to stop.
    ///
    /// # Errors
    /// A row is damaged under the policy `fail`, none has a target, or the model or the sink fails.
    pub(crate) fn measure(
        &mut self,
        sink: Option<&mut dyn PredictionSink>,
        events: &mut dyn Events,
        stop: &Stop,
    ) -> Result<Option<Evaluation>, RecipeError> {
        make_place_for(&self.recipe)?;
        let views = self.plan.views.clone();
        let passes = views.as_ref().map_or(1, |views| views.count);
        let mut progress = Progress::new(self.source.dataset.rows(), passes, events, stop);
        let mut mean = None;
        if let Some(views) = &views {
            let mut sums = ViewMean::new(views.averaged, self.recipe.data.memory.0);
            for view in 0..views.count - 1 {
                let mut batches =
                    Stream::open(None, &self.source.dataset, self.stream(Some((view, &views.chain))), None)?;
                if !sums.add(&mut self.session.predictor, &mut batches, &mut |rows| progress.tell(rows))? {
                    return Ok(None);
                }
                progress.next_pass();
            }
            mean = Some(sums);
        }
        let last = views.as_ref().map(|views| (views.count - 1, &views.chain));
        let mut batches = Stream::open(None, &self.source.dataset, self.stream(last), None)?;
        let classes = self.source.classes().to_vec();
        let slices = self.slices.as_mut().map(|slices| slices as &mut dyn millstream_training::RowSlices);
        let sink = sink.map(|sink| &mut *sink as &mut dyn PredictionSink);
        let extras = EvaluationExtras { slices, views: mean, sink };
        let (predictor, loss, metrics) = (&mut self.session.predictor, &mut self.loss, &self.metrics);
        let mut told = |rows| progress.tell(rows);
        let found = evaluate_with(predictor, loss, metrics, &mut batches, &classes, extras, &mut told);
        let counters = batches.0.counters();
        self.skipped = counters.skipped;
        let so = "nothing that is found is held against them";
        self.warnings.extend(boxes_left_out(counters.parts_left_out, "the evaluation", so));
        found.map_err(|error| self.or_no_row(error, &batches))
    }

    /// Measures all rows as these transforms draw them, and hands what the model gives to `sink`; gives the seed of what was drawn, or
    /// none when it was asked to stop.
    ///
    /// # Errors
    /// As [`Measuring::measure`]; the rows are not what the model takes then.
    pub(crate) fn measure_drawn(
        &mut self,
        model: &Model,
        (draw, chain): (u64, &Chain),
        sink: &mut dyn PredictionSink,
        events: &mut dyn Events,
        stop: &Stop,
    ) -> Result<Option<u64>, RecipeError> {
        let place = "transforms.train";
        let drawn = RowSource { chain: chain.clone(), ..self.source.clone() };
        require_inputs(model, &drawn.spec(place, self.recipe.seed, 1)?, place)?;
        let mut progress = Progress::new(self.source.dataset.rows(), 1, events, stop);
        let options = self.stream(Some((draw, chain)));
        let seed = options.seed;
        let mut batches = Stream::open(None, &self.source.dataset, options, None)?;
        let classes = self.source.classes().to_vec();
        let extras = EvaluationExtras { sink: Some(sink), ..EvaluationExtras::default() };
        let metrics = self.metrics.clone().without_bootstrap();
        let (predictor, loss) = (&mut self.session.predictor, &mut self.loss);
        let mut told = |rows| progress.tell(rows);
        let found = evaluate_with(predictor, loss, &metrics, &mut batches, &classes, extras, &mut told);
        Ok(found.map_err(|error| self.or_no_row(error, &batches))?.map(|_| seed))
    }

    /// What the model gives for all rows, and what is true of them; none when it was asked to stop.
    ///
    /// # Errors
    /// As [`Measuring::measure`]; what is to be held does not fit into the recipe's memory.
    pub(crate) fn outcomes(&mut self, events: &mut dyn Events, stop: &Stop) -> Result<Option<Outcomes>, RecipeError> {
        make_place_for(&self.recipe)?;
        let mut progress = Progress::new(self.source.dataset.rows(), 1, events, stop);
        let mut batches = Stream::open(None, &self.source.dataset, self.stream(None), None)?;
        let (predictor, loss, most) = (&mut self.session.predictor, &mut self.loss, self.recipe.data.memory.0);
        let mut told = |rows| progress.tell(rows);
        let found = Outcomes::gather(predictor, loss, self.reads, &mut batches, most, &mut told);
        found.map_err(|error| match error {
            error @ TrainingError::Calibration { .. } => RecipeError::at("evaluation.calibrate")(error),
            error => self.or_no_row(error, &batches),
        })
    }

    /// How the rows are streamed; those of a view with its transforms, each drawn by a seed of its own, in one order.
    fn stream(&self, view: Option<(u64, &Chain)>) -> StreamOptions {
        let (shared, beside) = (self.shared.clone(), self.beside.clone());
        let usual = stream_options(&self.recipe, &self.source, OrderStrength::Sequential);
        let usual = StreamOptions { shared, beside, ..usual };
        match view {
            Some((view, chain)) => of_view(usual, view, chain),
            None => usual,
        }
    }

    fn or_no_row(&self, error: TrainingError, batches: &Stream) -> RecipeError {
        match error {
            TrainingError::NothingLabelled => no_usable_row(&self.place, &self.report, batches.skipped().as_ref()),
            error => error.into(),
        }
    }
}

/// Tells how far a measurement is.
struct Progress<'a> {
    started: Instant,
    rows: u64,
    passes: u64,
    done: u64,
    events: &'a mut dyn Events,
    stop: &'a Stop,
}

impl<'a> Progress<'a> {
    fn new(rows: u64, passes: u64, events: &'a mut dyn Events, stop: &'a Stop) -> Self {
        Self { started: Instant::now(), rows, passes, done: 0, events, stop }
    }

    fn next_pass(&mut self) {
        self.done += 1;
    }

    /// Of the rows of this pass so many are done; whether to go on.
    fn tell(&mut self, rows: u64) -> bool {
        let (rows, total) = (self.done * self.rows + rows, self.passes * self.rows);
        let samples_per_second = rows as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        self.events.event(&Event::Evaluating {
            epoch: None,
            epochs: None,
            rows,
            total,
            samples_per_second,
            seconds_left: total.saturating_sub(rows) as f64 / samples_per_second.max(1e-9),
        });
        !self.stop.is_requested()
    }
}
