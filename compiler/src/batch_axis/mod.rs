//! Frees the number of rows that an exporter wrote into a model.
//!
//! Exporters trace a model with one example and fix the first axis of its inputs at that example's length, mostly 1, and
//! with it the lengths in `Reshape` and the like. The axis of rows is followed from the inputs through every node; where
//! each row goes its own way, and shapes inferred with another number of rows confirm it, the axis becomes symbolic.

mod angles;
mod apart;
mod by_index;
mod equal_rows;
mod repeat;
mod rows;
mod through;

use std::collections::{BTreeMap, HashMap};

use crate::CompilerError;
use crate::binding::{Bindings, bind};
use crate::graph::{Constant, Graph, Length, Node, TensorType, ValueId};
use crate::inference::infer_behind;
use crate::model_file::free_length_name;
use crate::operators::OperatorCatalog;
pub(crate) use angles::give_each_row_its_angles;
pub(crate) use apart::{RowsApart, rows_apart};
pub(crate) use equal_rows::repeat_equal_rows;
use millstream_schemas::{AxisLength, shown};
use repeat::{Repeated, repeat};
use rows::{Change, Rows};

/// Shapes are inferred with this many times the fixed number of rows: a prime that no shape has by accident.
const FACTOR: usize = 97;
/// Lengths of other axes that are left open, while shapes are inferred: the first that the graph takes. Tables of positions are shorter than
/// the longest of them in some models.
pub(crate) const OTHERS: [usize; 3] = [89, 29, 7];
/// What is in the way where it is no single node.
const THE_GRAPH: &str = "the graph";
/// Nodes whose lengths are restated; a larger graph that says its number of rows so often is no real one.
const MOST_RESTATED: usize = 10_000;
/// Nodes that are patched before tracing begins anew.
const MOST_PATCHES: usize = 64;

/// Why the axis stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// The node in the way, with its operator, fit to be shown.
    pub(crate) node: String,
    /// Why.
    pub(crate) reason: String,
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} stands in the way: {}", self.node, self.reason)
    }
}

/// The number of rows that the file fixes, if it does: the first axis of its first input that has a number there.
pub(crate) fn fixed_rows(graph: &Graph) -> Option<usize> {
    graph.inputs().iter().find_map(|input| rows_of(graph, *input))
}

fn rows_of(graph: &Graph, input: ValueId) -> Option<usize> {
    graph.tensor_type(input)?.shape.first().and_then(Length::fixed)
}

/// Names the first axis of the inputs, and restates what counts on its length. `shapes` are those that the data
/// decides, by input name. The graph is unchanged after an error.
pub(crate) fn free(
    graph: &mut Graph,
    shapes: &BTreeMap<String, Vec<AxisLength>>,
    catalog: &OperatorCatalog,
) -> Result<(), Obstacle> {
    let Some(fixed) = fixed_rows(graph) else { return Ok(()) };
    for input in graph.inputs() {
        if rows_of(graph, *input).is_some_and(|length| length != fixed) {
            let node = format!("input `{}`", shown(graph.name(*input)));
            return Err(Obstacle { node, reason: format!("its first axis is not of length {fixed} as another's is") });
        }
    }
    let mut obstacles = Vec::new();
    // of a length that the shapes leave open another one may fit where the first does not
    let is_closed = shapes.values().flat_map(|shape| shape.iter().skip(1)).all(|length| length.fixed().is_some());
    let others = if is_closed { vec![None] } else { OTHERS.map(Some).to_vec() };
    for (at, other) in others.iter().enumerate() {
        match free_with(graph, shapes, *other, fixed, catalog) {
            Err(obstacle) => obstacles.push(obstacle),
            Ok(freed) => {
                let again = others[at + 1..].iter();
                let again = again.filter_map(|other| free_with(graph, shapes, *other, fixed, catalog).ok());
                if let Err(obstacle) = freed.says_the_same(again) {
                    obstacles.push(obstacle);
                    break;
                }
                *graph = freed.graph;
                return Ok(());
            }
        }
    }
    for other in others {
        if let Ok(opened) = open(graph, &lengthened(shapes, other), fixed, catalog) {
            *graph = opened;
            return Ok(());
        }
    }
    // a node says more than shapes that do not fit a length which was made up
    let named = obstacles.iter().position(|obstacle| obstacle.node != THE_GRAPH).unwrap_or(0);
    Err(obstacles.swap_remove(named))
}

