use millstream_schemas::recipe::{EvaluationInterval, EvaluationRecipe, RecipeText};
use millstream_schemas::{Fingerprint, Recipe, count, shown_path};
use serde::Serialize;

use super::open_recipe::OpenRecipe;
use super::same_data::{StudyDifference, differences};
use super::study_folder::{StudyFolder, absolute};
use crate::imported::Imports;
use crate::load;
use crate::origin::Origin;
use crate::report::read_record;
use crate::run_folder::RunFolder;

/// What a reader who was not there asks first: of which model and which rows a study is, for how long each trial is trained, and when it
/// began, by what its runs have noted. What is left open is none.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StudyAbout {
    /// When the run of the first trial began, in UTC; none where that is not noted.
    pub began: Option<String>,
    /// Where the pretrained model lies, as the recipe says.
    pub model: Option<String>,
    /// SHA-256 of that file, as the first trial has noted it.
    pub model_sha256: Option<Fingerprint>,
    /// Where the training rows lie.
    pub train: Option<String>,
    /// How many of them the first run was trained on in an epoch.
    pub training_rows: Option<u64>,
    /// The set of rows that trials are measured on: `evaluate`, which with folds is that of each run, or another; none where there is
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured_on: Option<String>,
    /// Where the rows of that set lie; none where there are none, or parts of the training rows are.
    pub evaluate: Option<String>,
    /// How many rows the first run was measured on.
    pub evaluation_rows: Option<u64>,
    /// Steps of training between two evaluations, which what trials report is counted by then; none where that is epochs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluated_every_steps: Option<u64>,
    /// Epochs of a trial, at most.
    pub epochs: Option<u64>,
    /// Rows in a batch.
    pub batch: Option<usize>,
    /// The seed of the trials.
    pub seed: Option<u64>,
    /// Runs of each trial, with this seed and those that follow it.
    pub repeats: u64,
    /// The seed of the search.
    pub search_seed: u64,
    /// Trials that are of another model or other rows than the first, by their own records.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<StudyDifference>,
}

/// Whether the rows of a trial's recipe are those of the recipe as it was given, as they were imported.
fn is_import_of(folder: &StudyFolder, own: &Recipe, given: &Recipe) -> bool {
    let is_same = |other: &Recipe| other.data.train == own.data.train && other.data.evaluate == own.data.evaluate;
    // sources are looked for only where that can matter
    !is_same(given) && absolute(folder.path()).is_ok_and(|folder| is_same(&Imports::beside(&folder).found_in(given)))
}

impl StudyAbout {
    /// Of a study whose trials have runs of these names in their folders: as its first run has noted it, and before there is any, as the
    /// recipe says.
    pub(super) fn of(folder: &StudyFolder, open: &OpenRecipe, trials: u64, names: &[Option<String>]) -> Self {
        let closed = |place: &str| !open.leaves_open(place);
        let name = names.first().and_then(Option::as_ref);
        let run = |trial: u64| {
            let own = folder.trial(trial);
            RunFolder(name.map_or_else(|| own.clone(), |name| own.join(name)))
        };
        // what cannot be read is not said
        let began = (0..trials).find_map(|trial| Origin::of_run(&run(trial)).ok().flatten());
        let made_of = (0..trials).find_map(|trial| run(trial).made_of().ok().flatten());
        let record = (0..trials).map(run).filter(|run| run.metrics().exists()).find_map(|run| read_record(&run).ok());
        let first = (0..trials).map(run).find(|run| run.recipe().exists()).and_then(|run| {
            let text = RecipeText::read(&run.recipe(), &[]).ok()?;
            load(&text, open.catalogs()).ok()
        });
        let given = open.first();
        let recipe = first.as_ref().unwrap_or(given);
        let model = recipe.model.as_ref().filter(|_| closed("model.path"));
        let sets_are_closed = closed("evaluation.best_on") && closed("evaluation.sets");
        let rows_are_closed = closed("data.train") && closed("data.evaluate");
        let folds = open.search().folds.is_some();
        let is_measured = folds || given.data.evaluate.is_some();
        let measured_on = (is_measured && closed("evaluation.best_on")).then(|| given.evaluation.decides());
        // rows that were imported are called what they were imported from, and parts of rows what they are parts of
        let as_given = folds || is_import_of(folder, recipe, given);
        let named = if as_given { given } else { recipe };
        let data = &named.data;
        let evaluate = match measured_on {
            Some(EvaluationRecipe::MAIN) if !folds && closed("data.evaluate") => data.evaluate.as_ref(),
            Some(EvaluationRecipe::MAIN) | None => None,
            Some(set) => named.evaluation.sets.get(set).filter(|_| closed("evaluation.sets")),
        };
        Self {
            began: began.map(|origin| origin.began),
            model: model.map(|model| shown_path(&model.path)),
            model_sha256: model.and(made_of).map(|made_of| made_of.model),
            train: closed("data.train").then(|| data.train.to_string()),
            training_rows: record
                .as_ref()
                .filter(|_| rows_are_closed)
                .and_then(|record| Some(record.history.epochs.first()?.rows)),
            measured_on: measured_on.map(str::to_owned),
            evaluate: evaluate.map(ToString::to_string),
            evaluation_rows: record
                .as_ref()
                .filter(|_| rows_are_closed && sets_are_closed)
                .and_then(|record| Some(record.evaluation.as_ref()?.rows)),
            evaluated_every_steps: match given.evaluation.every {
                EvaluationInterval::Steps(steps) => Some(steps),
                EvaluationInterval::Epochs(_) => None,
            },
            epochs: closed("training.epochs").then_some(recipe.training.epochs),
            batch: closed("data.batch").then_some(recipe.data.batch),
            seed: closed("seed").then_some(given.seed),
            repeats: open.search().repeats,
            search_seed: open.search().seed,
            differences: differences(folder, open, trials, names),
        }
    }

