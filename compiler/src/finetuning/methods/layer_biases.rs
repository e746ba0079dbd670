use millstream_schemas::shown;

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

/// The biases themselves: one that several nodes of a layer read comes once.
pub(super) fn distinct(biases: &[Bias]) -> Vec<ValueId> {
    let mut values: Vec<ValueId> = biases.iter().map(|bias| bias.value).collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// The biases of a layer's nodes, one for each that has one, by the edges of the model before any method.
pub(super) fn biases(edges: &Edges<'_>, weight: &LinearWeight) -> Vec<Bias> {
    let outputs = match weight.map {
        LinearMap::Dense { outputs, .. } | LinearMap::Convolution { outputs, .. } => outputs,
    };
    let base = edges.graph;
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

/// Why what is added to all that a layer makes cannot be written into its biases, where it cannot.
pub(super) fn obstacle_to_sums(base: &Graph, weight: &LinearWeight, biases: &[Bias]) -> Option<String> {
    let (layer, readers) = (shown(&weight.layer), weight.readers(base));
    let is_scaled = |at: usize| base.nodes()[at].float("beta").unwrap_or(1.0) != 1.0;
    if biases.is_empty() {
        return Some(format!("`{layer}` has no bias that the one behind B could be added to"));
    }
    if biases.len() < readers.len() {
        return Some(format!("`{layer}` is also used without a bias that the one behind B could be added to"));
    }
    if readers.into_iter().any(is_scaled) {
        return Some(format!("the bias of `{layer}` is multiplied where it is added"));
    }
    let obstacle = biases.iter().find_map(|bias| bias.obstacle);
    obstacle.map(|obstacle| format!("the bias of `{layer}` {obstacle}"))
}
