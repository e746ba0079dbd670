//! Names that exporters give to tensors that the source wrote where it uses them, and to numbers of their own.

use super::onnx::{GraphProto, TensorProto};
use crate::finetuning::module_path::is_generated;
use crate::graph::{Attribute, ElementType, Graph, Origin, ValueId, standard_domain};

/// What the last parts of names begin with, in front of a number, that torch.export gives to tensors that the source made of a literal
/// where it used them.
const LIFTED: [&str; 3] = ["_lifted_tensor_constant", "_tensor_constant", "lifted_tensor_"];

/// Whether torch.export has named a tensor that the source made of a literal so: `h.0.attn.lifted_tensor_0`.
pub(crate) fn is_lifted(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let number = LIFTED.iter().find_map(|beginning| last.strip_prefix(beginning));
    number.is_some_and(|number| number.starts_with(|first: char| first.is_ascii_digit()))
}

/// Whether PyTorch's exporter has named a number of its own so: `val_12`, `int64_1`, `int64_m1_1d`.
fn is_number_of_exporter(name: &str) -> bool {
    let is_count = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // less than zero, and how many axes it has
    let is_part = |part: &str| {
        let part = part.strip_prefix('m').unwrap_or(part);
        is_count(part.strip_suffix('d').unwrap_or(part))
    };
    name.strip_prefix("val_").is_some_and(is_count)
        || name.strip_prefix("int64_").is_some_and(|rest| rest.split('_').all(is_part))
}

/// Whether a name is one that PyTorch's exporter has made up for what was no parameter.
pub(super) fn is_made_up(name: &str) -> bool {
    is_lifted(name) || is_number_of_exporter(name)
}

/// Whether a name is that which torch.onnx gives to what a `Constant` of a trace makes: a tensor that the source wrote where it uses it.
/// Parameters and buffers of a module are initializers there: `/up/Constant_1_output_0`.
fn is_literal_of_trace(name: &str) -> bool {
    let last = name.strip_prefix('/').and_then(|path| path.rsplit('/').next());
    let made = last.and_then(|last| last.strip_suffix("_output_0")).and_then(|made| made.strip_prefix("Constant"));
    made.is_some_and(|number| {
        number.is_empty() || number.strip_prefix('_').is_some_and(|digits| digits.parse::<u64>().is_ok())
    })
}

/// What the constants of several floats were that a trace has named as literals. It names the weights of a module so that was frozen
/// before it was traced: a file tells the two apart where other tensors of it have the names of parameters.
pub(super) fn of_trace(file: &GraphProto, graph: &Graph) -> Vec<(ValueId, Origin)> {
    let constants = graph.constants().into_iter().filter_map(|value| Some((value, graph.constant_of(value)?)));
    let made = graph.nodes().iter().filter(|node| node.is("Constant")).filter_map(|node| {
        let Some(Attribute::Tensor(constant)) = node.attributes.get("value") else { return None };
        Some((node.outputs.first().copied().flatten()?, constant))
    });
    let of_trace = constants.chain(made).filter(|(value, constant)| {
        constant.dtype.is_float()
            && constant.shape.iter().product::<usize>() > 1
            && graph.origin(*value).is_none()
            && is_literal_of_trace(graph.name(*value))
    });
    let found: Vec<ValueId> = of_trace.map(|(value, _)| value).collect();
    if found.is_empty() {
        return Vec::new();
    }
    let origin = if has_names_of_parameters(file) { Origin::Literal } else { Origin::Untold };
    found.into_iter().map(|value| (value, origin)).collect()
}

/// Whether a file stores several floats under a name that no exporter has made up.
fn has_names_of_parameters(file: &GraphProto) -> bool {
    let stored = file.initializer.iter().map(|tensor| (tensor.name(), tensor));
    let is_constant = |domain: &str, operator: &str| standard_domain(domain).is_empty() && operator == "Constant";
    let made = file.node.iter().filter(|node| is_constant(node.domain(), node.op_type())).filter_map(|node| {
        let value = node.attribute.iter().find(|attribute| attribute.name() == "value")?;
        Some((node.output.first()?.as_str(), value.t.as_ref()?))
    });
    stored.chain(made).any(|(name, tensor)| are_several_floats(tensor) && !is_generated(name))
}

fn are_several_floats(tensor: &TensorProto) -> bool {
    let is_float = ElementType::from_onnx(tensor.data_type()).is_some_and(ElementType::is_float);
    is_float && tensor.dims.iter().all(|length| *length > 0) && tensor.dims.iter().any(|length| *length > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_whose_names_begin_like_those_of_an_exporter_are_none_of_its_numbers() {
        for (name, wanted) in [
            ("val_3", true),
            ("int64_1", true),
            ("int64_m1_1d", true),
            ("lifted_tensor_0", true),
            ("_lifted_tensor_constant0", true),
            ("model.h.0.attn.attention.lifted_tensor_0", true),
            ("val_proj.weight", false),
            ("val_0.weight", false),
            ("int64_embedding.weight", false),
            ("lifted_tensor_proj", false),
            ("val_", false),
        ] {
            assert_eq!(is_made_up(name), wanted, "{name}");
        }
    }
}
