use std::ops::Range;

use crate::CompilerError;
use crate::backward::{gradients, gradients_behind};
use crate::graph::{ElementType, Graph, TensorType, ValueId};
use crate::operators::OperatorCatalog;

/// Gradients for a step in mixed precision.
pub(crate) struct Gradients {
    /// One for each of the wanted values, not yet divided by the scale.
    pub(crate) values: Vec<ValueId>,
    /// Values, by number, that lie between the prediction and its gradient.
    pub(crate) loss: [Range<u32>; 2],
    /// Of float16: the factor on the loss, an input of the graph.
    pub(crate) scale: Option<LossScale>,
}

/// The factor on the loss: gradients of 16 bits would be 0 without it.
pub(crate) struct LossScale {
    pub(crate) scale: ValueId,
    inverse: ValueId,
}

impl LossScale {
    fn open(graph: &mut Graph) -> Result<Self, CompilerError> {
        let scale = graph.input("loss_scale", TensorType::f32(Vec::<usize>::new()));
        let one = graph.scalar(1.0);
        let inverse = graph.divided_by(one, scale)?;
        Ok(Self { scale, inverse })
    }

    /// Divides gradients by the scale, in 32 bits, each right where it is computed: at the end of the graph they would all be
    /// held in 16 bits until then.
    pub(crate) fn divide(&self, graph: &mut Graph, gradients: &[ValueId]) -> Result<Vec<ValueId>, CompilerError> {
        let first = graph.nodes().len();
        let places: Vec<(usize, usize)> =
            gradients.iter().map(|gradient| (1, graph.maker(*gradient).map_or(first, |at| at + 1))).collect();
        let divided =
            gradients.iter().map(|gradient| graph.times(*gradient, self.inverse)).collect::<Result<_, _>>()?;
        graph.move_added(first, &places);
        Ok(divided)
    }
}

/// The gradients of a loss with respect to `wanted`: first that of the prediction, which stays in 32 bits, then those behind it.
/// `of_loss` are the values of the loss itself, by number, and from `first` on those of its gradient; `stated` is the gradient of the prediction where
/// the loss states it.
///
/// # Errors
/// As of [`gradients`].
pub(crate) fn mixed_gradients(
    graph: &mut Graph,
    format: ElementType,
    (loss, of_loss, first): (ValueId, Range<u32>, u32),
    (prediction, stated): (ValueId, Option<ValueId>),
    wanted: &[ValueId],
    catalog: &OperatorCatalog,
) -> Result<Gradients, CompilerError> {
    let scale = (format == ElementType::F16).then(|| LossScale::open(graph)).transpose()?;
    let of_prediction = match (stated, &scale) {
        (Some(stated), None) => stated,
        (Some(stated), Some(scale)) => graph.times(stated, scale.scale)?,
        (None, None) => gradients(graph, loss, &[prediction], catalog)?[0],
        (None, Some(scale)) => {
            let shape = graph.shape(loss)?.to_vec();
            let seed = graph.reshape(scale.scale, &shape)?;
            gradients_behind(graph, (loss, seed), &[prediction], catalog)?[0]
        }
    };
    let loss = [of_loss, first..graph.values_so_far()];
    let values = gradients_behind(graph, (prediction, of_prediction), wanted, catalog)?;
    Ok(Gradients { values, loss, scale })
}
