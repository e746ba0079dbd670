//! Randomness as a function: a counter-based generator keyed by what is drawn.
//!
//! Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). Nothing here
//! uses the system's mathematical library, so draws are the same bits on every machine.

use millstream_schemas::{GOLDEN, mix};

use crate::elementary::{exp, ln, sin_cos_degrees};

/// What a draw depends on, besides the step's name and occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DrawKey {
    /// Seed of the run.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Identity of the row (`RowId::key`).
    pub row: u64,
}

impl DrawKey {
    /// The generator of one step.
    ///
    /// `occurrence` counts the steps of the same name that stand before it, so that a step's draws do not depend on
    /// its place among steps of other names.
    pub fn random(&self, step_name: &str, occurrence: u32) -> Random {
        let mut state = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344];
        for word in [self.seed, self.epoch, self.row, u64::from(occurrence), step_name.len() as u64] {
            absorb(&mut state, word);
        }
        for chunk in step_name.as_bytes().chunks(8) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            absorb(&mut state, u64::from_le_bytes(bytes));
        }
        absorb(&mut state, 0);
        Random::new(state[0], state[1])
    }
}

/// Mixes a word into 128 bits of state: two lanes of the finalizer of SplitMix64 that feed each other.
fn absorb(state: &mut [u64; 2], word: u64) {
    state[0] = mix(state[0] ^ word).wrapping_add(state[1].rotate_left(29));
    state[1] = mix(state[1].wrapping_add(word).wrapping_add(GOLDEN)) ^ state[0].rotate_left(17);
}

/// One block of Philox4x32-10.
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut a, mut b, mut c, mut d] = counter;
    let [mut left, mut right] = key;
    for _ in 0..10 {
        let first = u64::from(a) * 0xd251_1f53;
        let second = u64::from(c) * 0xcd9e_8d57;
        (a, b, c, d) =
            ((second >> 32) as u32 ^ b ^ left, second as u32, (first >> 32) as u32 ^ d ^ right, first as u32);
        left = left.wrapping_add(0x9e37_79b9);
        right = right.wrapping_add(0xbb67_ae85);
    }
    [a, b, c, d]
}

/// A stream of random numbers that is a pure function of its key.
#[derive(Clone, Debug)]
pub struct Random {
    key: [u32; 2],
    stream: u64,
    block: u64,
    words: [u32; 4],
    used: usize,
}

