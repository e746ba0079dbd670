//! Tables of comma-separated values.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::entry::{Entry, StepEntry};
use super::log_format::{LogFormat, LogWriter, LoggedRun, OpenedLog, require_steps};
use super::log_kind::{Build, LogKind};
use super::run_place::{Moment, RunPlace};
use super::text_lines::{self, Verdict};
use crate::TrainingError;
use crate::metrics::{FigureKind, Figures};

const STEPS: &str = "steps.csv";
const EVALUATIONS: &str = "evaluations.csv";

pub(super) const LOG: LogKind = LogKind {
    name: "csv",
    summary: "Tables: `logs/steps.csv` and `logs/evaluations.csv`.",
    documentation: "One line a step (`step`, `epoch` from 1, `time` in seconds since 1970, `loss`, `mean_loss` of the epoch so \
        far, `learning_rate`, `rows`, `samples_per_second`, `gradient_norm`, `seconds_waiting`, `seconds_in_graph`, \
        `seconds_in_update`), and one an evaluation (`step`, 0 for the one before the first step, `epoch`, `time`, `loss`, the \
        figures by their names, `best`, `better_than_start`). Fields are quoted as in RFC 4180; lines end with a line feed; what is \
        not known is empty.",
    files: &[STEPS, EVALUATIONS],
    samples: &["{}", r#"{"every_steps": 10}"#],
    build: Build::of::<Csv>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Csv {
    /// Steps of which one is written.
    #[schemars(range(min = 1))]
    every_steps: u64,
}

impl Default for Csv {
    fn default() -> Self {
        Self { every_steps: 1 }
    }
}

impl Options for Csv {
    fn validate(&self) -> Result<(), String> {
        require_steps(self.every_steps)
    }
}

const STEP_COLUMNS: [&str; 12] = [
    "step",
    "epoch",
    "time",
    "loss",
    "mean_loss",
    "learning_rate",
    "rows",
    "samples_per_second",
    "gradient_norm",
    "seconds_waiting",
    "seconds_in_graph",
    "seconds_in_update",
];

impl LogFormat for Csv {
    fn every_steps(&self) -> u64 {
        self.every_steps
    }

    fn open(&self, run: &LoggedRun) -> Result<OpenedLog, TrainingError> {
        let figures: Vec<String> = run.figures.iter().map(|figure| figure.name.clone()).collect();
        let evaluated = ["step", "epoch", "time", FigureKind::LOSS].map(str::to_owned).into_iter();
        let evaluated = evaluated.chain(figures.clone()).chain(["best", "better_than_start"].map(str::to_owned));
        let columns: [Vec<String>; 2] = [STEP_COLUMNS.map(str::to_owned).to_vec(), evaluated.collect()];
        let (steps, last_step) = open(&run.folder.join(STEPS), &columns[0], run.goes_on, Moment::Step)?;
        let (evaluations, _) = open(&run.folder.join(EVALUATIONS), &columns[1], run.goes_on, Moment::Evaluation)?;
        let writer = Writer { path: run.folder.join(STEPS), steps, evaluations, figures };
        Ok(OpenedLog { writer: Box::new(writer), last_step })
    }
}

/// A table, and the step of its last line.
fn open(
    path: &Path,
    columns: &[String],
    goes_on: Option<RunPlace>,
    moment: fn(u64) -> Moment,
) -> Result<(File, u64), TrainingError> {
    let header = record(columns.iter().map(String::as_str));
    let (mut last_step, mut records) = (0, 0);
    let opened = match goes_on {
        None => text_lines::begin(path),
        Some(place) => text_lines::open(path, record_end, |line| {
            records += 1;
            if records == 1 {
                let same = line.strip_suffix(b"\n") == Some(&header[..]);
                let other = || io::Error::other("its columns are not those of this run; move it away");
                return if same { Ok(Verdict::Keep) } else { Err(other()) };
            }
            let step = line.split(|&byte| byte == b',').next().and_then(|step| std::str::from_utf8(step).ok());
            let step = step.and_then(|step| step.parse().ok());
            let step = step.ok_or_else(|| io::Error::other("a line does not begin with a step; move it away"))?;
            if !place.includes(moment(step)) {
                return Ok(Verdict::Cut);
            }
            last_step = step;
            Ok(Verdict::Keep)
        }),
    };
    let begun = opened.and_then(|mut file| {
        if records == 0 {
            text_lines::append(&mut file, header.clone())?;
        }
        Ok(file)
    });
    Ok((begun.map_err(TrainingError::io("continue", path))?, last_step))
}

/// Where the first record ends: at the first line feed that is not quoted.
fn record_end(text: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let end = text.iter().position(|&byte| {
        quoted ^= byte == b'"';
        byte == b'\n' && !quoted
    });
    end.map(|at| at + 1)
}

/// Fields of a line, quoted where they must be.
fn record<'a>(fields: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let quoted = |field: &str| match field.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    };
    let fields: Vec<String> = fields.into_iter().map(quoted).collect();
    fields.join(",").into_bytes()
}

struct Writer {
    path: PathBuf,
    steps: File,
    evaluations: File,
    figures: Vec<String>,
}

/// An evaluation as a line; of the one before the first step, nothing says whether it is the best.
struct Evaluated<'a> {
    step: u64,
    epoch: u64,
    loss: f64,
    figures: &'a Figures,
    better: Option<[bool; 2]>,
}

