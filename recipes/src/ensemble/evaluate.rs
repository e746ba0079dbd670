use std::path::PathBuf;

use millstream_schemas::Choice;
use millstream_schemas::recipe::ByteSize;
use millstream_training::ensembles::{EnsembleReport, NoSoups};

use super::files::EnsembleFolder;
use super::fit::{aligned, metric_set};
use super::members;
use crate::{Catalogs, RecipeError};

/// An ensemble to measure on other rows than those it was fitted to and measured on.
#[derive(Clone, Debug)]
pub struct EvaluateOptions {
    /// Where it is.
    pub folder: EnsembleFolder,
    /// A file of predictions for each member, in their order.
    pub predictions: Vec<PathBuf>,
    /// What is measured; the usual where it is empty.
    pub metrics: Vec<Choice>,
    /// The figure that decides.
    pub best: Option<String>,
    /// Draws for intervals of figures that are no shares of rows; 0 for none.
    pub bootstrap: u32,
    /// Of what is drawn.
    pub seed: u64,
    /// What is held of all predictions, at most.
    pub memory: ByteSize,
    /// What there is to choose among.
    pub catalogs: Catalogs,
}

/// Measures an ensemble and its members on the rows of other predictions.
///
/// # Errors
/// The predictions are not of its members, or it is a mean of weights, which has to be run.
pub fn evaluate(options: &EvaluateOptions) -> Result<EnsembleReport, RecipeError> {
    let fitted = options.folder.read()?;
    if fitted.combination().is_none() {
        let message = "it is a mean of weights, which has to be run: `millstream evaluate RECIPE --model …/ensemble.onnx --data …`";
        return Err(RecipeError::ensemble(&options.folder.0, message));
    }
    let opened = members::reopen(&fitted, &options.folder, &options.catalogs)?;
    let (scores, _) = aligned(&opened, &[], &options.predictions, options.memory)?;
    let chosen = Some(options.metrics.as_slice()).filter(|metrics| !metrics.is_empty());
    let metrics = metric_set(
        &scores,
        chosen,
        options.best.as_deref(),
        options.bootstrap,
        options.seed,
        options.memory,
        &options.catalogs,
    )?;
    Ok(fitted.measure(&scores, &metrics, options.seed, &mut NoSoups)?)
}