/// A graph whose rows are free.
struct Freed {
    graph: Graph,
    /// What nodes say instead, by index, last first; and how each of these nodes is shown.
    changes: Vec<(usize, Change)>,
    labels: Vec<String>,
}

impl Freed {
    /// Whether nodes say the same where other lengths are made up for the axes that stay open: what follows from such a length, as a sum
    /// or a product does, is no number to be written down. One that agrees is enough, and where there is none nothing is known.
    fn says_the_same(&self, mut again: impl Iterator<Item = Self>) -> Result<(), Obstacle> {
        if self.changes.is_empty() {
            return Ok(());
        }
        let Some(first) = again.next() else { return Ok(()) };
        if first.changes == self.changes || again.any(|other| other.changes == self.changes) {
            return Ok(());
        }
        let differs = |at: &usize| first.changes.get(*at) != self.changes.get(*at);
        let node =
            (0..self.changes.len()).rev().find(differs).map_or(THE_GRAPH, |at| self.labels[at].as_str()).to_owned();
        let reason = "it says lengths that are open, and the number of rows".into();
        Err(Obstacle { node, reason })
    }
}

/// With a length for each axis that is none of rows.
fn lengthened(shapes: &BTreeMap<String, Vec<AxisLength>>, other: Option<usize>) -> BTreeMap<String, Vec<AxisLength>> {
    let mut shapes = shapes.clone();
    let Some(other) = other else { return shapes };
    for shape in shapes.values_mut() {
        shape.iter_mut().skip(1).filter(|length| length.fixed().is_none()).for_each(|length| *length = other.into());
    }
    shapes
}

/// With this length for axes that stay open.
fn free_with(
    graph: &Graph,
    shapes: &BTreeMap<String, Vec<AxisLength>>,
    other: Option<usize>,
    fixed: usize,
    catalog: &OperatorCatalog,
) -> Result<Freed, Obstacle> {
    let shapes = &lengthened(shapes, other);
    let mut freed = graph.clone();
    for _ in 0..MOST_PATCHES {
        let known = bound(&freed, shapes, fixed, catalog)?;
        match trace(&known, fixed, false, other)? {
            Traced::Patch(at, patch) => {
                apply(&mut freed, at, patch).map_err(|error| in_the_way(&error))?;
                let inputs = freed.inputs().to_vec();
                infer_behind(&mut freed, inputs, catalog, &|_| None);
            }
            Traced::Whole(rows, changes) => {
                if changes.len() > MOST_RESTATED {
                    let reason =
                        format!("{} nodes say how many rows there are; at most {MOST_RESTATED}", changes.len());
                    return Err(Obstacle { node: THE_GRAPH.into(), reason });
                }
                let labels = changes.iter().map(|(at, _)| node_label(&known.nodes()[*at], &known)).collect();
                for (at, change) in changes.iter().cloned() {
                    apply(&mut freed, at, change).map_err(|error| in_the_way(&error))?;
                }
                name_rows(&mut freed, &Before { shapes, fixed, known: &known, rows: &rows, catalog });
                // One row too: some operators treat an axis of one entry otherwise.
                let counts = [fixed, fixed * FACTOR, 1];
                confirm(&freed, &Before { shapes, fixed, known: &known, rows: &rows, catalog }, counts)?;
                return Ok(Freed { graph: freed, changes, labels });
            }
        }
    }
    Err(Obstacle { node: THE_GRAPH.into(), reason: format!("more than {MOST_PATCHES} nodes would have to change") })
}

/// Of a graph that asks for the number of rows in the run, names the first axis of the inputs alone. The rows are followed with a number that is no other length.
fn open(
    graph: &Graph,
    shapes: &BTreeMap<String, Vec<AxisLength>>,
    fixed: usize,
    catalog: &OperatorCatalog,
) -> Result<Graph, Obstacle> {
    let mut opened = graph.clone();
    name_inputs(&mut opened, fixed);
    let inputs = opened.inputs().to_vec();
    infer_behind(&mut opened, inputs, catalog, &|_| None);
    let known = bound(&opened, shapes, FACTOR, catalog)?;
    // what nodes would have to say is not written down here
    match trace(&known, FACTOR, true, None)? {
        Traced::Patch(at, _) => {
            let reason = "it has another shape for one row than for several".to_owned();
            Err(Obstacle { node: node_label(&known.nodes()[at], &known), reason })
        }
        Traced::Whole(rows, _) => {
            let before = Before { shapes, fixed: FACTOR, known: &known, rows: &rows, catalog };
            confirm(&opened, &before, [FACTOR, 2 * FACTOR, 1])?;
            Ok(opened)
        }
    }
}

