//! The paths of a recipe, made absolute.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::fault::Fault;
use super::local_path::{Environment, local};
use super::text::RecipeText;
use super::written_path::{is_there, relative_path};
use super::{DamagedPolicy, Definitions, FrozenPrefixRecipe, Recipe};

/// Where relative paths start.
pub(super) struct PathPlaces<'a> {
    /// The recipe, which knows its folder and what the command line replaced.
    pub(super) text: &'a RecipeText,
    /// The working directory, for what the command line replaced.
    pub(super) working: &'a Path,
}

/// Makes every path of the recipe absolute, with variables replaced; tells those that cannot be.
pub(super) fn resolve(
    recipe: &mut Recipe,
    definitions: &Definitions,
    places: &PathPlaces<'_>,
    environment: Environment<'_>,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    for_each(recipe, definitions, |path, place| match places.local(path, place, environment) {
        Ok(resolved) => *path = resolved,
        Err(message) => faults.push(Fault::value(place, message)),
    });
    faults
}

/// Writes `$` of absolute paths so that it is read back as itself.
pub(super) fn escape(recipe: &mut Recipe, definitions: &Definitions) {
    for_each(recipe, definitions, |path, _| *path = path.replace('$', "$$"));
}

/// Writes absolute paths as a text in a folder has them; whether any is relative there.
pub(super) fn write_in(recipe: &mut Recipe, definitions: &Definitions, folder: &Path, home: Option<&Path>) -> bool {
    let mut has_relative = false;
    for_each(recipe, definitions, |path, _| {
        if let Some(relative) = relative_path(path, folder, home) {
            (*path, has_relative) = (relative, true);
        }
        *path = path.replace('$', "$$");
    });
    has_relative
}

/// Makes every path empty.
pub(super) fn forget(recipe: &mut Recipe, definitions: &Definitions) {
    for_each(recipe, definitions, |path, _| path.clear());
}

/// Leaves the last part of every path.
pub(super) fn leave_names(recipe: &mut Recipe, definitions: &Definitions) {
    for_each(recipe, definitions, |path, _| {
        let name = Path::new(path.as_str()).file_name().map(|name| name.to_string_lossy().into_owned());
        if let Some(name) = name {
            *path = name;
        }
    });
}

fn for_each(recipe: &mut Recipe, definitions: &Definitions, mut each: impl FnMut(&mut String, &str)) {
    let mut of_path = |path: &mut PathBuf, place: &str| {
        let mut text = path.to_string_lossy().into_owned();
        each(&mut text, place);
        *path = text.into();
    };
    if let Some(model) = &mut recipe.model {
        of_path(&mut model.path, "model.path");
    }
    of_path(&mut recipe.output.folder, "output.folder");
    if let DamagedPolicy::Quarantine(Some(file)) = &mut recipe.data.damaged {
        of_path(file, "data.damaged.quarantine");
    }
    if let FrozenPrefixRecipe::Kept { folder: Some(folder), .. } = &mut recipe.training.frozen_prefix {
        of_path(folder, "training.frozen_prefix.kept.folder");
    }
    let methods = recipe.model.iter_mut().flat_map(|model| model.methods.iter_mut().enumerate());
    for (at, method) in methods {
        for option in definitions.paths("Method", &method.name) {
            if let Some(Value::String(path)) = method.options.get_mut(&option) {
                each(path, &format!("model.methods[{at}].{}.{option}", method.name));
            }
        }
    }
    let data = &mut recipe.data;
    for (choices, place) in [(&mut data.inputs, "data.inputs"), (&mut data.targets, "data.targets")] {
        for (name, choice) in choices.iter_mut() {
            for option in definitions.paths("Encoding", &choice.name) {
                if let Some(Value::String(path)) = choice.options.get_mut(&option) {
                    each(path, &format!("{place}.{name}.{}.{option}", choice.name));
                }
            }
        }
    }
    if let Some(loss) = &mut recipe.training.loss {
        for option in definitions.paths("Loss", &loss.name) {
            if let Some(Value::String(path)) = loss.options.get_mut(&option) {
                each(path, &format!("training.loss.{}.{option}", loss.name));
            }
        }
    }
    for (index, log) in recipe.output.logs.iter_mut().enumerate() {
        for option in definitions.paths("Log", &log.name) {
            if let Some(Value::String(path)) = log.options.get_mut(&option) {
                each(path, &format!("output.logs[{index}].{}.{option}", log.name));
            }
        }
    }
    let data = &mut recipe.data;
    let of_data = [(Some(&mut data.train), "data.train"), (data.evaluate.as_mut(), "data.evaluate")];
    let of_data = of_data.into_iter().filter_map(|(patterns, place)| Some((patterns?, place.to_owned())));
    let sets = recipe.evaluation.sets.iter_mut();
    let of_sets = sets.map(|(name, patterns)| (patterns, format!("evaluation.sets.{name}")));
    for (patterns, place) in of_data.chain(of_sets) {
        let several = patterns.len() > 1;
        for (index, pattern) in patterns.iter_mut().enumerate() {
            let inner = if several { format!("{place}[{index}]") } else { place.clone() };
            each(pattern, &inner);
        }
    }
}

impl PathPlaces<'_> {
    /// Made absolute. What is relative and not there is looked for where the text was written, which may have been moved since.
    fn local(&self, path: &str, place: &str, environment: Environment<'_>) -> Result<String, String> {
        let base = self.base(place);
        let resolved = local(path, base, environment)?;
        let written = self.text.written_in.as_deref().filter(|_| base == self.text.folder && !is_there(&resolved));
        let before = written.and_then(|written| local(path, written, environment).ok());
        Ok(before.filter(|before| is_there(before)).unwrap_or(resolved))
    }

    fn base(&self, place: &str) -> &Path {
        // A list of one pattern has the place of the pattern itself.
        let only = format!("{place}[0]");
        let overridden = [place, only.as_str()].iter().any(|place| self.text.overridden(place).is_some());
        if overridden { self.working } else { &self.text.folder }
    }
}
