use std::fmt::Debug;

use millstream_schemas::{AxisLength, Tensor as BatchTensor, TensorData, TensorEntry};
use ort::memory::{AllocationDevice, Allocator};
use ort::session::{IoBinding, SessionInputValue};
use ort::value::{PrimitiveTensorElementType, Tensor};

use crate::TrainingError;
use crate::optimizers::{StateStart, StateTensor, StateValues};

/// A tensor that may be bound: it owns its memory, which the runtime allocated.
///
/// Binding a tensor that borrows its memory makes the `ort` crate copy it through a hidden session, and deadlocks; a
/// tensor over foreign memory cannot be an output. So this type can be made in one way only.
#[derive(Debug)]
pub(super) struct OwnedTensor {
    data: Data,
    shape: Vec<usize>,
}

#[derive(Debug)]
enum Data {
    F32(Tensor<f32>),
    I64(Tensor<i64>),
    U8(Tensor<u8>),
}

impl OwnedTensor {
    /// A tensor of 32-bit floats, zero where the host can reach it.
    pub(super) fn f32(allocator: &Allocator, shape: &[usize]) -> Result<Self, TrainingError> {
        let tensor = Tensor::new(allocator, shape).map_err(TrainingError::session(format!("allocating {shape:?}")))?;
        Ok(Self { data: Data::F32(tensor), shape: shape.to_vec() })
    }

    /// A tensor of what an optimizer remembers.
    pub(super) fn of_state(allocator: &Allocator, state: &StateTensor) -> Result<Self, TrainingError> {
        let shape = state.shape.as_slice();
        match state.start {
            StateStart::F32(_) => Self::f32(allocator, shape),
            StateStart::U8(_) => {
                let doing = format!("allocating {shape:?}");
                let tensor = Tensor::new(allocator, shape).map_err(TrainingError::session(doing))?;
                Ok(Self { data: Data::U8(tensor), shape: shape.to_vec() })
            }
        }
    }

    /// A tensor as a manifest describes it; axes that are named have length one until a batch says more.
    pub(super) fn of_entry(allocator: &Allocator, entry: &TensorEntry) -> Result<Self, TrainingError> {
        let shape: Vec<usize> = entry.shape.iter().map(|length| length.fixed().unwrap_or(1)).collect();
        Self::of_type(allocator, entry, &shape)
    }

    fn of_type(allocator: &Allocator, entry: &TensorEntry, shape: &[usize]) -> Result<Self, TrainingError> {
        match entry.dtype.as_str() {
            "float32" => Self::f32(allocator, shape),
            "int64" => {
                let doing = format!("allocating `{}`", entry.name);
                let tensor = Tensor::new(allocator, shape).map_err(TrainingError::session(doing))?;
                Ok(Self { data: Data::I64(tensor), shape: shape.to_vec() })
            }
            "uint8" => {
                let doing = format!("allocating `{}`", entry.name);
                let tensor = Tensor::new(allocator, shape).map_err(TrainingError::session(doing))?;
                Ok(Self { data: Data::U8(tensor), shape: shape.to_vec() })
            }
            _ => Err(TrainingError::Input {
                name: entry.name.clone(),
                wanted: format!("{} {:?}", entry.dtype, entry.shape),
                got: "an element type that batches do not have".into(),
            }),
        }
    }

    /// Takes another shape where the manifest leaves it open; says whether it is another tensor now, to be bound anew.
    /// What the shape must not be is left to [`OwnedTensor::fill`].
    pub(super) fn take_shape(&mut self, entry: &TensorEntry, shape: &[usize]) -> Result<bool, TrainingError> {
        let fits = |(wanted, got): (&AxisLength, &usize)| wanted.fixed().is_none_or(|wanted| wanted == *got);
        let open = shape.len() == entry.shape.len() && entry.shape.iter().zip(shape).all(fits);
        if !open || self.shape == shape {
            return Ok(false);
        }
        *self = Self::of_type(&Allocator::default(), entry, shape)?;
        Ok(true)
    }

    /// Length of each axis.
    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Binds it as an input. On CUDA an input that lies on the host is copied now, and not again when it changes.
    pub(super) fn bind_input(&self, binding: &mut IoBinding, name: &str) -> Result<(), TrainingError> {
        let bound = match &self.data {
            Data::F32(tensor) => binding.bind_input(name, tensor),
            Data::I64(tensor) => binding.bind_input(name, tensor),
            Data::U8(tensor) => binding.bind_input(name, tensor),
        };
        bound.map_err(TrainingError::session(format!("binding the input `{name}`")))
    }

