//! From a file to a checked [`Recipe`]: overrides, unknown keys, types, ranges, paths, in this order.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::paths::PathPlaces;
use super::{Recipe, paths, ranges, unknown_keys};
use crate::shown;
use crate::{SchemaError, plain};

/// A recipe's text is far smaller; a larger file is something else, given by mistake.
const LARGEST_FILE: u64 = 4 << 20;

impl Recipe {
    /// Reads a YAML or JSON file and checks all that can be told without opening the data or the model.
    ///
    /// Paths in it become absolute: `${NAME}` is replaced by that environment variable, relative ones start from the
    /// folder of the recipe.
    ///
    /// # Errors
    /// The file cannot be read or is not YAML; a key is unknown; a value has the wrong type, unit or range; a variable
    /// is not set. Each names the place as a dotted path.
    pub fn load(path: &Path) -> Result<Self, SchemaError> {
        Self::load_with(path, &[])
    }

    /// As [`Recipe::load`], with values replaced first: `training.epochs=3`. The value is YAML; list items are
    /// addressed by their number from 0. Relative paths among them start from the working directory.
    ///
    /// # Errors
    /// As [`Recipe::load`]; or an override is not `key=value`.
    pub fn load_with(path: &Path, overrides: &[String]) -> Result<Self, SchemaError> {
        let read = |source| SchemaError::Read { path: path.into(), source };
        let length = std::fs::metadata(path).map_err(read)?.len();
        if length > LARGEST_FILE {
            let message = format!("{length} bytes are too many for a recipe; is this the right file?");
            return Err(SchemaError::Syntax { path: path.into(), message });
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        let absolute = std::path::absolute(path).map_err(read)?;
        let folder = absolute.parent().unwrap_or(Path::new("/"));
        Self::from_text(&text, path, folder, overrides)
    }

    /// As [`Recipe::load_with`], for text that is at hand. `name` stands in messages, `folder` is where relative paths
    /// start.
    ///
    /// # Errors
    /// As [`Recipe::load_with`].
    pub fn from_text(text: &str, name: &Path, folder: &Path, overrides: &[String]) -> Result<Self, SchemaError> {
        let mut value = parse(text, name)?;
        for text in overrides {
            replace(&mut value, text)?;
        }
        check_version(&value)?;
        unknown_keys::check(&value)?;
        let mut recipe = typed(value)?;
        ranges::check(&recipe)?;
        let overridden = overrides.iter().filter_map(|text| Some(text.split_once('=')?.0.trim()));
        let places = PathPlaces { folder, working: &working_directory(), overridden: overridden.collect() };
        paths::resolve(&mut recipe, &places, &|variable| std::env::var(variable).ok())?;
        Ok(recipe)
    }

    /// The recipe as YAML that [`Recipe::load`] reads back to the same value.
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).expect("a recipe has string keys and finite numbers, so it always serializes")
    }
}

fn working_directory() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}

fn parse(text: &str, name: &Path) -> Result<Value, SchemaError> {
    let syntax = |message: String| SchemaError::Syntax { path: name.into(), message };
    // JSON is YAML, but its own parser says more plainly what is wrong with it.
    let value: Value = if name.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
        serde_json::from_str(text).map_err(|error| syntax(error.to_string()))?
    } else {
        serde_saphyr::from_str(text).map_err(|error| syntax(error.to_string()))?
    };
    match value {
        Value::Object(_) => Ok(value),
        other => Err(syntax(format!("a recipe is a list of `key: value` lines, this is {}", kind(&other)))),
    }
}

/// What a value is, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// Carries out one `key=value`.
fn replace(recipe: &mut Value, text: &str) -> Result<(), SchemaError> {
    let wrong = |message: String| SchemaError::Value { place: format!("`--set {}`", shown(text)), message };
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| wrong("write a dotted key, `=` and a value, for example `training.epochs=3`".into()))?;
    let value: Value = serde_saphyr::from_str(value).map_err(|error| wrong(error.to_string()))?;
    let mut place = recipe;
    for part in key.trim().split('.') {
        if place.is_null() {
            *place = Value::Object(Map::new());
        }
        let found = kind(place);
        place = match place {
            Value::Object(map) if !part.is_empty() => map.entry(part).or_insert(Value::Null),
            Value::Array(list) => {
                let length = list.len();
                let item = part.parse::<usize>().ok().and_then(|index| list.get_mut(index));
                item.ok_or_else(|| wrong(format!("`{}` is no item of a list of {length}", shown(part))))?
            }
            _ => return Err(wrong(format!("`{}` cannot be looked up in what is {found}", shown(part)))),
        };
    }
    *place = value;
    Ok(())
}

