//! Which operators keep rows apart, and how.

use super::rows::{Rows, Seen, Through};

/// Each element of the output follows from the elements at its place, operands broadcast.
const ELEMENTWISE: [&str; 60] = [
    "Abs",
    "Add",
    "And",
    "Atan",
    "Cast",
    "CastLike",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Div",
    "Dropout",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "IsInf",
    "IsNaN",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Mean",
    "Min",
    "Mish",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "PRelu",
    "Pow",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Sum",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Where",
    "Xor",
];
/// The same of those which offline optimizers write.
const ELEMENTWISE_OF_MICROSOFT: [&str; 5] = ["BiasAdd", "BiasGelu", "FastGelu", "Gelu", "QuickGelu"];
/// The first axis of the first input counts examples, by the operator's definition.
const OF_EXAMPLES: [&str; 15] = [
    "AveragePool",
    "BatchNormalization",
    "Conv",
    "ConvTranspose",
    "DepthToSpace",
    "GlobalAveragePool",
    "GlobalLpPool",
    "GlobalMaxPool",
    "GroupNormalization",
    "InstanceNormalization",
    "LRN",
    "LpPool",
    "MaxPool",
    "PRelu",
    "SpaceToDepth",
];
/// Along `axis`, apart for each place on the other axes; with the axis when none is named.
const ALONG_ONE_AXIS: [(&str, i64); 7] = [
    ("ArgMax", 0),
    ("ArgMin", 0),
    ("Hardmax", -1),
    ("LogSoftmax", -1),
    ("LpNormalization", -1),
    ("Softmax", -1),
    ("TopK", -1),
];

