use std::fmt;

use millstream_schemas::{Standardization, Tensor, TensorSpec};
use millstream_transforms::Chain;
use serde_json::Value as Json;

use super::encode_error::EncodeError;
use super::mark::{Mark, Seen};
use super::sample::Sample;
use crate::error::Damage;
use crate::sources::RowValues;
use crate::{Dataset, PipelineError};

/// What a stream is made of, as far as the shapes of its tensors depend on it.
#[derive(Clone, Copy, Debug)]
pub struct StreamFacts<'a> {
    /// The rows.
    pub dataset: &'a Dataset,
    /// What happens to images and texts on the way.
    pub chain: &'a Chain,
    /// Seed of what is random in it.
    pub seed: u64,
}

/// What is shown of a row, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum View {
    /// A picture.
    Image,
    /// A text.
    Text,
    /// The name of a class.
    Class,
    /// Numbers.
    Numbers,
}

/// One row of one tensor.
#[derive(Debug)]
pub struct RowTensor<'a> {
    /// What the tensor is.
    pub spec: &'a TensorSpec,
    /// Where the row is written.
    pub values: RowElements<'a>,
}

/// Where the elements of a row are written.
#[derive(Debug)]
#[non_exhaustive]
pub enum RowElements<'a> {
    /// As many floats as the specification says, with any content.
    F32(&'a mut [f32]),
    /// As many integers as the specification says, with any content.
    I64(&'a mut [i64]),
    /// As many bytes as the specification says, with any content.
    U8(&'a mut [u8]),
    /// An empty text.
    Text(&'a mut String),
    /// Floats of a row whose length is its own: empty, to be filled; vectors of it one after another.
    AnyLengthF32(&'a mut Vec<f32>),
    /// Integers of a row whose length is its own: empty, to be filled.
    AnyLengthI64(&'a mut Vec<i64>),
}

impl RowTensor<'_> {
    /// Makes the row what an empty slot holds.
    pub(crate) fn clear(&mut self) {
        let padding = self.spec.padding;
        match &mut self.values {
            RowElements::F32(values) => values.fill(0.0),
            RowElements::I64(values) => values.fill(padding),
            RowElements::U8(values) => values.fill(0),
            RowElements::Text(text) => text.clear(),
            RowElements::AnyLengthF32(values) => values.clear(),
            RowElements::AnyLengthI64(values) => values.clear(),
        }
    }
}

/// An encoding with its columns found in a dataset: makes tensors of the columns of a row.
pub trait Encoder: fmt::Debug + Send + Sync {
    /// The columns that it reads, in the order in which [`Encoder::encode`] finds their values.
    fn columns(&self) -> &[String];

    /// What was learned from the rows it was made for, to read other rows alike: names of classes, means. It is a part of
    /// the stream's fingerprint, and is kept with the trained model.
    fn learned(&self) -> Json;

    /// The tensors that it makes, whose names are `name` or begin with it; the role is set by whoever asks.
    ///
    /// # Errors
    /// The rows leave open what the shape is, or cannot be read.
    fn tensors(&self, name: &str, stream: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError>;

    /// The same for a target that is as long as an input; `inputs` are the tensors of all inputs.
    ///
    /// # Errors
    /// As [`Encoder::tensors`].
    fn tensors_beside(
        &self,
        name: &str,
        stream: &StreamFacts<'_>,
        inputs: &[TensorSpec],
    ) -> Result<Vec<TensorSpec>, PipelineError> {
        let _ = inputs;
        self.tensors(name, stream)
    }

    /// Writes one row; `out` are the tensors of [`Encoder::tensors`], in its order.
    ///
    /// # Errors
    /// The row cannot be used, or does not fit the tensors.
    fn encode(&self, row: RowValues<'_>, sample: &mut Sample<'_>, out: &mut [RowTensor<'_>])
    -> Result<(), EncodeError>;

    /// What a person sees of it.
    fn view(&self) -> View;

    /// Names of the classes, where it makes classes.
    fn classes(&self) -> &[String] {
        &[]
    }

    /// Whether several of the classes may hold together: a number from 0 to 1 for each.
    fn classes_hold_together(&self) -> bool {
        false
    }

    /// Whether nobody has named the classes: they are read off the rows, or are one that stands for all. Those that a recipe names are in
    /// the order of the scores.
    fn classes_are_presumed(&self) -> bool {
        false
    }

    /// What it would have learned of rows of these classes, in the order of the scores, where its classes are learned of rows: those of
    /// a model that was trained on others.
    fn learned_of(&self, classes: &[String]) -> Option<Json> {
        let _ = classes;
        None
    }

    /// The class of a row; −1 where it has none.
    ///
    /// # Errors
    /// The row cannot be used.
    fn class(&self, row: RowValues<'_>) -> Result<i64, Damage> {
        let _ = row;
        Ok(-1)
    }

    /// What the model does to the numbers, where it does something.
    fn standardization(&self) -> Option<&Standardization> {
        None
    }

    /// Whether rows have lengths of their own, which [`Encoder::length`] tells.
    fn measures(&self) -> bool {
        false
    }

    /// How long a row is before it is transformed, where rows have lengths of their own.
    fn length(&self, row: RowValues<'_>) -> Option<u32> {
        let _ = row;
        None
    }

    /// Whether a row without a value can be used as an input.
    fn takes_null(&self) -> bool {
        false
    }

    /// Whether a target moves with the row's image or text: it is encoded behind the inputs, when it is known what was drawn.
    fn follows_input(&self) -> bool {
        false
    }

    /// The input whose image a target moves with, by its name, where it says which.
    fn followed_image(&self) -> Option<&str> {
        None
    }

    /// Whether it says which characters the tokens of the row are of: [`Sample::text_of_tokens`] and [`Sample::set_tokens`].
    fn makes_tokens(&self) -> bool {
        false
    }

    /// Whether it needs to know which characters the tokens of the row are of.
    fn reads_tokens(&self) -> bool {
        false
    }

    /// The tokens of a text that is no row's, where it makes tokens; nothing where it does not.
    ///
    /// # Errors
    /// The text cannot be tokenized: why.
    fn tokens(&self, text: &str) -> Result<Option<Vec<i64>>, String> {
        let _ = text;
        Ok(None)
    }

    /// One more than the largest number that a token may have, where it makes tokens.
    fn vocabulary(&self) -> Option<usize> {
        None
    }

    /// What is shown of the tensors of one row, `[1, …]` each.
    fn marks(&self, tensors: &[&Tensor], seen: Seen<'_>) -> Vec<Mark> {
        let _ = (tensors, seen);
        Vec::new()
    }

    /// Whether rows take long: images are decoded.
    fn decodes_images(&self) -> bool {
        false
    }
}
