use std::collections::{BTreeSet, HashSet};

use super::flow::{ACTIVATIONS, ARITHMETIC, Flow, NORMALIZATIONS, Residual, VIEWS};
use super::linear::Linear;
use crate::graph::ValueId;

/// Between a sum and a layer, and between a layer and a sum.
const QUIET: &[&[&str]] = &[VIEWS, ARITHMETIC, NORMALIZATIONS];
/// Between the layers.
const ACTIVE: &[&[&str]] = &[VIEWS, ARITHMETIC, NORMALIZATIONS, ACTIVATIONS];

/// A feed-forward part of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedForward {
    /// What widens: one layer, or two where one gates the other.
    pub wide: Vec<Linear>,
    /// What narrows.
    pub narrow: Linear,
}

impl FeedForward {
    /// Those behind the sum that the layer `output` of an attention is added in, one behind the other as in MobileBERT, or the
    /// one beside the attention where both are added to the same stream. Layers of `taken` have other roles; those of the
    /// parts are added to it.
    pub(super) fn behind(
        flow: &Flow<'_>,
        output: &Linear,
        query: &Linear,
        taken: &mut BTreeSet<usize>,
    ) -> Vec<FeedForward> {
        let mut parts = Vec::new();
        let Some(residual) = flow.residual(&flow.reach(&[output.result], QUIET)) else { return parts };
        let mut found = match Self::in_a_row(flow, &residual.sums, taken) {
            Some((part, sum)) => Some((part, sum.sums)),
            None => Self::beside(flow, residual, query, taken).map(|part| (part, Vec::new())),
        };
        // an attention that makes fewer tokens, as LeViT's, is added to nothing: what it gives is the stream
        found = found.or_else(|| Self::in_a_row(flow, &[output.result], taken).map(|(part, sum)| (part, sum.sums)));
        while let Some((part, sums)) = found {
            taken.extend(part.wide.iter().chain([&part.narrow]).map(|linear| linear.node));
            parts.push(part);
            found = Self::in_a_row(flow, &sums, taken).map(|(part, sum)| (part, sum.sums));
        }
        parts
    }

    /// The one that reads these values of the stream, with the sum that it is added in.
    fn in_a_row(flow: &Flow<'_>, from: &[ValueId], taken: &BTreeSet<usize>) -> Option<(Self, Residual)> {
        let stream = flow.reach(from, QUIET);
        let this = Self::between(flow, flow.linears_ahead(&stream), taken)?;
        let back = flow.residual(&flow.reach(&[this.narrow.result], QUIET))?;
        stream.contains(&back.other).then_some((this, back))
    }

    /// As in GPT-NeoX: x + attention(x) + feed-forward(x), in any order.
    fn beside(flow: &Flow<'_>, residual: Residual, query: &Linear, taken: &BTreeSet<usize>) -> Option<Self> {
        let mut sum = residual;
        for _ in 0..2 {
            let narrow: Vec<usize> =
                flow.linears_behind(sum.other, &[&["Cast", "Dropout", "Identity", "Reshape"]]).into_iter().collect();
            if let [narrow] = narrow.as_slice() {
                let wide = flow.linears_behind(flow.linear(*narrow).input, ACTIVE).into_iter().collect();
                let this = Self::between(flow, wide, taken).filter(|this| this.narrow.node == *narrow);
                let streams = |value: ValueId| flow.behind(value, QUIET);
                let meets =
                    |a: HashSet<ValueId>, b: HashSet<ValueId>| a.intersection(&b).any(|value| flow.is_fed(*value));
                return this.filter(|this| meets(streams(this.wide[0].input), streams(query.input)));
            }
            sum = flow.residual(&flow.reach(&sum.sums, QUIET))?;
        }
        None
    }

    /// One or two layers of one input that one layer narrows again.
    fn between(flow: &Flow<'_>, wide: Vec<usize>, taken: &BTreeSet<usize>) -> Option<Self> {
        if !matches!(wide.len(), 1 | 2) || wide.iter().any(|node| taken.contains(node)) {
            return None;
        }
        let wide: Vec<Linear> = wide.into_iter().map(|node| flow.linear(node).clone()).collect();
        let made: Vec<ValueId> = wide.iter().flat_map(|linear| [linear.product, linear.result]).collect();
        let inner = flow.reach(&made, ACTIVE);
        let ahead = flow.linears_ahead(&inner);
        let [narrow] = ahead.as_slice() else { return None };
        let narrow = flow.linear(*narrow).clone();
        let (inputs, outputs) = (wide[0].inputs, wide[0].outputs);
        let is_half = wide.len() == 1 && narrow.inputs * 2 == outputs;
        let reads = wide[0].input;
        let fits = wide.iter().all(|linear| (linear.input, linear.outputs) == (reads, outputs))
            && (narrow.inputs == outputs || is_half)
            && narrow.outputs == inputs
            && !taken.contains(&narrow.node)
            // a product of two layers with nothing between them is no feed-forward part
            && !made.contains(&narrow.input);
        fits.then_some(Self { wide, narrow })
    }
}
