//! The way uphill that is taken before the gradient of a step is computed: in Rust, and as graph nodes for other devices.

use millstream_compiler::graph::{Graph, TensorType, ValueId};
use millstream_compiler::{CompilerError, OperatorCatalog};
use millstream_schemas::ParameterEntry;
use serde::Serialize;

use super::norms::{sum_of_squares, sum_of_squares_nodes};

const OPSET: i64 = 17;

/// Added to a norm before it divides.
const LEAST: f64 = 1e-12;

/// Each step takes the gradient at w + ε and not at w, ε = ρ·g/‖g‖ over all parameters that are trained (Foret et al.,
/// "Sharpness-Aware Minimization for Efficiently Improving Generalization", 2021). Adaptive, ε = ρ·w²·g/‖|w|·g‖ (Kwon et al., "ASAM:
/// Adaptive Sharpness-Aware Minimization", 2021): it does not depend on how weights are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SharpnessAware {
    /// The length of the way, above 0.
    pub rho: f32,
    /// Whether it is measured in units of the weights.
    pub adaptive: bool,
}

impl SharpnessAware {
    /// Of one parameter, the sum of the squares of g, or of |w|·g.
    pub(crate) fn sum_of_squares(self, parameter: &[f32], gradient: &[f32]) -> f64 {
        if !self.adaptive {
            return sum_of_squares(gradient);
        }
        let scaled: Vec<f32> = parameter.iter().zip(gradient).map(|(value, gradient)| value * gradient).collect();
        sum_of_squares(&scaled)
    }

    /// What gradients are multiplied by, where the sums of all parameters have this root.
    pub(crate) fn factor(self, norm: f64) -> f32 {
        (f64::from(self.rho) / (norm + LEAST)) as f32
    }

    /// Goes uphill.
    pub(crate) fn ascend(self, parameter: &mut [f32], gradient: &[f32], factor: f32) {
        for (value, gradient) in parameter.iter_mut().zip(gradient) {
            let square = if self.adaptive { *value * *value } else { 1.0 };
            *value += factor * gradient * square;
        }
    }
}

/// A graph that reads gradients and parameters and makes the parameters uphill.
#[derive(Clone, Debug)]
pub(crate) struct AscentGraph {
    /// ONNX bytes.
    pub(crate) model: Vec<u8>,
    /// Inputs of shape `[]`, for each cohort, where some may be frozen: above 0 for those that are not.
    pub(crate) live: Vec<String>,
    /// One for each parameter.
    pub(crate) parameters: Vec<AscentNames>,
}

/// Names of one parameter's tensors in an [`AscentGraph`].
#[derive(Clone, Debug)]
pub(crate) struct AscentNames {
    pub(crate) gradient: String,
    pub(crate) parameter: String,
    pub(crate) uphill: String,
}

impl AscentGraph {
    /// Writes the graph. `cohorts` says of each parameter with which others it is frozen; where it is empty nothing ever is.
    /// Running statistics and what is frozen stay where they are.
    ///
    /// # Errors
    /// An operator is missing in the compiler's table.
    pub(crate) fn new(
        sharpness: SharpnessAware,
        entries: &[ParameterEntry],
        cohorts: &[usize],
    ) -> Result<Self, CompilerError> {
        let mut graph = Graph::new(OPSET, OperatorCatalog::standard());
        let count = cohorts.iter().max().map_or(0, |last| last + 1);
        let live: Vec<String> = (0..count).map(|cohort| format!("live.{cohort}")).collect();
        let mut is_live = Vec::new();
        for name in &live {
            let number = graph.input(name, TensorType::f32(Vec::<usize>::new()));
            let zero = graph.scalar(0.0);
            is_live.push(graph.add("Greater", &[number, zero], &[])?);
        }
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for (index, entry) in entries.iter().enumerate() {
            let of = AscentNames {
                gradient: format!("gradient.{index}"),
                parameter: format!("parameter.{index}"),
                uphill: format!("uphill.parameter.{index}"),
            };
            let mut input = |name: &str| graph.input(name, TensorType::f32(entry.shape.clone()));
            values.push((input(&of.gradient), input(&of.parameter)));
            names.push(of);
        }
        let mut sum = graph.scalar(0.0);
        let mut ways: Vec<Option<ValueId>> = Vec::new();
        for (index, (entry, (gradient, parameter))) in entries.iter().zip(&values).enumerate() {
            if entry.is_statistic {
                ways.push(None);
                continue;
            }
            let mut gradient = *gradient;
            if let Some(cohort) = cohorts.get(index) {
                let zero = graph.scalar(0.0);
                gradient = graph.add("Where", &[is_live[*cohort], gradient, zero], &[])?;
            }
            let measured = if sharpness.adaptive { graph.times(*parameter, gradient)? } else { gradient };
            let squares = sum_of_squares_nodes(&mut graph, measured)?;
            sum = graph.plus(sum, squares)?;
            ways.push(Some(if sharpness.adaptive { graph.times(measured, *parameter)? } else { gradient }));
        }
        let norm = graph.add("Sqrt", &[sum], &[])?;
        let [least, rho] = [LEAST as f32, sharpness.rho].map(|value| graph.scalar(value));
        let norm = graph.plus(norm, least)?;
        let factor = graph.divided_by(rho, norm)?;
        let mut outputs = Vec::new();
        for (way, (_, parameter)) in ways.into_iter().zip(&values) {
            outputs.push(match way {
                Some(way) => {
                    let way = graph.times(way, factor)?;
                    graph.plus(*parameter, way)?
                }
                None => graph.add("Identity", &[*parameter], &[])?,
            });
        }
        // At the end: a name that is given up may be taken again by the next node.
        for (value, names) in outputs.iter().zip(&names) {
            graph.rename(*value, &names.uphill)?;
        }
        graph.set_outputs(&outputs);
        Ok(Self { model: graph.to_onnx("ascent"), live, parameters: names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_is_as_long_as_it_should_be_and_adaptive_it_is_relative_to_the_weights() {
        let (start, gradients) = ([[1.0_f32, -2.0], [0.5, 0.0]], [[3.0_f32, 0.0], [-4.0, 2.0]]);
        for (adaptive, wanted) in [
            // ρ = 0.1, ‖g‖ = √(9 + 16 + 4)
            (false, [[1.0 + 0.3 / 29.0_f64.sqrt(), -2.0], [0.5 - 0.4 / 29.0_f64.sqrt(), 0.2 / 29.0_f64.sqrt()]]),
            // ‖|w|·g‖ = √(9 + 4)
            (true, [[1.0 + 0.3 / 13.0_f64.sqrt(), -2.0], [0.5 - 0.1 / 13.0_f64.sqrt(), 0.0]]),
        ] {
            let sharpness = SharpnessAware { rho: 0.1, adaptive };
            let sum = start.iter().zip(&gradients).map(|(w, g)| sharpness.sum_of_squares(w, g)).sum::<f64>();
            let mut uphill = start;
            for (parameter, gradient) in uphill.iter_mut().zip(&gradients) {
                sharpness.ascend(parameter, gradient, sharpness.factor(sum.sqrt()));
            }
            for (got, wanted) in uphill.as_flattened().iter().zip(wanted.as_flattened()) {
                assert!((f64::from(*got) - wanted).abs() < 1e-6, "adaptive {adaptive}: {got}, wanted {wanted}");
            }
        }
        // where there is no slope nothing moves
        let sharpness = SharpnessAware { rho: 0.1, adaptive: false };
        let mut flat = [1.0];
        sharpness.ascend(&mut flat, &[0.0], sharpness.factor(0.0));
        assert_eq!(flat, [1.0]);
    }
}