impl Random {
    /// The stream number `stream` under `key`.
    pub fn new(key: u64, stream: u64) -> Self {
        Self { key: [key as u32, (key >> 32) as u32], stream, block: 0, words: [0; 4], used: 4 }
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            let counter =
                [self.block as u32, (self.block >> 32) as u32, self.stream as u32, (self.stream >> 32) as u32];
            self.words = philox(counter, self.key);
            self.block += 1;
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) | u64::from(self.next_u32()) << 32
    }

    /// Uniform in [0, 1), a multiple of 2⁻²⁴.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    /// Uniform in [0, 1), a multiple of 2⁻⁵³.
    pub fn uniform_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform between the ends of the range.
    pub fn uniform_in(&mut self, range: std::ops::Range<f64>) -> f64 {
        range.start + self.uniform_f64() * (range.end - range.start)
    }

    /// Uniform among 0 … n−1, every one equally likely (Lemire 2019); 0 when n is 0.
    pub fn below(&mut self, n: u32) -> u32 {
        let mut product = u64::from(self.next_u32()) * u64::from(n);
        if (product as u32) < n {
            let least = n.wrapping_neg() % n;
            while (product as u32) < least {
                product = u64::from(self.next_u32()) * u64::from(n);
            }
        }
        (product >> 32) as u32
    }

    /// True with this probability.
    pub fn bernoulli(&mut self, probability: f64) -> bool {
        self.uniform_f64() < probability
    }

    /// Normal with mean 0 and standard deviation 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * ln(1.0 - self.uniform_f64())).sqrt();
        radius * sin_cos_degrees(360.0 * self.uniform_f64()).1
    }

    /// Logarithm of a gamma variate of this shape (> 0) and scale 1 (Marsaglia and Tsang 2000).
    ///
    /// The logarithm, because small shapes give variates that no float holds.
    pub fn ln_gamma_variate(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.ln_gamma_variate(shape + 1.0) + ln(1.0 - self.uniform_f64()) / shape;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let root = 1.0 + c * x;
            if root <= 0.0 {
                continue;
            }
            let v = root * root * root;
            if ln(1.0 - self.uniform_f64()) < 0.5 * x * x + d - d * v + d * ln(v) {
                return ln(d) + ln(v);
            }
        }
    }

    /// Beta with these shapes (> 0).
    pub fn beta(&mut self, a: f64, b: f64) -> f64 {
        let (x, y) = (self.ln_gamma_variate(a), self.ln_gamma_variate(b));
        1.0 / (1.0 + exp(y - x))
    }

    /// Puts the items in random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u32 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of Random123 1.14 (`kat_vectors`).
    #[test]
    fn philox_known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([!0; 4], [!0; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    fn random() -> Random {
        DrawKey { seed: 3, epoch: 1, row: 99 }.random("test", 0)
    }

    fn mean_and_variance(values: impl Iterator<Item = f64>) -> (f64, f64) {
        let values: Vec<f64> = values.collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64)
    }

    #[test]
    fn distributions_have_their_moments() {
        let mut random = random();
        let n = 40_000;
        let mut check = |name: &str, wanted: (f64, f64), draw: &mut dyn FnMut(&mut Random) -> f64| {
            let (mean, variance) = mean_and_variance((0..n).map(|_| draw(&mut random)));
            let slack = 5.0 * (wanted.1 / f64::from(n)).sqrt();
            assert!((mean - wanted.0).abs() < slack, "{name}: mean {mean}, wanted {}", wanted.0);
            assert!((variance / wanted.1 - 1.0).abs() < 0.05, "{name}: variance {variance}, wanted {}", wanted.1);
        };
        check("uniform", (0.5, 1.0 / 12.0), &mut |r| f64::from(r.uniform()));
        check("uniform_f64", (0.5, 1.0 / 12.0), &mut Random::uniform_f64);
        check("uniform_in", (1.0, 1.0 / 3.0), &mut |r| r.uniform_in(0.0..2.0));
        check("below", (2.0, 2.0), &mut |r| f64::from(r.below(5)));
        check("normal", (0.0, 1.0), &mut Random::normal);
        check("bernoulli", (0.3, 0.21), &mut |r| f64::from(u8::from(r.bernoulli(0.3))));
        check("gamma 2.5", (2.5, 2.5), &mut |r| exp(r.ln_gamma_variate(2.5)));
        check("gamma 0.4", (0.4, 0.4), &mut |r| exp(r.ln_gamma_variate(0.4)));
        for alpha in [0.2, 1.0, 3.0] {
            let variance = 0.25 / (2.0 * alpha + 1.0);
            check("beta", (0.5, variance), &mut |r| r.beta(alpha, alpha));
        }
    }

    #[test]
    fn each_part_of_the_key_counts() {
        let first =
            |seed, epoch, row, name, occurrence| DrawKey { seed, epoch, row }.random(name, occurrence).next_u64();
        let all = [
            first(0, 0, 0, "a", 0),
            first(1, 0, 0, "a", 0),
            first(0, 1, 0, "a", 0),
            first(0, 0, 1, "a", 0),
            first(0, 0, 0, "b", 0),
            first(0, 0, 0, "a", 1),
            first(0, 0, 0, "a\0", 0),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b));
        }
        assert_eq!(first(5, 6, 7, "rotate", 2), first(5, 6, 7, "rotate", 2));
    }

    /// Guards the bits themselves: a change here breaks every resumed run.
    #[test]
    fn keyed_stream_is_frozen() {
        let mut random = random();
        let words: Vec<u32> = (0..4).map(|_| random.next_u32()).collect();
        assert_eq!(words, FROZEN);
    }

    const FROZEN: [u32; 4] = [2_591_714_508, 778_928_395, 3_083_994_525, 967_133_433];

    #[test]
    fn shuffle_keeps_all_and_below_zero_is_zero() {
        let mut random = random();
        let mut items: Vec<u32> = (0..50).collect();
        random.shuffle(&mut items);
        assert!(items.windows(2).any(|w| w[0] > w[1]));
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
        assert_eq!(random.below(0), 0);
    }
}
