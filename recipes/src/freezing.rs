//! When which parameters are frozen: the words of a recipe as a plan for a trainer.

use millstream_compiler::TrainingProgram;
use millstream_schemas::count;
use millstream_schemas::recipe::{FreezingRecipe, Moment, ParameterSelection, TrainingRecipe};
use millstream_training::schedules::RunLength;
use millstream_training::{FreezePlan, Freezing, Moment as At};
use serde::Serialize;

use crate::RecipeError;
use crate::parameter_groups::require_some;

/// A part of a run in which the same parameters are trained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FreezeStage {
    /// Where it begins: `epoch 2`, `step 500`.
    pub from: String,
    /// Numbers that are trained.
    pub trained: usize,
    /// Numbers that are trained at other times.
    pub frozen: usize,
    /// Layers that are trained, in part or whole.
    pub layers: Vec<String>,
}

/// A change that a recipe states.
struct Change<'a> {
    place: String,
    entry: &'a FreezingRecipe,
    frozen: bool,
    /// Its place among what the program was asked about.
    index: usize,
}

/// When each parameter of a program is frozen, in a run of this length.
///
/// # Errors
/// An entry fits nothing, comes behind the end of the run, or contradicts another one; at some time nothing would be trained.
pub(crate) fn plan(
    program: &TrainingProgram,
    training: &TrainingRecipe,
    run: RunLength,
) -> Result<FreezePlan, RecipeError> {
    let steps_per_epoch = run.steps_per_epoch;
    let parameters = &program.manifest.parameters;
    let mut freezing = vec![Freezing::default(); parameters.len()];
    if let Some(span) = training.head_first {
        let head = &program.selected[training.groups.len()];
        require_some(program, training.groups.len(), &ParameterSelection::head(), "training.head_first")?;
        let end = at(span.end());
        require_within(end, run, training, "training.head_first")?;
        let others =
            parameters.iter().enumerate().filter(|(index, entry)| !entry.is_statistic && !head.contains(index));
        let others: Vec<usize> = others.map(|(index, _)| index).collect();
        if others.is_empty() {
            let message = "nothing but the head is trained; leave it out, or train more with `model.train`";
            return Err(RecipeError::mismatch("training.head_first", message));
        }
        others.into_iter().for_each(|index| freezing[index].held_until = Some(end));
    }
    let mut changes = changes(training);
    for Change { place, entry, index, .. } in &changes {
        require_some(program, *index, &entry.layers, &format!("{place}.layers"))?;
        require_within(at(entry.at), run, training, &format!("{place}.at"))?;
    }
    let step = |change: &Change<'_>| at(change.entry.at).step(steps_per_epoch);
    changes.sort_by_key(step);
    for (parameter, freezing) in freezing.iter_mut().enumerate() {
        let own: Vec<&Change<'_>> =
            changes.iter().filter(|change| program.selected[change.index].contains(&parameter)).collect();
        for pair in own.windows(2) {
            if step(pair[0]) == step(pair[1]) && pair[0].frozen != pair[1].frozen {
                let name = &parameters[parameter].name;
                let message = format!("`{name}` is frozen and unfrozen at once: see {}", pair[0].place);
                return Err(RecipeError::mismatch(pair[1].place.clone(), message));
            }
        }
        freezing.starts_frozen = own.first().is_some_and(|first| !first.frozen);
        freezing.changes = own.iter().map(|change| (at(change.entry.at), change.frozen)).collect();
    }
    let plan = FreezePlan::new(freezing);
    for moment in moments(training, steps_per_epoch) {
        let (epoch, step) = place_of(moment, steps_per_epoch);
        let frozen = plan.frozen_at(epoch, step);
        let mut trained = parameters.iter().zip(plan.of()).filter(|(entry, _)| !entry.is_statistic);
        if !plan.is_empty() && trained.all(|(_, cohort)| frozen[*cohort]) {
            let (list, what) = if training.unfreeze.is_empty() {
                ("training.freeze", "freeze less")
            } else {
                ("training.unfreeze", "unfreeze something earlier")
            };
            return Err(RecipeError::mismatch(list, format!("from {moment} on nothing would be trained; {what}")));
        }
    }
    Ok(plan)
}

