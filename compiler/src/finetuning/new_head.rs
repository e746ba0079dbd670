use millstream_schemas::recipe::{Activation, HeadInput, Pooling};

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
    /// A new one of one or more layers on features of any form.
    OnFeatures(FeatureHead),
}

impl Default for HeadChoice {
    fn default() -> Self {
        Self::New(Initializer::default())
    }
}

/// A new head on features: `[batch, features]`, `[batch, sequence, features]` or a map `[batch, features, …]` of two spatial
/// axes or more.
#[derive(Clone, Debug, Default)]
pub struct FeatureHead {
    /// Which features of the model it reads.
    pub reads: HeadInput,
    /// How those of a row become one vector; without it each token or pixel has scores of its own.
    pub pooling: Option<Pooling>,
    /// Widths of the layers before the last, in order.
    pub hidden: Vec<usize>,
    /// What stands behind each of those.
    pub activation: Activation,
    /// Share of the numbers in front of each of its layers that training leaves out, 0 to below 1.
    pub dropout: f32,
    /// How its weights are drawn; biases start at zero.
    pub initializer: Initializer,
}
