use super::{Gradient, Operator, Sample, TypeRuleInput, folding, varied};
use crate::CompilerError;
use crate::graph::{ElementType, Length, TensorType};

/// `Shape`: the lengths of the axes from `start` to `end`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Shape",
    opsets: 13..=25,
    weights: &[],
    types: |rule| Ok(vec![TensorType::new(ElementType::I64, [lengths(rule)?.len()])]),
    fold: Some(|rule| {
        let lengths = lengths(rule)?;
        Ok(folding::from_elements(ElementType::I64, &[lengths.len()], lengths))
    }),
    gradient: Gradient::Zero("a shape does not depend on values"),
    samples: || {
        let part = vec![("start", 1.into()), ("end", (-1).into())];
        vec![
            Sample::new("all", vec![varied(&[2, 3, 4])], vec![]),
            Sample::new("part", vec![varied(&[2, 3, 4, 5])], part).since(15),
            Sample::new("nothing", vec![varied(&[2, 3])], vec![("start", 5.into())]).since(15),
        ]
    },
};

fn lengths(rule: &TypeRuleInput<'_>) -> Result<Vec<Length>, CompilerError> {
    let shape = &rule.input(0)?.shape;
    let rank = shape.len() as i64;
    let bound = |name: &str, default: i64| {
        let value = rule.node.int(name).unwrap_or(default);
        (if value < 0 { value.saturating_add(rank) } else { value }).clamp(0, rank) as usize
    };
    let (start, end) = (bound("start", 0), bound("end", rank));
    Ok(shape.get(start..end).unwrap_or_default().to_vec())
}