fn in_the_way(error: &CompilerError) -> Obstacle {
    Obstacle { node: THE_GRAPH.into(), reason: error.to_string() }
}

/// The graph with its shapes for this number of rows; `shapes` have lengths but for the first.
fn bound(
    graph: &Graph,
    shapes: &BTreeMap<String, Vec<AxisLength>>,
    rows: usize,
    catalog: &OperatorCatalog,
) -> Result<Graph, Obstacle> {
    let mut shapes = shapes.clone();
    for shape in shapes.values_mut() {
        shape.iter_mut().take(1).for_each(|length| *length = rows.into());
    }
    let bindings = Bindings { batch: Some(rows.into()), shapes, stated: BTreeMap::new() };
    bind(graph, &bindings, catalog).map_err(|error| in_the_way(&error))
}

enum Traced {
    /// A node must be rewritten before the shapes behind it make sense.
    Patch(usize, Change),
    /// Where each value has its rows, and what nodes must say instead, by index, last first.
    Whole(HashMap<ValueId, Rows>, Vec<(usize, Change)>),
}

fn trace(graph: &Graph, fixed: usize, is_made_up: bool, open: Option<usize>) -> Result<Traced, Obstacle> {
    let mut rows: HashMap<ValueId, Rows> = HashMap::new();
    for input in graph.inputs() {
        let scalar = graph.tensor_type(*input).is_none_or(|known| known.shape.is_empty());
        rows.insert(*input, if scalar { Rows::Apart } else { Rows::Axis(0, 1) });
    }
    let mut changes = Vec::new();
    for (at, node) in graph.nodes().iter().enumerate() {
        let obstacle = |reason| Obstacle { node: node_label(node, graph), reason };
        let (made, change) =
            through::through(&rows::Seen { graph, node, rows: &rows, fixed, is_made_up, open }).map_err(obstacle)?;
        match change {
            Some(patch) if patch.moves_axes() => return Ok(Traced::Patch(at, patch)),
            Some(change) => changes.push((at, change)),
            None => {}
        }
        let outputs = node.outputs.iter().zip(made);
        for (output, made) in outputs.filter_map(|(output, made)| output.as_ref().map(|output| (output, made))) {
            let rank = graph.tensor_type(*output).map(|known| known.shape.len());
            if let (Rows::Axis(axis, _), Some(rank)) = (made, rank)
                && axis >= rank
            {
                return Err(obstacle(format!("it has {rank} axes where its rows would lie on axis {axis}")));
            }
            rows.insert(*output, made);
        }
    }
    changes.reverse();
    Ok(Traced::Whole(rows, changes))
}

fn node_label(node: &Node, graph: &Graph) -> String {
    format!("node `{}` ({})", graph.label(node), node.qualified_operator())
}

/// Carries a change out on the node at this place, which a bound graph has there too.
fn apply(graph: &mut Graph, at: usize, change: Change) -> Result<(), CompilerError> {
    let first = graph.nodes()[at].outputs.iter().flatten().next().map_or("", |made| graph.name(*made)).to_owned();
    let integers = |graph: &mut Graph, what: &str, values: &[i64]| {
        graph.named_constant(&format!("{first}.{what}"), Constant::i64([values.len()], values))
    };
    match change {
        Change::Integers { input, values } => {
            let rows = integers(graph, "rows", &values);
            graph.set_input(at, input, rows);
        }
        // ONNX Runtime reads an empty list as all axes of one entry
        Change::SqueezeAxes(values) if values.is_empty() => {
            if let Some(data) = graph.nodes()[at].input(0) {
                graph.set_identity(at, data);
            }
        }
        Change::SqueezeAxes(values) => {
            let axes = integers(graph, "axes", &values);
            let data = graph.nodes()[at].input(0);
            graph.set_inputs(at, vec![data, Some(axes)]);
        }
        Change::FlattenFromFirst => graph.set_attribute(at, "axis", 1.into()),
        Change::Counted { input, values, at: place, axis } => {
            let Some(data) = graph.nodes()[at].input(0) else { return Ok(()) };
            let index = integers(graph, "axis", &[axis as i64]);
            let (before, behind) = (values[..place].to_vec(), values[place + 1..].to_vec());
            let mut part = |values: Vec<i64>| (!values.is_empty()).then(|| integers(graph, "sizes", &values));
            let (before, behind) = (part(before), part(behind));
            let name = |what: &str| format!("{first}.{what}");
            let nodes = graph.nodes().len();
            let counted = graph.in_front_of(at, |graph| {
                let lengths = graph.append("Shape", &[data], &[], &name("lengths"))?;
                let rows = graph.append("Gather", &[lengths, index], &[], &name("rows"))?;
                let parts: Vec<ValueId> = before.into_iter().chain([rows]).chain(behind).collect();
                graph.append("Concat", &parts, &[("axis", 0.into())], &name("sizes"))
            })?;
            graph.set_input(at + graph.nodes().len() - nodes, input, counted);
        }
        Change::Repeat { input, axis, rank, like, like_axis } => {
            // the operand, repeated for as many rows as the one beside it has
            let (Some(like), Some(operand)) = (graph.nodes()[at].input(like), graph.nodes()[at].input(input)) else {
                return Ok(()); // rows are traced through operands that are there
            };
            repeat(graph, at, Repeated { input, operand, axis, rank, like, like_axis })?;
        }
    }
    Ok(())
}

