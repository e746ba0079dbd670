//! Normal numbers by a hash of their position (Box and Muller 1958), from operations that IEEE 754 fixes and that
//! compilers turn into vector code: the same bits on every machine.

/// Two words that all noise of one step depends on.
#[inline(always)]
pub(crate) fn keys(seed: u64) -> [u32; 2] {
    let z = millstream_schemas::mix(seed.wrapping_add(millstream_schemas::GOLDEN));
    [z as u32, (z >> 32) as u32]
}

/// A bijection of 32 bits with little bias ("lowbias32", C. Wellons 2018).
#[inline(always)]
fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Two independent normal numbers.
#[inline(always)]
pub(crate) fn normal_pair(counter: u32, keys: [u32; 2]) -> (f32, f32) {
    let hash = mix(counter ^ keys[0]).wrapping_add(keys[1]);
    let (first, second) = (mix(hash), mix(hash ^ 0x9e37_79b9));
    // √(−ln u), u in (0, 1]; the missing √2 is in the angle's functions below
    let radius = neg_ln(first >> 8).sqrt();
    // an angle t in [−π/4, π/4), then turned by π/4 and into one of four quadrants by two signs
    let t = ((second >> 8) as i32 as f32) * (std::f32::consts::FRAC_PI_2 / 16_777_216.0) - std::f32::consts::FRAC_PI_4;
    let square = t * t;
    let sin = t * (1.0 + square * (-1.0 / 6.0 + square * (1.0 / 120.0 - square * (1.0 / 5040.0))));
    let cos = 1.0 + square * (-0.5 + square * (1.0 / 24.0 + square * (-1.0 / 720.0 + square * (1.0 / 40320.0))));
    let x = radius * (cos - sin);
    let y = radius * (cos + sin);
    let sign_x = (second & 1) << 31;
    let sign_y = (second & 2) << 30;
    (f32::from_bits(x.to_bits() ^ sign_x), f32::from_bits(y.to_bits() ^ sign_y))
}

/// −ln((word + 1) / 2²⁴) for a word of 24 bits (the polynomial of Cephes' `logf`).
#[inline(always)]
fn neg_ln(word: u32) -> f32 {
    const HALF_ROOT: u32 = 0x3f35_04f3;
    let bits = ((word + 1) as i32 as f32).to_bits();
    let shifted = bits.wrapping_sub(HALF_ROOT);
    let exponent = ((shifted as i32) >> 23) as f32 - 24.0;
    let x = f32::from_bits((shifted & 0x007f_ffff) + HALF_ROOT) - 1.0;
    let square = x * x;
    let mut y = 7.037_683_6e-2;
    y = y * x - 1.151_461e-1;
    y = y * x + 1.167_699_9e-1;
    y = y * x - 1.242_014_1e-1;
    y = y * x + 1.424_932_3e-1;
    y = y * x - 1.666_805_8e-1;
    y = y * x + 2.000_071_5e-1;
    y = y * x - 2.499_999_4e-1;
    y = y * x + 3.333_333e-1;
    let ln = x - 0.5 * square + y * x * square + exponent * std::f32::consts::LN_2;
    let negative = -ln;
    if negative > 0.0 { negative } else { 0.0 }
}

