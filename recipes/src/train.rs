use std::path::PathBuf;
use std::time::Instant;

use millstream_schemas::Recipe;
use millstream_schemas::recipe::TrainingRecipe;
use millstream_training::Until;

use crate::check::findings;
use crate::compiled::refuse_problems;
use crate::run_start::{Reserved, RunOptions};
use crate::unless_stopped::unless_stopped;
use crate::{Catalogs, Compiled, Events, Opened, RecipeError, RunSummary, StartMode, Stop, overlap};

/// How to train, apart from the recipe.
#[derive(Clone, Debug, Default)]
pub struct TrainOptions {
    /// Whether the run is new.
    pub start: StartMode,
    /// The ONNX Runtime library, instead of the one that would be found.
    pub library: Option<PathBuf>,
    /// Write the compiled graphs and their manifest as well.
    pub keep_graph: bool,
    /// What the recipe can choose among.
    pub catalogs: Catalogs,
}

/// Trains as the recipe says and writes the results into its output folder.
///
/// # Errors
/// Something is missing or does not fit, the data cannot be trained on, it would hold far more memory than there is, or another
/// process writes in the folder (before anything is written or replaced); a row is damaged under the policy `fail`, the loss is
/// not finite, or no evaluation was: then the newest checkpoint and the curves so far are there. [`RecipeError::Stopped`] when it was
/// asked to stop before the run began: what is being opened or compiled is left to a thread of its own then.
pub fn train(
    recipe: &Recipe,
    options: &TrainOptions,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<RunSummary, RecipeError> {
    train_until(Until::End, recipe, options, events, stop)
}

/// As [`train`], where the recipe is that of the first step of a run of another length: its moments are of that run.
///
/// # Errors
/// As [`train`].
pub(crate) fn train_start_of(
    whole: &TrainingRecipe,
    recipe: &Recipe,
    options: &TrainOptions,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<RunSummary, RecipeError> {
    train_part((Until::End, Some(whole)), recipe, options, events, stop)
}

/// As [`train`], as far as is said: what is not at its end then is saved and counts as interrupted.
///
/// # Errors
/// As [`train`].
pub(crate) fn train_until(
    until: Until,
    recipe: &Recipe,
    options: &TrainOptions,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<RunSummary, RecipeError> {
    train_part((until, None), recipe, options, events, stop)
}

fn train_part(
    (until, whole): (Until, Option<&TrainingRecipe>),
    recipe: &Recipe,
    options: &TrainOptions,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<RunSummary, RecipeError> {
    let began = Instant::now();
    let TrainOptions { start, library, keep_graph, catalogs } = options.clone();
    let options = RunOptions { start, keep_graph, resources: None, library };
    let (wanted, whole) = (recipe.clone(), whole.cloned());
    let opened = unless_stopped(stop, move || {
        let opened = Opened::open(&wanted, &catalogs)?;
        Ok(match &whole {
            Some(training) => opened.as_start_of(training),
            None => opened,
        })
    })?;
    // Before anything is compiled, which takes its time.
    let reserved = Reserved::reserve(&opened, start)?;
    let found = {
        let opened = opened.clone();
        unless_stopped(stop, move || {
            let mut found = findings(&opened)?;
            if let Some(evaluate) = &opened.evaluate {
                found.shared_rows = overlap::some_in_words(&opened.train, evaluate)?;
            }
            Ok(found)
        })?
    };
    reserved.tell(&opened, &found, &options, events)?;
    refuse_problems(&found)?;
    let device = options.device(&opened)?;
    let compiled = unless_stopped(stop, move || Compiled::new(&opened, found))?;
    let mut run = reserved.start(&compiled, device, &options, events, (began, stop))?;
    run.advance(until, events, stop)?;
    run.finish(events)
}
