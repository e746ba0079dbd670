use std::collections::BTreeSet;

use super::attention::{Attentions, Role};
use super::methods::{
    AdapterForm, Added, FoldedValue, LinearWeight, MergedWeight, Method, MethodModel, quantized_weights,
};
use super::{Head, Layer, MethodReport, find_attentions};
use crate::CompilerError;
use crate::graph::{Graph, ValueId};
use crate::operators::OperatorCatalog;
use millstream_schemas::{count, shown};

/// A model that methods are added to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unadapted<'a> {
    pub(crate) graph: &'a Graph,
    /// The layers that lead to the prediction.
    pub(crate) layers: &'a [Layer],
    pub(crate) head: Option<&'a Head>,
    /// The value that the loss is computed from.
    pub(crate) prediction: ValueId,
    pub(crate) operators: &'a OperatorCatalog,
    pub(crate) seed: u64,
}

/// A model with what methods have added to it.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) graph: Graph,
    /// Without what can be merged. Its values are those of the graph.
    pub(crate) merged: Graph,
    /// In the order in which they are carried out: what was added last first.
    pub(crate) merges: Vec<MergedWeight>,
    /// What becomes a constant of what stays in the merged graph.
    pub(crate) folded: Vec<FoldedValue>,
    /// What was added, to be trained.
    pub(crate) layers: Vec<Layer>,
    /// Results of `Dropout` nodes that drop in training.
    pub(crate) dropped: Vec<ValueId>,
    /// By the names of methods, what files of adapters hold of each.
    pub(crate) files: Vec<(String, AdapterForm)>,
    /// What each was added to.
    pub(crate) adapted: Vec<MethodReport>,
    /// The attentions of the model before any method; none where no method is added.
    pub(crate) attentions: Option<Attentions>,
    pub(crate) notes: Vec<String>,
}

impl Applied {
    /// What cannot be merged is added first, in the order of the methods, so that the model without the rest is a part of
    /// the whole.
    pub(crate) fn of(methods: &[Method], model: Unadapted<'_>) -> Result<Self, CompilerError> {
        let Unadapted { graph: base, layers, head, prediction, operators, seed } = model;
        let add = |graph: &mut Graph, method| {
            let (prediction, tokens) = (Some(prediction), None);
            let mut model = MethodModel { graph, base, layers, head, prediction, operators, tokens, seed };
            let added = Method::add(method, &mut model)?;
            Ok::<(&Method, Added), CompilerError>((method, added))
        };
        let (mut graph, mut merged) = (base.clone(), base.clone());
        let mut added = methods.iter().map(|method| add(&mut graph, method)).collect::<Result<Vec<_>, _>>()?;
        let mut order: Vec<(&Method, bool)> =
            added.iter().map(|(method, added)| (*method, added.merged.is_none())).collect();
        if order.iter().any(|(_, stays)| *stays) {
            order.sort_by_key(|(_, stays)| !stays);
            graph = base.clone();
            added.clear();
            for (method, stays) in order {
                added.push(add(&mut graph, method)?);
                if stays {
                    merged = graph.clone();
                }
            }
        }
        require_alone(&added)?;
        let mut applied = Self {
            graph,
            merged,
            merges: Vec::new(),
            folded: Vec::new(),
            layers: Vec::new(),
            dropped: Vec::new(),
            files: Vec::new(),
            adapted: Vec::new(),
            attentions: None,
            notes: Vec::new(),
        };
        // what a method takes out of a weight at its start is not in the merged model either, until it is merged
        let changed = added.iter().flat_map(|(_, added)| added.merged.iter().flatten()).map(|merge| merge.weight);
        for weight in changed {
            if let Some(constant) = applied.graph.constant_of(weight).cloned() {
                applied.merged.set_constant(weight, constant);
            }
        }
        let attentions = if methods.is_empty() { Attentions::default() } else { find_attentions(base) };
        let quantized = if methods.is_empty() { Vec::new() } else { quantized_weights(base, Some(prediction)) };
        for (method, added) in added {
            let weights = added.layers.iter().flat_map(|layer| &layer.weights);
            // biases of the model, which a method may train too, are not added
            let own = weights.filter(|weight| !base.contains(weight.value));
            let own: Vec<(String, Vec<usize>)> =
                own.map(|weight| (applied.graph.name(weight.value).to_owned(), weight.shape.clone())).collect();
            let numbers: usize = own.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
            let first = added.adapted.first().map_or_else(String::new, |first| format!(", `{}` first", shown(first)));
            applied.notes.push(format!(
                "`{}` adds {} beside {}{first}",
                method.choice().name,
                count(numbers as u64, "number"),
                count(added.adapted.len() as u64, "layer")
            ));
            applied.notes.extend(of_roles(method, &added.adapted, (layers, &quantized), &attentions));
            applied.notes.extend(added.notes);
            applied.adapted.push(MethodReport {
                method: method.choice().name.clone(),
                options: method.choice().options.clone(),
                added: own,
                layers: added.adapted,
                can_be_merged: added.merged.is_some(),
            });
            applied.folded.extend(added.folded);
            applied.layers.extend(added.layers);
            applied.dropped.extend(added.dropped);
            applied.files.push((method.choice().name.clone(), added.file));
            let earlier = std::mem::take(&mut applied.merges);
            applied.merges.extend(added.merged.into_iter().flatten().chain(earlier));
        }
        applied.attentions = Some(attentions).filter(|_| !methods.is_empty());
        Ok(applied)
    }
}

/// Refuses two methods on one layer where one of them must be alone there.
fn require_alone(added: &[(&Method, Added)]) -> Result<(), CompilerError> {
    for (at, (method, own)) in added.iter().enumerate() {
        for (other, second) in &added[at + 1..] {
            let both = own.adapted.iter().find(|layer| second.adapted.contains(layer));
            let is_refused = (own.is_alone || second.is_alone) && !own.is_apart && !second.is_apart;
            let Some(both) = both.filter(|_| is_refused) else { continue };
            let (method, other) = (&method.choice().name, &other.choice().name);
            return Err(CompilerError::setting(
                "model.methods",
                format!(
                    "`{method}` and `{other}` both go to layer `{}`, where one of them must be alone; give them different layers",
                    shown(both)
                ),
            ));
        }
    }
    Ok(())
}

/// How many layers of each role a method was added to, and in how many blocks; nothing where none has a role.
fn of_roles(
    method: &Method,
    adapted: &[String],
    (layers, quantized): (&[Layer], &[LinearWeight]),
    attentions: &Attentions,
) -> Option<String> {
    let is_adapted = |layer: &&Layer| adapted.contains(&layer.name);
    let weights = layers.iter().filter(is_adapted).flat_map(|layer| &layer.weights).map(|weight| weight.value);
    let quantized = quantized.iter().filter(|weight| adapted.contains(&weight.layer)).map(|weight| weight.value);
    let weights: BTreeSet<ValueId> = weights.chain(quantized).collect();
    let told: Vec<String> = Role::ALL.into_iter().filter_map(|role| attentions.told(role, &weights)).collect();
    let left_out = attentions.left_out_in_words().map_or_else(String::new, |words| format!("; {words}"));
    (!told.is_empty()).then(|| format!("`{}` is at {}{left_out}", method.choice().name, told.join(", ")))
}
