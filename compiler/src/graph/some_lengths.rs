//! Whether a node fits with some lengths for what is open in its inputs: then what its rule refuses is what names leave open.

use std::collections::BTreeMap;

use super::{Constant, Graph, Integers, Known, Length, Node, ValueId};

/// Lengths that are tried for each name.
const TRIED: [i64; 6] = [1, 2, 7, 14, 16, 512];
/// And for one that must have one length, at most so many of those that the inputs have.
const MOST_OF_INPUTS: usize = 12;

impl Graph {
    /// Whether a node whose rule refuses it fits with several of the lengths that are tried for the names in its inputs, so that it is not
    /// one length alone that it fits with.
    pub(crate) fn fits_some_lengths(&self, node: &Node, outputs: usize) -> bool {
        let inputs: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
        let known: Vec<Length> = inputs.iter().flat_map(|input| self.lengths_in(*input)).collect();
        let mut names: Vec<&str> = known.iter().flat_map(Length::names).collect();
        names.sort_unstable();
        names.dedup();
        let Some((first, rest)) = names.split_first() else { return false };
        let others = if rest.is_empty() { &TRIED[..1] } else { &TRIED };
        let fits = |own: i64, others: i64| {
            let length = |name: &str| match name == *first {
                true => Some(Length::number(own)),
                false => rest.contains(&name).then(|| Length::number(others)),
            };
            self.fits_with(node, outputs, &length)
        };
        let tried = TRIED.iter().flat_map(|own| others.iter().map(move |others| (*own, *others)));
        let fitting: Vec<(i64, i64)> = tried.filter(|(own, others)| fits(*own, *others)).collect();
        let Some((own, others)) = fitting.first() else { return false };
        fitting.iter().any(|(other, _)| other != own)
            && (rest.is_empty() || fitting.iter().any(|(_, other)| other != others))
    }

    /// The one length above one, of those that are in a node's inputs, that it fits with for this name, where its rule refuses it with others.
    pub(crate) fn only_length(&self, node: &Node, outputs: usize, name: &str) -> Option<usize> {
        let inputs = node.inputs.iter().flatten();
        let known: Vec<Length> = inputs.flat_map(|input| self.lengths_in(*input)).collect();
        if !known.iter().any(|length| length.names().contains(&name)) || self.types_of(node, outputs)?.is_ok() {
            return None;
        }
        let mut tried: Vec<i64> = known.iter().filter_map(Length::as_number).filter(|number| *number > 1).collect();
        tried.sort_unstable();
        tried.dedup();
        tried.truncate(MOST_OF_INPUTS);
        let fits = |own: i64| {
            let length = |other: &str| (other == name).then(|| Length::number(own));
            self.fits_with(node, outputs, &length)
        };
        let fitting: Vec<i64> = tried.into_iter().chain([1]).filter(|length| fits(*length)).collect();
        match fitting.as_slice() {
            [only] if *only > 1 => usize::try_from(*only).ok(),
            _ => None,
        }
    }

    /// The lengths of a value's axes, and those that are its elements.
    fn lengths_in(&self, value: ValueId) -> Vec<Length> {
        let shape = self.tensor_type(value).map_or_else(Vec::new, |known| known.shape.clone());
        let elements = self.integers_of(value).filter(|integers| integers.shape.len() < 2);
        [shape, elements.map_or_else(Vec::new, |integers| integers.elements)].concat()
    }

    fn fits_with(&self, node: &Node, outputs: usize, length: &dyn Fn(&str) -> Option<Length>) -> bool {
        let mut trial = Self::of(self.opset, self.operators.clone());
        trial.other_opsets.clone_from(&self.other_opsets);
        trial.file_opset = self.file_opset;
        let mut values: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        for input in node.inputs.iter().flatten() {
            let name = self.name(*input);
            let value = match self.constant_of(*input) {
                Some(constant) => trial.constant(name, constant.clone()),
                None => trial.untyped_input(name, self.tensor_type(*input).map(|known| known.with(length))),
            };
            if let Some(integers) = self.integers_of(*input).filter(|_| self.constant_of(*input).is_none()) {
                trial.set_known(value, with_lengths(&integers, length));
            }
            values.entry(*input).or_insert(value);
        }
        let mut tried = node.clone();
        tried.inputs.iter_mut().flatten().for_each(|input| *input = values[input]);
        trial.types_of(&tried, outputs).is_some_and(|types| types.is_ok())
    }
}

fn with_lengths(integers: &Integers, length: &dyn Fn(&str) -> Option<Length>) -> Known {
    let elements: Vec<Length> = integers.elements.iter().map(|element| element.with(length)).collect();
    let numbers: Option<Vec<i64>> = elements.iter().map(Length::as_number).collect();
    match numbers.filter(|_| integers.dtype == super::ElementType::I64) {
        Some(numbers) => Known::Constant(Constant::i64(integers.shape.clone(), &numbers)),
        None => Known::Integers(Integers { elements, ..integers.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::TensorType;
    use crate::operators::OperatorCatalog;

    #[test]
    fn a_node_that_takes_one_of_the_lengths_that_are_tried_and_no_other_is_refused_like_any_other_length() {
        let fits = |operator: &str, shape: [usize; 2]| {
            let mut graph = Graph::new(17, OperatorCatalog::standard());
            let x = graph.input("x", TensorType::f32([2.into(), Length::named("sequence")]));
            let other = graph.input("other", TensorType::f32(shape));
            let inputs = vec![Some(x), Some(other)];
            graph.fits_some_lengths(&Node { operator: operator.into(), inputs, ..Node::default() }, 1)
        };
        for length in [7, 12, 16] {
            assert!(!fits("MatMul", [length, 4]), "{length}");
        }
        assert!(fits("Add", [2, 1]));
    }
}
