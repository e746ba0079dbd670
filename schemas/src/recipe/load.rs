//! From a recipe's text to a checked [`Recipe`]: keys, kinds, ranges, paths; all faults at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::fault::Fault;
use super::local_path::Environment;
use super::paths::PathPlaces;
use super::shape::Shape;
use super::text::{RecipeText, at, brief};
use super::written_path::WRITTEN_IN;
use super::{Definitions, Recipe, advice, got, paths, ranges};
use crate::{SchemaError, plain, shown_up_to};

/// Values that no type takes are looked for one after the other, so often at most.
const MOST_FAULTS: usize = 100;

impl Recipe {
    /// Reads a YAML or JSON file and checks all that can be told without opening the data or the model.
    ///
    /// Paths in it become absolute: `~` is the home folder, `$NAME` and `${NAME}` are replaced by that environment
    /// variable, relative ones start from the folder of the recipe.
    ///
    /// # Errors
    /// The file cannot be read or is not YAML; a key is unknown; a value has the wrong type, unit or range; a variable
    /// is not set. All that is wrong is told at once, each with its place in the file.
    pub fn load(path: &Path) -> Result<Self, SchemaError> {
        Self::load_with(path, &[])
    }

    /// As [`Recipe::load`], with values replaced first: `training.epochs=3`. The value is YAML; list items are
    /// addressed by their number from 0. Relative paths among them start from the working directory.
    ///
    /// # Errors
    /// As [`Recipe::load`]; or an override is not `key=value`.
    pub fn load_with(path: &Path, overrides: &[String]) -> Result<Self, SchemaError> {
        RecipeText::read(path, overrides)?.recipe()
    }

    /// As [`Recipe::load_with`], for text that is at hand. `name` stands in messages, `folder` is where relative paths
    /// start.
    ///
    /// # Errors
    /// As [`Recipe::load_with`].
    pub fn from_text(text: &str, name: &Path, folder: &Path, overrides: &[String]) -> Result<Self, SchemaError> {
        RecipeText::new(text, name, folder, overrides)?.recipe()
    }

    /// The recipe as YAML that [`Recipe::load`] reads back to the same value.
    pub fn to_yaml(&self) -> String {
        self.to_yaml_with(&Definitions::default())
    }

    /// The same, where choices have options that are paths, which `definitions` say.
    pub fn to_yaml_with(&self, definitions: &Definitions) -> String {
        serde_saphyr::to_string(&self.escaped(definitions))
            .expect("a recipe has string keys and finite numbers, so it always serializes")
    }

    /// As YAML that [`Recipe::load`] reads back to the same value from a file in `folder`, which is absolute. Paths are relative where a folder
    /// holds both them and `folder`, is not the root and neither the home folder nor above it, so that it can be moved; where `folder`
    /// alone is moved, they are found where they were.
    pub fn to_yaml_in(&self, folder: &Path, definitions: &Definitions) -> String {
        let mut recipe = self.clone();
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let has_relative = paths::write_in(&mut recipe, definitions, folder, home.as_deref());
        let text = serde_saphyr::to_string(&recipe)
            .expect("a recipe has string keys and finite numbers, so it always serializes");
        match folder.to_str().filter(|folder| has_relative && !folder.contains(char::is_control)) {
            Some(folder) => format!("{WRITTEN_IN}{folder}\n{text}"),
            None => text,
        }
    }

    /// The same with paths as a text has them, in which a dollar sign is written twice.
    #[must_use]
    pub fn escaped(&self, definitions: &Definitions) -> Self {
        let mut recipe = self.clone();
        paths::escape(&mut recipe, definitions);
        recipe
    }

    /// The same with every path empty, those among the options of choices too, which `definitions` say: what two recipes do is
    /// compared by it, wherever their files lie.
    #[must_use]
    pub fn without_paths(&self, definitions: &Definitions) -> Self {
        let mut recipe = self.clone();
        paths::forget(&mut recipe, definitions);
        recipe
    }

