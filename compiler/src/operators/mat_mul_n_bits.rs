use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, mat_mul, varied, varied_in};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Constant, ElementType, Length, Node, TensorType, ValueId};

/// `com.microsoft.MatMulNBits`: y = A · Wᵀ + bias, where W `[N, K]` is packed in bytes, 2, 4 or 8 bits a number, with a
/// scale and a zero point for each block of a row. Where A depends on what is trained, W is unpacked into a product of
/// matrices: constants, which ONNX Runtime computes once; they take the room of floats.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "MatMulNBits",
    opsets: 1..=1,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let bytes = |shape: &[usize], count: usize| {
            let values: Vec<u8> = (0..count).map(|at| (at * 89 + 17) as u8).collect();
            SampleInput::Fixed(Constant { dtype: ElementType::U8, shape: shape.to_vec(), bytes: values.into() })
        };
        // three rows of two blocks
        let of = |name: &'static str, shape: &[usize], bits: usize, zeros: Option<usize>| {
            let in_a_block = 2 * bits;
            let mut inputs =
                vec![varied(shape), bytes(&[3, 2, in_a_block], 6 * in_a_block), varied_in(&[3, 2], 0.1, 0.2)];
            inputs.extend(zeros.map(|in_a_row| bytes(&[3, in_a_row], 3 * in_a_row)));
            let inner = shape.last().copied().unwrap_or(0) as i64;
            let attributes = [("N", 3), ("K", inner), ("bits", bits as i64), ("block_size", 16), ("accuracy_level", 1)];
            Sample::new(name, inputs, attributes.map(|(key, number)| (key, Attribute::Int(number))).to_vec())
        };
        vec![
            of("four bits", &[2, 32], 4, None),
            of("zero points", &[2, 2, 32], 4, Some(1)),
            of("a part of a block", &[2, 24], 4, None),
            of("two bits", &[2, 32], 2, None),
            of("two bits with zero points", &[2, 24], 2, Some(1)),
            of("eight bits", &[2, 32], 8, None),
            of("eight bits with zero points", &[2, 24], 8, Some(2)),
        ]
    },
};

/// How weights are packed.
struct Packing {
    rows: usize,
    columns: usize,
    bits: usize,
    block: usize,
}

impl Packing {
    fn of(node: &Node) -> Result<Self, String> {
        let number = |name: &str, default: Option<i64>| {
            let given = node.int(name).or(default).ok_or_else(|| format!("no attribute `{name}`"))?;
            usize::try_from(given).ok().filter(|given| (1..1 << 24).contains(given)).ok_or(format!("{name} is {given}"))
        };
        let packing = Self {
            rows: number("N", None)?,
            columns: number("K", None)?,
            bits: number("bits", Some(4))?,
            block: number("block_size", None)?,
        };
        let known = [2, 4, 8].contains(&packing.bits) && packing.block.is_power_of_two() && packing.block >= 16;
        if known { Ok(packing) } else { Err(format!("{} bits in blocks of {}", packing.bits, packing.block)) }
    }

    fn blocks(&self) -> usize {
        self.columns.div_ceil(self.block)
    }
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let a = rule.input(0)?;
    let packing = Packing::of(rule.node).map_err(|message| rule.error(message))?;
    let packed = [packing.rows, packing.blocks(), packing.block * packing.bits / 8];
    let given = &rule.input(1)?.shape;
    let wanted: Length = packed.iter().map(Length::from).product();
    if !given.iter().product::<Length>().agrees_with(&wanted) {
        return Err(rule.error(format!("packed weights {given:?}, wanted {packed:?}")));
    }
    let weights = TensorType::new(a.dtype, [packing.columns, packing.rows]);
    mat_mul::product(rule, a, &weights)
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (a, packed, scales) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let packing = Packing::of(&node.node).map_err(|message| node.error(message))?;
    if node.node.input(4).is_some() || node.node.int("weight_prepacked").unwrap_or(0) != 0 {
        return Err(node.no_gradient("its weights are not packed row by row and block by block"));
    }
    let (rows, blocks) = (packing.rows, packing.blocks());
    let floats = unpacked(node, packed, packing.bits, &[rows, blocks, packing.block])?;
    let zeros = match node.node.input(3) {
        None => node.graph.scalar((1 << (packing.bits - 1)) as f32),
        Some(zeros) if node.graph.known_type(zeros)?.dtype == ElementType::U8 => {
            let in_a_row = (blocks * packing.bits).div_ceil(8) * 8 / packing.bits;
            let all = unpacked(node, zeros, packing.bits, &[rows, in_a_row])?;
            let used = node.graph.slice(all, &[1], &[0], &[blocks], &[1])?;
            node.graph.reshape(used, &[rows, blocks, 1])?
        }
        Some(zeros) => node.graph.reshape(zeros, &[rows, blocks, 1])?,
    };
    let centred = node.graph.minus(floats, zeros)?;
    let scales = node.graph.reshape(scales, &[rows, blocks, 1])?;
    let weights = node.graph.times(centred, scales)?;
    let mut weights = node.graph.reshape(weights, &[rows, blocks * packing.block])?;
    if packing.columns != blocks * packing.block {
        weights = node.graph.slice(weights, &[1], &[0], &[packing.columns], &[1])?;
    }
    let turned = node.graph.transpose(weights, &[1, 0])?;
    let product = node.graph.add("MatMul", &[a, turned], &[])?;
    Ok(vec![match node.node.input(5) {
        Some(bias) => node.graph.plus(product, bias)?,
        None => product,
    }])
}

/// Numbers of so many bits as floats of a shape; of several in a byte the lowest comes first.
fn unpacked(node: &mut Expansion<'_>, bytes: ValueId, bits: usize, shape: &[usize]) -> Result<ValueId, CompilerError> {
    let graph = &mut *node.graph;
    let in_a_byte = 8 / bits;
    let whole = graph.cast(bytes, ElementType::F32)?;
    let mut rest = graph.reshape(whole, &[shape.iter().product::<usize>() / in_a_byte, 1])?;
    let mut numbers = Vec::with_capacity(in_a_byte);
    for _ in 1..in_a_byte {
        let base = graph.scalar((1 << bits) as f32);
        let share = graph.divided_by(rest, base)?;
        let upper = graph.add("Floor", &[share], &[])?;
        let above = graph.times(upper, base)?;
        numbers.push(graph.minus(rest, above)?);
        rest = upper;
    }
    numbers.push(rest);
    let all = graph.concat(&numbers, 1)?;
    graph.reshape(all, shape)
}
