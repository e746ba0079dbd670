use super::super::linear_weight::{LinearMap, LinearWeight};
use super::Factors;
use crate::CompilerError;
use crate::graph::{Constant, Graph, Node, ValueId};

/// Norms are at least this, so that an output whose weights are all zero stays at zero.
pub(in super::super) const GAIN_FLOOR: f32 = f32::MIN_POSITIVE;

/// What the outputs of a layer are multiplied by, before its bias: of `dora` m / ‖W + s·A·B‖.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Magnitude {
    /// In the shape that the layer's output is multiplied by.
    pub(in super::super) gain: ValueId,
}

impl Magnitude {
    /// Adds the nodes of the gain, in front of whatever reads the weight first. The norm is a constant for the reverse pass.
    pub(in super::super) fn add(
        graph: &mut Graph,
        first: usize,
        factors: &Factors,
        (weight, [a, b], scale): (&LinearWeight, [ValueId; 2], Option<ValueId>),
        magnitude: ValueId,
    ) -> Result<Self, CompilerError> {
        let name = |part: &str| format!("{}.{part}", weight.layer);
        graph.in_front_of(first, |graph| {
            let made = product(graph, factors, [a, b], &name)?;
            let made = match scale {
                Some(scale) => graph.append("Mul", &[made, scale], &[], &name("lora_product.scaled"))?,
                None => made,
            };
            let own = used_weight(graph, factors, weight.value, &name)?;
            let whole = graph.append("Add", &[own, made], &[], &name("lora_weight"))?;
            let squares = graph.append("Mul", &[whole, whole], &[], &name("lora_weight.squares"))?;
            let axis = i64::from(factors.is_outputs_first());
            let axes = graph.named_constant(&name("lora_weight.axes"), Constant::i64([1], &[axis]));
            let keep = ("keepdims", 0.into());
            let sums = graph.append("ReduceSum", &[squares, axes], &[keep], &name("lora_weight.sums"))?;
            let norms = graph.append("Sqrt", &[sums], &[], &name("lora_weight.norms"))?;
            let floor = graph.named_constant(&name("lora_weight.floor"), Constant::f32([], &[GAIN_FLOOR]));
            let norms = graph.append("Max", &[norms, floor], &[], &name("lora_weight_norm"))?;
            graph.stop_gradient(norms);
            let gain = graph.append("Div", &[magnitude, norms], &[], &name("lora_gain"))?;
            let gain = for_outputs(graph, &factors.map, gain, &name("lora_gain.shaped"))?;
            Ok(Self { gain })
        })
    }

    /// What becomes of the output of a layer that `node` makes, with or without a branch: it is multiplied by the gain, and a
    /// bias inside of the node is not.
    pub(in super::super) fn apply(
        self,
        graph: &mut Graph,
        node: &Node,
        sum: ValueId,
        map: &LinearMap,
        name: &dyn Fn(&str) -> String,
    ) -> Result<ValueId, CompilerError> {
        let scaled = graph.append("Mul", &[sum, self.gain], &[], &name("scaled_output"))?;
        let Some(bias) = node.input(2) else { return Ok(scaled) };
        let one = graph.named_constant(&name("one"), Constant::f32([], &[1.0]));
        let rest = graph.append("Sub", &[one, self.gain], &[], &name("gain.rest"))?;
        let bias = match map {
            LinearMap::Dense { .. } => bias,
            LinearMap::Convolution { .. } => for_outputs(graph, map, bias, &name("bias.shaped"))?,
        };
        let beta = if node.is("Gemm") { node.float("beta").unwrap_or(1.0) } else { 1.0 };
        let bias = if beta == 1.0 {
            bias
        } else {
            let beta = graph.named_constant(&name("beta"), Constant::f32([], &[beta]));
            graph.append("Mul", &[bias, beta], &[], &name("bias.scaled"))?
        };
        let rest = graph.append("Mul", &[bias, rest], &[], &name("bias.rest"))?;
        graph.append("Add", &[scaled, rest], &[], &name("scaled_output_with_bias"))
    }
}

/// A vector of outputs as a factor of the layer's output: of a convolution the channels are not the last axis.
fn for_outputs(graph: &mut Graph, map: &LinearMap, vector: ValueId, name: &str) -> Result<ValueId, CompilerError> {
    match map {
        LinearMap::Dense { .. } => Ok(vector),
        LinearMap::Convolution { outputs, kernel, .. } => {
            let shape = [vec![*outputs as i64], vec![1; kernel.len()]].concat();
            reshaped(graph, vector, &shape, name)
        }
    }
}

/// A length of -1 is what the numbers leave.
fn reshaped(graph: &mut Graph, value: ValueId, lengths: &[i64], name: &str) -> Result<ValueId, CompilerError> {
    let lengths = graph.named_constant(&format!("{name}.shape"), Constant::i64([lengths.len()], lengths));
    graph.append("Reshape", &[value, lengths], &[], name)
}

/// A·B as the weight is stored: `[outputs, columns]`, or `[columns, outputs]` of a linear map that is stored so.
fn product(
    graph: &mut Graph,
    factors: &Factors,
    [a, b]: [ValueId; 2],
    name: &dyn Fn(&str) -> String,
) -> Result<ValueId, CompilerError> {
    let made = name("lora_product");
    match &factors.map {
        LinearMap::Dense { is_transposed: false, .. } => graph.append("MatMul", &[a, b], &[], &made),
        LinearMap::Dense { .. } => {
            let turns = [("perm", vec![1, 0].into())];
            let b = graph.append("Transpose", &[b], &turns, &name("lora_B.turned"))?;
            let a = graph.append("Transpose", &[a], &turns, &name("lora_A.turned"))?;
            graph.append("MatMul", &[b, a], &[], &made)
        }
        LinearMap::Convolution { outputs, .. } => {
            let [groups, in_a_group, columns] =
                [factors.groups(), factors.outputs_in_a_group(), factors.columns()].map(|length| length as i64);
            // a graph that takes adapters as inputs takes those of any rank
            let a = reshaped(graph, a, &[groups, -1, columns], &name("lora_A.matrix"))?;
            let b = reshaped(graph, b, &[groups, in_a_group, -1], &name("lora_B.matrix"))?;
            let of_groups = graph.append("MatMul", &[b, a], &[], &name("lora_product.groups"))?;
            reshaped(graph, of_groups, &[*outputs as i64, columns], &made)
        }
    }
}

/// W as it is used, as a matrix.
fn used_weight(
    graph: &mut Graph,
    factors: &Factors,
    weight: ValueId,
    name: &dyn Fn(&str) -> String,
) -> Result<ValueId, CompilerError> {
    match &factors.map {
        LinearMap::Dense { factor, .. } if *factor != 1.0 => {
            let factor = graph.named_constant(&name("lora_alpha"), Constant::f32([], &[*factor]));
            graph.append("Mul", &[weight, factor], &[], &name("used_weight"))
        }
        LinearMap::Dense { .. } => Ok(weight),
        LinearMap::Convolution { outputs, .. } => {
            reshaped(graph, weight, &[*outputs as i64, factors.columns() as i64], &name("used_weight"))
        }
    }
}
