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
    documentation: "The tree-structured Parzen estimator (Bergstra et al., 2011; in the form of Watanabe, 2023): the better trials, \
        `better_share` of them and at most 25, and the others are each made a mixture of kernels, of `candidates` draws from the former \
        the one with the largest ratio of densities is taken. Kernels and weights are those of Optuna 5. Trials that ended early rank \
        behind complete ones, later ones first; those that break constraints rank last. With `multivariate`, parameters that are there \
        together are looked at together; what depends on an alternative is a group of its own, learned from the trials that had it. With \
        `constant_liar`, trials that run count among the worse, so that several processes do not try the same. The first \
        `startup_trials` are a scrambled Sobol sequence, which fills the space evenly where their number is a power of two, or drawn at \
        random. `{startup: random, startup_trials: 10, better_share: 0.1, candidates: 24}` is Optuna's `TPESampler`, which finds less within \
        50 trials.",
    samples: &[
        "{}",
        r#"{"startup": "random", "startup_trials": 10, "better_share": 0.1, "candidates": 24}"#,
        r#"{"multivariate": false, "constant_liar": false}"#,
    ],
    build: Build::of::<Tpe>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Tpe {
    /// How the first trials are chosen, before anything is learned from them.
    startup: Startup,
    /// How many they are.
    startup_trials: usize,
    /// Share of the trials that count as the better ones, above 0 to 1; rounded up.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    better_share: f64,
    /// Settings that are drawn, and of which the best is taken.
    #[schemars(range(min = 1, max = 10_000))]
    candidates: usize,
    /// Whether parameters that are there together are looked at together.
    multivariate: bool,
    /// Whether trials that run count among the worse.
    constant_liar: bool,
}

/// How trials are chosen of which nothing is learned yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Startup {
    /// Evenly, as `sobol` does.
    #[default]
    Sobol,
    /// At random.
    Random,
}

impl Default for Tpe {
    fn default() -> Self {
        let ParzenSearch { better_share, candidates, multivariate, constant_liar } = ParzenSearch::default();
        let startup = Startup::default();
        Self { startup, startup_trials: 8, better_share, candidates, multivariate, constant_liar }
    }
}

impl Options for Tpe {
    fn validate(&self) -> Result<(), String> {
        if !(self.better_share > 0.0 && self.better_share <= 1.0) {
            return Err(format!("better_share is above 0 and at most 1, got {}", self.better_share));
        }
        between("candidates", self.candidates, 1, 10_000)
    }
}

impl ProposerFunction for Tpe {
    fn check(&self, _: &Space, objectives: &[Objective]) -> Result<(), String> {
        one_objective("tpe", objectives)
    }

    fn propose(&self, request: &Request<'_>) -> Option<Proposal> {
        if ranking(&request.history).len() < self.startup_trials {
            return Some(match self.startup {
                Startup::Sobol => request.spread().into(),
                Startup::Random => request.drawn().into(),
            });
        }
        let Self { better_share, candidates, multivariate, constant_liar, .. } = *self;
        let search = ParzenSearch { better_share, candidates, multivariate, constant_liar };
        let mut random = request.random("tpe");
        let mut settings = |group: &_| search.settings(request.space, group, &request.history, &mut random);
        Some(request.space.filled_by(|group, _| settings(group)).into())
    }
}
