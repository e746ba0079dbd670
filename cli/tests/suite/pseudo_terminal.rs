//! The binary on a terminal: what is on the screen while it works and afterwards.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::emulator::Emulator;
use crate::workplace::{Workplace, forget_wishes_about_colour, has_runtime};

/// The longest that a test waits for something on the screen, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(400);
/// What hangs on when threads get a processor is tried so often; a fault is in all tries.
const TRIES: usize = 10;

struct Terminal {
    keyboard: File,
    output: Receiver<Vec<u8>>,
    screen: Emulator,
    /// Lines of progress that were drawn, of those that the screen was wide enough for.
    progress: Vec<String>,
    /// Tables of a search that were drawn, each with the line above it.
    tables: Vec<Vec<String>>,
    /// How many rows had been wrapped when the last line was drawn.
    wrapped_before: usize,
    bytes: Vec<u8>,
    child: Child,
}

impl Terminal {
    fn run(place: &Workplace, width: usize, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        resize(&master, width);
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave =
            OpenOptions::new().read(true).write(true).custom_flags(OFlags::NOCTTY.bits() as i32).open(name).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        // A session of its own, so that the terminal is its controlling one and Ctrl-C reaches it.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(env!("CARGO_BIN_EXE_millstream")).args(arguments);
        command.current_dir(place.path("")).stdin(end()).stdout(end()).stderr(end());
        forget_wishes_about_colour(&mut command);
        command.env("TERM", "xterm-256color").envs(variables.iter().copied());
        let child = command.spawn().expect("setsid is there and starts the binary");
        // The terminal ends when the last of these is closed.
        drop((slave, command));
        let keyboard = File::from(master);
        let mut reader = keyboard.try_clone().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let screen = Emulator::new(width);
        let (progress, tables) = (Vec::new(), Vec::new());
        Self { keyboard, output, screen, progress, tables, wrapped_before: 0, bytes: Vec::new(), child }
    }

