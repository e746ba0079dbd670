//! Branches whose condition is known before the run, and loops whose number of turns is: what they are written out to.

use std::collections::{HashMap, HashSet};

use super::declared::known_shape;
use super::onnx::{AttributeProto, GraphProto, NodeProto};
use super::scope::{Imported, Names};
use super::sequences::{members, stacked};
use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, Length, Node, ValueId};
use millstream_schemas::shown;

/// The graph of an attribute; the gate lets no such operator pass without it.
pub(super) fn graph_of<'a>(node: &'a NodeProto, name: &str) -> Option<&'a GraphProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)?.g.as_ref()
}

fn integers(node: &NodeProto, name: &str) -> Vec<i64> {
    let found = node.attribute.iter().find(|attribute| attribute.name() == name);
    found.map_or_else(Vec::new, |attribute: &AttributeProto| attribute.ints.clone())
}

/// What errors call a node.
pub(super) fn label(node: &NodeProto) -> String {
    format!("`{}` ({})", shown(own_name(node)), shown(node.op_type()))
}

/// The name of a node, or else of the first value that it makes.
pub(super) fn own_name(node: &NodeProto) -> &str {
    let first = || node.output.iter().map(String::as_str).find(|name| !name.is_empty()).unwrap_or_default();
    if node.name().is_empty() { first() } else { node.name() }
}

pub(super) fn malformed(node: &NodeProto, message: impl Into<String>) -> CompilerError {
    let operator = shown(node.op_type());
    CompilerError::Node { node: shown(own_name(node)), operator, message: message.into() }
}

/// Why a node is not written out.
pub(super) enum Obstacle {
    /// What it does is known in the run alone; what to say where it cannot be kept as it is.
    Open(CompilerError),
    /// It is wrong.
    Wrong(CompilerError),
}

impl From<CompilerError> for Obstacle {
    fn from(error: CompilerError) -> Self {
        Self::Wrong(error)
    }
}

/// The branch of an `If` that is taken.
///
/// # Errors
/// What the condition is depends on the run.
pub(super) fn branch<'a>(
    graph: &Graph,
    node: &'a NodeProto,
    condition: Option<ValueId>,
) -> Result<&'a GraphProto, Obstacle> {
    let condition = condition.ok_or_else(|| malformed(node, "it has no condition"))?;
    let taken = truth(graph, condition).ok_or_else(|| {
        let (why, advice) = culprit(graph, condition);
        Obstacle::Open(CompilerError::unsupported(format!("node {}, whose condition {why},", label(node)), advice))
    })?;
    let name = if taken { "then_branch" } else { "else_branch" };
    Ok(graph_of(node, name).ok_or_else(|| malformed(node, format!("it has no {name}")))?)
}

/// Whether a value holds, where that is known before the run.
pub(super) fn truth(graph: &Graph, value: ValueId) -> Option<bool> {
    number(graph, value).map(|number| number != 0)
}

fn number(graph: &Graph, value: ValueId) -> Option<i64> {
    match graph.lengths_of(value)?.as_slice() {
        [only] => only.as_number(),
        _ => None,
    }
}

/// Truth values lie so deep in each other.
const DEEPEST: usize = 8;

/// As [`truth`], where single floats of the file are compared as well, as tf2onnx writes what the first turn of a loop depends on.
/// Such numbers are settings from then on: a trained one could decide otherwise.
fn decided(graph: &mut Graph, value: ValueId) -> Option<bool> {
    let mut settings = Vec::new();
    let holds = compared(graph, value, DEEPEST, &mut settings)?;
    settings.into_iter().for_each(|setting| graph.stop_gradient(setting));
    Some(holds)
}

