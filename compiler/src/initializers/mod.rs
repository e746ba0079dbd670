//! How new weights are drawn: a pure function of the seed and the parameter's name. Each file holds one way.

mod constant;
mod fans;
mod he_normal;
mod he_uniform;
mod initializer;
mod lecun_normal;
mod lecun_uniform;
mod orthogonal;
mod random;
mod truncated_normal;
mod xavier_normal;
mod xavier_uniform;
mod zeros;

use std::sync::OnceLock;

use millstream_schemas::choice::{Catalog, Choice, ChoiceError};

pub use fans::Fans;
pub use initializer::{Build, Initializer, InitializerFunction, InitializerKind};
pub use random::WeightRandom;

/// The initializers of this crate. More rows are added by [`Catalog::with`].
pub fn standard() -> &'static Catalog<InitializerKind> {
    static CATALOG: OnceLock<Catalog<InitializerKind>> = OnceLock::new();
    CATALOG.get_or_init(|| {
        Catalog::new([
            constant::INITIALIZER,
            he_normal::INITIALIZER,
            he_uniform::INITIALIZER,
            lecun_normal::INITIALIZER,
            lecun_uniform::INITIALIZER,
            orthogonal::INITIALIZER,
            truncated_normal::INITIALIZER,
            xavier_normal::INITIALIZER,
            xavier_uniform::INITIALIZER,
            zeros::INITIALIZER,
        ])
    })
}

impl Initializer {
    /// One of this crate by its name, every option as it is by default.
    ///
    /// # Errors
    /// There is none of this name, or it has an option that must be given.
    pub fn named(name: &str) -> Result<Self, ChoiceError> {
        Self::choose(standard(), &Choice::named(name), "initializer")
    }
}

/// What a new head starts from: `xavier_uniform`.
impl Default for Initializer {
    fn default() -> Self {
        Self::named("xavier_uniform").expect("it has no options")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn initializer(name: &str, options: &str) -> Initializer {
        let options = serde_json::from_str(options).unwrap();
        Initializer::choose(standard(), &Choice::new(name, options), "model.head.new_with").unwrap()
    }

    #[test]
    fn spread_is_what_the_papers_say() {
        let shape = [256, 32, 3, 3];
        let fans = Fans::of_convolution(&shape);
        assert_eq!(fans, Fans { fan_in: 288, fan_out: 2304 });
        for row in standard().rows() {
            for (options, wanted) in row.samples {
                let values = initializer(row.name, options).draw(&shape, fans, 7, "weight").to_f32().unwrap();
                let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
                let spread =
                    (values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
                assert!((spread - wanted).abs() <= 0.02 * wanted, "{}: {spread} instead of {wanted}", row.name);
                let is_constant = values.iter().all(|value| *value == values[0]);
                assert!(mean.abs() <= 0.05 * wanted + 1e-12 || is_constant, "{}: mean {mean}", row.name);
            }
        }
    }

    #[test]
    fn another_seed_or_name_draws_other_weights() {
        let fans = Fans::of_dense(4, 4);
        for row in standard().rows().iter().filter(|row| !matches!(row.name, "constant" | "zeros")) {
            let how = initializer(row.name, row.samples[0].0);
            let one = how.draw(&[4, 4], fans, 1, "a");
            assert_eq!(one, how.draw(&[4, 4], fans, 1, "a"));
            assert_ne!(one, how.draw(&[4, 4], fans, 2, "a"), "{}", row.name);
            assert_ne!(one, how.draw(&[4, 4], fans, 1, "b"), "{}", row.name);
        }
    }
}
