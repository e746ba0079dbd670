//! Numbered, timed stages and their summary.

use std::fmt;
use std::time::{Duration, Instant};

/// Stages in the order in which they run.
pub(crate) struct Stages {
    started: Instant,
    expected: usize,
    done: Vec<Stage>,
}

struct Stage {
    name: String,
    took: Duration,
    outcome: Result<String, String>,
}

impl Stages {
    /// No stage yet, of so many.
    pub(crate) fn new(expected: usize) -> Self {
        Self { started: Instant::now(), expected, done: Vec::new() }
    }

    /// Runs a stage under a heading. It returns what the summary says of it, or why it failed.
    pub(crate) fn run<T>(&mut self, name: &str, stage: impl FnOnce() -> Result<(T, String), String>) -> Option<T> {
        println!("\n━━ {} of {}: {name}", self.done.len() + 1, self.expected);
        let started = Instant::now();
        let (value, outcome) = match stage() {
            Ok((value, note)) => (Some(value), Ok(note)),
            Err(problem) => (None, Err(problem)),
        };
        let took = started.elapsed();
        match &outcome {
            Ok(note) if note.is_empty() => println!("   done in {}", Seconds(took)),
            Ok(note) => println!("   {note}; {}", Seconds(took)),
            Err(problem) => println!("   FAILED after {}: {problem}", Seconds(took)),
        }
        self.done.push(Stage { name: name.to_owned(), took, outcome });
        value
    }

    /// Why the last stage failed.
    pub(crate) fn last_problem(&self) -> String {
        match self.done.last() {
            Some(Stage { name, outcome: Err(problem), .. }) => format!("{name}: {problem}"),
            _ => "nothing failed".into(),
        }
    }

    /// Prints all stages with their times; an error when one failed.
    pub(crate) fn sum_up(&self) -> Result<(), String> {
        println!("\n━━ summary");
        let width = self.done.iter().map(|stage| stage.name.chars().count()).max().unwrap_or(0);
        for Stage { name, took, outcome } in &self.done {
            let (mark, note) = match outcome {
                Ok(note) => ("ok    ", note),
                Err(problem) => ("FAILED", problem),
            };
            println!("   {mark}  {name:<width$}  {:>12}  {note}", Seconds(*took).to_string());
        }
        println!("   {} in all", Seconds(self.started.elapsed()));
        let failed: Vec<&str> =
            self.done.iter().filter(|stage| stage.outcome.is_err()).map(|stage| stage.name.as_str()).collect();
        if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
    }
}

/// A duration as people say it: `3.2 s`, `4 min 05 s`.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds < 100.0 {
            return write!(f, "{seconds:.1} s");
        }
        let whole = seconds.round() as u64;
        write!(f, "{} min {:02} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_readable() {
        for (milliseconds, text) in
            [(80, "0.1 s"), (59_960, "60.0 s"), (119_700, "2 min 00 s"), (245_000, "4 min 05 s")]
        {
            assert_eq!(Seconds(Duration::from_millis(milliseconds)).to_string(), text);
        }
    }

    #[test]
    fn one_failure_fails_the_whole_and_is_named() {
        let mut stages = Stages::new(2);
        assert_eq!(stages.run("first", || Ok((7, String::new()))), Some(7));
        assert!(stages.sum_up().is_ok());
        assert_eq!(stages.run("second", || Err::<((), String), _>("broken".into())), None);
        assert_eq!(stages.last_problem(), "second: broken");
        assert_eq!(stages.sum_up(), Err("failed: second".into()));
    }
}
