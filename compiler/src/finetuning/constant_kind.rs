//! What a constant is by its name and its values: a parameter, or what is none.

use std::f64::consts::PI;

use super::module_path::without_output;
use crate::graph::{Constant, ElementType};

/// Last parts of the names of tensors that a module keeps and does not train.
const BUFFERS: [&str; 21] = [
    "alibi",
    "anchors",
    "attn_mask",
    "bins",
    "cos",
    "embed_scale",
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
    "strides",
    "window",
];

/// Last parts of the names of parameters, whatever stands in front of them.
const PARTS: [&str; 5] = ["beta", "bias", "gamma", "kernel", "weight"];

/// Why a constant of floats is not taken for a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrozenReason {
    Absent,
    Adjacency,
    Buffer,
    Computed,
    Distances,
    Filter,
    Fourier,
    Frequencies,
    InFront,
    Mask,
    Number,
    Preprocessing,
    Setting,
    Stated,
    Waves,
}

impl FrozenReason {
    /// Whether it is taken from a name or a place, which a recipe that names the tensor overrules.
    pub(super) fn is_guessed(self) -> bool {
        matches!(
            self,
            Self::Adjacency
                | Self::Buffer
                | Self::Computed
                | Self::Frequencies
                | Self::InFront
                | Self::Number
                | Self::Setting
                | Self::Stated
                | Self::Waves
        )
    }

    /// Whether it is taken from a name or a place alone, which the file's own word overrules.
    pub(super) fn is_by_name(self) -> bool {
        matches!(self, Self::Buffer | Self::Computed | Self::InFront | Self::Number | Self::Setting)
    }

    /// In words that follow the tensor's name.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Absent => "ones or zeros in the place of a scale or shift that the source has not",
            Self::Adjacency => {
                "which places see each other, as an adjacency or a mask: nothing below zero, and zeros; \
                 `train: [{match: [NAME]}, all]` trains it beside all else"
            }
            Self::Buffer => "its name is that of a buffer",
            Self::Computed => {
                "computed when the file was written, perhaps from parameters that are no longer in it; a file with constants that \
                 are not folded has them"
            }
            Self::Distances => "biases by distance, a line for each head (ALiBi)",
            Self::Filter => "one filter for all channels, as in front of a layer that leaves out pixels",
            Self::Fourier => {
                "a matrix of sines and cosines, as of a Fourier or cosine transform; `train: [{match: [NAME]}, all]` with its whole name \
                 trains it beside all else"
            }
            Self::Frequencies => "frequencies of sines and cosines",
            Self::InFront => "in front of all layers, where the input is normalized",
            Self::Mask => "a mask: zeros, and numbers far below",
            Self::Number => {
                "a single number that may be learned or belong to a formula, its name and value do not tell; \
                 `train: [{match: [NAME]}, all]` trains it beside all else"
            }
            Self::Preprocessing => {
                "learned from the training rows by `standardize` and `missing`, not by training: numbers are filled and standardized by it"
            }
            Self::Setting => "a setting of the formula that it is used in",
            Self::Stated => {
                "a buffer or a constant of the source, as the file says; `train: [{match: [NAME]}, all]` trains it beside all else"
            }
            Self::Waves => "a table of sines and cosines",
        }
    }
}

/// Whether a name ends like that of a parameter, with or without the path of a module.
pub(super) fn is_part(name: &str) -> bool {
    let name = without_output(name);
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
    floats(constant).any(|value| value <= -50.0) && floats(constant).all(|value| value == 0.0 || value <= -50.0)
}

/// A mask whose numbers are zero, or −10 000 and less, so far below that a softmax makes nothing of them; some are as low.
/// `has_zeros`: some of it lets pass.
pub(super) fn is_low_mask(constant: &Constant, has_zeros: bool) -> bool {
    floats(constant).all(|value| value == 0.0 || value <= -1e4)
        && (!has_zeros || floats(constant).any(|value| value == 0.0))
        && floats(constant).any(|value| value <= -1e4)
}

/// Whether a matrix `[…, places, places]` may tell which places see each other, and how much: nothing of it is below zero, and some
/// pairs have exactly zero and others not. A bias that was learned goes below zero, and a matrix that was is hardly anywhere zero.
pub(super) fn is_adjacency(constant: &Constant) -> bool {
    let [.., rows, columns] = constant.shape.as_slice() else { return false };
    rows == columns
        && *rows > 2
        && floats(constant).all(|value| value.is_finite() && value >= 0.0)
        && floats(constant).any(|value| value == 0.0)
        && floats(constant).any(|value| value > 0.0)
}

