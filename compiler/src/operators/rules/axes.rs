use crate::graph::{Constant, Graph, Length, Node};

/// The integers that an input of a node always holds, if it is given and constant.
pub(crate) fn integers_of(graph: &Graph, node: &Node, index: usize) -> Option<Vec<i64>> {
    node.input(index).and_then(|id| graph.constant_of(id)).and_then(Constant::to_i64)
}

/// An axis counted from the front; negative ones count from the end.
pub(crate) fn from_front(axis: i64, rank: usize) -> Result<usize, String> {
    let counted = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(counted).ok().filter(|axis| *axis < rank).ok_or_else(|| format!("axis {axis} of {rank} axes"))
}

/// Several axes counted from the front, ascending; refused when one is named twice.
pub(crate) fn all_from_front(axes: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut found = axes.iter().map(|axis| from_front(*axis, rank)).collect::<Result<Vec<usize>, String>>()?;
    found.sort_unstable();
    match found.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("axis {} is named twice", pair[0])),
        None => Ok(found),
    }
}

/// A length or count that must not be negative.
pub(crate) fn length(value: i64) -> Result<usize, String> {
    usize::try_from(value).map_err(|_| format!("a length of {value}"))
}

/// Number of elements, if it can be counted.
pub(crate) fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, length| product.checked_mul(*length))
}

/// Lengths of axes, none of which may be negative.
pub(crate) fn lengths(values: Vec<Length>) -> Result<Vec<Length>, String> {
    match values.iter().find(|value| value.as_number().is_some_and(i64::is_negative)) {
        Some(value) => Err(format!("a length of {value}")),
        None => Ok(values),
    }
}

/// The order that undoes a permutation.
pub(crate) fn inverse(order: &[usize]) -> Vec<i64> {
    let mut inverse = vec![0; order.len()];
    for (to, from) in order.iter().enumerate() {
        inverse[*from] = to as i64;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_out_of_range_are_refused() {
        assert_eq!(from_front(-1, 3), Ok(2));
        assert!(from_front(3, 3).is_err() && from_front(-4, 3).is_err() && from_front(i64::MIN, 3).is_err());
        assert_eq!(all_from_front(&[-1, 0], 3), Ok(vec![0, 2]));
        assert!(all_from_front(&[-1, 2], 3).is_err());
    }

    #[test]
    fn inverse_undoes() {
        assert_eq!(inverse(&[2, 0, 1]), [1, 2, 0]);
    }
}
