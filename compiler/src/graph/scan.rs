//! Steps along the first axis of sequences, one after another: `Scan`.

use super::{Attribute, Body, Graph, Length, Node, TensorType, ValueId};
use crate::CompilerError;

/// What a [`Graph::scan`] reads.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    /// Where each state begins.
    pub states: Vec<ValueId>,
    /// Sequences of the same length; each step reads one entry of each.
    pub sequences: Vec<ValueId>,
    /// Values that each step reads whole.
    pub outer: Vec<ValueId>,
    /// Whether it begins with the last entry.
    pub from_last: bool,
}

/// What one step makes.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// The states for the next step, of the same types.
    pub states: Vec<ValueId>,
    /// One entry of each sequence that is made.
    pub entries: Vec<ValueId>,
}

impl Graph {
    /// Goes through sequences step by step. `build` adds the nodes of one step to a graph of their own, given the states,
    /// the entries of the sequences and the values from outside, in one list. Returns the states after the last step, and
    /// the sequences made, each entry at the place of those it was made from.
    ///
    /// # Errors
    /// Those of `build`; the sequences differ in length, or a state changes its type.
    pub fn scan(
        &mut self,
        steps: &Steps,
        build: impl FnOnce(&mut Self, &[ValueId]) -> Result<Step, CompilerError>,
    ) -> Result<Vec<ValueId>, CompilerError> {
        let length = self.length_of_all(&steps.sequences)?;
        let mut body = self.apart();
        let mut given = Vec::new();
        for (what, values) in [("state", &steps.states), ("entry", &steps.sequences), ("outer", &steps.outer)] {
            for (at, value) in values.iter().enumerate() {
                let mut known = self.known_type(*value)?.clone();
                if what == "entry" {
                    known.shape.remove(0);
                }
                given.push(body.input(&format!("{what}_{at}"), known));
            }
        }
        let step = build(&mut body, &given)?;
        if step.states.len() != steps.states.len() {
            return Err(wrong(format!("{} states become {}", steps.states.len(), step.states.len())));
        }
        let (mut types, mut outputs) = (Vec::new(), Vec::new());
        for value in step.states.iter().chain(&step.entries) {
            let mut made = body.known_type(*value)?.clone();
            match steps.states.get(types.len()) {
                Some(state) => {
                    let wanted = self.known_type(*state)?;
                    if !wanted.agrees_with(&made) {
                        return Err(wrong(format!("a state of type {wanted} becomes {made}")));
                    }
                    made = wanted.clone();
                }
                None => made.shape.insert(0, length.clone()),
            }
            types.push(made);
            // an output has a name of its own
            let is_named = given.contains(value) || outputs.contains(value);
            outputs.push(if is_named { body.add("Identity", &[*value], &[])? } else { *value });
        }
        body.set_outputs(&outputs);
        let proto = body.model_proto("step").graph.unwrap_or_default();
        Ok(self.add_scan(steps, Body::new(proto, steps.outer.len()), types))
    }

    fn add_scan(&mut self, steps: &Steps, body: Body, types: Vec<TensorType>) -> Vec<ValueId> {
        let outputs: Vec<ValueId> = types.into_iter().map(|made| self.value("Scan", Some(made))).collect();
        let (read, made) = (steps.sequences.len(), outputs.len() - steps.states.len());
        let direction = i64::from(steps.from_last);
        let attributes = [
            ("body", Attribute::Body(body)),
            ("num_scan_inputs", Attribute::Int(read as i64)),
            ("scan_input_directions", Attribute::Ints(vec![direction; read])),
            ("scan_output_directions", Attribute::Ints(vec![direction; made])),
        ];
        let inputs = [steps.states.as_slice(), &steps.sequences, &steps.outer].concat();
        self.push_node(Node {
            name: outputs.first().map_or_else(String::new, |first| self.name(*first).to_owned()),
            operator: "Scan".to_owned(),
            domain: String::new(),
            inputs: inputs.into_iter().map(Some).collect(),
            outputs: outputs.iter().copied().map(Some).collect(),
            attributes: attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            metadata: Vec::new(),
        });
        outputs
    }

    /// The length of the first axis of sequences.
    fn length_of_all(&self, sequences: &[ValueId]) -> Result<Length, CompilerError> {
        let mut length: Option<Length> = None;
        for sequence in sequences {
            let known = self.known_type(*sequence)?;
            let own = known.shape.first().ok_or_else(|| wrong(format!("a sequence of type {known}")))?;
            match &length {
                Some(length) if !length.agrees_with(own) => {
                    return Err(wrong(format!("sequences of lengths {length} and {own}")));
                }
                Some(_) => {}
                None => length = Some(own.clone()),
            }
        }
        length.ok_or_else(|| wrong("no sequence to go through".into()))
    }
}

fn wrong(message: String) -> CompilerError {
    CompilerError::Node { node: "Scan".into(), operator: "Scan".into(), message }
}
