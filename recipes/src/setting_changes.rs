//! What of a run's settings may become others while it goes on, and what did.

use millstream_schemas::Recipe;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::first_difference::{differences, first_difference, show};
use crate::made_of::{MEMORY, fixed};

/// Settings that may be others from a step on: they say how the run goes on, and nothing of what is done before depends on them.
const MAY_CHANGE: [&str; 17] = [
    "evaluation.every",
    "training.average",
    "training.decay_all",
    "training.early_stopping",
    "training.epochs",
    "training.gradient_clip_norm",
    "training.gradient_clip_value",
    "training.groups",
    "training.l1_decay",
    "training.layer_decay",
    "training.learning_rate_multipliers",
    "training.max_steps",
    "training.metrics",
    "training.non_finite",
    "training.optimizer",
    "training.penalties",
    "training.schedule",
];

const OPTIMIZER: &str = "training.optimizer";

/// A setting that became another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SettingChange {
    /// Its place in the recipe: `training.epochs`.
    pub setting: String,
    /// What held until then; null for nothing.
    pub then: Value,
    /// What holds from then on.
    pub now: Value,
}

/// What the recipe in a run's folder says, and what is to be another from now on.
#[derive(Clone, Debug)]
pub(crate) struct SettingChanges {
    pub(crate) then: Value,
    pub(crate) changes: Vec<SettingChange>,
}

impl SettingChanges {
    /// What differs between two recipes of a run.
    ///
    /// # Errors
    /// Place and both values of what must not be another.
    pub(crate) fn between(then: &Recipe, now: &Recipe) -> Result<Self, (String, String, String)> {
        let (then, now) = (fixed(then), fixed(now));
        let (mut rest_then, mut rest_now, mut changes) = (then.clone(), now.clone(), Vec::new());
        for rest in [&mut rest_then, &mut rest_now] {
            take(rest, MEMORY);
        }
        for setting in MAY_CHANGE {
            let (before, after) = (take(&mut rest_then, setting), take(&mut rest_now, setting));
            if setting == OPTIMIZER && name_of(&before) != name_of(&after) {
                let name = |value| name_of(value).unwrap_or_default().to_owned();
                return Err((setting.to_owned(), name(&before), name(&after)));
            }
            if before != after {
                changes.push(SettingChange { setting: setting.to_owned(), then: before, now: after });
            }
        }
        match first_difference(&rest_then, &rest_now, "") {
            Some(difference) => Err(difference),
            None => Ok(Self { then, changes }),
        }
    }
}

impl SettingChange {
    /// Place and both values of each number or name that became another; of another choice all of it.
    pub(crate) fn leaves(&self) -> Vec<(String, String, String)> {
        let is_choice = |value: &Value| value.as_object().is_some_and(|map| map.len() == 1);
        if is_choice(&self.then) && is_choice(&self.now) && name_of(&self.then) != name_of(&self.now) {
            return vec![(self.setting.clone(), show(&self.then), show(&self.now))];
        }
        differences(&self.then, &self.now, &self.setting)
    }
}

/// The value at a place; null where there is none.
pub(crate) fn at<'a>(value: &'a Value, place: &str) -> &'a Value {
    place.split('.').try_fold(value, |value, key| value.get(key)).unwrap_or(&Value::Null)
}

/// Takes a value out; null where there is none.
fn take(value: &mut Value, place: &str) -> Value {
    let (parents, key) = place.rsplit_once('.').unwrap_or(("", place));
    let mut parents = parents.split('.').filter(|part| !part.is_empty());
    let parent = parents.try_fold(value, |value, part| value.get_mut(part));
    parent.and_then(Value::as_object_mut).and_then(|map| map.remove(key)).unwrap_or_default()
}

/// Puts a value in, or takes out what is there where it is null.
pub(crate) fn put(value: &mut Value, place: &str, new: Value) {
    if new.is_null() {
        take(value, place);
        return;
    }
    let (parents, key) = place.rsplit_once('.').unwrap_or(("", place));
    let mut inner = value;
    for part in parents.split('.').filter(|part| !part.is_empty()) {
        let Some(map) = inner.as_object_mut() else { return };
        inner = map.entry(part).or_insert_with(|| Value::Object(Map::new()));
    }
    if let Some(map) = inner.as_object_mut() {
        map.insert(key.to_owned(), new);
    }
}

/// The name of what was chosen, options or not.
fn name_of(choice: &Value) -> Option<&str> {
    choice.as_str().or_else(|| choice.as_object()?.keys().next().map(String::as_str))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use super::*;

    pub(crate) fn recipe(overrides: &[&str]) -> Recipe {
        let text = "version: 1\nmodel: {path: m.onnx}\ndata: {train: a}\ntraining: {optimizer: {adamw: {learning_rate: 0.001}}}";
        let overrides: Vec<String> = overrides.iter().map(|&text| text.into()).collect();
        Recipe::from_text(text, Path::new("r.yaml"), Path::new("/a"), &overrides).unwrap()
    }

    #[test]
    fn what_says_how_a_run_goes_on_may_change_and_nothing_else() {
        for (change, wanted) in [
            ("training.epochs=9", Ok("training.epochs")),
            ("training.max_steps=9", Ok("training.max_steps")),
            ("training.optimizer.adamw.learning_rate=0.1", Ok("training.optimizer.adamw.learning_rate")),
            ("training.schedule=cosine", Ok("training.schedule")),
            ("training.gradient_clip_norm=1", Ok("training.gradient_clip_norm")),
            ("training.early_stopping={patience: 3}", Ok("training.early_stopping")),
            ("training.average=ema", Ok("training.average")),
            ("training.metrics=[f1]", Ok("training.metrics")),
            ("training.layer_decay=0.5", Ok("training.layer_decay")),
            ("evaluation.every={steps: 3}", Ok("evaluation.every")),
            ("training.optimizer=sgd", Err("training.optimizer")),
            ("training.accumulate=2", Err("training.accumulate")),
            ("training.best=loss", Err("training.best")),
            ("training.label_smoothing=0.1", Err("training.label_smoothing")),
            ("data.batch=9", Err("data.batch")),
            ("evaluation.rows=9", Err("evaluation.rows")),
            ("model.train=all", Err("model.train")),
            ("seed=9", Err("seed")),
        ] {
            let found = SettingChanges::between(&recipe(&[]), &recipe(&[change]));
            let found = found.map(|found| found.changes).map_err(|(place, _, _)| place);
            match (&found, wanted) {
                (Ok(changes), Ok(wanted)) => {
                    assert_eq!(changes.len(), 1, "{change}: {changes:?}");
                    assert!(
                        changes[0].leaves().iter().any(|(place, ..)| place.starts_with(wanted)),
                        "{change}: {changes:?}"
                    );
                }
                (Err(place), Err(wanted)) => assert!(place.starts_with(wanted), "{change}: {place}"),
                _ => panic!("{change}: {found:?}"),
            }
        }
        for free in ["data.workers=9", "data.memory=9 MiB"] {
            for frozen_prefix in ["auto", "kept", "recomputed"] {
                let of = |change: &str| recipe(&[&format!("training.frozen_prefix={frozen_prefix}"), change]);
                let changed = SettingChanges::between(&of("version=1"), &of(free)).unwrap().changes;
                assert_eq!(changed, [], "{frozen_prefix}, {free}");
            }
        }
    }
}
