//! A search as it goes: a table on a terminal, plain lines elsewhere, JSON lines on request.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millstream::recipes::search::{SearchEvent, SearchEvents, TrialRun, left_open_in_words, short_names, shown_figure};
use millstream::recipes::{Event, Events};
use millstream::schemas::{count, shown, shown_path, shown_sentences};
use millstream::search::{Decision, TrialState};
use millstream::training::metrics::FigureKind;
use serde_json::Value;

use crate::arguments::Global;
use crate::colour::Meaning;
use crate::messages::{harmless, tell, tell_sentences, warn};
use crate::status::Status;
use crate::study_table::setting;
use crate::table::Table;
use crate::{output, progress, screen, terminal};

/// Between two drawings.
const DRAWN_EVERY: Duration = Duration::from_millis(200);
/// Finished trials in the table that is drawn over, the best first.
const MOST_BEST: usize = 5;

/// The progress that suits where our output goes.
pub(crate) fn choose(global: &Global) -> Box<dyn SearchEvents> {
    if global.json {
        Box::new(|event: &SearchEvent| {
            // Nobody reads any more: the search goes on, its results are files.
            let _ = output::print_json_line(event);
        })
    } else if global.quiet {
        Box::new(|_: &SearchEvent| {})
    } else if terminal::can_redraw() {
        Box::new(LiveTable { known: Known::default(), drawn: None, opening: progress::choose(global) })
    } else {
        Box::new(PlainLines { known: Known::default(), opening: progress::choose(global), imported: None })
    }
}

/// A trial that somebody works on here.
#[derive(Debug, Default)]
struct Under {
    /// Its settings, or else its runs.
    values: String,
    run: Option<String>,
    /// Share of its steps that are done, epoch and epochs.
    progress: Option<(f64, u64, u64)>,
    /// How far an import of its rows is, until it trains.
    importing: Option<Status>,
    total_steps: u64,
    value: Option<f64>,
}

/// A trial's number, its figures, and its settings or else its runs.
type Complete = (u64, Vec<f64>, String);

/// What was told so far.
#[derive(Debug, Default)]
struct Known {
    name: String,
    figures: Vec<FigureKind>,
    /// Places that are left open.
    parameters: Vec<String>,
    /// What each of them may be, where it is a choice.
    alternatives: Vec<Vec<Value>>,
    trials: u64,
    finished: u64,
    under: BTreeMap<u64, Under>,
    /// Complete trials of this process, the best first.
    complete: Vec<Complete>,
}

impl Known {
    fn take(&mut self, event: &SearchEvent) {
        match event {
            SearchEvent::StudyOpened { name, figures, parameters, alternatives, trials, finished, .. } => {
                (self.name, self.figures) = (name.clone(), figures.clone());
                self.parameters.clone_from(parameters);
                self.alternatives.clone_from(alternatives);
                (self.trials, self.finished) = (*trials, *finished);
            }
            SearchEvent::TrialBegan { trial, settings, runs, .. } => {
                let values = self.values(settings, runs);
                self.under.insert(*trial, Under { values, ..Under::default() });
            }
            SearchEvent::Run { trial, run, of } => {
                let under = self.under.entry(*trial).or_default();
                under.run.clone_from(run);
                match of {
                    Event::Started { total_steps, .. } => {
                        (under.total_steps, under.importing) = (*total_steps, None);
                    }
                    Event::Importing { .. } => under.importing = Status::of(of, 0),
                    Event::Step { step, epoch, epochs, .. } => {
                        under.progress = Some((*step as f64 / under.total_steps.max(1) as f64, *epoch, *epochs));
                    }
                    _ => {}
                }
            }
            SearchEvent::Reported { trial, value, .. } => {
                self.under.entry(*trial).or_default().value = Some(*value);
            }
            SearchEvent::TrialPaused { trial } => drop(self.under.remove(trial)),
            SearchEvent::TrialEnded { trial, state, values, .. } => {
                self.finished += 1;
                let under = self.under.remove(trial).unwrap_or_default();
                if *state == TrialState::Complete {
                    self.complete.push((*trial, values.clone(), under.values));
                    let first = self.figures.first().cloned().unwrap_or_else(FigureKind::loss);
                    self.complete.sort_by(|a, b| {
                        let (a, b) = (a.1.first().copied(), b.1.first().copied());
                        let better = |one, other| first.is_better(one, other);
                        better(b, a).cmp(&better(a, b))
                    });
                }
            }
            _ => {}
        }
    }