    /// Takes in what came. Each line ends with a `\r`, before anything is drawn over it: it is seen however much came at once.
    fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        for part in bytes.split_inclusive(|byte| *byte == b'\r') {
            self.screen.feed(part);
            if !part.ends_with(b"\r") {
                continue;
            }
            let current = self.screen.current();
            let is_new = is_progress(&current) && self.progress.last() != Some(&current);
            if is_new && self.screen.wrapped.len() == self.wrapped_before {
                self.progress.push(current);
            }
            self.wrapped_before = self.screen.wrapped.len();
            // the cursor is back at the line above, and the rows are below it
            let drawn = self.screen.rows_from_cursor();
            if drawn.len() > 1 && is_head_of_table(&drawn[0]) && self.tables.last() != Some(&drawn) {
                self.tables.push(drawn);
            }
        }
    }

    /// Takes in what comes until this holds; `false` when the output ended before.
    #[track_caller]
    fn wait_until(&mut self, mut enough: impl FnMut(&Self) -> bool) -> bool {
        let began = Instant::now();
        loop {
            if enough(self) {
                return true;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain:\n{}", self.screen.lines().join("\n"));
            match self.output.recv_timeout(Duration::from_millis(100)) {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Becomes narrower, behind a whole line. What has come is taken in before: a terminal has shown it by then.
    #[track_caller]
    fn narrow(&mut self, width: usize) {
        while let Ok(bytes) = self.output.try_recv() {
            self.take(&bytes);
        }
        assert!(self.wait_until(|this| this.bytes.ends_with(b"\r")), "{}", self.screen.lines().join("\n"));
        resize(&OwnedFd::from(self.keyboard.try_clone().unwrap()), width);
        self.screen.narrow(width);
        self.screen.wrapped.clear();
        self.wrapped_before = 0;
    }

    fn wait_for_progress(&mut self) {
        let seen = self.progress.len();
        assert!(self.wait_until(|this| this.progress.len() > seen), "{}", self.screen.lines().join("\n"));
    }

    fn press_control_c(&mut self) {
        self.keyboard.write_all(b"\x03").unwrap();
    }

    /// Until its end: the exit code and the lines on the screen.
    fn finish(&mut self) -> (Option<i32>, Vec<String>) {
        self.wait_until(|_| false);
        (self.child.wait().unwrap().code(), self.screen.lines())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // After a failed assertion, or a try that shows nothing: it has ended otherwise.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(master: &OwnedFd, width: usize) {
    let size = Winsize { ws_row: 24, ws_col: u16::try_from(width).unwrap(), ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).unwrap();
}

/// `epoch 1/3  …`; the lines that stay are `epoch 1/3: …`.
fn is_progress(line: &str) -> bool {
    line.contains("rows/s") || line.contains(" left") || line.starts_with("epoch ") && !line.contains(':')
}

/// `0 of 2 trials finished`, above the table of a search; the line that stays begins with the study.
fn is_head_of_table(line: &str) -> bool {
    line.contains(" trials finished") && line.starts_with(|first: char| first.is_ascii_digit())
}

/// Only lines that were meant to stay, each of them whole.
#[track_caller]
fn check_that_lines_are_whole(lines: &[String]) {
    const WHOLE: [&str; 16] = [
        "training on the CPU",
        "48 rows, 3 classes, ",
        "results go to ",
        "before training: ",
        "note: ",
        "epoch ",
        "accuracy ",
        "a step took ",
        "first batch after ",
        "at most ",
        "model: ",
        "report: ",
        "stopping: ",
        "interrupted after step ",
        "to go on:  ",
        "warning: ",
    ];
    const GOES_ON: &str = "         ";
    let mut in_warning = false;
    for line in lines {
        in_warning = line.starts_with("warning: ") || in_warning && line.starts_with(GOES_ON);
        let starts = WHOLE.iter().any(|start| line.starts_with(start));
        let known = starts || in_warning || line.contains(" steps, ") || line.contains("error: ");
        assert!(known && !is_progress(line), "{line:?} is debris on\n{}", lines.join("\n"));
        assert!(!line.contains('^'), "{line:?} is debris on\n{}", lines.join("\n"));
    }
}

const LONG: [&str; 6] =
    ["train", "recipe.yaml", "--set", "training.epochs=100000", "--set", "transforms.train=[{resize: {size: 16}}]"];

#[test]
fn progress_fits_terminals_of_every_width_and_leaves_whole_lines() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    for (width, parts) in [
        (40, &["epoch ", "loss ", " left"][..]),
        (60, &["epoch ", "loss ", " left", " rows/s"]),
        (80, &["epoch ", "loss ", " left", " rows/s", " steps", "["]),
        (200, &["epoch ", "loss ", " left", " rows/s", " steps", "[", "waiting"]),
    ] {
        let arguments = ["train", "recipe.yaml", "--overwrite", "--set", "training.epochs=5"];
        let mut terminal = Terminal::run(&place, width, &arguments, &[]);
        let (code, lines) = terminal.finish();
        assert_eq!(code, Some(0), "{}", lines.join("\n"));
        check_that_lines_are_whole(&lines);
        assert_eq!(lines.iter().filter(|line| line.starts_with("epoch ")).count(), 5, "{}", lines.join("\n"));
        assert!(lines.iter().any(|line| line.starts_with("epoch 5/5: accuracy ")), "{}", lines.join("\n"));
        let of_steps: Vec<_> = terminal.progress.iter().filter(|line| line.contains("loss")).collect();
        assert!(!of_steps.is_empty(), "{:?}", terminal.progress);
        for line in of_steps {
            assert!(parts.iter().all(|part| line.contains(part)), "{width}: {line}");
        }
        let wrapped: Vec<_> = terminal.screen.wrapped.iter().filter(|line| is_progress(line)).collect();
        assert!(wrapped.is_empty(), "{width}: {wrapped:?}");
    }
}

#[test]
fn the_table_of_a_search_is_drawn_over_on_terminals_of_every_width_and_leaves_whole_lines() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    for width in [50, 120] {
        let folder = format!("output.folder=study-{width}");
        let changes = [
            "training.optimizer={adamw: {learning_rate: {choose: [0.003, 0.01]}}}",
            "search={objective: accuracy, proposer: grid, trials: 2}",
            "training.epochs=2",
            &folder,
        ];
        let set = changes.iter().flat_map(|change| ["--set", *change]);
        let arguments: Vec<&str> = ["search", "run", "recipe.yaml"].into_iter().chain(set).collect();
        let mut terminal = Terminal::run(&place, width, &arguments, &[]);
        let (code, lines) = terminal.finish();
        let (said, tables) = (lines.join("\n"), &terminal.tables);
        assert_eq!(code, Some(0), "{said}");
        // while it works: what is trained and how far, then what came out, the best one above
        let has = |head: &str, part: &str| {
            tables.iter().any(|table| table[0].starts_with(head) && table[2..].iter().any(|row| row.contains(part)))
        };
        assert!(has("0 of 2 trials finished", "epoch "), "{width}: {tables:?}");
        assert!(has("1 of 2 trials finished, best: trial ", "complete"), "{width}: {tables:?}");
        for table in tables {
            let heading = table[1].trim_start();
            assert!(heading.starts_with("trial ") && heading.contains("accuracy"), "{width}: {table:?}");
        }
        if width == 120 {
            assert!(has("0 of 2 trials finished", "learning_rate=0.0"), "{tables:?}");
        }
        // afterwards: no row of it, and the table that stays once
        assert!(lines.iter().all(|line| !is_head_of_table(line)), "{width}: {said}");
        let headings = lines.iter().filter(|line| line.trim_start().starts_with("trial ") && line.contains("state"));
        assert_eq!(headings.count(), 1, "{width}: {said}");
        assert!(lines.iter().all(|line| !line.contains("opening") && !line.contains("epoch ")), "{width}: {said}");
        assert!(said.contains("2 of 2 trials finished") && said.contains("page: "), "{width}: {said}");
        // no row was longer than the screen: a terminal would have wrapped it, and the cursor gone up too few rows
        let wrapped = terminal.screen.wrapped.iter();
        assert!(
            wrapped.clone().all(|row| !is_head_of_table(row) && !row.contains("learning_rate=")),
            "{width}: {said}"
        );
    }
}

#[test]
fn control_c_leaves_no_debris_and_is_answered_at_once() {
    if !has_runtime() {
        return;
    }
    let at_once = Duration::from_secs(1);
    for width in [40, 80] {
        let mut took = Vec::new();
        while took.iter().all(|took| *took >= at_once) && took.len() < TRIES {
            let place = Workplace::new();
            let mut terminal = Terminal::run(&place, width, &LONG, &[]);
            terminal.wait_for_progress();
            terminal.press_control_c();
            let pressed = Instant::now();
            assert!(terminal.wait_until(|this| this.screen.lines().iter().any(|line| line.starts_with("stopping: "))));
            took.push(pressed.elapsed());
            let (code, lines) = terminal.finish();
            assert_eq!(code, Some(3), "{}", lines.join("\n"));
            check_that_lines_are_whole(&lines);
            let last = lines.last().unwrap();
            assert!(last.starts_with("to go on:  millstream train recipe.yaml --resume"), "{lines:?}");
        }
        assert!(took.iter().any(|took| *took < at_once), "{took:?}");
    }
}

#[test]
fn a_window_that_becomes_narrower_keeps_no_remains_of_the_progress() {
    if !has_runtime() {
        return;
    }
    // a line that stays may be on its way for the old width in that instant, where progress has just been drawn
    let arguments = [&LONG[..], &["--set", "data.evaluate=null"]].concat();
    for _ in 0..TRIES {
        let place = Workplace::new();
        let mut terminal = Terminal::run(&place, 100, &arguments, &[]);
        terminal.wait_for_progress();
        terminal.narrow(44);
        terminal.wait_for_progress();
        if !terminal.screen.wrapped.is_empty() {
            // drawn for the old width in the same instant, or on its way: a terminal would have shown it before
            continue;
        }
        terminal.wait_for_progress();
        terminal.press_control_c();
        let (code, lines) = terminal.finish();
        assert_eq!(code, Some(3), "{}", lines.join("\n"));
        check_that_lines_are_whole(&lines);
        assert!(terminal.screen.wrapped.iter().all(|line| !is_progress(line)), "{:?}", terminal.screen.wrapped);
        return;
    }
    panic!("progress was drawn for the old width in each of {TRIES} tries");
}

#[test]
fn an_error_and_a_warning_in_the_middle_leave_whole_lines() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    // The optimizer is told to leave all numbers behind.
    let arguments = [&LONG[..], &["--set", "training.optimizer={sgd: {learning_rate: 1.0e30}}"]].concat();
    let mut terminal = Terminal::run(&place, 80, &arguments, &[]);
    let (code, lines) = terminal.finish();
    assert_eq!(code, Some(1), "{}", lines.join("\n"));
    let error = lines.iter().position(|line| line.starts_with("error: ")).expect("an error is told");
    check_that_lines_are_whole(&lines[..error]);
}

#[test]
fn a_terminal_that_only_types_gets_plain_lines() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let mut terminal = Terminal::run(&place, 80, &["train", "recipe.yaml"], &[("TERM", "dumb")]);
    let (code, lines) = terminal.finish();
    assert_eq!(code, Some(0), "{}", lines.join("\n"));
    assert!(!terminal.bytes.contains(&0x1b), "{}", lines.join("\n"));
    assert!(lines.iter().any(|line| line.starts_with("epoch 3/3: accuracy ")), "{}", lines.join("\n"));
}

