//! A graph that one of two graphs is run in, as a truth value decides.

use super::{Attribute, Body, Graph, ValueId};
use crate::CompilerError;

impl Graph {
    /// An empty graph of the same operators in the same versions.
    pub(crate) fn apart(&self) -> Self {
        let mut apart = Self::of(self.opset, self.operators.clone());
        apart.other_opsets.clone_from(&self.other_opsets);
        apart
    }

    /// The outputs of the first graph where a condition holds, and else of the second (`If`). Both have the same inputs, which
    /// are read from these values, and outputs of the same types.
    ///
    /// # Errors
    /// Their outputs are of different types, or do not fit what they are given.
    pub(crate) fn branch(
        &mut self,
        condition: ValueId,
        outer: &[ValueId],
        branches: [Self; 2],
    ) -> Result<Vec<ValueId>, CompilerError> {
        let outputs = branches[0].outputs().len();
        let [then_branch, else_branch] = branches.map(|graph| Attribute::Body(Body::open(graph, outer.len())));
        let inputs: Vec<Option<ValueId>> = std::iter::once(condition).chain(outer.iter().copied()).map(Some).collect();
        self.add_with("If", &inputs, &[("then_branch", then_branch), ("else_branch", else_branch)], outputs)
    }
}