    /// The set of rows that trials are measured on, where it is another than the rows of `data.evaluate` or the folds.
    pub(crate) fn other_deciding_set(&self) -> Option<&str> {
        self.measured_on.as_deref().filter(|set| *set != EvaluationRecipe::MAIN)
    }

    /// What is to be known of trials that are of another model or other rows than the first; none where there are none.
    pub fn differences_in_words(&self) -> Option<String> {
        let said: Vec<String> = self.differences.iter().map(StudyDifference::in_words).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    /// Each with its name, for people.
    pub(crate) fn entries(&self) -> Vec<(&'static str, String)> {
        let open = || "left open".to_owned();
        let hash = self.model_sha256.as_ref().map_or_else(String::new, |hash| format!(", SHA-256 {hash}"));
        let rows = |rows: Option<u64>, what: &str| {
            rows.map_or_else(String::new, |rows| format!(", {}{what}", count(rows, "row")))
        };
        let mut all = vec![
            ("Began", self.began.clone().unwrap_or_else(|| "not noted".into())),
            ("Base model", self.model.clone().map_or_else(open, |model| model + &hash)),
            (
                "Training data",
                self.train.clone().map_or_else(open, |train| train + &rows(self.training_rows, " in an epoch")),
            ),
        ];
        let set = self.other_deciding_set().map_or_else(String::new, |set| format!(" (the set {set})"));
        // parts of the training data are others in each run
        let of_run = if self.evaluate.is_some() { "" } else { " in the first run" };
        let evaluated = set + &rows(self.evaluation_rows, of_run);
        match &self.evaluate {
            Some(evaluate) => all.push(("Evaluation data", format!("{evaluate}{evaluated}"))),
            None if self.evaluation_rows.is_some() => {
                all.push(("Evaluation data", format!("parts of the training data{evaluated}")));
            }
            None => {}
        }
        all.extend([
            ("Epochs", self.epochs.map_or_else(open, |epochs| epochs.to_string())),
            ("Batch", self.batch.map_or_else(open, |batch| batch.to_string())),
            (
                "Seed",
                self.seed.map_or_else(open, |seed| {
                    let last = seed.wrapping_add(self.repeats.max(1) - 1);
                    let of_trials = if last == seed { seed.to_string() } else { format!("{seed} to {last}") };
                    format!("{of_trials} of the trials, {} of the search", self.search_seed)
                }),
            ),
        ]);
        all
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use millstream_schemas::recipe::RecipeText;

    use super::*;
    use crate::Catalogs;

    #[test]
    fn rows_that_trials_are_measured_on_are_those_of_the_set_that_decides() {
        let text = "version: 1\nmodel: {path: m.onnx}\ndata: {train: a.parquet, evaluate: b.parquet}\n\
                    training: {epochs: {choose: [2, 3]}}\nevaluation: {sets: {night: n.parquet}, best_on: night}\n";
        for changes in [&[][..], &["search={folds: {count: 3}}".to_owned()]] {
            let text = RecipeText::new(text, Path::new("r.yaml"), Path::new("/"), changes).unwrap();
            let open = OpenRecipe::load(&text, &Catalogs::default()).unwrap();
            let about = StudyAbout::of(&StudyFolder::new("/nowhere"), &open, 3, &[None]);
            assert_eq!((about.measured_on.as_deref(), about.other_deciding_set()), (Some("night"), Some("night")));
            let entries = StudyAbout { evaluation_rows: Some(30), ..about }.entries();
            let wanted = ("Evaluation data", "/n.parquet (the set night), 30 rows".to_owned());
            assert!(entries.contains(&wanted), "{entries:?}");
        }
    }

    #[test]
    fn what_is_left_open_is_said_to_be_and_the_rest_is_told() {
        let text = "version: 1\nseed: 7\nmodel: {path: m.onnx}\ndata: {train: a.parquet, evaluate: b.parquet, batch: 16}\ntraining:\n  \
                    epochs: {choose: [2, 3]}\nsearch: {seed: 5}\n";
        let text = RecipeText::new(text, Path::new("r.yaml"), Path::new("/"), &[]).unwrap();
        let open = OpenRecipe::load(&text, &Catalogs::default()).unwrap();
        let about = StudyAbout::of(&StudyFolder::new("/nowhere"), &open, 3, &[None]);
        assert_eq!((about.epochs, about.batch, about.seed, about.search_seed), (None, Some(16), Some(7), 5));
        let entries = about.entries();
        for wanted in [
            ("Began", "not noted"),
            ("Base model", "/m.onnx"),
            ("Evaluation data", "/b.parquet"),
            ("Epochs", "left open"),
            ("Seed", "7 of the trials, 5 of the search"),
        ] {
            assert!(entries.iter().any(|(name, said)| (*name, said.as_str()) == wanted), "{wanted:?}: {entries:?}");
        }
        let on_main = StudyAbout { evaluation_rows: Some(18), ..about.clone() }.entries();
        assert!(on_main.contains(&("Evaluation data", "/b.parquet, 18 rows".into())), "{on_main:?}");
        let repeated = StudyAbout { repeats: 3, ..about }.entries();
        assert!(repeated.contains(&("Seed", "7 to 9 of the trials, 5 of the search".into())), "{repeated:?}");
    }
}
