use std::path::PathBuf;
use std::time::Instant;

use millstream_pipeline::StreamOptions;
use millstream_runtime::{Device, DeviceRequest};
use millstream_schemas::Recipe;
use millstream_schemas::recipe::{DamagedPolicy, GroupRate};
use millstream_training::range_test::{RangeEnding, RangeTest, RatePoint, SuggestedRates};
use millstream_training::{BatchSource, StepOutcome, StepRunner, StepSettings, TrainingError, report};
use serde::Serialize;

use crate::check::findings;
use crate::compiled::refuse_problems;
use crate::memory_check::require_memory;
use crate::precision::in_precision;
use crate::runs_memory::Together;
use crate::step_settings::step_settings;
use crate::stream::{Stream, no_usable_row};
use crate::{Catalogs, Compiled, Event, Events, Opened, RecipeError, Stop};

/// Between which learning rates to look, and where the picture goes.
#[derive(Clone, Debug)]
pub struct LrFindOptions {
    /// The first learning rate.
    pub from: f64,
    /// The last one.
    pub to: f64,
    /// Steps between them, at least [`RangeTest::FEWEST`].
    pub steps: u64,
    /// The SVG file to write; none without.
    pub picture: Option<PathBuf>,
    /// The ONNX Runtime library, instead of the one that would be found.
    pub library: Option<PathBuf>,
    /// What the recipe can choose among.
    pub catalogs: Catalogs,
}

/// What a learning-rate range test found.
#[derive(Clone, Debug, Serialize)]
pub struct LrFindReport {
    /// Each step.
    pub points: Vec<RatePoint>,
    /// How it ended.
    pub ending: RangeEnding,
    /// What it suggests; none where the loss never fell.
    pub suggestion: Option<SuggestedRates>,
    /// The learning rate of the recipe.
    pub learning_rate: f32,
    /// The optimizer of the recipe.
    pub optimizer: String,
    /// The picture that was written.
    #[serde(serialize_with = "millstream_schemas::written_path_if_any")]
    pub picture: Option<PathBuf>,
    /// Where steps ran: `cpu` or `cuda:N`.
    pub device: String,
    /// Why there.
    pub device_reason: String,
    /// How long it took, without opening and compiling.
    pub seconds: f64,
    /// What of the recipe was left out of the test.
    pub notes: Vec<String>,
}

