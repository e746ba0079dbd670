use std::collections::{HashMap, HashSet};

use super::side_by_side::side_by_side;
use super::{Backward, Expansion};
use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, Node, ValueId};
use crate::operators::{ExpandRule, Gradient, OperatorCatalog};
use millstream_schemas::shown;

/// How often an expansion may itself hold nodes that expand.
const MOST_ROUNDS: usize = 8;

/// Adds the gradients of a scalar `loss` with respect to `wanted`, one value each, of the same type, by the rules of a
/// catalog.
///
/// Between `wanted` and the loss, nodes of operators with an expand rule become the subgraphs that it adds. Nodes
/// elsewhere are not looked at, so frozen layers below the deepest trained one may use any operator. Values that stop the
/// gradient ([`Graph::stop_gradient`]) are taken for constants.
///
/// # Errors
/// An operator on the way has no gradient: found before any node is added, but where an expansion refuses its form; the graph
/// is of no use then. Or the loss is no single number, or does
/// not depend on a value.
pub fn gradients(
    graph: &mut Graph,
    loss: ValueId,
    wanted: &[ValueId],
    catalog: &OperatorCatalog,
) -> Result<Vec<ValueId>, CompilerError> {
    let known = graph.known_type(loss)?;
    let Some(shape) = known.fixed_shape().filter(|_| known.elements() == 1) else {
        let message = format!("the loss `{}` is {known}, wanted one number", shown(graph.name(loss)));
        return Err(CompilerError::Selection(message));
    };
    let seed = Constant::f32(shape, &[1.0]);
    let seed = graph.constant("loss_gradient", seed);
    gradients_behind(graph, (loss, seed), wanted, catalog)
}

/// As [`gradients`], of a loss whose gradient with respect to a value is known: the value and that gradient. What the loss
/// makes of the value is not gone through.
///
/// # Errors
/// As of [`gradients`], but the value may have any shape.
pub fn gradients_behind(
    graph: &mut Graph,
    (loss, seed): (ValueId, ValueId),
    wanted: &[ValueId],
    catalog: &OperatorCatalog,
) -> Result<Vec<ValueId>, CompilerError> {
    let path = TrainedPath::find(graph, loss, wanted, catalog);
    if !wanted.is_empty() && !path.depends.contains(&loss) {
        return Err(CompilerError::Selection("the loss does not depend on anything that is trained".into()));
    }
    let found = gradients_of_several(graph, &[(loss, seed)], wanted, catalog)?;
    let required = |(value, found): (&ValueId, Option<ValueId>)| {
        found.ok_or_else(|| {
            CompilerError::Selection(format!(
                "no gradient reaches `{}`: the loss does not depend on it, or only by steps",
                shown(graph.name(*value))
            ))
        })
    };
    wanted.iter().zip(found).map(required).collect()
}

/// As [`gradients_behind`], of several values with their gradients; none for what they do not depend on.
fn gradients_of_several(
    graph: &mut Graph,
    seeds: &[(ValueId, ValueId)],
    wanted: &[ValueId],
    catalog: &OperatorCatalog,
) -> Result<Vec<Option<ValueId>>, CompilerError> {
    let losses: Vec<ValueId> = seeds.iter().map(|(loss, _)| *loss).collect();
    let mut path = TrainedPath::find_all(graph, &losses, wanted, catalog);
    path.require_gradients(graph, catalog)?;
    for _ in 0..MOST_ROUNDS {
        let expanded = expand(graph, &path, catalog);
        path = TrainedPath::find_all(graph, &losses, wanted, catalog);
        if !expanded.map_err(|(index, error)| path.with_path(graph, index, error))? {
            break;
        }
        path.require_gradients(graph, catalog)?;
    }
    let contributions = seeds.iter().map(|(loss, seed)| (*loss, vec![*seed])).collect();
    let mut pass = ReversePass { catalog, contributions };
    for index in path.nodes.iter().rev() {
        pass.through(graph, *index, &path)?;
    }
    wanted.iter().map(|value| pass.total(graph, *value)).collect()
}

