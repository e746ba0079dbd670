use std::borrow::Cow;

use millstream_schemas::{AxisLength, Batch, Tensor, TensorData, TensorEntry};
use ort::session::SessionInputValue;
use ort::value::{TensorElementType, TensorRef, ValueType};

use super::frozen_weights::FrozenWeights;
use crate::TrainingError;

/// An input of a session that is not bound, which takes a tensor of each batch.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BatchInput {
    name: String,
    /// As batches call it; none where it is of no type that they hand over.
    dtype: Option<String>,
    /// Length of each axis; none for any.
    shape: Vec<Option<usize>>,
}

impl BatchInput {
    /// As ONNX Runtime tells of it.
    pub(super) fn of_session(name: &str, kind: &ValueType) -> Self {
        let dtype = match kind {
            ValueType::Tensor { ty: TensorElementType::Float32, .. } => Some("float32"),
            ValueType::Tensor { ty: TensorElementType::Int64, .. } => Some("int64"),
            ValueType::Tensor { ty: TensorElementType::Uint8, .. } => Some("uint8"),
            _ => None,
        };
        let lengths = kind.tensor_shape().map_or_else(Vec::new, |shape| shape.to_vec());
        let shape = lengths.into_iter().map(|length| usize::try_from(length).ok()).collect();
        Self { name: name.to_owned(), dtype: dtype.map(str::to_owned), shape }
    }

    /// The tensor of a batch, which must be there with this type and shape.
    fn tensor_of<'a>(&self, batch: &'a Batch) -> Result<&'a Tensor, TrainingError> {
        let Some(tensor) = batch.tensors.get(&self.name) else {
            let names = batch.tensors.keys().collect::<Vec<_>>();
            return Err(self.wrong(format!("no tensor of this name, only {names:?}")));
        };
        let is_long = |(wanted, got): (&Option<usize>, &usize)| wanted.is_none_or(|wanted| wanted == *got);
        let fits = tensor.shape.len() == self.shape.len() && self.shape.iter().zip(&tensor.shape).all(is_long);
        let is_type = self.dtype.as_deref() == Some(tensor.element_type().name());
        if fits && is_type { Ok(tensor) } else { Err(self.wrong_tensor(tensor)) }
    }

    fn wrong_tensor(&self, tensor: &Tensor) -> TrainingError {
        self.wrong(format!("{} {:?}", tensor.element_type().name(), tensor.shape))
    }

    fn wrong(&self, got: String) -> TrainingError {
        let length = |length: &Option<usize>| length.map_or_else(|| "any".to_owned(), |length| length.to_string());
        let lengths: Vec<String> = self.shape.iter().map(length).collect();
        let dtype = self.dtype.as_deref().unwrap_or("a type that no batch has,");
        let wanted = format!("{dtype} [{}]", lengths.join(", "));
        TrainingError::Input { name: self.name.clone(), wanted, got }
    }
}

impl From<&TensorEntry> for BatchInput {
    fn from(entry: &TensorEntry) -> Self {
        let shape = entry.shape.iter().map(AxisLength::fixed).collect();
        Self { name: entry.name.clone(), dtype: Some(entry.dtype.clone()), shape }
    }
}

/// What a session is run on: the tensors of a batch, whose memory is read where it is, and the weights that lie beside the graph.
///
/// # Errors
/// The batch lacks an input, or its type or shape does not fit.
pub(super) fn session_inputs<'a>(
    inputs: &'a [BatchInput],
    batch: &'a Batch,
    weights: &'a FrozenWeights,
) -> Result<Vec<(Cow<'a, str>, SessionInputValue<'a>)>, TrainingError> {
    let mut given: Vec<(Cow<'a, str>, SessionInputValue<'a>)> = Vec::new();
    for input in inputs {
        let tensor = input.tensor_of(batch)?;
        let shape = tensor.shape.as_slice();
        let value = match &tensor.data {
            TensorData::F32(values) => TensorRef::from_array_view((shape, &**values)).map(Into::into),
            TensorData::I64(values) => TensorRef::from_array_view((shape, &**values)).map(Into::into),
            TensorData::U8(values) => TensorRef::from_array_view((shape, &**values)).map(Into::into),
            _ => return Err(input.wrong_tensor(tensor)),
        };
        let value = value.map_err(TrainingError::session("handing a batch over"))?;
        given.push((input.name.as_str().into(), value));
    }
    given.extend(weights.inputs().map(|(name, value)| (name.into(), value)));
    Ok(given)
}

#[cfg(test)]
mod tests {
    use ort::value::{Shape, SymbolicDimensions};

    use super::*;
    use crate::support::{BATCH, WIDTH, batch};

    #[test]
    fn a_tensor_of_another_name_type_or_shape_is_refused_with_wanted_and_got() {
        let input = |name: &str, dtype: Option<&str>, shape: &[Option<usize>]| BatchInput {
            name: name.to_owned(),
            dtype: dtype.map(str::to_owned),
            shape: shape.to_vec(),
        };
        let (float, batch) = (Some("float32"), batch(0, 0, 1));
        for fitting in [&[None, Some(WIDTH)][..], &[Some(BATCH), None], &[None, None]] {
            let tensor = input("x", float, fitting).tensor_of(&batch).unwrap();
            assert_eq!(tensor.shape, [BATCH, WIDTH]);
        }
        for (wrong, wanted, got) in [
            (input("y", float, &[None]), "float32 [any]", "no tensor of this name, only [\"targets\", \"x\"]"),
            (input("x", float, &[None, Some(9)]), "float32 [any, 9]", "float32 [6, 8]"),
            (input("x", float, &[Some(6)]), "float32 [6]", "float32 [6, 8]"),
            (input("x", Some("int64"), &[None, Some(8)]), "int64 [any, 8]", "float32 [6, 8]"),
            (input("x", None, &[None, None]), "a type that no batch has, [any, any]", "float32 [6, 8]"),
        ] {
            let Err(TrainingError::Input { name, wanted: told, got: found }) = wrong.tensor_of(&batch) else {
                panic!("{wrong:?} was taken")
            };
            assert_eq!((name.as_str(), told.as_str(), found.as_str()), (wrong.name.as_str(), wanted, got));
        }
    }

    #[test]
    fn inputs_of_a_session_and_of_a_manifest_are_taken_alike() {
        let kind =
            |ty| ValueType::Tensor { ty, shape: Shape::new([-1, 8]), dimension_symbols: SymbolicDimensions::empty(2) };
        let entry = |dtype: &str| TensorEntry {
            name: "x".into(),
            dtype: dtype.into(),
            shape: vec!["batch".into(), 8_usize.into()],
        };
        for (ty, dtype) in [
            (TensorElementType::Float32, "float32"),
            (TensorElementType::Int64, "int64"),
            (TensorElementType::Uint8, "uint8"),
        ] {
            assert_eq!(BatchInput::of_session("x", &kind(ty)), BatchInput::from(&entry(dtype)));
        }
        assert_eq!(BatchInput::of_session("x", &kind(TensorElementType::Float64)).dtype, None);
    }
}
