//! How new weights are drawn: a pure function of the seed and the parameter's name.

use millstream_schemas::recipe::Initializer;

use crate::graph::Constant;

/// Draws a weight of this shape. `fan_in` and `fan_out` are the inputs and outputs that each unit is connected to.
///
/// He: K. He et al., "Delving deep into rectifiers", 2015. Xavier: X. Glorot and Y. Bengio, "Understanding the
/// difficulty of training deep feedforward neural networks", 2010.
pub fn draw(how: Initializer, shape: &[usize], fans: Fans, seed: u64, name: &str) -> Constant {
    let mut random = SplitMix::new(seed, name);
    let (fan_in, fan_out) = (fans.fan_in.max(1) as f64, fans.fan_out.max(1) as f64);
    let mut value: Box<dyn FnMut() -> f64> = match how {
        Initializer::HeNormal => Box::new(move || random.normal() * (2.0 / fan_in).sqrt()),
        Initializer::HeUniform => Box::new(move || random.symmetric() * (6.0 / fan_in).sqrt()),
        Initializer::XavierNormal => Box::new(move || random.normal() * (2.0 / (fan_in + fan_out)).sqrt()),
        Initializer::XavierUniform => Box::new(move || random.symmetric() * (6.0 / (fan_in + fan_out)).sqrt()),
        Initializer::Zeros => Box::new(|| 0.0),
    };
    let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|_| value() as f32).collect();
    Constant::f32(shape, &values)
}

/// How many inputs and outputs a unit of a layer is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fans {
    /// Inputs a unit reads.
    pub fan_in: usize,
    /// Units that read an input.
    pub fan_out: usize,
}

impl Fans {
    /// Of a convolution's weight `[out, in / groups, kernel…]`.
    pub fn of_convolution(shape: &[usize]) -> Self {
        let field: usize = shape.iter().skip(2).product();
        Self { fan_in: shape.get(1).unwrap_or(&1) * field, fan_out: shape.first().unwrap_or(&1) * field }
    }

    /// Of a dense layer.
    pub fn of_dense(inputs: usize, outputs: usize) -> Self {
        Self { fan_in: inputs, fan_out: outputs }
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): enough for weights, and the same everywhere.
struct SplitMix {
    state: u64,
}

impl SplitMix {
    fn new(seed: u64, name: &str) -> Self {
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
    fn symmetric(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// Standard normal, by Marsaglia's polar method.
    fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (self.symmetric(), self.symmetric());
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * (-2.0 * square.ln() / square).sqrt();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_what_the_papers_say() {
        let fans = Fans::of_convolution(&[64, 32, 3, 3]);
        assert_eq!(fans, Fans { fan_in: 288, fan_out: 576 });
        let rows = [
            (Initializer::HeNormal, (2.0f64 / 288.0).sqrt()),
            (Initializer::HeUniform, (2.0f64 / 288.0).sqrt()),
            (Initializer::XavierNormal, (2.0f64 / 864.0).sqrt()),
            (Initializer::XavierUniform, (2.0f64 / 864.0).sqrt()),
            (Initializer::Zeros, 0.0),
        ];
        for (how, wanted) in rows {
            let values = draw(how, &[64, 32, 3, 3], fans, 7, "weight").to_f32().unwrap();
            let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
            let spread =
                (values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
            assert!((spread - wanted).abs() <= 0.03 * wanted, "{how:?}: {spread} instead of {wanted}");
            assert!(mean.abs() <= 0.05 * wanted + 1e-12, "{how:?}: mean {mean}");
        }
    }

    #[test]
    fn another_seed_or_name_draws_other_weights() {
        let fans = Fans::of_dense(4, 4);
        let one = draw(Initializer::HeNormal, &[4, 4], fans, 1, "a");
        assert_eq!(one, draw(Initializer::HeNormal, &[4, 4], fans, 1, "a"));
        assert_ne!(one, draw(Initializer::HeNormal, &[4, 4], fans, 2, "a"));
        assert_ne!(one, draw(Initializer::HeNormal, &[4, 4], fans, 1, "b"));
    }
}
