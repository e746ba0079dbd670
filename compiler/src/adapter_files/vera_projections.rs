//! The two matrices of VeRA that a folder of PEFT does not hold: drawn by its key, as PyTorch draws them.

use super::Tensor;

/// `vera_A [rank, inputs]` and `vera_B [outputs, rank]` for the most inputs and outputs of any adapted layer, as PEFT draws them by
/// `projection_prng_key`: one behind the other from one generator, uniform in ±√6/√columns.
///
/// They have the bits of PyTorch where it rounds a product and a sum once, as on processors with AVX2; where it rounds both they differ in
/// the last bit.
pub(crate) fn vera_projections(key: i64, [rank, inputs, outputs]: [usize; 3]) -> [Tensor; 2] {
    // PyTorch seeds this generator with the lower half
    let mut random = MersenneTwister::new(key as u32);
    [[rank, inputs], [outputs, rank]].map(|shape| {
        let bound = 3.0_f64.sqrt() * (2.0_f64.sqrt() / (shape[1] as f64).sqrt());
        let numbers = random.uniforms(shape[0] * shape[1], bound as f32);
        Tensor::new(shape, numbers).expect("as many numbers as the shape says")
    })
}

/// Numbers that the state of the generator has.
const STATE: usize = 624;

/// MT19937 (M. Matsumoto and T. Nishimura, "Mersenne Twister", 1998).
struct MersenneTwister {
    state: [u32; STATE],
    at: usize,
}

impl MersenneTwister {
    fn new(seed: u32) -> Self {
        let mut state = [seed; STATE];
        for at in 1..STATE {
            let last: u32 = state[at - 1];
            state[at] = 1_812_433_253_u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(at as u32);
        }
        Self { state, at: STATE }
    }

    fn renew(&mut self) {
        for at in 0..STATE {
            let joined = (self.state[at] & 0x8000_0000) | (self.state[(at + 1) % STATE] & 0x7fff_ffff);
            let turned = if joined & 1 == 0 { 0 } else { 0x9908_b0df };
            self.state[at] = self.state[(at + 397) % STATE] ^ (joined >> 1) ^ turned;
        }
        self.at = 0;
    }

    fn draw(&mut self) -> u32 {
        if self.at == STATE {
            self.renew();
        }
        let mut drawn = self.state[self.at];
        self.at += 1;
        drawn ^= drawn >> 11;
        drawn ^= (drawn << 7) & 0x9d2c_5680;
        drawn ^= (drawn << 15) & 0xefc6_0000;
        drawn ^ (drawn >> 18)
    }

    /// Numbers from −`bound` to `bound`, each of 24 bits.
    fn uniforms(&mut self, count: usize, bound: f32) -> Vec<f32> {
        const PARTS: f32 = (1 << 24) as f32;
        let share = |drawn: u32| (drawn & 0x00ff_ffff) as f32 / PARTS;
        (0..count).map(|_| share(self.draw()).mul_add(bound + bound, -bound)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `uniform_` of a `torch.Generator` in PEFT 0.21.2 on torch 2.15.0, as bits.
    #[test]
    fn the_matrices_have_the_bits_that_pytorch_draws() {
        let bits = |key: i64, lengths: [usize; 3]| -> Vec<u32> {
            let both = vera_projections(key, lengths);
            both.iter().flat_map(|tensor| tensor.values()).map(|value| value.to_bits()).collect()
        };
        let [a, b] = vera_projections(0, [2, 3, 4]);
        assert_eq!((a.shape(), b.shape()), (&[2, 3][..], &[4, 2][..]));
        for (key, wanted) in [
            (
                0,
                [
                    0xbc2d_7922,
                    0x3f42_369c,
                    0xbf94_fcb1,
                    0xbf85_381d,
                    0xbf0b_70d6,
                    0x3ec2_2aab,
                    0xbd0c_9070,
                    0x3faf_c91c,
                    0xbe1d_65f1,
                    0x3eea_a93b,
                ],
            ),
            (
                (1 << 32) + 3,
                [
                    0xbfb3_79cc,
                    0xbf8e_cc95,
                    0xbf1b_110d,
                    0xbfab_42b9,
                    0xbda4_6d5c,
                    0xbf9f_4142,
                    0x3f71_17e6,
                    0x3f58_1d73,
                    0x3ea7_77a4,
                    0x3fab_fa43,
                ],
            ),
            (
                -5,
                [
                    0x3f9b_f8c3,
                    0x3ee8_c0e8,
                    0x3fae_0e92,
                    0x3f9c_8c8d,
                    0xbf6a_7f90,
                    0xbfb0_da2a,
                    0xbfac_1932,
                    0x3ed6_c20d,
                    0x3db9_c600,
                    0xbfbb_5d58,
                ],
            ),
        ] {
            assert_eq!(bits(key, [2, 3, 2]), wanted, "key {key}");
        }
        // past two renewals of the state
        let many = bits(7, [16, 50, 40]);
        let sum = many.iter().fold(0_u32, |sum, bits| sum.wrapping_mul(31).wrapping_add(*bits));
        assert_eq!((many.len(), sum), (1440, 0x78a5_4eab));
    }
}