    /// How far an import of a trial's rows is.
    fn imports(&self, trial: u64) -> Option<&Status> {
        self.under.get(&trial)?.importing.as_ref()
    }

    fn value(&self, at: usize, value: Option<f64>) -> String {
        self.figures
            .get(at)
            .map_or_else(String::new, |kind| value.map_or_else(String::new, |value| shown_figure(kind, Some(value))))
    }

    fn figures(&self, values: &[f64]) -> String {
        let said = self.figures.iter().zip(values);
        said.map(|(kind, value)| format!("{} {}", kind.label(), shown_figure(kind, Some(*value))))
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn best(&self) -> String {
        self.complete
            .first()
            .map_or_else(String::new, |(number, values, _)| format!(", best: trial {number}, {}", self.figures(values)))
    }

    fn settings(&self, settings: &[(String, Value)]) -> String {
        let places: Vec<&str> = self.parameters.iter().map(String::as_str).collect();
        let names = short_names(&places, 1);
        let one = |(name, value): &(String, Value)| {
            let at = places.iter().position(|place| place == name);
            let name = at.map_or(name.as_str(), |at| names[at]);
            let alternatives = at.and_then(|at| self.alternatives.get(at)).map_or(&[][..], Vec::as_slice);
            format!("{}={}", shown(name), shown(setting(alternatives, value)))
        };
        settings.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// Of a trial of which nothing but seeds and folds differs, which these are.
    fn values(&self, settings: &[(String, Value)], runs: &[TrialRun]) -> String {
        if settings.is_empty() { TrialRun::in_words(runs) } else { self.settings(settings) }
    }

    /// A line for what happened, where it deserves one.
    fn line(&self, event: &SearchEvent) -> Option<String> {
        Some(match event {
            SearchEvent::StudyOpened {
                folder,
                name,
                parameters,
                size,
                trials,
                finished,
                parallel,
                threads,
                shares_threads,
                ..
            } => {
                let done = if *finished > 0 { format!(", {finished} of them finished") } else { String::new() };
                let [fewest, most] = *threads;
                let beside = match (*parallel, *shares_threads) {
                    (0 | 1, _) => String::new(),
                    (parallel, true) => {
                        format!(", {parallel} at a time, which share {}", count(most as u64, "thread"))
                    }
                    (parallel, false) => {
                        format!(", {parallel} at a time, each with {fewest} to {most} threads of its own")
                    }
                };
                format!(
                    "study `{}`: {}; {}{done}{beside}\nresults go to {}",
                    shown(name),
                    left_open_in_words(parameters.len(), size),
                    count(*trials, "trial"),
                    shown_path(folder)
                )
            }
            SearchEvent::TrialBegan { trial, settings, runs, resumed } => {
                let again = if *resumed { " goes on" } else { "" };
                format!("trial {trial}{again}: {}", self.values(settings, runs))
            }
            SearchEvent::Reported { trial, step, value, decision: Decision::Stop } => {
                format!("trial {trial} is not worth going on with after {step} ({})", self.value(0, Some(*value)))
            }
            SearchEvent::TrialPaused { trial } => format!("trial {trial} is set aside"),
            // what was imported, and what of it was left out
            SearchEvent::Run { trial, of: Event::Note { message }, .. } if self.imports(*trial).is_some() => {
                format!("trial {trial}: {}", harmless(message))
            }
            SearchEvent::TrialEnded { trial, state: TrialState::Complete, values, seconds, best, .. } => {
                let best = if *best { ", the best so far" } else { "" };
                format!("trial {trial}: {} in {seconds:.1} s{best}", self.figures(values))
            }
            SearchEvent::TrialEnded { trial, state: TrialState::Failed, reason, .. } => {
                format!("trial {trial} has failed: {}", shown_sentences(reason.as_deref().unwrap_or_default()))
            }
            _ => return None,
        })
    }
}

/// A line that stays: the reason of a failure, which says what to do, is broken between its words.
fn tell_line(event: &SearchEvent, line: &str) {
    match event {
        SearchEvent::TrialEnded { state: TrialState::Failed, .. } => tell_sentences(line),
        _ => tell(line),
    }
}

/// What deserves a look, from the search or from a run.
fn warning(event: &SearchEvent) -> Option<String> {
    match event {
        SearchEvent::Warning { message } | SearchEvent::ParallelLimited { message, .. } => Some(message.clone()),
        SearchEvent::Run { trial, of: Event::Warning { message }, .. } => Some(format!("trial {trial}: {message}")),
        _ => None,
    }
}

/// A line for each thing that happens to a trial.
struct PlainLines {
    known: Known,
    /// Before the first trial.
    opening: Box<dyn Events>,
    /// When an import of a trial was last told of.
    imported: Option<Instant>,
}

impl SearchEvents for PlainLines {
    fn event(&mut self, event: &SearchEvent) {
        if let SearchEvent::Opening { of } = event {
            return self.opening.event(of);
        }
        self.known.take(event);
        if let Some(message) = warning(event) {
            warn(&message);
        }
        if let Some(line) = self.known.line(event) {
            tell_line(event, &line);
        }
        if let SearchEvent::Run { trial, of: Event::Importing { .. }, .. } = event
            && let Some(status) = self.known.imports(*trial)
            && self.imported.is_none_or(|last| last.elapsed() >= progress::PLAIN_EVERY)
        {
            self.imported = Some(Instant::now());
            tell(&format!("trial {trial}: {}", status.sentence()));
        }
    }
}

/// A table that is drawn over, under the lines that stay.
struct LiveTable {
    known: Known,
    drawn: Option<Instant>,
    /// Before the first trial.
    opening: Box<dyn Events>,
}

impl SearchEvents for LiveTable {
    fn event(&mut self, event: &SearchEvent) {
        if let SearchEvent::Opening { of } = event {
            return self.opening.event(of);
        }
        self.known.take(event);
        if let Some(message) = warning(event) {
            warn(&message);
        }
        let stays = matches!(event, SearchEvent::StudyOpened { .. } | SearchEvent::Run { .. })
            || matches!(event, SearchEvent::TrialEnded { state: TrialState::Failed, .. });
        if let Some(line) = self.known.line(event).filter(|_| stays) {
            tell_line(event, &line);
        }
        let passes = !matches!(event, SearchEvent::Run { .. });
        if passes || self.drawn.is_none_or(|last| last.elapsed() >= DRAWN_EVERY) {
            self.drawn = Some(Instant::now());
            self.draw();
        }
    }
}

impl LiveTable {
    fn draw(&self) {
        let known = &self.known;
        let width = terminal::progress_width().saturating_sub(1);
        let head = format!("{} of {} finished{}", known.finished, count(known.trials, "trial"), known.best());
        let mut headings = vec![">trial".to_owned(), "state".to_owned()];
        headings.extend(known.figures.iter().map(|kind| format!(">{}", kind.label())));
        headings.push("values".to_owned());
        let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
        for (number, values, said) in known.complete.iter().take(MOST_BEST) {
            let mut cells = vec![number.to_string(), "complete".to_owned()];
            cells.extend((0..known.figures.len()).map(|at| known.value(at, values.get(at).copied())));
            cells.push(said.clone());
            table.row(cells);
        }
        for (number, under) in &known.under {
            let run = under.run.as_ref().map_or_else(String::new, |run| format!("{run}, "));
            let state = under.progress.map_or_else(
                || under.importing.as_ref().map_or_else(|| "opening".to_owned(), |status| status.line(40)),
                |(share, epoch, epochs)| format!("{run}epoch {epoch} of {epochs}, {:.0} %", share * 100.0),
            );
            let mut cells = vec![number.to_string(), state];
            cells.extend((0..known.figures.len()).map(|at| known.value(at, under.value.filter(|_| at == 0))));
            cells.push(under.values.clone());
            table.row(cells);
        }
        let mut lines = vec![Meaning::Progress.message(terminal::start(&head, width))];
        // What does not fit below each other on the screen could not be drawn over.
        let most = terminal::progress_height().saturating_sub(2);
        lines.extend(table.lines_to(width).into_iter().take(most.max(1)));
        let up = lines.len() - 1;
        let up = if up > 0 { format!("\u{1b}[{up}A") } else { String::new() };
        screen::draw(format!("{}{up}", lines.join("\r\n")), width);
    }
}

impl Drop for LiveTable {
    fn drop(&mut self) {
        screen::clear();
    }
}
