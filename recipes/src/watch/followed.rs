//! The record of a run that goes on, from the lines of its log.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use millstream_training::metrics::{FigureKind, Figures};
use millstream_training::pace::PacePoint;
use millstream_training::record::{Best, EpochRecord};
use millstream_training::{EpochEvaluation, EvaluationRecord, RunRecord};
use serde_json::{Map, Value};

/// The most of a log that is read at once, in bytes.
const MOST_AT_ONCE: u64 = 4 << 20;
/// A longer line is none of ours.
const LONGEST_LINE: usize = 1 << 20;
/// Warnings that are kept.
const MOST_NOTES: usize = 50;

/// A log that grows, and what its lines say so far. It is read anew where it was cut back, as that of a run that goes on is.
#[derive(Debug)]
pub(super) struct Followed {
    path: PathBuf,
    read: u64,
    unfinished: Vec<u8>,
    course: Course,
    /// Whether it is read from the beginning because a line did not fit those before. If one still does not, none ever will.
    anew: bool,
}

impl Followed {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, read: 0, unfinished: Vec::new(), course: Course::default(), anew: false }
    }

    /// Reads what is new; whether anything was, and whether there is more.
    ///
    /// # Errors
    /// The log is there and cannot be read, or its lines do not follow on each other.
    pub(super) fn advance(&mut self) -> io::Result<Advance> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let was_there = self.read > 0;
                self.begin_anew();
                return Ok(Advance { changed: was_there, is_more: false });
            }
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        let mut changed = length < self.read;
        if changed {
            self.begin_anew();
        }
        if length == self.read {
            self.anew = false;
            return Ok(Advance { changed, is_more: false });
        }
        changed = true;
        let is_beginning = self.read == 0;
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        self.read += file.take(MOST_AT_ONCE).read_to_end(&mut bytes)? as u64;
        self.unfinished.extend(bytes);
        let whole = self.unfinished.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.unfinished.drain(..whole).collect();
        let understood = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).all(|line| {
            let event: Option<Map<String, Value>> = serde_json::from_slice(line).ok();
            event.is_some_and(|event| self.course.take(&event))
        });
        if !understood || self.unfinished.len() > LONGEST_LINE {
            // it was cut back and has grown beyond where it was: from the beginning, but only once
            let is_none = self.anew || (is_beginning && self.course.steps_seen == 0);
            self.begin_anew();
            self.anew = !is_none;
            if is_none {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it is no log of a run; move it out of the folder",
                ));
            }
            return Ok(Advance { changed, is_more: true });
        }
        self.anew &= self.read < length;
        Ok(Advance { changed, is_more: self.read < length })
    }

    fn begin_anew(&mut self) {
        (self.read, self.course, self.anew) = (0, Course::default(), false);
        self.unfinished.clear();
    }

    /// The run so far; none before its first line.
    pub(super) fn record(&self) -> Option<&RunRecord> {
        self.course.record.as_ref()
    }

    /// Whether the log ends with the end of the run, or with an interruption that can be resumed.
    pub(super) fn has_ended(&self) -> bool {
        self.course.has_ended
    }

    /// Steps of the whole run; 0 where it is not known.
    pub(super) fn total_steps(&self) -> u64 {
        self.course.total_steps
    }
}

/// What a look at a log brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Advance {
    pub(super) changed: bool,
    pub(super) is_more: bool,
}

/// What the lines said.
#[derive(Debug, Default)]
struct Course {
    record: Option<RunRecord>,
    has_ended: bool,
    total_steps: u64,
    epochs: u64,
    /// Steps of one epoch; 0 in the log of an older build.
    steps_per_epoch: u64,
    steps_seen: u64,
}