/// The parts of a run; nothing where all is trained all the time.
pub(crate) fn stages(
    program: &TrainingProgram,
    training: &TrainingRecipe,
    run: RunLength,
) -> Result<Vec<FreezeStage>, RecipeError> {
    let (plan, steps_per_epoch) = (plan(program, training, run)?, run.steps_per_epoch);
    if plan.is_empty() {
        return Ok(Vec::new());
    }
    let mut stages: Vec<FreezeStage> = Vec::new();
    for moment in moments(training, steps_per_epoch) {
        let (epoch, step) = place_of(moment, steps_per_epoch);
        let frozen = plan.frozen_at(epoch, step);
        let mut stage = FreezeStage { from: moment.to_string(), trained: 0, frozen: 0, layers: Vec::new() };
        let entries = program.manifest.parameters.iter().zip(plan.of()).filter(|(entry, _)| !entry.is_statistic);
        for (entry, cohort) in entries {
            let numbers: usize = entry.shape.iter().product();
            if frozen[*cohort] {
                stage.frozen += numbers;
                continue;
            }
            stage.trained += numbers;
            if stage.layers.last() != Some(&entry.layer) {
                stage.layers.push(entry.layer.clone());
            }
        }
        let is_other = |last: &FreezeStage| last.layers != stage.layers || last.trained != stage.trained;
        if stages.last().is_none_or(is_other) {
            stages.push(stage);
        }
    }
    Ok(stages)
}

fn changes(training: &TrainingRecipe) -> Vec<Change<'_>> {
    let before = training.groups.len() + usize::from(training.head_first.is_some());
    let of = |name: &'static str, list: &'_ [FreezingRecipe]| {
        (0..list.len()).map(move |at| format!("training.{name}[{at}]"))
    };
    let places = of("unfreeze", &training.unfreeze).chain(of("freeze", &training.freeze));
    let entries = training.unfreeze.iter().chain(&training.freeze);
    let all = places.zip(entries).enumerate();
    all.map(|(at, (place, entry))| Change { place, entry, frozen: at >= training.unfreeze.len(), index: before + at })
        .collect()
}

/// The start, and whenever something changes; each once, in order.
fn moments(training: &TrainingRecipe, steps_per_epoch: u64) -> Vec<Moment> {
    let mut moments = vec![Moment::Epoch(1)];
    let head = training.head_first.map(|span| span.end());
    let stated = training.unfreeze.iter().chain(&training.freeze).map(|entry| entry.at);
    for moment in head.into_iter().chain(stated) {
        if !moments.contains(&moment) {
            moments.push(moment);
        }
    }
    moments.sort_by_key(|moment| at(*moment).step(steps_per_epoch));
    moments
}

/// As a trainer counts, from 0.
fn at(moment: Moment) -> At {
    match moment {
        Moment::Epoch(number) => At::Epoch(number - 1),
        Moment::Step(number) => At::Step(number - 1),
    }
}

/// The epoch and the step of a moment, from 0.
fn place_of(moment: Moment, steps_per_epoch: u64) -> (u64, u64) {
    let step = at(moment).step(steps_per_epoch);
    (step / steps_per_epoch.max(1), step)
}

fn require_within(moment: At, run: RunLength, training: &TrainingRecipe, place: &str) -> Result<(), RecipeError> {
    if moment.step(run.steps_per_epoch) < run.steps {
        return Ok(());
    }
    let has = match run.steps < training.epochs.saturating_mul(run.steps_per_epoch) {
        true => format!("it ends after {} (`training.max_steps`)", count(run.steps, "step")),
        false => format!("it has {} of {} each", count(training.epochs, "epoch"), count(run.steps_per_epoch, "step")),
    };
    Err(RecipeError::mismatch(place, format!("the run is at its end by then: {has}")))
}