pub(super) fn through(seen: &Seen<'_>) -> Through {
    let Seen { graph, node, .. } = seen;
    let outputs = node.outputs.len();
    let inputs: Vec<Rows> = (0..node.inputs.len()).map(|index| seen.rows_of(index)).collect();
    let has_axis = inputs.iter().any(|rows| matches!(rows, Rows::Axis(..)));
    if !has_axis && !inputs.contains(&Rows::Lengths) {
        return Ok((vec![Rows::Apart; outputs], None));
    }
    let operator = if node.domain.is_empty() { node.operator.as_str() } else { "" };
    if !has_axis {
        if seen.picks_other_lengths() {
            return Ok((vec![Rows::Apart; outputs], None));
        }
        let made = node.outputs.first().copied().flatten();
        let shape = made.and_then(|made| graph.tensor_type(made)).map(|known| known.shape.as_slice());
        // lengths lie side by side; what has more axes is spread over the rows, also where its values are known
        let is_list =
            made.is_some_and(|made| graph.constant_of(made).is_some()) && shape.is_some_and(|shape| shape.len() <= 1);
        let of_length = || shape.and_then(|shape| shape.iter().position(|length| *length == seen.fixed));
        return match operator {
            "ConstantOfShape" | "Expand" | "Range" | "Reshape" if seen.is_made_up => {
                let axis = seen.stated_axis().or_else(of_length);
                let apart = if is_list { Rows::Lengths } else { Rows::Apart };
                Ok((vec![axis.map_or(apart, |axis| Rows::Axis(axis, 1)); outputs], None))
            }
            _ if is_list && operator != "Shape" => Ok((vec![Rows::Lengths; outputs], None)),
            // how many entries a list has does not count rows
            "Shape" => Ok((vec![Rows::Apart], None)),
            // copies of what is the same for all rows are rows
            "Tile" if seen.rows_of(0) == Rows::Apart => {
                let axis = seen.stated_axis();
                axis.map(|axis| (vec![Rows::Axis(axis, 1)], None))
                    .ok_or_else(|| "it repeats other axes than the rows".into())
            }
            "ConstantOfShape" | "Expand" => {
                let axis = seen.stated_axis().or_else(of_length);
                axis.map(|axis| (vec![Rows::Axis(axis, 1)], None)).ok_or_else(|| "its shape is not known".into())
            }
            _ => Err("it computes with the number of rows".into()),
        };
    }
    let takes_lengths = matches!(operator, "Reshape" | "Expand" | "Slice" | "Pad" | "Resize" | "Tile");
    if inputs.contains(&Rows::Lengths) && !takes_lengths {
        return Err("it computes with the number of rows".into());
    }
    match operator {
        _ if node.domain == "com.microsoft" => of_microsoft(seen),
        "Attention" => seen.attention(),
        "CumSum" => seen.cum_sum(),
        "DequantizeLinear" | "QuantizeLinear" => {
            seen.only_first()?;
            seen.along(1)
        }
        "Einsum" => seen.einsum(),
        "GatherElements" | "GridSample" | "ScatterElements" => seen.by_places(),
        "GatherND" => seen.gather_nd(),
        "OneHot" => seen.one_hot(),
        "Resize" | "Upsample" => seen.resize(),
        "RotaryEmbedding" => seen.rotary_embedding(),
        "Tile" => seen.tile(),
        "Trilu" => {
            let (axis, rank) = (seen.first_axis()?, seen.shape(0)?.len());
            if axis + 2 < rank { Ok(seen.all(axis)) } else { Err("it cuts the matrix over the rows".into()) }
        }
        "Reshape" => seen.reshape(),
        "Flatten" => seen.flatten(),
        "Squeeze" => seen.squeeze(),
        "Unsqueeze" => seen.unsqueeze(),
        "Transpose" => seen.transpose(),
        "Expand" => seen.expand(),
        "Concat" => seen.concat(),
        "Gemm" => seen.gemm(),
        "MatMul" => seen.mat_mul(),
        "Gather" => seen.gather(),
        "Slice" => seen.slice(),
        "Pad" => seen.pad(),
        "Split" => seen.along(0),
        "LSTM" | "GRU" | "RNN" => seen.recurrent(),
        "Shape" => {
            let axis = seen.first_axis()?;
            let rank = seen.shape(0)?.len() as i64;
            let bound = |name, default| seen.node.int(name).map_or(default, |at| if at < 0 { at + rank } else { at });
            let held = (bound("start", 0)..bound("end", rank)).contains(&(axis as i64));
            Ok((vec![if held { Rows::Lengths } else { Rows::Apart }], None))
        }
        "LayerNormalization" | "RMSNormalization" | "SimplifiedLayerNormalization" => {
            let (axis, rank) = (seen.first_axis()?, seen.shape(0)?.len());
            let from = seen.front(seen.node.int("axis").unwrap_or(-1), rank)?;
            seen.only_first()?;
            if axis < from { Ok(seen.all(axis)) } else { Err("it normalizes over the rows".into()) }
        }
        "BatchNormalization" if node.normalizes_by_batch() => {
            Err("in training mode it computes its statistics over the rows".into())
        }
        name if name.starts_with("Reduce") => seen.reduce(),
        name if ELEMENTWISE.contains(&name) => seen.elementwise(),
        name if OF_EXAMPLES.contains(&name) => {
            seen.only_first()?;
            if seen.first_axis()? == 0 { Ok(seen.all(0)) } else { Err("the rows are not its first axis".into()) }
        }
        name => match ALONG_ONE_AXIS.iter().find(|(operator, _)| *operator == name) {
            Some((_, default)) => seen.along(*default),
            None => Err("it is not known to keep rows apart".into()),
        },
    }
}

/// What ONNX Runtime's optimizers write.
fn of_microsoft(seen: &Seen<'_>) -> Through {
    match seen.node.operator.as_str() {
        "FusedConv" => {
            let added = matches!(seen.rows_of(3), Rows::Axis(0, 1)) || seen.node.input(3).is_none();
            let weights = (1..3).all(|index| seen.rows_of(index) == Rows::Apart);
            let apart = added && weights && seen.first_axis()? == 0;
            if apart { Ok(seen.all(0)) } else { Err("what it adds does not go with the rows".into()) }
        }
        "FusedGemm" => seen.gemm(),
        "FusedMatMul" | "TransposeMatMul" => {
            let is_plain =
                ["transA", "transBatchA", "transBatchB"].iter().all(|name| seen.node.int(name).unwrap_or(0) == 0);
            let is_turned = seen.node.int("transB").unwrap_or(0) != 0
                && matches!(seen.rows_of(1), Rows::Axis(axis, _) if axis + 2 >= seen.shape(1)?.len());
            if is_plain && !is_turned { seen.mat_mul() } else { Err("it turns the rows".into()) }
        }
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => {
            let (axis, rank) = (seen.first_axis()?, seen.shape(0)?.len());
            if axis + 1 < rank { seen.elementwise() } else { Err("it normalizes over the rows".into()) }
        }
        name if ELEMENTWISE_OF_MICROSOFT.contains(&name) => seen.elementwise(),
        _ => Err("it is not known to keep rows apart".into()),
    }
}
