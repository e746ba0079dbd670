use std::collections::BTreeMap;
use std::path::Path;

use millstream_schemas::Recipe;
use millstream_schemas::recipe::{ByteSize, Fault, RecipeText, SearchRecipe};
use millstream_search::spaces::{Condition, Distribution, Size};
use millstream_search::{Assignment, Space, Template};
use serde_json::Value;

use super::setting_words::{LONGEST_SETTING, alternative_in_words, is_named_once};
use crate::machine_memory::machine_memory;
use crate::memory_check::{MemoryFinding, memory_finding};
use crate::open_places::without_search;
use crate::runs_memory::Together;
use crate::unless_stopped::unless_stopped;
use crate::{Catalogs, CheckReport, Opened, RecipeError, Stop, load};

/// Recipes that are made to see whether all that is left open can be.
const MOST_CHECKED: usize = 400;
/// Training steps that are compiled to see whether what is left open of the model can be.
const MOST_COMPILED: usize = 32;

/// A recipe that may leave values open, with what a search does with them.
#[derive(Clone, Debug)]
pub struct OpenRecipe {
    text: RecipeText,
    space: Space,
    template: Template,
    search: SearchRecipe,
    first: Recipe,
    catalogs: Catalogs,
}

impl OpenRecipe {
    /// Whether a text leaves something open, or says how a search goes.
    pub fn is_open(text: &RecipeText) -> bool {
        let open = Space::extract(&without_search(text)).map_or(true, |(space, _)| !space.parameters().is_empty());
        open || text.value().get("search").is_some_and(|search| !search.is_null())
    }

    /// Reads what is left open, and checks the recipe with each alternative, and with the least and the largest of each number, as
    /// [`load`] does.
    ///
    /// # Errors
    /// All that is wrong with any of these, each with its place.
    pub fn load(text: &RecipeText, catalogs: &Catalogs) -> Result<Self, RecipeError> {
        let open = without_search(text);
        let (space, template) = Space::extract(&open).map_err(|error| refused(text, error.into()))?;
        if let Some(parameter) = space.parameters().iter().find(|parameter| parameter.name.starts_with("output.folder"))
        {
            let message = "it is where the study lies, each trial in a folder of its own; write one folder";
            return Err(text.refuse(vec![Fault::value(&parameter.name, message)]).into());
        }
        let of_search = text.value().get("search").cloned();
        let filled = |assignment: &Assignment| -> Result<Recipe, RecipeError> {
            let mut value = template.filled(assignment)?;
            if let (Some(map), Some(search)) = (value.as_object_mut(), &of_search) {
                map.insert("search".into(), search.clone());
            }
            load(&text.with_value(value), catalogs)
        };
        let (mut first, mut faults) = (None, Vec::<Fault>::new());
        for assignment in corners(&space) {
            match filled(&assignment) {
                Ok(recipe) => drop(first.get_or_insert(recipe)),
                Err(error) => {
                    let found = error.faults();
                    if found.is_empty() {
                        return Err(error);
                    }
                    faults.extend(found.into_iter().filter(|fault| !faults.contains(fault)).collect::<Vec<_>>());
                }
            }
        }
        let Some(mut first) = first.filter(|_| faults.is_empty()) else { return Err(text.refuse(faults).into()) };
        let search = first.search.take().unwrap_or_default();
        Ok(Self { text: text.clone(), space, template, search, first, catalogs: catalogs.clone() })
    }

    /// The recipe as it was written.
    pub fn text(&self) -> &RecipeText {
        &self.text
    }

    /// What is left open.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// What the search is told.
    pub fn search(&self) -> &SearchRecipe {
        &self.search
    }

    /// So many trials of all that are wanted as there are: none has the values of another.
    pub fn trials_of(&self, wanted: u64) -> u64 {
        match self.space.size() {
            Size::Finite(size) => wanted.min(u64::try_from(size).unwrap_or(u64::MAX)),
            Size::Infinite => wanted,
        }
    }

    /// Refuses a search in which all trials would be one and the same run, unless it is asked for runs with several seeds or of folds.
    ///
    /// # Errors
    /// Nothing is left open, and what to write.
    pub fn require_open(&self) -> Result<(), RecipeError> {
        let SearchRecipe { repeats, folds, .. } = &self.search;
        if !self.space.parameters().is_empty() || *repeats > 1 || folds.is_some() {
            return Ok(());
        }
        let message = "nothing is left open, so that there is one run and nothing to try; leave a value open, as \
                       `training.optimizer: {choose: [sgd, adamw]}` does (docs/search.md), ask for `search.repeats` or `search.folds`, or take \
                       `millstream train`";
        Err(RecipeError::mismatch("search", message))
    }

