/// Random numbers for weights: SplitMix64 (Steele, Lea and Flood 2014), the same everywhere.
#[derive(Clone, Debug)]
pub struct WeightRandom {
    state: u64,
}

impl WeightRandom {
    /// Those of a parameter, by the seed of the run and its name.
    pub fn new(seed: u64, name: &str) -> Self {
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let mut random = Self { state: seed };
        let mixed = random.next();
        Self { state: mixed ^ hash }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(millstream_schemas::GOLDEN);
        millstream_schemas::mix(self.state)
    }

    /// Evenly in −1 to 1.
    pub fn symmetric(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// Standard normal, by Marsaglia's polar method.
    pub fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (self.symmetric(), self.symmetric());
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * (-2.0 * square.ln() / square).sqrt();
            }
        }
    }

    /// `count` numbers of standard deviation `deviation`, normal.
    pub fn normals(&mut self, count: usize, deviation: f64) -> Vec<f32> {
        (0..count).map(|_| (self.normal() * deviation) as f32).collect()
    }

    /// `count` numbers evenly in ±`bound`.
    pub fn uniforms(&mut self, count: usize, bound: f64) -> Vec<f32> {
        (0..count).map(|_| (self.symmetric() * bound) as f32).collect()
    }
}