    /// The same with the names of files and folders in place of their paths, those among the options of choices too, which `definitions`
    /// say: for what is read elsewhere, where the folders above them say nothing and may name a person.
    #[must_use]
    pub fn without_folders(&self, definitions: &Definitions) -> Self {
        let mut recipe = self.clone();
        paths::leave_names(&mut recipe, definitions);
        recipe
    }
}

impl RecipeText {
    /// The recipe that the text says.
    ///
    /// # Errors
    /// All that is wrong with it, each with its place.
    pub fn recipe(&self) -> Result<Recipe, SchemaError> {
        match self.examine(&Definitions::default()) {
            (Some(recipe), faults) if faults.is_empty() => Ok(recipe),
            (_, faults) => Err(self.refuse(faults)),
        }
    }

    /// The error that tells these faults.
    pub fn refuse(&self, faults: Vec<Fault>) -> SchemaError {
        SchemaError::Recipe { path: self.name().into(), faults: self.place(faults) }
    }

    /// All that is wrong with the text, and the recipe as far as it can be told: what is wrong is left out of it.
    /// `definitions` say which names and options there are.
    pub fn examine(&self, definitions: &Definitions) -> (Option<Recipe>, Vec<Fault>) {
        self.examine_in(definitions, &|variable| self.variable(variable))
    }

    /// The environment variables that its paths name, with their values; those that are not set are not among them, nor is `HOME`: the
    /// home folder is everybody's own.
    pub fn variables(&self, definitions: &Definitions) -> BTreeMap<String, String> {
        let asked = RefCell::new(BTreeMap::new());
        self.examine_in(definitions, &|name| {
            let value = self.variable(name)?;
            asked.borrow_mut().insert(name.to_owned(), value.clone());
            Some(value)
        });
        let mut asked = asked.into_inner();
        asked.remove("HOME");
        asked
    }

    fn examine_in(&self, definitions: &Definitions, environment: Environment<'_>) -> (Option<Recipe>, Vec<Fault>) {
        if let Some(fault) = version(&self.value) {
            return (None, vec![fault]);
        }
        let shape = Shape::new(definitions);
        let mut faults = shape.faults(&self.value);
        let mut value = self.value.clone();
        without(&mut value, &faults);
        let mut shortened = close_gaps(&mut value, "");
        let mut recipe = None;
        while recipe.is_none() && faults.len() < MOST_FAULTS {
            match typed(&value) {
                Ok(read) => recipe = Some(read),
                Err(fault) if faults.iter().any(|other| other.place == fault.place) => break,
                // Behind an item that was taken out, places are no longer those of the text.
                Err(fault) if within(&shortened, &fault.place) => break,
                Err(fault) => {
                    without(&mut value, std::slice::from_ref(&fault));
                    shortened.extend(close_gaps(&mut value, ""));
                    faults.push(fault);
                }
            }
        }
        if let Some(recipe) = &mut recipe {
            let working = self.working.clone().unwrap_or_else(working_directory);
            let places = PathPlaces { text: self, working: &working };
            let mut later = ranges::faults(recipe);
            later.extend(paths::resolve(recipe, definitions, &places, environment));
            // What was told already is not told of the value that stands in for it.
            later.retain(|fault| {
                !faults.iter().any(|told| told.touches(&fault.place)) && !within(&shortened, &fault.place)
            });
            faults.extend(later);
        }
        (recipe, advice::advise(faults, &self.value, &shape))
    }
}

fn working_directory() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}

/// Before all else: the keys of another version may well be others.
fn version(recipe: &Value) -> Option<Fault> {
    let wrong = |message: String| Some(Fault::value("version", message));
    match recipe.get("version") {
        None | Some(Value::Null) => wrong(format!("missing; write `version: {}`", Recipe::VERSION)),
        Some(version) if version.as_u64() == Some(u64::from(Recipe::VERSION)) => None,
        Some(other) => wrong(format!("wanted {}, got {}; this build reads no other", Recipe::VERSION, got(other))),
    }
}

