use millstream_pipeline::Holds;
use millstream_schemas::{Choice, nearest, shown};
use serde_json::{Map, Value};

use crate::preprocessing::Preprocessing;
use crate::{Catalogs, RecipeError};

/// The columns that a model's inputs are made of.
#[derive(Clone, Debug)]
pub(super) struct InputColumns(pub(super) Vec<InputColumn>);

/// A column that an input is made of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct InputColumn {
    /// As the model's file says; none where it was the only one of its kind.
    name: Option<String>,
    /// What its values may be.
    pub(super) takes: &'static [Holds],
}

impl InputColumn {
    /// What it is called in rows that are made of files.
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(if self.is_image() { "image" } else { "text" })
    }

    /// Says in an encoding which column it is, where that was left to the data.
    pub(super) fn name_in(&self, encoding: &mut Choice) {
        let says = encoding.options.get("column").is_some_and(|column| !column.is_null());
        if let (false, Some(options)) = (says, encoding.options.as_object_mut()) {
            options.insert("column".to_owned(), self.name().into());
        }
    }

    /// Whether encoded images are in it.
    pub(super) fn is_image(&self) -> bool {
        self.takes.contains(&Holds::Bytes)
    }

    /// Whether texts are in it.
    pub(super) fn is_text(&self) -> bool {
        self.takes.contains(&Holds::Text)
    }

    /// Whether lines of text are rows of it: of a column of words or numbers, as classes are, a table says which it is.
    pub(super) fn is_lines(&self) -> bool {
        self.is_text() && !self.takes.contains(&Holds::Numbers)
    }

    #[cfg(test)]
    pub(super) fn of_texts(name: Option<&str>) -> Self {
        Self { name: name.map(str::to_owned), takes: &[Holds::Text] }
    }

    #[cfg(test)]
    pub(super) fn of_kind(name: Option<&str>, takes: &'static [Holds]) -> Self {
        Self { name: name.map(str::to_owned), takes }
    }

    /// What it may be called in a table.
    pub(super) fn names(&self) -> Vec<&str> {
        match &self.name {
            Some(name) => vec![name.as_str()],
            None if self.is_image() => vec!["image", "path", "file_name", "file"],
            None => vec!["text"],
        }
    }

    /// Its place among the headings of a table, if it has one: an input without a name is the only column.
    fn place(&self, headings: &[String]) -> Option<usize> {
        let names = self.names();
        let found = names.iter().find_map(|name| headings.iter().position(|heading| heading == name));
        found.or_else(|| Some(0).filter(|_| self.name.is_none() && headings.len() == 1))
    }

    /// What it is called in an object, if that has it; `only` is the name of the only column of the table, where it has one alone.
    pub(super) fn key<'a>(&'a self, object: &Map<String, Value>, only: Option<&'a str>) -> Option<&'a str> {
        let found = self.names().into_iter().find(|name| object.contains_key(*name));
        found.or_else(|| only.filter(|only| self.name.is_none() && object.contains_key(*only)))
    }
}

impl InputColumns {
    /// # Errors
    /// An encoding is not known.
    pub(super) fn of(preprocessing: &Preprocessing, catalogs: &Catalogs) -> Result<Self, RecipeError> {
        let mut columns: Vec<InputColumn> = Vec::new();
        for (name, encoding) in preprocessing.encodings() {
            let kind = catalogs.encodings.find(encoding, &format!("data.inputs.{name}"))?;
            let named: Vec<Option<String>> = match encoding.options.get("column") {
                Some(Value::String(column)) => vec![Some(column.clone())],
                Some(Value::Array(columns)) => {
                    columns.iter().map(|column| column.as_str().map(str::to_owned)).collect()
                }
                _ if kind.most_columns == 0 => Vec::new(),
                _ => vec![None],
            };
            for name in named {
                let column = InputColumn { name, takes: kind.takes };
                if columns.iter().all(|known| known.name() != column.name()) {
                    columns.push(column);
                }
            }
        }
        Ok(Self(columns))
    }

    /// The places of all of them among the headings of a table.
    ///
    /// # Errors
    /// It has no headings, as a file of nothing, or lacks one of the columns.
    pub(super) fn places(&self, headings: &[String], file: &str) -> Result<Vec<usize>, RecipeError> {
        if headings.is_empty() {
            let what = if file == "-" { "nothing came in" } else { "the file is empty" };
            let message = format!("{what}; the model takes {}, as CSV with a heading or as JSON Lines", self.named());
            return Err(RecipeError::mismatch(file, message));
        }
        let place = |column: &InputColumn| column.place(headings).ok_or_else(|| self.lacks(column, headings, file));
        self.0.iter().map(place).collect()
    }

