use super::ElementType;

/// Element type and the length of each axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorType {
    /// Element type.
    pub dtype: ElementType,
    /// Length of each axis; no axis is symbolic in a training graph.
    pub shape: Vec<usize>,
}

impl TensorType {
    /// A tensor of 32-bit floats.
    pub fn f32(shape: impl Into<Vec<usize>>) -> Self {
        Self { dtype: ElementType::F32, shape: shape.into() }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether a machine could hold it; if not it is a mistake or an attack, and sums of such lengths would overflow.
    /// An axis of length 0 does not excuse the others.
    pub(crate) fn fits_a_machine(&self) -> bool {
        const MOST_ELEMENTS: usize = 1 << 40;
        let product = self.shape.iter().try_fold(1usize, |product, length| product.checked_mul((*length).max(1)));
        product.is_some_and(|count| count <= MOST_ELEMENTS)
    }
}

impl std::fmt::Display for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.dtype.name(), self.shape)
    }
}
