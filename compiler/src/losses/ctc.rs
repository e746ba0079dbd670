//! Connectionist temporal classification: a sequence of symbols whose places in time are not known.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_numbers::{infinite_in_rows, infinite_where, total};
use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind, RowLossNodes};
use super::loss_kind::{Build, LossKind};
use super::paths_in_time::{NEVER, Paths};
use super::row_mean::{TINY, mean_by_weight, rows_by_weight};
use super::sequence_scores::{require_sequence, symbols};
use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, Length, TensorType, ValueId};

pub(super) const LOSS: LossKind = LossKind {
    name: "ctc",
    summary: "A sequence of symbols whose places in time are not known, as in speech.",
    documentation: "Scores `[batch, time, symbols]`, or `[time, batch, symbols]` where the model's file names the axis of the \
        batch, targets int64 `[batch, most]`: the symbols of each row, and −1, or any number below 0, behind them where a row has \
        fewer. The probability of a row is the sum over all ways to write its \
        symbols along time, each as often as it likes, with any number of `blank` between (Graves et al., \"Connectionist \
        Temporal Classification\", 2006); its loss is −log of it, divided by the number of its symbols, and the loss is \
        the mean over rows by their weight, as of PyTorch's `CTCLoss` with `reduction=\"mean\"`. How much of the time is a row's \
        follows from the lengths of its inputs, where these differ, through the model: what is behind counts nothing. Targets come of \
        `symbols`, and inputs for example of `sequence`. A row that has more symbols than its time holds makes the loss infinite, so that the run stops at it, or with \
        `zero_infinity` counts nothing; so does a target that is no symbol. The gradient is the closed form of the paper, \
        softmax(scores) less the share of each symbol in the ways. The metrics are `character_error_rate` and `word_error_rate`.",
    samples: &["{}", r#"{"blank": 2, "zero_infinity": true}"#],
    build: Build::of::<Ctc>(),
};

/// What the axis of the targets is called, which nothing of the model has.
const MOST: &str = "target_symbols";
/// Logarithms below this are of what cannot be.
const IMPOSSIBLE: f32 = NEVER / 10.0;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Ctc {
    /// The symbol that stands for none.
    #[schemars(range(min = 0))]
    blank: usize,
    /// Whether rows that have more symbols than time holds count nothing, instead of stopping the run.
    zero_infinity: bool,
}

impl Options for Ctc {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl LossFunction for Ctc {
    fn reads(&self) -> PredictionKind {
        PredictionKind::SequenceScores
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        require_sequence(prediction)?;
        if prediction.shape[2].fixed().is_some_and(|symbols| symbols <= self.blank) {
            let message =
                format!("blank is one of the symbols, got {} and {} of them", self.blank, prediction.shape[2]);
            return Err(CompilerError::setting("training.loss.ctc.blank", message));
        }
        Ok(TensorType::new(ElementType::I64, [prediction.shape[0].clone(), Length::named(MOST)]))
    }

    fn takes_weights(&self) -> bool {
        true
    }

    fn takes_lengths(&self) -> bool {
        true
    }

    fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
        let row = self.read(graph, inputs)?;
        let (negative, weights) = (graph.add("Neg", &[row.likelihood], &[])?, row.weights);
        // 1e30 times a weight of 0 is 0
        let of_row = graph.divided_by(negative, row.at_least_one)?;
        let (mean, weight) = mean_by_weight(graph, of_row, weights)?;
        Ok(LossNodes { loss: graph.plus(mean, row.penalty)?, weight: Some(weight) })
    }

    fn row_nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Option<RowLossNodes>, CompilerError> {
        let row = self.read(graph, inputs)?;
        let negative = graph.add("Neg", &[row.likelihood], &[])?;
        let of_row = graph.divided_by(negative, row.at_least_one)?;
        let loss = rows_by_weight(graph, of_row, row.weights)?;
        let penalty = infinite_in_rows(graph, row.faults)?;
        // without `zero_infinity` these are the weights that were given, and an input is no output
        let weight = self.zero_infinity.then_some(row.weights);
        Ok(Some(RowLossNodes { loss: graph.plus(loss, penalty)?, weight }))
    }

    fn gradient(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Option<ValueId>, CompilerError> {
        let row = self.read(graph, inputs)?;
        let share = row.paths.shares(graph, row.likelihood)?;
        let probability = graph.add("Softmax", &[row.scores], &[("axis", 2.into())])?;
        let off = graph.minus(probability, share)?;
        let off = graph.times(off, row.is_own)?;
        let sum = total(graph, row.weights)?;
        let tiny = graph.scalar(TINY);
        let divisor = graph.add("Max", &[sum, tiny], &[])?;
        let divisor = graph.times(row.at_least_one, divisor)?;
        let factor = graph.divided_by(row.weights, divisor)?;
        let axes = graph.integers(&[1, 2]);
        let factor = graph.add("Unsqueeze", &[factor, axes], &[])?;
        Ok(Some(graph.times(off, factor)?))
    }
}

/// What is known of each row, `[batch]` but for the last four.
struct Rows {
    /// log p of its symbols.
    likelihood: ValueId,
    /// The number of its symbols, or 1 where there is none.
    at_least_one: ValueId,
    /// Its weight, 0 where it counts nothing.
    weights: ValueId,
    /// 1 where its targets are none or do not fit into its time, otherwise 0.
    faults: ValueId,
    /// Added to the loss: 0, or infinity.
    penalty: ValueId,
    /// `[batch, time, symbols]`, as [`Ctc::cut`] says.
    scores: ValueId,
    /// 1 for a time that is the row's, `[batch, time, 1]`.
    is_own: ValueId,
    paths: Paths,
}

impl Ctc {
    /// The scores, at times behind a row's own those of a certain blank, and which times are its own. Where nothing but a blank can
    /// come, a way that is at its end stays there, and no other gets there.
    fn cut(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<(ValueId, ValueId), CompilerError> {
        let shape = graph.shape(inputs.prediction)?.to_vec();
        let symbols = symbols(graph, inputs.prediction)?;
        let (second, third) = (graph.integers(&[1]), graph.integers(&[2]));
        let times = graph.positions(&shape[1])?;
        let lengths = graph.add("Unsqueeze", &[inputs.lengths()?, second], &[])?;
        let is_own = graph.add("Less", &[times, lengths], &[])?;
        let is_own = graph.add("Unsqueeze", &[is_own, third], &[])?;
        let blank: Vec<f32> = (0..symbols).map(|symbol| if symbol == self.blank { 0.0 } else { NEVER }).collect();
        let blank = graph.constant("certain_blank", Constant::f32([symbols], &blank));
        let scores = graph.add("Where", &[is_own, inputs.prediction, blank], &[])?;
        Ok((scores, graph.cast(is_own, ElementType::F32)?))
    }

    fn read(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Rows, CompilerError> {
        let (scores, is_own) = self.cut(graph, inputs)?;
        let known = symbols(graph, inputs.prediction)? as i64;
        let whole = |graph: &mut Graph, value: i64| graph.constant("whole", Constant::i64([], &[value]));
        let (zero, end, blank) = (whole(graph, 0), whole(graph, known), whole(graph, self.blank as i64));
        let is_given = graph.add("GreaterOrEqual", &[inputs.targets, zero], &[])?;
        let is_symbol = graph.add("Less", &[inputs.targets, end], &[])?;
        let is_blank = graph.add("Equal", &[inputs.targets, blank], &[])?;
        let given = graph.cast(is_given, ElementType::I64)?;
        let axis = graph.integers(&[1]);
        let counts = graph.add("ReduceSum", &[given, axis], &[("keepdims", 1.into())])?;
        // symbols stand before what fills the row up
        let places = graph.positions(&graph.shape(inputs.targets)?[1].clone())?;
        let is_before_end = graph.add("Less", &[places, counts], &[])?;
        let is_gap = graph.add("Xor", &[is_before_end, is_given], &[])?;
        let is_other = graph.add("Not", &[is_symbol], &[])?;
        let wrong = graph.add("Or", &[is_other, is_blank], &[])?;
        let wrong = graph.add("And", &[wrong, is_given], &[])?;
        let wrong = graph.add("Or", &[wrong, is_gap], &[])?;
        let wrong = graph.cast(wrong, ElementType::F32)?;
        let wrong = graph.reduce_sum(wrong, &[1], false)?;

        let is_usable = graph.add("And", &[is_given, is_symbol], &[])?;
        let usable = graph.add("Where", &[is_usable, inputs.targets, blank], &[])?;
        let paths = Paths::of(graph, scores, usable, counts, self.blank as i64)?;
        let likelihood = paths.likelihood(graph)?;
        let impossible = graph.scalar(IMPOSSIBLE);
        let is_possible = graph.add("Greater", &[likelihood, impossible], &[])?;
        let is_possible = graph.cast(is_possible, ElementType::F32)?;
        let given_weights = inputs.weights()?;
        let one = graph.scalar(1.0);
        let mut faults = wrong;
        let mut weights = given_weights;
        if self.zero_infinity {
            weights = graph.times(given_weights, is_possible)?;
        } else {
            let is_impossible = graph.minus(one, is_possible)?;
            faults = graph.plus(wrong, is_impossible)?;
        }
        let is_there = graph.add("Sign", &[given_weights], &[])?;
        let faults = graph.times(faults, is_there)?;
        let faults = graph.add("Min", &[faults, one], &[])?;
        let penalty = infinite_where(graph, faults)?;
        let counts = graph.cast(counts, ElementType::F32)?;
        let counts = graph.add("Squeeze", &[counts, axis], &[])?;
        let at_least_one = graph.add("Max", &[counts, one], &[])?;
        Ok(Rows { likelihood, at_least_one, weights, faults, penalty, scores, is_own, paths })
    }
}
