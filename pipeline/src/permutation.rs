//! A keyed permutation of 0 … n−1, computed one element at a time.

use millstream_schemas::mix;
use millstream_transforms::random::DrawKey;

const ROUNDS: usize = 8;

/// Feistel network over the pairs (a, b) with a·b ≥ n, walked along its cycle until it is back below n (Black and
/// Rogaway 2002, "Ciphers with arbitrary finite domains"). Both sides are near √n, so a walk takes about 1 + 1/√n steps.
#[derive(Clone, Debug)]
pub(crate) struct Permutation {
    length: u64,
    left: u64,
    right: u64,
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// The permutation of `length` elements that this key means. `purpose` keeps permutations of one key apart.
    pub(crate) fn new(length: u64, key: &DrawKey, purpose: &str) -> Self {
        let mut random = key.random(purpose, 0);
        let left = length.isqrt().max(1);
        Self { length, left, right: length.div_ceil(left).max(1), keys: std::array::from_fn(|_| random.next_u64()) }
    }

    /// Where element `index` goes; `index` is below the length.
    pub(crate) fn at(&self, index: u64) -> u64 {
        debug_assert!(index < self.length);
        let mut value = self.scramble(index);
        while value >= self.length {
            value = self.scramble(value);
        }
        value
    }

    /// A bijection of 0 … left·right−1: each round adds to one side a hash of the other.
    fn scramble(&self, value: u64) -> u64 {
        let (mut a, mut b) = (value / self.right, value % self.right);
        for pair in self.keys.as_chunks::<2>().0 {
            a = add(a, mix(b ^ pair[0]), self.left);
            b = add(b, mix(a ^ pair[1]), self.right);
        }
        a * self.right + b
    }
}

fn add(value: u64, hash: u64, modulus: u64) -> u64 {
    let shift = ((u128::from(hash) * u128::from(modulus)) >> 64) as u64;
    let sum = value + shift;
    if sum >= modulus { sum - modulus } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permutation(length: u64, seed: u64) -> Permutation {
        Permutation::new(length, &DrawKey { seed, epoch: 0, row: 0 }, "test")
    }

    #[test]
    fn every_element_comes_once() {
        for length in (1..70).chain([100, 127, 128, 997, 10_000]) {
            let permutation = permutation(length, 7);
            let mut seen: Vec<_> = (0..length).map(|index| permutation.at(index)).collect();
            seen.sort();
            assert!(seen.into_iter().eq(0..length), "{length}");
        }
    }

    #[test]
    fn large_domains_stay_inside() {
        for length in [u64::from(u32::MAX), 1 << 40, (1 << 40) + 12_345] {
            let permutation = permutation(length, 7);
            assert!((0..1000).all(|index| permutation.at(index * (length / 1000)) < length));
        }
    }

    /// Over many keys each element must land in each place equally often: χ² with 15·15 degrees of freedom.
    #[test]
    fn places_are_uniform() {
        const N: usize = 16;
        const KEYS: u64 = 16_000;
        let mut counts = [[0_u32; N]; N];
        for seed in 0..KEYS {
            let permutation = permutation(N as u64, seed);
            for (index, counts) in counts.iter_mut().enumerate() {
                counts[permutation.at(index as u64) as usize] += 1;
            }
        }
        let expected = KEYS as f64 / N as f64;
        let chi: f64 = counts.iter().flatten().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
        // Mean 225, standard deviation 21.
        assert!((120.0..330.0).contains(&chi), "{chi}");
    }

    #[test]
    fn neighbours_are_torn_apart() {
        let length = 10_000_u64;
        let permutation = permutation(length, 3);
        let distance = |index| permutation.at(index).abs_diff(permutation.at(index + 1)) as f64;
        let mean = (0..length - 1).map(distance).sum::<f64>() / (length - 1) as f64;
        // A random permutation has n/3.
        assert!((mean / length as f64 - 1.0 / 3.0).abs() < 0.01, "{mean}");
    }
}
