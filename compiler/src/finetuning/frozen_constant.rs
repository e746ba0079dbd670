use serde::Serialize;

use super::constant_kind::FrozenReason;
use super::layers::{Layer, weights_of};
use super::module_path::of_node;
use super::parameters::Parameters;
use crate::graph::Graph;
use crate::operators::OperatorCatalog;

/// A tensor of floats of the file that no layer is trained by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FrozenConstant {
    /// Its name.
    pub name: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The module that reads it first, or the node.
    pub read_by: String,
    /// Why it is not taken for a parameter, in words.
    pub reason: String,
}

impl FrozenConstant {
    /// Whether the exporter computed it, perhaps from parameters.
    pub(crate) fn is_computed(&self) -> bool {
        self.reason == FrozenReason::Computed.words()
    }
}

/// Constants that enter the computation and belong to no layer: of more than one number, and single ones that may be learned.
pub(crate) fn frozen_constants(graph: &Graph, layers: &[Layer], catalog: &OperatorCatalog) -> Vec<FrozenConstant> {
    let mut parameters = Parameters::new(graph, catalog);
    for at in 0..graph.nodes().len() {
        parameters.of(at);
    }
    let mut told = weights_of(layers);
    let mut found = Vec::new();
    for (value, at, reason) in parameters.frozen() {
        let Some(constant) = graph.constant_of(value) else { continue };
        let numbers: usize = constant.shape.iter().product();
        if (numbers > 1 || reason == FrozenReason::Number) && told.insert(value) {
            let node = &graph.nodes()[at];
            found.push(FrozenConstant {
                name: graph.name(value).to_owned(),
                shape: constant.shape.clone(),
                read_by: of_node(graph, node).unwrap_or_else(|| graph.label(node)),
                reason: reason.words().to_owned(),
            });
        }
    }
    found
}
