//! Samples of recurrent layers: directions, states at the beginning, rows of their own lengths.

use crate::graph::{Attribute, Constant, ElementType};
use crate::operators::{Sample, SampleInput, varied};

const STEPS: usize = 4;
const BATCH: usize = 3;
const INNER: usize = 2;
const HIDDEN: usize = 5;

/// Of a layer with this many gates and states, the last with other activations than usual.
pub(crate) fn samples(gates: usize, states: usize, activations: &[&'static str]) -> Vec<Sample> {
    let inputs = |directions: usize, lengths: Option<[i32; BATCH]>, is_whole: bool| {
        let wide = gates * HIDDEN;
        let mut inputs = vec![
            varied(&[STEPS, BATCH, INNER]),
            varied(&[directions, wide, INNER]),
            varied(&[directions, wide, HIDDEN]),
        ];
        if is_whole {
            inputs.push(varied(&[directions, 2 * wide]));
            inputs.push(lengths.map_or(SampleInput::Absent, |lengths| {
                let bytes: Vec<u8> = lengths.iter().flat_map(|length| length.to_le_bytes()).collect();
                SampleInput::Fixed(Constant { dtype: ElementType::I32, shape: vec![BATCH], bytes: bytes.into() })
            }));
            inputs.extend(vec![varied(&[directions, BATCH, HIDDEN]); states]);
        }
        inputs
    };
    let attributes = |direction: &str| vec![("direction", direction.into()), ("hidden_size", (HIDDEN as i64).into())];
    let all = 1 + states;
    let own_lengths = Some([4, 1, 3]);
    let mut others = attributes("forward");
    others.push(("activations", Attribute::Strings(activations.iter().map(|name| (*name).into()).collect())));
    vec![
        Sample::new("forward", inputs(1, None, false), attributes("forward")),
        Sample::new("biases and states", inputs(1, None, true), attributes("forward")).with_outputs(all),
        Sample::new("reverse", inputs(1, None, true), attributes("reverse")).with_outputs(all),
        Sample::new("both directions", inputs(2, None, true), attributes("bidirectional")).with_outputs(all),
        Sample::new("rows of their own lengths", inputs(2, own_lengths, true), attributes("bidirectional"))
            .with_outputs(all),
        Sample::new("other activations", inputs(1, None, true), others).with_outputs(all),
    ]
}
