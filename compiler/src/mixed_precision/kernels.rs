//! Which operators run in 16 bits: those that PyTorch's autocast runs so, as far as ONNX Runtime 1.31 has kernels for CUDA
//! (`docs/OperatorKernels.md` of its repository) and ONNX allows the type.

use crate::graph::{ElementType, Node};

/// Why an operator is in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// What gains: products of matrices and convolutions. Whatever they read is made of 16 bits.
    Product,
    /// Computes with each element: in 16 bits where what it reads is so already.
    Pointwise,
    /// Moves elements and changes none, so that a cast may as well stand before it as behind.
    Movement,
}

/// An operator, and from which version of its domain on it runs in 16 bits.
pub(super) struct Kernel {
    domain: &'static str,
    operator: &'static str,
    pub(super) role: Role,
    float16: Option<i64>,
    bfloat16: Option<i64>,
    /// How many of its first inputs are of the type; others, such as the scales of `Resize`, stay as they are.
    pub(super) typed_inputs: usize,
}

const MICROSOFT: &str = "com.microsoft";
const ALL: usize = usize::MAX;

const fn both(role: Role, operator: &'static str, float16: i64, bfloat16: i64) -> Kernel {
    Kernel { domain: "", operator, role, float16: Some(float16), bfloat16: Some(bfloat16), typed_inputs: ALL }
}

const fn half_alone(role: Role, operator: &'static str, float16: i64) -> Kernel {
    Kernel { domain: "", operator, role, float16: Some(float16), bfloat16: None, typed_inputs: ALL }
}

const fn microsoft(role: Role, operator: &'static str) -> Kernel {
    Kernel { domain: MICROSOFT, operator, role, float16: Some(1), bfloat16: Some(1), typed_inputs: ALL }
}

/// Softmax, normalizations, reductions, powers, exponentials, logarithms and losses are not in it: they stay in 32 bits.
const KERNELS: [Kernel; 63] = [
    both(Role::Product, "Attention", 23, 23),
    both(Role::Product, "Conv", 11, 22),
    half_alone(Role::Product, "ConvTranspose", 11),
    half_alone(Role::Product, "Einsum", 12),
    both(Role::Product, "Gemm", 11, 13),
    both(Role::Product, "MatMul", 9, 13),
    microsoft(Role::Product, "Attention"),
    microsoft(Role::Product, "FusedMatMul"),
    both(Role::Pointwise, "Abs", 6, 13),
    both(Role::Pointwise, "Add", 7, 13),
    both(Role::Pointwise, "AveragePool", 11, 22),
    half_alone(Role::Pointwise, "Clip", 12),
    both(Role::Pointwise, "Div", 7, 13),
    half_alone(Role::Pointwise, "Elu", 6),
    half_alone(Role::Pointwise, "Equal", 11),
    both(Role::Pointwise, "Erf", 9, 13),
    both(Role::Pointwise, "Gelu", 20, 20),
    half_alone(Role::Pointwise, "GlobalAveragePool", 1),
    half_alone(Role::Pointwise, "GlobalMaxPool", 1),
    half_alone(Role::Pointwise, "Greater", 9),
    half_alone(Role::Pointwise, "GreaterOrEqual", 12),
    both(Role::Pointwise, "HardSigmoid", 6, 22),
    both(Role::Pointwise, "HardSwish", 14, 22),
    half_alone(Role::Pointwise, "LeakyRelu", 6),
    half_alone(Role::Pointwise, "Less", 9),
    half_alone(Role::Pointwise, "LessOrEqual", 12),
    both(Role::Pointwise, "Max", 12, 13),
    half_alone(Role::Pointwise, "MaxPool", 11),
    both(Role::Pointwise, "Min", 12, 13),
    both(Role::Pointwise, "Mul", 7, 13),
    both(Role::Pointwise, "Neg", 6, 13),
    half_alone(Role::Pointwise, "PRelu", 9),
    both(Role::Pointwise, "Relu", 6, 13),
    Kernel { typed_inputs: 1, ..half_alone(Role::Pointwise, "Resize", 11) },
    half_alone(Role::Pointwise, "Selu", 6),
    both(Role::Pointwise, "Sigmoid", 6, 13),
    both(Role::Pointwise, "Sub", 7, 13),
    both(Role::Pointwise, "Sum", 8, 13),
    both(Role::Pointwise, "Tanh", 6, 13),
    both(Role::Pointwise, "Where", 9, 16),
    microsoft(Role::Pointwise, "BiasGelu"),
    microsoft(Role::Pointwise, "FastGelu"),
    microsoft(Role::Pointwise, "Gelu"),
    both(Role::Movement, "Concat", 4, 13),
    half_alone(Role::Movement, "DepthToSpace", 11),
    both(Role::Movement, "Expand", 8, 13),
    both(Role::Movement, "Flatten", 9, 13),
    both(Role::Movement, "Gather", 1, 13),
    both(Role::Movement, "GatherElements", 11, 13),
    both(Role::Movement, "GatherND", 11, 13),
    both(Role::Movement, "Identity", 1, 13),
    half_alone(Role::Movement, "Pad", 11),
    both(Role::Movement, "Reshape", 5, 13),
    both(Role::Movement, "ScatterElements", 11, 13),
    both(Role::Movement, "Slice", 10, 13),
    half_alone(Role::Movement, "SpaceToDepth", 1),
    both(Role::Movement, "Split", 13, 13),
    both(Role::Movement, "Squeeze", 13, 13),
    both(Role::Movement, "Tile", 6, 13),
    both(Role::Movement, "Transpose", 1, 13),
    both(Role::Movement, "Trilu", 14, 14),
    both(Role::Movement, "Unsqueeze", 13, 13),
    both(Role::Movement, "ScatterND", 11, 13),
];

/// The row of a node, where its form has one.
pub(super) fn row_of(node: &Node) -> Option<&'static Kernel> {
    KERNELS.iter().find(|row| row.operator == node.operator && row.domain == node.domain)
}

impl Kernel {
    /// The version of its domain from which on it runs in this format.
    pub(super) fn since(&self, format: ElementType) -> Option<i64> {
        if format == ElementType::F16 { self.float16 } else { self.bfloat16 }
    }

    /// Whether the node runs in this format under that version of its domain.
    pub(super) fn runs(&self, node: &Node, format: ElementType, opset: i64) -> bool {
        self.since(format).is_some_and(|since| opset >= since) && !has_other_form(node)
    }
}

/// Forms that stay in 32 bits: what adds up at indices would round after each element, and the large negative numbers of a
/// mask of attention are beyond 16 bits.
fn has_other_form(node: &Node) -> bool {
    match (node.domain.as_str(), node.operator.as_str()) {
        ("", "ScatterElements" | "ScatterND") => node.string("reduction").is_some_and(|reduction| reduction != "none"),
        ("", "Attention") => node.input(3).is_some() || node.attributes.contains_key("softmax_precision"),
        (MICROSOFT, "Attention") => node.input(5).is_some(),
        _ => false,
    }
}
