//! What is known of each operator: versions, shape rule, gradient, samples. One file an operator, one row here.
//!
//! [`OperatorCatalog::standard`] holds these rows, and a row from outside the crate is as good as they are: see [`OperatorCatalog`].

mod abs;
mod add;
mod and;
mod average_pool;
mod batch_normalization;
mod bias_gelu;
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
mod fast_gelu;
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
mod mish;
mod mul;
mod neg;
mod not;
mod operator;
mod operator_catalog;
mod or;
mod p_relu;
mod pad;
mod pow;
mod quick_gelu;
mod range;
mod reciprocal;
mod reduce_l2;
mod reduce_max;
mod reduce_mean;
mod reduce_min;
mod reduce_sum;
mod relu;
mod reshape;
mod round;
mod rules;
mod samples;
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
mod type_rule;
mod unsqueeze;
mod r#where;

pub use operator::{ExpandRule, FoldRule, Gradient, GradientRule, Operator, TypeRule};
pub use operator_catalog::OperatorCatalog;
pub(crate) use rules::axes::from_front as axis_from_front;
use rules::elementwise::{broadcast_of_two, same_as_first, truth_of_two};
use rules::{axes, convolutions, extremes, folding, reductions, windows};
pub use samples::{Sample, SampleInput, fixed_integers, fixed_truths, varied, varied_in};
pub use type_rule::TypeRuleInput;

/// All operators of this crate, by name.
const STANDARD: &[Operator] = &[
    abs::OPERATOR,
    add::OPERATOR,
    and::OPERATOR,
    average_pool::OPERATOR,
    batch_normalization::OPERATOR,
    bias_gelu::OPERATOR,
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
    fast_gelu::OPERATOR,
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
    mish::OPERATOR,
    mul::OPERATOR,
    neg::OPERATOR,
    not::OPERATOR,
    or::OPERATOR,
    p_relu::OPERATOR,
    pad::OPERATOR,
    pow::OPERATOR,
    quick_gelu::OPERATOR,
    range::OPERATOR,
    reciprocal::OPERATOR,
    reduce_l2::OPERATOR,
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
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_by_name() {
        assert!(STANDARD.is_sorted_by_key(|row| row.name));
    }
}
