use super::einsum::{Equations, equations};
use super::of_rows::{are_merged, for_rows, shaped_as};
use crate::CompilerError;
use crate::finetuning::attention::Attention;
use crate::graph::{Graph, ValueId};

/// Where the axes of an attention stand, and so how a prefix is multiplied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Axes {
    /// `[rows, heads, tokens, …]`.
    Apart,
    /// As equations name them.
    Named(Equations),
    /// `[rows · heads, tokens, …]`; scores may be apart.
    Merged,
}

impl Axes {
    /// Those of an attention with a softmax.
    ///
    /// # Errors
    /// It cannot be told which axis is which; in words.
    pub(in super::super) fn of(base: &Graph, attention: &Attention) -> Result<Self, String> {
        Ok(match equations(base, attention)? {
            Some(own) => Self::Named(own),
            None if are_merged(base, attention)? => Self::Merged,
            None => Self::Apart,
        })
    }

    /// The scores of keys of a prefix, of the `shape` `[heads, size, length]`, as the model's own stand.
    pub(in super::super) fn scores(
        &self,
        graph: &mut Graph,
        (queries, keys): (ValueId, ValueId),
        (scores, shape): (ValueId, [usize; 3]),
        name: &str,
    ) -> Result<ValueId, CompilerError> {
        match self {
            Self::Apart => graph.append("MatMul", &[queries, keys], &[], name),
            Self::Named(own) => {
                graph.append("Einsum", &[queries, keys], &[("equation", own.scores.as_str().into())], name)
            }
            Self::Merged => {
                let keys = for_rows(graph, keys, queries, shape, &format!("{name}.keys"))?;
                let made = graph.append("MatMul", &[queries, keys], &[], &format!("{name}.merged"))?;
                shaped_as(graph, made, scores, shape[2], name)
            }
        }
    }

    /// What values of a prefix, of the `shape` `[heads, length, size]`, add to what the heads give, `mixed`.
    pub(in super::super) fn heads(
        &self,
        graph: &mut Graph,
        (weights, values): (ValueId, ValueId),
        (mixed, shape): (ValueId, [usize; 3]),
        name: &str,
    ) -> Result<ValueId, CompilerError> {
        match self {
            Self::Apart => graph.append("MatMul", &[weights, values], &[], name),
            Self::Named(own) => {
                graph.append("Einsum", &[weights, values], &[("equation", own.heads.as_str().into())], name)
            }
            Self::Merged => {
                let weights = shaped_as(graph, weights, mixed, shape[1], &format!("{name}.weights"))?;
                let values = for_rows(graph, values, mixed, shape, &format!("{name}.values"))?;
                graph.append("MatMul", &[weights, values], &[], name)
            }
        }
    }
}
