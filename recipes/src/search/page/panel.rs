use crate::pages::page::escaped;

/// A part of the page with a heading.
pub(super) fn panel(title: &str, body: &str, note: &str) -> String {
    let note = if note.is_empty() { String::new() } else { format!("<p class=\"soft\">{}</p>", escaped(note)) };
    format!("<section class=\"panel\"><h2>{}</h2>\n{body}{note}</section>\n", escaped(title))
}
