use super::linear_weight::{LinearMap, LinearWeight};
use crate::finetuning::attention::Edges;
use crate::graph::{Graph, ValueId};

/// A bias of a layer.
pub(super) struct Bias {
    pub(super) value: ValueId,
    /// What the node of the layer makes, where another node adds the bias to it.
    pub(super) sum_of: Option<ValueId>,
    /// Why it cannot be changed itself: more than the layer reads it, or it is not one number for each that the layer makes.
    pub(super) obstacle: Option<&'static str>,
}

/// The biases of a layer's nodes, in the model before any method.
pub(super) fn biases(base: &Graph, weight: &LinearWeight) -> Vec<Bias> {
    let outputs = match weight.map {
        LinearMap::Dense { outputs, .. } | LinearMap::Convolution { outputs, .. } => outputs,
    };
    let edges = Edges::new(base);
    let mut found = Vec::new();
    for at in weight.readers(base) {
        let node = &base.nodes()[at];
        let Some(product) = node.outputs.first().copied().flatten() else { continue };
        match node.input(2) {
            Some(value) => found.push(Bias { value, sum_of: None, obstacle: None }),
            None => {
                let added = edges.added(product, outputs);
                found.extend(added.map(|(value, _)| Bias { value, sum_of: Some(product), obstacle: None }));
            }
        }
    }
    let own = |value: ValueId, found: &[Bias]| found.iter().filter(|bias| bias.value == value).count();
    let obstacle = |value: ValueId| {
        let readers = edges.readers.get(&value).map_or(0, Vec::len);
        let numbers = base.float_constant(value).map(|constant| constant.shape.iter().product::<usize>());
        if numbers != Some(outputs) {
            Some("is not one number for each that the layer makes")
        } else if readers != own(value, &found) || base.outputs().contains(&value) {
            Some("is read by something else too")
        } else {
            None
        }
    };
    let obstacles: Vec<Option<&'static str>> = found.iter().map(|bias| obstacle(bias.value)).collect();
    found.iter_mut().zip(obstacles).for_each(|(bias, obstacle)| bias.obstacle = obstacle);
    found
}
