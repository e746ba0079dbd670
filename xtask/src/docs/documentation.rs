//! What a row of a catalog says of itself in its source: formulas and where they are from, which no command prints.

use std::fs;

use crate::command::root;

/// The documentation in the file of a row, which says its name.
pub(super) fn of(folder: &str, name: &str) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("{folder} cannot be read: {error}");
    let line = format!("name: \"{name}\",");
    for entry in fs::read_dir(root().join(folder)).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let text = if path.is_file() { fs::read_to_string(&path).map_err(cannot)? } else { continue };
        if let Some(found) = text.split_once(&line).and_then(|(_, rest)| written(rest)) {
            return Ok(found);
        }
    }
    Err(format!("{folder}: no row is called `{name}` and has a `documentation: \"…\"`"))
}

/// The string behind `documentation:`, its escapes resolved.
fn written(source: &str) -> Option<String> {
    let (_, rest) = source.split_once("documentation: \"")?;
    let mut text = String::new();
    let mut signs = rest.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '"' => return Some(text),
            '\\' => match signs.next()? {
                'n' => text.push('\n'),
                '\n' => while signs.next_if(|sign| sign.is_whitespace()).is_some() {},
                escaped => text.push(escaped),
            },
            sign => text.push(sign),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_resolved() {
        let source = "const X: Y = Y {\n    documentation: \"Of \\\"A\\\": x = \\\n        2.\\n\\nMore.\",\n    samples: &[\"{}\"],\n};";
        assert_eq!(written(source).as_deref(), Some("Of \"A\": x = 2.\n\nMore."));
        assert_eq!(written("documentation: DOCUMENTATION,"), None);
    }
}
