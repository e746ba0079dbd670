//! Numbers that the types allow and sense does not.

use super::Fault;
use super::evaluation::{MOST_SLICES, MOST_VIEWS};
use super::limits::{LARGEST_BATCH, MOST_THREADS};
use super::search::{MOST_FOLDS, MOST_PARALLEL, MOST_REPEATS};
use super::steering;
use super::{
    AverageRecipe, BatchNormalization, DamagedPolicy, DataRecipe, EarlyStoppingRecipe, EvaluationInterval,
    EvaluationRecipe, FrozenPrefixRecipe, GradientNoiseRecipe, LookaheadRecipe, ModelRecipe, NonFiniteRecipe,
    PenaltiesRecipe, Recipe, SamplingRecipe, SearchRecipe, SharpnessAwareRecipe, ThresholdRecipe, TrainingRecipe,
};
use crate::shown;

const LEAST_MEMORY: u64 = 1 << 20;

/// What is wrong although its type allows it.
pub(super) fn faults(recipe: &Recipe) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(model) = &recipe.model {
        check_model(model, &mut faults);
    }
    check_data(&recipe.data, &mut faults);
    check_training(&recipe.training, &mut faults);
    check_evaluation(&recipe.evaluation, &mut faults);
    let keep = recipe.output.checkpoint.keep;
    require(keep >= 1, "output.checkpoint.keep", "1 or more", keep, &mut faults);
    require_text(&recipe.output.folder.to_string_lossy(), "output.folder", &mut faults);
    if let Some(search) = &recipe.search {
        check_search(search, &mut faults);
    }
    faults
}

fn check_search(search: &SearchRecipe, faults: &mut Vec<Fault>) {
    require_text(search.name.as_deref().unwrap_or("-"), "search.name", faults);
    at_least_one(search.trials, "search.trials", faults);
    let within = |value: u64, least: u64, most: u64| (least..=most).contains(&value);
    let (parallel, most) = (search.parallel as u64, MOST_PARALLEL as u64);
    require(within(parallel, 1, most), "search.parallel", &format!("1 to {most}"), parallel, faults);
    let repeats = search.repeats;
    require(within(repeats, 1, MOST_REPEATS), "search.repeats", &format!("1 to {MOST_REPEATS}"), repeats, faults);
    if let Some(folds) = &search.folds {
        let (count, most) = (folds.count as u64, MOST_FOLDS as u64);
        require(within(count, 2, most), "search.folds.count", &format!("2 to {most}"), count, faults);
        require_text(folds.stratify.as_deref().unwrap_or("-"), "search.folds.stratify", faults);
        require_text(folds.group.as_deref().unwrap_or("-"), "search.folds.group", faults);
    }
    for (index, name) in search.objective.iter().enumerate() {
        let place = format!("search.objective[{index}]");
        require_text(name, &place, faults);
        if search.objective[..index].contains(name) {
            faults.push(Fault::value(place, format!("`{}` stands twice; write it once", shown(name))));
        }
    }
    for (index, constraint) in search.constraints.iter().enumerate() {
        let place = format!("search.constraints[{index}]");
        require_text(&constraint.figure, &format!("{place}.figure"), faults);
        let message = match (constraint.at_least, constraint.at_most) {
            (None, None) => "it bounds nothing; write `at_most` or `at_least`".into(),
            (Some(least), Some(most)) if least > most => {
                format!("`at_least` is above `at_most`, got {least} and {most}")
            }
            _ => continue,
        };
        faults.push(Fault::value(place, message));
    }
}

fn check_model(model: &ModelRecipe, faults: &mut Vec<Fault>) {
    require_text(&model.path.to_string_lossy(), "model.path", faults);
    model.train.check(faults);
    if let Some(depth) = model.stochastic_depth {
        depth.check(faults);
    }
    if let BatchNormalization::Reestimated { rows: Some(rows), .. } = model.batch_normalization {
        at_least_one(rows, "model.batch_normalization.reestimated.rows", faults);
    }
}

