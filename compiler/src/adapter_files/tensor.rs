/// Numbers with a shape, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Tensor {
    /// Nothing where there are not as many numbers as the shape says.
    pub fn new(shape: impl Into<Vec<usize>>, values: impl Into<Vec<f32>>) -> Option<Self> {
        let (shape, values) = (shape.into(), values.into());
        let count = shape.iter().try_fold(1_usize, |product, length| product.checked_mul(*length))?;
        (count == values.len()).then_some(Self { shape, values })
    }

    /// One axis.
    pub fn vector(values: impl Into<Vec<f32>>) -> Self {
        let values = values.into();
        Self { shape: vec![values.len()], values }
    }

    /// Length of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The numbers.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The shape of [`Tensor::turned`].
    pub(crate) fn turned_shape(&self) -> Vec<usize> {
        match *self.shape.as_slice() {
            [rows, columns] => vec![columns, rows],
            _ => self.shape.clone(),
        }
    }

    /// A matrix turned; anything else as it is.
    #[must_use]
    pub fn turned(&self) -> Self {
        let [rows, columns] = *self.shape.as_slice() else { return self.clone() };
        let at = |place: usize| self.values[place % rows * columns + place / rows];
        Self { shape: vec![columns, rows], values: (0..self.values.len()).map(at).collect() }
    }

    /// The same numbers along one axis.
    #[must_use]
    pub fn flat(self) -> Self {
        Self::vector(self.values)
    }

    /// With the numbers of another tensor behind its own along an axis; all other lengths are the same.
    ///
    /// # Panics
    /// They are not.
    #[must_use]
    pub(crate) fn stacked(&self, other: &Self, axis: usize) -> Self {
        let mut shape = self.shape.clone();
        shape[axis] += other.shape[axis];
        let run = |tensor: &Self| tensor.shape[axis..].iter().product::<usize>().max(1);
        let (own, others) = (self.values.chunks(run(self)), other.values.chunks(run(other)));
        let values: Vec<f32> = own.zip(others).flat_map(|(own, other)| own.iter().chain(other).copied()).collect();
        Self::new(shape, values).expect("two tensors that differ in one length")
    }

    /// Every number times a factor.
    #[must_use]
    pub fn times(&self, factor: f64) -> Self {
        let values = self.values.iter().map(|value| (f64::from(*value) * factor) as f32).collect();
        Self { shape: self.shape.clone(), values }
    }
}
