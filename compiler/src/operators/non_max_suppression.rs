use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_integers, varied, varied_in};
use crate::CompilerError;
use crate::graph::{ElementType, TensorType};

/// `NonMaxSuppression`: the boxes that are kept, three indices each: `[boxes, 3]`. How many there are is known before the run
/// where none may be kept.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "NonMaxSuppression",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero("it names boxes by whole numbers"),
    samples: || {
        let inputs = || vec![varied_in(&[1, 6, 4], 0.0, 1.0), varied(&[1, 2, 6])];
        let none = [inputs(), vec![fixed_integers(&[0])]].concat();
        vec![Sample::new("no number of boxes", inputs(), vec![]), Sample::new("none of a class", none, vec![])]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (boxes, scores) = (rule.input(0)?, rule.input(1)?);
    let ([_, count, four], [_, _, scored]) = (boxes.shape.as_slice(), scores.shape.as_slice()) else {
        return Err(rule.error(format!("boxes {boxes} with scores {scores}")));
    };
    if *four != 4 || count.as_number().zip(scored.as_number()).is_some_and(|(count, scored)| count != scored) {
        return Err(rule.error(format!("boxes {boxes} with scores {scores}")));
    }
    match rule.integers(2) {
        Some(most) if most != [0] => Err(rule.not_known(0)),
        None if rule.node.input(2).is_some() => Err(rule.not_known(2)),
        _ => Ok(vec![TensorType::new(ElementType::I64, [0usize, 3])]),
    }
}