/// Whether a truth value holds. `settings` get the floats that it was decided by.
fn compared(graph: &Graph, value: ValueId, deepest: usize, settings: &mut Vec<ValueId>) -> Option<bool> {
    if let Some(known) = truth(graph, value) {
        return Some(known);
    }
    let node = graph.producer(value).filter(|node| node.domain.is_empty() && deepest > 0)?;
    let mut input = |at: usize| compared(graph, node.input(at)?, deepest - 1, settings);
    let holds: fn(f64, f64) -> bool = match node.operator.as_str() {
        "Identity" => return input(0),
        "Not" => return input(0).map(|holds| !holds),
        "And" => return Some(input(0)? && input(1)?),
        "Or" => return Some(input(0)? || input(1)?),
        "Equal" => |a, b| a == b,
        "Greater" => |a, b| a > b,
        "GreaterOrEqual" => |a, b| a >= b,
        "Less" => |a, b| a < b,
        "LessOrEqual" => |a, b| a <= b,
        _ => return None,
    };
    let (a, b) = (single_float(graph, node.input(0)?, settings)?, single_float(graph, node.input(1)?, settings)?);
    Some(holds(a, b))
}

/// A float that is known before the run: one of the file, or one that is computed of lengths.
fn single_float(graph: &Graph, value: ValueId, settings: &mut Vec<ValueId>) -> Option<f64> {
    let Some(constant) = graph.constant_of(value).filter(|constant| constant.dtype.is_float()) else {
        return number(graph, value).map(|number| number as f64);
    };
    match constant.to_f32()?.as_slice() {
        [only] => {
            settings.push(value);
            Some(f64::from(*only))
        }
        _ => None,
    }
}

/// What to say of a node that is kept with its graphs, since the data decide what it does.
pub(super) fn decided_in_the_run(graph: &Graph, node: &Node) -> Option<String> {
    let (label, operator) = (graph.label(node), shown(&node.operator));
    let open = |input: usize| node.input(input).filter(|value| number(graph, *value).is_none());
    let (what, found) = match node.operator.as_str() {
        "If" => ("whose condition", open(0)),
        "Loop" => {
            let undecided = |value: &ValueId| compared(graph, *value, DEEPEST, &mut Vec::new()).is_none();
            ("whose number of turns", open(0).or_else(|| open(1).filter(undecided)))
        }
        _ => {
            return Some(format!(
                "node `{label}` ({operator}) goes along an axis whose length the data decide, and runs as it is"
            ));
        }
    };
    let Some(value) = found else {
        return Some(format!(
            "node `{label}` ({operator}) decides in each turn whether there is a further one, and runs as it is"
        ));
    };
    let (why, _) = culprit(graph, value);
    Some(format!("node `{label}` ({operator}), {what} {why}, runs as it is"))
}

/// Why a value is not known before the run, and what to do: a length that has a name can be fixed, data cannot.
fn culprit(graph: &Graph, value: ValueId) -> (String, &'static str) {
    let made = |node: usize| graph.nodes()[node].outputs.iter().flatten().map(move |value| (*value, node));
    let makers: HashMap<ValueId, usize> = (0..graph.nodes().len()).flat_map(made).collect();
    let mut open = vec![value];
    let mut seen = HashSet::new();
    let mut names: Vec<String> = Vec::new();
    while let Some(value) = open.pop() {
        if !seen.insert(value) || graph.constant_of(value).is_some() {
            continue;
        }
        if let Some(lengths) = graph.lengths_of(value) {
            names.extend(lengths.iter().flat_map(Length::names).map(str::to_owned));
            continue;
        }
        let Some(node) = makers.get(&value).map(|node| &graph.nodes()[*node]) else {
            let name = shown(graph.name(value));
            return (format!("depends on the data in `{name}`"), "export the model without control flow");
        };
        if !matches!(node.operator.as_str(), "Shape" | "Size") {
            open.extend(node.inputs.iter().flatten());
        }
    }
    names.sort_unstable();
    names.dedup();
    let shown_names: Vec<String> = names.iter().map(|name| format!("`{}`", shown(name))).collect();
    if shown_names.is_empty() {
        let name = shown(graph.name(value));
        return (format!("`{name}` is not known before the run"), "export the model without control flow");
    }
    (
        format!("depends on the length of {}", shown_names.join(" and ")),
        "export the model with a fixed length of that axis",
    )
}

/// A `Loop` or `Scan`, turn by turn.
pub(super) struct Turns<'a> {
    node: &'a NodeProto,
    pub(super) body: &'a GraphProto,
    kind: Kind,
    /// Turns so far.
    pub(super) turn: usize,
    carried: Vec<Imported>,
    /// What each turn has added to each output that is joined of all turns.
    collected: Vec<Vec<ValueId>>,
}