impl Course {
    /// Takes a line; false where it cannot follow on those before.
    fn take(&mut self, event: &Map<String, Value>) -> bool {
        let number = |name: &str| event.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let count = |name: &str| event.get(name).and_then(Value::as_u64).unwrap_or(0);
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let step = count("step");
        let event_name = text("event");
        if event_name == "started" {
            *self = Self::default();
            self.take_length(event);
            let figures = event.get("figures").and_then(|figures| serde_json::from_value(figures.clone()).ok());
            let figures: Vec<FigureKind> = figures.unwrap_or_default();
            let decides = deciding(event, &figures);
            self.record = Some(record(text("run"), figures, decides));
            return true;
        }
        if event_name.is_empty() {
            return false;
        }
        if event_name == "resumed" {
            // it may be longer or shorter than it was
            self.take_length(event);
        }
        // of a log whose beginning was written by no build that says what it measures
        let record = self.record.get_or_insert_with(|| record(String::new(), Vec::new(), FigureKind::loss()));
        let history = &mut record.history;
        match event_name.as_str() {
            "resumed" => {
                self.has_ended = false;
                record.ending = UNDER_WAY.into();
                return step >= history.steps;
            }
            "step" => {
                if step <= history.steps {
                    return false;
                }
                self.steps_seen += 1;
                (history.steps, self.has_ended) = (step, false);
                history.curve.add(step, number("loss"), number("learning_rate"));
                let waiting = number("seconds_waiting");
                let seconds = waiting + number("seconds_in_graph") + number("seconds_in_update");
                history.pace.add(PacePoint { step, rows: count("rows"), seconds, waiting });
                history.timing.waiting += waiting;
                history.timing.graph += number("seconds_in_graph");
                history.timing.update += number("seconds_in_update");
            }
            "start_evaluated" => history.start = Some(evaluation(event)),
            "evaluated" => {
                let figures = evaluation(event);
                know(&mut history.figures, &figures.figures);
                let epoch = count("epoch").saturating_sub(1);
                let passes = passes(step, epoch, self.steps_per_epoch, &history.epochs);
                if event.get("best") == Some(&Value::Bool(true)) {
                    let (loss, figures) = (figures.loss, figures.figures.clone());
                    history.best = Some(Best { epoch, step: Some(step), loss, figures });
                }
                let ends_epoch = (passes - passes.round()).abs() < 1e-9;
                history.evaluations.push(EvaluationRecord {
                    step,
                    epoch,
                    passes,
                    ends_epoch,
                    figures,
                    others: Vec::new(),
                    statistics_rows: None,
                });
            }
            "epoch_ended" => {
                let steps_before: u64 = history.epochs.iter().map(|epoch| epoch.steps).sum();
                let epoch = count("epoch").saturating_sub(1);
                // however many of its steps could be made
                if let Some(last) = history.evaluations.last_mut().filter(|last| last.step == step) {
                    (last.passes, last.ends_epoch) = ((epoch + 1) as f64, true);
                }
                history.epochs.push(EpochRecord {
                    epoch,
                    steps: step.saturating_sub(steps_before),
                    rows: count("rows"),
                    training_loss: number("training_loss"),
                    seconds: number("seconds"),
                    evaluation: None,
                });
            }
            "warning" if record.notes.len() < MOST_NOTES => record.notes.push(text("message")),
            "ended" => {
                self.has_ended = true;
                record.ending = text("ending");
                let notes = event.get("notes").and_then(Value::as_array).into_iter().flatten();
                let new = notes.filter_map(Value::as_str).map(str::to_owned);
                let new: Vec<_> = new.filter(|note| !record.notes.contains(note)).collect();
                record.notes.extend(new);
            }
            // what a newer build writes besides
            _ => {}
        }
        true
    }