    /// As a session that is not bound takes it.
    pub(super) fn input(&self) -> SessionInputValue<'_> {
        match &self.data {
            Data::F32(tensor) => tensor.into(),
            Data::I64(tensor) => tensor.into(),
            Data::U8(tensor) => tensor.into(),
        }
    }

    /// Binds it as an output.
    pub(super) fn bind_output(&mut self, binding: &mut IoBinding, name: &str) -> Result<(), TrainingError> {
        let bound = match &mut self.data {
            Data::F32(tensor) => binding.bind_output(name, tensor),
            Data::I64(tensor) => binding.bind_output(name, tensor),
            Data::U8(tensor) => binding.bind_output(name, tensor),
        };
        bound.map_err(TrainingError::session(format!("binding the output `{name}`")))
    }

    /// Copies a tensor of a batch into it; the batch must have exactly this type and shape, of which `entry` leaves open what
    /// it names.
    pub(super) fn fill(&mut self, entry: &TensorEntry, from: &BatchTensor) -> Result<(), TrainingError> {
        let fits = self.shape == from.shape;
        match (&mut self.data, &from.data) {
            (Data::F32(tensor), TensorData::F32(values)) if fits => {
                tensor.extract_tensor_mut().1.copy_from_slice(values)
            }
            (Data::I64(tensor), TensorData::I64(values)) if fits => {
                tensor.extract_tensor_mut().1.copy_from_slice(values)
            }
            (Data::U8(tensor), TensorData::U8(values)) if fits => tensor.extract_tensor_mut().1.copy_from_slice(values),
            (data, _) => {
                let dtype = match data {
                    Data::F32(_) => "float32",
                    Data::I64(_) => "int64",
                    Data::U8(_) => "uint8",
                };
                return Err(TrainingError::Input {
                    name: entry.name.clone(),
                    wanted: format!("{dtype} {:?}", entry.shape),
                    got: format!("{} {:?}", from.element_type().name(), from.shape),
                });
            }
        }
        Ok(())
    }

    /// The elements, where the host can reach them.
    pub(super) fn values(&self) -> &[f32] {
        match &self.data {
            Data::F32(tensor) => tensor.extract_tensor().1,
            Data::I64(_) | Data::U8(_) => unreachable!("inputs that are integers are not read back, and codes as such"),
        }
    }

    /// The elements, where the host can reach them.
    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        match &mut self.data {
            Data::F32(tensor) => tensor.extract_tensor_mut().1,
            Data::I64(_) | Data::U8(_) => unreachable!("inputs that are integers are filled whole, and codes as such"),
        }
    }

    /// Shows the elements, copied to the host where it cannot reach them.
    pub(super) fn read(&self, show: impl FnOnce(&[f32])) -> Result<(), TrainingError> {
        let Data::F32(tensor) = &self.data else { unreachable!("only floats are stored on a device") };
        if tensor.memory_info().is_cpu_accessible() {
            show(self.values());
        } else {
            show(&self.download()?);
        }
        Ok(())
    }

    /// Changes the elements, copied to the host and back where it cannot reach them.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut [f32])) -> Result<(), TrainingError> {
        let Data::F32(tensor) = &self.data else { unreachable!("only floats are stored on a device") };
        if tensor.memory_info().is_cpu_accessible() {
            change(self.values_mut());
            return Ok(());
        }
        let mut values = self.download()?;
        change(&mut values);
        self.upload(&values)
    }

    /// A copy of the elements, from whichever device they are on.
    pub(super) fn download(&self) -> Result<Vec<f32>, TrainingError> {
        let Data::F32(tensor) = &self.data else { unreachable!("of parameters and gradients, which are floats") };
        downloaded(tensor)
    }

    /// A copy of what an optimizer remembers, from whichever device it is on.
    pub(super) fn download_state(&self) -> Result<StateValues, TrainingError> {
        match &self.data {
            Data::F32(tensor) => downloaded(tensor).map(StateValues::F32),
            Data::U8(tensor) => downloaded(tensor).map(StateValues::U8),
            Data::I64(_) => unreachable!("only inputs are such integers"),
        }
    }

    /// Replaces the elements, on whichever device they are.
    pub(super) fn upload(&mut self, values: &[f32]) -> Result<(), TrainingError> {
        let Data::F32(tensor) = &mut self.data else { unreachable!("of parameters and gradients, which are floats") };
        upload(tensor, &self.shape, values)
    }

    /// Replaces what an optimizer remembers, on whichever device it is; the type was checked.
    pub(super) fn upload_state(&mut self, values: &StateValues) -> Result<(), TrainingError> {
        match (&mut self.data, values) {
            (Data::F32(tensor), StateValues::F32(values)) => upload(tensor, &self.shape, values),
            (Data::U8(tensor), StateValues::U8(values)) => upload(tensor, &self.shape, values),
            _ => unreachable!("the types of state were checked"),
        }
    }
}

fn downloaded<T: PrimitiveTensorElementType + Copy + Debug>(tensor: &Tensor<T>) -> Result<Vec<T>, TrainingError> {
    if tensor.memory_info().is_cpu_accessible() {
        return Ok(tensor.extract_tensor().1.to_vec());
    }
    let host = tensor.to(AllocationDevice::CPU, 0).map_err(TrainingError::session("copying from the device"))?;
    Ok(host.extract_tensor().1.to_vec())
}

fn upload<T: PrimitiveTensorElementType + Copy + Debug>(
    tensor: &mut Tensor<T>,
    shape: &[usize],
    values: &[T],
) -> Result<(), TrainingError> {
    if tensor.memory_info().is_cpu_accessible() {
        tensor.extract_tensor_mut().1.copy_from_slice(values);
        return Ok(());
    }
    let doing = "copying to the device";
    let mut host = Tensor::<T>::new(&Allocator::default(), shape).map_err(TrainingError::session(doing))?;
    host.extract_tensor_mut().1.copy_from_slice(values);
    host.copy_into(tensor).map_err(TrainingError::session(doing))
}
