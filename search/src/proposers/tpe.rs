//! Settings that are likelier among the better trials than among the others.

use millstream_schemas::choice::{Options, between};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proposer_function::{Proposal, ProposerFunction, Request, one_objective};
use super::proposer_kind::{Build, ProposerKind};
use crate::parzen::ParzenSearch;
use crate::trials::ranking;
use crate::{Objective, Space};

pub(super) const PROPOSER: ProposerKind = ProposerKind {
    name: "tpe",
    summary: "Settings that are likelier among the better trials than among the others; the usual choice.",
    documentation: "The tree-structured Parzen estimator (Bergstra et al., 2011) as in Optuna 5: the better tenth of the trials, at \
        most 25, and the others are each made a mixture of kernels, of `candidates` draws from the former the one with the largest \
        ratio of densities is taken. Trials that ended early rank behind complete ones, later ones first; those that break \
        constraints rank last. With `multivariate`, parameters that are there together are looked at together; what depends on an \
        alternative is a group of its own, learned from the trials that had it. With `constant_liar`, trials that run count among \
        the worse, so that several processes do not try the same. The first `startup_trials` are drawn at random.",
    samples: &[
        "{}",
        r#"{"startup_trials": 5, "candidates": 48}"#,
        r#"{"multivariate": false, "constant_liar": false}"#,
    ],
    build: Build::of::<Tpe>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Tpe {
    /// Trials that are drawn at random before anything is learned from them.
    startup_trials: usize,
    /// Settings that are drawn, and of which the best is taken.
    #[schemars(range(min = 1, max = 10_000))]
    candidates: usize,
    /// Whether parameters that are there together are looked at together.
    multivariate: bool,
    /// Whether trials that run count among the worse.
    constant_liar: bool,
}

impl Default for Tpe {
    fn default() -> Self {
        let ParzenSearch { candidates, multivariate, constant_liar } = ParzenSearch::default();
        Self { startup_trials: 10, candidates, multivariate, constant_liar }
    }
}

impl Options for Tpe {
    fn validate(&self) -> Result<(), String> {
        between("candidates", self.candidates, 1, 10_000)
    }
}

impl ProposerFunction for Tpe {
    fn check(&self, _: &Space, objectives: &[Objective]) -> Result<(), String> {
        one_objective("tpe", objectives)
    }

    fn propose(&self, request: &Request<'_>) -> Option<Proposal> {
        if ranking(&request.history).len() < self.startup_trials {
            return Some(request.drawn().into());
        }
        let Self { candidates, multivariate, constant_liar, .. } = *self;
        let search = ParzenSearch { candidates, multivariate, constant_liar };
        let mut random = request.random("tpe");
        let mut settings = |group: &_| search.settings(request.space, group, &request.history, &mut random);
        Some(request.space.filled_by(|group, _| settings(group)).into())
    }
}