fn check_data(data: &DataRecipe, faults: &mut Vec<Fault>) {
    for (patterns, place) in [(Some(&data.train), "data.train"), (data.evaluate.as_ref(), "data.evaluate")] {
        let patterns = patterns.into_iter().flat_map(|patterns| patterns.iter());
        patterns.for_each(|text| require_text(text, place, faults));
    }
    if data.label.as_deref() != Some("") {
        require_text(data.label(), "data.label", faults);
    }
    for (short, long, both) in [
        ("data.input", "data.inputs", data.input.is_some() && !data.inputs.is_empty()),
        ("data.label", "data.targets", data.label.is_some() && !data.targets.is_empty()),
    ] {
        if both {
            faults.push(Fault::value(short, format!("`{short}` is a short form of `{long}`; write one of them")));
        }
    }
    if data.targets.len() > 1 {
        faults.push(Fault::value("data.targets", "one target is trained on; write one encoding".to_owned()));
    }
    require_text(data.input.as_deref().unwrap_or("-"), "data.input", faults);
    require(data.batch >= 1, "data.batch", "1 or more", data.batch, faults);
    require(data.batch <= LARGEST_BATCH, "data.batch", &format!("at most {LARGEST_BATCH}"), data.batch, faults);
    require(data.window >= 1, "data.window", "1 or more", data.window, faults);
    require(data.workers <= MOST_THREADS, "data.workers", &format!("at most {MOST_THREADS}"), data.workers, faults);
    require(data.memory.0 >= LEAST_MEMORY, "data.memory", "1 MiB or more", data.memory, faults);
    if let Some(SamplingRecipe::Classes(weights)) = &data.sampling {
        let place = "data.sampling.classes";
        for (index, weight) in weights.iter().enumerate() {
            let fits = weight.is_finite() && *weight >= 0.0;
            require(fits, &format!("{place}[{index}]"), "a finite number of 0 or more", weight, faults);
        }
        if weights.iter().all(|weight| *weight == 0.0) {
            faults.push(Fault::value(place, "no class has a weight above 0, so no row would come".to_owned()));
        }
    }
    if let DamagedPolicy::Quarantine(Some(file)) = &data.damaged {
        require_text(&file.to_string_lossy(), "data.damaged.quarantine", faults);
    }
}

