//! What is known of each operator: versions, shape rule, gradient, samples. One file an operator, one row here.
//!
//! [`OperatorCatalog::standard`] holds these rows, and a row from outside the crate is as good as they are: see [`OperatorCatalog`].

mod abs;
mod acos;
mod acosh;
mod add;
mod affine_grid;
mod and;
mod arg_max;
mod arg_min;
mod asin;
mod asinh;
mod atan;
mod atanh;
mod attention;
mod attention_microsoft;
mod average_pool;
mod batch_normalization;
mod bernoulli;
mod bias_add;
mod bias_dropout;
mod bias_gelu;
mod bias_softmax;
mod bias_split_gelu;
mod bit_shift;
mod bitwise_and;
mod bitwise_not;
mod bitwise_or;
mod bitwise_xor;
mod blackman_window;
mod cast;
mod cast_like;
mod ceil;
mod celu;
mod center_crop_pad;
mod clip;
mod col2im;
mod compress;
mod concat;
mod constant;
mod constant_of_shape;
mod conv;
mod conv_integer;
mod conv_transpose;
mod cos;
mod cosh;
mod cum_sum;
mod decoder_masked_multi_head_attention;
mod decoder_masked_self_attention;
mod deform_conv;
mod depth_to_space;
mod dequantize_linear;
mod dequantize_linear_microsoft;
mod dequantize_with_order;
mod det;
mod dft;
mod div;
mod dropout;
mod dynamic_quantize_linear;
mod dynamic_quantize_lstm;
mod dynamic_quantize_mat_mul;
mod einsum;
mod elu;
mod embed_layer_normalization;
mod equal;
mod erf;
mod exp;
mod expand;
mod eye_like;
mod fast_gelu;
mod flatten;
mod floor;
mod fused_conv;
mod fused_gemm;
mod fused_mat_mul;
mod fused_mat_mul_activation;
mod gated_relative_position_bias;
mod gather;
mod gather_block_quantized;
mod gather_elements;
mod gather_nd;
mod gelu;
mod gelu_microsoft;
mod gemm;
mod gemm_fast_gelu;
mod global_average_pool;
mod global_lp_pool;
mod global_max_pool;
mod greater;
mod greater_or_equal;
mod grid_sample;
mod group_norm;
mod group_normalization;
mod group_query_attention;
mod gru;
mod hamming_window;
mod hann_window;
mod hard_sigmoid;
mod hard_swish;
mod hardmax;
mod identity;
mod r#if;
mod image_decoder;
mod instance_normalization;
mod is_inf;
mod is_nan;
mod label_encoder;
mod layer_normalization;
mod leaky_relu;
mod less;
mod less_or_equal;
mod log;
mod log_softmax;
mod longformer_attention;
mod r#loop;
mod lp_normalization;
mod lp_pool;
mod lrn;
mod lstm;
mod mat_mul;
mod mat_mul_bnb4;
mod mat_mul_integer;
mod mat_mul_integer_to_float;
mod mat_mul_n_bits;
mod max;
mod max_pool;
mod max_roi_pool;
mod max_unpool;
mod mean;
mod mean_variance_normalization;
mod mel_weight_matrix;
mod min;
mod mish;
mod mo_e;
mod modulo;
mod mul;
mod multi_head_attention;
mod multinomial;
mod neg;
mod negative_log_likelihood_loss;
mod nhwc_conv;
mod nhwc_fused_conv;
mod nhwc_max_pool;
mod non_max_suppression;
mod non_zero;
mod not;
mod one_hot;
mod operator;
mod operator_catalog;
mod or;
mod p_relu;
mod packed_attention;
mod packed_multi_head_attention;
mod pad;
mod pow;
mod q_attention;
mod q_embed_layer_normalization;
mod q_gemm;
mod q_linear_add;
mod q_linear_average_pool;
mod q_linear_concat;
mod q_linear_conv;
mod q_linear_conv_microsoft;
mod q_linear_global_average_pool;
mod q_linear_leaky_relu;
mod q_linear_mat_mul;
mod q_linear_mul;
mod q_linear_sigmoid;
mod q_linear_softmax;
mod q_linear_where;
mod q_mo_e;
mod q_ordered_attention;
mod q_ordered_gelu;
mod q_ordered_layer_normalization;
mod q_ordered_longformer_attention;
mod q_ordered_mat_mul;
mod quantize_linear;
mod quantize_linear_microsoft;
mod quantize_with_order;
mod quick_gelu;
mod random_normal;
mod random_normal_like;
mod random_uniform;
mod random_uniform_like;
mod range;
mod reciprocal;
mod reduce_l1;
mod reduce_l2;
mod reduce_log_sum;
mod reduce_log_sum_exp;
mod reduce_max;
mod reduce_mean;
mod reduce_min;
mod reduce_prod;
mod reduce_sum;
mod reduce_sum_square;
mod regex_full_match;
mod relative_position_bias;
mod relu;
mod remove_padding;
mod reshape;
mod resize;
mod restore_padding;
mod reverse_sequence;
mod rms_normalization;
mod rnn;
mod roi_align;
mod rotary_embedding;
mod rotary_embedding_microsoft;
mod round;
mod rules;
mod samples;
mod scan;
mod scatter_elements;
mod scatter_nd;
mod selu;
mod sequence_map;
mod shape;
mod shrink;
mod sigmoid;
mod sign;
mod simplified_layer_normalization;
mod sin;
mod sinh;
mod size;
mod skip_group_norm;
mod skip_layer_normalization;
mod skip_simplified_layer_normalization;
mod slice;
mod softmax;
mod softmax_cross_entropy_loss;
mod softplus;
mod softsign;
mod space_to_depth;
mod split;
mod sqrt;
mod squeeze;
mod stft;
mod string_concat;
mod string_normalizer;
mod string_split;
mod sub;
mod sum;
mod svm_classifier;
mod svm_regressor;
mod tan;
mod tanh;
mod tensor_scatter;
mod tf_idf_vectorizer;
mod thresholded_relu;
mod tile;
mod top_k;
mod transpose;
mod transpose_mat_mul;
mod tree_ensemble;
mod tree_ensemble_classifier;
mod tree_ensemble_regressor;
mod trilu;
mod trilu_microsoft;
mod type_rule;
mod unique;
mod unsqueeze;
mod r#where;
mod xor;

