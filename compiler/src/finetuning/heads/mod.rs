//! Heads: what becomes of the layer that makes a model's answer. Each file holds one way.

mod boxes;
mod head_choice;
mod head_function;
mod head_kind;
mod keep;
mod new_head;
mod new_with;
mod on_features;
mod pooled;
mod pooling;

use std::sync::OnceLock;

use millstream_schemas::choice::Catalog;

pub(crate) use boxes::maps as maps_of_boxes;
pub use head_choice::HeadChoice;
pub use head_function::{HeadFunction, HeadModel, PlacedHead};
pub use head_kind::{HeadBuild, HeadKind, HeadOptions, MadeHead};
pub use on_features::{Activation, FeatureHead, FeatureLayout, HeadInput};
pub use pooling::Pooling;

/// The heads of this crate. More rows are added by [`Catalog::with`].
pub fn standard() -> &'static Catalog<HeadKind> {
    static CATALOG: OnceLock<Catalog<HeadKind>> = OnceLock::new();
    CATALOG.get_or_init(|| {
        Catalog::new([
            boxes::HEAD, //
            keep::HEAD,
            new_head::HEAD,
            new_with::HEAD,
            on_features::HEAD,
            pooled::HEAD,
        ])
    })
}
