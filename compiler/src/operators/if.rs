use super::{Gradient, Operator, TypeRuleInput, bodies};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Graph, Length, TensorType, ValueId};

/// `If` whose condition the data decide: what one of two graphs makes of values around it. The gradient is an `If` of the same
/// condition, whose graphs compute their branch again and go back through it: of the branch that was not taken nothing flows.
///
/// Its graphs know types, so its examples are models: `compiler/tests/forms/kept.rs`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "If",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: Vec::new,
};

const BRANCHES: [&str; 2] = ["then_branch", "else_branch"];

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let given = bodies::given(rule, 1);
    let mut made = Vec::new();
    for name in BRANCHES {
        made.push(bodies::made(rule, bodies::body(rule, name)?.1, &given)?);
    }
    let same = |(then, other): (&Option<TensorType>, &Option<TensorType>)| match (then, other) {
        (Some(then), Some(other)) if then == other => Ok(then.clone()),
        _ => Err(bodies::not_known(rule, "its branches make values of different shapes")),
    };
    made[0].iter().zip(&made[1]).map(same).collect()
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let condition = b.input(0)?;
    let mut outer = Vec::new();
    for index in 1..b.node.inputs.len() {
        outer.push(b.input(index)?);
    }
    let wanted: Vec<usize> = (0..outer.len()).filter(|at| b.wants(1 + at)).collect();
    let flowing: Vec<(usize, ValueId)> = (0..b.node.outputs.len())
        .filter_map(|output| b.output_gradient(output).map(|gradient| (output, gradient)))
        .collect();
    let mut branches = Vec::new();
    for name in BRANCHES {
        let body = b.node.body(name).cloned().ok_or_else(|| b.error(format!("it has no {name}")))?;
        let graph = body.graph().cloned().ok_or_else(|| b.no_gradient("what it runs is not read"))?;
        if graph.has_node(&|node| node.draws() || node.is("Dropout")) {
            return Err(b.no_gradient("a branch draws random numbers, and would draw others on the way back"));
        }
        branches.push(way_back(b, graph, &wanted, &flowing)?);
    }
    outer.extend(flowing.iter().map(|(_, gradient)| *gradient));
    let Ok(branches) = <[Graph; 2]>::try_from(branches) else { return Err(b.error("it has other than two branches")) };
    let made = b.graph.branch(condition, &outer, branches)?;
    for (at, made) in wanted.into_iter().zip(made) {
        b.give(1 + at, made)?;
    }
    Ok(())
}

/// A branch with the gradients of its outputs as further inputs, and those of wanted inputs as its outputs.
fn way_back(
    b: &Backward<'_>,
    mut graph: Graph,
    wanted: &[usize],
    flowing: &[(usize, ValueId)],
) -> Result<Graph, CompilerError> {
    let (inputs, outputs) = (graph.inputs().to_vec(), graph.outputs().to_vec());
    let mut seeds = Vec::new();
    for (output, _) in flowing {
        let made = *outputs.get(*output).ok_or_else(|| b.error(format!("its branches have no output {output}")))?;
        let known = graph.known_type(made)?.clone();
        seeds.push((made, graph.input("gradient", known)));
    }
    let values: Vec<ValueId> = wanted.iter().map(|at| inputs[*at]).collect();
    let found = (b.inner)(&mut graph, &seeds, &values)?;
    let mut gradients = Vec::new();
    for (value, found) in values.iter().zip(found) {
        let shape = graph.shape(*value)?.to_vec();
        let gradient = match found {
            Some(found) => found,
            None => graph.zeros::<Length>(&shape)?,
        };
        // an output is made by a node, and has a name of its own
        gradients.push(graph.add("Identity", &[gradient], &[])?);
    }
    graph.set_outputs(&gradients);
    Ok(graph)
}
