//! A terminal, as far as our output needs one: what is on its screen after these bytes.

use unicode_width::UnicodeWidthChar;

/// Rows of cells, the cursor, and how wide it is. It never scrolls: rows are added as they are needed.
pub(crate) struct Emulator {
    width: usize,
    rows: Vec<Row>,
    row: usize,
    column: usize,
    /// Rows that were longer than the screen when they were written, as they began.
    pub(crate) wrapped: Vec<String>,
    pending: Vec<u8>,
}

#[derive(Clone, Default)]
struct Row {
    cells: Vec<char>,
    /// The text goes on in the next row.
    continues: bool,
}

/// The second cell of a wide letter.
const SECOND: char = '\0';

impl Emulator {
    pub(crate) fn new(width: usize) -> Self {
        Self { width, rows: vec![Row::default()], row: 0, column: 0, wrapped: Vec::new(), pending: Vec::new() }
    }

    /// The lines on the screen, with those that were wrapped put together again.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![String::new()];
        for row in &self.rows {
            let last = lines.last_mut().expect("there is one from the start");
            last.extend(row.cells.iter().filter(|cell| **cell != SECOND));
            if !row.continues {
                last.truncate(last.trim_end().len());
                lines.push(String::new());
            }
        }
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    /// The row with the cursor.
    pub(crate) fn current(&self) -> String {
        self.rows[self.row].cells.iter().filter(|cell| **cell != SECOND).collect()
    }

    /// The rows from that with the cursor on.
    pub(crate) fn rows_from_cursor(&self) -> Vec<String> {
        let text = |row: &Row| -> String { row.cells.iter().filter(|cell| **cell != SECOND).collect() };
        self.rows[self.row..].iter().map(|row| text(row).trim_end().to_owned()).collect()
    }

    /// Becomes narrower, as terminals do that break their lines anew: the cursor stays on its cell.
    pub(crate) fn narrow(&mut self, width: usize) {
        let mut rows = Vec::new();
        let (mut at, mut column) = (0, self.column);
        for (index, row) in self.rows.iter().enumerate() {
            if index == self.row {
                at = rows.len() + self.column / width;
                column = self.column % width;
            }
            let blank = [' '];
            let cells: &[char] = if row.cells.is_empty() { &blank } else { &row.cells };
            let count = cells.chunks(width).count();
            rows.extend(
                cells
                    .chunks(width)
                    .enumerate()
                    .map(|(part, cells)| Row { cells: cells.to_vec(), continues: part + 1 < count || row.continues }),
            );
        }
        (self.width, self.rows, self.row, self.column) = (width, rows, at, column);
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        // What is cut off in the middle of a letter waits for the rest.
        let whole = match std::str::from_utf8(&pending) {
            Ok(_) => pending.len(),
            Err(error) => error.valid_up_to(),
        };
        let text = std::str::from_utf8(&pending[..whole]).expect("this part was found valid");
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            if letter == '\u{1b}' {
                let Some(end) = rest.find(|letter: char| letter.is_ascii_alphabetic()) else { break };
                self.control(&rest[..=end]);
                rest = &rest[end + 1..];
            } else {
                self.put(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
        self.pending = [rest.as_bytes(), &pending[whole..]].concat();
    }

    fn control(&mut self, sequence: &str) {
        match sequence {
            "\u{1b}[J" => {
                self.rows.truncate(self.row + 1);
                self.rows[self.row].cells.truncate(self.column);
                self.rows[self.row].continues = false;
            }
            colour if colour.ends_with('m') => {}
            other => match other.strip_prefix("\u{1b}[").and_then(|rest| rest.strip_suffix('A')) {
                Some(up) => {
                    let up: usize = up.parse().expect("a number of rows");
                    self.row = self.row.checked_sub(up).expect("the cursor stays below what was there before");
                }
                None => panic!("{other:?} is nothing that we should need"),
            },
        }
    }

    fn put(&mut self, letter: char) {
        match letter {
            '\r' => self.column = 0,
            '\n' => self.down(),
            letter => {
                let wide = letter.width().unwrap_or(0);
                if wide == 0 {
                    return;
                }
                if self.column + wide > self.width {
                    self.wrapped.push(self.current());
                    self.rows[self.row].continues = true;
                    self.down();
                    self.column = 0;
                }
                let cells = &mut self.rows[self.row].cells;
                cells.resize(cells.len().max(self.column + wide), ' ');
                cells[self.column] = letter;
                cells[self.column + 1..self.column + wide].fill(SECOND);
                self.column += wide;
            }
        }
    }

    fn down(&mut self) {
        self.row += 1;
        self.rows.resize(self.rows.len().max(self.row + 1), Row::default());
    }
}

#[test]
fn the_emulator_shows_what_a_terminal_would() {
    for (bytes, wanted) in [
        ("a\r\nb", vec!["a", "b"]),
        ("abc\rx\r\n", vec!["xbc"]),
        ("abc\r\u{1b}[Jx", vec!["x"]),
        ("\u{1b}[31mred\u{1b}[0m", vec!["red"]),
        ("a\r\nb\r\nc\u{1b}[2A\r\u{1b}[Jx", vec!["x"]),
        ("0123456789x", vec!["0123456789x"]),
        ("12345678龍龍\r\u{1b}[J.", vec!["12345678龍."]),
    ] {
        let mut screen = Emulator::new(10);
        bytes.as_bytes().chunks(2).for_each(|part| screen.feed(part));
        assert_eq!(screen.lines(), wanted, "{bytes:?}");
    }
    let mut screen = Emulator::new(10);
    screen.feed(b"above\r\n0123456789\r");
    screen.narrow(6);
    screen.feed(b"\x1b[Jx");
    assert_eq!(screen.lines(), ["above", "x"]);
}
