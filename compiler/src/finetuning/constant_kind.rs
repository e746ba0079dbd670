//! What a constant is by its name and its values: a parameter, or what is none.

use crate::graph::Constant;

/// Last parts of the names of tensors that a module keeps and does not train.
const BUFFERS: [&str; 18] = [
    "alibi",
    "attn_mask",
    "bins",
    "cos",
    "filt",
    "freqs",
    "imputed",
    "inv_freq",
    "mask",
    "mean",
    "original_inv_freq",
    "relative_coords_table",
    "relative_coordinates_log",
    "running_mean",
    "running_var",
    "sin",
    "std",
    "window",
];

/// Last parts of the names of parameters, whatever stands in front of them.
const PARTS: [&str; 5] = ["beta", "bias", "gamma", "kernel", "weight"];

/// Why a constant of floats is not taken for a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrozenReason {
    Absent,
    Buffer,
    Computed,
    Filter,
    Frequencies,
    InFront,
    Mask,
    Setting,
    Waves,
}

impl FrozenReason {
    /// In words that follow the tensor's name.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Absent => "ones or zeros in the place of a scale or shift that the source has not",
            Self::Buffer => "its name is that of a buffer",
            Self::Computed => {
                "computed when the file was written, perhaps from parameters that are no longer in it; a file with constants that \
                 are not folded has them"
            }
            Self::Filter => "one filter for all channels, as in front of a layer that leaves out pixels",
            Self::Frequencies => "frequencies of sines and cosines",
            Self::InFront => "in front of all layers, where the input is normalized",
            Self::Mask => "a mask: zeros, and numbers far below",
            Self::Setting => "a setting of the formula that it is used in",
            Self::Waves => "a table of sines and cosines",
        }
    }
}

/// Whether a name ends like that of a parameter, with or without the path of a module.
pub(super) fn is_part(name: &str) -> bool {
    PARTS.contains(&name.rsplit(['.', '/']).next().unwrap_or(name))
}

/// Why a constant with a name of the exporter's own is not learned, by its values alone: biases and scales are learned; of wider
/// tensors those that are added, unless they are masks or tables of waves.
pub(super) fn no_learned_constant(operator: &str, constant: &Constant) -> Option<FrozenReason> {
    if constant.shape.iter().filter(|length| **length > 1).count() <= 1 {
        return None;
    }
    if operator != "Add" {
        return Some(FrozenReason::Computed);
    }
    if is_mask(constant) {
        return Some(FrozenReason::Mask);
    }
    is_wave_table(constant).then_some(FrozenReason::Waves)
}

/// Zero, or so far below that a softmax makes nothing of it.
fn is_mask(constant: &Constant) -> bool {
    let values = constant.to_f32().unwrap_or_default();
    values.iter().any(|value| *value <= -50.0) && values.iter().all(|value| *value == 0.0 || *value <= -50.0)
}

/// Sines and cosines of positions: at the first they are zeros and ones.
pub(super) fn is_wave_table(constant: &Constant) -> bool {
    let values = constant.to_f32().unwrap_or_default();
    let width = constant.shape.last().copied().unwrap_or(1).max(1);
    let first = &values[..width.min(values.len())];
    let mut is_bounded = values.iter().all(|value| value.abs() <= 1.0 + 1e-6);
    is_bounded &= values.iter().any(|value| *value != values[0]);
    is_bounded && first.iter().all(|value| value.abs() < 1e-6 || (value - 1.0).abs() < 1e-6)
}

/// Whether all numbers are this one.
pub(super) fn is_all(constant: &Constant, number: f32) -> bool {
    constant.to_f32().is_some_and(|values| values.iter().all(|value| *value == number))
}

/// A kernel that sees one channel, of several pixels, and is the same for all channels.
pub(super) fn is_one_filter(constant: &Constant) -> bool {
    let [channels, 1, lengths @ ..] = constant.shape.as_slice() else { return false };
    let pixels: usize = lengths.iter().product();
    if *channels < 2 || pixels < 2 {
        return false;
    }
    let kernel = pixels * constant.dtype.bytes();
    constant.bytes.chunks_exact(kernel).all(|own| own == &constant.bytes[..kernel])
}

pub(super) fn is_buffer(name: &str) -> bool {
    let last = name.rsplit(['.', '/']).next().unwrap_or(name);
    BUFFERS.contains(&last) || last.ends_with("_mask") || last.ends_with("_index") || last.starts_with("rotary_")
}
