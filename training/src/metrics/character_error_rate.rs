//! Symbols that are wrong of what is written along time.

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
    name: "character_error_rate",
    summary: "The edits that make the wanted symbols of the written ones, for each wanted symbol.",
    documentation: "(replacements + deletions + insertions) / wanted symbols, over all rows together, as CER where symbols are \
        letters; above 1 where much too much is written. For `ctc`: what is written is the best path, the most likely symbol at each \
        time, each run of one once, without the `blank`, as far as the row goes; the wanted symbols of a row end before the first below 0. A row with a score \
        that is no number writes nothing.",
    better: Better::Lower,
    unit: Unit::Share,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[2, 5, 4],
            // 1 1 0 1 2, which is 1 1 2, for 1 1 3; and 3, for 2 3
            prediction: &[
                0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0,
                0.0, //
                1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0,
            ],
            targets: &[1.0, 1.0, 3.0, 2.0, 3.0, -1.0],
            wanted: r#"{"character_error_rate": 0.4}"#,
        },
        Worked {
            options: r#"{"blank": 3}"#,
            shape: &[1, 5, 4],
            // 1 0 1 2
            prediction: &[
                0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0,
            ],
            targets: &[1.0, 2.0],
            wanted: r#"{"character_error_rate": 1.0}"#,
        },
    ],
    build: Build::of::<CharacterErrorRate>(),
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct CharacterErrorRate {
    /// The symbol that stands for none, as in the loss.
    blank: usize,
}

impl Options for CharacterErrorRate {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for CharacterErrorRate {
    fn reads(&self) -> PredictionKind {
        PredictionKind::SequenceScores
    }

    fn figure_names(&self) -> Vec<String> {
        vec!["character_error_rate".into()]
    }

    fn start(&self, _: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Symbols { blank: self.blank, transcripts: Transcripts::default() }))
    }
}

struct Symbols {
    blank: usize,
    transcripts: Transcripts,
}

impl Meter for Symbols {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        self.transcripts.add(batch, self.blank, <[i64]>::to_vec);
    }

    fn figures(&self) -> Vec<Option<f64>> {
        vec![self.transcripts.rate()]
    }
}
