//! Rules that several operators share: attention, element types, axes, blocks of pixels, graphs that nodes run, element by element, maxima and minima,
//! folding, tensors made of nothing, normalizations, packed rows, losses of one score, roots of sums of powers, quantized tensors, fused
//! activations, recurrent layers, reductions,
//! resizing, samples between entries, floats of shapes, scattering back what was gathered, texts, decision trees, support vectors,
//! sliding windows, convolutions.

pub(crate) mod attention;
pub(crate) mod axes;
pub(crate) mod blocks;
pub(crate) mod bodies;
pub(crate) mod convolutions;
pub(crate) mod element_types;
pub(crate) mod elementwise;
pub(crate) mod extremes;
pub(crate) mod folding;
pub(crate) mod fused_activations;
pub(crate) mod gelu;
pub(crate) mod generated;
pub(crate) mod normalizations;
pub(crate) mod packed_rows;
pub(crate) mod picked_losses;
pub(crate) mod power_sums;
pub(crate) mod quantized;
pub(crate) mod recurrences;
pub(crate) mod recurrent_gates;
pub(crate) mod recurrent_samples;
pub(crate) mod reductions;
pub(crate) mod resizing;
pub(crate) mod sampling;
pub(crate) mod scatters;
pub(crate) mod shape_floats;
pub(crate) mod support_vectors;
pub(crate) mod texts;
pub(crate) mod trees;
pub(crate) mod windows;