/// Adds noise of this strength to pixels of a row and clips to 0 … 1. `row` numbers the rows of all channels; the
/// pixels begin at column `left` of `width`.
///
/// A pair's numbers go to places half a row apart, so that neighbours come from neighbouring lanes.
#[inline(always)]
pub(super) fn add_to_row(values: &mut [f32], strength: f32, seed: u64, row: u32, [left, width]: [u32; 2]) {
    let keys = keys(seed);
    let half = width.div_ceil(2) as usize;
    let base = row.wrapping_mul(half as u32);
    let noisy = |value: f32, normal: f32| {
        let sum = value + strength * normal;
        let low = if sum > 0.0 { sum } else { 0.0 };
        if low < 1.0 { low } else { 1.0 }
    };
    // which pairs the pixels of the first half take their number of, and those of the second
    let (start, end) = (left as usize, left as usize + values.len());
    let (first, second) = values.split_at_mut(half.clamp(start, end) - start);
    let (from, behind) = (start.min(half), start.max(half) - half);
    let alone = |values: &mut [f32], pair: usize, is_second: bool| {
        for (index, value) in values.iter_mut().enumerate() {
            let (x, y) = normal_pair(base.wrapping_add((pair + index) as u32), keys);
            *value = noisy(*value, if is_second { y } else { x });
        }
    };
    // the pairs of which both numbers are taken
    let both = from.max(behind)..(from + first.len()).min(behind + second.len());
    if both.is_empty() {
        alone(first, from, false);
        alone(second, behind, true);
        return;
    }
    let (before, first) = first.split_at_mut(both.start - from);
    let (first, after) = first.split_at_mut(both.len());
    alone(before, from, false);
    alone(after, both.end, false);
    let (before, second) = second.split_at_mut(both.start - behind);
    let (second, after) = second.split_at_mut(both.len());
    alone(before, behind, true);
    alone(after, both.end, true);
    let first_pair = base.wrapping_add(both.start as u32);
    for (index, (left, right)) in first.iter_mut().zip(second).enumerate() {
        let (x, y) = normal_pair(first_pair.wrapping_add(index as u32), keys);
        *left = noisy(*left, x);
        *right = noisy(*right, y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_is_exact_enough() {
        for word in (0..1u32 << 24).step_by(97).chain([(1 << 24) - 1]) {
            let wanted = -(f64::from(word + 1) / 16_777_216.0).ln();
            assert!((f64::from(neg_ln(word)) - wanted).abs() < 2e-6 * wanted.max(0.1), "{word}");
        }
    }

    /// Moments up to the fourth, tails, and independence of neighbours, of pairs and of seeds.
    #[test]
    fn numbers_are_normal_and_independent() {
        let n = 400_000u32;
        let numbers = |seed: u64| -> Vec<(f64, f64)> {
            let keys = keys(seed);
            let pair = |counter| normal_pair(counter, keys);
            (0..n).map(pair).map(|(x, y)| (f64::from(x), f64::from(y))).collect()
        };
        let (one, two) = (numbers(1), numbers(2));
        let mean = |f: &dyn Fn(usize) -> f64| (0..n as usize - 1).map(f).sum::<f64>() / f64::from(n - 1);
        let slack = 5.0 / f64::from(n).sqrt();
        let near = |name: &str, got: f64, wanted: f64, spread: f64| {
            assert!((got - wanted).abs() < slack * spread, "{name}: {got}, wanted {wanted}");
        };
        near("mean x", mean(&|i| one[i].0), 0.0, 1.0);
        near("mean y", mean(&|i| one[i].1), 0.0, 1.0);
        near("variance x", mean(&|i| one[i].0.powi(2)), 1.0, 1.5);
        near("variance y", mean(&|i| one[i].1.powi(2)), 1.0, 1.5);
        near("third", mean(&|i| one[i].0.powi(3)), 0.0, 4.0);
        near("fourth", mean(&|i| one[i].0.powi(4)), 3.0, 10.0);
        near("fourth", mean(&|i| one[i].1.powi(4)), 3.0, 10.0);
        near("pair", mean(&|i| one[i].0 * one[i].1), 0.0, 1.0);
        near("pair squared", mean(&|i| one[i].0.powi(2) * one[i].1.powi(2)), 1.0, 3.0);
        near("neighbours", mean(&|i| one[i].0 * one[i + 1].0), 0.0, 1.0);
        near("neighbours squared", mean(&|i| one[i].0.powi(2) * one[i + 1].0.powi(2)), 1.0, 3.0);
        near("seeds", mean(&|i| one[i].0 * two[i].0), 0.0, 1.0);
        let beyond = |limit: f64| mean(&|i| f64::from(u8::from(one[i].0.abs() > limit)));
        near("beyond 1", beyond(1.0), 0.3173, 0.5);
        near("beyond 3", beyond(3.0), 0.0027, 0.06);
    }

    #[test]
    fn values_stay_between_black_and_white() {
        let mut row = vec![0.5; 301];
        add_to_row(&mut row, 0.9, 3, 7, [0, 301]);
        assert!(row.iter().all(|value| (0.0..=1.0).contains(value)));
        assert!(row.contains(&0.0) && row.contains(&1.0));
    }

    /// Whichever pixels of a row are asked for, each gets the number of its place.
    #[test]
    fn a_part_of_a_row_gets_the_noise_of_its_place() {
        for width in [1u32, 2, 9, 40, 41] {
            let mut whole = vec![0.5; width as usize];
            add_to_row(&mut whole, 0.1, 5, 3, [0, width]);
            for left in 0..width {
                for right in left + 1..=width {
                    let mut part = vec![0.5; (right - left) as usize];
                    add_to_row(&mut part, 0.1, 5, 3, [left, width]);
                    assert_eq!(part, whole[left as usize..right as usize], "{left}..{right} of {width}");
                }
            }
        }
    }
}
