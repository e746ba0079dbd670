use super::{Gradient, Operator, Sample, TypeRuleInput, mat_mul, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Length, Node, TensorType, ValueId};

/// `com.microsoft.FusedMatMul`: y = α · A · B, each of them with its last two axes exchanged on request, or with its first
/// axis moved behind the batch axes. As those operators.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "FusedMatMul",
    opsets: 1..=1,
    weights: &[0, 1],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let sample = |name, a: &[usize], b: &[usize], attributes: &[(&'static str, Attribute)]| {
            Sample::new(name, vec![varied(a), varied(b)], attributes.to_vec())
        };
        let on = || Attribute::Int(1);
        vec![
            sample("scaled", &[2, 3], &[3, 4], &[("alpha", 0.5.into())]),
            sample("first turned", &[2, 4, 3], &[2, 4, 5], &[("transA", on())]),
            sample("second turned", &[2, 3, 4], &[5, 4], &[("transB", on()), ("alpha", 0.25.into())]),
            sample("both turned", &[2, 4, 3], &[2, 5, 4], &[("transA", on()), ("transB", on())]),
            sample("batch axes first", &[3, 2, 4], &[2, 4, 5], &[("transBatchA", on())]),
        ]
    },
};

/// The order of an operand's axes, and whether it is another than theirs.
fn order(node: &Node, rank: usize, turn: &str, turn_batch: &str) -> Option<Vec<usize>> {
    let is_on = |name: &str| node.int(name).unwrap_or(0) != 0;
    let mut order: Vec<usize> = (0..rank).collect();
    if rank < 2 {
        return None; // vectors have nothing to exchange
    }
    if is_on(turn_batch) && rank > 2 {
        order[..rank - 1].rotate_left(1);
    }
    if is_on(turn) {
        order.swap(rank - 2, rank - 1);
    }
    (!order.is_sorted()).then_some(order)
}

const TURNS: [(&str, &str); 2] = [("transA", "transBatchA"), ("transB", "transBatchB")];

pub(super) fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let mut operands = [rule.input(0)?.clone(), rule.input(1)?.clone()];
    for (operand, (turn, turn_batch)) in operands.iter_mut().zip(TURNS) {
        if let Some(order) = order(rule.node, operand.shape.len(), turn, turn_batch) {
            operand.shape = order.iter().map(|axis| operand.shape[*axis].clone()).collect::<Vec<Length>>();
        }
    }
    mat_mul::product(rule, &operands[0], &operands[1])
}

pub(super) fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let mut operands = [node.input(0)?, node.input(1)?];
    for (operand, (turn, turn_batch)) in operands.iter_mut().zip(TURNS) {
        let rank = node.graph.shape(*operand)?.len();
        if let Some(order) = order(&node.node, rank, turn, turn_batch) {
            let order: Vec<i64> = order.into_iter().map(|axis| axis as i64).collect();
            *operand = node.graph.transpose(*operand, &order)?;
        }
    }
    let product = node.graph.add("MatMul", &operands, &[])?;
    Ok(vec![match node.node.float("alpha") {
        Some(alpha) if alpha != 1.0 => {
            let alpha = node.graph.scalar(alpha);
            node.graph.times(product, alpha)?
        }
        _ => product,
    }])
}
