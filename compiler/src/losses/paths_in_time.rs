//! All ways to write symbols along time, with blanks between: log probabilities by recursion, of Graves et al. 2006.

use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, Step, Steps, ValueId};

/// The logarithm of what cannot be: with −∞ differences would be no numbers.
pub(super) const NEVER: f32 = -1e30;

/// Symbols of rows with a blank before, between and behind them, at states: 2·most + 1 of them.
pub(super) struct Paths {
    /// log p of the symbol of each state at each time, float32 `[time, batch, states]`.
    emissions: ValueId,
    /// One for the symbol of each state, float32 `[batch, states, symbols]`.
    one_hot: ValueId,
    /// 0 where a state may follow the one two before it, else [`NEVER`]: `[batch, states]`.
    skip: ValueId,
    /// 0 where a way may begin before the first time: `[batch, states]`.
    begin: ValueId,
    /// 0 where a way may end: `[batch, states]`.
    end: ValueId,
}

impl Paths {
    /// Of `symbols`, int64 `[batch, most]`, of which the first `counts`, int64 `[batch, 1]`, are some and the others `blank`.
    pub(super) fn of(
        graph: &mut Graph,
        scores: ValueId,
        symbols: ValueId,
        counts: ValueId,
        blank: i64,
    ) -> Result<Self, CompilerError> {
        let (known, rows) = (graph.shape(scores)?[2].clone(), graph.shape(symbols)?.to_vec());
        let blank = graph.constant("blank", Constant::i64([], &[blank]));
        let (zero, last) = (graph.constant("whole", Constant::i64([], &[0])), graph.integers(&[2]));
        let none = graph.times(symbols, zero)?;
        let blanks = graph.plus(none, blank)?;
        let mut column = |value: ValueId| graph.add("Unsqueeze", &[value, last], &[]);
        let (symbols, blanks) = (column(symbols)?, column(blanks)?);
        let pairs = graph.concat(&[symbols, blanks], 2)?;
        let flat = graph.reshape(pairs, &[rows[0].clone(), &rows[1] * 2])?;
        let states = shifted(graph, flat, &[0, 1, 0, 0], blank)?;

        let two_before = shifted(graph, states, &[0, 2, 0, -2], blank)?;
        let repeats = graph.add("Equal", &[states, two_before], &[])?;
        let is_blank = graph.add("Equal", &[states, blank], &[])?;
        let forbidden = graph.add("Or", &[repeats, is_blank], &[])?;
        let skip = never_where(graph, forbidden)?;

        let places = graph.positions(&graph.shape(states)?[1].clone())?;
        let (one, two) =
            (graph.constant("whole", Constant::i64([], &[1])), graph.constant("whole", Constant::i64([], &[2])));
        let last_blank = graph.times(counts, two)?;
        let last_symbol = graph.minus(last_blank, one)?;
        let [at_blank, at_symbol] = [last_blank, last_symbol].map(|place| graph.add("Equal", &[places, place], &[]));
        let ends = graph.add("Or", &[at_blank?, at_symbol?], &[])?;
        let goes_on = graph.add("Not", &[ends], &[])?;
        let end = never_where(graph, goes_on)?;
        let is_later = graph.add("Greater", &[places, zero], &[])?;
        let later = never_where(graph, is_later)?;
        let zeros = graph.scalar(0.0);
        let zeros = graph.times(end, zeros)?;
        let begin = graph.plus(zeros, later)?;

        let log_probability = graph.add("LogSoftmax", &[scores], &[("axis", 2.into())])?;
        let all = graph.positions(&known)?;
        let of_state = graph.add("Unsqueeze", &[states, last], &[])?;
        let one_hot = graph.add("Equal", &[of_state, all], &[])?;
        let one_hot = graph.cast(one_hot, ElementType::F32)?;
        let turned = graph.transpose(one_hot, &[0, 2, 1])?;
        let emissions = graph.add("MatMul", &[log_probability, turned], &[])?;
        let emissions = graph.transpose(emissions, &[1, 0, 2])?;
        Ok(Self { emissions, one_hot, skip, begin, end })
    }

    /// log p of all ways of each row, `[batch]`.
    pub(super) fn likelihood(&self, graph: &mut Graph) -> Result<ValueId, CompilerError> {
        let steps = self.steps(self.begin, self.skip, false);
        let made = graph.scan(&steps, |body, given| {
            let [state, emission, skip] = three(given)?;
            Ok(Step { states: vec![forward(body, state, emission, skip)?], entries: Vec::new() })
        })?;
        let ended = graph.plus(made[0], self.end)?;
        sum_of_ways(graph, ended)
    }

