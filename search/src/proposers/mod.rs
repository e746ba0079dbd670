//! Which settings are tried next: rows of a catalog, each a pure function of what is known.

mod cma_es;
mod gaussian_process;
mod grid;
mod nsga_ii;
mod proposer;
mod proposer_function;
mod proposer_kind;
mod random;
mod sobol;
mod tpe;

use std::sync::OnceLock;

use millstream_schemas::choice::{Catalog, Choice};

pub(crate) use grid::combination;
pub use proposer::Proposer;
pub use proposer_function::{Proposal, ProposerFunction, Request, one_objective};
pub use proposer_kind::{Build, ProposerKind};

/// The proposers of this crate. More rows are added by [`Catalog::with`].
pub fn standard() -> &'static Catalog<ProposerKind> {
    static CATALOG: OnceLock<Catalog<ProposerKind>> = OnceLock::new();
    CATALOG.get_or_init(|| {
        Catalog::new([
            cma_es::PROPOSER,
            gaussian_process::PROPOSER,
            grid::PROPOSER,
            nsga_ii::PROPOSER,
            random::PROPOSER,
            sobol::PROPOSER,
            tpe::PROPOSER,
        ])
    })
}

impl Default for Proposer {
    /// `tpe`, with its own defaults.
    fn default() -> Self {
        Self::choose(standard(), &Choice::named("tpe"), "search.proposer").expect("all of its options have defaults")
    }
}
