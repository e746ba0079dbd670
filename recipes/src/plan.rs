use millstream_compiler::graph::TensorType;
use millstream_compiler::losses::PredictionKind;
use millstream_compiler::{FineTuning, Loss, Model, TrainingProgram, compile};
use millstream_pipeline::{Beside, PipelineError, SplitRole, StreamOptions};
use millstream_schemas::recipe::{HeadRecipe, OrderStrength};
use millstream_schemas::{Choice, Recipe, count, shown};
use millstream_training::MetricSet;
use millstream_training::optimizers::Optimizer;
use millstream_training::schedules::Schedule;
use millstream_transforms::Chain;

use crate::choices::Choices;
use crate::classes::align;
use crate::preprocessing::{self, Preprocessing};
use crate::{Catalogs, ModelInput, RecipeError, RowSource, labels_file, overlap};

/// A recipe whose parts were opened and found to fit together. No row was trained on yet.
#[derive(Clone, Debug)]
pub struct Plan {
    /// As given.
    pub recipe: Recipe,
    /// Rows to train on.
    pub train: RowSource,
    /// Rows to evaluate on.
    pub evaluate: Option<RowSource>,
    /// The pretrained model.
    pub model: Model,
    /// Where the images go.
    pub input: ModelInput,
    /// What is minimized.
    pub loss: Loss,
    /// What is measured, and which figure decides.
    pub metrics: MetricSet,
    /// How weights are updated.
    pub optimizer: Optimizer,
    /// The learning rate over time.
    pub schedule: Schedule,
    /// What the recipe could choose among.
    pub catalogs: Catalogs,
    /// What was noticed while the data were opened, each with its place in the recipe.
    pub notes: Vec<String>,
}

/// Opens the data and the model and checks that they fit: columns and classes, the transforms' output and the model's
/// input, the same classes in both splits, nothing random in evaluation.
///
/// # Errors
/// Something is missing, damaged or does not fit; the place in the recipe is named.
pub fn plan(recipe: &Recipe, catalogs: &Catalogs) -> Result<Plan, RecipeError> {
    let model_recipe = recipe.require_model("training")?;
    let chains = [("transforms.train", &recipe.transforms.train), ("transforms.evaluate", &recipe.transforms.evaluate)];
    let [train_chain, evaluate_chain] =
        chains.map(|(place, specs)| Chain::parse_from(&catalogs.transforms, place, specs));
    let (train_chain, evaluate_chain) = (train_chain?, evaluate_chain?);
    let Choices { loss, metrics, optimizer, schedule } = Choices::of(&recipe.training, catalogs)?;
    refuse_random(&recipe.transforms.evaluate, catalogs)?;
    let model = Model::read(&model_recipe.path).map_err(RecipeError::at("model.path"))?;
    let mut train = RowSource::open(&recipe.data, "data.train", &recipe.data.train, SplitRole::Train, train_chain)?;
    if train.columns.classes.len() < 2 {
        let label = train.columns.label.as_deref().unwrap_or_default();
        let classes = train.columns.classes.len();
        return Err(RecipeError::mismatch(
            "data.label",
            format!("column `{}` has {}; 2 are needed", shown(label), count(classes, "class")),
        ));
    }
    if model_recipe.head == HeadRecipe::Keep
        && let Some(labels) = labels_file::of_model(&model, &model_recipe.path)?
    {
        align(&mut train, &labels, "the model, whose head is kept", "data.train")?;
    }
    metrics.check(&train.columns.classes).map_err(RecipeError::at("training.metrics"))?;
    let mut notes = places(&train, "data.train")?;
    let evaluate = match &recipe.data.evaluate {
        None => None,
        Some(patterns) => {
            let mut source =
                RowSource::open(&recipe.data, "data.evaluate", patterns, SplitRole::Evaluate, evaluate_chain)?;
            align(&mut source, &train.columns.classes, "the training data", "data.evaluate")?;
            notes.extend(places(&source, "data.evaluate")?);
            notes.extend(overlap::of_files(&train.dataset, &source.dataset, recipe.data.allow_overlap)?);
            Some(source)
        }
    };
    let input = model_input(&model, &train, recipe)?;
    if let Some(source) = &evaluate {
        let size = source.image_size("transforms.evaluate", recipe.seed)?;
        require_size("transforms.evaluate", size, (input.width, input.height), &input.name)?;
    }
    let plan = Plan {
        recipe: recipe.clone(),
        train,
        evaluate,
        model,
        input,
        loss,
        metrics,
        optimizer,
        schedule,
        catalogs: catalogs.clone(),
        notes,
    };
    if plan.steps_per_epoch() == 0 {
        let (rows, batch) = (plan.train.dataset.rows(), recipe.data.batch);
        let message = format!("{rows} rows do not fill one batch of {batch}, and `drop_last` leaves out the rest");
        return Err(RecipeError::mismatch("data.batch", message));
    }
    Ok(plan)
}

