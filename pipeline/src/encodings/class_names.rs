//! Names of classes: where they come from, and the class that a stored value stands for.

use std::collections::{BTreeSet, HashMap, HashSet};

use millstream_schemas::{Feature, Features, shown};

use super::encoding_kind::Source;
use crate::error::Damage;
use crate::sources::{RowValues, Value};
use crate::{DataFile, Dataset, PipelineError};

/// More classes than this are taken for a mistake.
pub(super) const MOST_CLASSES: usize = 65_536;

/// Classes by their numbers, from 0.
#[derive(Clone, Debug, Default)]
pub(super) struct ClassNames {
    names: Vec<String>,
    by_name: HashMap<String, i64>,
    /// What the numbers of these rows are called, where they may count otherwise; none where they are those of the classes.
    numbered: Vec<String>,
}

/// A label as the file has it.
enum Label<'a> {
    /// Not checked against the number of classes.
    Class(i64),
    /// A whole number that is too large for [`Label::Class`].
    Beyond(u64),
    /// A fraction, or a number beyond all whole ones.
    NotWhole(f64),
    /// Null, or NaN, which some writers put for it.
    Null,
    Name(&'a str),
}

impl<'a> Label<'a> {
    fn of(value: Value<'a>) -> Self {
        match value {
            Value::Null | Value::Bytes(_) | Value::List(_) | Value::Struct(_) => Self::Null,
            Value::Text(name) => Self::Name(name),
            Value::Signed(class) => Self::Class(class),
            Value::Unsigned(class) => i64::try_from(class).map_or(Self::Beyond(class), Self::Class),
            Value::Float(number) => Self::of_float(number),
        }
    }

    /// A label that is stored as a float, as tables with a missing value become when they pass through pandas.
    fn of_float(number: f64) -> Self {
        /// Up to here every whole number has a float of its own.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match number {
            number if number.is_nan() => Self::Null,
            number if number.fract() == 0.0 && number.abs() <= EXACT => Self::Class(number as i64),
            number => Self::NotWhole(number),
        }
    }
}

impl ClassNames {
    pub(super) fn new(names: Vec<String>) -> Self {
        let by_name = names.iter().enumerate().map(|(index, name)| (name.clone(), index as i64)).collect();
        Self { names, by_name, numbered: Vec::new() }
    }

    /// The same, of rows whose files call their numbers so: each is the class of that name. Names that are the classes' own numbers call
    /// them nothing.
    fn with_numbers(mut self, called: Vec<String>) -> Self {
        let are_numbers = self.names.iter().enumerate().all(|(class, name)| *name == class.to_string());
        if !are_numbers && !self.names.starts_with(&called) {
            self.numbered = called;
        }
        self
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The class of a label; −1 where it says that there is none.
    pub(super) fn class(&self, value: Value<'_>) -> Result<i64, Damage> {
        let classes = self.names.len();
        match Label::of(value) {
            Label::Class(-1) => Ok(-1),
            Label::Class(label) if !self.numbered.is_empty() => {
                let called = usize::try_from(label).ok().and_then(|label| self.numbered.get(label));
                let beyond = Damage::LabelOutOfRange { label: label.into(), classes: self.numbered.len() };
                self.named(called.ok_or(beyond)?)
            }
            Label::Class(label) if usize::try_from(label).is_ok_and(|label| label < classes) => Ok(label),
            Label::Class(label) => Err(Damage::LabelOutOfRange { label: label.into(), classes }),
            Label::Beyond(label) => Err(Damage::LabelOutOfRange { label: label.into(), classes }),
            Label::NotWhole(label) => Err(Damage::LabelNotWhole { label }),
            Label::Null => Err(Damage::NullLabel),
            Label::Name(name) => self.named(name),
        }
    }

    fn named(&self, name: &str) -> Result<i64, Damage> {
        let unknown = || Damage::UnknownLabel { label: name.into(), classes: self.names.len() };
        self.by_name.get(name).copied().ok_or_else(unknown)
    }
}

/// Learns the classes of the labels that it is shown.
#[derive(Default)]
pub(super) struct LabelCollector {
    names: BTreeSet<String>,
    largest: Option<i64>,
    fitting: u64,
    beyond: u64,
}

impl LabelCollector {
    pub(super) fn see(&mut self, value: Value<'_>) {
        match Label::of(value) {
            Label::Class(class) if class < MOST_CLASSES as i64 => {
                self.fitting += u64::from(class >= 0);
                self.largest = self.largest.max(Some(class));
            }
            Label::Class(_) | Label::Beyond(_) | Label::NotWhole(_) => self.beyond += 1,
            Label::Name(name) => {
                if self.names.len() <= MOST_CLASSES && !self.names.contains(name) {
                    self.names.insert(name.to_owned());
                }
            }
            Label::Null => {}
        }
    }

