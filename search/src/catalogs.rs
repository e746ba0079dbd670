use millstream_schemas::choice::Catalog;

use crate::proposers::{self, ProposerKind};
use crate::stopping::{self, StoppingKind};

/// What a study may choose among. Rows of your own are added by [`Catalog::with`].
#[derive(Clone, Debug)]
pub struct Catalogs {
    /// Which settings are tried next.
    pub proposers: Catalog<ProposerKind>,
    /// When a trial is not worth going on with.
    pub stopping: Catalog<StoppingKind>,
}

impl Default for Catalogs {
    fn default() -> Self {
        Self { proposers: proposers::standard().clone(), stopping: stopping::standard().clone() }
    }
}
