//! A run as it goes: one line on a terminal, plain lines elsewhere, JSON lines on request.

use std::time::{Duration, Instant};

use millstream::recipes::{Event, Events, RecipeError, Silent, Stop};
use millstream::schemas::{count, decimal, grouped, shown, shown_path};
use millstream::training::metrics::{FigureKind, Figures};

use crate::arguments::Global;
use crate::colour::Meaning;
use crate::messages::{harmless, tell, warn};
use crate::status::Status;
use crate::{output, screen, terminal};

/// Between two plain lines.
pub(crate) const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Between two drawings: often enough to look alive, seldom enough to cost nothing.
const DRAWN_EVERY: Duration = Duration::from_millis(100);

/// The progress that suits where our output goes.
pub(crate) fn choose(global: &Global) -> Box<dyn Events> {
    if global.json {
        Box::new(JsonLines)
    } else if global.quiet {
        Box::new(Silent)
    } else if terminal::can_redraw() {
        Box::new(OneLine { told: Told::new(global), drawn: None })
    } else {
        Box::new(PlainLines { told: Told::new(global), last: None })
    }
}

/// Imports rows in sight, before a command that prints one JSON object under `--json`.
///
/// # Errors
/// They cannot be imported.
pub(crate) fn imports(
    global: &Global,
    import: impl FnOnce(&mut dyn Events, &Stop) -> Result<(), RecipeError>,
) -> anyhow::Result<()> {
    let mut progress = if global.json { Box::new(Silent) } else { choose(global) };
    let imported = import(progress.as_mut(), &Stop::default());
    // The line is cleared before anything else is printed.
    drop(progress);
    Ok(imported?)
}

/// One JSON object a line on the standard output.
struct JsonLines;

impl Events for JsonLines {
    fn event(&mut self, event: &Event) {
        // Nobody reads any more: the run goes on, its results are files.
        let _ = output::print_json_line(event);
    }
}

/// A line that is drawn over, under the lines that stay.
struct OneLine {
    told: Told,
    drawn: Option<(Instant, bool)>,
}

impl Events for OneLine {
    fn event(&mut self, event: &Event) {
        let Some(status) = Status::of(event, self.told.total_steps) else {
            if matches!(
                event,
                Event::Evaluated { .. }
                    | Event::StartEvaluated { .. }
                    | Event::AverageEvaluated { .. }
                    | Event::Reestimated { .. }
            ) {
                // What it said of the evaluation is over.
                screen::clear();
                self.drawn = None;
            }
            self.told.tell(event);
            return;
        };
        let evaluates = status.is_evaluation();
        if self.drawn.is_none_or(|(last, what)| what != evaluates || last.elapsed() >= DRAWN_EVERY) {
            self.drawn = Some((Instant::now(), evaluates));
            let line = status.line(terminal::progress_width().saturating_sub(1));
            let columns = terminal::columns(&line);
            screen::draw(Meaning::Progress.message(&line), columns);
        }
    }
}

impl Drop for OneLine {
    fn drop(&mut self) {
        screen::clear();
    }
}

/// A line now and then.
struct PlainLines {
    told: Told,
    last: Option<Instant>,
}

impl Events for PlainLines {
    fn event(&mut self, event: &Event) {
        match Status::of(event, self.told.total_steps) {
            Some(status) => {
                if self.last.is_none_or(|last| last.elapsed() >= PLAIN_EVERY) {
                    self.last = Some(Instant::now());
                    tell(&status.sentence());
                }
            }
            None => self.told.tell(event),
        }
    }
}

/// What is said of a run wherever it goes.
struct Told {
    verbose: bool,
    total_steps: u64,
    /// What is told of an evaluation beside the loss.
    figure: Option<FigureKind>,
    /// What decides, where that is not the loss.
    decides: Option<FigureKind>,
    /// Its value before the first step.
    start: Option<f64>,
}

impl Told {
    fn new(global: &Global) -> Self {
        Self { verbose: global.verbose > 0, total_steps: 0, figure: None, decides: None, start: None }
    }

    /// One figure, which decides where one does, and the loss: a line is short.
    fn figures(&self, values: &Figures, loss: f64) -> String {
        let one = |kind: &FigureKind| format!("{} {}, ", kind.label(), kind.shown(values.get(&kind.name)));
        format!("{}loss {}", self.figure.as_ref().map_or_else(String::new, one), decimal(loss))
    }

    /// Whether the figure that decides is better than before the first step, as far as both are known.
    fn has_risen(&self, figures: &Figures) -> bool {
        self.decides.as_ref().is_none_or(|kind| kind.is_better(figures.get(&kind.name), self.start))
    }