enum Kind {
    Loop {
        most: Option<i64>,
        goes_on: bool,
    },
    Scan {
        count: usize,
        /// For each input that is taken apart, what each turn reads.
        parts: Vec<Vec<ValueId>>,
        axes: Vec<i64>,
        is_backward: Vec<bool>,
    },
}

impl<'a> Turns<'a> {
    /// Of a node with these inputs.
    ///
    /// # Errors
    /// It does not fit its inputs, or how many turns there are is not known before the run.
    pub(super) fn of(
        graph: &mut Graph,
        names: &Names<'_>,
        node: &'a NodeProto,
        inputs: &[Option<Imported>],
    ) -> Result<Self, Obstacle> {
        let body = graph_of(node, "body").ok_or_else(|| malformed(node, "it has no body"))?;
        if node.op_type() == "Scan" {
            return Self::scan(graph, names, node, body, inputs);
        }
        let given = |at: usize| inputs.get(at).and_then(Option::as_ref).and_then(Imported::tensor);
        let how_often = |graph: &Graph, value: ValueId| {
            let (why, advice) = culprit(graph, value);
            Obstacle::Open(CompilerError::unsupported(
                format!("node {}, whose number of turns {why},", label(node)),
                advice,
            ))
        };
        let most = given(0).map(|value| number(graph, value).ok_or_else(|| how_often(graph, value))).transpose()?;
        let goes_on = given(1).map(|value| decided(graph, value).ok_or_else(|| how_often(graph, value))).transpose()?;
        let carried = required(node, inputs.get(2..).unwrap_or_default())?;
        let collected = collected(node, body, 1 + carried.len())?;
        let kind = Kind::Loop { most, goes_on: goes_on.unwrap_or(true) };
        Ok(Self { node, body, kind, turn: 0, carried, collected })
    }

    fn scan(
        graph: &mut Graph,
        names: &Names<'_>,
        node: &'a NodeProto,
        body: &'a GraphProto,
        inputs: &[Option<Imported>],
    ) -> Result<Self, Obstacle> {
        let wanted = node.attribute.iter().find(|attribute| attribute.name() == "num_scan_inputs");
        let scanned = wanted.and_then(|attribute| usize::try_from(attribute.i()).ok()).unwrap_or(0);
        let given = required(node, inputs)?;
        let Some(states) = given.len().checked_sub(scanned).filter(|_| scanned > 0) else {
            return Err(malformed(node, format!("{} inputs, of which it scans {scanned}", given.len())).into());
        };
        let (axes, directions) = (integers(node, "scan_input_axes"), integers(node, "scan_input_directions"));
        let mut parts = Vec::new();
        for (at, input) in given[states..].iter().enumerate() {
            let value = input.tensor().ok_or_else(|| malformed(node, "it scans a sequence"))?;
            let name = names.free(graph, &format!("{}.scanned.{at}", own_name(node)));
            let turns = members(graph, value, axes.get(at).copied().unwrap_or(0), &name);
            let mut turns = turns.map_err(|error| match error {
                // as many steps are not written out
                CompilerError::Unsupported { .. } => Obstacle::Open(error),
                error => Obstacle::Wrong(error),
            })?;
            if directions.get(at).copied().unwrap_or(0) != 0 {
                turns.reverse();
            }
            parts.push(turns);
        }
        let count = parts[0].len();
        if parts.iter().any(|turns| turns.len() != count) {
            return Err(malformed(node, "the inputs that it scans are of different length").into());
        }
        let collected = collected(node, body, states)?;
        let output_axes = integers(node, "scan_output_axes");
        let output_directions = integers(node, "scan_output_directions");
        let kind = Kind::Scan {
            count,
            parts,
            axes: (0..collected.len()).map(|at| output_axes.get(at).copied().unwrap_or(0)).collect(),
            is_backward: (0..collected.len())
                .map(|at| output_directions.get(at).is_some_and(|way| *way != 0))
                .collect(),
        };
        Ok(Self { node, body, kind, turn: 0, carried: given[..states].to_vec(), collected })
    }

