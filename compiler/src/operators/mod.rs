//! What is known of each operator: versions, shape rule, gradient, samples. One file an operator, one row here.

mod abs;
mod add;
mod and;
mod average_pool;
mod batch_normalization;
mod cast;
mod ceil;
mod clip;
mod concat;
mod constant;
mod constant_of_shape;
mod conv;
mod conv_transpose;
mod cos;
mod div;
mod dropout;
mod elu;
mod equal;
mod erf;
mod exp;
mod expand;
mod flatten;
mod floor;
mod gather;
mod gelu;
mod gemm;
mod global_average_pool;
mod global_max_pool;
mod greater;
mod greater_or_equal;
mod hard_sigmoid;
mod hard_swish;
mod identity;
mod layer_normalization;
mod leaky_relu;
mod less;
mod less_or_equal;
mod log;
mod log_softmax;
mod mat_mul;
mod max;
mod max_pool;
mod min;
mod mul;
mod neg;
mod not;
mod or;
mod p_relu;
mod pad;
mod pow;
mod range;
mod reciprocal;
mod reduce_max;
mod reduce_mean;
mod reduce_min;
mod reduce_sum;
mod relu;
mod reshape;
mod round;
mod rules;
mod scatter_elements;
mod scatter_nd;
mod shape;
mod sigmoid;
mod sign;
mod sin;
mod slice;
mod softmax;
mod softplus;
mod split;
mod sqrt;
mod squeeze;
mod sub;
mod tanh;
mod transpose;
mod unsqueeze;
mod r#where;

use std::ops::RangeInclusive;

pub(crate) use rules::axes::from_front as axis_from_front;
use rules::{axes, convolutions, extremes, folding, reductions, windows};

use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Constant, ElementType, Graph, Node, TensorType};
use millstream_schemas::shown;

/// All operators, by name.
pub fn table() -> &'static [Operator] {
    &[
        abs::OPERATOR,
        add::OPERATOR,
        and::OPERATOR,
        average_pool::OPERATOR,
        batch_normalization::OPERATOR,
        cast::OPERATOR,
        ceil::OPERATOR,
        clip::OPERATOR,
        concat::OPERATOR,
        constant::OPERATOR,
        constant_of_shape::OPERATOR,
        conv::OPERATOR,
        conv_transpose::OPERATOR,
        cos::OPERATOR,
        div::OPERATOR,
        dropout::OPERATOR,
        elu::OPERATOR,
        equal::OPERATOR,
        erf::OPERATOR,
        exp::OPERATOR,
        expand::OPERATOR,
        flatten::OPERATOR,
        floor::OPERATOR,
        gather::OPERATOR,
        gelu::OPERATOR,
        gemm::OPERATOR,
        global_average_pool::OPERATOR,
        global_max_pool::OPERATOR,
        greater::OPERATOR,
        greater_or_equal::OPERATOR,
        hard_sigmoid::OPERATOR,
        hard_swish::OPERATOR,
        identity::OPERATOR,
        layer_normalization::OPERATOR,
        leaky_relu::OPERATOR,
        less::OPERATOR,
        less_or_equal::OPERATOR,
        log::OPERATOR,
        log_softmax::OPERATOR,
        mat_mul::OPERATOR,
        max::OPERATOR,
        max_pool::OPERATOR,
        min::OPERATOR,
        mul::OPERATOR,
        neg::OPERATOR,
        not::OPERATOR,
        or::OPERATOR,
        p_relu::OPERATOR,
        pad::OPERATOR,
        pow::OPERATOR,
        range::OPERATOR,
        reciprocal::OPERATOR,
        reduce_max::OPERATOR,
        reduce_mean::OPERATOR,
        reduce_min::OPERATOR,
        reduce_sum::OPERATOR,
        relu::OPERATOR,
        reshape::OPERATOR,
        round::OPERATOR,
        scatter_elements::OPERATOR,
        scatter_nd::OPERATOR,
        shape::OPERATOR,
        sigmoid::OPERATOR,
        sign::OPERATOR,
        sin::OPERATOR,
        slice::OPERATOR,
        softmax::OPERATOR,
        softplus::OPERATOR,
        split::OPERATOR,
        sqrt::OPERATOR,
        squeeze::OPERATOR,
        sub::OPERATOR,
        tanh::OPERATOR,
        transpose::OPERATOR,
        unsqueeze::OPERATOR,
        r#where::OPERATOR,
    ]
}

/// The row of an operator of the standard domain (`""` or `ai.onnx`).
pub fn find(operator: &str, domain: &str) -> Option<&'static Operator> {
    let standard = domain.is_empty() || domain == "ai.onnx";
    table().iter().find(|row| standard && row.name == operator)
}

/// How reports and errors name an operator: with its domain unless it is a standard one, cut and escaped.
pub(crate) fn qualified(operator: &str, domain: &str) -> String {
    if matches!(domain, "" | "ai.onnx") { shown(operator) } else { shown(format!("{domain}.{operator}")) }
}

