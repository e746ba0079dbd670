//! Paths as a recipe writes them, made absolute.

use std::path::{Component, Path, PathBuf};

use super::{DamagedPolicy, Patterns, Recipe};
use crate::SchemaError;

/// Where relative paths start.
pub(super) struct PathPlaces<'a> {
    /// The recipe's folder.
    pub(super) folder: &'a Path,
    /// The working directory, for what the command line replaced.
    pub(super) working: &'a Path,
    /// Dotted keys that were replaced.
    pub(super) overridden: Vec<&'a str>,
}

type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Makes every path of the recipe absolute, with variables replaced.
pub(super) fn resolve(
    recipe: &mut Recipe,
    places: &PathPlaces<'_>,
    environment: Environment<'_>,
) -> Result<(), SchemaError> {
    let resolve_text = |text: &str, place: &str| places.resolve(text, place, environment);
    let resolve_path = |path: &mut PathBuf, place: &str| -> Result<(), SchemaError> {
        *path = resolve_text(&path.to_string_lossy(), place)?.into();
        Ok(())
    };
    if let Some(model) = &mut recipe.model {
        resolve_path(&mut model.path, "model.path")?;
    }
    let data = &mut recipe.data;
    for (patterns, place) in [(Some(&mut data.train), "data.train"), (data.evaluate.as_mut(), "data.evaluate")] {
        for pattern in patterns.into_iter().flat_map(Patterns::iter_mut) {
            *pattern = resolve_text(pattern, place)?;
        }
    }
    if let DamagedPolicy::Quarantine(file) = &mut recipe.data.damaged {
        resolve_path(file, "data.damaged.quarantine")?;
    }
    resolve_path(&mut recipe.output.folder, "output.folder")
}

impl PathPlaces<'_> {
    fn resolve(&self, text: &str, place: &str, environment: Environment<'_>) -> Result<String, SchemaError> {
        let expanded =
            expand(text, environment).map_err(|message| SchemaError::Value { place: place.to_owned(), message })?;
        let holds = |key: &&str| place == *key || place.strip_prefix(*key).is_some_and(|rest| rest.starts_with('.'));
        let base = if self.overridden.iter().any(holds) { self.working } else { self.folder };
        Ok(tidy(&base.join(expanded)).to_string_lossy().into_owned())
    }
}

/// `${NAME}` replaced by the variable's value.
fn expand(text: &str, environment: Environment<'_>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or("`${` without `}`")?;
        let value = environment(name).ok_or_else(|| {
            format!("the environment variable `{name}` is not set (or not UTF-8); it is asked for by `{text}`")
        })?;
        expanded.push_str(before);
        expanded.push_str(&value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Without `.`, and without `..` where a named folder stands before it.
///
/// By the letters alone, as a shell's `cd` does it; links are not followed.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(tidy.components().next_back(), Some(Component::Normal(_))) => {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables() {
        let environment = |name: &str| (name == "A").then(|| "/x".to_owned());
        assert_eq!(expand("${A}/b/${A}", &environment).unwrap(), "/x/b//x");
        assert_eq!(expand("$A {b}", &environment).unwrap(), "$A {b}");
        assert!(expand("${B}", &environment).unwrap_err().contains("`B` is not set"));
    }

    #[test]
    fn dots() {
        for (path, wanted) in
            [("/a/./b/../c", "/a/c"), ("../a", "../a"), ("a/../../b", "../b"), ("/a/*.parquet", "/a/*.parquet")]
        {
            assert_eq!(tidy(Path::new(path)), Path::new(wanted));
        }
    }
}
