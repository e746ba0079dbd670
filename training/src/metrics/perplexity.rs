//! How many tokens one seems to choose among.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::figure_kind::{Better, Unit};
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};
use super::probabilities::negative_log_likelihood;

pub(super) const METRIC: MetricKind = MetricKind {
    name: "perplexity",
    summary: "The exponential of the mean of −log of the probability of the token.",
    documentation: "e to the `log_loss`: as good as a choice among so many equally likely ones (Jelinek et al., \"Perplexity — a \
        measure of the difficulty of speech recognition tasks\", 1977). Of classes, as under `sparse_cross_entropy`, it is over all \
        places that have one. Of sequences, as under `causal_language_modelling`, each token's scores are compared with the token \
        that follows it, but for those that are `ignore_index`, each place alike over all rows. There is none where a token is \
        beyond the scores, and under `ctc` it means nothing.",
    better: Better::Lower,
    unit: Unit::Number,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[4, 2],
            prediction: &[0.0, 2.197_224_6, 2.197_224_6, 0.0, 1.386_294_4, 0.0, 0.0, 0.619_039_2],
            targets: &[0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0],
            wanted: r#"{"perplexity": 1.2413032954065768}"#,
        },
        Worked {
            options: r#"{"ignore_index": -1}"#,
            shape: &[1, 2, 3],
            prediction: &[0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 1.0],
            wanted: r#"{"perplexity": 2.166739533538999}"#,
        },
    ],
    build: Build::of::<Perplexity>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Perplexity {
    /// The token of a sequence that does not count.
    ignore_index: i64,
}

impl Default for Perplexity {
    fn default() -> Self {
        Self { ignore_index: -100 }
    }
}

impl Options for Perplexity {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for Perplexity {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn reads_also(&self) -> &'static [PredictionKind] {
        &[PredictionKind::SequenceScores]
    }

    fn figure_names(&self) -> Vec<String> {
        vec!["perplexity".into()]
    }

    fn start(&self, _: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Sum { ignore_index: self.ignore_index, tokens: 0, sum: 0.0, is_unknown: false }))
    }
}

struct Sum {
    ignore_index: i64,
    tokens: u64,
    sum: f64,
    /// Whether there was a token beyond the scores.
    is_unknown: bool,
}

impl Sum {
    /// Scores of each place, and the token at each place.
    fn add_sequence(&mut self, scores: &[f32], tokens: &[i64]) {
        let symbols = scores.len() / tokens.len().max(1);
        let next = tokens.iter().skip(1);
        for (scores, token) in scores.chunks(symbols.max(1)).zip(next).filter(|(_, token)| **token != self.ignore_index)
        {
            match usize::try_from(*token) {
                Ok(token) if token < symbols => {
                    self.tokens += 1;
                    self.sum += negative_log_likelihood(scores, token);
                }
                _ => self.is_unknown = true,
            }
        }
    }
}

impl Meter for Sum {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        if batch.reads() == PredictionKind::SequenceScores {
            return batch.sequences().for_each(|(_, scores, tokens)| self.add_sequence(scores, tokens));
        }
        batch.each_answer(|answer| {
            self.tokens += 1;
            self.sum += negative_log_likelihood(answer.scores, answer.truth);
        });
    }

    fn figures(&self) -> Vec<Option<f64>> {
        vec![(self.tokens > 0 && !self.is_unknown).then(|| (self.sum / self.tokens as f64).exp())]
    }
}