/// What was noticed while the files were chosen.
fn places(source: &RowSource, place: &str) -> Result<Vec<String>, RecipeError> {
    let copies = overlap::copies(&source.dataset)?;
    Ok(source.dataset.notes().iter().chain(&copies).map(|note| format!("{place}: {note}")).collect())
}

impl Plan {
    /// Training steps in one pass over the rows.
    pub fn steps_per_epoch(&self) -> u64 {
        let (rows, batch) = (self.train.dataset.rows(), self.recipe.data.batch as u64);
        if self.recipe.data.drop_last { rows / batch } else { rows.div_ceil(batch) }
    }

    /// Training steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.steps_per_epoch().saturating_mul(self.recipe.training.epochs)
    }

    /// What the model is compiled into.
    pub fn fine_tuning(&self) -> FineTuning {
        let model = self.recipe.model.clone().expect("a plan is made of a recipe with a model only");
        let training = &self.recipe.training;
        FineTuning {
            batch: self.recipe.data.batch,
            inputs: self.input.shapes(self.recipe.data.batch),
            output: model.output,
            head: model.head,
            classes: self.train.columns.classes.len(),
            train: model.train,
            layer_decay: training.layer_decay,
            learning_rate_multipliers: training.learning_rate_multipliers.clone(),
            loss: self.loss.clone(),
            seed: self.recipe.seed,
        }
    }

    /// Compiles the training step.
    ///
    /// # Errors
    /// The model, what is trained of it, or the loss do not fit each other or the data.
    pub(crate) fn compile(&self) -> Result<TrainingProgram, RecipeError> {
        let (batch, classes) = (self.recipe.data.batch, self.train.columns.classes.len());
        require_targets(&self.loss, batch, classes)?;
        let program = compile(&self.model, &self.fine_tuning(), &self.catalogs.operators)?;
        let prediction = &program.manifest.prediction;
        if prediction.shape != [batch, classes] {
            let message = format!(
                "the model gives `{}` of {:?}, and the labels are one class for each row: [{batch}, {classes}] is wanted",
                shown(&prediction.name),
                prediction.shape
            );
            return Err(RecipeError::mismatch("model.output", message));
        }
        Ok(program)
    }

    /// Where training, evaluation and the pretrained model disagree on what is done to the values, in words.
    pub fn preprocessing_warnings(&self) -> Vec<String> {
        let transforms = &self.recipe.transforms;
        let mut found = preprocessing::between_splits(&transforms.train, &transforms.evaluate);
        found.extend(Preprocessing::differences(&self.model, &self.recipe.data, &transforms.evaluate));
        found
    }

    /// How the training rows are streamed. What evaluation needs of the memory is left to it.
    ///
    /// # Errors
    /// The evaluation data cannot be streamed.
    pub fn train_stream(&self) -> Result<StreamOptions, PipelineError> {
        let data = &self.recipe.data;
        let beside = match (&self.evaluate, self.evaluate_stream()) {
            (Some(source), Some(options)) => Beside::Later(options.least_memory(&source.dataset)?),
            _ => Beside::Nothing,
        };
        Ok(StreamOptions {
            epochs: self.recipe.training.epochs,
            drop_last: data.drop_last,
            beside,
            ..stream_options(&self.recipe, &self.train, &self.input, data.order)
        })
    }

    /// How the evaluation rows are streamed, if there are any; beside the training stream when there is one.
    pub fn evaluate_stream(&self) -> Option<StreamOptions> {
        let source = self.evaluate.as_ref()?;
        let order = OrderStrength::Sequential;
        Some(stream_options(&self.recipe, source, &self.input, order))
    }
}

