//! Gates of recurrent layers: the activations of the standard, the clip in front of them, and their slopes.

use crate::CompilerError;
use crate::graph::{ElementType, Graph, ValueId};
use millstream_schemas::shown;

type Emitted = Result<ValueId, CompilerError>;

/// An activation y of x, and its slope. α and β are its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Activation {
    /// y = 1 / (1 + e⁻ˣ); y · (1 − y).
    Sigmoid,
    /// y = tanh x; 1 − y².
    Tanh,
    /// y = max(0, x); 1 where y > 0.
    Relu,
    /// y = α · x + β; α.
    Affine { alpha: f32, beta: f32 },
    /// y = x where x ≥ 0, else α · x; 1 or α.
    LeakyRelu { alpha: f32 },
    /// y = x where x > α, else 0; 1 or 0.
    ThresholdedRelu { alpha: f32 },
    /// y = α · tanh(β · x); α · β · (1 − tanh²(β · x)).
    ScaledTanh { alpha: f32, beta: f32 },
    /// y = α · x + β, cut to 0 … 1; α where 0 < y < 1.
    HardSigmoid { alpha: f32, beta: f32 },
    /// y = x where x ≥ 0, else α · (eˣ − 1); 1 or y + α.
    Elu { alpha: f32 },
    /// y = x / (1 + |x|); (1 − |y|)².
    Softsign,
    /// y = ln(1 + eˣ); sigmoid x.
    Softplus,
}

impl Activation {
    /// The activation of a name, or why it has no gradient. `alphas` and `betas` are the numbers that activations before it left: each
    /// takes those that it has, as in ONNX Runtime.
    pub(crate) fn named(
        name: &str,
        alphas: &mut impl Iterator<Item = f32>,
        betas: &mut impl Iterator<Item = f32>,
    ) -> Result<Self, String> {
        // the usual one is the standard's, where ONNX Runtime takes it too
        let stated = |given: Option<f32>, usual: Option<f32>, attribute: &str| {
            given.or(usual).ok_or_else(|| {
                format!(
                    "its activation {name} has no {attribute}: ONNX Runtime takes 0 for it, which the standard does not say; \
                     export the model with it"
                )
            })
        };
        let mut alpha = |usual: Option<f32>| stated(alphas.next(), usual, "activation_alpha");
        let mut beta = |usual: Option<f32>| stated(betas.next(), usual, "activation_beta");
        Ok(match name.to_ascii_lowercase().as_str() {
            "sigmoid" => Self::Sigmoid,
            "tanh" => Self::Tanh,
            "relu" => Self::Relu,
            "affine" => Self::Affine { alpha: alpha(None)?, beta: beta(Some(0.0))? },
            "leakyrelu" => Self::LeakyRelu { alpha: alpha(Some(0.01))? },
            "thresholdedrelu" => Self::ThresholdedRelu { alpha: alpha(None)? },
            "scaledtanh" => Self::ScaledTanh { alpha: alpha(None)?, beta: beta(None)? },
            "hardsigmoid" => Self::HardSigmoid { alpha: alpha(Some(0.2))?, beta: beta(Some(0.5))? },
            "elu" => Self::Elu { alpha: alpha(Some(1.0))? },
            "softsign" => Self::Softsign,
            "softplus" => Self::Softplus,
            _ => return Err(format!("its activation {} is none of the standard", shown(name))),
        })
    }

    /// y of x.
    pub(crate) fn of(self, graph: &mut Graph, x: ValueId) -> Emitted {
        match self {
            Self::Sigmoid => graph.add("Sigmoid", &[x], &[]),
            Self::Tanh => graph.add("Tanh", &[x], &[]),
            Self::Relu => graph.add("Relu", &[x], &[]),
            Self::Affine { alpha, beta } => {
                let [alpha, beta] = [alpha, beta].map(|number| graph.scalar(number));
                let scaled = graph.times(x, alpha)?;
                graph.plus(scaled, beta)
            }
            Self::LeakyRelu { alpha } => graph.add("LeakyRelu", &[x], &[("alpha", alpha.into())]),
            Self::ThresholdedRelu { alpha } => graph.add("ThresholdedRelu", &[x], &[("alpha", alpha.into())]),
            Self::ScaledTanh { alpha, beta } => {
                let y = tanh_of_scaled(graph, x, beta)?;
                let alpha = graph.scalar(alpha);
                graph.times(y, alpha)
            }
            Self::HardSigmoid { alpha, beta } => {
                graph.add("HardSigmoid", &[x], &[("alpha", alpha.into()), ("beta", beta.into())])
            }
            Self::Elu { alpha } => graph.add("Elu", &[x], &[("alpha", alpha.into())]),
            Self::Softsign => graph.add("Softsign", &[x], &[]),
            Self::Softplus => graph.add("Softplus", &[x], &[]),
        }
    }

