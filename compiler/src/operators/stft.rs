use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, dft, fixed_integer, varied, varied_in};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Graph, Length, Node, TensorType, ValueId};

/// `STFT`: the `DFT` of frames of a signal `[N, L, 1 or 2]`, each times a window: `[N, frames, entries, 2]`. As `Gather` of the
/// frames and that operator.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "STFT",
    opsets: 17..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let frames = |step: i64, window: SampleInput, length: Option<i64>| {
            let length = length.map(fixed_integer);
            [fixed_integer(step), window].into_iter().chain(length).collect::<Vec<SampleInput>>()
        };
        let window = || varied_in(&[6], 0.1, 1.0);
        let whole = || vec![("onesided", 0.into())];
        let real = || varied(&[2, 14, 1]);
        vec![
            Sample::new("a window", [vec![real()], frames(4, window(), None)].concat(), vec![]),
            Sample::new("no window", [vec![real()], frames(3, SampleInput::Absent, Some(5))].concat(), vec![]),
            Sample::new("both halves", [vec![real()], frames(4, window(), Some(6))].concat(), whole()),
            Sample::new("pairs", [vec![varied(&[2, 14, 2])], frames(5, window(), None)].concat(), whole()),
        ]
    },
};

/// The frames of a signal.
struct Frames {
    step: i64,
    length: usize,
    count: Length,
}

impl Frames {
    fn of(graph: &Graph, node: &Node, signal: &[Length]) -> Result<Self, String> {
        let number = |index: usize, what: &str| {
            let given =
                node.input(index).and_then(|id| graph.lengths_of(id)).and_then(|given| given.first()?.as_number());
            given
                .filter(|given| (1..1 << 31).contains(given))
                .ok_or_else(|| format!("its {what} is computed from data or 0"))
        };
        let window = node.input(2).and_then(|id| graph.tensor_type(id)).and_then(|known| known.shape.first()?.fixed());
        let length = match (node.input(3), window) {
            (Some(_), _) => number(3, "frame length")? as usize,
            (None, Some(window)) => window,
            (None, None) if node.input(2).is_some() => {
                return Err("a window of open lengths: export the model with fixed lengths".into());
            }
            (None, None) => return Err("neither a window nor a frame length".into()),
        };
        if window.is_some_and(|window| window != length) {
            return Err(format!("a window of {} for frames of {length}", window.unwrap_or_default()));
        }
        let [_, whole, _] = signal else { return Err(format!("a signal {signal:?}, wanted three axes")) };
        if whole.fixed().is_some_and(|whole| whole < length) {
            return Err(format!("frames of {length} in a signal of {whole}"));
        }
        let step = number(1, "step")?;
        let count = (whole - length).quotient(&Length::number(step)) + 1;
        Ok(Self { step, length, count })
    }
}

fn is_half(node: &Node) -> bool {
    node.int("onesided").unwrap_or(1) != 0
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let signal = rule.input(0)?;
    let frames = Frames::of(rule.graph, rule.node, &signal.shape).map_err(|message| rule.error(message))?;
    let parts = signal.shape.last().and_then(Length::as_number);
    if !(parts == Some(1) || parts == Some(2) && !is_half(rule.node)) {
        let advice = if parts.is_none() { "; export the model with fixed lengths for what is open" } else { "" };
        let what = "which is neither of real parts nor of pairs whose both halves are asked for";
        return Err(rule.error(format!("a signal {signal}, {what}{advice}")));
    }
    let made = if is_half(rule.node) { frames.length / 2 + 1 } else { frames.length };
    let shape = [signal.shape[0].clone(), frames.count, made.into(), 2.into()];
    Ok(vec![TensorType { dtype: signal.dtype, shape: shape.to_vec() }])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (signal, window) = (node.input(0)?, node.node.input(2));
    let shape = node.input_type(0)?.shape;
    let frames = Frames::of(node.graph, &node.node, &shape).map_err(|message| node.error(message))?;
    let is_half = is_half(&node.node);
    let graph = &mut *node.graph;
    let begin = graph.positions(&frames.count)?;
    let step = graph.integers(&[frames.step]);
    let begin = graph.times(begin, step)?;
    let begin = graph.reshape(begin, &[&frames.count, &1.into()])?;
    let within = graph.positions(&frames.length.into())?;
    let places = graph.plus(begin, within)?;
    let mut framed = graph.add("Gather", &[signal, places], &[("axis", 1.into())])?;
    if let Some(window) = window {
        let window = graph.reshape(window, &[frames.length, 1])?;
        framed = graph.times(framed, window)?;
    }
    Ok(vec![dft::transformed(graph, framed, 2, &[("onesided", is_half)])?])
}
