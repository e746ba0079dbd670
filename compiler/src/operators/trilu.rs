use super::{
    Gradient, Operator, Sample, SampleInput, TypeRuleInput, fixed_integer, fixed_integers_of, folding, varied,
};
use crate::CompilerError;
use crate::graph::{Known, Length, TensorType};

/// `Trilu`: the upper or lower triangle of matrices from the diagonal `k` on, zeros elsewhere. dx: that triangle of dy.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Trilu",
    opsets: 14..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Defined(|b| {
        let dy = b.dy()?;
        let inputs = [Some(dy), b.node.input(1)];
        let inputs = if inputs[1].is_some() { &inputs[..] } else { &inputs[..1] };
        let dx = b.graph.add_with("Trilu", inputs, &[("upper", is_upper(b.node.int("upper")).into())], 1)?[0];
        b.give(0, dx)
    }),
    samples: || {
        let lower = || vec![("upper", 0.into())];
        let integers = || fixed_integers_of(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        let with = |x: SampleInput, k: i64| vec![x, fixed_integer(k)];
        vec![
            Sample::new("upper", vec![varied(&[3, 4])], vec![]),
            Sample::new("lower of a batch", with(varied(&[2, 4, 3]), -1), lower()),
            Sample::new("above the diagonal", with(varied(&[3, 3]), 1), vec![]),
            Sample::new("beyond the matrix", with(varied(&[2, 2]), 5), lower()),
            Sample::new("integers", vec![integers()], vec![]),
            Sample::new("integers below", with(integers(), 1), lower()),
        ]
    },
};

pub(super) fn is_upper(attribute: Option<i64>) -> i64 {
    i64::from(attribute.unwrap_or(1) != 0)
}

pub(super) fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    if x.shape.len() < 2 {
        return Err(rule.error(format!("{x} holds no matrices")));
    }
    Ok(vec![x.clone()])
}

pub(super) fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let diagonal = match rule.node.input(1) {
        Some(_) => rule.integers(1).and_then(|k| k.first().copied()),
        None => Some(0),
    };
    types(rule)?;
    let Some((source, diagonal)) = folding::integer_input(rule, 0).zip(diagonal) else { return Ok(None) };
    let (columns, rows) = (source.shape[source.shape.len() - 1], source.shape[source.shape.len() - 2]);
    let upper = is_upper(rule.node.int("upper")) != 0;
    let kept = |(at, element): (usize, &Length)| {
        let (row, column) = ((at / columns % rows) as i64, (at % columns) as i64);
        let is_kept = if upper { column - row >= diagonal } else { column - row <= diagonal };
        if is_kept { element.clone() } else { 0.into() }
    };
    let elements = source.elements.iter().enumerate().map(kept).collect();
    Ok(folding::from_elements(source.dtype, &source.shape, elements))
}
