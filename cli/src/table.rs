//! Rows of cells under each other, as wide as the terminal at most.

use std::io::{IsTerminal, stdout};

use millstream::schemas::shown;

use crate::colour::Meaning;
use crate::terminal::{columns, output_width, wrapped};

/// A column of text is not made narrower.
const NARROWEST: usize = 8;

/// Rows of cells under each other; numbers are best right-aligned.
#[derive(Debug, Default)]
pub(crate) struct Table {
    right: Vec<bool>,
    /// Columns whose words are not broken.
    whole: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings; those that begin with `>` are right-aligned, and in those that begin with `=` no word is broken.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let right = headings.iter().map(|heading| heading.starts_with('>')).collect();
        let whole = headings.iter().map(|heading| heading.starts_with('=')).collect();
        let headings = headings.iter().map(|heading| heading.trim_start_matches(['>', '=']).to_owned()).collect();
        Self { right, whole, rows: vec![headings] }
    }

    /// Adds a row. Cells may come from files: what would steer a terminal or break the row is escaped.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// The table, each line indented by two blanks.
    pub(crate) fn render(&self) -> String {
        self.render_to(output_width())
    }

    /// As [`Table::render`] on a terminal; in a pipe or a file each row is a line, so that rows can be searched. The longest column comes last,
    /// since others are as wide as their widest cell.
    pub(crate) fn render_in_lines(&self) -> String {
        self.render_to(if stdout().is_terminal() { output_width() } else { usize::MAX })
    }

    /// The lines of the table, in so many columns at most.
    pub(crate) fn lines_to(&self, most: usize) -> Vec<String> {
        self.render_to(most).lines().map(str::to_owned).collect()
    }

    /// In so many columns, if the numbers leave room: texts are wrapped inside their cells, and nothing is left out.
    fn render_to(&self, most: usize) -> String {
        let widths = self.widths(most);
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            let cells: Vec<Vec<String>> = row.iter().zip(&widths).map(|(cell, width)| wrapped(cell, *width)).collect();
            for line in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
                let parts = cells.iter().map(|cell| cell.get(line).map_or("", String::as_str));
                let line = self.line(parts, &widths);
                text.push_str(&if index == 0 { Meaning::Heading.output(&line) } else { line });
                text.push('\n');
            }
        }
        text
    }

    fn line<'a>(&self, cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, width), right) in cells.zip(widths).zip(&self.right) {
            let blanks = " ".repeat(width.saturating_sub(columns(cell)));
            line.push_str("  ");
            line.push_str(&if *right { blanks + cell } else { cell.to_owned() + &blanks });
        }
        line.truncate(line.trim_end().len());
        line
    }

    fn widths(&self, most: usize) -> Vec<usize> {
        let widest = |column: usize, from: usize| {
            let cells = self.rows.iter().skip(from).filter_map(|row| row.get(column));
            cells.map(|cell| columns(cell)).max().unwrap_or(0)
        };
        let longest_word = |text: &str| text.split(' ').map(columns).max().unwrap_or(0);
        let mut widths: Vec<usize> = (0..self.right.len()).map(|column| widest(column, 0)).collect();
        // Numbers stay whole; what names them may be wrapped.
        let words =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| longest_word(cell)).max();
        let narrowest = |column: usize| match (self.right[column], self.whole[column]) {
            (true, _) => widest(column, 1).max(longest_word(&self.rows[0][column])),
            (false, true) => words(column).unwrap_or(0).max(NARROWEST),
            (false, false) => NARROWEST,
        };
        let narrowest: Vec<usize> = (0..self.right.len()).map(narrowest).collect();
        while widths.iter().map(|width| width + 2).sum::<usize>() > most {
            let wider = (0..widths.len()).filter(|column| widths[*column] > narrowest[*column]);
            let Some(widest) = wider.max_by_key(|column| widths[*column]) else { break };
            widths[widest] -= 1;
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_cell_steers_the_terminal() {
        let mut table = Table::new(&["name", ">rows"]);
        table.row(["a\u{1b}[31m\nb".into(), "1".into()]);
        assert_eq!(table.render(), "  name            rows\n  a\\u{1b}[31m\\nb     1\n");
    }

    #[test]
    fn cells_stand_under_each_other() {
        let mut table = Table::new(&["name", ">rows"]);
        table.row(["größe".into(), "7".into()]);
        table.row(["龍🚒".into(), "1,000".into()]);
        assert_eq!(table.render(), "  name    rows\n  größe      7\n  龍🚒   1,000\n");
    }

    #[test]
    fn a_date_is_not_broken_where_there_is_little_room() {
        let mut table = Table::new(&["run", ">loss", "how", "=ended"]);
        table.row([
            "sr/trials/0007".into(),
            "0.6259".into(),
            "adamw, trains all, 3 epochs".into(),
            "2026-11-28 05:09".into(),
        ]);
        for width in [40, 48, 80] {
            let text = table.render_to(width);
            assert!(text.contains("2026-11-28") && text.contains("05:09"), "{width}:\n{text}");
            assert!(text.lines().all(|line| columns(line) <= width), "{width}:\n{text}");
        }
    }

    #[test]
    fn long_names_do_not_push_the_numbers_off_the_screen() {
        let mut table = Table::new(&["class", ">rows of the split"]);
        table.row(["a name that goes on and on".into(), "1,000".into()]);
        table.row(["an_unbroken_name_of_letters".into(), "7".into()]);
        table.row(["龍龍龍龍龍龍龍龍".into(), "8".into()]);
        let wanted = "
  class         rows of
              the split
  a name          1,000
  that goes
  on and on
  an_unbroke          7
  n_name_of_
  letters
  龍龍龍龍龍          8
  龍龍龍
";
        assert_eq!(table.render_to(23), wanted[1..]);
        for width in [40, 60, 80] {
            assert!(table.render_to(width).lines().all(|line| columns(line) <= width), "{width}");
        }
    }
}