/// Labels are probabilities of classes; a loss of something else cannot be computed from them.
pub(crate) fn require_targets(loss: &Loss, batch: usize, classes: usize) -> Result<(), RecipeError> {
    let given = TensorType::f32([batch, classes]);
    let wanted = loss.target(&given)?;
    if wanted == given && loss.reads() == PredictionKind::ClassScores {
        return Ok(());
    }
    let what = if wanted == given { "numbers".to_owned() } else { format!("targets of {wanted}") };
    let message = format!(
        "the loss `{}` wants {what}, and the labels give probabilities of classes, {given}; choose a loss of classes, such as \
         `cross_entropy`",
        loss.choice().name,
    );
    Err(RecipeError::mismatch("training.loss", message))
}

pub(crate) fn stream_options(
    recipe: &Recipe,
    source: &RowSource,
    input: &ModelInput,
    order: OrderStrength,
) -> StreamOptions {
    let (data, seed, output) = (&recipe.data, recipe.seed, &recipe.output.folder);
    StreamOptions {
        seed,
        epochs: 1,
        batch: data.batch,
        order,
        window: data.window,
        workers: data.workers,
        memory: data.memory,
        beside: Beside::Nothing,
        damaged: data.damaged.with_file_in(output),
        transparency: data.transparency,
        drop_last: false,
        chain: source.chain.clone(),
        columns: source.columns.clone(),
        input_name: input.name.clone(),
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

fn model_input(model: &Model, train: &RowSource, recipe: &Recipe) -> Result<ModelInput, RecipeError> {
    let size = train.image_size("transforms.train", recipe.seed)?;
    let (name, wanted) = image_input(model)?;
    let wanted = (wanted.0.unwrap_or(size.0), wanted.1.unwrap_or(size.1));
    require_size("transforms.train", size, wanted, &name)?;
    Ok(ModelInput { name, width: size.0, height: size.1 })
}

/// Width and height; `None` where any will do.
pub(crate) type OpenSize = (Option<u32>, Option<u32>);

/// Name, width and height of the model's one image input.
pub(crate) fn image_input(model: &Model) -> Result<(String, OpenSize), RecipeError> {
    let refuse = |message: String| Err(RecipeError::mismatch("model.path", message));
    let inputs = model.inputs();
    let [(name, shape)] = inputs.as_slice() else {
        let names: Vec<_> = inputs.iter().take(8).map(|(name, _)| format!("`{}`", shown(name))).collect();
        return refuse(format!(
            "the model has {} inputs ({}); models with one image input can be trained so far",
            inputs.len(),
            names.join(", ")
        ));
    };
    let side = |length: Option<usize>| length.and_then(|length| u32::try_from(length).ok());
    match shape.as_slice() {
        [_, None | Some(3), height, width] => Ok((name.clone(), (side(*width), side(*height)))),
        other => {
            refuse(format!("input `{name}` has the shape {}; images are [batch, 3, height, width]", show_shape(other)))
        }
    }
}

fn show_shape(shape: &[Option<usize>]) -> String {
    let axes: Vec<_> = shape.iter().map(|axis| axis.map_or("?".into(), |length| length.to_string())).collect();
    format!("[{}]", axes.join(", "))
}

pub(crate) fn require_size(place: &str, got: (u32, u32), wanted: (u32, u32), input: &str) -> Result<(), RecipeError> {
    if got == wanted {
        return Ok(());
    }
    let message = format!(
        "images end at {}×{} pixels, and the model's input `{input}` takes {}×{}; end with `resize`, `center_crop` or \
         `random_resized_crop` to that size",
        got.0, got.1, wanted.0, wanted.1
    );
    Err(RecipeError::mismatch(place, message))
}
