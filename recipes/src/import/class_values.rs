use std::collections::BTreeSet;

use millstream_schemas::cells::{bool_of, float_of, int_of, is_missing_word, whole_number};
use millstream_schemas::shown;
use serde_json::Value as Json;

use crate::RecipeError;

/// Classes of a label at most: a column with more is taken for something else.
const MOST_CLASSES: usize = 100_000;

/// Classes of a column at most that is a label by its name alone.
const FEW_CLASSES: usize = 1000;

/// Rows of a class, on the average, in a column that is called like anything.
const LEAST_ROWS_A_CLASS: u64 = 4;

/// Names of columns that hold what is to be told, the likeliest first. Of several that are there the first is meant, whatever it holds:
/// a text beside a label of numbers is something to tell it by.
const LABELS: [&str; 9] = ["label", "labels", "target", "class", "category", "y", "sentiment", "score", "fine_label"];

/// Whether a column is called as labels are, in whatever case.
pub(super) fn is_called_label(name: &str) -> bool {
    LABELS.iter().any(|label| name.eq_ignore_ascii_case(label))
}

/// Of columns those that are called as labels are, in whatever case: the likeliest, and of two that differ in case the one in small letters,
/// or else the first.
pub(crate) fn likeliest_label<'a, T: 'a>(
    columns: impl Iterator<Item = &'a T> + Clone,
    name: impl Fn(&T) -> &str,
) -> Option<&'a T> {
    LABELS.iter().find_map(|label| {
        let exact = columns.clone().find(|column| name(column) == *label);
        exact.or_else(|| columns.clone().find(|column| name(column).eq_ignore_ascii_case(label)))
    })
}

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
pub(super) struct ClassesSeen {
    found: BTreeSet<String>,
    /// Cells that say one.
    values: u64,
}

impl ClassesSeen {
    /// # Errors
    /// They are too many.
    pub(super) fn see(&mut self, class: Option<String>, label: &str, place: &str) -> Result<(), RecipeError> {
        self.values += u64::from(class.is_some());
        self.found.extend(class);
        if self.found.len() > MOST_CLASSES {
            let message = format!("`{}` has more than {MOST_CLASSES} different values; is it a label?", shown(label));
            return Err(RecipeError::mismatch(shown(place), message));
        }
        Ok(())
    }

    /// As [`Self::see`], of what may be no label.
    pub(super) fn see_few(&mut self, class: Option<String>) {
        self.values += u64::from(class.is_some());
        if self.are_few() {
            self.found.extend(class);
        }
    }

    /// Whether all that [`Self::see_few`] saw are here.
    fn are_few(&self) -> bool {
        self.found.len() <= FEW_CLASSES
    }

    /// Whether what [`Self::see_few`] saw are the classes of a label: one that all rows have, or some that come again and again.
    pub(super) fn are_of_label(&self) -> bool {
        let different = if self.are_few() { self.names().len() } else { 0 };
        different == 1 || are_classes(self.values, different)
    }

    /// By their letters; as numbers, each once however it is written, where all are whole numbers. Words for nothing are no classes
    /// beside numbers or truth values.
    pub(super) fn names(&self) -> Vec<String> {
        let said = || self.found.iter().filter(|word| !is_missing_word(word));
        let is_number = |word: &String| int_of(word).is_some() || float_of(word).is_some();
        let are_numbers = said().all(is_number) || said().all(|word| bool_of(word).is_some());
        if said().next().is_none() || !are_numbers {
            return self.found.iter().cloned().collect();
        }
        let whole: Option<BTreeSet<i64>> = said().map(|word| whole_number(word)).collect();
        match whole {
            Some(whole) => whole.iter().map(ToString::to_string).collect(),
            None => said().cloned().collect(),
        }
    }

    /// What deserves a look of these classes of a label: a word among them that may stand for nothing.
    pub(super) fn note(&self, label: &str) -> Option<String> {
        let names = self.names();
        let word = names.iter().find(|name| is_missing_word(name))?;
        let label = shown(label);
        Some(format!(
            "`{}` is taken for a class of `{label}`; leave the cells empty where it stands for none",
            shown(word)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_nothing_are_no_classes_beside_numbers_and_a_number_is_one_class_however_it_is_written() {
        let all = (0..12).map(|number| number.to_string()).collect::<Vec<_>>();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        for (cells, names, is_noted) in [
            ([&all[..], &["NA", "NaN", "null", "", "1.0"]].concat(), &all[..], false),
            (vec!["1.0", "1", "2.0", "10"], &["1", "2", "10"], false),
            (vec!["True", "False", "NaN"], &["False", "True"], false),
            (vec!["1.5", "1", "NA"], &["1", "1.5"], false),
            (vec!["007", "7"], &["007", "7"], false),
            (vec!["minor", "None", "major"], &["None", "major", "minor"], true),
            (vec!["NA"], &["NA"], true),
        ] {
            let mut seen = ClassesSeen::default();
            cells.iter().for_each(|cell| seen.see(class_of_text(cell), "y", "t").unwrap());
            assert_eq!(seen.names(), names, "{cells:?}");
            assert_eq!(seen.note("y").is_some(), is_noted, "{cells:?}");
        }
    }

    #[test]
    fn texts_that_hardly_come_again_are_no_classes_of_a_label() {
        let are_of_label = |rows: usize, different: usize| {
            let mut seen = ClassesSeen::default();
            (0..rows).for_each(|row| seen.see_few(Some(format!("c{}", row % different))));
            seen.are_of_label()
        };
        assert!(are_of_label(8, 2) && are_of_label(5, 1) && are_of_label(4000, 1000));
        assert!(!are_of_label(30, 30) && !are_of_label(8, 4) && !are_of_label(9000, 1500));
    }
}
