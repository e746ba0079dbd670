use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::adapter_form::{AdapterForm, PromptForm};
use crate::CompilerError;
use crate::adapter_files::AdapterMethod;
use crate::graph::{Constant, Graph, ValueId};

/// Where in a row virtual tokens stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Place {
    /// In front of all others. A head that reads the first place reads the first virtual token.
    #[default]
    First,
    /// Behind the first of the row, `[CLS]` for example, which a head that reads the first place goes on reading.
    AfterFirst,
}

impl Place {
    /// How many tokens of the row stand in front.
    pub(super) fn tokens_before(self) -> usize {
        match self {
            Self::First => 0,
            Self::AfterFirst => 1,
        }
    }

    /// What files of adapters hold of virtual tokens that stand here.
    pub(in super::super) fn in_files(self, method: AdapterMethod, prompt: PromptForm) -> AdapterForm {
        let refusal = "`place: after_first` puts virtual tokens where no file of adapters does; use `place: first`";
        let refusal = (self != Self::First).then(|| refusal.to_owned());
        AdapterForm { method: Some(method), prompt: Some(prompt), refusal, ..AdapterForm::default() }
    }

    /// The parts of a value before and behind virtual tokens along an axis; `between` places there are left out.
    pub(super) fn parts(
        self,
        graph: &mut Graph,
        value: ValueId,
        (between, axis): (usize, usize),
        name: &str,
    ) -> Result<(Option<ValueId>, ValueId), CompilerError> {
        let before = self.tokens_before();
        if before + between == 0 {
            return Ok((None, value));
        }
        let mut numbers = |number: i64| graph.named_constant(&format!("{name}.bound"), Constant::i64([1], &[number]));
        let (zero, from, behind, end, axis) = (
            numbers(0),
            numbers(before as i64),
            numbers((before + between) as i64),
            numbers(i64::MAX),
            numbers(axis as i64),
        );
        let first = match self {
            Self::First => None,
            Self::AfterFirst => {
                Some(graph.append("Slice", &[value, zero, from, axis], &[], &format!("{name}.first"))?)
            }
        };
        let rest = graph.append("Slice", &[value, behind, end, axis], &[], &format!("{name}.rest"))?;
        Ok((first, rest))
    }
}
