/// 2⁶⁴ divided by the golden ratio, odd: the step of SplitMix64's counter.
pub const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): a bijection in
/// which every bit of the input decides every bit of the output.
///
/// ```
/// use millstream_schemas::{GOLDEN, mix};
/// // The generator's first number from the seed 0.
/// assert_eq!(mix(GOLDEN), 0xe220_a839_7b1d_cdaf);
/// ```
#[inline]
pub const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
