//! `labels.txt`: the class names in the order of the scores, one a line, for people and for programs in any language.
//!
//! What would break a line, steer a terminal or hide is escaped, as in messages. The names as they are stand in the model's
//! metadata and in `metrics.json`.

use std::collections::{HashMap, HashSet};

use millstream_schemas::escaped;

/// The file's text.
pub(crate) fn write(classes: &[String]) -> String {
    classes.iter().map(|name| escaped(name).into_owned() + "\n").collect()
}

/// The names in the file's text, as those of `classes` that they were escaped from.
pub(crate) fn read(text: &str, classes: &[String]) -> Vec<String> {
    let by_escaped: HashMap<_, _> = classes.iter().rev().map(|class| (escaped(class), class)).collect();
    let names: HashSet<&str> = classes.iter().map(String::as_str).collect();
    let whole = |(index, line): (usize, &str)| {
        let beside = classes.get(index).filter(|class| escaped(class) == line);
        // A name that reads like an escaped one is itself before it is another.
        let found = beside.or_else(|| by_escaped.get(line).copied().filter(|_| !names.contains(line)));
        found.map_or_else(|| line.to_owned(), Clone::clone)
    };
    text.lines().enumerate().map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_break_lines_stay_one_line_each_and_come_back_whole() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        for (classes, wanted) in [
            (names(&["red", "größe", "C:\\new"]), "red\ngröße\nC:\\new\n"),
            (names(&["a\nb", "c\r", "d\u{2028}e\u{85}"]), "a\\nb\nc\\r\nd\\u{2028}e\\u{85}\n"),
            (names(&["a\\nb", "a\nb"]), "a\\nb\na\\nb\n"),
            (names(&["", "\u{1b}[31m", "x\u{202e}gpj"]), "\n\\u{1b}[31m\nx\\u{202e}gpj\n"),
        ] {
            let text = write(&classes);
            assert_eq!(text, wanted);
            assert_eq!(read(&text, &classes), classes);
        }
        // In another order, and with a name that the other rows do not have.
        let others = names(&["b", "a\nb"]);
        assert_eq!(read("a\\nb\nc\\nd\nb\n", &others), ["a\nb", "c\\nd", "b"]);
    }
}
