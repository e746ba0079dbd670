//! Frees the number of rows that an exporter wrote into a model.
//!
//! Exporters trace a model with one example and fix the first axis of its inputs at that example's length, mostly 1, and
//! with it the lengths in `Reshape` and the like. The axis of rows is followed from the inputs through every node; where
//! each row goes its own way, and shapes inferred with another number of rows confirm it, the axis becomes symbolic.

mod rows;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::graph::{Constant, Graph, Node, TensorType, ValueId, tensor_proto};
use crate::model_file::onnx::{
    GraphProto, ModelProto, NodeProto, TensorShapeProto, ValueInfoProto, tensor_shape_proto::Dimension,
    tensor_shape_proto::dimension::Value as Length, type_proto,
};
use crate::model_file::{Bindings, import, known_shape};
use crate::operators::OperatorCatalog;
use millstream_schemas::{AxisLength, shown};
use rows::{Change, Rows};

/// Shapes are inferred with this many times the fixed number of rows: a prime that no shape has by accident.
const FACTOR: usize = 97;
/// Length of other axes that are left open, while shapes are inferred.
const OTHER: usize = 89;
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
pub(crate) fn fixed_rows(graph: &GraphProto) -> Option<usize> {
    data_inputs(graph).find_map(|input| known_shape(input)?.first().copied().flatten())
}

/// Makes the first axis of the inputs symbolic, and restates what counts on its length. `shapes` are those that the data
/// decides, by input name. The model is unchanged after an error.
pub(crate) fn free(
    proto: &mut ModelProto,
    shapes: &BTreeMap<String, Vec<AxisLength>>,
    catalog: &OperatorCatalog,
) -> Result<(), Obstacle> {
    let graph = proto.graph.as_ref().expect("the gate refuses a model without a graph");
    let Some(fixed) = fixed_rows(graph) else { return Ok(()) };
    for input in data_inputs(graph) {
        let length = known_shape(input).and_then(|shape| shape.first().copied().flatten());
        if length.is_some_and(|length| length != fixed) {
            let node = format!("input `{}`", shown(input.name()));
            return Err(Obstacle { node, reason: format!("its first axis is not of length {fixed} as another's is") });
        }
    }
    let mut freed = proto.clone();
    for _ in 0..MOST_PATCHES {
        let known = imported(&freed, shapes, fixed, catalog)?;
        match trace(&freed, &known, fixed)? {
            Traced::Patch(at, patch) => apply(&mut freed, at, patch),
            Traced::Whole(rows, changes) => {
                if changes.len() > MOST_RESTATED {
                    let reason =
                        format!("{} nodes say how many rows there are; at most {MOST_RESTATED}", changes.len());
                    return Err(Obstacle { node: "the graph".into(), reason });
                }
                for (at, change) in changes {
                    apply(&mut freed, at, change);
                }
                restate(&mut freed, &known, &rows, fixed);
                confirm(&freed, &Before { shapes, fixed, known: &known, rows: &rows, catalog })?;
                *proto = freed;
                return Ok(());
            }
        }
    }
    Err(Obstacle { node: "the graph".into(), reason: format!("more than {MOST_PATCHES} nodes would have to change") })
}

fn data_inputs(graph: &GraphProto) -> impl Iterator<Item = &ValueInfoProto> {
    let given: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name()).collect();
    graph.input.iter().filter(move |input| !given.contains(input.name()))
}

/// The graph with its shapes for this number of rows.
fn imported(
    proto: &ModelProto,
    shapes: &BTreeMap<String, Vec<AxisLength>>,
    rows: usize,
    catalog: &OperatorCatalog,
) -> Result<Graph, Obstacle> {
    let mut shapes = shapes.clone();
    for shape in shapes.values_mut() {
        shape.iter_mut().take(1).for_each(|length| *length = rows.into());
        shape.iter_mut().skip(1).filter(|length| length.fixed().is_none()).for_each(|length| *length = OTHER.into());
    }
    let bindings = Bindings { batch: Some(rows.into()), shapes, stated: BTreeMap::new() };
    import(proto, &bindings, catalog).map_err(|error| Obstacle { node: "the graph".into(), reason: error.to_string() })
}

enum Traced {
    /// A node must be rewritten before the shapes behind it make sense.
    Patch(usize, Change),
    /// Where each value has its rows, and what nodes must say instead, by index, last first.
    Whole(HashMap<ValueId, Rows>, Vec<(usize, Change)>),
}

