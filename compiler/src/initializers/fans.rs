/// How many inputs and outputs a unit of a layer is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fans {
    /// Inputs a unit reads.
    pub fan_in: usize,
    /// Units that read an input.
    pub fan_out: usize,
}

impl Fans {
    /// Of a convolution's weight `[out, in / groups, kernel…]`.
    pub fn of_convolution(shape: &[usize]) -> Self {
        let field: usize = shape.iter().skip(2).product();
        Self { fan_in: shape.get(1).unwrap_or(&1) * field, fan_out: shape.first().unwrap_or(&1) * field }
    }

    /// Of a dense layer.
    pub fn of_dense(inputs: usize, outputs: usize) -> Self {
        Self { fan_in: inputs, fan_out: outputs }
    }

    /// Inputs, at least one.
    pub(super) fn inputs(self) -> f64 {
        self.fan_in.max(1) as f64
    }

    /// Inputs and outputs together.
    pub(super) fn both(self) -> f64 {
        self.inputs() + self.fan_out.max(1) as f64
    }
}