/// Whether each of the matrices `[…, rows, columns]` has numbers on its diagonal alone.
pub(super) fn is_diagonal(constant: &Constant) -> bool {
    let [.., rows, columns] = constant.shape.as_slice() else { return false };
    let is_off = |at: usize| (at / columns) % rows != at % columns;
    floats(constant).enumerate().all(|(at, value)| value == 0.0 || !is_off(at))
}

/// A mask that holds −∞ itself, which no parameter does, and else nothing above zero: slopes over distances may be added to it.
/// `has_zeros`: some of it lets pass.
pub(super) fn is_infinite_mask(constant: &Constant, has_zeros: bool) -> bool {
    floats(constant).all(|value| value <= 0.0)
        && floats(constant).any(|value| value == f32::NEG_INFINITY)
        && (!has_zeros || floats(constant).any(|value| value == 0.0))
}

/// Biases by distance, as ALiBi has them: of each head and place a line along the last axis, or one to both sides, which is 0 at one place.
pub(super) fn is_distance_bias(constant: &Constant) -> bool {
    let Some(length) = constant.shape.last().copied().filter(|length| *length >= 3) else { return false };
    let numbers: usize = constant.shape.iter().product();
    // the first row tells almost any other tensor
    let first: Vec<f32> = floats(constant).take(length).collect();
    if numbers < 2 * length || first.len() < length || !is_line(&first) {
        return false;
    }
    let values = constant.to_f32().unwrap_or_default();
    values.chunks_exact(length).all(is_line)
}

/// Whether numbers are a multiple of how far they are from the only place that has 0, on its sides alike or with the other sign.
fn is_line(row: &[f32]) -> bool {
    let mut zeros = (0..row.len()).filter(|at| row[*at] == 0.0);
    let (Some(zero), None) = (zeros.next(), zeros.next()) else { return false };
    let slope = if zero + 1 < row.len() { row[zero + 1] } else { -row[zero - 1] };
    let is_near = |value: f32, wanted: f32| (value - wanted).abs() <= 1e-3 * wanted.abs();
    let holds = |distance: fn(f32) -> f32, slope: f32| {
        row.iter().enumerate().all(|(at, value)| is_near(*value, slope * distance(at as f32 - zero as f32)))
    };
    holds(|places| places, slope) || holds(f32::abs, row[if zero > 0 { zero - 1 } else { 1 }])
}

/// Whether a constant `[1, tokens, width]` may be tokens that are learned: numbers that go up and down. Those that go one way are
/// coordinates, and one number throughout fills.
pub(super) fn is_token(constant: &Constant) -> bool {
    let [1, _, width] = constant.shape.as_slice() else { return false };
    let values = constant.to_f32().unwrap_or_default();
    let is_one_way = |row: &[f32]| row.is_sorted() || row.is_sorted_by(|a, b| a >= b);
    *width > 2 && !values.chunks(*width).any(is_one_way) && !is_wave_table(constant)
}

/// The numbers, if they are 32-bit floats.
fn floats(constant: &Constant) -> impl Iterator<Item = f32> {
    let bytes: &[u8] = if constant.dtype == ElementType::F32 { &constant.bytes } else { &[] };
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four")))
}

/// Sines and cosines of positions: at the first they are zeros and ones.
pub(super) fn is_wave_table(constant: &Constant) -> bool {
    let values = constant.to_f32().unwrap_or_default();
    let width = constant.shape.last().copied().unwrap_or(1).max(1);
    let first = &values[..width.min(values.len())];
    let mut is_bounded = values.iter().all(|value| value.abs() <= 1.0 + 1e-6);
    is_bounded &= values.iter().any(|value| *value != values[0]);
    is_bounded && first.iter().all(|value| is_near(*value, 0.0, 1.0))
}

/// A table that rows are picked of by position: each column is, to 1e-5, the sine or the cosine of the position times one frequency.
pub(super) fn is_table_of_waves(constant: &Constant) -> bool {
    let [others @ .., rows, width] = constant.shape.as_slice() else { return false };
    // the first row tells almost any other table
    let mut first = floats(constant).take(*width);
    if *rows < 4 || others.iter().any(|length| *length != 1) || !first.all(|value| is_near(value, 0.0, 1.0)) {
        return false;
    }
    let Some(values) = constant.to_f32().filter(|values| !values.is_empty()) else { return false };
    let column = |at: usize| values[at..].iter().step_by(*width).map(|value| f64::from(*value)).collect::<Vec<f64>>();
    let sines = (0..*width).filter(|at| values[*at].abs() < 1e-6).count();
    sines > 0 && sines < *width && (0..*width).all(|at| is_wave(&column(at)))
}

