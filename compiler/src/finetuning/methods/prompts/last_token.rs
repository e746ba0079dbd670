use std::collections::HashSet;

use crate::finetuning::nodes::named;
use crate::graph::{Graph, Node, ValueId};

/// That PEFT's model reads another place of rows with padding, where a head looks for the last token that is none: PEFT gives it
/// vectors in the place of tokens, and Transformers' `…ForSequenceClassification` of decoders reads the last place then. `base`: the
/// model without virtual tokens.
pub(in super::super) fn note_of_padding(base: &Graph, tokens: ValueId) -> Option<String> {
    let node = base.nodes().iter().find(|node| node.is("ArgMax") && looks_for_padding(base, node, tokens))?;
    Some(format!(
        "{} looks for the last token of each row that is no padding, and the head reads that; in PEFT, whose model is given vectors in the \
         place of tokens, it reads the last place of the row: rows that are padded have other scores there, rows without padding the same",
        named(base, node)
    ))
}

/// Whether a node finds a place by what tokens are equal to.
fn looks_for_padding(base: &Graph, node: &Node, tokens: ValueId) -> bool {
    const BETWEEN: [&str; 5] = ["Cast", "Identity", "Mul", "Not", "Where"];
    let (mut left, mut seen) = (node.inputs.clone(), HashSet::new());
    while let Some(value) = left.pop() {
        let maker = value.filter(|value| seen.insert(*value)).and_then(|value| base.producer(value));
        let Some(maker) = maker else { continue };
        if maker.is("Equal") && maker.inputs.contains(&Some(tokens)) {
            return true;
        }
        if BETWEEN.iter().any(|operator| maker.is(operator)) {
            left.extend(maker.inputs.iter().copied());
        }
    }
    false
}