/// Takes out a key that has dots in itself, as `--set` has them; `false` where there is none.
fn without_dotted_key(recipe: &mut Value, place: &str) -> bool {
    let ends = std::iter::once(0).chain(place.match_indices('.').map(|(end, _)| end + 1));
    ends.take_while(|end| place[*end..].contains('.')).any(|end| {
        let parent = at_mut(recipe, place[..end].trim_end_matches('.'));
        parent.and_then(Value::as_object_mut).is_some_and(|map| map.shift_remove(&place[end..]).is_some())
    })
}

/// Takes out what is wrong, so that the rest can be looked at. What a recipe cannot do without gets a stand-in.
fn without(recipe: &mut Value, faults: &[Fault]) {
    // List items from the last to the first: taking one out moves those behind it.
    for Fault { place, .. } in faults.iter().rev() {
        if without_dotted_key(recipe, place) {
            continue;
        }
        let (parent, key) = match place.rfind(['.', '[']) {
            Some(end) => (&place[..end], place[end + 1..].trim_end_matches(']')),
            None => ("", place.as_str()),
        };
        match at_mut(recipe, parent) {
            Some(Value::Object(map)) => drop(map.shift_remove(key)),
            Some(Value::Array(list)) => {
                if let Some(index) = key.parse::<usize>().ok().filter(|index| *index < list.len()) {
                    // A gap keeps the places of the others; something stands in for it below.
                    list[index] = Value::Null;
                }
            }
            _ => {}
        }
        if matches!(at(recipe, parent), Some(Value::Object(map)) if map.is_empty()) && !parent.is_empty() {
            // An empty choice says nothing; its default does.
            let parent = Fault::value(parent, "");
            if !matches!(parent.place.as_str(), "data" | "model") {
                without(recipe, &[parent]);
            }
        }
    }
    stand_in(recipe);
}

/// Takes the gaps out of the lists that have no stand-in; returns the places of these lists.
fn close_gaps(value: &mut Value, place: &str) -> Vec<String> {
    match value {
        Value::Array(items) => {
            let before = items.len();
            items.retain(|item| !item.is_null());
            let shortened = (items.len() < before).then(|| place.to_owned());
            let below = items.iter_mut().enumerate().flat_map(|(at, item)| close_gaps(item, &format!("{place}[{at}]")));
            shortened.into_iter().chain(below).collect()
        }
        Value::Object(map) => {
            let place_of = |key: &str| if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") };
            map.iter_mut().flat_map(|(key, item)| close_gaps(item, &place_of(key))).collect()
        }
        _ => Vec::new(),
    }
}

fn within(lists: &[String], place: &str) -> bool {
    lists.iter().any(|list| place.strip_prefix(list.as_str()).is_some_and(|rest| rest.starts_with('[')))
}

fn stand_in(recipe: &mut Value) {
    let Some(map) = recipe.as_object_mut() else { return };
    let data = map.entry("data").or_insert(json!({}));
    if let Some(data) = data.as_object_mut() {
        data.entry("train").or_insert(json!("stand-in"));
    }
    if let Some(model) = map.get_mut("model").and_then(Value::as_object_mut) {
        model.entry("path").or_insert(json!("stand-in"));
    }
    for choices in [
        "transforms.train",
        "transforms.evaluate",
        "training.metrics",
        "evaluation.test_time_augmentation.transforms",
        "output.logs",
    ] {
        if let Some(list) = at_mut(recipe, choices).and_then(Value::as_array_mut) {
            list.iter_mut().filter(|item| item.is_null()).for_each(|item| *item = json!("stand-in"));
        }
    }
    if let Some(list) = at_mut(recipe, "model.train").and_then(Value::as_array_mut) {
        list.iter_mut().filter(|item| item.is_null()).for_each(|item| *item = json!("head"));
    }
    if let Some(list) = at_mut(recipe, "training.learning_rate_multipliers").and_then(Value::as_array_mut) {
        let whole = |item: &Value| item.get("match").is_some() && item.get("multiplier").is_some();
        let neutral = json!({"match": "*", "multiplier": 1});
        list.iter_mut().filter(|item| !whole(item)).for_each(|item| *item = neutral.clone());
    }
    for place in ["training.unfreeze", "training.freeze"] {
        if let Some(list) = at_mut(recipe, place).and_then(Value::as_array_mut) {
            let whole = |item: &Value| item.get("at").is_some() && item.get("layers").is_some();
            let neutral = json!({"at": {"epoch": 1}, "layers": {}});
            list.iter_mut().filter(|item| !whole(item)).for_each(|item| *item = neutral.clone());
        }
    }
}