/// The gradient of an operator in this opset, or why there is none.
pub(crate) fn gradient_of(operator: &str, domain: &str, opset: i64) -> Result<Gradient, String> {
    let row = find(operator, domain).ok_or("it is not in the operator table")?;
    if !row.opsets.contains(&opset) {
        return Err(format!("the rule covers opsets {} to {}", row.opsets.start(), row.opsets.end()));
    }
    match row.gradient {
        Gradient::Missing => Err("its gradient is not written".into()),
        gradient => Ok(gradient),
    }
}

/// One operator of the standard domain.
pub struct Operator {
    /// Name as in ONNX.
    pub name: &'static str,
    /// Opsets whose definition the rules follow.
    pub opsets: RangeInclusive<i64>,
    /// Inputs that hold trainable weights when they are constants of the model, for example 1 and 2 of `Conv`.
    pub weights: &'static [usize],
    /// States the outputs' types from the inputs'.
    pub types: TypeRule,
    /// The value of small integer outputs when the inputs' are known: shape arithmetic that exporters leave in graphs.
    pub fold: Option<FoldRule>,
    /// The gradient.
    pub gradient: Gradient,
    /// Examples that the gradient and shape checks run through ONNX Runtime.
    pub samples: fn() -> Vec<Sample>,
}

impl Operator {
    /// The types of a node's outputs by the rule; refused when one has more elements than any machine holds.
    pub fn output_types(&self, rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
        let types = (self.types)(rule)?;
        match types.iter().find(|known| !known.fits_a_machine()) {
            Some(known) => Err(rule.error(format!("an output {known}, which no machine holds"))),
            None => Ok(types),
        }
    }
}

/// States the types of a node's outputs.
pub type TypeRule = fn(&TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError>;

/// Computes a node's first output when its inputs are known constants; `None` when this form is not folded.
pub type FoldRule = fn(&TypeRuleInput<'_>) -> Result<Option<Constant>, CompilerError>;

/// How the reverse pass goes through an operator.
#[derive(Clone, Copy)]
pub enum Gradient {
    /// Adds the nodes that compute the inputs' gradients.
    Defined(fn(&mut Backward<'_>) -> Result<(), CompilerError>),
    /// The derivative is zero everywhere or undefined; the reason.
    Zero(&'static str),
    /// Not known here; training through it is an error.
    Missing,
}

/// What a [`TypeRule`] sees.
pub struct TypeRuleInput<'a> {
    /// The graph so far.
    pub graph: &'a Graph,
    /// The node; its outputs are not made yet.
    pub node: &'a Node,
    /// Number of outputs that the node has.
    pub outputs: usize,
}

impl<'a> TypeRuleInput<'a> {
    /// The type of a required input.
    pub fn input(&self, index: usize) -> Result<&'a TensorType, CompilerError> {
        let given = self.node.input(index).ok_or_else(|| self.error(format!("input {index} is missing")))?;
        self.graph.known_type(given)
    }

    /// The type of an input that may be left out; `None` also where it is not known.
    pub fn optional(&self, index: usize) -> Option<&'a TensorType> {
        self.node.input(index).and_then(|id| self.graph.tensor_type(id))
    }

    /// The integers that an input always holds, if it is given and constant.
    pub fn integers(&self, index: usize) -> Option<Vec<i64>> {
        self.node.input(index).and_then(|id| self.graph.constant_of(id)).and_then(Constant::to_i64)
    }

    /// The integers that an input always holds, or an error when they are not known before the run.
    pub fn known_integers(&self, index: usize) -> Result<Vec<i64>, CompilerError> {
        self.integers(index).ok_or_else(|| match self.node.input(index) {
            Some(_) => self.not_known(index),
            None => self.error(format!("input {index} is missing")),
        })
    }

    /// Refuses inputs of integers that are given and not known before the run.
    pub fn require_known(&self, inputs: std::ops::Range<usize>) -> Result<(), CompilerError> {
        let unknown = |index: &usize| self.node.input(*index).is_some() && self.integers(*index).is_none();
        inputs.into_iter().find(unknown).map_or(Ok(()), |index| Err(self.not_known(index)))
    }

    fn not_known(&self, index: usize) -> CompilerError {
        CompilerError::NotKnown {
            node: self.node.label(self.graph),
            operator: self.node.operator.clone(),
            message: format!("input {index} is computed from data, so the output's shape is not known before the run"),
        }
    }

    /// The constant that an input always is.
    pub fn constant(&self, index: usize) -> Option<&'a Constant> {
        self.node.input(index).and_then(|id| self.graph.constant_of(id))
    }

    /// The version of the operator set.
    pub fn opset(&self) -> i64 {
        self.graph.opset
    }

    /// An error that names this node.
    pub fn error(&self, message: impl Into<String>) -> CompilerError {
        CompilerError::Node {
            node: self.node.label(self.graph),
            operator: self.node.operator.clone(),
            message: message.into(),
        }
    }

    /// An axis attribute or value, counted from the front; negative ones count from the end.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<usize, CompilerError> {
        let counted = if axis < 0 { axis + rank as i64 } else { axis };
        usize::try_from(counted)
            .ok()
            .filter(|axis| *axis < rank)
            .ok_or_else(|| self.error(format!("axis {axis} of {rank} axes")))
    }

    /// The shape that two shapes broadcast to, as numpy does.
    pub fn broadcast(&self, a: &[usize], b: &[usize]) -> Result<Vec<usize>, CompilerError> {
        let rank = a.len().max(b.len());
        let length = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
        (0..rank)
            .map(|axis| match (length(a, axis), length(b, axis)) {
                (x, y) if x == y => Ok(x),
                (1, y) => Ok(y),
                (x, 1) => Ok(x),
                (x, y) => Err(self.error(format!("shapes {a:?} and {b:?} do not broadcast: {x} against {y}"))),
            })
            .collect()
    }
}

