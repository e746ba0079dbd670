use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is seen where a map looks beyond its input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Border {
    /// The nearest pixel of the input's edge.
    Edge,
    /// The colour `fill`.
    #[default]
    Fill,
    /// The picture that the input was cropped, turned or resized from, further out; where that ends, `fill`. It ends too where
    /// a transform of pixels (colours, noise, blur) stands in between, and at one that enlarges again what was shrunk before.
    Picture,
    /// The input, mirrored at its edges (`d c b a | a b c d | d c b a`).
    Reflect,
    /// The input over again, from the other side.
    Wrap,
}

impl Border {
    /// What recipes mean where they say nothing.
    pub(crate) fn picture() -> Self {
        Self::Picture
    }

    /// Whether the colour `fill` is seen, as in drawings that say nothing.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    pub(crate) fn is_fill(&self) -> bool {
        *self == Self::Fill
    }

    /// The coordinate along an axis of this length (whole pixels) that is seen at `value`: between the centres of the first
    /// pixel and the last. Those that show something else than the input leave it as it is.
    pub(crate) fn folded(self, value: f64, length: f64) -> f64 {
        // most are: what follows would give the same, after two divisions
        if value >= 0.5 && value <= length - 0.5 {
            return value;
        }
        let inside = match self {
            Self::Fill | Self::Picture => return value,
            Self::Edge => value,
            Self::Reflect => {
                let place = value.rem_euclid(2.0 * length);
                if place > length { 2.0 * length - place } else { place }
            }
            Self::Wrap => value.rem_euclid(length),
        };
        inside.clamp(0.5, length - 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_folded_into_the_input() {
        for (border, value, wanted) in [
            (Border::Edge, -7.5, 0.5),
            (Border::Edge, 2.25, 2.25),
            (Border::Edge, 9.0, 3.5),
            (Border::Fill, -7.5, -7.5),
            (Border::Picture, 11.0, 11.0),
            (Border::Reflect, -0.5, 0.5),
            (Border::Reflect, -1.5, 1.5),
            (Border::Reflect, 5.5, 2.5),
            (Border::Reflect, 8.5, 0.5),
            (Border::Reflect, -12.5, 3.5),
            (Border::Wrap, -0.5, 3.5),
            (Border::Wrap, 5.5, 1.5),
            (Border::Wrap, -9.5, 2.5),
        ] {
            assert_eq!(border.folded(value, 4.0), wanted, "{border:?} {value}");
        }
    }

    #[test]
    fn coordinates_within_the_input_are_what_folding_gives_to_the_bit() {
        let slow = |border: Border, value: f64, length: f64| match border {
            Border::Fill | Border::Picture => value,
            Border::Edge => value.clamp(0.5, length - 0.5),
            Border::Reflect => {
                let place = value.rem_euclid(2.0 * length);
                (if place > length { 2.0 * length - place } else { place }).clamp(0.5, length - 0.5)
            }
            Border::Wrap => value.rem_euclid(length).clamp(0.5, length - 0.5),
        };
        for border in [Border::Edge, Border::Fill, Border::Picture, Border::Reflect, Border::Wrap] {
            for length in [1.0, 2.0, 7.0, 224.0] {
                let mut values =
                    vec![0.5, length - 0.5, 0.5_f64.next_down(), (length - 0.5).next_up(), 0.0, -0.0, length];
                values.extend((0..2000).map(|index| (f64::from(index) / 1000.0 - 0.5) * length * 1.1));
                for value in values {
                    let (got, wanted) = (border.folded(value, length), slow(border, value, length));
                    assert_eq!(got.to_bits(), wanted.to_bits(), "{border:?} {value} of {length}");
                }
            }
        }
        assert!(Border::Reflect.folded(f64::NAN, 4.0).is_nan());
    }
}