    /// How long the run is, as a line says it; one of an older build that says nothing changes nothing.
    fn take_length(&mut self, event: &Map<String, Value>) {
        let count = |name: &str| event.get(name).and_then(Value::as_u64).filter(|count| *count > 0);
        self.total_steps = count("total_steps").unwrap_or(self.total_steps);
        self.epochs = count("epochs").unwrap_or(self.epochs);
        // older builds have not said it; where `max_steps` ends the run, it is not this
        let of_all =
            || self.total_steps.checked_div(self.epochs).filter(|steps| steps * self.epochs == self.total_steps);
        let known = Some(self.steps_per_epoch).filter(|steps| *steps > 0);
        self.steps_per_epoch = count("steps_per_epoch").or(known).or_else(of_all).unwrap_or(0);
    }
}

/// Passes over the training rows by an evaluation after a step of an epoch, which counts from 0; at most the whole epoch.
fn passes(step: u64, epoch: u64, steps_per_epoch: u64, done: &[EpochRecord]) -> f64 {
    if steps_per_epoch == 0 {
        return (epoch + 1) as f64;
    }
    let before: u64 = match done.len() as u64 == epoch {
        true => done.iter().map(|epoch| epoch.steps).sum(),
        false => epoch * steps_per_epoch,
    };
    epoch as f64 + (step.saturating_sub(before) as f64 / steps_per_epoch as f64).min(1.0)
}

const UNDER_WAY: &str = "under way";

fn record(title: String, figures: Vec<FigureKind>, decides: FigureKind) -> RunRecord {
    let mut record = RunRecord { version: RunRecord::VERSION, title, ending: UNDER_WAY.into(), ..RunRecord::default() };
    (record.history.figures, record.history.decides) = (figures, decides);
    record
}

/// The figure that decides, as the first line says it; of an older build, which did not, as the recipe does.
fn deciding(started: &Map<String, Value>, figures: &[FigureKind]) -> FigureKind {
    let said = started.get("decides").and_then(|decides| serde_json::from_value(decides.clone()).ok());
    said.unwrap_or_else(|| {
        let named = started.get("hyperparameters").and_then(|chosen| chosen.get("training.best")?.as_str());
        let usual = |figure: &FigureKind| figure.of_constant_answer || figure.name == "accuracy";
        let is_it = |figure: &&FigureKind| named.map_or_else(|| usual(figure), |name| figure.name == name);
        figures.iter().find(is_it).cloned().unwrap_or_else(FigureKind::loss)
    })
}

/// The loss and the figures of a line.
fn evaluation(event: &Map<String, Value>) -> EpochEvaluation {
    const OTHERS: [&str; 8] = ["event", "time", "step", "epoch", "epochs", "loss", "best", "better_than_start"];
    let figure = |(name, value): (&String, &Value)| {
        let is_figure = !OTHERS.contains(&name.as_str()) && (value.is_number() || value.is_null());
        is_figure.then(|| (name.clone(), value.as_f64()))
    };
    let figures: Figures = event.iter().filter_map(figure).collect();
    let loss = event.get("loss").and_then(Value::as_f64).unwrap_or(f64::NAN);
    EpochEvaluation { rows: 0, not_finite: 0, loss, figures }
}

