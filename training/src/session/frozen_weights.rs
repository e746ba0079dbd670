//! Frozen weights that lie beside graphs: one memory, which all sessions read.
#![expect(unsafe_code, reason = "the runtime is given tensors over memory that it does not own")]

use std::collections::BTreeMap;
use std::ptr::NonNull;

use millstream_compiler::FrozenWeight;
use ort::AsPointer;
use ort::memory::{Allocator, MemoryInfo};
use ort::session::{IoBinding, SessionInputValue};
use ort::value::Tensor;

use super::bound::OwnedTensor;
use crate::TrainingError;

/// Weights by the names of the inputs that take them. They stay where they are as long as this lives, so it outlives
/// bindings and sessions that read them: whoever holds both names this last.
#[derive(Debug, Default)]
pub(super) struct FrozenWeights(BTreeMap<String, Place>);

#[derive(Debug)]
enum Place {
    /// In the memory of the program. Dropped in this order.
    Host {
        tensor: Tensor<f32>,
        _memory: FrozenWeight,
    },
    Device(OwnedTensor),
}

impl FrozenWeights {
    /// Takes weights in whose names are new. `device`: where they are copied to, unless the host's memory serves.
    pub(super) fn add(&mut self, weights: &[FrozenWeight], device: Option<&Allocator>) -> Result<(), TrainingError> {
        for weight in weights {
            if self.0.contains_key(&weight.name) {
                continue;
            }
            let place = match device {
                None => Place::Host { tensor: over(weight)?, _memory: weight.clone() },
                Some(allocator) => {
                    let mut tensor = OwnedTensor::f32(allocator, &weight.shape)?;
                    let chunks = weight.bytes.chunks_exact(4);
                    let values: Vec<f32> =
                        chunks.map(|bytes| f32::from_le_bytes(bytes.try_into().expect("chunks of 4"))).collect();
                    tensor.upload(&values)?;
                    Place::Device(tensor)
                }
            };
            self.0.insert(weight.name.clone(), place);
        }
        Ok(())
    }

    /// Binds some of them.
    pub(super) fn bind(&self, names: &[String], binding: &mut IoBinding) -> Result<(), TrainingError> {
        names.iter().try_for_each(|name| match &self.0[name] {
            Place::Host { tensor, .. } => {
                let doing = format!("binding the weight `{name}`");
                binding.bind_input(name, tensor).map_err(TrainingError::session(doing))
            }
            Place::Device(tensor) => tensor.bind_input(binding, name),
        })
    }

    /// All of them, as a session that is not bound takes them.
    pub(super) fn inputs(&self) -> impl Iterator<Item = (&str, SessionInputValue<'_>)> {
        self.0.iter().map(|(name, place)| match place {
            Place::Host { tensor, .. } => (name.as_str(), tensor.into()),
            Place::Device(tensor) => (name.as_str(), tensor.input()),
        })
    }
}

/// A tensor over the bytes of a weight; as long as it is used, these must stay.
fn over(weight: &FrozenWeight) -> Result<Tensor<f32>, TrainingError> {
    let fail = || TrainingError::session(format!("handing over the weight `{}`", weight.name));
    let shape: Vec<i64> = weight.shape.iter().map(|length| i64::try_from(*length).unwrap_or(i64::MAX)).collect();
    let bytes = &weight.bytes;
    let elements = weight.shape.iter().try_fold(1_usize, |product, length| product.checked_mul(*length));
    let fits = elements.and_then(|elements| elements.checked_mul(size_of::<f32>())) == Some(bytes.len());
    if !fits || !bytes.as_ptr().addr().is_multiple_of(align_of::<f32>()) {
        return Err(TrainingError::Parameter {
            name: weight.name.clone(),
            wanted: format!("aligned memory of 32-bit floats of shape {:?}", weight.shape),
            got: format!("{} bytes at {:p}", bytes.len(), bytes.as_ptr()),
        });
    }
    let memory = MemoryInfo::default();
    let mut value = std::ptr::null_mut();
    // SAFETY: the bytes hold as many floats as the shape says and are aligned for them, as was checked above. The runtime
    // only reads inputs, so that nothing is written through the pointer, and it frees no memory that it did not allocate.
    let status = unsafe {
        (ort::api().CreateTensorWithDataAsOrtValue)(
            memory.ptr(),
            bytes.as_ptr().cast_mut().cast(),
            bytes.len(),
            shape.as_ptr(),
            shape.len(),
            ort::sys::ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
            &mut value,
        )
    };
    // SAFETY: the status was just returned and is used once.
    unsafe { ort::Error::result_from_status(status) }.map_err(fail())?;
    let value = NonNull::new(value).expect("the runtime gives a value where it reports no error");
    // SAFETY: the value is a tensor of floats that nobody else owns.
    Ok(unsafe { Tensor::from_ptr(value, Some(&Allocator::default())) })
}