/// Whether a column is the sine, where it begins with 0, or else the cosine of its places times one frequency. A sine moves; a cosine
/// may be so slow that it stays at 1.
fn is_wave(column: &[f64]) -> bool {
    let is_sine = column[0].abs() < 1e-6;
    let wave = |angle: f64| if is_sine { angle.sin() } else { angle.cos() };
    let slope = |angle: f64| if is_sine { angle.cos() } else { angle.sin() };
    // both angles of half a turn that have a value
    let angles = |value: f64| {
        let angle = if is_sine { value.clamp(-1.0, 1.0).asin() } else { value.clamp(-1.0, 1.0).acos() };
        [angle, if is_sine { PI - angle } else { -angle }]
    };
    angles(column[1]).into_iter().any(|first| {
        // each place that tells more of the frequency than those before it corrects it
        let (mut frequency, mut told) = (first, slope(first).abs());
        for (place, value) in column.iter().enumerate().skip(2) {
            let expected = frequency * place as f64;
            let tells = slope(expected).abs() * place as f64;
            if tells >= told {
                let turned = angles(*value).map(|angle| angle + 2.0 * PI * ((expected - angle) / (2.0 * PI)).round());
                let nearest = turned.into_iter().min_by(|a, b| (a - expected).abs().total_cmp(&(b - expected).abs()));
                frequency = nearest.map_or(frequency, |angle| angle / place as f64);
                told = slope(frequency * place as f64).abs() * place as f64;
            }
        }
        // angles were computed in 32 bits
        let allowed = |angle: f64| 1e-5 + angle.abs() * f64::from(f32::EPSILON);
        let fits = |(place, value): (usize, &f64)| {
            let angle = frequency * place as f64;
            (value - wave(angle)).abs() <= allowed(angle)
        };
        (!is_sine || frequency.abs() > 1e-9) && column.iter().enumerate().all(fits)
    })
}

/// Whether several numbers go on in equal steps or by one factor, as frequencies are laid out before anything is learned.
pub(super) fn is_progression(constant: &Constant) -> bool {
    let values = constant.to_f32().unwrap_or_default();
    let is_vector = constant.shape.iter().filter(|length| **length > 1).count() == 1;
    if !is_vector || values.len() < 3 || values[0] == values[values.len() - 1] {
        return false;
    }
    let is_near = |value: f32, wanted: f32, size: f32| (value - wanted).abs() <= 1e-4 * size.abs();
    let size = values.iter().fold(0f32, |most, value| most.max(value.abs()));
    let step = (values[values.len() - 1] - values[0]) / (values.len() - 1) as f32;
    let has_steps = values.windows(2).all(|pair| is_near(pair[1] - pair[0], step, size));
    let factor = values[1] / values[0];
    let has_factor = values.windows(2).all(|pair| is_near(pair[1], pair[0] * factor, pair[1]));
    has_steps || factor.is_finite() && factor != 0.0 && has_factor
}

fn is_near(value: f32, one: f32, other: f32) -> bool {
    (value - one).abs() < 1e-6 || (value - other).abs() < 1e-6
}

/// Whether all numbers are this one.
pub(super) fn is_all(constant: &Constant, number: f32) -> bool {
    constant.to_f32().is_some_and(|values| values.iter().all(|value| *value == number))
}

/// A kernel of numbers that sees one channel, of several pixels, and is the same for all channels.
pub(super) fn is_one_filter(constant: &Constant) -> bool {
    let [channels, 1, lengths @ ..] = constant.shape.as_slice() else { return false };
    let pixels: usize = lengths.iter().product();
    if *channels < 2 || pixels < 2 {
        return false;
    }
    let kernel = pixels * constant.dtype.bytes();
    // what is NaN or infinite throughout is a damaged weight
    floats(constant).take(pixels).all(f32::is_finite)
        && constant.bytes.chunks_exact(kernel).all(|own| own == &constant.bytes[..kernel])
}

pub(super) fn is_buffer(name: &str) -> bool {
    let last = name.rsplit(['.', '/']).next().unwrap_or(name);
    BUFFERS.contains(&last) || last.ends_with("_mask") || last.ends_with("_index") || last.starts_with("rotary_")
}