/// Of figures of which a log does not say what they are, that they are numbers.
fn know(kinds: &mut Vec<FigureKind>, figures: &Figures) {
    if kinds.is_empty() {
        kinds.extend(figures.iter().map(|(name, _)| FigureKind { name: name.into(), ..FigureKind::loss() }));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    const STARTED: &str = r#"{"event":"started","run":"a","total_steps":4,"epochs":2,"figures":[{"name":"accuracy","better":"higher","unit":"share"}],"hyperparameters":{},"time":1}"#;

    fn step(step: u64) -> String {
        format!(
            r#"{{"event":"step","step":{step},"epoch":1,"epochs":2,"loss":{},"mean_loss":1,"learning_rate":0.1,"rows":8,"samples_per_second":1,"gradient_norm":null,"seconds_waiting":0.25,"seconds_in_graph":0.5,"seconds_in_update":0.25,"time":2}}"#,
            1.0 / step as f64
        )
    }

    const EVALUATED: &str = r#"{"event":"evaluated","step":2,"epoch":1,"epochs":2,"loss":0.5,"accuracy":0.75,"best":true,"better_than_start":true,"time":3}"#;
    const EPOCH: &str = r#"{"event":"epoch_ended","step":2,"epoch":1,"epochs":2,"training_loss":0.75,"rows":16,"seconds":2.0,"time":3}"#;
    const ENDED: &str =
        r#"{"event":"ended","step":2,"ending":"interrupted","stopped_early":null,"best":null,"notes":["n"],"time":3}"#;

    #[test]
    fn a_log_is_followed_line_by_line_and_read_anew_where_it_was_cut_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut followed = Followed::new(path.clone());
        assert_eq!(followed.advance().unwrap(), Advance { changed: false, is_more: false });
        assert!(followed.record().is_none());
        let write = |text: &str| {
            fs::OpenOptions::new().append(true).create(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap()
        };
        write(&format!("{STARTED}\n{}\n{}", step(1), &step(2)[..20]));
        assert!(followed.advance().unwrap().changed && !followed.advance().unwrap().changed);
        assert_eq!((followed.record().unwrap().history.steps, followed.total_steps()), (1, 4));
        write(&format!("{}\n{EVALUATED}\n{EPOCH}\n{ENDED}\n", &step(2)[20..]));
        followed.advance().unwrap();
        let record = followed.record().unwrap();
        assert!(followed.has_ended() && record.ending == "interrupted" && record.notes == ["n"]);
        let history = &record.history;
        assert_eq!((history.steps, history.evaluations[0].passes, history.epochs[0].rows), (2, 1.0, 16));
        assert_eq!(history.best.as_ref().unwrap().figure("accuracy"), Some(0.75));
        assert_eq!(history.curve.up_to(2).last().unwrap().loss, 0.5);
        assert_eq!(history.pace.so_far()[1], PacePoint { step: 2, rows: 8, seconds: 1.0, waiting: 0.25 });
        // gone on with from step 1: shorter at first
        fs::write(&path, format!("{STARTED}\n{}\n", step(1))).unwrap();
        followed.advance().unwrap();
        assert_eq!((followed.record().unwrap().history.steps, followed.has_ended()), (1, false));
        // and longer than it was before anybody looked
        let long = format!("{STARTED}\n{{\"event\":\"resumed\",\"step\":0,\"time\":1}}\n");
        fs::write(&path, (1..9).fold(long, |text, at| format!("{text}{}\n", step(at)))).unwrap();
        while followed.advance().unwrap().is_more {}
        assert_eq!(followed.record().unwrap().history.steps, 8);
        fs::remove_file(&path).unwrap();
        assert!(followed.advance().unwrap().changed && followed.record().is_none());
        fs::write(&path, "no log\n").unwrap();
        assert_eq!(followed.advance().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn evaluations_lie_where_the_passes_are_and_not_where_the_steps_of_a_shorter_run_would_be() {
        let event = |name: &str, step: u64, more: &str| {
            let epoch = step.div_ceil(100);
            format!(r#"{{"event":"{name}","step":{step},"epoch":{epoch},"loss":0.5,"rows":8{more},"time":1}}"#)
        };
        let mut course = Course::default();
        let mut take = |line: String| assert!(course.take(&serde_json::from_str(&line).unwrap()), "{line}");
        // `max_steps` ends it in the second of ten epochs
        take(r#"{"event":"started","run":"a","total_steps":150,"epochs":10,"steps_per_epoch":100,"time":1}"#.into());
        // two of the steps of the first epoch could not be made
        for step in [50, 98, 148] {
            take(event("step", step, ""));
            take(event("evaluated", step, ""));
            if step == 98 {
                take(event("epoch_ended", step, r#","training_loss":1,"seconds":1"#));
            }
        }
        let record = course.record.unwrap();
        let places: Vec<(f64, bool)> =
            record.history.evaluations.iter().map(|record| (record.passes, record.ends_epoch)).collect();
        assert_eq!(places, [(0.5, false), (1.0, true), (1.5, false)]);
    }

    #[test]
    fn a_run_that_was_made_longer_is_as_long_as_it_says_when_it_goes_on() {
        let mut course = Course::default();
        let started = r#"{"event":"started","run":"a","total_steps":500,"epochs":5,"steps_per_epoch":100,"time":1}"#;
        let resumed = r#"{"event":"resumed","step":500,"total_steps":1000,"epochs":10,"steps_per_epoch":100,"time":1}"#;
        for (line, wanted) in
            [(started, 500), (resumed, 1000), (r#"{"event":"resumed","step":500,"time":1}"#, 1000), (resumed, 1000)]
        {
            assert!(course.take(&serde_json::from_str(line).unwrap()));
            assert_eq!((course.total_steps, course.steps_per_epoch), (wanted, 100), "{line}");
        }
        // `max_steps` ends it within its second epoch
        let mut course = Course::default();
        let started = r#"{"event":"started","run":"a","total_steps":150,"epochs":10,"steps_per_epoch":100,"time":1}"#;
        for line in [started, r#"{"event":"resumed","step":50,"time":1}"#] {
            assert!(course.take(&serde_json::from_str(line).unwrap()));
            assert_eq!((course.total_steps, course.steps_per_epoch), (150, 100), "{line}");
        }
    }

    #[test]
    fn the_figure_that_decides_is_the_one_of_the_run_and_not_the_first() {
        let kinds = r#"[{"name":"mean_iou","better":"higher","unit":"share"},{"name":"accuracy","better":"higher","unit":"share","of_constant_answer":true}]"#;
        let loss = r#"{"name":"loss","better":"lower","unit":"number"}"#;
        let mean_iou = r#"{"name":"mean_iou","better":"higher","unit":"share"}"#;
        for (said, wanted) in [
            (format!(r#","decides":{mean_iou}"#), "mean_iou"),
            (format!(r#","decides":{loss}"#), "loss"),
            // of older builds
            (String::new(), "accuracy"),
            (r#","hyperparameters":{"training.best":"mean_iou"}"#.to_owned(), "mean_iou"),
            (r#","hyperparameters":{"training.best":"loss"}"#.to_owned(), "loss"),
        ] {
            let line = format!(r#"{{"event":"started","run":"a","figures":{kinds}{said}}}"#);
            let mut course = Course::default();
            assert!(course.take(&serde_json::from_str(&line).unwrap()));
            assert_eq!(course.record.unwrap().history.decides.name, wanted, "{line}");
        }
    }

    #[test]
    fn a_line_that_does_not_fit_is_read_twice_and_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let resumed = r#"{"event":"resumed","step":1,"time":1}"#;
        let long = "x".repeat(LONGEST_LINE + 1);
        for (what, bad) in [
            ("a step again", format!("{}\n", step(2))),
            ("gone on with from before", format!("{resumed}\n")),
            ("damaged", "{\"event\":\n".to_owned()),
            ("a line without an end", long),
        ] {
            let whole = format!("{STARTED}\n{}\n{}\n", step(1), step(2));
            // at once, and behind what was read
            for before in [false, true] {
                fs::write(&path, &whole).unwrap();
                let mut followed = Followed::new(path.clone());
                if before {
                    assert!(!followed.advance().unwrap().is_more, "{what}");
                }
                fs::write(&path, format!("{whole}{bad}")).unwrap();
                let error = (0..10).find_map(|_| followed.advance().err());
                assert_eq!(error.map(|error| error.kind()), Some(io::ErrorKind::InvalidData), "{what}, {before}");
                // it is followed again as soon as it is one
                fs::write(&path, &whole).unwrap();
                assert!(!followed.advance().unwrap().is_more, "{what}");
                assert_eq!(followed.record().unwrap().history.steps, 2, "{what}");
            }
        }
    }
}
