//! Whether the recipe of a study is the one that it began with: trials of two recipes are not held against each other.

use std::collections::BTreeMap;

use serde_json::Value;

use super::open_recipe::OpenRecipe;
use super::study_folder::StudyFolder;
use crate::RecipeError;
use crate::first_difference::{first_difference, show};
use crate::made_of::fixed;
use crate::setting_changes::put;

/// What of `search` may become another while a study goes on: how many trials there are, how many at a time, and what it is called.
const FREE: [&str; 3] = ["name", "parallel", "trials"];

/// What a study notes of its recipe when it begins: what is written there, but for what may become another.
pub(super) fn noted(open: &OpenRecipe) -> Value {
    let mut value = open.text().value().clone();
    if let Some(search) = value.get_mut("search").and_then(Value::as_object_mut) {
        for name in FREE {
            search.shift_remove(name);
        }
    }
    value
}

/// Refuses a recipe that says something else of the trials than it did when the study began; `then` was noted by [`noted`], and is null in
/// a study of a build that noted nothing. What means the same is the same, where files lie does not matter (what they hold is compared
/// where they are read), and what is left open is compared with the study's settings.
///
/// # Errors
/// [`RecipeError::StudyRecipeChanged`].
pub(super) fn require_same_recipe(folder: &StudyFolder, open: &OpenRecipe, then: &Value) -> Result<(), RecipeError> {
    // numbers as a journal has them
    let now: Value = serde_json::from_str(&noted(open).to_string()).expect("a value is read as it was written");
    if then.is_null() || *then == now {
        return Ok(());
    }
    let load = |value: &Value| OpenRecipe::load(&open.text().with_value(value.clone()), open.catalogs());
    let difference = match load(then) {
        Ok(of_then) => {
            let of_now = load(&now)?;
            first_difference(&common(&of_then), &common(&of_now), "").or_else(|| rows_that_one_lacks(&of_then, &of_now))
        }
        // this build does not read any more what an older one began with
        Err(_) => first_difference(then, &now, ""),
    };
    difference.map_or(Ok(()), |(what, then, now)| {
        Err(RecipeError::StudyRecipeChanged { folder: folder.path().to_owned(), what, then, now })
    })
}

/// What is the same in all trials, beside the files that are read.
fn common(open: &OpenRecipe) -> Value {
    let plain = |value: serde_json::Result<Value>| value.expect("a recipe has string keys, so it always serializes");
    let first = open.first().without_paths(&open.catalogs().definitions());
    let mut value = fixed(&first);
    // it ends trials that would go on, whatever it is when a run is resumed
    put(&mut value, "training.max_time", plain(serde_json::to_value(first.training.max_time)));
    put(&mut value, "search", plain(serde_json::to_value(open.search())));
    value
}

/// Rows to measure on that only one of two recipes has: the place, and what each says there.
fn rows_that_one_lacks(then: &OpenRecipe, now: &OpenRecipe) -> Option<(String, String, String)> {
    let [then, now] = [then, now].map(measured_on);
    let place = then.keys().chain(now.keys()).find(|place| then.contains_key(*place) != now.contains_key(*place))?;
    let shown = |rows: &BTreeMap<String, Value>| show(rows.get(place).unwrap_or(&Value::Null));
    Some((place.clone(), shown(&then), shown(&now)))
}

fn measured_on(open: &OpenRecipe) -> BTreeMap<String, Value> {
    let first = open.first();
    let sets = first.evaluation.sets.iter().map(|(name, rows)| (format!("evaluation.sets.{name}"), rows));
    let all = first.data.evaluate.iter().map(|rows| ("data.evaluate".to_owned(), rows)).chain(sets);
    all.filter_map(|(place, rows)| Some((place, serde_json::to_value(rows).ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use millstream_schemas::recipe::RecipeText;

    use super::*;
    use crate::Catalogs;

    const TEXT: &str = "version: 1\nmodel: {path: m.onnx}\ndata: {train: a.parquet, evaluate: b.parquet}\n\
                        training: {epochs: 3, optimizer: {choose: [sgd, adamw]}}\nsearch: {objective: loss, trials: 7}\n";

    fn open(changes: &[&str]) -> OpenRecipe {
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        let text = RecipeText::new(TEXT, Path::new("r.yaml"), Path::new("/"), &changes).unwrap();
        OpenRecipe::load(&text, &Catalogs::default()).unwrap()
    }

    #[test]
    fn a_recipe_that_was_edited_under_its_study_is_another_where_trials_would_be() {
        let folder = StudyFolder::new("/study");
        let then: Value = serde_json::from_str(&noted(&open(&[])).to_string()).unwrap();
        let compared = |change: &str| require_same_recipe(&folder, &open(&[change]), &then);
        for same in [
            "seed=0",
            "search.trials=9",
            "search.parallel=2",
            "search.name=other",
            "search.repeats=1",
            "data.train=/elsewhere/a.parquet",
            "data.workers=3",
            "training.device=cpu",
            "output.folder=/other",
        ] {
            compared(same).unwrap_or_else(|error| panic!("{same}: {error}"));
        }
        for (change, place) in [
            ("training.epochs=30", "`training.epochs` was 3 and is 30"),
            ("training.max_time=2 h", "`training.max_time` was nothing"),
            ("data.batch=9", "`data.batch` was"),
            ("data.evaluate=null", "`data.evaluate` was"),
            ("evaluation={sets: {night: c.parquet}}", "`evaluation.sets.night` was nothing"),
            ("search.repeats=2", "`search.repeats` was 1 and is 2"),
            ("search.folds={count: 3}", "`search.folds` was nothing"),
            ("search.constraints=[{figure: seconds, at_most: 9}]", "`search.constraints` was nothing"),
        ] {
            let error = compared(change).expect_err(change).to_string();
            assert!(error.contains(place) && error.contains("search run /study -o FOLDER"), "{change}: {error}");
        }
        // a study of a build that noted nothing goes on as before
        require_same_recipe(&folder, &open(&["training.epochs=30"]), &Value::Null).unwrap();
    }
}