    /// That a table lacks a column; what is an input itself is not what was meant by another.
    fn lacks(&self, column: &InputColumn, headings: &[String], file: &str) -> RecipeError {
        let is_input = |heading: &str| self.0.iter().any(|input| input.names().contains(&heading));
        let others = headings.iter().map(String::as_str).filter(|&heading| !is_input(heading));
        let wanted = column.name();
        let near = nearest(wanted, others);
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{}`?", shown(near)));
        let have: Vec<String> = headings.iter().take(20).map(|heading| format!("`{}`", shown(heading))).collect();
        let message = format!("it has no column `{}`, it has {}{near}", shown(wanted), have.join(", "));
        RecipeError::mismatch(file, message)
    }

    /// The only column, where there is one alone.
    pub(super) fn only(&self) -> Option<&InputColumn> {
        match self.0.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// `an image`, `a text`, or the columns' names.
    pub(super) fn in_words(&self) -> String {
        match self.only() {
            Some(only) if only.is_image() => "an image".into(),
            Some(only) if only.is_lines() => "a text".into(),
            _ => self.named(),
        }
    }

    /// The columns' names, as a table has them in its heading.
    fn named(&self) -> String {
        let names: Vec<String> = self.0.iter().map(|column| format!("`{}`", shown(column.name()))).collect();
        let columns = if names.len() == 1 { "column" } else { "columns" };
        format!("the {columns} {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_numbers(names: &[&str]) -> InputColumns {
        let column = |name: &&str| InputColumn { name: Some((*name).to_owned()), takes: &[Holds::Numbers] };
        InputColumns(names.iter().map(column).collect())
    }

    #[test]
    fn a_column_that_is_an_input_itself_is_not_proposed_for_another() {
        let said = |inputs: &[&str], headings: &[&str]| {
            let headings: Vec<String> = headings.iter().map(|&heading| heading.to_owned()).collect();
            of_numbers(inputs).places(&headings, "t.csv").map_err(|error| error.to_string())
        };
        assert_eq!(said(&["a", "b"], &["b", "x", "a"]), Ok(vec![2, 0]));
        let lacks = said(&["a", "b"], &["a", "label"]).unwrap_err();
        assert!(lacks.ends_with("it has no column `b`, it has `a`, `label`"), "{lacks}");
        let lacks = said(&["a", "width"], &["a", "widht"]).unwrap_err();
        assert!(lacks.ends_with("did you mean `widht`?"), "{lacks}");
    }

    #[test]
    fn a_table_of_nothing_is_told_as_that() {
        for (file, wanted) in [("-", "nothing came in"), ("t.csv", "the file is empty")] {
            let error = of_numbers(&["a", "b"]).places(&[], file).unwrap_err().to_string();
            assert!(error.contains(wanted) && error.contains("the columns `a`, `b`"), "{error}");
        }
    }

    #[test]
    fn a_table_of_nothing_names_the_only_column_of_a_model_whatever_it_takes() {
        let rows: [(&'static [Holds], &str); 4] = [
            (&[Holds::Text, Holds::Numbers], "the column `kind`"),
            (&[Holds::Text], "a text"),
            (&[Holds::Bytes], "an image"),
            (&[Holds::Numbers], "the column `kind`"),
        ];
        for (takes, in_words) in rows {
            let columns = InputColumns(vec![InputColumn { name: Some("kind".into()), takes }]);
            let error = columns.places(&[], "-").unwrap_err().to_string();
            assert!(error.contains("nothing came in; the model takes the column `kind`, as CSV"), "{error}");
            assert_eq!(columns.in_words(), in_words);
        }
    }

    #[test]
    fn an_input_without_a_name_is_the_only_column_of_a_table_of_objects() {
        let object = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let image = InputColumn { name: None, takes: &[Holds::Bytes] };
        assert_eq!(image.key(&object(r#"{"photo": "1.png"}"#), Some("photo")), Some("photo"));
        assert_eq!(image.key(&object(r#"{"photo": "1.png"}"#), None), None);
        assert_eq!(image.key(&object(r#"{"x": 1, "path": "1.png"}"#), None), Some("path"));
        let named = InputColumn { name: Some("photo".into()), takes: &[Holds::Bytes] };
        assert_eq!(named.key(&object(r#"{"x": 1}"#), Some("x")), None);
    }
}
