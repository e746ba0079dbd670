//! Which layers stayed as they were and why, and which are adapted by what a method has added.

use millstream_compiler::{MethodReport, ModelReport};
use millstream_schemas::recipe::AdaptersOutput;
use millstream_schemas::{Recipe, count, shown};
use serde::Serialize;
use serde_json::json;

/// Layers that are named; of more the first and the last.
const MOST_NAMED: usize = 4;

/// Layers that stayed as they were for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FrozenLayers {
    /// Their names, from the input to the output.
    pub layers: Vec<String>,
    /// Tensors that are in no layer, by their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<String>,
    /// Numbers in them, those that several of them share counted for each.
    pub parameters: u64,
    /// Why.
    pub reason: String,
}

/// Layers that one method adapts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdaptedLayers {
    /// The method's name.
    pub method: String,
    /// Names of the layers, from the input to the output.
    pub layers: Vec<String>,
    /// Numbers in them, without those that the method adds.
    pub parameters: u64,
    /// Whether the exported model has what was trained within the weights of these layers, which so are others than before; otherwise it
    /// stands beside them.
    pub is_merged: bool,
}

/// Layers that methods adapt, by the method.
pub(super) fn adapted(model: &ModelReport, recipe: &Recipe) -> Vec<AdaptedLayers> {
    let merges = recipe.output.adapters == AdaptersOutput::Merged;
    let parameters = |name: &String| {
        let layer = model.layers.iter().find(|layer| layer.name == *name);
        layer.map_or(0, |layer| layer.parameters as u64)
    };
    let of = |report: &MethodReport| AdaptedLayers {
        method: report.method.clone(),
        layers: report.layers.iter().map(shown).collect(),
        parameters: report.layers.iter().map(parameters).sum(),
        is_merged: merges && report.can_be_merged,
    };
    model.adapted.iter().filter(|report| !report.layers.is_empty()).map(of).collect()
}

/// Layers of a model in which not all is trained and that no method adapts, by the reason, as a recipe says it.
pub(super) fn frozen(model: &ModelReport, recipe: &Recipe) -> Vec<FrozenLayers> {
    let methods = recipe.model.iter().flat_map(|model| &model.methods);
    let methods: Vec<String> = methods.map(|method| shown(&method.name)).collect();
    let train = recipe.model.as_ref().map(|model| json!(model.train)).unwrap_or_default();
    let train = train.as_str().map_or_else(|| train.to_string(), str::to_owned);
    let reached = model.trainable.map_or(0, |(last, layers)| layers.saturating_sub(last));
    let leads = model.trainable.map_or(model.layers.len(), |(_, layers)| layers);
    let mut found: Vec<FrozenLayers> = Vec::new();
    let mut add = |layer: &str, parameters: usize, reason: String| {
        let at = found.iter().position(|other| other.reason == reason).unwrap_or_else(|| {
            found.push(FrozenLayers { layers: Vec::new(), tensors: Vec::new(), parameters: 0, reason });
            found.len() - 1
        });
        found[at].layers.push(shown(layer));
        found[at].parameters += parameters as u64;
    };
    for (at, layer) in model.layers.iter().enumerate() {
        let rest = layer.parameters.saturating_sub(layer.trained_parameters);
        if rest == 0 || model.adapted.iter().any(|method| method.layers.contains(&layer.name)) {
            continue;
        }
        let reason = if layer.trained {
            format!("model.train ({train}) means a part of them alone")
        } else if at < reached && leads == model.layers.len() {
            "operators behind them have no gradient".to_owned()
        } else if methods.is_empty() {
            format!("model.train ({train}) does not mean them")
        } else {
            format!("{} does not adapt them, and model.train ({train}) does not mean them", methods.join(" with "))
        };
        add(&layer.name, rest, reason);
    }
    found.extend(in_no_layer(model));
    found
}

/// Tensors that belong to no layer, by the reasons that `check` gives; what no node computes with has none.
fn in_no_layer(model: &ModelReport) -> Vec<FrozenLayers> {
    let mut found: Vec<FrozenLayers> = Vec::new();
    let mut rest = model.other_weights as u64;
    for constant in &model.frozen {
        let at = found.iter().position(|other| other.reason == constant.reason).unwrap_or_else(|| {
            let reason = constant.reason.clone();
            found.push(FrozenLayers { layers: Vec::new(), tensors: Vec::new(), parameters: 0, reason });
            found.len() - 1
        });
        let numbers = constant.shape.iter().product::<usize>() as u64;
        found[at].tensors.push(shown(&constant.name));
        found[at].parameters += numbers;
        rest = rest.saturating_sub(numbers);
    }
    if rest > 0 {
        let reason = "they belong to no layer that could be trained".to_owned();
        found.push(FrozenLayers { layers: Vec::new(), tensors: Vec::new(), parameters: rest, reason });
    }
    found
}

impl FrozenLayers {
    /// `12 layers, conv1 … conv12, 3,400 numbers: why`.
    pub(super) fn in_words(&self) -> String {
        let said = match self.tensors.as_slice() {
            [] => named(&self.layers, "layer", self.parameters),
            tensors => named(tensors, "tensor", self.parameters),
        };
        format!("{said}: {}", self.reason)
    }
}

impl AdaptedLayers {
    /// `12 layers, conv1 … conv12, 3,400 numbers: adapted by lora, merged into the exported weights`.
    pub(super) fn in_words(&self) -> String {
        let is_where = match self.is_merged {
            true => "merged into the exported weights",
            false => "which stands beside the model; their own weights stayed as they were",
        };
        format!("{}: adapted by {}, {is_where}", named(&self.layers, "layer", self.parameters), shown(&self.method))
    }
}

/// `noun`: what the names are of.
fn named(layers: &[String], noun: &str, parameters: u64) -> String {
    let names = match layers {
        [] => String::new(),
        few if few.len() <= MOST_NAMED => format!("{}, ", few.join(", ")),
        many => format!("{}, {} … {}, ", many[0], many[1], many[many.len() - 1]),
    };
    let of_layers = if layers.is_empty() { String::new() } else { count(layers.len() as u64, noun) + ", " };
    format!("{of_layers}{names}{}", count(parameters, "number"))
}
