//! Losses: graphs from the model's output and the targets to one number. Each file holds one.

mod binary_cross_entropy;
mod box_places;
mod causal_language_modelling;
mod class_numbers;
mod class_weights;
mod cosine_embedding;
mod cross_entropy;
mod ctc;
mod dice;
mod embeddings;
mod fcos;
mod focal;
mod huber;
mod info_nce;
mod loss;
mod loss_function;
mod loss_kind;
mod loss_program;
mod mae;
mod mse;
mod onnx;
mod paths_in_time;
mod row_mean;
mod sequence_scores;
mod sparse_cross_entropy;
mod sparse_focal;
mod triplet;

use std::sync::OnceLock;

use millstream_schemas::choice::{Catalog, Choice};

pub use box_places::{LONGEST as LONGEST_LOGARITHM, SIDES as BOX_SIDES, classes_among};
pub use class_weights::balanced_class_weights;
pub use loss::Loss;
pub use loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind, RowLossNodes};
pub use loss_kind::{Build, LossKind};
pub use loss_program::LossProgram;

/// The losses of this crate. More rows are added by [`Catalog::with`].
pub fn standard() -> &'static Catalog<LossKind> {
    static CATALOG: OnceLock<Catalog<LossKind>> = OnceLock::new();
    CATALOG.get_or_init(|| {
        Catalog::new([
            binary_cross_entropy::LOSS,
            causal_language_modelling::LOSS,
            cosine_embedding::LOSS,
            cross_entropy::LOSS,
            ctc::LOSS,
            dice::LOSS,
            fcos::LOSS,
            focal::LOSS,
            huber::LOSS,
            info_nce::LOSS,
            mae::LOSS,
            mse::LOSS,
            onnx::LOSS,
            sparse_cross_entropy::LOSS,
            sparse_focal::LOSS,
            triplet::LOSS,
        ])
    })
}

impl Default for Loss {
    fn default() -> Self {
        Self::choose(standard(), &Choice::named("cross_entropy"), "training.loss")
            .expect("all of its options have defaults")
    }
}