fn check_training(training: &TrainingRecipe, faults: &mut Vec<Fault>) {
    require(training.epochs >= 1, "training.epochs", "1 or more", training.epochs, faults);
    let decay = training.layer_decay;
    require(decay > 0.0 && decay <= 1.0, "training.layer_decay", "above 0 and at most 1", decay, faults);
    for (index, entry) in training.learning_rate_multipliers.iter().enumerate() {
        let place = format!("training.learning_rate_multipliers[{index}]");
        require_text(&entry.r#match, &format!("{place}.match"), faults);
        not_negative(entry.multiplier, &format!("{place}.multiplier"), faults);
    }
    share(training.label_smoothing, "training.label_smoothing", faults);
    if let Some(norm) = training.gradient_clip_norm {
        positive(norm, "training.gradient_clip_norm", faults);
    }
    if let Some(limit) = training.gradient_clip_value {
        positive(limit, "training.gradient_clip_value", faults);
    }
    require(training.accumulate >= 1, "training.accumulate", "1 or more", training.accumulate, faults);
    let PenaltiesRecipe { l1, l2, l2_sp } = training.penalties;
    for (strength, place) in [(l1, "l1"), (l2, "l2"), (l2_sp, "l2_sp")] {
        not_negative(strength, &format!("training.penalties.{place}"), faults);
    }
    not_negative(training.l1_decay, "training.l1_decay", faults);
    let is_share = |value: f64| (0.0..1.0).contains(&value);
    match training.average {
        Some(AverageRecipe::Ema { decay }) => {
            require(is_share(decay), "training.average.ema.decay", "0 to below 1", decay, faults);
        }
        Some(AverageRecipe::Swa { from }) => {
            require(is_share(from), "training.average.swa.from", "0 to below 1", from, faults);
        }
        Some(AverageRecipe::Last(count)) => at_least_one(count as u64, "training.average.last", faults),
        Some(AverageRecipe::Best(count)) => at_least_one(count as u64, "training.average.best", faults),
        None => {}
    }
    check_around_steps(training, faults);
    at_least_one(training.max_steps.unwrap_or(1), "training.max_steps", faults);
    if let Some(time) = training.max_time {
        require(time.milliseconds > 0, "training.max_time", "more than no time", time, faults);
    }
    if let NonFiniteRecipe::Skip { most_in_a_row } = training.non_finite {
        at_least_one(most_in_a_row, "training.non_finite.skip.most_in_a_row", faults);
    }
    if let FrozenPrefixRecipe::Kept { variants: Some(variants), .. } = training.frozen_prefix {
        at_least_one(variants, "training.frozen_prefix.kept.variants", faults);
    }
    if let Some(EarlyStoppingRecipe { patience, least_gain }) = training.early_stopping {
        require(patience >= 1, "training.early_stopping.patience", "1 or more", patience, faults);
        let fits = least_gain.is_finite() && least_gain >= 0.0;
        let place = "training.early_stopping.least_gain";
        require(fits, place, "a finite number of 0 or more", least_gain, faults);
    }
    let freezing = [("unfreeze", training.unfreeze.as_slice()), ("freeze", training.freeze.as_slice())];
    steering::check(&training.groups, training.head_first, freezing, faults);
    let threads = training.threads;
    require(threads <= MOST_THREADS, "training.threads", &format!("at most {MOST_THREADS}"), threads, faults);
    let wanted = "`auto`, `cpu`, `cuda` or `cuda:N`";
    let device = format!("`{}`", shown(&training.device));
    require(is_device(&training.device), "training.device", wanted, device, faults);
}

fn check_around_steps(training: &TrainingRecipe, faults: &mut Vec<Fault>) {
    if let Some(LookaheadRecipe { steps, alpha }) = training.lookahead {
        at_least_one(steps, "training.lookahead.steps", faults);
        let fits = alpha > 0.0 && alpha <= 1.0;
        require(fits, "training.lookahead.alpha", "above 0 and at most 1", alpha, faults);
    }
    if let Some(SharpnessAwareRecipe { rho, .. }) = training.sharpness_aware {
        positive(rho, "training.sharpness_aware.rho", faults);
    }
    if let Some(GradientNoiseRecipe { eta, gamma }) = training.gradient_noise {
        let fits = eta.is_finite() && eta > 0.0;
        require(fits, "training.gradient_noise.eta", "a finite number above 0", eta, faults);
        let fits = gamma.is_finite() && gamma >= 0.0;
        require(fits, "training.gradient_noise.gamma", "a finite number of 0 or more", gamma, faults);
    }
}

fn check_evaluation(evaluation: &EvaluationRecipe, faults: &mut Vec<Fault>) {
    match evaluation.every {
        EvaluationInterval::Epochs(every) => at_least_one(every, "evaluation.every.epochs", faults),
        EvaluationInterval::Steps(every) => at_least_one(every, "evaluation.every.steps", faults),
    }
    at_least_one(evaluation.rows.unwrap_or(1), "evaluation.rows", faults);
    for (name, patterns) in &evaluation.sets {
        let place = format!("evaluation.sets.{name}");
        patterns.iter().for_each(|pattern| require_text(pattern, &place, faults));
        require_text(name, "evaluation.sets", faults);
        if name == EvaluationRecipe::MAIN {
            faults.push(Fault::value(&place, "this is the name of the rows of `data.evaluate`; choose another"));
        }
    }
    if let Some(name) = &evaluation.best_on
        && name != EvaluationRecipe::MAIN
        && !evaluation.sets.contains_key(name)
    {
        let names: Vec<_> = evaluation.sets.keys().map(|name| format!("`{}`", shown(name))).collect();
        let there =
            if names.is_empty() { "there are none".to_owned() } else { format!("there are {}", names.join(", ")) };
        let message = format!("wanted the name of one of `evaluation.sets`, got `{}`; {there}", shown(name));
        faults.push(Fault::value("evaluation.best_on", message));
    }
    check_final_evaluation(evaluation, faults);
}

/// What is done when all steps are.
fn check_final_evaluation(evaluation: &EvaluationRecipe, faults: &mut Vec<Fault>) {
    if let Some(intervals) = evaluation.intervals {
        let (confidence, place) = (intervals.confidence, "evaluation.intervals.confidence");
        require(confidence > 0.0 && confidence < 1.0, place, "above 0 and below 1", confidence, faults);
    }
    for (index, column) in evaluation.slices.iter().enumerate() {
        let place = format!("evaluation.slices[{index}]");
        require_text(column, &place, faults);
        if evaluation.slices[..index].contains(column) {
            faults.push(Fault::value(&place, format!("`{}` stands there twice; leave one out", shown(column))));
        }
    }
    let most = evaluation.most_slices;
    let wanted = format!("from 1 to {MOST_SLICES}");
    require((1..=MOST_SLICES).contains(&most), "evaluation.most_slices", &wanted, most, faults);
    if let Some(ThresholdRecipe::Recall(least) | ThresholdRecipe::Precision(least)) = evaluation.calibrate.threshold {
        require(least > 0.0 && least <= 1.0, "evaluation.calibrate.threshold", "above 0 and at most 1", least, faults);
    }
    if let Some(views) = &evaluation.test_time_augmentation {
        let (views, wanted) = (views.views, format!("from 1 to {MOST_VIEWS}"));
        let place = "evaluation.test_time_augmentation.views";
        require((1..=MOST_VIEWS).contains(&views), place, &wanted, views, faults);
    }
}

fn at_least_one(value: u64, place: &str, faults: &mut Vec<Fault>) {
    require(value >= 1, place, "1 or more", value, faults);
}

fn is_device(text: &str) -> bool {
    match text.split_once(':') {
        Some(("cuda", number)) => number.parse::<u32>().is_ok(),
        Some(_) => false,
        None => matches!(text, "auto" | "cpu" | "cuda"),
    }
}

fn positive(value: f32, place: &str, faults: &mut Vec<Fault>) {
    require(value.is_finite() && value > 0.0, place, "a finite number above 0", value, faults);
}

fn not_negative(value: f32, place: &str, faults: &mut Vec<Fault>) {
    require(value.is_finite() && value >= 0.0, place, "a finite number of 0 or more", value, faults);
}

fn share(value: f32, place: &str, faults: &mut Vec<Fault>) {
    require((0.0..1.0).contains(&value), place, "0 to below 1", value, faults);
}

fn require_text(text: &str, place: &str, faults: &mut Vec<Fault>) {
    require(!text.trim().is_empty(), place, "some text", "nothing", faults);
}

fn require(holds: bool, place: &str, wanted: &str, got: impl std::fmt::Display, faults: &mut Vec<Fault>) {
    if !holds {
        faults.push(Fault::value(place, format!("wanted {wanted}, got {got}")));
    }
}
