//! Numbers that the types allow and sense does not.

use super::{
    DamagedPolicy, DataRecipe, LARGEST_BATCH, MOST_THREADS, ModelRecipe, OptimizerRecipe, Recipe, Schedule,
    TrainSelection, TrainingRecipe,
};
use crate::SchemaError;
use crate::shown;

const LEAST_MEMORY: u64 = 1 << 20;

type Checked = Result<(), SchemaError>;

pub(super) fn check(recipe: &Recipe) -> Checked {
    if let Some(model) = &recipe.model {
        check_model(model)?;
    }
    check_data(&recipe.data)?;
    check_training(&recipe.training)?;
    let keep = recipe.output.checkpoint.keep;
    require(keep >= 1, "output.checkpoint.keep", "1 or more", keep)?;
    require_text(&recipe.output.folder.to_string_lossy(), "output.folder")
}

fn check_model(model: &ModelRecipe) -> Checked {
    require_text(&model.path.to_string_lossy(), "model.path")?;
    match &model.train {
        TrainSelection::Last(count) => require(*count >= 1, "model.train.last", "1 or more", count),
        TrainSelection::Match(patterns) => {
            require(!patterns.is_empty(), "model.train.match", "at least one pattern", "none")?;
            patterns.iter().try_for_each(|pattern| require_text(pattern, "model.train.match"))
        }
        TrainSelection::Head | TrainSelection::All => Ok(()),
    }
}

fn check_data(data: &DataRecipe) -> Checked {
    for (patterns, place) in [(Some(&data.train), "data.train"), (data.evaluate.as_ref(), "data.evaluate")] {
        patterns.into_iter().flat_map(|patterns| patterns.iter()).try_for_each(|text| require_text(text, place))?;
    }
    require_text(&data.label, "data.label")?;
    require_text(data.input.as_deref().unwrap_or("-"), "data.input")?;
    require(data.batch >= 1, "data.batch", "1 or more", data.batch)?;
    require(data.batch <= LARGEST_BATCH, "data.batch", &format!("at most {LARGEST_BATCH}"), data.batch)?;
    require(data.window >= 1, "data.window", "1 or more", data.window)?;
    require(data.workers <= MOST_THREADS, "data.workers", &format!("at most {MOST_THREADS}"), data.workers)?;
    require(data.memory.0 >= LEAST_MEMORY, "data.memory", "1 MiB or more", data.memory)?;
    match &data.damaged {
        DamagedPolicy::Quarantine(file) => require_text(&file.to_string_lossy(), "data.damaged.quarantine"),
        DamagedPolicy::Fail | DamagedPolicy::Skip => Ok(()),
    }
}

fn check_training(training: &TrainingRecipe) -> Checked {
    require(training.epochs >= 1, "training.epochs", "1 or more", training.epochs)?;
    check_optimizer(&training.optimizer)?;
    if let Schedule::Cosine { warmup } = training.schedule {
        require((0.0..=1.0).contains(&warmup), "training.schedule.cosine.warmup", "0 to 1", warmup)?;
    }
    let decay = training.layer_decay;
    require(decay > 0.0 && decay <= 1.0, "training.layer_decay", "above 0 and at most 1", decay)?;
    for (index, entry) in training.learning_rate_multipliers.iter().enumerate() {
        let place = format!("training.learning_rate_multipliers[{index}]");
        require_text(&entry.r#match, &format!("{place}.match"))?;
        let sound = entry.multiplier.is_finite() && entry.multiplier >= 0.0;
        require(sound, &format!("{place}.multiplier"), "0 or more", entry.multiplier)?;
    }
    share(training.label_smoothing, "training.label_smoothing")?;
    if let Some(norm) = training.gradient_clip_norm {
        positive(norm, "training.gradient_clip_norm")?;
    }
    let threads = training.threads;
    require(threads <= MOST_THREADS, "training.threads", &format!("at most {MOST_THREADS}"), threads)?;
    let wanted = "`auto`, `cpu`, `cuda` or `cuda:N`";
    require(is_device(&training.device), "training.device", wanted, format!("`{}`", shown(&training.device)))
}

fn check_optimizer(optimizer: &OptimizerRecipe) -> Checked {
    match optimizer {
        OptimizerRecipe::Adamw(options) => {
            positive(options.learning_rate, "training.optimizer.adamw.learning_rate")?;
            share(options.beta1, "training.optimizer.adamw.beta1")?;
            share(options.beta2, "training.optimizer.adamw.beta2")?;
            positive(options.epsilon, "training.optimizer.adamw.epsilon")?;
            not_negative(options.weight_decay, "training.optimizer.adamw.weight_decay")
        }
        OptimizerRecipe::Sgd(options) => {
            positive(options.learning_rate, "training.optimizer.sgd.learning_rate")?;
            share(options.momentum, "training.optimizer.sgd.momentum")?;
            not_negative(options.weight_decay, "training.optimizer.sgd.weight_decay")?;
            let looks_ahead = !options.nesterov || options.momentum > 0.0;
            require(looks_ahead, "training.optimizer.sgd.momentum", "above 0, because `nesterov` is on", 0)
        }
    }
}

fn is_device(text: &str) -> bool {
    match text.split_once(':') {
        Some(("cuda", number)) => number.parse::<u32>().is_ok(),
        Some(_) => false,
        None => matches!(text, "auto" | "cpu" | "cuda"),
    }
}

fn positive(value: f32, place: &str) -> Checked {
    require(value.is_finite() && value > 0.0, place, "above 0", value)
}

fn not_negative(value: f32, place: &str) -> Checked {
    require(value.is_finite() && value >= 0.0, place, "0 or more", value)
}

fn share(value: f32, place: &str) -> Checked {
    require((0.0..1.0).contains(&value), place, "0 to below 1", value)
}

fn require_text(text: &str, place: &str) -> Checked {
    require(!text.trim().is_empty(), place, "some text", "nothing")
}

fn require(holds: bool, place: &str, wanted: &str, got: impl std::fmt::Display) -> Checked {
    if holds {
        return Ok(());
    }
    Err(SchemaError::Value { place: place.into(), message: format!("wanted {wanted}, got {got}") })
}
