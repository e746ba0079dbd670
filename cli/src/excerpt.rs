//! A line of a file with the part that is meant underlined, for messages.

use millstream::schemas::recipe::{Excerpt, PlacedFault, WrittenAt};
use millstream::schemas::{escaped, shown_path};

use crate::colour::Meaning;
use crate::terminal;

/// Columns of a message where there is no terminal, and the most that it is useful to fill; line numbers included.
const WIDTH: usize = 80;
/// A narrower terminal breaks the lines.
const NARROWEST: usize = 40;

/// Where a fault is written, and what to write instead; empty where neither is known.
pub(crate) fn describe(placed: &PlacedFault) -> String {
    let mut text = match &placed.at {
        WrittenAt::Line(excerpt) => line(excerpt),
        WrittenAt::Argument(argument) => format!("  --> {}\n", escaped(&format!("--set {argument}"))),
        WrittenAt::Nowhere => String::new(),
    };
    if let Some(help) = &placed.fault.help {
        let mut lines = help.lines();
        let first = lines.next().unwrap_or_default();
        text.push_str(&format!("  {} {}\n", Meaning::Progress.message("help:"), escaped(first)));
        lines.for_each(|line| text.push_str(&format!("  {}\n", escaped(line))));
    }
    text
}

fn width() -> usize {
    terminal::message_width().map_or(WIDTH, |width| width.saturating_sub(1).clamp(NARROWEST - 1, WIDTH))
}

fn line(excerpt: &Excerpt) -> String {
    let number = excerpt.line.to_string();
    let margin = " ".repeat(number.len());
    let (shown, before, length) = cut(excerpt, width().saturating_sub(number.len() + 3));
    let blanks = " ".repeat(terminal::columns(&before));
    let marks = Meaning::Bad.message(&"^".repeat(length));
    format!(
        "{margin}--> {}:{}:{}\n{margin} |\n{number} | {shown}\n{margin} | {blanks}{marks}\n",
        shown_path(&excerpt.file),
        excerpt.line,
        excerpt.column,
    )
}

/// The line cut to a width around its marked part, what stands before that part, and how many columns to mark.
fn cut(excerpt: &Excerpt, width: usize) -> (String, String, usize) {
    // One letter for one letter, so that the marks stay below what they mark.
    let steers =
        |letter: char| letter != ' ' && matches!(escaped(letter.encode_utf8(&mut [0; 4])), std::borrow::Cow::Owned(_));
    let letters: Vec<char> = excerpt
        .text
        .chars()
        .map(|letter| {
            if letter == '\t' {
                ' '
            } else if steers(letter) {
                '�'
            } else {
                letter
            }
        })
        .collect();
    let columns = |letters: &[char]| letters.iter().map(|letter| columns_of(*letter)).sum::<usize>();
    let marked = (excerpt.column - 1).min(letters.len());
    let end = (marked + excerpt.length).min(letters.len());
    let (mut from, mut to) = (0, letters.len());
    if columns(&letters) > width {
        // A third of the room stands before the part; `…` takes the place of a letter at each cut.
        while from < marked && columns(&letters[from..marked]) > width / 3 {
            from += 1;
        }
        while from > 0 && columns(&letters[from - 1..]) < width {
            from -= 1;
        }
        while to > from && columns(&letters[from..to]) > width - usize::from(to < letters.len()) - usize::from(from > 0)
        {
            to -= 1;
        }
    }
    let mut shown: String = letters[from..to].iter().collect();
    let mut before: String = letters[from..marked.max(from)].iter().collect();
    if from > 0 {
        shown.insert(0, '…');
        before.insert(0, '…');
    }
    if to < letters.len() {
        shown.push('…');
    }
    (shown, before, columns(&letters[marked..end.min(to).max(marked)]).max(1))
}

/// Columns of a terminal that a letter takes.
fn columns_of(letter: char) -> usize {
    terminal::columns(letter.encode_utf8(&mut [0; 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(text: &str, part: &str) -> Excerpt {
        let start = text.find(part).unwrap();
        let column = text[..start].chars().count() + 1;
        Excerpt { file: "r.yaml".into(), line: 12, column, length: part.chars().count(), text: text.into() }
    }

    #[test]
    fn the_part_is_underlined_wherever_it_stands_and_lines_fit_80_columns() {
        let long = format!("  path: {}MARKED{}", "a/".repeat(80), "/b".repeat(80));
        for (text, part) in [
            ("  epochs: 0", "0"),
            ("  größe: falsch", "falsch"),
            ("  name: 龍の絵 wrong", "wrong"),
            ("\tepochs: \u{1b}[31m0", "epochs"),
            (long.as_str(), "MARKED"),
            (long.as_str(), "path"),
            (&long[..60], "path"),
        ] {
            let described = line(&excerpt(text, part));
            let lines: Vec<&str> = described.lines().collect();
            let columns = terminal::columns;
            assert!(lines.iter().all(|line| columns(line) <= WIDTH && !line.contains('\u{1b}')), "{described}");
            let (shown, marks) = (lines[2], lines[3]);
            let at = columns(&marks[..marks.find('^').unwrap()]);
            assert_eq!(at, columns(&shown[..shown.find(part).unwrap()]), "{described}");
            assert_eq!(marks.matches('^').count(), columns(part), "{described}");
        }
    }
}