    /// Whether any of what stands at a place of the recipe, or all of it, is left open.
    pub(crate) fn leaves_open(&self, place: &str) -> bool {
        let within = |outer: &str, inner: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let mut names = self.space.parameters().iter().map(|parameter| parameter.name.as_str());
        names.any(|name| within(place, name) || within(name, place))
    }

    /// The environment variables that paths of any trial name, with their values.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        if !self.text.value().to_string().contains(['$', '~']) {
            return BTreeMap::new();
        }
        let definitions = self.catalogs.definitions();
        let filled = corners(&self.space).into_iter().filter_map(|assignment| self.template.filled(&assignment).ok());
        filled.flat_map(|value| self.text.with_value(value).variables(&definitions)).collect()
    }

    /// With the first alternative and the least number wherever something is open.
    pub fn first(&self) -> &Recipe {
        &self.first
    }

    /// With each alternative, and the least and the largest of each number.
    pub(super) fn corner_recipes(&self) -> Vec<(Assignment, Recipe)> {
        // those that make no recipe were refused when this was read
        let recipe = |assignment: Assignment| self.recipe(&assignment).ok().map(|recipe| (assignment, recipe));
        corners(&self.space).into_iter().filter_map(recipe).collect()
    }

    /// The largest `data.memory` of any trial.
    pub(super) fn most_memory(&self) -> ByteSize {
        let own = self.first.data.memory;
        if !self.leaves_open("data.memory") {
            return own;
        }
        self.corner_recipes().iter().map(|(_, recipe)| recipe.data.memory).fold(own, ByteSize::max)
    }

    /// Threads of ONNX Runtime that a trial has: the fewest and the most of any.
    pub(super) fn threads(&self) -> [usize; 2] {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let of = |recipe: &Recipe| if recipe.training.threads == 0 { cores() } else { recipe.training.threads };
        let own = of(&self.first);
        if !self.leaves_open("training.threads") {
            return [own; 2];
        }
        let all: Vec<usize> = self.corner_recipes().iter().map(|(_, recipe)| of(recipe)).collect();
        [all.iter().copied().fold(own, usize::min), all.iter().copied().fold(own, usize::max)]
    }

    /// What a recipe can choose among.
    pub fn catalogs(&self) -> &Catalogs {
        &self.catalogs
    }

    /// Adds what is to be said of as many trials at a time as `search.parallel` says, each as [`Self::first`], to what was found of that.
    pub fn check_memory(&self, report: &mut CheckReport) {
        let trials = usize::try_from(self.search.trials).unwrap_or(usize::MAX);
        let together = Together { runs: self.search.parallel.min(trials), others: 0, kept: 0 };
        let is_on_cpu = report.device.device.as_deref().is_none_or(|device| !device.starts_with("cuda"));
        let policy = self.first.training.memory_check;
        if !is_on_cpu || report.memory.total == 0 || together.runs < 2 {
            return;
        }
        let alone = memory_finding(Ok(&report.memory), machine_memory(), policy, Together::ALONE);
        let is_new = |found: &MemoryFinding| alone.is_none() || matches!(found, MemoryFinding::TooMany(_));
        match memory_finding(Ok(&report.memory), machine_memory(), policy, together).filter(is_new) {
            Some(MemoryFinding::Problem(said) | MemoryFinding::TooMany(said)) => report.problems.push(said),
            Some(MemoryFinding::Warning(said)) => report.warnings.push(said),
            None => {}
        }
    }

    /// With these values; what the search is told is not in it.
    ///
    /// # Errors
    /// The values do not go together.
    pub fn recipe(&self, assignment: &Assignment) -> Result<Recipe, RecipeError> {
        load(&self.text.with_value(self.template.filled(assignment)?), &self.catalogs)
    }

    /// Opens the model and the rows, and compiles the training step with each alternative, and the least and the largest of each number,
    /// of what is left open in `model`: up to 32 of these. `output` is where the results go, where it is not what the recipe says.
    ///
    /// # Errors
    /// The first that cannot be trained, with its values, and why; [`RecipeError::Stopped`] when it was asked to stop.
    pub fn check_models(&self, output: Option<&Path>, stop: &Stop) -> Result<(), RecipeError> {
        let (mut seen, mut known) = (Vec::new(), None::<Opened>);
        for assignment in corners(&self.space) {
            let model = self.template.filled(&assignment)?.get("model").cloned();
            if seen.contains(&model) || seen.len() == MOST_COMPILED {
                continue;
            }
            seen.push(model);
            let mut recipe = self.recipe(&assignment)?;
            if let Some(output) = output {
                output.clone_into(&mut recipe.output.folder);
            }
            let (catalogs, beside) = (self.catalogs.clone(), known.clone());
            let opened = unless_stopped(stop, move || {
                let opened = Opened::open_beside(&recipe, &catalogs, beside.as_ref())?;
                opened.program()?;
                Ok(opened)
            });
            match opened {
                Ok(opened) => drop(known.get_or_insert(opened)),
                Err(RecipeError::Stopped) => return Err(RecipeError::Stopped),
                Err(error) => return Err(self.with_values_of("model", &assignment, error)),
            }
        }
        Ok(())
    }

    /// An error of an assignment, with its values below a place where there are any.
    pub(super) fn with_values_of(&self, place: &str, assignment: &Assignment, error: RecipeError) -> RecipeError {
        let told = self.settings(assignment).into_iter().filter(|(name, _)| name.starts_with(place));
        let told = told.map(|(name, value)| {
            let alternatives = self.space.get(&name).and_then(|one| one.distribution.alternatives());
            let words = alternative_in_words(alternatives.unwrap_or_default(), &value, LONGEST_SETTING);
            format!("`{name}` {}", words.unwrap_or_else(|| value.to_string()))
        });
        match told.collect::<Vec<_>>().join(", ") {
            values if values.is_empty() => error,
            values => RecipeError::OpenValues { values, error: Box::new(error) },
        }
    }

    /// The values of an assignment by the places where they stand, as a recipe writes them.
    pub fn settings(&self, assignment: &Assignment) -> Vec<(String, Value)> {
        let values = self.space.values(assignment).into_iter();
        let alternatives = |name: &str| self.space.get(name).and_then(|one| one.distribution.alternatives());
        let short = |name: &str, value| short(value, alternatives(name).unwrap_or_default());
        values.map(|(name, value)| (name.to_owned(), short(name, value))).collect()
    }
}