fn trace(proto: &ModelProto, graph: &Graph, fixed: usize) -> Result<Traced, Obstacle> {
    let mut rows: HashMap<ValueId, Rows> = HashMap::new();
    for input in graph.inputs() {
        let scalar = graph.tensor_type(*input).is_none_or(|known| known.shape.is_empty());
        rows.insert(*input, if scalar { Rows::Apart } else { Rows::Axis(0, 1) });
    }
    let mut changes = Vec::new();
    for (at, node) in graph.nodes().iter().enumerate() {
        let obstacle = |reason| Obstacle { node: node_label(node, graph), reason };
        let (made, change) = rows::through(&rows::Seen { graph, node, rows: &rows, fixed }).map_err(obstacle)?;
        match change {
            Some(patch) if patch.moves_axes() => return Ok(Traced::Patch(at, patch)),
            Some(change) => changes.push((at, change)),
            None => {}
        }
        for (output, made) in node.outputs.iter().flatten().zip(made) {
            let rank = graph.tensor_type(*output).map(|known| known.shape.len());
            if let (Rows::Axis(axis, _), Some(rank)) = (made, rank)
                && axis >= rank
            {
                return Err(obstacle(format!("it has {rank} axes where its rows would lie on axis {axis}")));
            }
            rows.insert(*output, made);
        }
    }
    let count = proto.graph.as_ref().map_or(0, |graph| graph.node.len());
    debug_assert_eq!(count, graph.nodes().len(), "a node of the file is a node of the graph");
    changes.reverse();
    Ok(Traced::Whole(rows, changes))
}

fn node_label(node: &Node, graph: &Graph) -> String {
    format!("node `{}` ({})", graph.label(node), node.qualified_operator())
}

/// Carries a change out on the file's node.
fn apply(proto: &mut ModelProto, at: usize, change: Change) {
    let graph = proto.graph.as_mut().expect("the gate refuses a model without a graph");
    let mut taken = Names::of(graph);
    let first = graph.node[at].output.first().cloned().unwrap_or_default();
    let mut integers = |graph: &mut GraphProto, what: &str, values: &[i64]| {
        let name = taken.free(format!("{first}.{what}"));
        graph.initializer.push(tensor_proto(&name, &Constant::i64([values.len()], values)));
        name
    };
    match change {
        Change::Integers { input, values } => graph.node[at].input[input] = integers(graph, "rows", &values),
        // ONNX Runtime reads an empty list as all axes of one entry
        Change::SqueezeAxes(values) if values.is_empty() => {
            graph.node[at].op_type = Some("Identity".into());
            graph.node[at].input.truncate(1);
            graph.node[at].attribute.clear();
        }
        Change::SqueezeAxes(values) => {
            let name = integers(graph, "axes", &values);
            graph.node[at].input.truncate(1);
            graph.node[at].input.push(name);
        }
        Change::FlattenFromFirst => {
            let attributes = &mut graph.node[at].attribute;
            attributes.iter_mut().filter(|attribute| attribute.name() == "axis").for_each(|axis| axis.i = Some(1));
        }
        Change::Repeat { input, like, rank } => {
            // the operand, repeated for as many rows as the one beside it has
            let index = integers(graph, "axis", &[0]);
            let ones = (rank > 1).then(|| integers(graph, "ones", &vec![1; rank - 1]));
            let mut name = |what: &str| taken.free(format!("{first}.{what}"));
            let (lengths, rows, shape, repeated) = (name("lengths"), name("rows"), name("repeats"), name("repeated"));
            let (like, operand) = (graph.node[at].input[like].clone(), graph.node[at].input[input].clone());
            let parts: Vec<&str> = std::iter::once(rows.as_str()).chain(ones.as_deref()).collect();
            let concat = NodeProto {
                attribute: vec![crate::graph::attribute_proto("axis", &0.into())],
                ..plain("Concat", &parts, &shape)
            };
            let added = [
                plain("Shape", &[&like], &lengths),
                plain("Gather", &[&lengths, &index], &rows),
                concat,
                plain("Expand", &[&operand, &shape], &repeated),
            ];
            graph.node[at].input[input] = repeated;
            graph.node.splice(at..at, added);
        }
    }
}