impl Writer {
    fn step(&mut self, time: f64, entry: &StepEntry) -> io::Result<()> {
        let fields = [
            entry.step.to_string(),
            entry.epoch.to_string(),
            seconds(time),
            entry.loss.to_string(),
            entry.mean_loss.to_string(),
            entry.learning_rate.to_string(),
            entry.rows.to_string(),
            format!("{:.3}", entry.samples_per_second),
            entry.gradient_norm.map_or_else(String::new, |norm| norm.to_string()),
            format!("{:.6}", entry.seconds_waiting),
            format!("{:.6}", entry.seconds_in_graph),
            format!("{:.6}", entry.seconds_in_update),
        ];
        text_lines::append(&mut self.steps, record(fields.iter().map(String::as_str)))
    }

    fn evaluation(&mut self, time: f64, entry: &Evaluated<'_>) -> io::Result<()> {
        let mut fields = vec![entry.step.to_string(), entry.epoch.to_string(), seconds(time), entry.loss.to_string()];
        let value = |name: &String| entry.figures.get(name).map_or_else(String::new, |value| value.to_string());
        fields.extend(self.figures.iter().map(value));
        let better = entry.better.map_or([String::new(), String::new()], |better| better.map(|one| one.to_string()));
        fields.extend(better);
        text_lines::append(&mut self.evaluations, record(fields.iter().map(String::as_str)))
    }
}

fn seconds(time: f64) -> String {
    format!("{time:.3}")
}

impl LogWriter for Writer {
    fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, time: f64, entry: &Entry<'_>) -> io::Result<()> {
        match entry {
            Entry::Step(step) => self.step(time, step),
            Entry::StartEvaluated { loss, figures } => {
                self.evaluation(time, &Evaluated { step: 0, epoch: 0, loss: *loss, figures, better: None })
            }
            Entry::Evaluated(evaluated) => {
                let better = Some([evaluated.best, evaluated.better_than_start]);
                let (step, epoch, loss, figures) = (evaluated.step, evaluated.epoch, evaluated.loss, evaluated.figures);
                self.evaluation(time, &Evaluated { step, epoch, loss, figures, better })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_as_rfc_4180_says() {
        for (fields, wanted) in [
            (vec!["a", "b"], "a,b"),
            (vec!["a,b", ""], "\"a,b\","),
            (vec!["say \"a\"", "1"], "\"say \"\"a\"\"\",1"),
            (vec!["two\nlines", "x"], "\"two\nlines\",x"),
            (vec![" a ", "ü"], " a ,ü"),
        ] {
            assert_eq!(record(fields), wanted.as_bytes());
        }
    }

    #[test]
    fn a_quoted_line_feed_ends_no_record() {
        for (text, wanted) in [
            ("a,b\nc", Some(4)),
            ("\"a\nb\",c\nd", Some(8)),
            ("\"a\"\"\n\",c\nd", Some(9)),
            ("a,b", None),
            ("\"a\n", None),
        ] {
            assert_eq!(record_end(text.as_bytes()), wanted, "{text:?}");
        }
    }
}