    fn tell(&mut self, event: &Event) {
        match event {
            Event::Started { total_steps, figures, decides, start, .. } => {
                self.total_steps = *total_steps;
                self.start = *start;
                let decides = figures.iter().find(|kind| kind.name == *decides);
                self.figure = decides.or(figures.first()).cloned();
                self.decides = decides.cloned();
                started(event, self.verbose).iter().for_each(|line| tell(line));
            }
            Event::StartEvaluated { loss, figures } => {
                self.start = self.decides.as_ref().and_then(|kind| figures.get(&kind.name));
                tell(&format!("before training: {}", self.figures(figures, *loss)));
            }
            Event::Evaluated { step, epoch, epochs, ends_epoch, loss, figures, sets, best, better_than_start } => {
                let best = match (best, better_than_start) {
                    (true, _) if !self.has_risen(figures) => String::new(),
                    (true, _) => format!(", {}", Meaning::Good.message("the best so far")),
                    (_, false) => format!(", {}", Meaning::Warning.message("no better than before training")),
                    _ => String::new(),
                };
                let place = match ends_epoch {
                    true => format!("epoch {epoch}/{epochs}"),
                    false => format!("step {} (epoch {epoch}/{epochs})", grouped(*step)),
                };
                tell(&format!("{place}: {}{best}", self.figures(figures, *loss)));
                for (name, found) in sets {
                    tell(&format!("  on {}: {}", shown(name), self.figures(&found.figures, found.loss)));
                }
            }
            Event::AverageEvaluated { steps, loss, figures } => {
                tell(&format!("the mean of {}: {}", count(steps.len(), "state"), self.figures(figures, *loss)));
            }
            Event::Reestimated { rows, loss, figures } => {
                let of_rows = format!("statistics computed anew from {}", count(*rows, "row"));
                tell(
                    &loss.map_or_else(|| of_rows.clone(), |loss| format!("{of_rows}: {}", self.figures(figures, loss))),
                );
            }
            Event::UpdateSkipped { step, rows, in_a_row, skipped } => warn(&format!(
                "the update of step {} was no numbers and is left out, {rows} ({in_a_row} in a row, {skipped} in the run)",
                grouped(*step)
            )),
            Event::Note { message } => tell(&format!("note: {}", harmless(message))),
            Event::Warning { message } => warn(message),
            _ => {}
        }
    }
}

fn started(event: &Event, verbose: bool) -> Vec<String> {
    let Event::Started {
        folder, device, device_reason, rows, classes, trained, frozen, total_steps, steps_done, ..
    } = event
    else {
        return Vec::new();
    };
    // of boxes or numbers there are none
    let classes = if *classes > 0 { format!("{}, ", count(*classes as u64, "class")) } else { String::new() };
    let from = if *steps_done > 0 { format!(", resuming after {}", grouped(*steps_done)) } else { String::new() };
    vec![
        format!("training on {}", output::device(device, device_reason, verbose)),
        format!(
            "{}, {classes}{} trained, {} frozen, {}{from}",
            count(*rows, "row"),
            count(*trained as u64, "parameter"),
            grouped(*frozen as u64),
            count(*total_steps, "step"),
        ),
        format!("results go to {}", shown_path(folder)),
    ]
}

#[cfg(test)]
mod tests {
    use millstream::training::metrics::{Better, Unit};

    use super::*;

    #[test]
    fn an_accuracy_that_did_not_rise_is_not_called_the_best_so_far() {
        let kind =
            FigureKind { name: "accuracy".into(), better: Better::Higher, unit: Unit::Share, of_constant_answer: true };
        let told =
            |decides: Option<FigureKind>, start| Told { verbose: false, total_steps: 5, figure: None, decides, start };
        let figures: Figures = [("accuracy", Some(0.182))].into_iter().collect();
        assert!(!told(Some(kind.clone()), Some(0.182)).has_risen(&figures));
        assert!(told(Some(kind.clone()), Some(0.1)).has_risen(&figures));
        assert!(told(Some(kind), None).has_risen(&figures), "nothing was measured before");
        assert!(told(None, None).has_risen(&figures), "the loss decides");
    }

    #[test]
    fn behind_a_resumption_an_accuracy_that_did_not_rise_is_not_called_the_best_so_far_either() {
        let accuracy =
            FigureKind { name: "accuracy".into(), better: Better::Higher, unit: Unit::Share, of_constant_answer: true };
        let mut told = Told { verbose: false, total_steps: 0, figure: None, decides: None, start: None };
        told.tell(&Event::Started {
            folder: "runs/a".into(),
            device: "cpu".into(),
            device_reason: "asked for".into(),
            rows: 8,
            classes: 2,
            figures: vec![accuracy],
            decides: "accuracy".into(),
            trained: 1,
            frozen: 0,
            total_steps: 5,
            steps_per_epoch: 1,
            epochs: 5,
            steps_done: 1,
            start: Some(0.182),
        });
        let figures = |accuracy| -> Figures { [("accuracy", Some(accuracy))].into_iter().collect() };
        assert!(!told.has_risen(&figures(0.182)));
        assert!(told.has_risen(&figures(0.2)));
    }
}
