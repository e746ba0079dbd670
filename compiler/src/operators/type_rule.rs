use crate::CompilerError;
use crate::graph::{Constant, Graph, Length, Node, TensorType};
use millstream_schemas::shown;

/// What a [`TypeRule`](super::TypeRule) sees.
pub struct TypeRuleInput<'a> {
    /// The graph so far.
    pub graph: &'a Graph,
    /// The node; its outputs are not made yet.
    pub node: &'a Node,
    /// Number of outputs that the node has.
    pub outputs: usize,
    /// Which of them a [`FoldRule`](super::FoldRule) is asked for.
    pub output: usize,
}

impl<'a> TypeRuleInput<'a> {
    /// The type of a required input.
    pub fn input(&self, index: usize) -> Result<&'a TensorType, CompilerError> {
        let given = self.node.input(index).ok_or_else(|| self.error(format!("input {index} is missing")))?;
        self.graph.known_type(given)
    }

    /// The type of an input that may be left out; `None` also where it is not known.
    pub fn optional(&self, index: usize) -> Option<&'a TensorType> {
        self.node.input(index).and_then(|id| self.graph.tensor_type(id))
    }

    /// The integers that an input always holds, if it is given and constant.
    pub fn integers(&self, index: usize) -> Option<Vec<i64>> {
        self.node.input(index).and_then(|id| self.graph.constant_of(id)).and_then(Constant::to_i64)
    }

    /// The integers that an input always holds, or an error when they are not known before the run.
    pub fn known_integers(&self, index: usize) -> Result<Vec<i64>, CompilerError> {
        self.integers(index).ok_or_else(|| match self.node.input(index) {
            Some(_) => self.not_known(index),
            None => self.error(format!("input {index} is missing")),
        })
    }

    /// The lengths that an input holds, as numbers or as expressions, or an error when they are not known before the run.
    pub fn known_lengths(&self, index: usize) -> Result<Vec<Length>, CompilerError> {
        let given = self.node.input(index).ok_or_else(|| self.error(format!("input {index} is missing")))?;
        self.graph.lengths_of(given).ok_or_else(|| self.not_known(index))
    }

    /// Refuses inputs of integers that are given and not known before the run.
    pub fn require_known(&self, inputs: std::ops::Range<usize>) -> Result<(), CompilerError> {
        let unknown = |index: &usize| self.node.input(*index).is_some() && self.integers(*index).is_none();
        inputs.into_iter().find(unknown).map_or(Ok(()), |index| Err(self.not_known(index)))
    }

    /// An error that says that an input is not known before the run.
    pub fn not_known(&self, index: usize) -> CompilerError {
        CompilerError::NotKnown {
            node: self.graph.label(self.node),
            operator: self.node.operator.clone(),
            message: format!("input {index} is computed from data, so the output's shape is not known before the run"),
        }
    }

    /// The constant that an input always is.
    pub fn constant(&self, index: usize) -> Option<&'a Constant> {
        self.node.input(index).and_then(|id| self.graph.constant_of(id))
    }

    /// The version of the node's operator set.
    pub fn opset(&self) -> i64 {
        self.graph.opset_of(&self.node.domain)
    }

    /// An error that names this node.
    pub fn error(&self, message: impl Into<String>) -> CompilerError {
        CompilerError::Node {
            node: self.graph.label(self.node),
            operator: self.node.operator.clone(),
            message: message.into(),
        }
    }

    /// An error that says that inputs which ONNX wants to be of one element type are of these.
    pub fn types_differ(&self, a: &TensorType, b: &TensorType) -> CompilerError {
        // exporters of older ones write bounds of floats for integers
        let newer = if self.graph.file_opset < 12 { ", with opset 12 or later" } else { "" };
        self.error(format!(
            "element types differ: {} and {}; ONNX takes one type here, so the file itself is not valid and ONNX Runtime does not open it \
             either: export the model again{newer}",
            a.dtype.name(),
            b.dtype.name()
        ))
    }

    /// An axis attribute or value, counted from the front; negative ones count from the end.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<usize, CompilerError> {
        let counted = if axis < 0 { axis + rank as i64 } else { axis };
        usize::try_from(counted)
            .ok()
            .filter(|axis| *axis < rank)
            .ok_or_else(|| self.error(format!("axis {axis} of {rank} axes")))
    }

    /// The shape that two shapes broadcast to, as numpy does.
    pub fn broadcast(&self, a: &[Length], b: &[Length]) -> Result<Vec<Length>, CompilerError> {
        let rank = a.len().max(b.len());
        let one = &Length::from(1);
        (0..rank)
            .map(|axis| {
                let [x, y] = [a, b].map(|shape| (axis + shape.len()).checked_sub(rank).map_or(one, |at| &shape[at]));
                broadcast_length(x, y).map_err(|open| {
                    let message = format!("shapes {a:?} and {b:?} do not broadcast: {x} against {y}");
                    self.error(if open { self.open(&message, axis, &[x, y]) } else { message })
                })
            })
            .collect()
    }

    /// A message about something that the names of an axis leave open.
    pub fn open(&self, what: &str, axis: usize, lengths: &[&Length]) -> String {
        let mut names: Vec<&str> = lengths.iter().flat_map(|length| length.names()).collect();
        names.dedup();
        let names: Vec<String> = names.into_iter().map(|name| format!("`{}`", shown(name))).collect();
        format!(
            "{what}, on axis {axis}, where that is open: export the model with fixed lengths for {}",
            names.join(" and ")
        )
    }
}

/// What two lengths broadcast to; an error, and whether it depends on what names stand for, where they do not.
fn broadcast_length(x: &Length, y: &Length) -> Result<Length, bool> {
    if x.agrees_with(y) {
        // one may be the other cut at a number
        return Ok(if x.is_cut() { y } else { x }.clone());
    }
    if *x == 1 {
        return Ok(y.clone());
    }
    if *y == 1 {
        return Ok(x.clone());
    }
    // ONNX Runtime refuses what is neither the same nor one, so what cannot be one stays
    match (x.as_number(), y.as_number()) {
        (Some(_), Some(_)) => Err(false),
        _ if x.is_at_least(2) || x.as_number() == Some(0) => Ok(x.clone()),
        _ if y.is_at_least(2) || y.as_number() == Some(0) => Ok(y.clone()),
        _ => Err(true),
    }
}
