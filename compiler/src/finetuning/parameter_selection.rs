//! Which of the trained parameters a selection of a recipe means.

use std::collections::{BTreeMap, BTreeSet};

use millstream_schemas::recipe::{LayerRole, ParameterKind, ParameterSelection};

use super::attention::Role;
use super::weight_kind::{is_added_by_norm, is_matrix, is_standardized, is_table, is_vector, normalizes};
use super::{Head, Layer, Weight, find_attentions, pattern_matches};
use crate::graph::{Graph, ValueId};

/// What selections ask of the layers of a model, in whose graph methods add nodes afterwards.
#[derive(Debug, Default)]
pub(crate) struct LayerFacts {
    /// The layers that have each role.
    roles: BTreeMap<Role, BTreeSet<String>>,
    /// Of each node.
    operators: Vec<String>,
}

impl LayerFacts {
    /// Of a model without what methods add; roles are looked for where a selection asks for them.
    pub(crate) fn find(graph: &Graph, layers: &[Layer], selections: &[ParameterSelection]) -> Self {
        let wanted: BTreeSet<LayerRole> =
            selections.iter().flat_map(|selection| selection.roles.iter().copied()).collect();
        let operators = graph.nodes().iter().map(|node| node.operator.clone()).collect();
        if wanted.is_empty() {
            return Self { roles: BTreeMap::new(), operators };
        }
        let attentions = find_attentions(graph);
        let of = |role: Role| {
            let weights = attentions.weights(role);
            let has = |layer: &&Layer| layer.weights.iter().any(|weight| weights.contains(&weight.value));
            (role, layers.iter().filter(has).map(|layer| layer.name.clone()).collect())
        };
        Self { roles: wanted.into_iter().map(role).map(of).collect(), operators }
    }

    fn has(&self, wanted: LayerRole, layer: &str) -> bool {
        self.roles.get(&role(wanted)).is_some_and(|layers| layers.contains(layer))
    }

    /// The operator that reads a weight of the model's own.
    pub(crate) fn operator(&self, weight: &Weight) -> &str {
        self.operators.get(weight.node).map_or("", String::as_str)
    }
}

fn role(role: LayerRole) -> Role {
    match role {
        LayerRole::Query => Role::Query,
        LayerRole::Key => Role::Key,
        LayerRole::Value => Role::Value,
        LayerRole::Output => Role::Output,
        LayerRole::FeedForwardIn => Role::FeedForwardIn,
        LayerRole::FeedForwardOut => Role::FeedForwardOut,
    }
}

/// What is known of a model when its parameters are asked for.
pub(crate) struct ParameterFinder<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) layers: &'a [Layer],
    /// Of the model's own layers, those that lead to the prediction.
    pub(crate) trainable: &'a [usize],
    /// How many of the layers are the model's own; the others were added.
    pub(crate) own: usize,
    pub(crate) head: Option<&'a Head>,
    pub(crate) facts: &'a LayerFacts,
}

impl ParameterFinder<'_> {
    /// Whether a weight of a layer is meant.
    pub(crate) fn has(&self, selection: &ParameterSelection, index: usize, weight: &Weight) -> bool {
        let ParameterSelection { r#match, roles, kind, first, last } = selection;
        let layer = &self.layers[index];
        // what is added lies where the layer lies that it was added beside
        let place = layer.beside.as_deref().unwrap_or(&layer.name);
        let named = |pattern: &String| {
            pattern_matches(pattern, &layer.name) || pattern_matches(pattern, self.graph.name(weight.value))
        };
        let at = || match layer.beside {
            None => self.trainable.binary_search(&index).ok(),
            Some(_) => self.trainable.iter().position(|own| self.layers[*own].name == place),
        };
        let is_among_first = |count: &usize| at().is_some_and(|at| at < *count);
        let is_among_last = |count: &usize| at().is_some_and(|at| at + count >= self.trainable.len());
        (r#match.is_empty() || r#match.iter().any(named))
            && (roles.is_empty() || roles.iter().any(|role| self.facts.has(*role, place)))
            && (kind.is_empty() || kind.iter().any(|kind| self.is(*kind, index, weight)))
            && first.as_ref().is_none_or(is_among_first)
            && last.as_ref().is_none_or(is_among_last)
    }

    /// The operator that reads a weight of a layer.
    fn operator(&self, index: usize, weight: &Weight) -> &str {
        if index < self.own { self.facts.operator(weight) } else { &self.layers[index].operator }
    }

    /// Whether a weight of a layer is of a kind.
    pub(crate) fn is(&self, kind: ParameterKind, index: usize, weight: &Weight) -> bool {
        let is_added = index >= self.own;
        let operator = self.operator(index, weight);
        let is_table = is_table(operator, weight);
        let is_norm = !is_added && !is_table && self.is_norm(index);
        match kind {
            ParameterKind::Head => self.head.is_some_and(|head| head.has(weight.value)),
            ParameterKind::Added => is_added,
            ParameterKind::Embeddings => is_table,
            ParameterKind::Norms => is_norm,
            ParameterKind::Biases => !is_norm && !is_matrix(operator, weight),
            ParameterKind::Weights => is_matrix(operator, weight),
        }
    }

    /// Whether a weight of a normalization is what it adds.
    pub(crate) fn is_shift(&self, index: usize, weight: &Weight) -> bool {
        is_added_by_norm(self.operator(index, weight), weight) && self.is(ParameterKind::Norms, index, weight)
    }

    /// Whether a layer normalizes, as one node or written out: then it is a scale, and perhaps a shift.
    fn is_norm(&self, index: usize) -> bool {
        let weights = &self.layers[index].weights;
        let operator = |weight: &Weight| self.operator(index, weight);
        let scales = weights.iter().all(|weight| is_vector(weight) && ["Mul", "Add"].contains(&operator(weight)))
            && weights.iter().any(|weight| operator(weight) == "Mul");
        let is_kernel = weights.iter().any(|weight| is_standardized(operator(weight), weight));
        !is_kernel && weights.iter().any(|weight| normalizes(operator(weight))) || scales
    }
}

/// For each selection the places of what it means among the parameters that lie in `parameters`: a layer and its weight.
pub(crate) fn places(
    finder: &ParameterFinder<'_>,
    selections: &[ParameterSelection],
    parameters: &[(usize, ValueId)],
) -> Vec<Vec<usize>> {
    let has = |selection: &ParameterSelection, (layer, value): &(usize, ValueId)| {
        let weight = finder.layers[*layer].weights.iter().find(|weight| weight.value == *value);
        weight.is_some_and(|weight| finder.has(selection, *layer, weight))
    };
    let of = |selection: &ParameterSelection| {
        let meant = parameters.iter().enumerate().filter(|(_, parameter)| has(selection, parameter));
        meant.map(|(place, _)| place).collect()
    };
    selections.iter().map(of).collect()
}
