//! A recipe as it was written: its file and what the command line changes of it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::definitions::SCHEMA_KEY;
use super::fault::Fault;
use super::flow;
use super::kind::kind;
use super::placed_fault::{Excerpt, PlacedFault, WrittenAt};
use super::places::{BadText, Places};
use super::syntax;
use super::written_path::written_in;
use crate::{SchemaError, shown, shown_up_to};

/// A recipe's text is far smaller; a larger file is something else, given by mistake.
const LARGEST_FILE: u64 = 4 << 20;

/// A recipe as it was written: a YAML or JSON file, and values that replace some of it.
#[derive(Clone, Debug)]
pub struct RecipeText {
    name: PathBuf,
    pub(super) folder: PathBuf,
    /// Where it was written, where it says so.
    pub(super) written_in: Option<PathBuf>,
    text: String,
    places: Places,
    /// Dotted keys, list items by number, and the arguments they came in.
    overrides: Vec<(String, String)>,
    pub(super) value: Value,
    /// Where relative paths of arguments start; the working directory of the process where it is not said.
    pub(super) working: Option<PathBuf>,
    /// Values of environment variables that were noted, and whether they hold before those of the environment.
    noted: BTreeMap<String, String>,
    noted_come_first: bool,
}

impl RecipeText {
    /// Reads a YAML or JSON file. `overrides` replace values: `training.epochs=3`; the value is YAML, list items are
    /// addressed by their number from 0.
    ///
    /// # Errors
    /// The file cannot be read or is not YAML, or an override is not `key=value`.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, SchemaError> {
        let read = |source| SchemaError::Read { path: path.into(), source };
        let length = std::fs::metadata(path).map_err(read)?.len();
        if length > LARGEST_FILE {
            let message = format!("{length} bytes are too many for a recipe; is this the right file?");
            return Err(SchemaError::NoRecipe { path: path.into(), message });
        }
        let bytes = std::fs::read(path).map_err(read)?;
        let Ok(text) = String::from_utf8(bytes) else {
            let message = "this is no text (UTF-8); a recipe is a YAML or JSON file".into();
            return Err(SchemaError::NoRecipe { path: path.into(), message });
        };
        let absolute = std::path::absolute(path).map_err(read)?;
        Self::new(&text, path, absolute.parent().unwrap_or(Path::new("/")), overrides)
    }

    /// As [`RecipeText::read`], for text that is at hand. `name` stands in messages, `folder` is where relative paths
    /// start.
    ///
    /// # Errors
    /// As [`RecipeText::read`].
    pub fn new(text: &str, name: &Path, folder: &Path, overrides: &[String]) -> Result<Self, SchemaError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let (places, bad) = Places::of(&text);
        let (overrides_done, value, working) = (Vec::new(), Value::Null, None);
        let (name, folder) = (name.into(), folder.into());
        let written_in = written_in(&text);
        let mut this = Self {
            name,
            folder,
            written_in,
            text,
            places,
            overrides: overrides_done,
            value,
            working,
            noted: BTreeMap::new(),
            noted_come_first: false,
        };
        this.value = this.parse(bad)?;
        // for editors alone
        let of_editors = this.value.get(SCHEMA_KEY).is_some_and(Value::is_string);
        if let Some(map) = this.value.as_object_mut().filter(|_| of_editors) {
            map.remove(SCHEMA_KEY);
        }
        let mut faults = Vec::new();
        for argument in overrides {
            match replace(&mut this.value, argument) {
                Ok(key) => this.overrides.push((key, argument.clone())),
                Err(fault) => {
                    faults.push(PlacedFault { fault, at: WrittenAt::Argument(argument.clone()) });
                }
            }
        }
        if faults.is_empty() { Ok(this) } else { Err(SchemaError::Recipe { path: this.name, faults }) }
    }

    /// What the file is called in messages.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The text itself, without what replaces some of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The folder where relative paths start.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the recipe says, with what replaces some of it; as it is written, unchecked.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The same text with another value in place of what it says: places of faults are still looked for in it.
    #[must_use]
    pub fn with_value(&self, value: Value) -> Self {
        Self { value, ..self.clone() }
    }

    /// The same, where relative paths of arguments start from this folder.
    #[must_use]
    pub fn in_working_directory(self, working: PathBuf) -> Self {
        Self { working: Some(working), ..self }
    }

    /// Where relative paths of arguments start, if that was said.
    pub fn working_directory(&self) -> Option<&Path> {
        self.working.as_deref()
    }

    /// The same, where paths that name environment variables have these values of them, whatever the environment says.
    #[must_use]
    pub fn with_variables(self, values: BTreeMap<String, String>) -> Self {
        Self { noted: values, noted_come_first: true, ..self }
    }

    /// The same, where paths that name environment variables have these values of those that the environment lacks.
    #[must_use]
    pub fn with_variables_in_reserve(self, values: BTreeMap<String, String>) -> Self {
        Self { noted: values, noted_come_first: false, ..self }
    }

    /// The value of an environment variable, as paths of this text have it.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let noted = || self.noted.get(name).cloned();
        let of_environment = || std::env::var(name).ok();
        if self.noted_come_first { noted().or_else(of_environment) } else { of_environment().or_else(noted) }
    }

    /// What replaces some of the text, `training.epochs=3`, in the order in which it was given.
    pub fn arguments(&self) -> Vec<String> {
        self.overrides.iter().map(|(_, argument)| argument.clone()).collect()
    }

    /// Where each fault is written, in the order of the file.
    pub fn place(&self, faults: Vec<Fault>) -> Vec<PlacedFault> {
        let place = |fault: Fault| PlacedFault { at: self.written_at(&fault), fault };
        let mut faults: Vec<_> = faults.into_iter().map(place).collect();
        faults.sort_by_key(|fault| match &fault.at {
            WrittenAt::Line(excerpt) => (0, excerpt.line, excerpt.column),
            WrittenAt::Argument(_) => (1, 0, 0),
            WrittenAt::Nowhere => (2, 0, 0),
        });
        faults
    }

    /// The argument that a place comes from, if any.
    pub(super) fn overridden(&self, place: &str) -> Option<&str> {
        let place = numbered(place);
        let holds = |key: &str| place.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.overrides.iter().rev().find(|(key, _)| holds(key)).map(|(_, argument)| argument.as_str())
    }

    fn written_at(&self, fault: &Fault) -> WrittenAt {
        if let Some(argument) = self.overridden(&fault.place) {
            return WrittenAt::Argument(argument.into());
        }
        let Some((place, spot)) = self.places.nearest(&fault.place) else { return WrittenAt::Nowhere };
        let [first, second] = match fault.at_key || place != fault.place {
            true => [&spot.key, &spot.value],
            false => [&spot.value, &spot.key],
        };
        match first.clone().or(second.clone()) {
            Some(range) => WrittenAt::Line(self.excerpt(&range)),
            None => WrittenAt::Nowhere,
        }
    }

    fn excerpt(&self, range: &Range<usize>) -> Excerpt {
        let start = floor(&self.text, range.start);
        let end = floor(&self.text, range.end).max(start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |newline| start + newline);
        Excerpt {
            file: self.name.clone(),
            line: self.text[..start].matches('\n').count() + 1,
            column: self.text[line_start..start].chars().count() + 1,
            length: self.text[start..end.min(line_end)].trim_end().chars().count().max(1),
            text: self.text[line_start..line_end].trim_end().to_owned(),
        }
    }

    fn parse(&self, bad: Vec<BadText>) -> Result<Value, SchemaError> {
        let mut bad = bad;
        // JSON is YAML, but a file that says it is JSON is one for other programs too.
        let json = self.name.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let value = if json {
            serde_json::from_str::<Value>(&self.text).map_err(|error| {
                let at = offset(&self.text, error.line(), error.column());
                BadText { at: at..at, message: syntax::of_json(error.is_eof()) }
            })
        } else {
            serde_saphyr::from_str::<Value>(&self.text).map_err(|error| {
                let at = error
                    .location()
                    .map_or(0, |place| offset(&self.text, place.line() as usize, place.column() as usize));
                BadText { at: at..at, message: syntax::other() }
            })
        };
        match value {
            Ok(value @ Value::Object(_)) if bad.is_empty() => return Ok(value),
            Ok(value) if bad.is_empty() => {
                let message = format!("a recipe is a list of `key: value` lines, this is {}", kind(&value));
                return Err(SchemaError::NoRecipe { path: self.name.clone(), message });
            }
            Err(error) if bad.is_empty() => bad.push(error),
            _ => {}
        }
        let placed = |BadText { at, message }| PlacedFault {
            fault: Fault { place: String::new(), at_key: false, message, help: None },
            at: WrittenAt::Line(self.excerpt(&at)),
        };
        let faults = bad.into_iter().map(placed).collect();
        Err(SchemaError::Recipe { path: self.name.clone(), faults })
    }
}

