use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, mat_mul, varied, varied_in};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Constant, ElementType, Length, Node, TensorType, ValueId};

/// `com.microsoft.MatMulNBits`: y = A · Wᵀ + bias, where W `[N, K]` is packed in bytes, 2, 4 or 8 bits a number, with a
/// scale and a zero point for each block of a row. Where A depends on what is trained, W is unpacked into a product of matrices:
/// constants, which ONNX Runtime computes once; they take the room of floats. Columns in another order (`g_idx`) have no gradient.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "MatMulNBits",
    opsets: 1..=1,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let bytes = |shape: &[usize], byte: fn(usize) -> u8| {
            let values: Vec<u8> = (0..shape.iter().product::<usize>()).map(byte).collect();
            SampleInput::Fixed(Constant { dtype: ElementType::U8, shape: shape.to_vec(), bytes: values.into() })
        };
        let any: fn(usize) -> u8 = |at| (at * 89 + 17) as u8;
        // of eight bits, so that no number outweighs the others
        let near_zero: fn(usize) -> u8 = |at| (at * 89 + 17) as u8 % 16 + 120;
        let sizes = |bits: i64, inner: i64| {
            vec![
                ("N", 3.into()),
                ("K", inner.into()),
                ("bits", bits.into()),
                ("block_size", 16.into()),
                ("accuracy_level", 1.into()),
            ]
        };
        let scales = || varied_in(&[3, 2], 0.1, 0.2);
        vec![
            Sample::new("four bits", vec![varied(&[2, 32]), bytes(&[3, 2, 8], any), scales()], sizes(4, 32)),
            Sample::new(
                "zero points",
                vec![varied(&[2, 2, 32]), bytes(&[3, 2, 8], any), scales(), bytes(&[3, 1], any)],
                sizes(4, 32),
            ),
            Sample::new("a part of a block", vec![varied(&[2, 24]), bytes(&[3, 2, 8], any), scales()], sizes(4, 24)),
            Sample::new("eight bits", vec![varied(&[2, 32]), bytes(&[3, 2, 16], near_zero), scales()], sizes(8, 32)),
            Sample::new(
                "zero points of eight bits",
                vec![varied(&[2, 32]), bytes(&[3, 2, 16], near_zero), scales(), bytes(&[3, 2], near_zero)],
                sizes(8, 32),
            ),
            Sample::new("two bits", vec![varied(&[2, 32]), bytes(&[3, 2, 4], any), scales()], sizes(2, 32)),
            Sample::new(
                "zero points of two bits",
                vec![varied(&[2, 24]), bytes(&[3, 2, 4], any), scales(), bytes(&[3, 1], any)],
                sizes(2, 24),
            ),
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
        return Err(node.no_gradient("its weights are packed in another order (g_idx, weight_prepacked)"));
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
    let mut parts = Vec::new();
    for _ in 1..in_a_byte {
        let step = graph.scalar((1 << bits) as f32);
        let share = graph.divided_by(rest, step)?;
        let upper = graph.add("Floor", &[share], &[])?;
        let above = graph.times(upper, step)?;
        parts.push(graph.minus(rest, above)?);
        rest = upper;
    }
    parts.push(rest);
    let parts = graph.concat(&parts, 1)?;
    graph.reshape(parts, shape)
}
