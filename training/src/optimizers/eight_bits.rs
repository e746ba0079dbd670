use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Constant, Graph, ValueId};

use super::dynamic_map::{BLOCK, DynamicMap};
use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::{StateStart, StateValues};

/// What is remembered by a rule of single elements, as codes of a byte with a scale for each block: an update decodes it, goes
/// as the rule does, in floats, and codes what is new.
#[derive(Clone, Copy, Debug)]
pub(super) struct EightBits<R> {
    /// The rule; its state is of the parameter's shape and zero at first.
    pub(super) rule: R,
    /// Parameters of fewer numbers go as the rule says, with a state of floats.
    pub(super) min_8bit_size: usize,
}

/// The name of the scales of a state tensor, and the map of its codes.
fn coded(name: &str) -> (&'static str, &'static DynamicMap) {
    match name {
        "mean" => ("mean_scale", DynamicMap::signed()),
        "mean_of_squares" => ("mean_of_squares_scale", DynamicMap::unsigned()),
        "momentum" => ("momentum_scale", DynamicMap::signed()),
        other => unreachable!("no rule in eight bits remembers `{other}`"),
    }
}

impl<R: UpdateRule> EightBits<R> {
    /// Blocks of a parameter whose state is codes; nothing of one that goes as the rule says.
    fn blocks(&self, facts: ParameterFacts<'_>) -> Option<usize> {
        let elements = facts.shape.iter().product::<usize>();
        (elements >= self.min_8bit_size.max(1)).then(|| elements.div_ceil(BLOCK))
    }

    fn maps(&self, facts: ParameterFacts<'_>) -> Vec<&'static DynamicMap> {
        self.rule.state(facts).iter().map(|tensor| coded(tensor.name).1).collect()
    }
}

impl<R: UpdateRule> UpdateRule for EightBits<R> {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        let plain = self.rule.state(facts);
        let Some(blocks) = self.blocks(facts) else { return plain };
        let codes = |tensor: &StateTensor| {
            let (scale, map) = coded(tensor.name);
            [
                StateTensor { name: tensor.name, shape: vec![blocks, BLOCK], start: StateStart::U8(map.zero()) },
                StateTensor { name: scale, shape: vec![blocks, 1], start: StateStart::F32(0.0) },
            ]
        };
        plain.iter().flat_map(codes).collect()
    }

    /// Those of the rule.
    fn coefficients(&self, step: u64, learning_rate: f32) -> Vec<f32> {
        self.rule.coefficients(step, learning_rate)
    }

    fn update(
        &self,
        coefficients: &[f32],
        facts: ParameterFacts<'_>,
        scale: f32,
        parameter: &mut [f32],
        gradient: &[f32],
        state: &mut [StateValues],
    ) {
        if self.blocks(facts).is_none() {
            return self.rule.update(coefficients, facts, scale, parameter, gradient, state);
        }
        let maps = self.maps(facts);
        let mut floats = vec![StateValues::F32(vec![0.0; BLOCK]); maps.len()];
        let blocks = parameter.chunks_mut(BLOCK).zip(gradient.chunks(BLOCK));
        for (block, (values, gradient)) in blocks.enumerate() {
            for ((map, floats), coded) in maps.iter().zip(&mut floats).zip(state.chunks_exact_mut(2)) {
                let [codes, scales] = coded else { unreachable!("codes and scales") };
                let scale = scales.floats_mut()[block];
                let codes = &codes.bytes_mut()[block * BLOCK..(block + 1) * BLOCK];
                let decoded = floats.floats_mut().iter_mut().zip(codes);
                decoded.for_each(|(value, code)| *value = map.number(*code) * scale);
            }
            self.rule.update(coefficients, facts, scale, values, gradient, &mut floats);
            for ((map, floats), coded) in maps.iter().zip(&floats).zip(state.chunks_exact_mut(2)) {
                let [codes, scales] = coded else { unreachable!("codes and scales") };
                let codes = &mut codes.bytes_mut()[block * BLOCK..(block + 1) * BLOCK];
                map.quantize(floats.floats(), codes, &mut scales.floats_mut()[block]);
            }
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let Some(blocks) = self.blocks(inputs.facts) else { return self.rule.nodes(graph, inputs) };
        let (maps, shape) = (self.maps(inputs.facts), inputs.facts.shape);
        let elements = shape.iter().product::<usize>();
        let missing = blocks * BLOCK - elements;
        let mut state = Vec::with_capacity(maps.len());
        for (map, coded) in maps.iter().zip(inputs.state.chunks_exact(2)) {
            let numbers = map.number_nodes(graph, coded[0], coded[1])?;
            let mut numbers = graph.reshape(numbers, &[blocks * BLOCK])?;
            if missing > 0 {
                numbers = graph.slice(numbers, &[0], &[0_usize], &[elements], &[1])?;
            }
            state.push(graph.reshape(numbers, shape)?);
        }
        let plain = NodeInputs {
            coefficients: inputs.coefficients,
            facts: inputs.facts,
            parameter: inputs.parameter,
            gradient: inputs.gradient,
            state: &state,
        };
        let (parameter, new) = self.rule.nodes(graph, &plain)?;
        let mut codes = Vec::with_capacity(2 * new.len());
        for (map, values) in maps.iter().zip(new) {
            let mut values = graph.reshape(values, &[elements])?;
            if missing > 0 {
                let zeros = graph.constant("zeros", Constant::f32([missing], &vec![0.0; missing]));
                values = graph.add("Concat", &[values, zeros], &[("axis", 0.into())])?;
            }
            let values = graph.reshape(values, &[blocks, BLOCK])?;
            codes.extend(map.quantize_nodes(graph, values)?);
        }
        Ok((parameter, codes))
    }
}
