//! One model for several adapters on different layers, each of which is given to it by itself.

use std::collections::{BTreeMap, HashMap};

use millstream_schemas::shown;

use crate::CompilerError;
use crate::adapted_model::{Taken, opened, with_open_ranks};
use crate::adapter_files::{Adapter, Biases, ModuleAdapter, OnnxAdapter, Tensor};
use crate::model_file::{Model, OnnxFile};
use crate::operators::OperatorCatalog;

/// A model that any of some adapters is given to, and these.
#[derive(Clone, Debug)]
pub struct SharedBase {
    /// The model, with inputs for all layers that one of the adapters goes to. Without an adapter it computes what it did before, and
    /// an adapter leaves layers alone that are none of its own.
    pub model: OnnxFile,
    /// The adapters under the names of those inputs, in their order.
    pub adapters: Vec<OnnxAdapter>,
}

/// As [`taking_adapter`](crate::taking_adapter), one model for several adapters, which may be on different layers and of different ranks.
///
/// # Errors
/// One does not fit the model or cannot be given to any. They are of different methods, do another thing at the same layer, or do not
/// hold the same parameters whole: one model has one of each.
pub fn taking_adapters(
    model: &Model,
    adapters: &[&Adapter],
    catalog: &OperatorCatalog,
) -> Result<SharedBase, CompilerError> {
    let opened = opened(model, catalog)?;
    let each = adapters.iter().map(|adapter| Taken::of(adapter, &opened, catalog));
    let each = each.collect::<Result<Vec<Taken>, CompilerError>>()?;
    let (Some(first), Some(taken)) = (adapters.first().copied(), each.first()) else {
        return Err(CompilerError::Selection("no adapter is named".into()));
    };
    for (at, (other, of_other)) in adapters.iter().copied().zip(&each).enumerate().skip(1) {
        if let Some(reason) = difference((first, taken), (other, of_other)) {
            return Err(CompilerError::Selection(format!(
                "adapters 1 ({}) and {} ({}) cannot be given to one model: {reason}",
                first.in_words(),
                at + 1,
                other.in_words()
            )));
        }
    }
    let (modules, whole, biases) = (all_modules(adapters, &each)?, BTreeMap::new(), Biases::None);
    let all = Adapter { modules, whole, biases, ..first.clone() };
    let mut shared = Taken::of(&all, &opened, catalog)?;
    for (value, constant) in taken.whole.iter().flatten() {
        shared.graph.set_constant(*value, constant.clone());
    }
    let adapters: Vec<OnnxAdapter> = each.into_iter().map(|taken| taken.file).collect();
    let mut names = adapters.iter().flat_map(|adapter| adapter.parameters.keys());
    if let Some(name) = names.find(|name| !shared.file.parameters.contains_key(*name)) {
        let message = format!("two layers would have an input `{}`; write a base for each adapter", shown(name));
        return Err(CompilerError::Selection(message));
    }
    Ok(SharedBase { model: with_open_ranks(model, &shared.graph, &shared.open)?, adapters })
}

/// Why two adapters cannot be given to one model, if so.
fn difference((one, of_one): (&Adapter, &Taken), (other, of_other): (&Adapter, &Taken)) -> Option<String> {
    let methods = [one, other].map(|adapter| adapter.method.peft_type());
    if methods[0] != methods[1] {
        return Some(format!("one is of {} and the other of {}", methods[0], methods[1]));
    }
    if one.has_magnitudes() != other.has_magnitudes() {
        return Some("one has magnitudes (DoRA) and the other none".into());
    }
    let is_unknown = |adapter: &Adapter, taken: &Taken| taken.whole.is_none() && !adapter.whole.is_empty();
    let nothing = HashMap::new();
    let [whole, other_whole] = [of_one, of_other].map(|taken| taken.whole.as_ref().unwrap_or(&nothing));
    if is_unknown(one, of_one) || is_unknown(other, of_other) || whole != other_whole {
        let mut names = one.whole.keys().chain(other.whole.keys());
        let differing = names.find(|name| one.whole.get(*name) != other.whole.get(*name));
        let named = differing.map_or_else(String::new, |name| format!(" (`{}`)", shown(name)));
        return Some(format!(
            "they do not hold the same numbers whole{named}, and those are written into the model; leave them out by `--skip`"
        ));
    }
    None
}

/// What belongs to all layers, of those that several adapters go to that of the first.
fn all_modules(adapters: &[&Adapter], each: &[Taken]) -> Result<BTreeMap<String, ModuleAdapter>, CompilerError> {
    let has_biases = adapters.iter().any(|adapter| adapter.has_biases_of_b());
    let mut all: BTreeMap<String, ModuleAdapter> = BTreeMap::new();
    for (layer, own) in each.iter().flat_map(|taken| &taken.modules) {
        let own = if has_biases { with_bias(layer, own.clone())? } else { own.clone() };
        match all.get(layer) {
            None => {
                all.insert(layer.clone(), own);
            }
            Some(known) if inputs(known) == inputs(&own) => {}
            Some(_) => {
                let message = format!(
                    "two adapters cannot be given to one model: they have other shapes at layer `{}`",
                    shown(layer)
                );
                return Err(CompilerError::Selection(message));
            }
        }
    }
    Ok(all)
}

/// The ends of the names of a layer's inputs and their shapes; of factors any rank is taken.
fn inputs(own: &ModuleAdapter) -> Vec<(&'static str, Vec<usize>)> {
    let shape = |tensor: &Tensor| match own {
        ModuleAdapter::LowRank { .. } => Vec::new(),
        // of what a layer reads, or of what it makes
        ModuleAdapter::Scales { are_of_inputs, .. } => vec![tensor.values().len(), usize::from(*are_of_inputs)],
        _ => tensor.shape().to_vec(),
    };
    own.in_graphs(1.0).iter().map(|(name, tensor)| (*name, shape(tensor))).collect()
}

/// With something behind B, nothing where there was none.
fn with_bias(layer: &str, own: ModuleAdapter) -> Result<ModuleAdapter, CompilerError> {
    match own {
        ModuleAdapter::LowRank { a, b, alpha, magnitude, is_table: false, bias: None } if a.shape().len() == 2 => {
            let outputs = b.shape()[0];
            let bias = Tensor::new([outputs], vec![0.0; outputs]);
            Ok(ModuleAdapter::LowRank { a, b, alpha, magnitude, is_table: false, bias })
        }
        ModuleAdapter::LowRank { bias: None, .. } => Err(CompilerError::Selection(format!(
            "two adapters cannot be given to one model: one has biases of B (`lora_bias`), which `{}` has no place for; leave it out \
             by `--skip`",
            shown(layer)
        ))),
        own => Ok(own),
    }
}
