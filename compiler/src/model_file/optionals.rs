//! Optional values: whether one is there is known before the run, so that each operator on them becomes the value itself.

use super::onnx::NodeProto;
use super::scope::{Imported, Names};
use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, standard_domain};
use millstream_schemas::shown;

/// Those on optional values.
pub(super) const OPERATORS: [&str; 3] = ["Optional", "OptionalGetElement", "OptionalHasElement"];

/// What a node makes of optional values; none where it has to do with none.
///
/// # Errors
/// It takes a value that is not there.
pub(super) fn made(
    graph: &mut Graph,
    names: &Names<'_>,
    node: &NodeProto,
    name: &str,
    inputs: &[Option<Imported>],
) -> Result<Option<Imported>, CompilerError> {
    if !standard_domain(node.domain()).is_empty() || !OPERATORS.contains(&node.op_type()) {
        return Ok(None);
    }
    let given = inputs.first().cloned().flatten().filter(|given| !matches!(given, Imported::Nothing));
    Ok(Some(match (node.op_type(), given) {
        ("Optional", given) => given.unwrap_or(Imported::Nothing),
        ("OptionalGetElement", Some(given)) => given,
        ("OptionalHasElement", given) => {
            let bytes = vec![u8::from(given.is_some())];
            let truth = Constant { dtype: ElementType::Bool, shape: Vec::new(), bytes: bytes.into() };
            let name = names.free(graph, &format!("{name}.is_there"));
            Imported::Tensor(graph.constant(&name, truth))
        }
        ("OptionalGetElement", None) => {
            return Err(CompilerError::Node {
                node: shown(name),
                operator: "OptionalGetElement".into(),
                message: "the value that it takes is not there".into(),
            });
        }
        _ => return Ok(None),
    }))
}