/// Nodes between the wanted values and the loss, in order, and the values that depend on a wanted one.
pub(crate) struct TrainedPath {
    pub(crate) nodes: Vec<usize>,
    depends: HashSet<ValueId>,
    /// For each node on the way, the next one towards the loss.
    towards_loss: HashMap<usize, usize>,
}

impl TrainedPath {
    pub(crate) fn find(graph: &Graph, loss: ValueId, wanted: &[ValueId], catalog: &OperatorCatalog) -> Self {
        Self::find_all(graph, &[loss], wanted, catalog)
    }

    fn find_all(graph: &Graph, losses: &[ValueId], wanted: &[ValueId], catalog: &OperatorCatalog) -> Self {
        let mut depends: HashSet<ValueId> = wanted.iter().copied().collect();
        let mut producers = HashMap::new();
        for (index, node) in graph.nodes().iter().enumerate() {
            producers.extend(node.outputs.iter().flatten().map(|value| (*value, index)));
            if node.inputs.iter().flatten().any(|value| depends.contains(value)) {
                let carries = |value: &&ValueId| may_be_float(graph, **value) && !graph.stops_gradient(**value);
                depends.extend(node.outputs.iter().flatten().filter(carries));
            }
        }
        let mut reaches: HashSet<ValueId> = losses.iter().copied().collect();
        let (mut nodes, mut towards_loss) = (Vec::new(), HashMap::new());
        for (index, node) in graph.nodes().iter().enumerate().rev() {
            if !node.outputs.iter().flatten().any(|value| reaches.contains(value) && depends.contains(value)) {
                continue;
            }
            nodes.push(index);
            if matches!(rule_of(graph, node, catalog), Ok(Gradient::Zero(_))) {
                continue;
            }
            for input in node.inputs.iter().flatten().filter(|value| depends.contains(value)) {
                reaches.insert(*input);
                if let Some(producer) = producers.get(input) {
                    towards_loss.entry(*producer).or_insert(index);
                }
            }
        }
        nodes.reverse();
        Self { nodes, depends, towards_loss }
    }

    /// Refuses a path with an operator that has no gradient: the one nearest to the loss is named.
    pub(crate) fn require_gradients(&self, graph: &Graph, catalog: &OperatorCatalog) -> Result<(), CompilerError> {
        for index in self.nodes.iter().rev() {
            let node = &graph.nodes()[*index];
            rule_of(graph, node, catalog).map_err(|reason| CompilerError::MissingGradient {
                operator: node.qualified_operator(),
                opset: graph.opset_of(&node.domain),
                node: graph.label(node),
                reason,
                path: self.path_to(graph, *index),
                trainable: None,
            })?;
        }
        Ok(())
    }

    /// The error of a rule, which knows no path, with the one to its node.
    fn with_path(&self, graph: &Graph, index: usize, error: CompilerError) -> CompilerError {
        match error {
            CompilerError::MissingGradient { operator, opset, node, reason, .. } => {
                let path = self.path_to(graph, index);
                CompilerError::MissingGradient { operator, opset, node, reason, path, trainable: None }
            }
            other => other,
        }
    }

    /// The nodes from the loss down to this one.
    fn path_to(&self, graph: &Graph, index: usize) -> String {
        let towards_loss = std::iter::successors(Some(index), |at| self.towards_loss.get(at).copied());
        let label = |at: usize| {
            let node = &graph.nodes()[at];
            format!("{} ({})", graph.label(node), node.qualified_operator())
        };
        let mut labels: Vec<String> = towards_loss.map(label).collect();
        labels.reverse();
        if labels.len() > 8 {
            let left_out = labels.len() - 7;
            labels.splice(3..labels.len() - 4, [format!("({left_out} more)")]);
        }
        labels.join(" <- ")
    }
}

