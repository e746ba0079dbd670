/// The type of 32-bit floats as checkpoints call it.
pub(crate) const FLOATS: &str = "float32";
/// The type of bytes as checkpoints call it.
pub(crate) const BYTES: &str = "uint8";

/// The elements of a state tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum StateValues {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// Bytes, such as codes of numbers.
    U8(Vec<u8>),
}

impl StateValues {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::U8(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type as checkpoints call it.
    pub fn dtype(&self) -> &'static str {
        match self {
            Self::F32(_) => FLOATS,
            Self::U8(_) => BYTES,
        }
    }

    /// The elements of a tensor that its rule states as floats.
    pub fn floats(&self) -> &[f32] {
        match self {
            Self::F32(values) => values,
            Self::U8(_) => unreachable!("state is given to a rule as the rule states it"),
        }
    }

    /// The elements of a tensor that its rule states as floats.
    pub fn floats_mut(&mut self) -> &mut [f32] {
        match self {
            Self::F32(values) => values,
            Self::U8(_) => unreachable!("state is given to a rule as the rule states it"),
        }
    }

    /// The elements of a tensor that its rule states as bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::U8(values) => values,
            Self::F32(_) => unreachable!("state is given to a rule as the rule states it"),
        }
    }

    /// The elements as floats, codes as the numbers that they are.
    pub fn to_floats(&self) -> Vec<f32> {
        match self {
            Self::F32(values) => values.clone(),
            Self::U8(values) => values.iter().map(|value| f32::from(*value)).collect(),
        }
    }
}

/// The state of a rule that states so many tensors of floats.
pub fn floats<const N: usize>(state: &mut [StateValues]) -> [&mut [f32]; N] {
    let mut tensors = state.iter_mut();
    std::array::from_fn(|_| tensors.next().expect("a rule is given all that it states").floats_mut())
}

/// The type of a state tensor's elements, and what each of them is before the first step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StateStart {
    /// 32-bit floats.
    F32(f32),
    /// Bytes.
    U8(u8),
}

impl StateStart {
    /// So many elements before the first step.
    pub fn values(self, elements: usize) -> StateValues {
        match self {
            Self::F32(value) => StateValues::F32(vec![value; elements]),
            Self::U8(value) => StateValues::U8(vec![value; elements]),
        }
    }

    /// Bytes of an element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32(_) => size_of::<f32>(),
            Self::U8(_) => size_of::<u8>(),
        }
    }

    /// The type as checkpoints call it.
    pub fn dtype(self) -> &'static str {
        match self {
            Self::F32(_) => FLOATS,
            Self::U8(_) => BYTES,
        }
    }
}
