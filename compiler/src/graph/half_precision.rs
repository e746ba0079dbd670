//! Floating-point numbers of 16 bits, rounded to the nearest, ties to even.

/// The number that the bits of an IEEE binary16 stand for.
pub(crate) fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let (exponent, fraction) = (u32::from(bits >> 10 & 0x1f), u32::from(bits & 0x3ff));
    match exponent {
        0 => {
            // zero, or below the least normal number: multiples of 2⁻²⁴
            let value = fraction as f32 * f32::from_bits(0x3380_0000);
            f32::from_bits(value.to_bits() | sign)
        }
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// The bits of the nearest IEEE binary16; beyond the largest it is infinite.
pub(crate) fn f32_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        // what is no number stays so, with what its bits say as far as there is room
        return sign | 0x7c00 | (magnitude >> 13 & 0x3ff) as u16 | u16::from(magnitude >> 13 & 0x3ff == 0);
    }
    if magnitude >= 0x4780_0000 {
        return sign | 0x7c00;
    }
    if magnitude < 0x3880_0000 {
        // multiples of 2⁻²⁴: adding and taking away 2⁻¹ · 2²⁴ · 2⁻²⁴ rounds to them
        let rounded = f32::from_bits(magnitude) + 0.5;
        return sign | (rounded.to_bits() - 0.5f32.to_bits()) as u16;
    }
    let odd = magnitude >> 13 & 1;
    let rounded = magnitude - 0x3800_0000 + 0xfff + odd;
    sign | (rounded >> 13) as u16
}

/// The number that the bits of a bfloat16 stand for.
pub(crate) fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The bits of the nearest bfloat16.
pub(crate) fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | u16::from(bits >> 16 & 0x7f == 0);
    }
    (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_16_bits_is_the_same_there_and_back() {
        for bits in 0..=u16::MAX {
            assert_eq!(f32_to_f16(f16_to_f32(bits)), bits, "float16 {bits:#06x}");
            assert_eq!(f32_to_bf16(bf16_to_f32(bits)), bits, "bfloat16 {bits:#06x}");
        }
    }

    #[test]
    fn what_lies_between_goes_to_the_nearest_and_from_the_middle_to_the_even_one() {
        for bits in 0..0x7bff_u16 {
            let (low, high) = (f16_to_f32(bits), f16_to_f32(bits + 1));
            let middle = (low + high) / 2.0;
            let even = if bits % 2 == 0 { bits } else { bits + 1 };
            assert_eq!(f32_to_f16(middle), even, "float16 {bits:#06x}");
            assert_eq!(f32_to_f16(middle.next_down()), bits, "float16 {bits:#06x}");
            assert_eq!(f32_to_f16(-middle.next_up()), (bits + 1) | 0x8000, "float16 {bits:#06x}");
        }
        for bits in 0..0x7f7f_u16 {
            let middle = f32::from_bits(u32::from(bits) << 16 | 0x8000);
            let even = if bits % 2 == 0 { bits } else { bits + 1 };
            assert_eq!(f32_to_bf16(middle), even, "bfloat16 {bits:#06x}");
            assert_eq!(f32_to_bf16(-middle.next_down()), bits | 0x8000, "bfloat16 {bits:#06x}");
            assert_eq!(f32_to_bf16(middle.next_up()), bits + 1, "bfloat16 {bits:#06x}");
        }
    }

    #[test]
    fn known_numbers() {
        let rows = [(1.0, 0x3c00, 0x3f80), (-2.0, 0xc000, 0xc000), (65504.0, 0x7bff, 0x4780), (0.1, 0x2e66, 0x3dcd)];
        for (value, f16, bf16) in rows {
            assert_eq!((f32_to_f16(value), f32_to_bf16(value)), (f16, bf16), "{value}");
        }
        assert_eq!(f32_to_f16(65520.0), 0x7c00);
        assert_eq!(f32_to_f16(65519.0), 0x7bff);
    }
}
