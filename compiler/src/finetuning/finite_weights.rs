use millstream_schemas::shown;

use super::layers::Layer;
use crate::CompilerError;
use crate::graph::{Graph, ValueId};

/// Refuses weights of these layers, and statistics of their normalizations, that hold NaN or infinite numbers: whatever is computed
/// with them is none either. Masks of −∞ are weights of no layer.
pub(crate) fn require_finite<'a>(graph: &Graph, layers: impl Iterator<Item = &'a Layer>) -> Result<(), CompilerError> {
    for weight in layers.flat_map(Layer::distinct_weights) {
        let node = &graph.nodes()[weight.node];
        let statistics = [3, 4].into_iter().filter(|_| node.is("BatchNormalization")).filter_map(|at| node.input(at));
        for value in std::iter::once(weight.value).chain(statistics) {
            finite(graph, value)?;
        }
    }
    Ok(())
}

fn finite(graph: &Graph, value: ValueId) -> Result<(), CompilerError> {
    let Some(constant) = graph.float_constant(value) else { return Ok(()) };
    let is_finite = |four: &[u8]| f32::from_le_bytes(four.try_into().expect("chunks of four")).is_finite();
    let mut numbers = constant.bytes.chunks_exact(4);
    let Some(first) = numbers.position(|four| !is_finite(four)) else { return Ok(()) };
    let others = numbers.filter(|four| !is_finite(four)).count();
    let mut place = Vec::new();
    let mut rest = first;
    for length in constant.shape.iter().rev() {
        place.insert(0, rest % length);
        rest /= length;
    }
    Err(CompilerError::NotFinite {
        tensor: shown(graph.name(value)),
        numbers: others + 1,
        of: constant.shape.iter().product(),
        first: place,
    })
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use crate::handmade::{graph, node, proto, value, weight, with};
    use crate::model_file::onnx::TensorProto;
    use crate::{CompilerError, FineTuning, Model, OperatorCatalog, compile};

    type Damage = Box<dyn Fn(&mut TensorProto)>;

    fn compiled(weights: Vec<TensorProto>) -> Result<(), CompilerError> {
        let nodes = vec![
            with(node("Cast", &["first.weight"], &["wide"]), "to", &[1]),
            node("MatMul", &["x", "wide"], &["a"]),
            node("Add", &["a", "model.causal"], &["b"]),
            node("BatchNormalization", &["b", "bn.weight", "bn.bias", "bn.mean", "bn.variance"], &["c"]),
            node("Gemm", &["c", "head.weight", "head.bias"], &["y"]),
        ];
        let model = proto(graph(nodes, weights, vec![value("x", &[3])], vec![value("y", &[2])]));
        let model = Model::from_bytes(model.encode_to_vec())?;
        compile(&model, &FineTuning::head(2, 5), &OperatorCatalog::standard()).map(drop)
    }

    fn weights() -> Vec<TensorProto> {
        let mut causal = weight("model.causal", &[1, 4]);
        causal.float_data = vec![0.0, f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY];
        let shapes: [(&str, &[usize]); 7] = [
            ("first.weight", &[3, 4]),
            ("bn.weight", &[4]),
            ("bn.bias", &[4]),
            ("bn.mean", &[4]),
            ("bn.variance", &[4]),
            ("head.weight", &[4, 2]),
            ("head.bias", &[2]),
        ];
        shapes.iter().map(|(name, shape)| weight(name, shape)).chain([causal]).collect()
    }

    #[test]
    fn weights_that_are_nan_or_infinite_are_refused_by_name_and_masks_are_not() {
        compiled(weights()).unwrap();
        let all = |number: f32| move |tensor: &mut TensorProto| tensor.float_data.fill(number);
        let one = |at: usize, number: f32| move |tensor: &mut TensorProto| tensor.float_data[at] = number;
        // as float16 or bfloat16: zeros, the last with these bits
        let half = |data_type: i32, last: u16| {
            move |tensor: &mut TensorProto| {
                let bytes: Vec<u8> =
                    [[0; 11].as_slice(), &[last]].concat().iter().flat_map(|bits: &u16| bits.to_le_bytes()).collect();
                (tensor.data_type, tensor.raw_data) = (Some(data_type), Some(bytes.into()));
                tensor.float_data.clear();
            }
        };
        let rows: Vec<(&str, Damage, &str)> = vec![
            ("first.weight", Box::new(all(f32::NAN)), "12 of the 12 numbers of `first.weight` are NaN or infinite"),
            ("first.weight", Box::new(all(f32::NEG_INFINITY)), "12 of the 12 numbers of `first.weight`"),
            ("first.weight", Box::new(one(6, f32::INFINITY)), "1 of the 12 numbers of `first.weight`"),
            ("first.weight", Box::new(one(6, f32::NAN)), "the first at [1, 2]"),
            ("bn.bias", Box::new(one(3, f32::NAN)), "1 of the 4 numbers of `bn.bias`"),
            ("bn.variance", Box::new(one(0, f32::INFINITY)), "1 of the 4 numbers of `bn.variance`"),
            ("first.weight", Box::new(half(10, 0x7e00)), "1 of the 12 numbers of `first.weight`"),
            ("first.weight", Box::new(half(16, 0xff80)), "the first at [2, 3]"),
        ];
        for (name, damage, wanted) in rows {
            let mut weights = weights();
            weights.iter_mut().filter(|tensor| tensor.name() == name).for_each(damage);
            let error = compiled(weights).unwrap_err().to_string();
            assert!(error.contains(wanted), "wanted `{wanted}` in `{error}`");
        }
    }

    #[test]
    fn a_damaged_head_that_is_replaced_is_no_obstacle() {
        let mut weights = weights();
        let head = weights.iter_mut().filter(|tensor| tensor.name().starts_with("head."));
        head.for_each(|tensor| tensor.float_data.fill(f32::NAN));
        compiled(weights).unwrap();
    }
}
