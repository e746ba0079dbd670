use millstream_schemas::shown;

use super::super::method_function::MethodModel;
use super::place::Place;
use crate::CompilerError;
use crate::graph::{Graph, Node, ValueId};
use crate::inference::infer_behind;

/// Leaves virtual tokens out of what the model gives for each token: of the value that the loss is computed from and of what
/// follows it, and of all outputs. Returns which, in words.
///
/// # Errors
/// An axis of what is given has become longer otherwise than by a place for each virtual token.
pub(super) fn cut_outputs(
    model: &mut MethodModel<'_>,
    (place, count): (Place, usize),
) -> Result<Option<String>, CompilerError> {
    let (base, graph) = (model.base, &mut *model.graph);
    let mut given: Vec<(ValueId, bool)> = model.prediction.map(|value| (value, true)).into_iter().collect();
    given.extend(graph.outputs().iter().filter(|value| Some(**value) != model.prediction).map(|value| (*value, false)));
    let mut names = Vec::new();
    for (value, is_prediction) in given {
        let axes = lengthened_axes((base, &*graph), value, count)?;
        if axes.is_empty() {
            continue;
        }
        let makes = |node: &Node| node.outputs.first().copied().flatten() == Some(value);
        let Some(at) = graph.nodes().iter().position(makes) else {
            return Err(refused(graph, value, "no node makes it as its first result"));
        };
        let (was, is) = (base.tensor_type(value).cloned(), graph.tensor_type(value).cloned());
        let before = graph.nodes().len();
        let name = graph.name(value).to_owned();
        let mut whole = None;
        graph.replace_result(at, &format!("{name}.with_virtual"), |graph, own| {
            graph.set_type(own, is);
            whole = Some(own);
            let mut cut = own;
            for axis in axes {
                let (first, rest) = place.parts(graph, cut, (count, axis), &format!("{name}.of_tokens"))?;
                cut = match first {
                    None => rest,
                    Some(first) => {
                        let joined = format!("{name}.of_tokens.joined");
                        graph.append("Concat", &[first, rest], &[("axis", (axis as i64).into())], &joined)?
                    }
                };
            }
            Ok(cut)
        })?;
        graph.set_type(value, was.clone());
        let whole = whole.expect("just made");
        if !is_prediction {
            // inside of the model rows stay whole
            let behind = at + 1 + graph.nodes().len() - before;
            graph.replace_reads(behind, value, whole);
        }
        let new = graph.nodes()[at..at + 1 + graph.nodes().len() - before].iter();
        let changed: Vec<ValueId> = new.flat_map(|node| node.outputs.iter().flatten().copied()).collect();
        infer_behind(graph, changed, model.operators, &|of| (of == value).then(|| was.clone()).flatten());
        names.push(format!("`{}`", shown(&name)));
    }
    Ok((!names.is_empty()).then(|| format!("virtual tokens are left out of {}", names.join(", "))))
}

/// The axes of a value that have a place for each virtual token.
pub(super) fn lengthened_axes(
    (base, graph): (&Graph, &Graph),
    value: ValueId,
    count: usize,
) -> Result<Vec<usize>, CompilerError> {
    let Some(was) = base.tensor_type(value) else { return Ok(Vec::new()) };
    let Some(is) = graph.tensor_type(value) else {
        return Err(refused(graph, value, "its shape is not known any more"));
    };
    if was.shape.len() != is.shape.len() {
        return Err(refused(graph, value, "it has another number of axes with virtual tokens"));
    }
    let mut axes = Vec::new();
    for (axis, (was, is)) in was.shape.iter().zip(&is.shape).enumerate() {
        if was.agrees_with(is) {
            continue;
        }
        if !is.agrees_with(&(was + count)) {
            let what =
                format!("its axis {axis} is {is} instead of {was}, and virtual tokens cannot be told apart in it");
            return Err(refused(graph, value, &what));
        }
        axes.push(axis);
    }
    Ok(axes)
}

fn refused(graph: &Graph, value: ValueId, what: &str) -> CompilerError {
    CompilerError::setting(
        "",
        format!(
            "virtual tokens cannot be left out of what the model gives as `{}`: {}; export it as `[batch, sequence, …]`, leave it \
             out of the model, or use `prefix_tuning` or `lora`",
            shown(graph.name(value)),
            shown(what)
        ),
    )
}
