//! A graph with lengths for its axes, each type stated by the rules: what is trained.

use std::collections::{BTreeMap, HashMap};

use crate::CompilerError;
use crate::graph::{Graph, Length, TensorType, ValueId};
use crate::operators::OperatorCatalog;
use crate::simplify;
use millstream_schemas::{AxisLength, shown};

/// Lengths for the symbolic axes of a model's inputs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bindings {
    /// Length of a symbolic first axis, if it is one of a batch. With a name, axes that nobody fixes stay open as well.
    pub(crate) batch: Option<AxisLength>,
    /// Whole shapes by input name, where the data decides them.
    pub(crate) shapes: BTreeMap<String, Vec<AxisLength>>,
    /// Types of values by name, where neither an operator's rule nor the file tells them.
    pub(crate) stated: BTreeMap<String, TensorType>,
}

/// A length as shapes of a graph hold it.
pub(crate) fn length_of(length: &AxisLength) -> Length {
    match length {
        AxisLength::Fixed(length) => length.into(),
        AxisLength::Named(name) => Length::named(name),
    }
}

/// The graph with these lengths, node by node: what it makes of them is a constant where the rules can tell it.
///
/// # Errors
/// An axis has no length, or the data's and the model's differ; a node does not fit what it reads.
pub(crate) fn bind(open: &Graph, bindings: &Bindings, catalog: &OperatorCatalog) -> Result<Graph, CompilerError> {
    let mut graph = Graph::new(open.opset, catalog.clone());
    graph.other_opsets.clone_from(&open.other_opsets);
    graph.file_opset = open.file_opset;
    let mut values: HashMap<ValueId, ValueId> = HashMap::new();
    for value in open.constants() {
        let constant = open.constant_of(value).expect("these are constants").clone();
        let bound = graph.constant(open.name(value), constant);
        graph.set_origin(bound, open.origin(value));
        if open.stops_gradient(value) {
            graph.stop_gradient(bound);
        }
        values.insert(value, bound);
    }
    let mut lengths = HashMap::new();
    for input in open.inputs() {
        let tensor_type = bound_input(open, *input, bindings, &mut lengths)?;
        values.insert(*input, graph.input(open.name(*input), tensor_type));
    }
    let stated = |value: ValueId| {
        let known = open.tensor_type(value)?;
        let named = known.shape.iter().all(|axis| axis.names().iter().all(|name| lengths.contains_key(*name)));
        let known = named.then(|| known.with(&|name| lengths.get(name).cloned()))?;
        known.fits_a_machine().then_some(known)
    };
    let mut budget = simplify::FOLDED_BYTES;
    for node in open.nodes() {
        let mut bound = node.clone();
        bound.metadata = Vec::new();
        for input in bound.inputs.iter_mut().flatten() {
            *input = values[input];
        }
        bound.outputs = Vec::new();
        let names = node.outputs.iter().map(|output| output.map_or_else(String::new, |id| open.name(id).to_owned()));
        let names: Vec<String> = names.collect();
        let by_name = |name: &str| {
            let value = node.outputs.iter().flatten().find(|value| open.name(**value) == name)?;
            stated(*value).or_else(|| bindings.stated.get(name).cloned())
        };
        graph.add_named(bound, &names, &by_name)?;
        let at = graph.nodes().len() - 1;
        if let Err(error) = simplify::fold(&mut graph, at, catalog, &mut budget)
            && !graph.fits_some_lengths(&graph.nodes()[at], names.len())
        {
            return Err(error);
        }
        let made = graph.nodes()[at].outputs.clone();
        for (open_output, made) in node.outputs.iter().zip(made) {
            let (Some(open_output), Some(made)) = (*open_output, made) else { continue };
            if open.stops_gradient(open_output) {
                graph.stop_gradient(made);
            }
            values.insert(open_output, made);
        }
    }
    for output in open.outputs() {
        graph.output(values[output]);
    }
    Ok(graph)
}

/// The type of an input, its names given lengths or other names.
fn bound_input(
    open: &Graph,
    input: ValueId,
    bindings: &Bindings,
    lengths: &mut HashMap<String, Length>,
) -> Result<TensorType, CompilerError> {
    let name = shown(open.name(input));
    let declared = open.tensor_type(input).ok_or_else(|| {
        CompilerError::unsupported(
            format!("input `{name}` without a declared shape"),
            "inputs are tensors of numbers; export the model with the shapes of its inputs",
        )
    })?;
    let wanted = bindings.shapes.get(open.name(input));
    if let Some(wanted) = wanted {
        let same = |length: &Length, wanted: &AxisLength| match (length.fixed(), wanted.fixed()) {
            (Some(length), Some(wanted)) => length == wanted,
            _ => true,
        };
        let fits = declared.shape.len() == wanted.len()
            && declared.shape.iter().zip(wanted).all(|(length, wanted)| same(length, wanted));
        if !fits {
            let show = |length: &Length| length.fixed().map_or("?".into(), |length| length.to_string());
            let shape: Vec<String> = declared.shape.iter().map(show).collect();
            let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
            return Err(CompilerError::Selection(format!(
                "input `{name}` takes [{}] and the data gives [{}]",
                shape.join(", "),
                wanted.join(", ")
            )));
        }
    }
    let is_open = bindings.batch.as_ref().is_some_and(|batch| batch.fixed().is_none());
    let mut shape = Vec::with_capacity(declared.shape.len());
    for (axis, length) in declared.shape.iter().enumerate() {
        let fixed = length.fixed().map(Length::from);
        let given = || wanted.map(|wanted| length_of(&wanted[axis]));
        let earlier = || length.name().and_then(|name| lengths.get(name).cloned());
        let batch = || bindings.batch.as_ref().filter(|_| axis == 0).map(length_of);
        let Some(bound) =
            fixed.or_else(given).or_else(earlier).or_else(batch).or_else(|| is_open.then(|| length.clone()))
        else {
            return Err(CompilerError::unsupported(
                format!("input `{name}` with axis {axis} of unknown length"),
                "state the size by a transform with a fixed output size, or export the model with a fixed size",
            ));
        };
        if let Some(name) = length.name() {
            lengths.insert(name.to_owned(), bound.clone());
        }
        shape.push(bound);
    }
    if let (Some(fixed), Some(batch)) = (declared.shape.first().and_then(Length::fixed), &bindings.batch)
        && *batch != AxisLength::Fixed(fixed)
    {
        return Err(CompilerError::setting(
            "data.batch",
            format!(
                "input `{name}` takes a fixed batch of {fixed} rows and the recipe says {batch}; set data.batch to it, or \
                 export the model with a symbolic first axis"
            ),
        ));
    }
    let bound = TensorType { dtype: declared.dtype, shape };
    if !bound.fits_a_machine() {
        return Err(CompilerError::Selection(format!("input `{name}` is {bound}, which no machine holds")));
    }
    Ok(bound)
}
