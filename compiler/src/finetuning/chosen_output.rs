use millstream_schemas::shown;

use crate::CompilerError;
use crate::graph::{Graph, ValueId};

/// The output that a recipe names, or the only one that may hold what is learned.
///
/// # Errors
/// There is none of that name, or there are several and none is named.
pub(crate) fn chosen_output(graph: &Graph, wanted: Option<&str>) -> Result<ValueId, CompilerError> {
    let names: Vec<&str> = graph.outputs().iter().map(|output| graph.name(*output)).collect();
    match (wanted, graph.outputs()) {
        (None, [only]) => Ok(*only),
        (None, several) => only_floats(graph, several).ok_or_else(|| {
            let message = format!(
                "the model has {} outputs ({}); name the one that is to be learned or told (scores, numbers, boxes) with model.output",
                several.len(),
                list(&names)
            );
            CompilerError::setting("model.output", message)
        }),
        (Some(wanted), outputs) => match names.iter().position(|name| *name == wanted) {
            Some(at) => Ok(outputs[at]),
            None => {
                let hint = millstream_schemas::nearest(wanted, names.iter().copied())
                    .map_or_else(String::new, |name| format!("; did you mean `{}`?", shown(name)));
                Err(CompilerError::setting(
                    "model.output",
                    format!("the model has no output `{wanted}`{hint} (it has {})", list(&names)),
                ))
            }
        },
    }
}

/// The only output of floats, beside whole numbers that are made of it: labels beside scores.
fn only_floats(graph: &Graph, outputs: &[ValueId]) -> Option<ValueId> {
    let is_float = |value: &ValueId| graph.tensor_type(*value).map(|known| known.dtype.is_float());
    let floats: Vec<ValueId> = outputs.iter().copied().filter(|value| is_float(value) != Some(false)).collect();
    match floats.as_slice() {
        [only] if is_float(only) == Some(true) => Some(*only),
        _ => None,
    }
}

fn list(names: &[&str]) -> String {
    names.iter().take(8).map(shown).collect::<Vec<_>>().join(", ")
}