fn may_be_float(graph: &Graph, value: ValueId) -> bool {
    graph.tensor_type(value).is_none_or(|known| known.dtype.is_float())
}

fn rule_of(graph: &Graph, node: &Node, catalog: &OperatorCatalog) -> Result<Gradient, String> {
    catalog.gradient_of(&node.domain, &node.operator, graph.opset_of(&node.domain))
}

/// Expands the nodes on the path that have a rule for it; whether there were any. Errors come with the place of the node.
fn expand(graph: &mut Graph, path: &TrainedPath, catalog: &OperatorCatalog) -> Result<bool, (usize, CompilerError)> {
    let rule = |index: &usize| match rule_of(graph, &graph.nodes()[*index], catalog) {
        Ok(Gradient::Expand(rule)) => Some((*index, rule)),
        _ => None,
    };
    let found: Vec<(usize, ExpandRule)> = path.nodes.iter().filter_map(rule).collect();
    let mut rules = found.iter().rev().map(|(_, rule)| rule);
    let places = found.iter().map(|(index, _)| *index);
    graph.replace_from_last(places, |graph, node| {
        let rule = rules.next().expect("there is one for each place");
        rule(&mut Expansion::new(graph, node))
    })?;
    Ok(!found.is_empty())
}

struct ReversePass<'a> {
    catalog: &'a OperatorCatalog,
    contributions: HashMap<ValueId, Vec<ValueId>>,
}

impl ReversePass<'_> {
    fn through(&mut self, graph: &mut Graph, index: usize, path: &TrainedPath) -> Result<(), CompilerError> {
        let node = graph.nodes()[index].clone();
        let mut output_gradients = Vec::with_capacity(node.outputs.len());
        for output in &node.outputs {
            output_gradients.push(match output {
                Some(value) => self.total(graph, *value)?,
                None => None,
            });
        }
        let rule = match rule_of(graph, &node, self.catalog) {
            Ok(Gradient::Defined(rule)) => rule,
            Ok(Gradient::Expand(_)) => return Err(endless(graph, &node)),
            _ => return Ok(()),
        };
        if output_gradients.iter().all(Option::is_none) {
            return Ok(());
        }
        let depends = |value: ValueId| path.depends.contains(&value) && may_be_float(graph, value);
        let wanted: Vec<bool> = node.inputs.iter().map(|input| input.is_some_and(depends)).collect();
        let given = vec![None; node.inputs.len()];
        let catalog = self.catalog;
        let inner = |graph: &mut Graph, seeds: &[(ValueId, ValueId)], wanted: &[ValueId]| {
            gradients_of_several(graph, seeds, wanted, catalog)
        };
        let mut backward = Backward { graph, node, output_gradients, wanted, given, inner: &inner };
        let outcome = rule(&mut backward).and_then(|()| backward.gives_all_wanted());
        outcome.map_err(|error| path.with_path(backward.graph, index, error))?;
        let Backward { node, wanted, given, .. } = backward;
        for (slot, input) in node.inputs.iter().enumerate() {
            if let (Some(input), Some(gradient), true) = (input, given[slot], wanted[slot]) {
                let gradient = sum_to_shape_of(graph, gradient, *input)?;
                self.contributions.entry(*input).or_default().push(gradient);
            }
        }
        Ok(())
    }

    /// The sum of all that flows back to a value.
    ///
    /// It is listed behind all its parts: of what a node reads, the runtime runs the latest in the file first and all that it needs, so
    /// that two parts are held at a time. Sums that are listed as parts come are run when all parts are there.
    fn total(&mut self, graph: &mut Graph, value: ValueId) -> Result<Option<ValueId>, CompilerError> {
        let Some(parts) = self.contributions.get(&value) else { return Ok(None) };
        let parts = side_by_side(graph, parts)?;
        let mut sum = parts[0];
        for part in &parts[1..] {
            sum = graph.plus(sum, *part)?;
        }
        self.contributions.insert(value, vec![sum]);
        Ok(Some(sum))
    }
}