/// Before all else: the keys of another version may well be others.
fn check_version(recipe: &Value) -> Result<(), SchemaError> {
    let wrong = |message: String| Err(SchemaError::Value { place: "version".into(), message });
    match recipe.get("version") {
        None | Some(Value::Null) => wrong(format!("missing; write `version: {}`", Recipe::VERSION)),
        Some(version) if version.as_u64() == Some(u64::from(Recipe::VERSION)) => Ok(()),
        Some(other) => {
            wrong(format!("wanted {}, got {}; this build reads no other", Recipe::VERSION, shown(other.to_string())))
        }
    }
}

fn typed(value: Value) -> Result<Recipe, SchemaError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let place = match error.path().to_string().as_str() {
            "." => "the recipe".to_owned(),
            place => place.to_owned(),
        };
        SchemaError::Value { place, message: in_words(&error.inner().to_string()) }
    })
}

/// The deserializer's message without the names of Rust types.
fn in_words(message: &str) -> String {
    let message: String = message.chars().take(400).collect();
    match message.rsplit_once(", expected ") {
        Some((got, wanted)) => format!("{got}, wanted {}", plain(wanted)),
        None => message.replace("missing field", "missing key"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{ByteSize, OptimizerRecipe, TrainSelection};

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
        Recipe::from_text(text, Path::new("recipe.yaml"), Path::new("/home/me/recipes"), &overrides)
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
        assert!(matches!(recipe.training.optimizer, OptimizerRecipe::Sgd(sgd) if sgd.learning_rate == 0.1));
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
        assert_eq!(learning_rate.training.optimizer.learning_rate(), 1e-3);
    }

    #[test]
    fn rows_may_lie_in_several_places() {
        let recipe = load(WHOLE, &["data.train=[/a.parquet, /b/../c-*.parquet]"]).unwrap();
        assert_eq!(recipe.data.train.to_string(), "/a.parquet, /c-*.parquet");
        assert_eq!(load(&recipe.to_yaml(), &[]).unwrap(), recipe, "{}", recipe.to_yaml());
        let beside = load(&WHOLE.replace("train-*.parquet", "[a, b]"), &[]).unwrap();
        assert_eq!(beside.data.train.to_string(), "/home/me/recipes/a, /home/me/recipes/b");
        for (train, wanted) in [
            ("[]", "data.train: wanted a path or pattern, or a list of them, got an empty list"),
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
            (&["training.layer_decay=fast"], "training.layer_decay: invalid type: string \"fast\", wanted a number"),
            (&["training.epocs=3"], "unknown key `epocs` in training; did you mean `epochs`?"),
            (&["trainin.epochs=3"], "unknown key `trainin` in the recipe; did you mean `training`?"),
            (&["training.optimizer={adam: {}}"], "unknown key `adam` in training.optimizer; did you mean `adamw`?"),
            (
                &["training.optimizer.sgd.learning_rat=1"],
                "unknown key `learning_rat` in training.optimizer.sgd; did you mean `learning_rate`?",
            ),
            (&["training.optimizer=adam"], "training.optimizer: unknown variant `adam`"),
            (
                &["training.learning_rate_multipliers=[{match: a, multiplier: 1, also: 2}]"],
                "unknown key `also` in training.learning_rate_multipliers[0]",
            ),
            (&["data.memory=512"], "data.memory: `512` has no unit of bytes"),
            (&["data.memory=512 pixels"], "data.memory: `512 pixels` has no unit of bytes"),
            (&["data.memory=[]"], "data.memory: invalid type: sequence, wanted a number of bytes with its unit"),
            (
                &["training.epochs=3 epochs"],
                "training.epochs: invalid type: string \"3 epochs\", wanted a whole number",
            ),
            (
                &["training.epochs=-1"],
                "training.epochs: invalid value: integer `-1`, wanted a whole number of 0 or more",
            ),
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
            (&["output.checkpoint.keep=0"], "output.checkpoint.keep: wanted 1 or more, got 0"),
            (&["data.train=${MILLSTREAM_NOT_SET}/x"], "data.train: the environment variable `MILLSTREAM_NOT_SET`"),
            (&["data.train=${OPEN/x"], "data.train: `${` without `}`"),
            (&["data=3"], "data: invalid type: integer `3`"),
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
    fn text_that_is_no_recipe() {
        for text in ["", "hello", "- a\n- b", "a: [", "a: 1\na: 2", "\u{0}", "x: &a [*a]"] {
            let error = load(text, &[]).expect_err(text);
            assert!(matches!(error, SchemaError::Syntax { .. } | SchemaError::Value { .. }), "{text:?}: {error}");
        }
        let missing = Recipe::load(Path::new("/nowhere/recipe.yaml")).unwrap_err();
        assert_eq!(missing.to_string(), "cannot read /nowhere/recipe.yaml");
    }
}
