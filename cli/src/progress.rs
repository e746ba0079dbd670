//! A run as it goes: bars on a terminal, plain lines elsewhere, JSON lines on request.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use millstream::recipes::{Event, Events};

use crate::arguments::Global;
use crate::messages::tell;
use crate::output::{self, grouped, percent};
use millstream::schemas::shown_path;

/// Between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// The progress that suits where our output goes.
pub(crate) fn choose(global: &Global) -> Box<dyn Events> {
    if global.json {
        Box::new(JsonLines)
    } else if global.quiet {
        Box::new(millstream::recipes::Silent)
    } else if stderr().is_terminal() {
        Box::new(Bars::default())
    } else {
        Box::new(PlainLines::default())
    }
}

/// One JSON object a line on the standard output.
struct JsonLines;

impl Events for JsonLines {
    fn event(&mut self, event: &Event) {
        // Nobody reads any more: the run goes on, its results are files.
        let _ = output::print_json_line(event);
    }
}

#[derive(Default)]
struct Bars {
    /// Both bars, so that neither is drawn over the other.
    all: MultiProgress,
    steps: Option<ProgressBar>,
    evaluation: Option<ProgressBar>,
}

impl Bars {
    fn tell(&self, text: &str) {
        self.all.suspend(|| tell(text));
    }
}

impl Events for Bars {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Started { total_steps, steps_done, .. } => {
                self.tell(&line(event).unwrap_or_default());
                let bar = bar(*total_steps, "{bar:30} {pos}/{len} steps  {msg}").with_position(*steps_done);
                self.steps = Some(self.all.add(bar));
            }
            Event::Step { step, .. } => {
                if let Some(bar) = &self.steps {
                    bar.set_position(*step);
                    bar.set_message(step_message(event));
                }
            }
            Event::Evaluating { rows, total } => {
                let all = &self.all;
                let bar =
                    self.evaluation.get_or_insert_with(|| all.add(bar(*total, "{bar:30} {pos}/{len} rows evaluated")));
                bar.set_position(*rows);
            }
            other => {
                if let Some(bar) = self.evaluation.take() {
                    bar.finish_and_clear();
                }
                if let Some(line) = line(other) {
                    self.tell(&line);
                }
            }
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        for bar in [self.evaluation.take(), self.steps.take()].into_iter().flatten() {
            bar.finish_and_clear();
        }
    }
}

fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

#[derive(Default)]
struct PlainLines {
    total_steps: u64,
    last: Option<Instant>,
}

impl Events for PlainLines {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Step { step, .. } => {
                if self.last.is_none_or(|last| last.elapsed() >= PLAIN_EVERY) {
                    self.last = Some(Instant::now());
                    tell(&format!("step {step} of {}, {}", self.total_steps, step_message(event)));
                }
            }
            Event::Started { total_steps, .. } => {
                self.total_steps = *total_steps;
                tell(&line(event).unwrap_or_default());
            }
            other => {
                if let Some(line) = line(other) {
                    tell(&line);
                }
            }
        }
    }
}

fn step_message(event: &Event) -> String {
    let Event::Step { epoch, loss, samples_per_second, batches_waiting, seconds_left, .. } = event else {
        return String::new();
    };
    let speed = format!("{samples_per_second:.1} samples/s, {batches_waiting} batches waiting");
    format!("epoch {epoch}, loss {loss:.4}, {speed}, ETA {}", duration(*seconds_left))
}

/// `1:02:03`, `2:03`, `3 s`.
fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::Started { folder, device, rows, classes, trained, frozen, total_steps, steps_done, .. } => {
            let from = if *steps_done > 0 { format!(", resuming after {steps_done}") } else { String::new() };
            format!(
                "training on {device}\n{} rows, {classes} classes, {} parameters trained, {} frozen, {} steps{from}\nresults go to {}",
                grouped(*rows),
                grouped(*trained as u64),
                grouped(*frozen as u64),
                grouped(*total_steps),
                shown_path(folder)
            )
        }
        Event::StartEvaluated { loss, accuracy } => {
            format!("before training: accuracy {}, loss {loss:.4}", percent(*accuracy))
        }
        Event::Evaluated { epoch, loss, accuracy, best, better_than_start, .. } => {
            let best = match (best, better_than_start) {
                (true, _) => ", the best so far",
                (_, false) => ", no better than before training",
                _ => "",
            };
            format!("epoch {epoch}: accuracy {}, loss {loss:.4}{best}", percent(*accuracy))
        }
        Event::Warning { message } => format!("warning: {message}"),
        _ => return None,
    })
}