/// Of an alternative with options its name is enough where no other has it: what is open in it is told by itself.
fn short(value: Value, alternatives: &[Value]) -> Value {
    match &value {
        Value::Object(map) if map.len() == 1 && holds_open(&value) && is_named_once(alternatives, &value) => {
            Value::String(map.keys().next().cloned().unwrap_or_default())
        }
        _ => value,
    }
}

fn holds_open(value: &Value) -> bool {
    Space::extract(value).is_ok_and(|(space, _)| !space.parameters().is_empty())
}

fn refused(text: &RecipeText, error: RecipeError) -> RecipeError {
    match error.faults() {
        faults if faults.is_empty() => error,
        faults => text.refuse(faults).into(),
    }
}

/// Assignments in which each alternative, and both ends of each number, are chosen once.
fn corners(space: &Space) -> Vec<Assignment> {
    let least = |distribution: &Distribution| distribution.scale().map_or(0.0, |scale| scale.low);
    let mut found: Vec<Assignment> = Vec::new();
    let mut add = |forced: &[(&str, f64)]| {
        let assignment = space.filled_by(|group, _| {
            let members = group.members.iter().map(|member| &space.parameters()[*member]);
            let setting = |name: &str| forced.iter().find(|(other, _)| *other == name).map(|(_, setting)| *setting);
            members.map(|one| setting(&one.name).unwrap_or_else(|| least(&one.distribution))).collect()
        });
        if !found.contains(&assignment) && found.len() < MOST_CHECKED {
            found.push(assignment);
        }
    };
    add(&[]);
    for parameter in space.parameters() {
        let settings: Vec<f64> = match (parameter.distribution.alternatives(), parameter.distribution.scale()) {
            (Some(values), _) => (0..values.len()).map(|at| at as f64).collect(),
            (None, Some(scale)) => vec![scale.low, scale.high],
            (None, None) => Vec::new(),
        };
        let mut above = Vec::new();
        let mut when = parameter.when.as_ref();
        while let Some(Condition { parameter, alternative }) = when {
            above.push((parameter.as_str(), f64::from(*alternative)));
            when = space.get(parameter).and_then(|parameter| parameter.when.as_ref());
        }
        for setting in settings {
            let forced: Vec<(&str, f64)> = above.iter().copied().chain([(parameter.name.as_str(), setting)]).collect();
            add(&forced);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn text(changes: &[&str]) -> RecipeText {
        let text = "version: 1\nmodel: {path: m.onnx}\ndata: {train: a.parquet}\ntraining:\n  epochs: 3\n  optimizer:\n    \
                    choose:\n      - adamw: {learning_rate: {log_uniform: [1.0e-4, 1.0e-2]}}\n      - sgd\n";
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        RecipeText::new(text, Path::new("r.yaml"), Path::new("/"), &changes).unwrap()
    }

    #[test]
    fn what_is_open_is_filled_and_the_rest_is_as_it_was() {
        let open = OpenRecipe::load(&text(&["search={objective: loss, trials: 7}"]), &Catalogs::default()).unwrap();
        assert_eq!(open.space().parameters().len(), 2);
        assert_eq!((open.search().trials, open.search().objective.as_slice()), (7, &["loss".to_owned()][..]));
        let assignment: Assignment =
            [("training.optimizer".to_owned(), 0.0), ("training.optimizer.adamw.learning_rate".to_owned(), 0.001)]
                .into_iter()
                .collect();
        let recipe = open.recipe(&assignment).unwrap();
        assert_eq!((recipe.training.optimizer.name.as_str(), recipe.training.epochs), ("adamw", 3));
        assert_eq!(recipe.training.optimizer.options["learning_rate"], 0.001);
        assert_eq!(recipe.search, None);
        let settings = open.settings(&assignment);
        assert_eq!(settings[0], ("training.optimizer".to_owned(), Value::from("adamw")));
    }

    #[test]
    fn every_alternative_and_both_ends_are_checked_before_a_trial_begins() {
        let catalogs = Catalogs::default();
        for (change, wanted) in [
            ("training.epochs={integer: [0, 3]}", "training.epochs: wanted 1 or more, got 0"),
            ("training.epochs={choose: [3, many]}", "training.epochs: wanted a whole number"),
            ("training.layer_decay={uniform: [0.5, 2]}", "training.layer_decay: wanted above 0 and at most 1, got 2"),
            ("training.layer_decay={uniform: [2, 0.5]}", "training.layer_decay: uniform wants"),
            ("training.optimizer.choose.1={sgdd: {}}", "`sgdd`"),
            (
                "training.optimizer.choose.1={adamw: {learning_rate: {uniform: [0, 1]}}}",
                "learning_rate: wanted above 0",
            ),
            ("output.folder={choose: [a, b]}", "output.folder: it is where the study lies"),
            ("search={trials: 0}", "search.trials: wanted 1 or more, got 0"),
            ("search={constraints: [{figure: loss}]}", "search.constraints[0]: it bounds nothing"),
            ("search={sampler: tpe}", "unknown key `sampler` in search"),
        ] {
            let error = OpenRecipe::load(&text(&[change]), &catalogs).expect_err(change).to_string();
            assert!(error.contains(wanted), "{change}: {error}");
        }
    }

    #[test]
    fn a_search_of_nothing_is_refused_unless_it_asks_for_several_seeds_or_folds() {
        let closed = |search: &str| {
            let changes = ["training.optimizer=sgd", search];
            OpenRecipe::load(&text(&changes), &Catalogs::default()).unwrap()
        };
        let error = closed("search={trials: 50}").require_open().unwrap_err().to_string();
        for part in ["search: nothing is left open", "{choose: [sgd, adamw]}", "docs/search.md"] {
            assert!(error.contains(part), "{error}");
        }
        closed("search={repeats: 2}").require_open().unwrap();
        closed("search={folds: {count: 3}}").require_open().unwrap();
        OpenRecipe::load(&text(&[]), &Catalogs::default()).unwrap().require_open().unwrap();
        assert_eq!(closed("search={repeats: 2}").trials_of(50), 1);
    }

    #[test]
    fn threads_of_trials_are_those_of_all_that_is_left_open() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let alike = format!("training.threads={{choose: [{cores}, 0]}}");
        for (change, wanted) in [
            ("seed=1", [cores; 2]),
            ("training.threads=3", [3; 2]),
            ("training.threads={choose: [5, 3]}", [3, 5]),
            ("training.threads={integer: [1, 4]}", [1, 4]),
            ("training.threads={choose: [0, 1]}", [1, cores]),
            // which are as many for all
            (alike.as_str(), [cores; 2]),
        ] {
            assert_eq!(OpenRecipe::load(&text(&[change]), &Catalogs::default()).unwrap().threads(), wanted, "{change}");
        }
    }

    #[test]
    fn there_are_no_more_trials_than_combinations() {
        let open = |optimizer: &str| OpenRecipe::load(&text(&[optimizer]), &Catalogs::default()).unwrap();
        assert_eq!(open("training.optimizer={choose: [sgd, adamw]}").trials_of(50), 2);
        assert_eq!(open("training.optimizer={choose: [sgd, adamw]}").trials_of(1), 1);
        assert_eq!(open("seed=1").trials_of(50), 50);
    }

    #[test]
    fn a_command_that_wants_one_value_names_the_place_and_the_command_that_looks_for_it() {
        let error = load(&text(&[]), &Catalogs::default()).unwrap_err().to_string();
        assert!(error.contains("training.optimizer: it is left open ({choose: "), "{error}");
        assert!(error.contains("`millstream search run`"), "{error}");
        load(&text(&["training.optimizer=sgd", "search={trials: 3}"]), &Catalogs::default()).unwrap();
    }
}
