use libm::{cos, log};
use millstream_schemas::{GOLDEN, mix};

/// A stream of random numbers that is a pure function of a study's seed, a trial's number and what the numbers are for.
///
/// The streams are those of SplitMix64, each from a place of its own.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream of a trial for one purpose, such as the name of a parameter.
    pub fn of(seed: u64, number: u64, purpose: &str) -> Self {
        let mut state = mix(seed.wrapping_add(GOLDEN));
        let mut absorb = |word: u64| state = mix(state.rotate_left(23) ^ word).wrapping_add(GOLDEN);
        absorb(number);
        absorb(purpose.len() as u64);
        for chunk in purpose.as_bytes().chunks(8) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            absorb(u64::from_le_bytes(bytes));
        }
        Self { state }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Uniform in [0, 1), a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform among 0 … n−1, every one equally likely (Lemire 2019); 0 where n is 0.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let least = n.wrapping_neg() % n;
            while (product as u64) < least {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as usize
    }

    /// Normal with mean 0 and standard deviation 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * log(1.0 - self.uniform())).sqrt();
        radius * cos(2.0 * std::f64::consts::PI * self.uniform())
    }

    /// An index, as likely as its weight (0 or more, some above 0) says.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.uniform() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
        // Sums are rounded: what is left over belongs to the last that can be drawn.
        weights.iter().rposition(|weight| *weight > 0.0).unwrap_or(0)
    }

    /// Puts the items in random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_key_counts() {
        let first = |seed, number, purpose| Random::of(seed, number, purpose).next_u64();
        let all = [
            first(0, 0, "a"),
            first(1, 0, "a"),
            first(0, 1, "a"),
            first(0, 0, "b"),
            first(0, 0, "a\0"),
            first(0, 0, "aaaaaaaaa"),
            first(u64::MAX, 0, "a"),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| other != one));
        }
        assert_eq!(first(5, 6, "lr"), first(5, 6, "lr"));
    }

    /// Guards the bits themselves: a change here breaks every study that goes on.
    #[test]
    fn streams_are_frozen() {
        let mut random = Random::of(3, 1, "frozen");
        assert_eq!([random.next_u64(), random.next_u64()], FROZEN);
    }

    const FROZEN: [u64; 2] = [15_495_286_722_560_989_913, 5_271_549_101_237_340_993];

    #[test]
    fn distributions_have_their_moments() {
        let mut random = Random::of(7, 0, "moments");
        let n = 40_000;
        let mut check = |name: &str, wanted: (f64, f64), draw: &mut dyn FnMut(&mut Random) -> f64| {
            let drawn: Vec<f64> = (0..n).map(|_| draw(&mut random)).collect();
            let mean = drawn.iter().sum::<f64>() / f64::from(n);
            let variance = drawn.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / f64::from(n);
            assert!((mean - wanted.0).abs() < 5.0 * (wanted.1 / f64::from(n)).sqrt(), "{name}: mean {mean}");
            assert!((variance / wanted.1 - 1.0).abs() < 0.05, "{name}: variance {variance}");
        };
        check("uniform", (0.5, 1.0 / 12.0), &mut Random::uniform);
        check("below", (2.0, 2.0), &mut |random| random.below(5) as f64);
        check("normal", (0.0, 1.0), &mut Random::normal);
        check("weighted", (1.5, 0.75), &mut |random| random.weighted(&[1.0, 0.0, 3.0, 0.0]) as f64);
    }

    #[test]
    fn nothing_to_choose_from_is_no_panic_and_a_shuffle_keeps_all() {
        let mut random = Random::of(0, 0, "");
        assert_eq!((random.below(0), random.below(1), random.weighted(&[])), (0, 0, 0));
        let mut items: Vec<u32> = (0..50).collect();
        random.shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