    /// The sorted distinct strings, or the numbers from 0 to the largest.
    ///
    /// # Errors
    /// What the values are that are no classes.
    pub(super) fn names(self) -> Result<Vec<String>, String> {
        if self.names.len() > MOST_CLASSES {
            return Err(format!("more than {MOST_CLASSES} different values"));
        }
        // A few strange numbers are damaged rows, each told when it is met; mostly strange ones are no classes at all.
        if self.beyond > self.fitting {
            return Err(format!("{} values that are fractions or above {}", self.beyond, MOST_CLASSES - 1));
        }
        Ok(match self.names.is_empty() {
            false => self.names.into_iter().collect(),
            true => (0..=self.largest.unwrap_or(-1)).map(|class| class.to_string()).collect(),
        })
    }
}

/// The class names that files declare for a column, or with `field` for what lies in its lists under that name; files that
/// declare none go along.
///
/// # Errors
/// Two files declare others.
pub(super) fn declared(
    dataset: &Dataset,
    column: &str,
    field: Option<&str>,
) -> Result<Option<Vec<String>>, PipelineError> {
    let mut known: Option<(&DataFile, Vec<String>)> = None;
    for file in dataset.files() {
        let features = Features::from_arrow(file.schema(), &file.name)?;
        let names = match features.get(column) {
            Some(Feature::ClassLabel { names }) => names.clone(),
            Some(_) => Features::classes_in_lists(file.schema(), &file.name, column, field)?.unwrap_or_default(),
            None => continue,
        };
        match &known {
            _ if names.is_empty() => {}
            None => known = Some((file, names)),
            Some((_, first)) if *first == names => {}
            Some((first_file, first)) => {
                let (wanted, got) = first_difference(first, &names);
                return Err(PipelineError::SchemaDrift {
                    first: first_file.name.to_string(),
                    second: file.name.to_string(),
                    column: shown(column),
                    wanted,
                    got,
                });
            }
        }
    }
    Ok(known.map(|(_, names)| names))
}

/// Refuses names that cannot all be of classes.
pub(super) fn check(names: &[String]) -> Result<(), String> {
    if names.len() > MOST_CLASSES {
        return Err(format!("classes are at most {MOST_CLASSES}, got {}", names.len()));
    }
    twice(names).map_or(Ok(()), |name| Err(format!("classes name `{}` twice", shown(name))))
}

/// The first name that was there before.
pub(super) fn twice(names: &[String]) -> Option<&String> {
    let mut known = HashSet::with_capacity(names.len());
    names.iter().find(|name| !known.insert(name.as_str()))
}

/// The classes of what a column has in its lists: those that are `stated`, or were learned under `key`, or that files declare
/// for a `field` of the structs in them, or else those of the labels that `see` finds in each row. Where they were learned of other
/// rows, numbers are read by the names that files declare for them.
///
/// # Errors
/// The rows cannot be read, or there are too many classes.
pub(super) fn in_lists(
    source: &Source<'_>,
    stated: &[String],
    key: &str,
    field: Option<&str>,
    see: impl Fn(RowValues<'_>, &mut LabelCollector),
) -> Result<ClassNames, PipelineError> {
    let Source { dataset, columns, .. } = *source;
    let column = &columns[0];
    let classes = |names| not_too_many(dataset, column, names).map(ClassNames::new);
    if !stated.is_empty() {
        return classes(stated.to_vec());
    }
    let (learned, declared) = (learned(source.learned, key), declared(dataset, column, field)?);
    match (learned, declared) {
        (Some(learned), Some(called)) => Ok(classes(learned)?.with_numbers(called)),
        (Some(names), None) | (None, Some(names)) => classes(names),
        (None, None) => {
            let mut collector = LabelCollector::default();
            dataset.each_row(columns, |row| see(row, &mut collector))?;
            Ok(ClassNames::new(collector.names().map_err(|reason| too_many(dataset, column, reason))?))
        }
    }
}

/// The names, unless they are too many.
pub(super) fn not_too_many(dataset: &Dataset, column: &str, names: Vec<String>) -> Result<Vec<String>, PipelineError> {
    match names.len() > MOST_CLASSES {
        true => Err(too_many(dataset, column, format!("{} classes", names.len()))),
        false => Ok(names),
    }
}

/// The names that another encoder of the same kind has learned.
pub(super) fn learned(learned: Option<&serde_json::Value>, key: &str) -> Option<Vec<String>> {
    let names = learned?.get(key)?.as_array()?;
    Some(names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
}

pub(super) fn too_many(dataset: &Dataset, column: &str, reason: String) -> PipelineError {
    PipelineError::TooManyClasses { file: dataset.first().name.to_string(), column: shown(column), reason }
}

/// What two lists of class names have where they first differ.
fn first_difference(first: &[String], second: &[String]) -> (String, String) {
    let place = (0..first.len().max(second.len())).find(|&place| first.get(place) != second.get(place)).unwrap_or(0);
    let class = |names: &[String]| match names.get(place) {
        Some(name) => format!("class {place} `{}`", shown(name)),
        None => format!("{} classes", names.len()),
    };
    (class(first), class(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_other_rows_count_otherwise_are_read_by_their_names() {
        let all = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        for (known, called, numbers, wanted) in [
            (&["cat", "dog"][..], &["dog", "cat"][..], [0, 1], [Some(1), Some(0)]),
            (&["cat", "dog"], &["dog"], [0, 1], [Some(1), None]),
            (&["cat", "dog"], &["cat", "eel"], [0, 1], [Some(0), None]),
            // the same, or not as far
            (&["cat", "dog", "eel"], &["cat", "dog"], [1, 2], [Some(1), Some(2)]),
            // classes that had no names
            (&["0", "1"], &["cat", "dog"], [0, 1], [Some(0), Some(1)]),
        ] {
            let classes = ClassNames::new(all(known)).with_numbers(all(called));
            let found = numbers.map(|number| classes.class(Value::Signed(number)).ok());
            assert_eq!(found, wanted, "{known:?} {called:?}");
            assert_eq!(classes.class(Value::Signed(-1)).ok(), Some(-1));
            assert_eq!(classes.class(Value::Text(known[1])).ok(), Some(1));
        }
    }

    #[test]
    fn names_that_occur_twice_are_found_among_the_most_there_can_be() {
        let many = |count: usize| (0..count).map(|class| class.to_string()).collect::<Vec<_>>();
        let again = [many(MOST_CLASSES - 1), vec!["7".to_owned()]].concat();
        for (names, wanted) in [
            (many(0), None),
            (many(MOST_CLASSES), None),
            (again, Some("classes name `7` twice")),
            (many(MOST_CLASSES + 1), Some("classes are at most 65536, got 65537")),
        ] {
            assert_eq!(check(&names).err().as_deref(), wanted, "{}", names.len());
        }
    }
}