fn plain(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: Some(operator.into()),
        name: Some(output.into()),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

/// The names of a graph's values and nodes.
struct Names(HashSet<String>);

impl Names {
    fn of(graph: &GraphProto) -> Self {
        let made = graph.node.iter().flat_map(|node| node.output.iter().cloned().chain([node.name().to_owned()]));
        let tensors = graph.initializer.iter().map(|tensor| tensor.name().to_owned());
        let inputs = graph.input.iter().map(|input| input.name().to_owned());
        Self(made.chain(tensors).chain(inputs).collect())
    }

    fn free(&mut self, wanted: String) -> String {
        let numbered = (2..).map(|number| format!("{wanted}.{number}"));
        let mut all = std::iter::once(wanted.clone()).chain(numbered);
        all.find(|name| self.0.insert(name.clone())).expect("numbers do not run out")
    }
}

/// Declared shapes: the axis of rows becomes a symbol.
fn restate(proto: &mut ModelProto, known: &Graph, rows: &HashMap<ValueId, Rows>, fixed: usize) {
    let graph = proto.graph.as_mut().expect("the gate refuses a model without a graph");
    let ids: HashMap<&str, ValueId> = known.named().collect();
    let symbol = symbol(graph);
    for value in graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info) {
        let Some(id) = ids.get(value.name()) else { continue };
        let Some(Rows::Axis(axis, _)) = rows.get(id) else { continue };
        let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_mut().and_then(|kind| kind.value.as_mut())
        else {
            continue;
        };
        let Some(shape) = tensor.shape.as_mut() else { continue };
        let lengths = known.tensor_type(*id).and_then(TensorType::fixed_shape);
        if let Some(lengths) = lengths.as_ref().filter(|lengths| lengths.len() != shape.dim.len()) {
            let dim =
                |length: &usize| Dimension { value: Some(Length::DimValue(*length as i64)), ..Default::default() };
            *shape = TensorShapeProto { dim: lengths.iter().map(dim).collect() };
        }
        let of_rows = lengths.as_ref().is_none_or(|lengths| lengths[*axis] == fixed);
        match shape.dim.get_mut(*axis) {
            // several entries a row: no symbol says so
            Some(dim) => dim.value = of_rows.then(|| Length::DimParam(symbol.clone())),
            None => tensor.shape = None,
        }
    }
}

/// Some exporters write a length of 0 where any will do: such first axes become a symbol.
pub(crate) fn name_empty(proto: &mut ModelProto) {
    let graph = proto.graph.as_mut().expect("the gate refuses a model without a graph");
    let symbol = symbol(graph);
    for value in graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info) {
        let kind = value.r#type.as_mut().and_then(|kind| kind.value.as_mut());
        if let Some(type_proto::Value::TensorType(tensor)) = kind
            && let Some(dim) = tensor.shape.as_mut().and_then(|shape| shape.dim.first_mut())
            && dim.value == Some(Length::DimValue(0))
        {
            dim.value = Some(Length::DimParam(symbol.clone()));
        }
    }
}

/// A name for the axis that no other axis has.
fn symbol(graph: &GraphProto) -> String {
    let values = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
    let kinds = values.filter_map(|value| value.r#type.as_ref()?.value.as_ref());
    let dims = kinds.filter_map(|kind| match kind {
        type_proto::Value::TensorType(tensor) => tensor.shape.as_ref(),
        _ => None,
    });
    let mut taken = Names(HashSet::new());
    for dim in dims.flat_map(|shape| &shape.dim) {
        if let Some(Length::DimParam(name)) = &dim.value {
            taken.0.insert(name.clone());
        }
    }
    taken.free("batch".into())
}

/// What freed rows are held against.
struct Before<'a> {
    shapes: &'a BTreeMap<String, Vec<AxisLength>>,
    fixed: usize,
    known: &'a Graph,
    rows: &'a HashMap<ValueId, Rows>,
    catalog: &'a OperatorCatalog,
}

/// Infers shapes with more rows: each must be as it was, but for its axis of rows.
fn confirm(freed: &ModelProto, before: &Before<'_>) -> Result<(), Obstacle> {
    let Before { shapes, fixed, known, rows, catalog } = *before;
    // One row too: some operators treat an axis of one entry otherwise.
    for count in [fixed, fixed * FACTOR, 1] {
        let graph = imported(freed, shapes, count, catalog)?;
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
