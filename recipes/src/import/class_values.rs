use std::collections::BTreeSet;

use millstream_schemas::shown;
use serde_json::Value as Json;

use super::columns_seen::int_of;
use crate::RecipeError;

/// Classes of a label at most: a column with more is taken for something else.
const MOST_CLASSES: usize = 100_000;

/// Classes of a column at most that is a label by its name alone.
const FEW_CLASSES: usize = 1000;

/// Rows of a class, on the average, in a column that is called like anything.
const LEAST_ROWS_A_CLASS: u64 = 4;

/// Names of columns that hold what is to be told, the likeliest first.
pub(crate) const LABELS: [&str; 9] =
    ["label", "labels", "class", "category", "target", "y", "sentiment", "score", "fine_label"];

/// The class that a text names.
pub(super) fn class_of_text(text: &str) -> Option<String> {
    let text = text.trim();
    if text.is_empty() { None } else { Some(text.to_owned()) }
}

/// The same of a JSON value.
pub(super) fn class_of_json(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => class_of_text(text),
        Json::Number(_) | Json::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Whether a column of so many values, of which so many differ, is one of classes.
pub(crate) fn are_classes(values: u64, different: usize) -> bool {
    (2..=FEW_CLASSES).contains(&different) && different as u64 * LEAST_ROWS_A_CLASS <= values
}

/// The classes of a label that were met.
#[derive(Debug, Default)]
pub(super) struct ClassesSeen(BTreeSet<String>);

impl ClassesSeen {
    /// # Errors
    /// They are too many.
    pub(super) fn see(&mut self, class: Option<String>, label: &str, place: &str) -> Result<(), RecipeError> {
        self.0.extend(class);
        if self.0.len() > MOST_CLASSES {
            let message = format!("`{}` has more than {MOST_CLASSES} different values; is it a label?", shown(label));
            return Err(RecipeError::mismatch(shown(place), message));
        }
        Ok(())
    }

    /// As [`Self::see`], of what may be no label.
    pub(super) fn see_few(&mut self, class: Option<String>) {
        if self.are_few() {
            self.0.extend(class);
        }
    }

    /// Whether all that [`Self::see_few`] saw are here, and are those of a label.
    pub(super) fn are_few(&self) -> bool {
        self.0.len() <= FEW_CLASSES
    }

    /// By their letters, or as numbers where all are whole numbers.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.iter().cloned().collect();
        if names.iter().all(|name| int_of(name).is_some()) {
            names.sort_by_key(|name| int_of(name));
        }
        names
    }
}
