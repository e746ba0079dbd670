//! A prefix in an attention whose products are written as `Einsum`, as XLNet's are: `ibnd,jbnd->bnij` for the scores, and
//! `bnij,jbnd->ibnd` for what the heads give.

use crate::finetuning::attention::Attention;
use crate::graph::{Graph, Node, ValueId};

/// Equations of the products with a prefix, by the names that the model's own give to axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Equations {
    /// Queries and keys `[heads, size, length]` to scores.
    pub(super) scores: String,
    /// Weights and values `[heads, length, size]` to what the heads give.
    pub(super) heads: String,
}

/// Those of an attention whose values an `Einsum` weighs; none of another.
///
/// # Errors
/// The scores are made otherwise, by an `Einsum` in another order where none weighs the values, or it cannot be told which axis is which;
/// in words.
pub(super) fn equations(base: &Graph, attention: &Attention) -> Result<Option<Equations>, String> {
    let einsums = || base.nodes().iter().filter(|node| node.is("Einsum"));
    let mut products = einsums().filter(|node| node.input(0) == Some(attention.queries));
    let Some(mixing) = einsums().find(|node| made(node) == Some(attention.mixed)) else {
        // lengths do not tell heads from tokens where there are as many
        return match products.all(has_axes_of_matrices) {
            true => Ok(None),
            false => Err("the Einsum of its scores has not the axes rows, heads and tokens in this order, in which its values are \
                          multiplied"
                .into()),
        };
    };
    let mut found = products.filter_map(|product| of_products(base, attention, product, mixing));
    let refuse = || "which axes of its Einsum are heads and keys is not known".to_owned();
    found.next().map(Some).ok_or_else(refuse)
}

fn of_products(base: &Graph, attention: &Attention, product: &Node, mixing: &Node) -> Option<Equations> {
    let ([queries, keys, scores], [weights, values, heads]) = (terms(product)?, terms(mixing)?);
    // the head stands in front of what it holds, and the softmax goes over the last axis
    let (size, head, key) = (queries.chars().next_back()?, queries.chars().rev().nth(1)?, scores.chars().next_back()?);
    let place = scores.chars().position(|label| label == head)?;
    let (of_weights, number, weighed) =
        (weights.chars().nth(place)?, heads.chars().next_back()?, weights.chars().next_back()?);
    let is_product = keys.contains(head) && keys.contains(size) && keys.contains(key);
    let is_mixing = values.contains(of_weights) && values.contains(number) && values.contains(weighed);
    let are_apart = !queries.contains(key) && !scores.contains(size) && !heads.contains(weighed);
    if !(is_product && is_mixing && are_apart && heads.contains(of_weights) && !weights.contains(number)) {
        return None;
    }
    let softmax = base.nodes()[attention.node].input(0)?;
    let shape = |value: ValueId| base.tensor_type(value).map(|known| known.shape.as_slice());
    let (of_scores, read) = (shape(made(product)?)?, shape(softmax)?);
    let same = of_scores.len() == read.len() && of_scores.iter().zip(read).all(|(own, read)| own.agrees_with(read));
    let length = |value: Option<ValueId>, of: &str, label: char| {
        let at = of.chars().position(|own| own == label)?;
        shape(value?)?.get(at)?.fixed()
    };
    let fits = same
        && weights.len() == scores.len()
        && length(product.input(0), &queries, head) == Some(attention.heads)
        && length(product.input(0), &queries, size) == Some(attention.head_size)
        && length(mixing.input(1), &values, of_weights) == Some(attention.heads)
        && length(mixing.input(1), &values, number) == Some(attention.value_size());
    fits.then(|| Equations {
        scores: format!("{queries},{head}{size}{key}->{scores}"),
        heads: format!("{weights},{of_weights}{weighed}{number}->{heads}"),
    })
}

/// Whether a product of queries and keys is that of their matrices: rows and heads stand first in both and stay there, and the tokens of
/// the queries, which the keys do not have, stand behind.
fn has_axes_of_matrices(product: &Node) -> bool {
    let Some([queries, keys, scores]) = terms(product) else { return false };
    let own: Vec<char> = queries.chars().collect();
    let [lead @ .., tokens, _] = own.as_slice() else { return false };
    let stays =
        scores.len() == own.len() && scores.chars().zip(&own).take(lead.len() + 1).all(|(label, of)| label == *of);
    stays && lead.iter().all(|label| keys.contains(*label)) && !keys.contains(*tokens)
}

fn made(node: &Node) -> Option<ValueId> {
    node.outputs.first().copied().flatten()
}

/// The axes of two operands and of what is made.
fn terms(node: &Node) -> Option<[String; 3]> {
    let equation: String = node.string("equation")?.split_whitespace().collect();
    let (operands, made) = equation.split_once("->")?;
    let (first, second) = operands.split_once(',')?;
    let all = [first, second, made];
    let is_plain = |term: &&str| term.chars().all(|label| label.is_ascii_alphabetic());
    all.iter().all(is_plain).then(|| all.map(str::to_owned))
}
