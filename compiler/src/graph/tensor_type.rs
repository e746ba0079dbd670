use super::length::fixed_lengths;
use super::{ElementType, Length};

/// Element type and the length of each axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorType {
    /// Element type.
    pub dtype: ElementType,
    /// Length of each axis: a number, or an expression over named lengths.
    pub shape: Vec<Length>,
}

impl TensorType {
    /// A tensor of these elements.
    pub fn new(dtype: ElementType, shape: impl IntoIterator<Item: Into<Length>>) -> Self {
        Self { dtype, shape: shape.into_iter().map(Into::into).collect() }
    }

    /// A tensor of 32-bit floats.
    pub fn f32(shape: impl IntoIterator<Item: Into<Length>>) -> Self {
        Self::new(ElementType::F32, shape)
    }

    /// Number of elements.
    pub fn elements(&self) -> Length {
        self.shape.iter().product()
    }

    /// The lengths where all are numbers.
    pub fn fixed_shape(&self) -> Option<Vec<usize>> {
        fixed_lengths(&self.shape)
    }

    /// Whether two types are the same, as far as lengths say.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        let same = || self.shape.iter().zip(&other.shape).all(|(own, other)| own.agrees_with(other));
        self.dtype == other.dtype && self.shape.len() == other.shape.len() && same()
    }

    /// With lengths for names, where `length` gives one.
    #[must_use]
    pub fn with(&self, length: &dyn Fn(&str) -> Option<Length>) -> Self {
        Self { dtype: self.dtype, shape: self.shape.iter().map(|axis| axis.with(length)).collect() }
    }

    /// Whether a machine could hold it; if not it is a mistake or an attack, and sums of such lengths would overflow.
    /// An axis of length 0 does not excuse the others, and a name counts as one.
    pub(crate) fn fits_a_machine(&self) -> bool {
        const MOST_ELEMENTS: usize = 1 << 40;
        let product = self.shape.iter().try_fold(1usize, |product, length| match length.as_number() {
            Some(number) => product.checked_mul(usize::try_from(number).ok()?.max(1)),
            None => (!length.is_excessive()).then_some(product),
        });
        product.is_some_and(|count| count <= MOST_ELEMENTS)
    }
}

impl std::fmt::Display for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.dtype.name(), self.shape)
    }
}
