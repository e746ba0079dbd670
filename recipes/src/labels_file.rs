//! `labels.txt`: the class names in the order of the scores, one a line.
//!
//! A name that a line could not hold as it is, or that would steer a terminal, is written as a JSON string of ASCII
//! letters; so is one that begins with a quote. Another line that begins with a quote is a name like any other.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use millstream_compiler::Model;
use millstream_schemas::{escaped, shown, shown_path};

use crate::RecipeError;

pub(crate) fn to_text(names: &[String]) -> String {
    names.iter().map(|name| line(name) + "\n").collect()
}

fn line(name: &str) -> String {
    if *escaped(name) == *name && !name.starts_with('"') && name.trim() == name {
        return name.to_owned();
    }
    let json = serde_json::to_string(name).expect("text is always JSON");
    let mut units = [0; 2];
    let ascii = |letter: char| match letter.is_ascii() && letter != '\u{7f}' {
        true => letter.to_string(),
        false => letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    };
    json.chars().map(ascii).collect()
}

pub(crate) fn from_text(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        serde_json::from_str::<String>(line).unwrap_or_else(|_| line.to_owned())
    };
    text.strip_suffix('\n').unwrap_or(text).split('\n').map(name).collect()
}

/// Under this key in an ONNX file's metadata, as a JSON list.
pub(crate) const KEY: &str = "labels";

/// The class names of a model: as its file says, or the one beside it; `None` where neither does.
///
/// # Errors
/// Both do, and differently.
pub(crate) fn of_model(model: &Model, path: &Path) -> Result<Option<Vec<String>>, RecipeError> {
    // Models of other programs may hold something else under this key.
    let inside = model.metadata(KEY).and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
    let beside = beside(path)?;
    if let (Some(inside), Some(beside)) = (&inside, &beside)
        && inside != beside
    {
        let message = format!(
            "the classes inside {} are not those of the labels.txt beside it ({}); one of the two belongs to another model",
            shown_path(path),
            first_difference(inside, beside)
        );
        return Err(RecipeError::mismatch("model.path", message));
    }
    Ok(inside.or(beside))
}

/// `class 1 is `a` inside and `b` beside it`.
fn first_difference(inside: &[String], beside: &[String]) -> String {
    match inside.iter().zip(beside).position(|(a, b)| a != b) {
        Some(index) => {
            format!("class {index} is `{}` inside and `{}` beside it", shown(&inside[index]), shown(&beside[index]))
        }
        None => format!("{} inside, {} beside it", inside.len(), beside.len()),
    }
}

/// The names beside a model; `None` where there is no such file.
fn beside(model: &Path) -> Result<Option<Vec<String>>, RecipeError> {
    let file = model.with_file_name("labels.txt");
    match fs::read_to_string(&file) {
        Ok(text) => Ok(Some(from_text(&text))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RecipeError::io("read", &file)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_name_with_a_line_break_survives() {
        let names = [
            "bird's nest",
            "a\nb",
            "c\r",
            "\"quoted\"",
            "\"half",
            " blank ",
            "",
            "größe\u{2028}x",
            "back\\slash\\n",
            "1",
            "null",
        ];
        let names = names.map(str::to_owned);
        let text = to_text(&names);
        assert_eq!(text.lines().count(), names.len());
        assert_eq!(escaped(&text.replace('\n', "")), text.replace('\n', ""));
        assert_eq!(from_text(&text), names);
        // As others write it.
        assert_eq!(from_text("daisy\r\nroses\r\n"), ["daisy", "roses"]);
        assert_eq!(from_text("daisy\n5 \" nails"), ["daisy", "5 \" nails"]);
    }
}
