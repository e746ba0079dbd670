use std::fmt;

use serde_json::{Value, json};

use super::{Choice, ChoiceError, path_options};
use crate::{nearest, shown};

/// A row of a table: what a recipe can choose by name.
pub trait Row {
    /// What is chosen, in one word: `transform`, `optimizer`.
    const KIND: &'static str;

    /// As a recipe writes it.
    fn name(&self) -> &str;

    /// The effect, in one line.
    fn summary(&self) -> &str;

    /// JSON Schema of the options.
    fn schema(&self) -> Value;

    /// Whether these options are taken.
    fn accepts(&self, options: &Value) -> bool;

    /// The options that are paths of files: those whose schema has the format `path`.
    fn path_options(&self) -> Vec<String> {
        path_options(&self.schema())
    }
}

/// The rows of a kind, in the order of their names. A value that is passed on: whoever makes it can add rows.
#[derive(Clone)]
pub struct Catalog<R> {
    rows: Vec<R>,
}

impl<R: Row> Catalog<R> {
    /// A catalog of these rows; of two of one name, the later one stays.
    pub fn new(rows: impl IntoIterator<Item = R>) -> Self {
        rows.into_iter().fold(Self { rows: Vec::new() }, Self::with)
    }

    /// With one more row; it takes the place of one of the same name.
    #[must_use]
    pub fn with(mut self, row: R) -> Self {
        match self.rows.binary_search_by(|known| known.name().cmp(row.name())) {
            Ok(same) => self.rows[same] = row,
            Err(place) => self.rows.insert(place, row),
        }
        self
    }

    /// All rows, by name.
    pub fn rows(&self) -> &[R] {
        &self.rows
    }

    /// The row of this name.
    pub fn get(&self, name: &str) -> Option<&R> {
        self.rows.binary_search_by(|row| row.name().cmp(name)).ok().map(|index| &self.rows[index])
    }

    /// The row that is chosen at a place of a recipe.
    ///
    /// # Errors
    /// There is none of this name; with the nearest name.
    pub fn find(&self, choice: &Choice, place: &str) -> Result<&R, ChoiceError> {
        self.get(&choice.name).ok_or_else(|| ChoiceError::UnknownName {
            place: place.into(),
            kind: R::KIND,
            name: shown(&choice.name),
            nearest: nearest(&choice.name, self.rows.iter().map(Row::name)).map(String::from),
            help: None,
        })
    }

    /// JSON Schema of a choice among these rows: a name whose options all have defaults, or one name with its options.
    pub fn schema(&self) -> Value {
        let stands_alone = |row: &&R| row.accepts(&json!({}));
        let bare = self.rows.iter().filter(stands_alone);
        let bare = bare.map(|row| json!({"type": "string", "const": row.name(), "description": row.summary()}));
        let with_options = self.rows.iter().map(|row| {
            let options = row.schema();
            let options = if stands_alone(&row) { json!({"anyOf": [options, {"type": "null"}]}) } else { options };
            json!({
                "type": "object",
                "description": row.summary(),
                "properties": {row.name(): options},
                "required": [row.name()],
                "additionalProperties": false,
            })
        });
        json!({ "oneOf": bare.chain(with_options).collect::<Vec<_>>() })
    }
}

impl<R: Row> fmt::Debug for Catalog<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.rows.iter().map(Row::name)).finish()
    }
}
