use std::collections::BTreeMap;

use crate::graph::{Graph, Length, ValueId};

/// How many places of a computed sequence `[batch, places, …]` are a row's, by the lengths that the row has in the inputs: where a
/// layer halves the time, half of them.
#[derive(Clone, Debug, Default)]
pub struct RowPlaces {
    /// Nothing where no rule tells it.
    places: Option<Length>,
    /// Of each name in it the inputs `[batch, length, …]` that are as long as it says.
    inputs: BTreeMap<String, Vec<String>>,
}

impl RowPlaces {
    /// Of a sequence that a graph computes from these inputs.
    pub(crate) fn of(graph: &Graph, inputs: &[ValueId], sequence: ValueId) -> Self {
        let second = |value: ValueId| graph.tensor_type(value).and_then(|known| known.shape.get(1));
        let places = second(sequence).cloned();
        let names: Vec<String> = places.iter().flat_map(Length::names).map(str::to_owned).collect();
        let as_long = |name: &str| -> Vec<String> {
            let wanted = Length::named(name);
            let found = inputs.iter().filter(|input| second(**input) == Some(&wanted));
            found.map(|input| graph.name(*input).to_owned()).collect()
        };
        let inputs = names.into_iter().map(|name| (name.clone(), as_long(&name))).collect();
        Self { places, inputs }
    }

    /// The places of a row, where `length` tells how long it is in an input, by the input's name; none for a row that is too short for
    /// any. Nothing where that does not follow from the lengths that are told.
    pub fn of_row(&self, length: &dyn Fn(&str) -> Option<usize>) -> Option<usize> {
        let known = |name: &str| self.inputs.get(name)?.iter().find_map(|input| length(input)).map(Length::from);
        let places = self.places.as_ref()?.with(&known).as_number()?;
        Some(usize::try_from(places).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::TensorType;
    use crate::operators::OperatorCatalog;

    #[test]
    fn a_layer_that_halves_the_time_halves_that_of_each_row() {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let (batch, time) = (Length::named("batch"), Length::named("time"));
        let sound = graph.input("sound", TensorType::f32([batch.clone(), time.clone(), 3.into()]));
        let mask = graph.input("mask", TensorType::f32([batch.clone(), time.clone()]));
        let other = graph.input("other", TensorType::f32([batch.clone(), 3.into()]));
        let inputs = [sound, mask, other];
        let halved = (&time + 1).quotient(&2.into());
        let scores = graph.input("scores", TensorType::f32([batch.clone(), halved, 5.into()]));
        let places = RowPlaces::of(&graph, &inputs, scores);
        let of_row = |places: &RowPlaces, input: &str, length: usize| {
            places.of_row(&|name: &str| (name == input).then_some(length))
        };
        for (length, wanted) in [(1, 1), (2, 1), (7, 4), (8, 4)] {
            assert_eq!(of_row(&places, "sound", length), Some(wanted));
            assert_eq!(of_row(&places, "mask", length), Some(wanted));
        }
        assert_eq!(of_row(&places, "other", 7), None);
        let cut = graph.input("cut", TensorType::f32([batch.clone(), &time - 4, 5.into()]));
        assert_eq!(of_row(&RowPlaces::of(&graph, &inputs, cut), "sound", 3), Some(0));
        let fixed = graph.input("fixed", TensorType::f32([batch, 6.into()]));
        assert_eq!(of_row(&RowPlaces::of(&graph, &inputs, fixed), "other", 3), Some(6));
        assert_eq!(of_row(&RowPlaces::default(), "sound", 3), None);
    }
}
