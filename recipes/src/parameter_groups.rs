//! Parameters with learning rates and decays of their own.

use std::collections::BTreeSet;

use millstream_compiler::TrainingProgram;
use millstream_compiler::finetuning::pattern_matches;
use millstream_schemas::recipe::{GroupRate, ParameterSelection, TrainingRecipe};
use millstream_schemas::{nearest, shown};
use millstream_training::optimizers::Optimizer;
use serde::Serialize;
use serde_json::Value;

use crate::RecipeError;

/// Of a group of parameters what a run would do with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupReport {
    /// What it consists of, as the recipe says it; `others` for what is in no group.
    pub group: String,
    /// Parameters in it.
    pub parameters: usize,
    /// Numbers in them.
    pub numbers: usize,
    /// The lowest and the highest learning rate among them, at the schedule's full height.
    pub learning_rates: [f32; 2],
    /// The lowest and the highest weight decay among them; none where the optimizer has no such thing.
    pub weight_decays: Option<[f32; 2]>,
}

/// What a compiled program is asked about: which parameters each group means, then the head where it is trained first, then what
/// is unfrozen and frozen.
pub(crate) fn selections(training: &TrainingRecipe) -> Vec<ParameterSelection> {
    let head = training.head_first.map(|_| ParameterSelection::head());
    let at_times = training.unfreeze.iter().chain(&training.freeze).map(|entry| entry.layers.clone());
    training.groups.iter().map(|group| group.selection()).chain(head).chain(at_times).collect()
}

/// Gives all parameters weight decay where that is asked for, and those of each group their rates and decays; each is in the first
/// group that it fits.
pub(crate) fn apply(
    program: &mut TrainingProgram,
    training: &TrainingRecipe,
    optimizer: &Optimizer,
) -> Result<(), RecipeError> {
    let base = f64::from(optimizer.learning_rate());
    if training.decay_all {
        if decay_of(optimizer).is_none() && training.penalties.is_none() && training.l1_decay == 0.0 {
            let message = format!("the optimizer `{}` has no weight decay", shown(&optimizer.choice().name));
            return Err(RecipeError::mismatch("training.decay_all", message));
        }
        let weights = program.manifest.parameters.iter_mut().filter(|entry| !entry.is_statistic);
        weights.for_each(|entry| entry.weight_decay = true);
    }
    let groups = of_groups(program, training);
    for (index, (group, own)) in training.groups.iter().zip(groups).enumerate() {
        let place = format!("training.groups[{index}]");
        require_some(program, index, &group.selection(), &place)?;
        if own.is_empty() {
            let message =
                "it does nothing: a parameter is in the first group that it fits, and those before have all of its";
            return Err(RecipeError::mismatch(place, message));
        }
        if group.weight_decay.is_some() && decay_of(optimizer).is_none() {
            let message = format!("the optimizer `{}` has no weight decay", shown(&optimizer.choice().name));
            return Err(RecipeError::mismatch(format!("{place}.weight_decay"), message));
        }
        for parameter in own {
            let entry = &mut program.manifest.parameters[parameter];
            entry.learning_rate_multiplier = match group.learning_rate {
                None => entry.learning_rate_multiplier,
                Some(GroupRate::Factor(factor)) => entry.learning_rate_multiplier * factor,
                Some(GroupRate::Rate(rate)) => (rate / base) as f32,
            };
            if let Some(decay) = group.weight_decay {
                entry.weight_decay = decay > 0.0;
                entry.weight_decay_strength = Some(decay).filter(|decay| *decay > 0.0);
            }
        }
    }
    Ok(())
}

/// What each group of a program has become.
pub(crate) fn reports(program: &TrainingProgram, training: &TrainingRecipe, optimizer: &Optimizer) -> Vec<GroupReport> {
    if training.groups.is_empty() {
        return Vec::new();
    }
    let groups = of_groups(program, training);
    let taken: BTreeSet<usize> = groups.iter().flatten().copied().collect();
    let entries = program.manifest.parameters.iter().enumerate();
    let others = entries.filter(|(index, entry)| !entry.is_statistic && !taken.contains(index)).map(|(index, _)| index);
    let others: Vec<usize> = others.collect();
    let named = training.groups.iter().map(|group| group.selection().to_string()).zip(groups);
    let rest = Some(("others".to_owned(), others)).filter(|(_, others)| !others.is_empty());
    named.chain(rest).map(|(name, own)| report(program, optimizer, name, &own)).collect()
}

fn report(program: &TrainingProgram, optimizer: &Optimizer, group: String, own: &[usize]) -> GroupReport {
    let entries = || own.iter().map(|index| &program.manifest.parameters[*index]);
    let range = |values: &mut dyn Iterator<Item = f32>| {
        values.fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], value| [low.min(value), high.max(value)])
    };
    let rate = |factor: f32| (f64::from(optimizer.learning_rate()) * f64::from(factor)) as f32;
    GroupReport {
        group,
        parameters: own.len(),
        numbers: entries().map(|entry| entry.shape.iter().product::<usize>()).sum(),
        learning_rates: range(&mut entries().map(|entry| rate(entry.learning_rate_multiplier))),
        weight_decays: decay_of(optimizer).map(|usual| {
            range(&mut entries().map(|entry| match entry.weight_decay {
                true => entry.weight_decay_strength.unwrap_or(usual),
                false => 0.0,
            }))
        }),
    }
}

/// The parameters of each group that no group before has.
fn of_groups(program: &TrainingProgram, training: &TrainingRecipe) -> Vec<Vec<usize>> {
    let mut taken = BTreeSet::new();
    let of = |meant: &Vec<usize>| meant.iter().copied().filter(|parameter| taken.insert(*parameter)).collect();
    program.selected.iter().take(training.groups.len()).map(of).collect()
}

fn decay_of(optimizer: &Optimizer) -> Option<f32> {
    optimizer.choice().options.get("weight_decay").and_then(Value::as_f64).map(|decay| decay as f32)
}

/// Refuses a selection that means nothing which is trained; `index` is its place among those that the program was asked about.
pub(crate) fn require_some(
    program: &TrainingProgram,
    index: usize,
    selection: &ParameterSelection,
    place: &str,
) -> Result<(), RecipeError> {
    let entries = || program.manifest.parameters.iter().filter(|entry| !entry.is_statistic);
    for (at, pattern) in selection.r#match.iter().enumerate() {
        let fits = |name: &String| pattern_matches(pattern, name);
        if !entries().any(|entry| fits(&entry.layer) || fits(&entry.name)) {
            let names = entries().flat_map(|entry| [entry.layer.as_str(), entry.name.as_str()]);
            let hint =
                nearest(pattern, names).map_or_else(String::new, |name| format!("; did you mean `{}`?", shown(name)));
            let message = format!("`{}` matches no layer that is trained{hint}", shown(pattern));
            return Err(RecipeError::mismatch(format!("{place}.match[{at}]"), message));
        }
    }
    if program.selected[index].is_empty() {
        let message =
            format!("no parameter that is trained fits it ({selection}); `millstream inspect MODEL` lists the layers");
        return Err(RecipeError::mismatch(place, message));
    }
    Ok(())
}