    /// The slope where the result is y, in its shape. `x` gives what it is of, in that shape: asked where y alone does not tell
    /// the slope.
    pub(crate) fn slope(self, graph: &mut Graph, y: ValueId, x: impl FnOnce(&mut Graph) -> Emitted) -> Emitted {
        match self {
            Self::Sigmoid => {
                let square = graph.times(y, y)?;
                graph.minus(y, square)
            }
            Self::Tanh => {
                let square = graph.times(y, y)?;
                one_minus(graph, square)
            }
            Self::Relu => above(graph, y, 0.0),
            Self::Affine { alpha, .. } => {
                let shape = graph.shape(y)?.to_vec();
                let alpha = graph.scalar(alpha);
                graph.expand(alpha, &shape)
            }
            Self::LeakyRelu { alpha } => {
                let x = x(graph)?;
                let open = above(graph, x, 0.0)?;
                let [rest, alpha] = [1.0 - alpha, alpha].map(|number| graph.scalar(number));
                let own = graph.times(open, rest)?;
                graph.plus(own, alpha)
            }
            Self::ThresholdedRelu { alpha } => {
                let x = x(graph)?;
                above(graph, x, alpha)
            }
            Self::ScaledTanh { alpha, beta } => {
                let x = x(graph)?;
                let tanh = tanh_of_scaled(graph, x, beta)?;
                let square = graph.times(tanh, tanh)?;
                let rest = one_minus(graph, square)?;
                let both = graph.scalar(alpha * beta);
                graph.times(rest, both)
            }
            Self::HardSigmoid { alpha, .. } => {
                let [zero, one, alpha] = [0.0, 1.0, alpha].map(|number| graph.scalar(number));
                let above = graph.add("Greater", &[y, zero], &[])?;
                let below = graph.add("Less", &[y, one], &[])?;
                let inside = graph.add("And", &[above, below], &[])?;
                let inside = graph.cast(inside, ElementType::F32)?;
                graph.times(inside, alpha)
            }
            Self::Elu { alpha } => {
                let x = x(graph)?;
                let open = above(graph, x, 0.0)?;
                let alpha = graph.scalar(alpha);
                let curve = graph.plus(y, alpha)?;
                let below = one_minus(graph, open)?;
                let curve = graph.times(curve, below)?;
                graph.plus(open, curve)
            }
            Self::Softsign => {
                let size = graph.add("Abs", &[y], &[])?;
                let rest = one_minus(graph, size)?;
                graph.times(rest, rest)
            }
            Self::Softplus => {
                let x = x(graph)?;
                graph.add("Sigmoid", &[x], &[])
            }
        }
    }
}

/// 1 − x.
pub(crate) fn one_minus(graph: &mut Graph, x: ValueId) -> Emitted {
    let one = graph.scalar(1.0);
    graph.minus(one, x)
}

/// 1 where x is above a number, else 0.
fn above(graph: &mut Graph, x: ValueId, number: f32) -> Emitted {
    let number = graph.scalar(number);
    let is_open = graph.add("Greater", &[x, number], &[])?;
    graph.cast(is_open, ElementType::F32)
}

fn tanh_of_scaled(graph: &mut Graph, x: ValueId, beta: f32) -> Emitted {
    let beta = graph.scalar(beta);
    let scaled = graph.times(x, beta)?;
    graph.add("Tanh", &[scaled], &[])
}

/// A gate: an activation of what is clipped to a bound, where there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate {
    activation: Activation,
    clip: Option<f32>,
    /// What comes in.
    open: ValueId,
    /// What the activation sees.
    x: ValueId,
    /// What it gives.
    pub(crate) y: ValueId,
}

impl Gate {
    /// The gate of what comes in.
    pub(crate) fn of(
        graph: &mut Graph,
        activation: Activation,
        clip: Option<f32>,
        open: ValueId,
    ) -> Result<Self, CompilerError> {
        let x = clipped(graph, clip, open)?;
        Ok(Self { activation, clip, open, x, y: activation.of(graph, x)? })
    }

    /// The gate of what comes in, whose result y is known.
    pub(crate) fn known(
        graph: &mut Graph,
        activation: Activation,
        clip: Option<f32>,
        open: ValueId,
        y: ValueId,
    ) -> Result<Self, CompilerError> {
        Ok(Self { activation, clip, open, x: clipped(graph, clip, open)?, y })
    }

    /// Its slope in the shape of y, to which `shaped` brings what comes in: zero from the bound of the clip on.
    pub(crate) fn slope(&self, graph: &mut Graph, shaped: impl Fn(&mut Graph, ValueId) -> Emitted) -> Emitted {
        let slope = self.activation.slope(graph, self.y, |graph| shaped(graph, self.x))?;
        let Some(bound) = self.clip else { return Ok(slope) };
        let open = shaped(graph, self.open)?;
        let size = graph.add("Abs", &[open], &[])?;
        let bound = graph.scalar(bound);
        let inside = graph.add("Less", &[size, bound], &[])?;
        let inside = graph.cast(inside, ElementType::F32)?;
        graph.times(slope, inside)
    }
}

fn clipped(graph: &mut Graph, clip: Option<f32>, open: ValueId) -> Emitted {
    let Some(bound) = clip else { return Ok(open) };
    let [low, high] = [-bound, bound].map(|number| graph.scalar(number));
    graph.add("Clip", &[open, low, high], &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_to_the_activations_that_have_them_in_order_and_the_rest_have_the_usual_ones() {
        let (mut alphas, mut betas) = (vec![0.25, 0.75].into_iter(), vec![0.125].into_iter());
        let mut named = |name: &str| Activation::named(name, &mut alphas, &mut betas);
        assert_eq!(named("tanh"), Ok(Activation::Tanh));
        assert_eq!(named("LeakyRelu"), Ok(Activation::LeakyRelu { alpha: 0.25 }));
        assert_eq!(named("Softsign"), Ok(Activation::Softsign));
        assert_eq!(named("Affine"), Ok(Activation::Affine { alpha: 0.75, beta: 0.125 }));
        assert_eq!(named("HardSigmoid"), Ok(Activation::HardSigmoid { alpha: 0.2, beta: 0.5 }));
        assert_eq!(named("Elu"), Ok(Activation::Elu { alpha: 1.0 }));
        assert_eq!(named("LeakyRelu"), Ok(Activation::LeakyRelu { alpha: 0.01 }));
        let error = named("ThresholdedRelu").unwrap_err();
        assert!(error.contains("has no activation_alpha: ONNX Runtime takes 0 for it"), "{error}");
    }
}
