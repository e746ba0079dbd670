//! Cross-entropy of each token's scores with the token that follows.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_numbers::{IGNORE_INDEX, infinite_in_rows, infinite_where, total};
use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind, RowLossNodes};
use super::loss_kind::{Build, LossKind};
use super::row_mean::{TINY, sums_of_rows};
use super::sequence_scores::{require_sequence, symbols};
use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, Length, TensorType, ValueId};

pub(super) const LOSS: LossKind = LossKind {
    name: "causal_language_modelling",
    summary: "Cross-entropy of each token's scores with the token that follows it.",
    documentation: "Scores `[batch, sequence, vocabulary]`, targets int64 `[batch, sequence]`: the tokens themselves, \
        not shifted, with `ignore_index` where one is not to be learned, as padding: those of `own_tokens`. The loss is the mean of \
        −log softmax(scores[b, i])[targets[b, i + 1]] over all i whose next token is not ignored, as of \
        `LlamaForCausalLM` and its like in Transformers. A token that is neither that nor in the vocabulary makes the \
        loss infinite. The metric is `perplexity`.",
    samples: &["{}", r#"{"ignore_index": -1}"#],
    build: Build::of::<CausalLanguageModelling>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct CausalLanguageModelling {
    /// The token that is not to be learned.
    ignore_index: i64,
}

impl Default for CausalLanguageModelling {
    fn default() -> Self {
        Self { ignore_index: IGNORE_INDEX }
    }
}

impl Options for CausalLanguageModelling {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl LossFunction for CausalLanguageModelling {
    fn reads(&self) -> PredictionKind {
        PredictionKind::SequenceScores
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        require_sequence(prediction)?;
        Ok(TensorType { dtype: ElementType::I64, shape: prediction.shape[..2].to_vec() })
    }

    fn takes_weights(&self) -> bool {
        false
    }

    fn ignored_class(&self) -> Option<i64> {
        Some(self.ignore_index)
    }

    fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
        let Tokens { of_token, counts, learned } = self.read(graph, inputs)?;
        let sum = total(graph, of_token)?;
        let weight = total(graph, counts)?;
        let mean = negative_share(graph, sum, weight)?;
        let unknown = graph.minus(counts, learned)?;
        let penalty = infinite_where(graph, unknown)?;
        Ok(LossNodes { loss: graph.plus(mean, penalty)?, weight: Some(weight) })
    }

    fn row_nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Option<RowLossNodes>, CompilerError> {
        let Tokens { of_token, counts, learned } = self.read(graph, inputs)?;
        let sums = sums_of_rows(graph, of_token)?;
        let weight = sums_of_rows(graph, counts)?;
        let means = negative_share(graph, sums, weight)?;
        let unknown = graph.minus(counts, learned)?;
        let penalty = infinite_in_rows(graph, unknown)?;
        Ok(Some(RowLossNodes { loss: graph.plus(means, penalty)?, weight: Some(weight) }))
    }
}

/// What is known of each token, float32 `[batch, sequence]`.
struct Tokens {
    /// log p of the one behind it, 0 where that does not count.
    of_token: ValueId,
    /// 1 where the one behind it counts, otherwise 0.
    counts: ValueId,
    /// The same where it is in the vocabulary as well.
    learned: ValueId,
}

impl CausalLanguageModelling {
    fn read(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Tokens, CompilerError> {
        let LossInputs { prediction, targets, .. } = *inputs;
        let vocabulary = symbols(graph, prediction)?;
        let whole = |graph: &mut Graph, value: i64| graph.constant("whole", Constant::i64([], &[value]));
        let ignored = whole(graph, self.ignore_index);
        let next = following(graph, targets, ignored)?;
        let (zero, end) = (whole(graph, 0), whole(graph, vocabulary as i64));
        let is_ignored = graph.add("Equal", &[next, ignored], &[])?;
        let counts = graph.add("Not", &[is_ignored], &[])?;
        let from_zero = graph.add("GreaterOrEqual", &[next, zero], &[])?;
        let below_end = graph.add("Less", &[next, end], &[])?;
        let is_known = graph.add("And", &[from_zero, below_end], &[])?;
        let is_learned = graph.add("And", &[is_known, counts], &[])?;
        let token = graph.add("Where", &[is_learned, next, zero], &[])?;
        let last = graph.integers(&[-1]);
        let token = graph.add("Unsqueeze", &[token, last], &[])?;
        let log_probability = graph.add("LogSoftmax", &[prediction], &[("axis", 2.into())])?;
        let of_token = graph.add("GatherElements", &[log_probability, token], &[("axis", 2.into())])?;
        let of_token = graph.add("Squeeze", &[of_token, last], &[])?;
        let [counts, learned] = [counts, is_learned].map(|flags| graph.cast(flags, ElementType::F32));
        let (counts, learned) = (counts?, learned?);
        Ok(Tokens { of_token: graph.times(of_token, learned)?, counts, learned })
    }
}

/// `sum` / −max(`weight`, tiny), number by number.
fn negative_share(graph: &mut Graph, sum: ValueId, weight: ValueId) -> Result<ValueId, CompilerError> {
    let tiny = graph.scalar(-TINY);
    let divisor = graph.add("Neg", &[weight], &[])?;
    let divisor = graph.add("Min", &[divisor, tiny], &[])?;
    graph.divided_by(sum, divisor)
}

/// Of each token the one behind it, and behind the last the ignored one: targets move, so that the scores, which are many
/// more numbers, stay where they are.
fn following(graph: &mut Graph, tokens: ValueId, ignored: ValueId) -> Result<ValueId, CompilerError> {
    let sequence = graph.shape(tokens)?[1].clone();
    let rest = graph.part(tokens, &[1], &[Length::number(1)], &[&sequence - 1], &[1])?;
    let pads = graph.integers(&[0, 0, 0, 1]);
    graph.add("Pad", &[rest, pads, ignored], &[])
}