/// Looks for a learning rate: trains a copy of the weights with a rate that grows from step to step, until the loss grows away. Nothing
/// in the output folder is read or written. All that the recipe trains is trained from the first step on, and no schedule is followed.
///
/// # Errors
/// The recipe cannot be trained, as `check` would say; the range makes no sense; a row is damaged under the policy `fail`; the picture
/// cannot be written.
pub fn lr_find(
    recipe: &Recipe,
    options: &LrFindOptions,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<LrFindReport, RecipeError> {
    let mut test = RangeTest::new(options.from, options.to, options.steps)?;
    let opened = Opened::open(recipe, &options.catalogs)?;
    let found = findings(&opened)?;
    found.warnings.iter().for_each(|message| events.event(&Event::Warning { message: message.clone() }));
    refuse_problems(&found)?;
    let runtime = millstream_runtime::ready(options.library.as_deref())?;
    let device = Device::resolve(recipe.training.device.parse::<DeviceRequest>()?, runtime)?;
    let device = in_precision(device, recipe.training.precision)?;
    let compiled = Compiled::new(&opened, found)?;
    require_memory(recipe.training.memory_check, device.kind, || compiled.memory(), Together::ALONE, events)?;
    let settings =
        StepSettings { averaging: None, ..step_settings(&opened.recipe, &opened.optimizer, opened.run_length()) };
    let mut runner = StepRunner::open(compiled.program(), &device, &settings)?;
    let mut stream = Stream::open(None, &opened.train.dataset, stream_of(&opened, options.steps)?, None)?;
    let started = Instant::now();
    let (mut rows, mut epoch, mut ending) = (0, 0, RangeEnding::Finished);
    while let Some(rate) = test.next_rate() {
        if stop.is_requested() {
            ending = RangeEnding::Stopped;
            break;
        }
        let Some(outcome) = step(&mut runner, &mut stream, recipe.training.accumulate, &mut epoch, rate as f32)? else {
            ending = RangeEnding::Stopped;
            break;
        };
        // nothing without weight, and no overflow at a scale of the loss that was halved for the next try, is a step
        if outcome.rows == 0 || outcome.skipped {
            continue;
        }
        rows += outcome.rows;
        let loss = f64::from(outcome.loss);
        if test.add(loss) || !outcome.updated {
            ending = RangeEnding::Diverged;
            break;
        }
        let (done, seconds) = (test.points().len() as u64, started.elapsed().as_secs_f64());
        events.event(&Event::Tried {
            step: done,
            steps: options.steps,
            learning_rate: rate,
            loss,
            samples_per_second: rows as f64 / seconds.max(1e-9),
            seconds_left: seconds / done as f64 * options.steps.saturating_sub(done) as f64,
        });
    }
    if test.points().is_empty() && !stop.is_requested() && ending == RangeEnding::Stopped {
        return Err(no_usable_row("data.train", &compiled.findings().train, stream.skipped().as_ref()));
    }
    let picture = match &options.picture {
        Some(path) => report::write_range_test(path, &test)?.then(|| path.clone()),
        None => None,
    };
    Ok(LrFindReport {
        ending,
        suggestion: test.suggestion(),
        points: test.points().to_vec(),
        learning_rate: opened.optimizer.learning_rate(),
        optimizer: opened.optimizer.choice().name.clone(),
        picture,
        device: device.kind.to_string(),
        device_reason: device.reason.clone(),
        seconds: started.elapsed().as_secs_f64(),
        notes: notes(recipe),
    })
}

/// Rows for so many steps, in the order of a run's; damaged ones leave no file behind.
fn stream_of(opened: &Opened, steps: u64) -> Result<StreamOptions, RecipeError> {
    let options = opened.train_stream(None)?;
    let damaged = match options.damaged {
        DamagedPolicy::Quarantine(_) => DamagedPolicy::Skip,
        other => other,
    };
    // steps of batches without a label are made by others
    let epochs = 1 + steps.div_ceil(opened.steps_per_epoch().max(1)).saturating_mul(2);
    Ok(StreamOptions { epochs, damaged, ..options })
}

/// A step of so many batches, fewer at the end of an epoch; none where there are no more.
fn step(
    runner: &mut StepRunner,
    stream: &mut Stream,
    accumulate: u64,
    epoch: &mut u64,
    rate: f32,
) -> Result<Option<StepOutcome>, RecipeError> {
    let mut next = || {
        let batch = stream.next_batch().transpose();
        batch.map_err(|source| TrainingError::Batches { source, checkpoint: None })
    };
    let Some(mut batch) = next()? else { return Ok(None) };
    if accumulate <= 1 {
        return Ok(Some(runner.step(batch, rate)?.1));
    }
    for gathered in 1..=accumulate {
        let next_epoch = batch.resume.epoch;
        let ends_epoch = std::mem::replace(epoch, next_epoch) != next_epoch;
        let (_, outcome) = runner.gather(batch)?;
        if outcome.rows > 0 && !outcome.loss.is_finite() {
            return Ok(Some(outcome));
        }
        if gathered == accumulate || ends_epoch {
            break;
        }
        batch = match next()? {
            Some(batch) => batch,
            None => break,
        };
    }
    Ok(Some(runner.update(rate)?))
}

/// What of a recipe a test passes over.
fn notes(recipe: &Recipe) -> Vec<String> {
    let training = &recipe.training;
    let freezes = training.head_first.is_some() || !training.unfreeze.is_empty() || !training.freeze.is_empty();
    let absolute = training.groups.iter().any(|group| matches!(group.learning_rate, Some(GroupRate::Rate(_))));
    let all = [
        freezes.then_some("all that is trained at some time of the run was trained from the first step on"),
        absolute.then_some("the rates of groups grew along, in their proportion to the recipe's learning rate"),
    ];
    all.into_iter().flatten().map(str::to_owned).collect()
}
