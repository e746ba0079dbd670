//! The standard error output: whole lines, and under them on a terminal one line of progress that is drawn over.
//!
//! After each drawing the cursor stands in the first column of the progress. What comes uncalled begins there (the `^C`
//! that a terminal echoes, a line of another program), and a window that was made narrower breaks the line after it. So
//! clearing from the cursor to the end of the screen removes all of it, and never a line above.

use std::io::{Write as _, stderr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::terminal;

const CLEAR: &str = "\r\u{1b}[J";

static SCREEN: Mutex<Screen> = Mutex::new(Screen { progress: None, interruptible: false, stopping: false });

struct Screen {
    /// The line as it is drawn now, and its columns.
    progress: Option<(String, usize)>,
    /// A `^C` may be echoed into the line at any time.
    interruptible: bool,
    /// A signal came: no progress is drawn any more, since a second one may end the process at any time.
    stopping: bool,
}

fn screen() -> MutexGuard<'static, Screen> {
    // A panic elsewhere leaves nothing half done here.
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Screen {
    /// Everything in one write, so that no other thread's line falls between. When nobody reads any more, the work goes
    /// on: its results are files.
    fn write(text: &str) {
        let _ = stderr().write_all(text.as_bytes());
    }
}

/// From now on a signal is no end, and what the terminal echoes of it is drawn over.
pub(crate) fn expect_signals() {
    screen().interruptible = terminal::can_redraw();
}

/// Writes whole lines above the progress.
pub(crate) fn tell(text: &str) {
    let mut screen = screen();
    let clear = if screen.progress.is_some() || screen.interruptible { CLEAR } else { "" };
    // Not again in a window that has become too narrow for it: the next drawing will fit.
    screen.progress = screen.progress.take().filter(|(_, columns)| *columns < terminal::progress_width());
    let again = screen.progress.as_ref().map_or_else(String::new, |(line, _)| format!("{line}\r"));
    Screen::write(&format!("{clear}{text}\n{again}"));
}

/// As [`tell`], after a signal: a `^C` that the terminal echoed is drawn over, and the progress is over.
pub(crate) fn tell_stopping(text: &str) {
    let mut screen = screen();
    let clear = if screen.interruptible { CLEAR } else { "" };
    (screen.progress, screen.stopping) = (None, true);
    Screen::write(&format!("{clear}{text}\n"));
}

/// Draws the line of progress, which takes so many columns, fewer than the screen has.
pub(crate) fn draw(line: String, columns: usize) {
    let mut screen = screen();
    if !screen.stopping {
        Screen::write(&format!("{CLEAR}{line}\r"));
        screen.progress = Some((line, columns));
    }
}

/// Takes the progress away.
pub(crate) fn clear() {
    if screen().progress.take().is_some() {
        Screen::write(CLEAR);
    }
}