fn endless(graph: &Graph, node: &Node) -> CompilerError {
    CompilerError::Node {
        node: graph.label(node),
        operator: node.operator.clone(),
        message: format!("after {MOST_ROUNDS} expansions there is still a node to expand"),
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
                shown(graph.name(value)),
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
        let target = axis.checked_sub(lead).and_then(|at| wanted.shape.get(at));
        match target {
            Some(target) if target.agrees_with(length) => {}
            None => axes.push(axis as i64),
            Some(target) if *target == 1 => axes.push(axis as i64),
            Some(target) => {
                let open = target.as_number().is_none() || length.as_number().is_none();
                let advice = if open { "; export the model with fixed lengths for what is open" } else { "" };
                return Err(CompilerError::Node {
                    node: shown(graph.name(value)),
                    operator: "gradient".into(),
                    message: format!(
                        "a gradient of shape {:?} for a value of shape {:?}: {length} against {target} on axis \
                         {axis}{advice}",
                        got.shape, wanted.shape
                    ),
                });
            }
        }
    }
    let summed = if axes.is_empty() { gradient } else { graph.reduce_sum(gradient, &axes, true)? };
    graph.reshape(summed, &wanted.shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::TensorType;

    #[test]
    fn gradients_of_one_value_are_added_behind_all_of_them_so_that_two_are_held_at_a_time() {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([3]));
        let mut read = |operator: &str| graph.add(operator, &[x], &[]).unwrap();
        let (first, second, third) = (read("Exp"), read("Tanh"), read("Sigmoid"));
        let two = graph.plus(first, second).unwrap();
        let three = graph.plus(two, third).unwrap();
        let loss = graph.reduce_sum(three, &[0], false).unwrap();
        let gradient = gradients(&mut graph, loss, &[x], &OperatorCatalog::standard()).unwrap()[0];
        let parts = |graph: &Graph, sum: ValueId| {
            let sum = graph.producer(sum).filter(|node| node.is("Add")).unwrap();
            [0, 1].map(|input| sum.input(input).unwrap())
        };
        let [sum, last] = parts(&graph, gradient);
        let [one, other] = parts(&graph, sum);
        for part in [one, other, last] {
            assert!(graph.maker(part) < graph.maker(sum), "{} is made behind the sum", graph.name(part));
        }
    }

    #[test]
    fn no_gradient_flows_through_a_value_that_stops_it() {
        // y = x · g(x), and what is read of x's gradient
        for (stops, reached) in [(false, 3), (true, 1)] {
            let mut graph = Graph::new(17, OperatorCatalog::standard());
            let x = graph.input("x", TensorType::f32([3]));
            let bent = graph.add("Exp", &[x], &[]).unwrap();
            let counted = graph.add("Identity", &[bent], &[]).unwrap();
            if stops {
                graph.stop_gradient(counted);
            }
            let y = graph.times(x, counted).unwrap();
            let loss = graph.reduce_sum(y, &[0], false).unwrap();
            let catalog = OperatorCatalog::standard();
            let path = TrainedPath::find(&graph, loss, &[x], &catalog);
            assert_eq!(path.nodes.len() - 1, reached, "nodes before the sum");
            let gradient = gradients(&mut graph, loss, &[x], &catalog).unwrap()[0];
            let producer = graph.producer(gradient).unwrap();
            assert_eq!(producer.operator, if stops { "Mul" } else { "Add" }, "of the one factor, or of both");
        }
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([3]));
        let only = graph.add("Exp", &[x], &[]).unwrap();
        graph.stop_gradient(only);
        let loss = graph.reduce_sum(only, &[0], false).unwrap();
        let error = gradients(&mut graph, loss, &[x], &OperatorCatalog::standard()).unwrap_err();
        assert!(error.to_string().contains("does not depend on anything that is trained"), "{error}");
    }
}