fn at_mut<'a>(recipe: &'a mut Value, place: &str) -> Option<&'a mut Value> {
    let mut parts = place.split(['.', '[']).map(|part| part.trim_end_matches(']')).filter(|part| !part.is_empty());
    parts.try_fold(recipe, |value, part| match value {
        Value::Array(items) => items.get_mut(part.parse::<usize>().ok()?),
        other => other.get_mut(part),
    })
}

/// What the schema allows is typed; forms that only a type knows (bytes, transforms) are told here.
fn typed(value: &Value) -> Result<Recipe, Fault> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let place = match error.path().to_string() {
            place if place == "." => String::new(),
            place => place,
        };
        let message = in_words(&error.inner().to_string(), at(value, &place));
        Fault::value(place, message)
    })
}

/// What our own types say stands as it is; where the deserializer speaks, only what it wanted is taken from it.
fn in_words(message: &str, found: Option<&Value>) -> String {
    match (message.rsplit_once(", expected "), found) {
        (Some((_, wanted)), Some(found)) => format!("wanted {}, got {}", plain(wanted), brief(found)),
        _ => shown_up_to(message.replace("missing field", "missing key"), 400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Choice;
    use crate::recipe::{ByteSize, TrainSelection};

    const WHOLE: &str = "
version: 1
seed: 7
model:
  path: model.onnx
  train: {last: 3}
data:
  train: train-*.parquet
  evaluate: /data/test.parquet
  memory: 512 MiB
transforms:
  train:
    - resize: {width: 8, height: 8}
    - horizontal_flip
training:
  epochs: 2
  optimizer: {sgd: {learning_rate: 0.1}}
  schedule: {cosine: {warmup: 0.1}}
output:
  folder: ../runs/a
";

    fn load(text: &str, overrides: &[&str]) -> Result<Recipe, SchemaError> {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.into()).collect();
        let text = RecipeText::new(text, Path::new("recipe.yaml"), Path::new("/home/me/recipes"), &overrides)?;
        match text.examine(&Definitions::example()) {
            (Some(recipe), faults) if faults.is_empty() => Ok(recipe),
            (_, faults) => Err(text.refuse(faults)),
        }
    }

    #[test]
    fn a_recipe_without_folders_has_the_names_of_its_files() {
        let recipe = load(WHOLE, &[]).unwrap().without_folders(&Definitions::example());
        let (model, data) = (recipe.model.unwrap(), recipe.data);
        assert_eq!((model.path.to_str(), recipe.output.folder.to_str()), (Some("model.onnx"), Some("a")));
        assert_eq!(serde_json::to_value(&data.train).unwrap(), "train-*.parquet");
        assert_eq!(serde_json::to_value(&data.evaluate).unwrap(), "test.parquet");
    }

    #[test]
    fn values_of_variables_that_were_noted_hold_where_the_environment_has_none_or_before_it() {
        let text = "version: 1\nmodel: {path: \"${MILLSTREAM_NOT_SET}/m.onnx\"}\ndata: {train: \"$PATH/a.parquet\"}\n";
        let text = RecipeText::new(text, Path::new("r.yaml"), Path::new("/b"), &[]).unwrap();
        let path = std::env::var("PATH").unwrap();
        let noted = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "/noted".to_owned())).collect();
        assert!(text.recipe().is_err());
        assert_eq!(text.variables(&Definitions::default()).into_keys().collect::<Vec<_>>(), ["PATH"]);
        let reserve = text.clone().with_variables_in_reserve(noted(&["MILLSTREAM_NOT_SET", "PATH", "OTHER"]));
        let recipe = reserve.recipe().unwrap();
        assert_eq!(recipe.model.unwrap().path, Path::new("/noted/m.onnx"));
        assert!(recipe.data.train[0].starts_with(path.split(':').next().unwrap()), "{}", recipe.data.train[0]);
        let wanted = [("MILLSTREAM_NOT_SET", "/noted"), ("PATH", path.as_str())];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(reserve.variables(&Definitions::default()).into_iter().collect::<Vec<_>>(), wanted);
        let first = text.with_variables(noted(&["MILLSTREAM_NOT_SET", "PATH"]));
        assert_eq!(first.recipe().unwrap().data.train[0], "/noted/a.parquet");
    }

    #[test]
    fn a_path_below_the_home_folder_names_no_variable() {
        for path in ["~/a.parquet", "$HOME/a.parquet"] {
            let text = format!("version: 1\nmodel: {{path: m.onnx}}\ndata: {{train: \"{path}\"}}\n");
            let text = RecipeText::new(&text, Path::new("r.yaml"), Path::new("/b"), &[]).unwrap();
            let text = text.with_variables([("HOME".to_owned(), "/home/me".to_owned())].into());
            assert_eq!(text.recipe().unwrap().data.train[0], "/home/me/a.parquet");
            assert!(text.variables(&Definitions::default()).is_empty(), "{path}");
        }
    }

    #[test]
    fn whole_recipe_is_read_and_its_paths_are_absolute() {
        let recipe = load(WHOLE, &[]).unwrap();
        assert_eq!(recipe.seed, 7);
        let model = recipe.require_model("train").unwrap();
        assert_eq!(model.path, Path::new("/home/me/recipes/model.onnx"));
        assert_eq!(model.train, TrainSelection::Last(3));
        assert_eq!(*recipe.data.train, ["/home/me/recipes/train-*.parquet"]);
        assert_eq!(recipe.data.evaluate, Some("/data/test.parquet".to_owned().into()));
        assert_eq!(recipe.data.memory, ByteSize(512 << 20));
        assert_eq!(recipe.output.folder, Path::new("/home/me/runs/a"));
        assert_eq!(recipe.training.optimizer, Choice::new("sgd", json!({"learning_rate": 0.1})));
    }

    #[test]
    fn yaml_written_out_reads_back_the_same() {
        let recipe = load(WHOLE, &["data.damaged={quarantine: bad.jsonl}"]).unwrap();
        assert_eq!(load(&recipe.to_yaml(), &[]).unwrap(), recipe, "{}", recipe.to_yaml());
    }

    #[test]
    fn overrides_come_first_and_their_paths_start_from_the_working_directory() {
        let overrides = ["training.epochs=9", "transforms.train.0.resize.width=16", "output.folder=here"];
        let recipe = load(WHOLE, &overrides).unwrap();
        assert_eq!(recipe.training.epochs, 9);
        assert_eq!(recipe.transforms.train[0].options["width"], 16);
        assert_eq!(recipe.output.folder, std::env::current_dir().unwrap().join("here"));
        let learning_rate = load(WHOLE, &["training.optimizer={adamw: {learning_rate: 1e-3}}"]).unwrap();
        assert_eq!(learning_rate.training.optimizer, Choice::new("adamw", json!({"learning_rate": 1e-3})));
    }

    #[test]
    fn a_key_with_dots_in_itself_hides_no_other_mistake() {
        let text = WHOLE.replace("seed: 7", "seed: 7\ntraining.epochz: 3\ndata.batchs: 4");
        let message = load(&text, &["data.workers=many"]).unwrap_err().to_string();
        for part in ["`training.epochz`", "`data.batchs`", "data.workers"] {
            assert!(message.contains(part), "{part} in {message}");
        }
    }

    #[test]
    fn rows_may_lie_in_several_places() {
        let recipe = load(WHOLE, &["data.train=[/a.parquet, /b/../c-*.parquet]"]).unwrap();
        assert_eq!(recipe.data.train.to_string(), "/a.parquet, /c-*.parquet");
        assert_eq!(load(&recipe.to_yaml(), &[]).unwrap(), recipe, "{}", recipe.to_yaml());
        let working = std::env::current_dir().unwrap();
        for (list, wanted) in
            [("[a]", vec![working.join("x")]), ("[a, b]", vec![working.join("x"), "/home/me/recipes/b".into()])]
        {
            let recipe = load(&WHOLE.replace("train-*.parquet", list), &["data.train.0=x"]).unwrap();
            assert_eq!(recipe.data.train.iter().map(std::path::PathBuf::from).collect::<Vec<_>>(), wanted);
        }
        let beside = load(&WHOLE.replace("train-*.parquet", "[a, b]"), &[]).unwrap();
        assert_eq!(beside.data.train.to_string(), "/home/me/recipes/a, /home/me/recipes/b");
        for (train, wanted) in [
            ("[]", "data.train: wanted text or a list, got an empty list"),
            ("[a, '']", "data.train: wanted some text"),
            ("[3]", "data.train[0]: "),
        ] {
            let message = load(WHOLE, &[&format!("data.train={train}")]).expect_err(wanted).to_string();
            assert!(message.starts_with(wanted), "{message}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let rows: &[(&[&str], &str)] = &[
            (&["version=2"], "version: wanted 1, got 2"),
            (&["version=null"], "version: missing"),
            (
                &["transforms.train=[{rotate: null, degrees: 15}]"],
                "transforms.train[0]: `degrees` stands beside `rotate`; indent it",
            ),
            (&["training.layer_decay=fast"], "training.layer_decay: wanted a number, got `fast`"),
            (&["training.epocs=3"], "unknown key `epocs` in training; did you mean `epochs`?"),
            (&["trainin.epochs=3"], "unknown key `trainin` in the recipe; did you mean `training`?"),
            (&["training.optimizer={adam: {}}"], "unknown key `adam` in training.optimizer; did you mean `adamw`?"),
            (
                &["training.optimizer.sgd.learning_rat=1"],
                "unknown key `learning_rat` in training.optimizer.sgd; did you mean `learning_rate`?",
            ),
            (
                &["training.optimizer=adam"],
                "training.optimizer: wanted `adamw`, `sgd`, `{adamw: …}` or `{sgd: …}`, got `adam`",
            ),
            (
                &["training.learning_rate_multipliers=[{match: a, multiplier: 1, also: 2}]"],
                "unknown key `also` in training.learning_rate_multipliers[0]",
            ),
            (&["data.memory=512"], "data.memory: `512` has no unit of bytes"),
            (&["data.memory=512 pixels"], "data.memory: `512 pixels` has no unit of bytes"),
            (&["data.memory=[]"], "data.memory: wanted a number of bytes with its unit"),
            (&["training.epochs=3 epochs"], "training.epochs: wanted a whole number of 1 or more, got `3 epochs`"),
            (&["training.epochs=-1"], "training.epochs: wanted 1 or more, got -1"),
            (&["training.epochs=0"], "training.epochs: wanted 1 or more, got 0"),
            (&["data.batch=0"], "data.batch: wanted 1 or more, got 0"),
            (
                &["training.optimizer.sgd.learning_rate=0"],
                "training.optimizer.sgd.learning_rate: wanted above 0, got 0",
            ),
            (&["training.optimizer.sgd.momentum=1"], "training.optimizer.sgd.momentum: wanted 0 to below 1, got 1"),
            (&["training.label_smoothing=1"], "training.label_smoothing: wanted 0 to below 1, got 1"),
            (&["training.layer_decay=2"], "training.layer_decay: wanted above 0 and at most 1, got 2"),
            (&["training.schedule={cosine: {warmup: 1.5}}"], "training.schedule.cosine.warmup: wanted 0 to 1, got 1.5"),
            (&["training.device=gpu"], "training.device: wanted `auto`, `cpu`, `cuda` or `cuda:N`, got `gpu`"),
            (&["training.gradient_clip_norm=-1"], "training.gradient_clip_norm: wanted above 0, got -1"),
            (&["model.train={last: 0}"], "model.train.last: wanted 1 or more, got 0"),
            (&["model.train={match: []}"], "model.train.match: wanted at least one pattern"),
            (&["model.train=[]"], "model.train: wanted "),
            (
                &["model.train=[norms, nroms]"],
                "model.train[1]: wanted `all`, `biases`, `embeddings`, `head`, `norms` or a mapping",
            ),
            (&["model.train=[norms, {last: 0}]"], "model.train[1].last: wanted 1 or more, got 0"),
            (&["model.train=[{kid: norms}]"], "unknown key `kid` in model.train[0]; did you mean `kind`?"),
            (&["model.train=[{}]"], "model.train[0]: it states nothing; write `all`"),
            (&["model.train=[{match: ['']}]"], "model.train[0].match: wanted some text, got nothing"),
            (&["output.checkpoint.keep=0"], "output.checkpoint.keep: wanted 1 or more, got 0"),
            (&["data.train=${MILLSTREAM_NOT_SET}/x"], "data.train: the environment variable `MILLSTREAM_NOT_SET`"),
            (&["data.train=${OPEN/x"], "data.train: `${` without `}`"),
            (&["data=3"], "data: wanted a mapping with keys such as `train`, `evaluate`"),
            (&["transforms.train=[{a: 1, b: 2}]"], "transforms.train[0]: `a` and `b` stand in one list item"),
            (&["training.epochs"], "`--set training.epochs`: write a dotted key"),
            (&["version.a=1"], "cannot be looked up in what is a number"),
            (&["transforms.train.7=a"], "`7` is no item of a list of 2"),
        ];
        for (overrides, wanted) in rows {
            let message = load(WHOLE, overrides).expect_err(wanted).to_string();
            assert!(message.contains(wanted), "{overrides:?}\nwanted: {wanted}\n   got: {message}");
        }
    }

    #[test]
    fn an_item_with_a_mistake_is_not_told_as_null_too() {
        let rows: &[(&[&str], &str)] = &[
            (
                &["training.groups=[{kind: norms, weight_decy: 0}, {kind: norms}]"],
                "unknown key `weight_decy` in training.groups[0]",
            ),
            (&["model.initialize=[{match: a, wiht: zeros}]"], "unknown key `wiht` in model.initialize[0]"),
            (&["output.adapter_files=[pfet]"], "output.adapter_files[0]"),
        ];
        for (overrides, wanted) in rows {
            let message = load(WHOLE, overrides).expect_err(wanted).to_string();
            assert!(message.contains(wanted) && !message.contains("null"), "{overrides:?}\n   got: {message}");
        }
    }

    #[test]
    fn text_that_is_no_recipe() {
        for text in ["", "hello", "- a\n- b", "a: [", "a: 1\na: 2", "\u{0}", "x: &a [*a]"] {
            let error = load(text, &[]).expect_err(text);
            assert!(matches!(error, SchemaError::Recipe { .. } | SchemaError::NoRecipe { .. }), "{text:?}: {error}");
        }
        let missing = Recipe::load(Path::new("/nowhere/recipe.yaml")).unwrap_err();
        assert_eq!(missing.to_string(), "cannot read /nowhere/recipe.yaml");
    }
}