pub use operator::{ExpandRule, FoldRule, Gradient, GradientRule, Operator, TypeRule};
pub use operator_catalog::OperatorCatalog;
pub(crate) use rules::axes::from_front as axis_from_front;
use rules::elementwise::{
    broadcast_of_all, broadcast_of_two, floats_as_first, integers_of_two, numbers_as_first, same_as_first,
    truth_of_floats, truth_of_two,
};
use rules::{
    attention as attention_rules, axes, blocks, bodies, convolutions, element_types, extremes, folding,
    fused_activations, gelu as gelu_rules, generated, normalizations, packed_rows, picked_losses, power_sums,
    quantized, recurrences, recurrent_gates, recurrent_samples, reductions, resizing, sampling, scatters, shape_floats,
    support_vectors, texts, trees, windows,
};
pub use samples::{
    Sample, SampleInput, fixed_floats, fixed_integer, fixed_integers, fixed_integers_of, fixed_truths, varied,
    varied_in,
};
pub use type_rule::TypeRuleInput;

/// All operators of this crate, by name.
const STANDARD: &[Operator] = &[
    abs::OPERATOR,
    acos::OPERATOR,
    acosh::OPERATOR,
    add::OPERATOR,
    affine_grid::OPERATOR,
    and::OPERATOR,
    arg_max::OPERATOR,
    arg_min::OPERATOR,
    asin::OPERATOR,
    asinh::OPERATOR,
    atan::OPERATOR,
    atanh::OPERATOR,
    attention::OPERATOR,
    attention_microsoft::OPERATOR,
    average_pool::OPERATOR,
    batch_normalization::OPERATOR,
    bernoulli::OPERATOR,
    bias_add::OPERATOR,
    bias_dropout::OPERATOR,
    bias_gelu::OPERATOR,
    bias_softmax::OPERATOR,
    bias_split_gelu::OPERATOR,
    bit_shift::OPERATOR,
    bitwise_and::OPERATOR,
    bitwise_not::OPERATOR,
    bitwise_or::OPERATOR,
    bitwise_xor::OPERATOR,
    blackman_window::OPERATOR,
    cast::OPERATOR,
    cast_like::OPERATOR,
    ceil::OPERATOR,
    celu::OPERATOR,
    center_crop_pad::OPERATOR,
    clip::OPERATOR,
    col2im::OPERATOR,
    compress::OPERATOR,
    concat::OPERATOR,
    constant::OPERATOR,
    constant_of_shape::OPERATOR,
    conv::OPERATOR,
    conv_integer::OPERATOR,
    conv_transpose::OPERATOR,
    cos::OPERATOR,
    cosh::OPERATOR,
    cum_sum::OPERATOR,
    decoder_masked_multi_head_attention::OPERATOR,
    decoder_masked_self_attention::OPERATOR,
    deform_conv::OPERATOR,
    depth_to_space::OPERATOR,
    dequantize_linear::OPERATOR,
    dequantize_linear_microsoft::OPERATOR,
    dequantize_with_order::OPERATOR,
    det::OPERATOR,
    dft::OPERATOR,
    div::OPERATOR,
    dropout::OPERATOR,
    dynamic_quantize_linear::OPERATOR,
    dynamic_quantize_lstm::OPERATOR,
    dynamic_quantize_mat_mul::OPERATOR,
    einsum::OPERATOR,
    elu::OPERATOR,
    embed_layer_normalization::OPERATOR,
    equal::OPERATOR,
    erf::OPERATOR,
    exp::OPERATOR,
    expand::OPERATOR,
    eye_like::OPERATOR,
    fast_gelu::OPERATOR,
    flatten::OPERATOR,
    floor::OPERATOR,
    fused_conv::OPERATOR,
    fused_gemm::OPERATOR,
    fused_mat_mul::OPERATOR,
    fused_mat_mul_activation::OPERATOR,
    gated_relative_position_bias::OPERATOR,
    gather::OPERATOR,
    gather_block_quantized::OPERATOR,
    gather_elements::OPERATOR,
    gather_nd::OPERATOR,
    gelu::OPERATOR,
    gelu_microsoft::OPERATOR,
    gemm::OPERATOR,
    gemm_fast_gelu::OPERATOR,
    global_average_pool::OPERATOR,
    global_lp_pool::OPERATOR,
    global_max_pool::OPERATOR,
    greater::OPERATOR,
    greater_or_equal::OPERATOR,
    grid_sample::OPERATOR,
    group_norm::OPERATOR,
    group_normalization::OPERATOR,
    group_query_attention::OPERATOR,
    gru::OPERATOR,
    hamming_window::OPERATOR,
    hann_window::OPERATOR,
    hard_sigmoid::OPERATOR,
    hard_swish::OPERATOR,
    hardmax::OPERATOR,
    identity::OPERATOR,
    r#if::OPERATOR,
    image_decoder::OPERATOR,
    instance_normalization::OPERATOR,
    is_inf::OPERATOR,
    is_nan::OPERATOR,
    label_encoder::OPERATOR,
    layer_normalization::OPERATOR,
    leaky_relu::OPERATOR,
    less::OPERATOR,
    less_or_equal::OPERATOR,
    log::OPERATOR,
    log_softmax::OPERATOR,
    longformer_attention::OPERATOR,
    r#loop::OPERATOR,
    lp_normalization::OPERATOR,
    lp_pool::OPERATOR,
    lrn::OPERATOR,
    lstm::OPERATOR,
    mat_mul::OPERATOR,
    mat_mul_bnb4::OPERATOR,
    mat_mul_integer::OPERATOR,
    mat_mul_integer_to_float::OPERATOR,
    mat_mul_n_bits::OPERATOR,
    max::OPERATOR,
    max_pool::OPERATOR,
    max_roi_pool::OPERATOR,
    max_unpool::OPERATOR,
    mean::OPERATOR,
    mean_variance_normalization::OPERATOR,
    mel_weight_matrix::OPERATOR,
    min::OPERATOR,
    mish::OPERATOR,
    mo_e::OPERATOR,
    modulo::OPERATOR,
    mul::OPERATOR,
    multi_head_attention::OPERATOR,
    multinomial::OPERATOR,
    neg::OPERATOR,
    negative_log_likelihood_loss::OPERATOR,
    nhwc_conv::OPERATOR,
    nhwc_fused_conv::OPERATOR,
    nhwc_max_pool::OPERATOR,
    non_max_suppression::OPERATOR,
    non_zero::OPERATOR,
    not::OPERATOR,
    one_hot::OPERATOR,
    or::OPERATOR,
    p_relu::OPERATOR,
    packed_attention::OPERATOR,
    packed_multi_head_attention::OPERATOR,
    pad::OPERATOR,
    pow::OPERATOR,
    q_attention::OPERATOR,
    q_embed_layer_normalization::OPERATOR,
    q_gemm::OPERATOR,
    q_linear_add::OPERATOR,
    q_linear_average_pool::OPERATOR,
    q_linear_concat::OPERATOR,
    q_linear_conv::OPERATOR,
    q_linear_conv_microsoft::OPERATOR,
    q_linear_global_average_pool::OPERATOR,
    q_linear_leaky_relu::OPERATOR,
    q_linear_mat_mul::OPERATOR,
    q_linear_mul::OPERATOR,
    q_linear_sigmoid::OPERATOR,
    q_linear_softmax::OPERATOR,
    q_linear_where::OPERATOR,
    q_mo_e::OPERATOR,
    q_ordered_attention::OPERATOR,
    q_ordered_gelu::OPERATOR,
    q_ordered_layer_normalization::OPERATOR,
    q_ordered_longformer_attention::OPERATOR,
    q_ordered_mat_mul::OPERATOR,
    quantize_linear::OPERATOR,
    quantize_linear_microsoft::OPERATOR,
    quantize_with_order::OPERATOR,
    quick_gelu::OPERATOR,
    random_normal::OPERATOR,
    random_normal_like::OPERATOR,
    random_uniform::OPERATOR,
    random_uniform_like::OPERATOR,
    range::OPERATOR,
    reciprocal::OPERATOR,
    reduce_l1::OPERATOR,
    reduce_l2::OPERATOR,
    reduce_log_sum::OPERATOR,
    reduce_log_sum_exp::OPERATOR,
    reduce_max::OPERATOR,
    reduce_mean::OPERATOR,
    reduce_min::OPERATOR,
    reduce_prod::OPERATOR,
    reduce_sum::OPERATOR,
    reduce_sum_square::OPERATOR,
    regex_full_match::OPERATOR,
    relative_position_bias::OPERATOR,
    relu::OPERATOR,
    remove_padding::OPERATOR,
    reshape::OPERATOR,
    resize::OPERATOR,
    restore_padding::OPERATOR,
    reverse_sequence::OPERATOR,
    rms_normalization::OPERATOR,
    rnn::OPERATOR,
    roi_align::OPERATOR,
    rotary_embedding::OPERATOR,
    rotary_embedding_microsoft::OPERATOR,
    round::OPERATOR,
    scan::OPERATOR,
    scatter_elements::OPERATOR,
    scatter_nd::OPERATOR,
    selu::OPERATOR,
    sequence_map::OPERATOR,
    shape::OPERATOR,
    shrink::OPERATOR,
    sigmoid::OPERATOR,
    sign::OPERATOR,
    simplified_layer_normalization::OPERATOR,
    sin::OPERATOR,
    sinh::OPERATOR,
    size::OPERATOR,
    skip_group_norm::OPERATOR,
    skip_layer_normalization::OPERATOR,
    skip_simplified_layer_normalization::OPERATOR,
    slice::OPERATOR,
    softmax::OPERATOR,
    softmax_cross_entropy_loss::OPERATOR,
    softplus::OPERATOR,
    softsign::OPERATOR,
    space_to_depth::OPERATOR,
    split::OPERATOR,
    sqrt::OPERATOR,
    squeeze::OPERATOR,
    stft::OPERATOR,
    string_concat::OPERATOR,
    string_normalizer::OPERATOR,
    string_split::OPERATOR,
    sub::OPERATOR,
    sum::OPERATOR,
    svm_classifier::OPERATOR,
    svm_regressor::OPERATOR,
    tan::OPERATOR,
    tanh::OPERATOR,
    tensor_scatter::OPERATOR,
    tf_idf_vectorizer::OPERATOR,
    thresholded_relu::OPERATOR,
    tile::OPERATOR,
    top_k::OPERATOR,
    transpose::OPERATOR,
    transpose_mat_mul::OPERATOR,
    tree_ensemble::OPERATOR,
    tree_ensemble_classifier::OPERATOR,
    tree_ensemble_regressor::OPERATOR,
    trilu::OPERATOR,
    trilu_microsoft::OPERATOR,
    unique::OPERATOR,
    unsqueeze::OPERATOR,
    r#where::OPERATOR,
    xor::OPERATOR,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_by_name() {
        assert!(STANDARD.is_sorted_by_key(|row| file_name(row.name)));
        assert_eq!(
            ["PRelu", "ReduceL2", "RMSNormalization", "LRN"].map(file_name),
            ["p_relu", "reduce_l2", "rms_normalization", "lrn"]
        );
    }

    /// An underscore before each capital that begins a word.
    fn file_name(name: &str) -> String {
        let letters: Vec<char> = name.chars().collect();
        let is_lower = |at: usize| letters.get(at).is_some_and(char::is_ascii_lowercase);
        let begins = |at: usize| at > 0 && letters[at].is_ascii_uppercase() && (is_lower(at - 1) || is_lower(at + 1));
        let mut file = String::new();
        for (at, letter) in letters.iter().enumerate() {
            file.extend(begins(at).then_some('_'));
            file.push(letter.to_ascii_lowercase());
        }
        file
    }
}
