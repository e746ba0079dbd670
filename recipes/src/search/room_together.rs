//! How many trials at a time have room for the rows that they hold, found before the first of them begins.

use std::cmp::Reverse;
use std::sync::Arc;

use millstream_pipeline::{Beside, PipelineError, SharedResources};
use millstream_schemas::Recipe;
use millstream_search::Assignment;
use millstream_search::spaces::Distribution;

use super::open_recipe::OpenRecipe;
use super::pool::Pool;
use crate::frozen_prefix::training_streams;
use crate::unless_stopped::unless_stopped;
use crate::{Opened, RecipeError, Stop};

/// Recipes whose data are opened to see whether their batches have room.
const MOST_OPENED: usize = 32;

/// What is shared by trials at a time, of which each has an equal part.
pub(super) struct PartsOfMemory<'a> {
    pub(super) open: &'a OpenRecipe,
    pub(super) pool: &'a Arc<Pool>,
    /// For any number of them.
    pub(super) streams: &'a SharedResources,
    pub(super) stop: &'a Stop,
}

/// How many trials at a time have room.
pub(super) struct Fitting {
    pub(super) parallel: usize,
    /// What a part of more is too small for.
    pub(super) reason: Option<PipelineError>,
}

impl PartsOfMemory<'_> {
    /// The most trials at a time, `parallel` of them or fewer, of which any that can be proposed has room for its rows in its part: looked
    /// at with each alternative, with both ends of each number, and with those of each that take most. `named` gives a recipe whose rows
    /// are imported; nothing where somebody asked for an end. What cannot be opened is left to its trial.
    ///
    /// # Errors
    /// One of them does not have room even where there is one at a time, with its values and a ceiling that would do.
    pub(super) fn fitting(
        &self,
        parallel: usize,
        named: &mut dyn FnMut(&Recipe) -> Result<Option<Recipe>, RecipeError>,
    ) -> Result<Fitting, RecipeError> {
        let mut found = Fitting { parallel, reason: None };
        let mut needs: Vec<(Assignment, u64)> = Vec::new();
        for (assignment, recipe) in self.recipes() {
            let Ok(recipe) = named(&recipe) else { continue };
            let Some(recipe) = recipe else { return Ok(found) };
            let opened = match self.opened(recipe) {
                Err(RecipeError::Stopped) => return Ok(found),
                Err(_) => continue,
                Ok(opened) => opened,
            };
            self.narrow(&mut found, &opened, &assignment)?;
            needs.extend(needed(&opened).ok().map(|bytes| (assignment, bytes)));
        }
        // each alone may have room where a large batch of large images has none
        let most = self.most(&needs);
        if needs.iter().all(|(known, _)| *known != most)
            && let Ok(recipe) = self.open.recipe(&most)
            && let Ok(Some(recipe)) = named(&recipe)
            && let Ok(opened) = self.opened(recipe)
        {
            self.narrow(&mut found, &opened, &most)?;
        }
        Ok(found)
    }

    /// Those whose rows, transforms or models differ, of large batches first.
    fn recipes(&self) -> Vec<(Assignment, Recipe)> {
        let of_rows = |recipe: &Recipe| {
            let Recipe { seed, mut training, output, .. } = self.open.first().clone();
            // what is kept is filled by a stream of its own
            training.frozen_prefix = recipe.training.frozen_prefix.clone();
            Recipe { seed, training, output, ..recipe.clone() }
        };
        let mut found: Vec<(Assignment, Recipe)> = Vec::new();
        for (assignment, recipe) in self.open.corner_recipes() {
            if found.iter().all(|(_, known)| of_rows(known) != of_rows(&recipe)) {
                found.push((assignment, recipe));
            }
        }
        found.sort_by_key(|(_, recipe)| Reverse(recipe.data.batch));
        found.truncate(MOST_OPENED);
        found
    }

    fn opened(&self, recipe: Recipe) -> Result<Opened, RecipeError> {
        let pool = Arc::clone(self.pool);
        unless_stopped(self.stop, move || pool.opened(&recipe))
    }

    /// With the setting of each parameter that takes most.
    fn most(&self, needs: &[(Assignment, u64)]) -> Assignment {
        let space = self.open.space();
        let setting = |name: &str| {
            let with = needs.iter().filter_map(|(assignment, bytes)| Some((assignment.get(name)?, *bytes)));
            // the first of several that take as much
            with.fold(None, |most: Option<(f64, u64)>, one| match most {
                Some(most) if most.1 >= one.1 => Some(most),
                _ => Some(one),
            })
        };
        space.filled_by(|group, _| {
            let members = group.members.iter().map(|member| &space.parameters()[*member]);
            let least = |distribution: &Distribution| distribution.scale().map_or(0.0, |scale| scale.low);
            members
                .map(|one| setting(&one.name).map_or_else(|| least(&one.distribution), |(setting, _)| setting))
                .collect()
        })
    }

    /// Fewer at a time, until this one has room.
    fn narrow(&self, found: &mut Fitting, opened: &Opened, assignment: &Assignment) -> Result<(), RecipeError> {
        let (mut first, mut last) = (None, None);
        for parallel in (1..=found.parallel).rev() {
            let shared = self.streams.divided_among(parallel)?;
            match has_room(opened, &shared) {
                // of as many as were asked for it is told, and what would do for one where not even that has room
                Err(error) if is_want_of_room(&error) => {
                    if first.is_none() {
                        first = Some(error);
                    } else {
                        last = Some(error);
                    }
                }
                // what else is wrong with it its trial says
                _ => {
                    found.parallel = parallel;
                    found.reason = found.reason.take().or(first);
                    return Ok(());
                }
            }
        }
        match last.or(first) {
            Some(error @ PipelineError::SharedMemory { .. }) => {
                Err(self.open.with_values_of("", assignment, error.into()))
            }
            _ => Ok(()),
        }
    }
}

/// Bytes that the streams of a run need at least, without what decoding needs.
fn needed(opened: &Opened) -> Result<u64, PipelineError> {
    let mut most = 0;
    for stream in training_streams(opened, None)? {
        let beside = match &stream.beside {
            Beside::Later(least) => least.0,
            Beside::Nothing | Beside::Stream(_) => 0,
        };
        most = stream.least_memory(&opened.train.dataset)?.0.saturating_add(beside).max(most);
    }
    Ok(most)
}

/// Whether the streams of a run have room in a part of what is shared.
fn has_room(opened: &Opened, shared: &SharedResources) -> Result<(), PipelineError> {
    let streams = training_streams(opened, Some(shared))?;
    streams.iter().try_for_each(|stream| stream.warnings(&opened.train.dataset).map(drop))
}

/// Whether a larger part would do: for what comes together, or so that pages are not read again and again.
fn is_want_of_room(error: &PipelineError) -> bool {
    matches!(error, PipelineError::SharedMemory { .. } | PipelineError::Option { option: "order" | "sampling", .. })
}