/// A place with its list items written as `.0` instead of `[0]`.
fn numbered(place: &str) -> String {
    place.replace('[', ".").replace(']', "")
}

fn floor(text: &str, offset: usize) -> usize {
    text.floor_char_boundary(offset)
}

/// Byte offset of a line and a letter in it, both from 1.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    let line = text[start..].lines().next().unwrap_or_default();
    start + line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(offset, _)| offset)
}

/// Carries out one `key=value`; returns the key.
fn replace(recipe: &mut Value, text: &str) -> Result<String, Fault> {
    let wrong = |message: String| Fault::value(format!("`--set {}`", shown(text)), message);
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| wrong("write a dotted key, `=` and a value, for example `training.epochs=3`".into()))?;
    let value: Value = match Places::of(value).1.first() {
        Some(bad) => return Err(wrong(format!("the value is not YAML: {}", bad.message))),
        None => {
            serde_saphyr::from_str(value).map_err(|_| wrong(format!("the value is not YAML: {}", syntax::other())))?
        }
    };
    let key = numbered(key.trim());
    let mut place = recipe;
    for part in key.split('.') {
        // A name alone is short for the name with options.
        if place.is_null() || place.as_str() == Some(part) {
            let alone = place.as_str().map(|name| (name.to_owned(), Value::Null));
            *place = Value::Object(alone.into_iter().collect::<Map<_, _>>());
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
    Ok(key)
}

/// The value at a place, as far as there is one.
pub(super) fn at<'a>(recipe: &'a Value, place: &str) -> Option<&'a Value> {
    numbered(place).split('.').filter(|part| !part.is_empty()).try_fold(recipe, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        other => other.get(part),
    })
}

/// A value for messages, cut.
pub(super) fn brief(value: &Value) -> String {
    shown_up_to(flow(value), 60)
}