#[test]
fn colour_is_where_it_is_wanted() {
    let place = Workplace::new();
    for (arguments, variables, wanted) in [
        (&["--help"][..], &[][..], true),
        (&["inspect", "test.parquet"], &[], true),
        (&["--help"], &[("NO_COLOR", "1")], false),
        (&["inspect", "test.parquet"], &[("NO_COLOR", "1")], false),
        (&["inspect", "test.parquet"], &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], false),
        (&["inspect", "test.parquet", "--color", "always"], &[("NO_COLOR", "1")], true),
        (&["inspect", "test.parquet", "--color=never"], &[], false),
        (&["--color", "never", "--help"], &[], false),
        (&["inspect", "test.parquet"], &[("TERM", "dumb")], false),
        (&["inspect", "test.parquet"], &[("TERM", "dumb"), ("CI", "true")], false),
        (&["inspect", "test.parquet"], &[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")], true),
        (&["inspect", "nowhere.parquet"], &[], true),
        (&["inspect", "nowhere.parquet"], &[("NO_COLOR", "1")], false),
        (&["trian"], &[], true),
        (&["trian", "--color=never"], &[], false),
    ] {
        let mut terminal = Terminal::run(&place, 80, arguments, variables);
        let (_, lines) = terminal.finish();
        assert!(!lines.is_empty());
        assert_eq!(terminal.bytes.contains(&0x1b), wanted, "{arguments:?} {variables:?}\n{}", lines.join("\n"));
        // Into a pipe.
        let forced = variables.contains(&("CLICOLOR_FORCE", "1")) || arguments.contains(&"always");
        let piped = place.command(arguments).envs(variables.iter().copied()).output().unwrap();
        let piped = [piped.stdout, piped.stderr].concat();
        assert_eq!(piped.contains(&0x1b), wanted && forced, "{arguments:?} {variables:?}");
    }
    let forced = place.command(&["inspect", "test.parquet"]).env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(forced.stdout.contains(&0x1b));
}
