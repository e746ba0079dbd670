//! Samples of recurrent layers: directions, states at the beginning, rows of their own lengths, clips and activations.

use crate::graph::{Attribute, Constant, ElementType};
use crate::operators::{Sample, SampleInput, varied};

/// How long the axes of a sample are.
#[derive(Clone, Copy)]
struct Sizes {
    steps: usize,
    batch: usize,
    inner: usize,
    hidden: usize,
}

const USUAL: Sizes = Sizes { steps: 4, batch: 3, inner: 2, hidden: 5 };
/// So few numbers that none of those that activations with a kink see lies beside it.
const SMALL: Sizes = Sizes { steps: 3, batch: 2, inner: 3, hidden: 2 };

/// The activations that have numbers of their own or a slope that their result does not tell, with α and β.
const ACTIVATIONS: [(&str, Option<f32>, Option<f32>); 8] = [
    ("Affine", Some(0.7), Some(0.2)),
    ("LeakyRelu", Some(0.3), None),
    ("ThresholdedRelu", Some(0.25), None),
    ("ScaledTanh", Some(1.2), Some(0.8)),
    ("HardSigmoid", Some(0.4), Some(0.3)),
    ("Elu", Some(0.6), None),
    ("Softsign", None, None),
    ("Softplus", None, None),
];

const OWN_LENGTHS: Option<&[i32]> = Some(&[4, 1, 3]);
const WITHOUT_STEPS: Option<&[i32]> = Some(&[4, 0, 3]);

