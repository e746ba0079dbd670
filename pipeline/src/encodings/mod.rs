//! Encodings: from columns of a row to tensors of the batch.

mod box_fields;
mod boxes;
mod category;
mod class_label;
mod class_names;
mod class_probabilities;
mod encode_error;
mod encoder;
mod encoders;
mod encoding_kind;
mod entry;
mod followed_image;
mod image;
mod input_range;
mod key_points;
mod learned;
mod length_unit;
mod mark;
mod mask;
mod multi_label;
mod number;
#[cfg(feature = "tokenizers")]
mod own_tokens;
mod row_id;
mod row_numbers;
mod sample;
mod sequence;
mod short_form;
#[cfg(feature = "tokenizers")]
mod spans;
mod symbols;
mod text;
#[cfg(feature = "tokenizers")]
mod token_ids;
mod tokenized_text;
mod vector;

use std::sync::OnceLock;

use millstream_schemas::choice::Catalog;

pub use box_fields::{BOX_CLASS_FIELDS, BOX_CROWD_FIELD, BoxPlace, class_field_of_boxes, place_of_boxes};
pub use encode_error::EncodeError;
pub use encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
pub use encoders::Encoders;
pub(crate) use encoders::ShownEntry;
pub use encoding_kind::{Build, ByHand, EncodingKind, EncodingOptions, Source};
pub use entry::WantedTensor;
pub use input_range::InputRange;
pub use mark::{Mark, Seen};
pub use sample::Sample;
pub(crate) use sample::{RowBuffers, RowWork};
pub use short_form::short_form;
pub use tokenized_text::{Token, TokenPlace, TokenizedText};

use crate::{Dataset, PipelineError};

/// The encodings of this crate. More rows are added by [`Catalog::with`].
pub fn standard() -> &'static Catalog<EncodingKind> {
    static CATALOG: OnceLock<Catalog<EncodingKind>> = OnceLock::new();
    CATALOG.get_or_init(|| {
        Catalog::new([
            boxes::ENCODING,
            category::ENCODING,
            class_label::ENCODING,
            class_probabilities::ENCODING,
            image::ENCODING,
            key_points::ENCODING,
            mask::ENCODING,
            multi_label::ENCODING,
            number::ENCODING,
            #[cfg(feature = "tokenizers")]
            own_tokens::ENCODING,
            row_id::ENCODING,
            sequence::ENCODING,
            #[cfg(feature = "tokenizers")]
            spans::ENCODING,
            symbols::ENCODING,
            text::ENCODING,
            #[cfg(feature = "tokenizers")]
            token_ids::ENCODING,
            vector::ENCODING,
        ])
    })
}

impl Encoders {
    /// The common case: one image or text as the tensor `input`, and a class as `targets`; none when `label` is empty. The
    /// input is the only image or text column when it is not named.
    ///
    /// # Errors
    /// As [`Encoders::open`].
    pub fn standard(dataset: &Dataset, input: Option<&str>, label: &str) -> Result<Self, PipelineError> {
        Self::open(dataset, standard(), &short_form(dataset, input, label, "input")?, &[])
    }
}