/// Gives the first axis of the inputs a name of its own, which it returns.
fn name_inputs(freed: &mut Graph, fixed: usize) -> Length {
    let of_values = freed.named().filter_map(|(_, value)| freed.tensor_type(value));
    let taken: Vec<String> =
        of_values.flat_map(|known| &known.shape).flat_map(Length::names).map(str::to_owned).collect();
    let batch = Length::named(&free_length_name(&|name| taken.iter().any(|taken| taken == name)));
    let inputs = freed.inputs().to_vec();
    for input in &inputs {
        let mut named = freed.tensor_type(*input).cloned();
        if let Some(first) = named.as_mut().and_then(|named| named.shape.first_mut())
            && first.fixed() == Some(fixed)
        {
            *first = batch.clone();
            freed.set_type(*input, named);
        }
    }
    batch
}

/// Gives the axis of rows its name in all types.
fn name_rows(freed: &mut Graph, before: &Before<'_>) {
    let Before { fixed, known, rows, catalog, .. } = *before;
    let batch = name_inputs(freed, fixed);
    let inputs = freed.inputs().to_vec();
    // Where no rule tells what a node makes, its rows were followed all the same.
    let ids: HashMap<&str, ValueId> = known.named().collect();
    let stated: HashMap<ValueId, TensorType> = freed
        .named()
        .filter_map(|(name, value)| {
            let was = *ids.get(name)?;
            let mut stated = freed.tensor_type(value)?.clone();
            if let Some(Rows::Axis(axis, _)) = rows.get(&was) {
                let length = stated.shape.get_mut(*axis)?;
                *length = length.exact_quotient(&fixed.into())? * &batch;
            }
            Some((value, stated))
        })
        .collect();
    infer_behind(freed, inputs, catalog, &|value| stated.get(&value).cloned());
}

/// What freed rows are held against.
struct Before<'a> {
    shapes: &'a BTreeMap<String, Vec<AxisLength>>,
    fixed: usize,
    known: &'a Graph,
    rows: &'a HashMap<ValueId, Rows>,
    catalog: &'a OperatorCatalog,
}

/// Infers shapes with other numbers of rows: each must be as it was, but for its axis of rows.
fn confirm(freed: &Graph, before: &Before<'_>, counts: [usize; 3]) -> Result<(), Obstacle> {
    let Before { shapes, fixed, known, rows, catalog } = *before;
    for count in counts {
        let graph = bound(freed, shapes, count, catalog)?;
        let ids: HashMap<&str, ValueId> = graph.named().collect();
        for node in known.nodes() {
            for output in node.outputs.iter().flatten() {
                let now = ids.get(known.name(*output)).and_then(|id| graph.tensor_type(*id));
                let mut wanted: Option<TensorType> = known.tensor_type(*output).cloned();
                if let (Some(Rows::Axis(axis, _)), Some(wanted)) = (rows.get(output), wanted.as_mut()) {
                    wanted.shape[*axis] = wanted.shape[*axis].quotient(&fixed.into()) * count;
                }
                let unknown = catalog.find(&node.domain, &node.operator).is_none();
                if now != wanted.as_ref() && !(unknown && now.is_none()) {
                    let show = |found: Option<&TensorType>| found.map_or("unknown".into(), ToString::to_string);
                    let (now, wanted) = (show(now), show(wanted.as_ref()));
                    let reason = format!("for {count} rows it makes {now} where {wanted} is needed");
                    return Err(Obstacle { node: node_label(node, known), reason });
                }
            }
        }
    }
    Ok(())
}
