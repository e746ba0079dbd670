//! What a folder of an adapter holds, trained on.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use millstream_schemas::choice::{Options, share};
use millstream_schemas::{count, shown};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adapted::AdaptedLayers;
use super::adapter_form::AdapterForm;
use super::boft::Boft;
use super::ia3::Ia3;
use super::lora::{Lora, Start};
use super::low_rank::TrainedBiases;
use super::method_function::{Added, MergedWeight, MethodFunction, MethodModel};
use super::method_kind::{Build, MethodKind};
use super::oft::Oft;
use super::prefix_tuning::PrefixTuning;
use super::prompt_tuning::PromptTuning;
use super::quantized_weights::quantized_weights;
use super::vera::{Projections, Vera};
use crate::CompilerError;
use crate::adapter_files::{self, Adapter, AdapterMethod, Biases, ModuleAdapter, ModuleNames, Tensor};
use crate::finetuning::Layer;
use crate::finetuning::stored_form::StoredForm;
use crate::graph::{Constant, ValueId};

pub(super) const METHOD: MethodKind = MethodKind {
    name: "peft",
    summary: "What an adapter made before has added, trained on: a PEFT folder or an .onnx_adapter file.",
    documentation: "Reads `adapter_config.json` and `adapter_model.safetensors` as Hugging Face's PEFT 0.21 writes them (`LORA` with rsLoRA, DoRA, \
        patterns of ranks and alphas, PiSSA, `lora_bias`, `IA3`, `VERA`, `OFT`, `BOFT`, `LN_TUNING`, `PROMPT_TUNING`, `P_TUNING`, `PREFIX_TUNING`), or ONNX Runtime's \
        `.onnx_adapter`, and adds what `lora`, `ia3`, `vera`, `oft`, `boft`, `prompt_tuning` or `prefix_tuning` with `moves_places` would add, with the numbers that the file holds; normalizations of `LN_TUNING` are trained with its numbers. Ranks, scales and layers are the file's. Modules are found by name: one part at the front \
        of all paths may be cut and another put there (`bert.encoder…` for `m.encoder…`), so that each is a layer of the model; where no \
        such part makes all of them layers, or two do, both lists are told. Biases and modules that the file holds whole take the place of \
        the model's own where the model has such a layer of that shape; those of a new head are left out and told. `dropout` is the file's \
        unless it is said here; only LoRA without magnitudes has one.",
    samples: &[r#"{"folder": "adapters/mine"}"#, r#"{"folder": "mine.onnx_adapter", "dropout": 0.1}"#],
    build: Build::of::<Peft>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Peft {
    /// The folder, or an `.onnx_adapter` file.
    #[schemars(extend("format" = "path"))]
    folder: PathBuf,
    /// Share of the numbers in front of A that training leaves out at random, 0 to below 1; the file's where it is not said.
    #[serde(default)]
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    dropout: Option<f32>,
    /// Read when it is first needed.
    #[serde(skip)]
    adapter: OnceLock<Arc<Adapter>>,
}

impl Options for Peft {
    fn validate(&self) -> Result<(), String> {
        self.dropout.map_or(Ok(()), |dropout| share("dropout", dropout.into()))
    }
}

impl MethodFunction for Peft {
    fn add(&self, model: &mut MethodModel<'_>) -> Result<Added, CompilerError> {
        let adapter = match self.adapter.get() {
            Some(adapter) => adapter.clone(),
            None => {
                let read = Arc::new(adapter_files::read(&self.folder)?);
                self.adapter.get_or_init(|| read).clone()
            }
        };
        let (mut added, _) = FromAdapter { adapter: &adapter, dropout: self.dropout, is_bare: false }.add(model)?;
        added.notes.insert(0, format!("the adapter holds {}", adapter.in_words()));
        Ok(added)
    }
}

/// What an adapter adds to a model.
#[derive(Debug)]
pub(crate) struct FromAdapter<'a> {
    pub(crate) adapter: &'a Adapter,
    /// Instead of the file's.
    pub(crate) dropout: Option<f32>,
    /// Whether the scale of LoRA is left to B, which then holds it.
    pub(crate) is_bare: bool,
}

impl FromAdapter<'_> {
    /// Also returns what was added would begin with if the adapter did not say it.
    pub(crate) fn add(
        &self,
        model: &mut MethodModel<'_>,
    ) -> Result<(Added, HashMap<ValueId, Constant>), CompilerError> {
        let quantized = quantized_weights(model.base, model.prediction);
        let quantized = quantized.iter().map(|weight| weight.layer.as_str());
        let quantized = quantized.filter(|name| model.layers.iter().all(|layer| layer.name != *name));
        let names = model.layers.iter().map(|layer| layer.name.as_str()).chain(quantized);
        let found = match self.adapter.modules.is_empty() {
            false => ModuleNames::between(self.adapter.modules.keys().map(String::as_str), names.clone()),
            true if self.adapter.method == AdapterMethod::LnTuning => {
                ModuleNames::between(self.adapter.norms(), names.clone())
            }
            // beside virtual tokens only what is held whole has names
            true => {
                let whole = self.adapter.whole.keys().filter_map(|name| Some(name.rsplit_once('.')?.0));
                ModuleNames::between(whole, names.clone()).or_else(|_| ModuleNames::between([], names.clone()))
            }
        };
        let found = found.map_err(|message| CompilerError::setting("", format!("the adapter: {message}")))?;
        let mut modules: BTreeMap<String, &ModuleAdapter> = BTreeMap::new();
        for (module, own) in &self.adapter.modules {
            let layer = found.find(module, names.clone()).expect("all modules were found to be layers");
            modules.insert(layer.to_owned(), own);
        }
        self.require_dropout()?;
        let mut added = self.method(&modules, &found, model)?;
        let trained = added.file.modules.iter().flat_map(|form| &form.trained);
        let starts = trained.filter_map(|value| Some((*value, model.graph.constant_of(*value)?.clone()))).collect();
        self.set(&modules, &added, model)?;
        self.replace_whole(&found, &mut added, model)?;
        added.notes.extend(self.unused_dropout());
        Ok((added, starts))
    }

    /// Refuses a dropout where the adapter has no A that reads what is left.
    fn require_dropout(&self) -> Result<(), CompilerError> {
        let is_dora = self.adapter.has_magnitudes();
        let has_place = matches!(self.adapter.method, AdapterMethod::Lora { .. }) && !is_dora;
        match self.dropout {
            Some(dropout) if dropout > 0.0 && !has_place => {
                let name = if is_dora { "DoRA" } else { self.adapter.method.peft_type() };
                let message =
                    format!("dropout is for LoRA without magnitudes, and the adapter is {name}; leave it out");
                Err(CompilerError::setting("", message))
            }
            _ => Ok(()),
        }
    }

    /// That the file has a dropout which is not used, where that is so.
    fn unused_dropout(&self) -> Option<String> {
        match self.adapter.method {
            AdapterMethod::Lora { dropout, .. }
                if dropout > 0.0 && self.dropout.is_none() && self.adapter.has_magnitudes() =>
            {
                Some(format!(
                    "the adapter's `lora_dropout` of {dropout} is not used: magnitudes (DoRA) are of all that is read"
                ))
            }
            _ => None,
        }
    }

    /// Adds what the method adds, with first values of its own.
    fn method(
        &self,
        modules: &BTreeMap<String, &ModuleAdapter>,
        names: &ModuleNames,
        model: &mut MethodModel<'_>,
    ) -> Result<Added, CompilerError> {
        let named = |wanted: &dyn Fn(&ModuleAdapter) -> bool| -> Vec<String> {
            modules.iter().filter(|(_, own)| wanted(own)).map(|(name, _)| name.clone()).collect()
        };
        let all = AdaptedLayers::Match(named(&|_| true));
        match self.adapter.method {
            AdapterMethod::Lora { is_rank_stabilized, dropout, is_principal } => {
                let dora = self.adapter.has_magnitudes();
                let has_all =
                    modules.values().all(|own| matches!(own, ModuleAdapter::LowRank { magnitude: Some(_), .. }));
                if dora && !has_all {
                    return Err(CompilerError::setting(
                        "",
                        "the adapter holds magnitudes for some of its modules only",
                    ));
                }
                let (mut rank_patterns, mut alpha_patterns) = (BTreeMap::new(), BTreeMap::new());
                let mut given = BTreeMap::new();
                for (name, own) in modules {
                    let ModuleAdapter::LowRank { a, b, alpha, .. } = own else { continue };
                    // of a convolution in groups, files count the ranks of all groups together
                    let (whole, rank) = (a.shape()[0], if a.shape().len() > 2 { b.shape()[1] } else { a.shape()[0] });
                    let scale = if self.is_bare { 1.0 } else { self.adapter.method.scale(*alpha, whole) };
                    let alpha = scale * if is_rank_stabilized { (rank as f64).sqrt() } else { rank as f64 };
                    rank_patterns.insert(name.clone(), rank);
                    given.insert(name.clone(), [a, b].map(Tensor::turned_shape));
                    alpha_patterns
                        .insert(name.clone(), if self.is_bare || whole != rank { alpha } else { own_alpha(own) });
                }
                let lora = Lora {
                    rank_patterns,
                    alpha_patterns,
                    rank_stabilized: is_rank_stabilized,
                    start: if is_principal { Start::Pissa } else { Start::Default },
                    lora_bias: self.adapter.has_biases_of_b(),
                    dora,
                    dropout: if dora { 0.0 } else { self.dropout.unwrap_or(dropout) },
                    bias: match self.adapter.biases {
                        Biases::None => TrainedBiases::None,
                        Biases::All => TrainedBiases::All,
                        Biases::OfModules => TrainedBiases::LoraOnly,
                    },
                    layers: all,
                    leaves_none_out: true,
                    given,
                    ..Lora::default()
                };
                checked(&lora, model)
            }
            AdapterMethod::Ia3 => {
                let of = |inputs: bool| {
                    let names = named(
                        &|own| matches!(own, ModuleAdapter::Scales { are_of_inputs, .. } if *are_of_inputs == inputs),
                    );
                    (!names.is_empty()).then_some(AdaptedLayers::Match(names))
                };
                checked(&Ia3 { layers: of(false), feed_forward: of(true) }, model)
            }
            AdapterMethod::Vera { key } => {
                let get = |name: &str| self.adapter.shared.get(name).map(Tensor::turned);
                let projections = match (get("vera_A"), get("vera_B"), key) {
                    (Some(a), Some(b), _) => Projections::Given([a, b]),
                    (None, None, Some(key)) => Projections::OfPeft(key),
                    _ => return Err(CompilerError::setting("", "the adapter lacks vera_A and vera_B")),
                };
                let rank = match &projections {
                    Projections::Given([a, _]) => a.shape()[1],
                    _ => modules.values().find_map(|own| own.rank()).unwrap_or(0),
                };
                checked(&Vera { rank, layers: all, projections, ..Vera::default() }, model)
            }
            AdapterMethod::Oft { is_exact } => {
                let mut sizes: Vec<usize> = modules.values().filter_map(|own| own.block_size()).collect();
                sizes.sort_unstable();
                sizes.dedup();
                let [block_size] = *sizes.as_slice() else {
                    return Err(CompilerError::setting(
                        "",
                        format!("the adapter has blocks of several sizes: {sizes:?}"),
                    ));
                };
                checked(&Oft { block_size, exact: is_exact, layers: all }, model)
            }
            AdapterMethod::Boft => {
                let shape = |own: &ModuleAdapter| match own {
                    ModuleAdapter::Butterflies { blocks, .. } => Some([blocks.shape()[0], blocks.shape()[2]]),
                    _ => None,
                };
                let mut shapes: Vec<[usize; 2]> = modules.values().filter_map(|own| shape(own)).collect();
                shapes.sort_unstable();
                shapes.dedup();
                let [[factors, block_size]] = *shapes.as_slice() else {
                    let message = format!("the adapter has factors and blocks of several sizes: {shapes:?}");
                    return Err(CompilerError::setting("", message));
                };
                checked(&Boft { block_size, factors, layers: all }, model)
            }
            AdapterMethod::LnTuning => self.norms(names, model),
            AdapterMethod::PromptTuning | AdapterMethod::PTuning => {
                let prompt = self.adapter.prompt.as_ref().expect("`check` has seen it");
                let mut added = checked(&PromptTuning::of_length(prompt.shape()[0]), model)?;
                added.notes.extend(added.file.peft_notes.iter().cloned());
                Ok(added)
            }
            AdapterMethod::PrefixTuning { layers, heads } => {
                let prompt = self.adapter.prompt.as_ref().expect("`check` has seen it");
                let added = checked(&PrefixTuning::as_in_peft(prompt.shape()[0]), model)?;
                match added.file.method {
                    Some(AdapterMethod::PrefixTuning { layers: own, heads: of_keys })
                        if (own, of_keys) != (layers, heads) =>
                    {
                        let message = format!(
                            "the adapter: keys and values of {layers} layers with {heads} heads, and the model has {own} attentions with \
                             {of_keys} heads of keys"
                        );
                        Err(CompilerError::setting("", message))
                    }
                    _ => Ok(added),
                }
            }
        }
    }

    /// The normalizations of the model that the adapter holds others for: nothing is added, and they are trained.
    fn norms(&self, names: &ModuleNames, model: &MethodModel<'_>) -> Result<Added, CompilerError> {
        let (file, merged) =
            (AdapterForm { method: Some(AdapterMethod::LnTuning), ..AdapterForm::default() }, Vec::new());
        let mut added = Added { merged: Some(merged), is_apart: true, file, ..Added::default() };
        for module in self.adapter.norms() {
            let name = names.find(module, model.layers.iter().map(|layer| layer.name.as_str()));
            let Some(own) = name.and_then(|name| model.layers.iter().find(|layer| layer.name == name)) else {
                let message = format!("the adapter: the normalization `{}` has no weights to train", shown(module));
                return Err(CompilerError::setting("", message));
            };
            added.adapted.push(own.name.clone());
            added.layers.push(Layer {
                name: format!("{}.norm", own.name),
                operator: own.operator.clone(),
                weights: own.weights.clone(),
                learning_rate_multiplier: 1.0,
                beside: Some(own.name.clone()),
            });
        }
        Ok(added)
    }

    /// Gives what was added the numbers of the adapter.
    fn set(
        &self,
        modules: &BTreeMap<String, &ModuleAdapter>,
        added: &Added,
        model: &mut MethodModel<'_>,
    ) -> Result<(), CompilerError> {
        if let (Some(form), Some(prompt)) = (&added.file.prompt, &self.adapter.prompt) {
            for value in &form.trained {
                let wanted = model.graph.constant_of(*value).map(|constant| constant.shape.clone()).unwrap_or_default();
                if wanted != prompt.shape() {
                    let message = format!(
                        "the adapter: prompt_embeddings have the shape {:?}, and the model takes {wanted:?}",
                        prompt.shape()
                    );
                    return Err(CompilerError::setting("", message));
                }
                model.graph.set_constant(*value, Constant::f32(wanted, prompt.values()));
            }
        }
        for form in &added.file.modules {
            let own = modules[&form.layer];
            let factor = if self.is_bare { self.adapter.factor(own) } else { 1.0 };
            let tensors = own.in_graphs(factor);
            let refuse = |message: String| {
                Err(CompilerError::setting("", format!("the adapter at layer `{}`: {message}", shown(&form.layer))))
            };
            if tensors.len() != form.trained.len() {
                return refuse(format!("{} tensors, wanted {}", tensors.len(), form.trained.len()));
            }
            for (value, (part, tensor)) in form.trained.iter().zip(tensors) {
                let wanted = model.graph.constant_of(*value).map(|constant| constant.shape.clone()).unwrap_or_default();
                if wanted != tensor.shape() {
                    return refuse(format!(
                        "`{part}` has the shape {:?}, and the layer takes {wanted:?}",
                        tensor.shape()
                    ));
                }
                model.graph.set_constant(*value, Constant::f32(wanted, tensor.values()));
            }
        }
        Ok(())
    }

    /// Puts what the adapter holds whole in the place of the model's own.
    fn replace_whole(
        &self,
        names: &ModuleNames,
        added: &mut Added,
        model: &mut MethodModel<'_>,
    ) -> Result<(), CompilerError> {
        let mut left_out = Vec::new();
        let mut replaced: HashMap<ValueId, &str> = HashMap::new();
        for (name, tensor) in &self.adapter.whole {
            let Some((module, part)) = name.rsplit_once('.') else { continue };
            let layer = names.find(module, model.layers.iter().map(|layer| layer.name.as_str()));
            let layer = layer.and_then(|name| model.layers.iter().find(|layer| layer.name == name));
            let form = layer.and_then(|layer| StoredForm::find(model.base, layer, part));
            let own = form.as_ref().and_then(|form| model.graph.constant_of(form.value)).cloned();
            let (Some(form), Some(own)) = (form, own) else {
                left_out.push((name, "the model has no such layer"));
                continue;
            };
            let tensor = if form.is_turned { tensor.turned() } else { tensor.clone() };
            // a vector of channels has axes of length 1 in some files
            let is_vector = matches!(*tensor.shape(), [length] if own.shape.len() > 2 && own.shape[0] == length);
            let fits = is_vector && own.shape[1..].iter().all(|length| *length == 1);
            if own.shape != tensor.shape() && !fits {
                left_out.push((name, "the model's has another shape"));
                continue;
            }
            if let Some(other) = replaced.insert(form.value, name) {
                let (name, other) = (shown(name), shown(other));
                let message = format!("`{other}` and `{name}` of the adapter are one tensor of the model's file");
                return Err(CompilerError::setting("", message));
            }
            model.graph.set_constant(form.value, Constant::f32(own.shape, tensor.values()));
            added.replaced.push(form.value);
            if let Some(merged) = &mut added.merged {
                let rule = Arc::new(|own: &Constant, _: &[&Constant]| own.clone());
                // in front, so that what is written into the same weight finds it
                merged.insert(0, MergedWeight { weight: form.value, trained: Vec::new(), rule });
            }
        }
        added.whole_left_out = left_out.iter().map(|(name, _)| (*name).clone()).collect();
        if let Some((first, reason)) = left_out.first() {
            let count = count(left_out.len() as u64, "parameter");
            added
                .notes
                .push(format!("{count} that the adapter holds whole, `{}` first, left out: {reason}", shown(first)));
        }
        Ok(())
    }
}

/// Adds what a method does with options that a file says, which are held against the same bounds as those of a recipe.
fn checked<O: Options + MethodFunction>(options: &O, model: &mut MethodModel<'_>) -> Result<Added, CompilerError> {
    options.validate().map_err(|message| CompilerError::setting("", format!("the adapter: {message}")))?;
    options.add(model)
}

fn own_alpha(own: &ModuleAdapter) -> f64 {
    match own {
        ModuleAdapter::LowRank { alpha, .. } => *alpha,
        _ => 1.0,
    }
}
