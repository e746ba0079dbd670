use std::collections::HashMap;

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::ParameterEntry;

use super::rule::{ParameterFacts, UpdateRule};

/// What is updated by nodes of its own: a parameter, or several that are rows of one matrix. A device takes about as long to
/// start a small kernel as a large one, and most parameters of most models are small.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    /// Places of the parameters among all, in the order of their rows.
    pub(super) parameters: Vec<usize>,
    /// Length of each axis of what is updated.
    pub(super) shape: Vec<usize>,
}

/// How long rows may be: all parameters of a part have rows of the longest of these that divides their elements. Kernels that
/// join and split tensors look up the tensor of each row.
const WIDTHS: [usize; 4] = [512, 64, 8, 1];
/// At most so many elements and rows are joined, which bounds the memory of what is computed on the way.
const MOST_ELEMENTS: usize = 1 << 23;
const MOST_ROWS: usize = 1 << 16;

/// What parameters of a part have in common.
#[derive(PartialEq, Eq, Hash)]
struct Alike {
    width: usize,
    cohort: usize,
    multiplier: u32,
    decays: bool,
    weight_decay: Option<u32>,
}

impl Part {
    /// All parameters but running statistics, in parts of equal facts.
    pub(super) fn of_all(rule: &dyn UpdateRule, entries: &[ParameterEntry], cohorts: &[usize]) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        let mut open: HashMap<Alike, usize> = HashMap::new();
        for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| !entry.is_statistic) {
            let elements = entry.shape.iter().product::<usize>();
            let width = WIDTHS.into_iter().find(|width| elements.is_multiple_of(*width)).unwrap_or(1);
            let rows = elements / width;
            if !rule.is_elementwise() || elements == 0 || elements > MOST_ELEMENTS / 2 || rows > MOST_ROWS / 2 {
                parts.push(Self { parameters: vec![index], shape: entry.shape.clone() });
                continue;
            }
            let facts = ParameterFacts::from(entry);
            let key = Alike {
                width,
                cohort: cohorts.get(index).copied().unwrap_or(0),
                multiplier: facts.learning_rate_multiplier.to_bits(),
                decays: facts.decays,
                weight_decay: facts.weight_decay.map(f32::to_bits),
            };
            let fits =
                |part: &Self| part.shape[0] + rows <= MOST_ROWS && (part.shape[0] + rows) * width <= MOST_ELEMENTS;
            match open.get(&key).copied().filter(|at| fits(&parts[*at])) {
                Some(at) => {
                    parts[at].parameters.push(index);
                    parts[at].shape[0] += rows;
                }
                None => {
                    open.insert(key, parts.len());
                    parts.push(Self { parameters: vec![index], shape: vec![rows, width] });
                }
            }
        }
        for part in &mut parts {
            if let [only] = part.parameters[..] {
                part.shape = entries[only].shape.clone();
            }
        }
        parts
    }

    /// What is fixed for all of its parameters, of the shape of what is updated.
    pub(super) fn facts<'a>(&'a self, entries: &'a [ParameterEntry]) -> ParameterFacts<'a> {
        ParameterFacts { shape: &self.shape, ..ParameterFacts::from(&entries[self.parameters[0]]) }
    }

    /// One tensor for each parameter as the part's one.
    pub(super) fn joined(&self, graph: &mut Graph, values: &[ValueId]) -> Result<ValueId, CompilerError> {
        if let [only] = values {
            return Ok(*only);
        }
        let mut rows = Vec::with_capacity(values.len());
        for value in values {
            let elements = graph.known_type(*value)?.elements().fixed().unwrap_or(0);
            rows.push(graph.reshape(*value, &[elements / self.shape[1], self.shape[1]])?);
        }
        graph.concat(&rows, 0)
    }

    /// The part's one tensor as one for each parameter, of these shapes.
    pub(super) fn split(
        &self,
        graph: &mut Graph,
        value: ValueId,
        entries: &[ParameterEntry],
    ) -> Result<Vec<ValueId>, CompilerError> {
        if let [_] = self.parameters[..] {
            return Ok(vec![value]);
        }
        let shapes: Vec<&[usize]> = self.parameters.iter().map(|index| entries[*index].shape.as_slice()).collect();
        let rows = shapes.iter().map(|shape| (shape.iter().product::<usize>() / self.shape[1]) as i64);
        let rows = graph.integers(&rows.collect::<Vec<i64>>());
        let split = graph.add_with("Split", &[Some(value), Some(rows)], &[("axis", 0.into())], shapes.len())?;
        split.into_iter().zip(shapes).map(|(value, shape)| graph.reshape(value, shape)).collect()
    }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::choice::Choice;
    use serde_json::json;

    use super::*;
    use crate::optimizers::{Optimizer, standard};

    fn entry(shape: &[usize], decays: bool) -> ParameterEntry {
        ParameterEntry {
            name: "weight".into(),
            shape: shape.to_vec(),
            gradient: "weight.gradient".into(),
            layer: "layer".into(),
            learning_rate_multiplier: 1.0,
            weight_decay: decays,
            weight_decay_strength: None,
            is_statistic: false,
        }
    }

    fn parts(optimizer: &str, entries: &[ParameterEntry], cohorts: &[usize]) -> Vec<(Vec<usize>, Vec<usize>)> {
        let choice = Choice::new(optimizer, json!({}));
        let optimizer = Optimizer::choose(standard(), &choice, "training.optimizer").unwrap();
        let found = Part::of_all(optimizer.rule().as_ref(), entries, cohorts);
        found.into_iter().map(|part| (part.parameters, part.shape)).collect()
    }

    #[test]
    fn parameters_of_equal_facts_and_like_lengths_are_one_part() {
        let entries = [
            entry(&[16, 64], true),
            entry(&[64], false),
            entry(&[8, 128], true),
            entry(&[64, 3], false),
            entry(&[5], false),
            entry(&[4096, 2048], true),
        ];
        let found = parts("adamw", &entries, &[]);
        let wanted: [(&[usize], &[usize]); 4] =
            [(&[0, 2], &[4, 512]), (&[1, 3], &[4, 64]), (&[4], &[5]), (&[5], &[4096, 2048])];
        assert_eq!(found, wanted.map(|(parameters, shape)| (parameters.to_vec(), shape.to_vec())));
        // frozen at other times, and not updated element by element
        assert_eq!(parts("adamw", &entries, &[0, 0, 1, 1, 0, 0]).len(), 6);
        assert_eq!(parts("muon", &entries, &[]).len(), 6);
    }

    #[test]
    fn a_part_is_bounded() {
        let entries = vec![entry(&[1024, 1024], true); 20];
        let found = parts("sgd", &entries, &[]);
        assert_eq!(found.iter().map(|(parameters, _)| parameters.len()).collect::<Vec<_>>(), [8, 8, 4]);
    }
}