/// An example of an operator, run by the checks of its shape rule and its gradient.
#[derive(Clone)]
pub struct Sample {
    /// What is special about it.
    pub name: &'static str,
    /// The operator's inputs.
    pub inputs: Vec<SampleInput>,
    /// Its attributes.
    pub attributes: Vec<(&'static str, crate::graph::Attribute)>,
    /// Number of outputs; gradients are checked through the first.
    pub outputs: usize,
    /// Opsets that know this form.
    pub opsets: RangeInclusive<i64>,
}

/// An input of a [`Sample`].
#[derive(Clone)]
pub enum SampleInput {
    /// Floats of this shape, drawn evenly from the range; the gradient with respect to them is checked.
    Varied {
        /// Length of each axis.
        shape: Vec<usize>,
        /// Smallest and largest value.
        range: (f32, f32),
    },
    /// A constant; no gradient flows to it.
    Fixed(Constant),
    /// An optional input left out.
    Absent,
}

impl Sample {
    /// A sample with one output.
    pub fn new(
        name: &'static str,
        inputs: Vec<SampleInput>,
        attributes: Vec<(&'static str, crate::graph::Attribute)>,
    ) -> Self {
        Self { name, inputs, attributes, outputs: 1, opsets: 13..=25 }
    }

    /// The same, with several outputs.
    #[must_use]
    pub fn with_outputs(self, outputs: usize) -> Self {
        Self { outputs, ..self }
    }

    /// The same, only from this opset on.
    #[must_use]
    pub fn since(self, opset: i64) -> Self {
        let opsets = opset..=*self.opsets.end();
        Self { opsets, ..self }
    }

    /// The same, only up to this opset.
    #[must_use]
    pub fn until(self, opset: i64) -> Self {
        let opsets = *self.opsets.start()..=opset;
        Self { opsets, ..self }
    }
}

/// Floats in −1 to 1 whose gradient is checked.
pub fn varied(shape: &[usize]) -> SampleInput {
    SampleInput::Varied { shape: shape.to_vec(), range: (-1.0, 1.0) }
}

/// Floats in a range whose gradient is checked.
pub fn varied_in(shape: &[usize], low: f32, high: f32) -> SampleInput {
    SampleInput::Varied { shape: shape.to_vec(), range: (low, high) }
}

/// Truth values.
pub fn fixed_truths(shape: &[usize], values: &[bool]) -> SampleInput {
    let bytes: Vec<u8> = values.iter().map(|value| u8::from(*value)).collect();
    SampleInput::Fixed(Constant { dtype: ElementType::Bool, shape: shape.to_vec(), bytes: bytes.into() })
}

/// A vector of integers.
pub fn fixed_integers(values: &[i64]) -> SampleInput {
    SampleInput::Fixed(Constant::i64([values.len()], values))
}

/// The output has the first input's type: for operators that work on each element.
fn same_as_first(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    Ok(vec![rule.input(0)?.clone()])
}

/// The output has the first input's element type and the shape that the first two inputs broadcast to.
fn broadcast_of_two(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (a, b) = (rule.input(0)?, rule.input(1)?);
    if a.dtype != b.dtype {
        return Err(rule.error(format!("element types differ: {} and {}", a.dtype.name(), b.dtype.name())));
    }
    Ok(vec![TensorType { dtype: a.dtype, shape: rule.broadcast(&a.shape, &b.shape)? }])
}

/// Truth values of the shape that the first two inputs broadcast to.
fn truth_of_two(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let shape = broadcast_of_two(rule)?.remove(0).shape;
    Ok(vec![TensorType { dtype: ElementType::Bool, shape }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_by_name() {
        let names: Vec<&str> = table().iter().map(|row| row.name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(names, sorted);
    }
}
