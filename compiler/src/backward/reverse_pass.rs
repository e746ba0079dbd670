use std::collections::{HashMap, HashSet};

use super::Backward;
use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, Node, ValueId};
use crate::operators::{self, Gradient, Operator};

/// Adds the gradients of a scalar `loss` with respect to `wanted`, one value each, of the same type.
///
/// Nodes that do not lie between a wanted value and the loss are not looked at, so frozen layers below the deepest
/// trained one may use any operator.
pub fn gradients(graph: &mut Graph, loss: ValueId, wanted: &[ValueId]) -> Result<Vec<ValueId>, CompilerError> {
    let path = TrainedPath::find(graph, loss, wanted);
    if !wanted.is_empty() && !path.depends.contains(&loss) {
        return Err(CompilerError::Selection("the loss does not depend on anything that is trained".into()));
    }
    let mut pass = ReversePass { contributions: HashMap::new(), towards_loss: HashMap::new() };
    let shape = graph.shape(loss)?.to_vec();
    let ones = vec![1.0; shape.iter().product()];
    let seed = graph.constant("loss_gradient", Constant::f32(shape, &ones));
    pass.contributions.insert(loss, vec![seed]);
    for index in path.nodes.iter().rev() {
        pass.through(graph, *index, &path)?;
    }
    wanted
        .iter()
        .map(|value| {
            pass.total(graph, *value)?.ok_or_else(|| {
                CompilerError::Selection(format!(
                    "no gradient reaches `{}`: the loss does not depend on it",
                    graph.name(*value)
                ))
            })
        })
        .collect()
}

/// Nodes between the wanted values and the loss, in order, and the values that depend on a wanted one.
pub(crate) struct TrainedPath {
    pub(crate) nodes: Vec<usize>,
    depends: HashSet<ValueId>,
    producers: HashMap<ValueId, usize>,
}

impl TrainedPath {
    pub(crate) fn find(graph: &Graph, loss: ValueId, wanted: &[ValueId]) -> Self {
        let mut depends: HashSet<ValueId> = wanted.iter().copied().collect();
        let mut producers = HashMap::new();
        for (index, node) in graph.nodes().iter().enumerate() {
            producers.extend(node.outputs.iter().flatten().map(|value| (*value, index)));
            if node.inputs.iter().flatten().any(|value| depends.contains(value)) {
                let float = |value: &ValueId| graph.tensor_type(*value).is_none_or(|known| known.dtype.is_float());
                depends.extend(node.outputs.iter().flatten().filter(|value| float(value)));
            }
        }
        let mut reaches: HashSet<ValueId> = [loss].into();
        let mut nodes = Vec::new();
        for (index, node) in graph.nodes().iter().enumerate().rev() {
            if node.outputs.iter().flatten().any(|value| reaches.contains(value) && depends.contains(value)) {
                reaches.extend(node.inputs.iter().flatten());
                nodes.push(index);
            }
        }
        nodes.reverse();
        Self { nodes, depends, producers }
    }
}

/// The gradient rule of a node, or why there is none.
fn rule_of(node: &Node, opset: i64) -> Result<(&'static Operator, Gradient), String> {
    let Some(row) = operators::find(&node.operator, &node.domain) else {
        let domain = if node.domain.is_empty() { "" } else { " in this domain" };
        return Err(format!("the operator is not known here{domain}"));
    };
    if !row.opsets.contains(&opset) {
        return Err(format!("the rule covers opsets {} to {}", row.opsets.start(), row.opsets.end()));
    }
    match row.gradient {
        Gradient::Missing => Err("its gradient rule is not written".into()),
        rule => Ok((row, rule)),
    }
}

struct ReversePass {
    contributions: HashMap<ValueId, Vec<ValueId>>,
    /// For each node on the way, the next one towards the loss.
    towards_loss: HashMap<usize, usize>,
}