    /// What the body reads in the next turn; none behind the last.
    pub(super) fn next(&mut self, graph: &mut Graph, names: &Names<'_>) -> Option<Vec<Imported>> {
        let turn = self.turn;
        match &self.kind {
            Kind::Loop { most, goes_on } => {
                let is_over = most.is_some_and(|most| turn as i64 >= most) || !goes_on;
                if is_over {
                    return None;
                }
                let rank = self.body.input.first().and_then(known_shape).map_or(0, |shape| shape.len().min(1));
                let number = Constant::i64(vec![1; rank], &[turn as i64]);
                let rank = self.body.input.get(1).and_then(known_shape).map_or(0, |shape| shape.len().min(1));
                let truth = Constant { dtype: ElementType::Bool, shape: vec![1; rank], bytes: vec![1].into() };
                let mut given = Vec::with_capacity(2 + self.carried.len());
                for (part, constant) in [("turn", number), ("condition", truth)] {
                    let name = names.free(graph, &format!("{}/{turn}/{part}", own_name(self.node)));
                    given.push(Imported::Tensor(graph.constant(&name, constant)));
                }
                given.extend(self.carried.iter().cloned());
                Some(given)
            }
            Kind::Scan { count, parts, .. } => (turn < *count).then(|| {
                let parts = parts.iter().map(|turns| Imported::Tensor(turns[turn]));
                self.carried.iter().cloned().chain(parts).collect()
            }),
        }
    }

    /// Takes what the body has made in a turn.
    ///
    /// # Errors
    /// Whether there is a further turn is not known before the run.
    pub(super) fn give(&mut self, graph: &mut Graph, mut made: Vec<Imported>) -> Result<(), Obstacle> {
        let turn = self.turn;
        self.turn += 1;
        if let Kind::Loop { goes_on, .. } = &mut self.kind {
            let condition =
                made.remove(0).tensor().ok_or_else(|| malformed(self.node, "its condition is a sequence"))?;
            *goes_on = decided(graph, condition).ok_or_else(|| {
                let (why, advice) = culprit(graph, condition);
                let what = format!("node {}, in which a further turn after turn {turn} {why},", label(self.node));
                Obstacle::Open(CompilerError::unsupported(what, advice))
            })?;
        }
        let joined = made.split_off(self.carried.len());
        for (collected, value) in self.collected.iter_mut().zip(joined) {
            let value = value.tensor().ok_or_else(|| malformed(self.node, "it joins sequences of its turns"))?;
            collected.push(value);
        }
        self.carried = made;
        Ok(())
    }

    /// What the node makes.
    ///
    /// # Errors
    /// The turns have made tensors that do not fit each other, or there was none.
    pub(super) fn finish(self, graph: &mut Graph, names: &Names<'_>) -> Result<Vec<Imported>, CompilerError> {
        let mut made = self.carried;
        for (at, mut values) in self.collected.into_iter().enumerate() {
            if values.is_empty() {
                return Err(malformed(self.node, "it joins what its turns make, and has none"));
            }
            let axis = match &self.kind {
                Kind::Loop { .. } => 0,
                Kind::Scan { axes, is_backward, .. } => {
                    if is_backward[at] {
                        values.reverse();
                    }
                    axes[at]
                }
            };
            let name = names.free(graph, &format!("{}.joined.{at}", own_name(self.node)));
            made.push(Imported::Tensor(stacked(graph, &values, axis, &name)?));
        }
        Ok(made)
    }
}

/// Inputs of which none may be left out.
fn required(node: &NodeProto, inputs: &[Option<Imported>]) -> Result<Vec<Imported>, CompilerError> {
    inputs.iter().map(|input| input.clone().ok_or_else(|| malformed(node, "an input is left out"))).collect()
}

/// Room for what the turns make, behind the first `carried` outputs of the body.
fn collected(node: &NodeProto, body: &GraphProto, carried: usize) -> Result<Vec<Vec<ValueId>>, CompilerError> {
    let count = body.output.len().checked_sub(carried);
    let count = count.ok_or_else(|| malformed(node, format!("its body makes {} values", body.output.len())))?;
    Ok(vec![Vec::new(); count])
}
