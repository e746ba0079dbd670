use millstream_pipeline::Holds;
use millstream_schemas::{Choice, nearest, shown};

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

    /// Its place among the headings of a table.
    ///
    /// # Errors
    /// There is no such column.
    pub(super) fn place(&self, headings: &[String], file: &str) -> Result<usize, RecipeError> {
        let names: &[&str] = match &self.name {
            Some(name) => &[name.as_str()],
            None if self.is_image() => &["image", "path", "file_name", "file"],
            None => &["text"],
        };
        let found = names.iter().find_map(|name| headings.iter().position(|heading| heading == name));
        let only = Some(0).filter(|_| self.name.is_none() && headings.len() == 1);
        found.or(only).ok_or_else(|| {
            let near = nearest(names[0], headings.iter().map(String::as_str));
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{}`?", shown(near)));
            let have: Vec<String> = headings.iter().take(20).map(|heading| format!("`{}`", shown(heading))).collect();
            let message = format!("it has no column `{}`, it has {}{near}", shown(names[0]), have.join(", "));
            RecipeError::mismatch(file, message)
        })
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
                Some(serde_json::Value::String(column)) => vec![Some(column.clone())],
                Some(serde_json::Value::Array(columns)) => {
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
            Some(only) if only.is_text() => "a text".into(),
            _ => {
                let names: Vec<String> = self.0.iter().map(|column| format!("`{}`", shown(column.name()))).collect();
                format!("the columns {}", names.join(", "))
            }
        }
    }
}