impl ReversePass {
    fn through(&mut self, graph: &mut Graph, index: usize, path: &TrainedPath) -> Result<(), CompilerError> {
        let node = graph.nodes()[index].clone();
        let mut output_gradients = Vec::with_capacity(node.outputs.len());
        for output in &node.outputs {
            output_gradients.push(match output {
                Some(value) => self.total(graph, *value)?,
                None => None,
            });
        }
        if output_gradients.iter().all(Option::is_none) {
            return Ok(());
        }
        let is_float = |value: ValueId| graph.tensor_type(value).is_none_or(|known| known.dtype.is_float());
        let wanted: Vec<bool> = node
            .inputs
            .iter()
            .map(|input| input.is_some_and(|id| path.depends.contains(&id) && is_float(id)))
            .collect();
        let rule = match rule_of(&node, graph.opset) {
            Ok((_, Gradient::Defined(rule))) => rule,
            Ok(_) => return Ok(()), // zero: nothing flows further down
            Err(reason) => {
                return Err(CompilerError::MissingGradient {
                    operator: node.operator.clone(),
                    opset: graph.opset,
                    node: node.label(graph),
                    reason,
                    path: self.path_from_loss(graph, index),
                });
            }
        };
        let given = vec![None; node.inputs.len()];
        let mut backward = Backward { graph, node, output_gradients, wanted, given };
        rule(&mut backward).map_err(|error| match error {
            CompilerError::MissingGradient { operator, opset, node, reason, path } if path.is_empty() => {
                let path = self.path_from_loss(backward.graph, index);
                CompilerError::MissingGradient { operator, opset, node, reason, path }
            }
            other => other,
        })?;
        let Backward { node, wanted, given, .. } = backward;
        for (slot, input) in node.inputs.iter().enumerate() {
            let (Some(input), true) = (input, wanted[slot]) else { continue };
            let Some(gradient) = given[slot] else {
                continue; // a rule may leave out an input whose derivative is zero
            };
            let gradient = sum_to_shape_of(graph, gradient, *input)?;
            self.contributions.entry(*input).or_default().push(gradient);
            if let Some(producer) = path.producers.get(input) {
                self.towards_loss.entry(*producer).or_insert(index);
            }
        }
        Ok(())
    }

    /// The sum of all that flows back to a value.
    fn total(&mut self, graph: &mut Graph, value: ValueId) -> Result<Option<ValueId>, CompilerError> {
        let Some(parts) = self.contributions.get(&value) else { return Ok(None) };
        let mut sum = parts[0];
        for part in &parts[1..] {
            sum = graph.plus(sum, *part)?;
        }
        self.contributions.insert(value, vec![sum]);
        Ok(Some(sum))
    }

    fn path_from_loss(&self, graph: &Graph, index: usize) -> String {
        let mut labels = vec![];
        let mut at = Some(index);
        while let Some(node) = at {
            labels.push(graph.nodes()[node].label(graph));
            at = self.towards_loss.get(&node).copied();
        }
        labels.reverse();
        if labels.len() > 8 {
            let left_out = labels.len() - 7;
            labels.splice(3..labels.len() - 4, [format!("({left_out} more)")]);
        }
        labels.join(" <- ")
    }
}

/// Sums a gradient over the axes along which its value was broadcast.
fn sum_to_shape_of(graph: &mut Graph, gradient: ValueId, value: ValueId) -> Result<ValueId, CompilerError> {
    let wanted = graph.known_type(value)?.clone();
    let got = graph.known_type(gradient)?.clone();
    if got.dtype != ElementType::F32 || wanted.dtype != got.dtype {
        return Err(CompilerError::unsupported(
            format!(
                "a gradient of type {} for `{}` of type {}",
                got.dtype.name(),
                graph.name(value),
                wanted.dtype.name()
            ),
            "gradients are computed in float32",
        ));
    }
    if got.shape == wanted.shape {
        return Ok(gradient);
    }
    let lead = got.shape.len().saturating_sub(wanted.shape.len());
    let mut axes = Vec::new();
    for (axis, length) in got.shape.iter().enumerate() {
        let target = axis.checked_sub(lead).and_then(|at| wanted.shape.get(at)).copied();
        match target {
            Some(target) if target == *length => {}
            None | Some(1) => axes.push(axis as i64),
            Some(_) => {
                return Err(CompilerError::Node {
                    node: graph.name(value).to_owned(),
                    operator: "gradient".into(),
                    message: format!("a gradient of shape {:?} for a value of shape {:?}", got.shape, wanted.shape),
                });
            }
        }
    }
    let summed = if axes.is_empty() { gradient } else { graph.reduce_sum(gradient, &axes, true)? };
    graph.reshape(summed, &wanted.shape)
}
