use millstream_schemas::recipe::Pooling;

use crate::initializers::Initializer;

/// What becomes of the last linear layer.
#[derive(Clone, Debug)]
pub enum HeadChoice {
    /// It is kept; the data must have as many classes as it has outputs.
    Keep,
    /// A new one takes its place, with as many outputs as the data has classes.
    New(Initializer),
    /// A new one on an output `[batch, sequence, features]`, whose vectors become one.
    Pooled(Pooling, Initializer),
}

impl Default for HeadChoice {
    fn default() -> Self {
        Self::New(Initializer::default())
    }
}