type Attributes = Vec<(&'static str, Attribute)>;

/// Of a layer with this many gates and states, the last with other activations than usual.
pub(crate) fn samples(gates: usize, states: usize, activations: &[&'static str]) -> Vec<Sample> {
    let inputs = |directions: usize, lengths: Option<&[i32]>, is_whole: bool| {
        inputs(USUAL, (gates, states), directions, lengths, is_whole)
    };
    let attributes = |direction: &'static str| attributes(USUAL, direction);
    let clipped = |direction: &'static str| [attributes(direction), vec![("clip", 0.5.into())]].concat();
    let all = 1 + states;
    let others = [attributes("forward"), vec![("activations", names(activations))]].concat();
    vec![
        Sample::new("forward", inputs(1, None, false), attributes("forward")),
        Sample::new("biases and states", inputs(1, None, true), attributes("forward")).with_outputs(all),
        Sample::new("reverse", inputs(1, None, true), attributes("reverse")).with_outputs(all),
        Sample::new("both directions", inputs(2, None, true), attributes("bidirectional")).with_outputs(all),
        Sample::new("rows of their own lengths", inputs(2, OWN_LENGTHS, true), attributes("bidirectional"))
            .with_outputs(all),
        Sample::new("rows without steps", inputs(2, WITHOUT_STEPS, true), attributes("bidirectional"))
            .with_outputs(all),
        Sample::new("clipped", inputs(1, None, false), clipped("forward")),
        Sample::new("clipped, rows of their own lengths", inputs(2, OWN_LENGTHS, true), clipped("bidirectional"))
            .with_outputs(all),
        Sample::new("other activations", inputs(1, None, true), others).with_outputs(all),
    ]
}

/// Of a layer with this many gates, states and activations a direction: each activation in each of these places.
pub(crate) fn of_all_activations(gates: usize, states: usize, places: usize) -> Vec<Sample> {
    let mut all = Vec::new();
    for turn in 0..ACTIVATIONS.len() / 2 {
        let of_place = |at: usize| ACTIVATIONS[(2 * turn + at / places + 3 * (at % places)) % ACTIVATIONS.len()];
        let chosen: Vec<(&'static str, Option<f32>, Option<f32>)> = (0..2 * places).map(of_place).collect();
        let chosen_names: Vec<&'static str> = chosen.iter().map(|(name, ..)| *name).collect();
        let alphas: Vec<f32> = chosen.iter().filter_map(|(_, alpha, _)| *alpha).collect();
        let betas: Vec<f32> = chosen.iter().filter_map(|(.., beta)| *beta).collect();
        let mut attributes = attributes(SMALL, "bidirectional");
        attributes.push(("activations", names(&chosen_names)));
        attributes.push(("activation_alpha", Attribute::Floats(alphas)));
        attributes.push(("activation_beta", Attribute::Floats(betas)));
        let inputs = inputs(SMALL, (gates, states), 2, None, true);
        all.push(Sample::new("activations of the standard", inputs, attributes).with_outputs(1 + states));
    }
    let usual = &["HardSigmoid", "Elu", "LeakyRelu"][..places];
    let attributes = [attributes(SMALL, "forward"), vec![("activations", names(usual))]].concat();
    let inputs = inputs(SMALL, (gates, states), 1, None, true);
    all.push(Sample::new("activations without numbers", inputs, attributes).with_outputs(1 + states));
    all
}

/// Of an `LSTM` whose gates see the cell, or one of which is what another leaves.
pub(crate) fn of_seen_cells() -> Vec<Sample> {
    let whole = |of: Sizes, directions: usize, lengths: Option<&[i32]>| inputs(of, (4, 2), directions, lengths, true);
    let seen = |of: Sizes, directions: usize, lengths: Option<&[i32]>| {
        let peepholes = varied(&[directions, 3 * of.hidden]);
        [whole(of, directions, lengths), vec![peepholes]].concat()
    };
    let mut alone = inputs(SMALL, (4, 2), 1, None, false);
    alone.extend(vec![SampleInput::Absent; 4]);
    alone.push(varied(&[1, 3 * SMALL.hidden]));
    let coupled = |direction: &'static str| [attributes(USUAL, direction), vec![("input_forget", 1.into())]].concat();
    let clipped = [coupled("reverse"), vec![("clip", 0.5.into())]].concat();
    let mut others = attributes(SMALL, "forward");
    others.push(("activations", names(&["Softplus", "Elu", "Softsign"])));
    others.push(("activation_alpha", Attribute::Floats(vec![0.6])));
    others.push(("clip", 0.5.into()));
    vec![
        Sample::new("peepholes", seen(USUAL, 1, None), attributes(USUAL, "forward")).with_outputs(3),
        Sample::new("peepholes, no biases", alone, attributes(SMALL, "forward")),
        Sample::new(
            "peepholes, rows of their own lengths",
            seen(USUAL, 2, OWN_LENGTHS),
            attributes(USUAL, "bidirectional"),
        )
        .with_outputs(3),
        Sample::new("input_forget", whole(USUAL, 1, None), coupled("forward")).with_outputs(3),
        Sample::new("input_forget and peepholes", seen(USUAL, 2, OWN_LENGTHS), coupled("bidirectional"))
            .with_outputs(3),
        Sample::new("input_forget and peepholes, clipped", seen(USUAL, 1, OWN_LENGTHS), clipped).with_outputs(3),
        Sample::new("peepholes, other activations, clipped", seen(SMALL, 1, None), others).with_outputs(3),
    ]
}

/// Of an `RNN`: what it takes otherwise than the other layers.
pub(crate) fn of_rnn() -> Vec<Sample> {
    let sample = |name: &'static str, own: Attributes| {
        let attributes = [attributes(SMALL, "forward"), own].concat();
        Sample::new(name, inputs(SMALL, (1, 1), 1, None, true), attributes).with_outputs(2)
    };
    let elu = ("activation_alpha", Attribute::Floats(vec![0.6]));
    vec![
        sample("two names, of which the first counts", vec![("activations", names(&["Softsign", "Relu"]))]),
        sample("clipped Elu", vec![("activations", names(&["Elu"])), elu, ("clip", 0.5.into())]),
        sample("clipped to zero", vec![("clip", 0.0.into())]),
        sample("a negative clip, which is none", vec![("clip", (-1.0).into())]),
    ]
}

fn names(names: &[&'static str]) -> Attribute {
    Attribute::Strings(names.iter().map(|name| (*name).into()).collect())
}

fn attributes(of: Sizes, direction: &'static str) -> Attributes {
    vec![("direction", direction.into()), ("hidden_size", (of.hidden as i64).into())]
}

/// x, W and R; where it is whole also biases, lengths of rows if there are any, and the states at the beginning.
fn inputs(
    of: Sizes,
    (gates, states): (usize, usize),
    directions: usize,
    lengths: Option<&[i32]>,
    is_whole: bool,
) -> Vec<SampleInput> {
    let wide = gates * of.hidden;
    let mut inputs = vec![
        varied(&[of.steps, of.batch, of.inner]),
        varied(&[directions, wide, of.inner]),
        varied(&[directions, wide, of.hidden]),
    ];
    if is_whole {
        inputs.push(varied(&[directions, 2 * wide]));
        inputs.push(lengths.map_or(SampleInput::Absent, |lengths| {
            let bytes: Vec<u8> = lengths.iter().flat_map(|length| length.to_le_bytes()).collect();
            SampleInput::Fixed(Constant { dtype: ElementType::I32, shape: vec![lengths.len()], bytes: bytes.into() })
        }));
        inputs.extend(vec![varied(&[directions, of.batch, of.hidden]); states]);
    }
    inputs
}
