//! What trials share: opened data and models, and compiled training steps where only rates, schedules and lengths differ.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_compiler::TrainingProgram;
use millstream_schemas::Recipe;

use crate::check::findings;
use crate::{Catalogs, Compiled, Opened, RecipeError, Resources};

/// Data and models that are kept open, and programs that are kept.
const MOST: usize = 8;

/// Opened and compiled recipes of a study in one process.
#[derive(Debug)]
pub(crate) struct Pool {
    catalogs: Catalogs,
    /// The newest last.
    opened: Mutex<Vec<Opened>>,
    /// By what they were compiled from; the newest last.
    programs: Mutex<Vec<(String, Arc<TrainingProgram>)>>,
    counts: Mutex<PoolCounts>,
}

/// How often something was made, and how often what was there did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PoolCounts {
    /// Runs for which data and model were opened.
    pub opened: u64,
    /// Runs for which a training step was compiled.
    pub compiled: u64,
    /// Runs.
    pub runs: u64,
    /// Passes over rows that were opened, each batch of which is drawn and rendered once.
    pub streams: u64,
    /// Passes that took part in one of these.
    pub joined: u64,
    /// Passes that went on by themselves, since they were too far behind.
    pub left: u64,
    /// Bytes of rows and batches of all runs together, at their fullest; 0 where runs share no memory.
    pub rows_bytes_peak: u64,
    /// Bytes of what is kept of frozen parts for all runs, at its fullest, which may be another time; 0 where runs share no memory.
    pub kept_bytes_peak: u64,
    /// As many of both as there may be: `data.memory`, and what a run may keep of a frozen part, once for all of them.
    pub bytes_most: u64,
}

impl Pool {
    pub(crate) fn new(catalogs: &Catalogs) -> Self {
        Self {
            catalogs: catalogs.clone(),
            opened: Mutex::default(),
            programs: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    /// With those of the streams that runs have in common.
    pub(crate) fn counts(&self, resources: Option<&Resources>) -> PoolCounts {
        let joint = resources.map(|resources| resources.joint().counts()).unwrap_or_default();
        let [rows_bytes_peak, kept_bytes_peak, bytes_most] = resources.map(Resources::bytes).unwrap_or_default();
        let (streams, joined, left) = (joint.opened, joint.joined, joint.left);
        PoolCounts { streams, joined, left, rows_bytes_peak, kept_bytes_peak, bytes_most, ..*held(&self.counts) }
    }

    /// Opens and compiles, as far as that was not done before.
    pub(crate) fn compiled(&self, recipe: &Recipe) -> Result<Compiled, RecipeError> {
        self.compiled_of(&self.opened(recipe)?)
    }

    /// Compiles what is opened, as far as that was not done before.
    pub(crate) fn compiled_of(&self, opened: &Opened) -> Result<Compiled, RecipeError> {
        held(&self.counts).runs += 1;
        let found = findings(opened)?;
        Compiled::of(opened, found, |opened| self.program(opened))
    }

    /// Opens data and model, as far as that was not done before and the same files lie there still. Two that want the same wait for each other, so that it is opened once.
    pub(crate) fn opened(&self, recipe: &Recipe) -> Result<Opened, RecipeError> {
        let mut known = held(&self.opened);
        for at in (0..known.len()).rev() {
            match known[at].with(recipe) {
                Err(RecipeError::OpenedOtherwise { .. }) => {}
                // fingerprints are remembered, so that what was opened would go on to say what lay there then
                Ok(found) if found.has_changed() => drop(known.remove(at)),
                Ok(found) => {
                    let newest = known.remove(at);
                    known.push(newest);
                    return Ok(found);
                }
                Err(error) => return Err(error),
            }
        }
        let beside = known.last().filter(|newest| !newest.has_changed());
        let opened = Opened::open_beside(recipe, &self.catalogs, beside)?;
        held(&self.counts).opened += 1;
        if known.len() == MOST {
            known.remove(0);
        }
        known.push(opened.clone());
        Ok(opened)
    }

    fn program(&self, opened: &Opened) -> Result<TrainingProgram, RecipeError> {
        let key = format!("{:?} {:?}", opened.model.fingerprint(), opened.fine_tuning());
        let mut known = held(&self.programs);
        if let Some(at) = known.iter().position(|(other, _)| *other == key) {
            let newest = known.remove(at);
            let program = Arc::clone(&newest.1);
            known.push(newest);
            drop(known);
            return opened.with_rates(TrainingProgram::clone(&program));
        }
        // compiled under the lock, so that two that want the same wait for each other
        let program = Arc::new(opened.compiled_model(opened.recipe.data.batch.into())?);
        held(&self.counts).compiled += 1;
        if known.len() == MOST {
            known.remove(0);
        }
        known.push((key, Arc::clone(&program)));
        drop(known);
        opened.with_rates(TrainingProgram::clone(&program))
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Lists and counts are whole whoever panicked beside them.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