    /// The share of each symbol at each time among the ways, `[batch, time, symbols]`, given log p of all of them.
    pub(super) fn shares(&self, graph: &mut Graph, likelihood: ValueId) -> Result<ValueId, CompilerError> {
        let steps = self.steps(self.begin, self.skip, false);
        let made = graph.scan(&steps, |body, given| {
            let [state, emission, skip] = three(given)?;
            let next = forward(body, state, emission, skip)?;
            Ok(Step { states: vec![next], entries: vec![next] })
        })?;
        let until = made[1];
        let never = graph.scalar(NEVER);
        let skip_from = shifted(graph, self.skip, &[0, -2, 0, 2], never)?;
        let steps = self.steps(self.end, skip_from, true);
        let made = graph.scan(&steps, |body, given| {
            let [state, emission, skip] = three(given)?;
            let from_here = body.plus(state, emission)?;
            let never = body.scalar(NEVER);
            let one = shifted(body, from_here, &[0, -1, 0, 1], never)?;
            let two = shifted(body, from_here, &[0, -2, 0, 2], never)?;
            let two = body.plus(two, skip)?;
            Ok(Step { states: vec![log_sum(body, [from_here, one, two])?], entries: vec![state] })
        })?;
        let both = graph.plus(until, made[1])?;
        let axis = graph.integers(&[1]);
        let of_row = graph.add("Unsqueeze", &[likelihood, axis], &[])?;
        let share = graph.minus(both, of_row)?;
        // rounding must not make a share of more than all, nor a row without any way overflow
        let zero = graph.scalar(0.0);
        let share = graph.add("Min", &[share, zero], &[])?;
        let share = graph.add("Exp", &[share], &[])?;
        let share = graph.transpose(share, &[1, 0, 2])?;
        graph.add("MatMul", &[share, self.one_hot], &[])
    }

    fn steps(&self, state: ValueId, skip: ValueId, from_last: bool) -> Steps {
        Steps { states: vec![state], sequences: vec![self.emissions], outer: vec![skip], from_last }
    }
}

/// The state, the emission and what may be skipped, of one step.
fn three(given: &[ValueId]) -> Result<[ValueId; 3], CompilerError> {
    <[ValueId; 3]>::try_from(given)
        .map_err(|_| CompilerError::setting("training.loss", "a step of `ctc` reads three values"))
}

/// α of the next time: what stays, what comes from the state before, and what skips one.
fn forward(body: &mut Graph, state: ValueId, emission: ValueId, skip: ValueId) -> Result<ValueId, CompilerError> {
    let never = body.scalar(NEVER);
    let one = shifted(body, state, &[0, 1, 0, -1], never)?;
    let two = shifted(body, state, &[0, 2, 0, -2], never)?;
    let two = body.plus(two, skip)?;
    let sum = log_sum(body, [state, one, two])?;
    body.plus(sum, emission)
}

/// Moved along the states by a margin on one side and a cut on the other.
fn shifted(graph: &mut Graph, value: ValueId, pads: &[i64], with: ValueId) -> Result<ValueId, CompilerError> {
    let pads = graph.integers(pads);
    graph.add("Pad", &[value, pads, with], &[])
}

/// log(eᵃ + eᵇ + eᶜ).
fn log_sum(graph: &mut Graph, terms: [ValueId; 3]) -> Result<ValueId, CompilerError> {
    let largest = graph.add("Max", &terms, &[])?;
    let mut sum = None;
    for term in terms {
        let below = graph.minus(term, largest)?;
        let share = graph.add("Exp", &[below], &[])?;
        sum = Some(match sum {
            Some(sum) => graph.plus(sum, share)?,
            None => share,
        });
    }
    let logarithm = graph.add("Log", &[sum.unwrap_or(largest)], &[])?;
    graph.plus(largest, logarithm)
}

/// log Σ eˣ over states.
fn sum_of_ways(graph: &mut Graph, logarithms: ValueId) -> Result<ValueId, CompilerError> {
    let largest = graph.reduce_max(logarithms, &[1], true)?;
    let below = graph.minus(logarithms, largest)?;
    let shares = graph.add("Exp", &[below], &[])?;
    let sum = graph.reduce_sum(shares, &[1], true)?;
    let logarithm = graph.add("Log", &[sum], &[])?;
    let sum = graph.plus(largest, logarithm)?;
    let axis = graph.integers(&[1]);
    graph.add("Squeeze", &[sum, axis], &[])
}

/// [`NEVER`] where a truth holds, else 0.
fn never_where(graph: &mut Graph, truth: ValueId) -> Result<ValueId, CompilerError> {
    let truth = graph.cast(truth, ElementType::F32)?;
    let never = graph.scalar(NEVER);
    graph.times(truth, never)
}
