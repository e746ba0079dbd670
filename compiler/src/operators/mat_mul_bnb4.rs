use super::{Gradient, Operator, Sample, TypeRuleInput, mat_mul, quantized, varied, varied_in};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Constant, ElementType, Length, Node, TensorType, ValueId};

/// `com.microsoft.MatMulBnb4`: y = A · Wᵀ, where each number of W `[N, K]` is one of sixteen, as `bitsandbytes` stores it (Dettmers
/// 2023): two in a byte, the upper half first, and a largest size for each block of them. Where A depends on what is trained, W is
/// unpacked into a product of matrices: constants, which ONNX Runtime computes once; they take the room of floats.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "MatMulBnb4",
    opsets: 1..=1,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let inputs = |a: &[usize]| vec![varied(a), quantized::bytes(&[48]), varied_in(&[6], 0.1, 0.2)];
        let sizes =
            |kind: i64| vec![("N", 3.into()), ("K", 32.into()), ("block_size", 16.into()), ("quant_type", kind.into())];
        vec![
            Sample::new("numbers with a point", inputs(&[2, 32]), sizes(0)),
            Sample::new("numbers spread as a normal distribution", inputs(&[2, 2, 32]), sizes(1)),
        ]
    },
};

/// What four bits mean in `FP4`.
const FP4: [f32; 16] = [
    0.0,
    5.208_333_5e-3,
    0.666_666_7,
    1.0,
    0.333_333_34,
    0.5,
    0.166_666_67,
    0.25,
    -0.0,
    -5.208_333_5e-3,
    -0.666_666_7,
    -1.0,
    -0.333_333_34,
    -0.5,
    -0.166_666_67,
    -0.25,
];
/// What four bits mean in `NF4`.
const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// How weights are packed.
struct Packing {
    rows: usize,
    columns: usize,
    block: usize,
    meanings: [f32; 16],
}

impl Packing {
    fn of(node: &Node) -> Result<Self, String> {
        let number = |name: &str| {
            let given = node.int(name).ok_or_else(|| format!("no attribute `{name}`"))?;
            usize::try_from(given).ok().filter(|given| (1..1 << 24).contains(given)).ok_or(format!("{name} is {given}"))
        };
        let meanings = match node.int("quant_type") {
            Some(0) => FP4,
            Some(1) => NF4,
            other => return Err(format!("quant_type is {other:?}")),
        };
        Ok(Self { rows: number("N")?, columns: number("K")?, block: number("block_size")?, meanings })
    }

    fn numbers(&self) -> usize {
        self.rows * self.columns
    }
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let a = rule.input(0)?;
    let packing = Packing::of(rule.node).map_err(|message| rule.error(message))?;
    for (input, wanted) in [(1, packing.numbers().div_ceil(2)), (2, packing.numbers().div_ceil(packing.block))] {
        let given = rule.input(input)?;
        if given.elements().as_number() != Length::from(wanted).as_number() {
            return Err(rule.error(format!("input {input} is {given}, wanted {wanted} elements")));
        }
    }
    mat_mul::product(rule, a, &TensorType::new(a.dtype, [packing.columns, packing.rows]))
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (a, packed, largest) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let packing = Packing::of(&node.node).map_err(|message| node.error(message))?;
    if node.node.int("transB").unwrap_or(1) == 0 {
        return Err(node.no_gradient("its weights are not turned (transB = 0)"));
    }
    let count = packing.numbers();
    if count % packing.block != 0 || count % 2 != 0 {
        return Err(node.no_gradient(format!("{count} numbers are no whole blocks of {}", packing.block)));
    }
    let graph = &mut *node.graph;
    let whole = graph.cast(packed, ElementType::I64)?;
    let whole = graph.reshape(whole, &[count / 2, 1])?;
    let sixteen = graph.constant("sixteen", Constant::i64([], &[16]));
    let upper = graph.divided_by(whole, sixteen)?;
    let above = graph.times(upper, sixteen)?;
    let lower = graph.minus(whole, above)?;
    let places = graph.concat(&[upper, lower], 1)?;
    let places = graph.reshape(places, &[count / packing.block, packing.block])?;
    let meanings = graph.constant("meanings", Constant::f32([16], &packing.meanings));
    let numbers = graph.add("Gather", &[meanings, places], &[])?;
    let largest = graph.reshape(largest, &[count / packing.block, 1])?;
    let weights = graph.times(numbers, largest)?;
    let weights = graph.reshape(weights, &[packing.rows, packing.columns])?;
    let turned = graph.transpose(weights, &[1, 0])?;
    Ok(vec![graph.add("MatMul", &[a, turned], &[])?])
}
