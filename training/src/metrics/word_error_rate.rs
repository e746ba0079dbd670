//! Words that are wrong of what is written along time.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::figure_kind::{Better, Unit};
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};
use super::transcripts::Transcripts;

pub(super) const METRIC: MetricKind = MetricKind {
    name: "word_error_rate",
    summary: "The edits that make the wanted words of the written ones, for each wanted word.",
    documentation: "(replacements + deletions + insertions) / wanted words, over all rows together, as WER: a word is a run of \
        symbols between `separator`s. For `ctc`: what is written is the best path, the most likely symbol at each time, each run of \
        one once, without the `blank`, as far as the row goes; the wanted symbols of a row end before the first below 0. A row with a score that is no \
        number writes nothing.",
    better: Better::Lower,
    unit: Unit::Share,
    of_constant_answer: false,
    samples: &[Worked {
        options: r#"{"separator": 3, "blank": 0}"#,
        shape: &[2, 5, 4],
        // "1 2" is one word and "1" another: 12|1 for 12|2, and |1| for 1|2
        prediction: &[
            0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, //
            0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0,
        ],
        targets: &[1.0, 2.0, 3.0, 2.0, 1.0, 3.0, 2.0, -1.0],
        wanted: r#"{"word_error_rate": 0.5}"#,
    }],
    build: Build::of::<WordErrorRate>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WordErrorRate {
    /// The symbol between words.
    separator: i64,
    /// The symbol that stands for none, as in the loss.
    #[serde(default)]
    blank: usize,
}

impl Options for WordErrorRate {
    fn validate(&self) -> Result<(), String> {
        if self.separator < 0 || usize::try_from(self.separator) == Ok(self.blank) {
            return Err(format!("separator is a symbol other than the blank {}, got {}", self.blank, self.separator));
        }
        Ok(())
    }
}

impl MetricFunction for WordErrorRate {
    fn reads(&self) -> PredictionKind {
        PredictionKind::SequenceScores
    }

    fn figure_names(&self) -> Vec<String> {
        vec!["word_error_rate".into()]
    }

    fn start(&self, _: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Words { options: *self, transcripts: Transcripts::default() }))
    }
}

struct Words {
    options: WordErrorRate,
    transcripts: Transcripts,
}

impl Meter for Words {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        let WordErrorRate { separator, blank } = self.options;
        let words = |symbols: &[i64]| -> Vec<Vec<i64>> {
            let words = symbols.split(|symbol| *symbol == separator).filter(|word| !word.is_empty());
            words.map(<[i64]>::to_vec).collect()
        };
        self.transcripts.add(batch, blank, words);
    }

    fn figures(&self) -> Vec<Option<f64>> {
        vec![self.transcripts.rate()]
    }
}
