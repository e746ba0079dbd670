//! Markdown of what comes from files: nothing in it is taken for markup.

/// Letters of a sentence or a note.
const LONGEST: usize = 10_000;

/// A name or value as it is read, whatever is in it; long ones are cut.
pub(crate) fn text(raw: &str) -> String {
    without_markup(&millstream_schemas::shown(raw))
}

/// Sentences as they are read, whole, on one line.
pub(crate) fn prose(raw: &str) -> String {
    let line = raw.split_whitespace().collect::<Vec<_>>().join(" ");
    without_markup(&millstream_schemas::shown_up_to(line, LONGEST))
}

fn without_markup(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for letter in raw.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' => {
                out.push('\\');
                out.push(letter);
            }
            other => out.push(other),
        }
    }
    out
}

/// Text within a line in a fixed width.
pub(crate) fn code(raw: &str) -> String {
    code_up_to(raw, 400)
}

/// As [`code`], whole.
pub(crate) fn whole_code(raw: &str) -> String {
    code_up_to(raw, LONGEST)
}

fn code_up_to(raw: &str, most: usize) -> String {
    let raw = millstream_schemas::shown_up_to(raw, most).replace('|', "\\|");
    let fence = "`".repeat(raw.split(|letter| letter != '`').map(str::len).max().unwrap_or(0) + 1);
    let space = if raw.starts_with('`') || raw.ends_with('`') || raw.is_empty() { " " } else { "" };
    format!("{fence}{space}{raw}{space}{fence}")
}

/// A table; columns whose heading begins with `>` are aligned to the right.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    let mut out = line(&mut headings.iter().map(|heading| heading.trim_start_matches('>').to_owned()));
    let rule = |heading: &&str| if heading.starts_with('>') { "---:".to_owned() } else { "---".to_owned() };
    out += &line(&mut headings.iter().map(rule));
    for row in rows {
        out += &line(&mut row.iter().cloned());
    }
    out
}

/// A list of names and what is said of them.
pub(crate) fn list(entries: &[(&str, String)]) -> String {
    entries.iter().map(|(name, said)| format!("- **{name}:** {}\n", said.replace('\n', "\n  "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_files_are_no_markup() {
        assert_eq!(text("a|b*c_<script>"), "a\\|b\\*c\\_&lt;script&gt;");
        assert_eq!(prose(&"a *b*\n".repeat(100)), ["a \\*b\\*"; 100].join(" "));
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`a"), "`` `a ``");
        assert_eq!(code("a|b"), "`a\\|b`");
        assert_eq!(
            table(&["name", ">rows"], &[vec!["a".into(), "3".into()]]),
            "| name | rows |\n| --- | ---: |\n| a | 3 |\n"
        );
    }
}
