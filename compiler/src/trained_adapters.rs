//! What a program trains, as files of adapters hold it.

use std::collections::{BTreeMap, BTreeSet};

use millstream_schemas::shown;
use serde_json::{Value, json};

use crate::CompilerError;
use crate::adapter_files::{
    Adapter, AdapterMethod, Biases, HEADS_OF_CLASSIFIERS, ModuleNames, PeftFolder, is_taken_for,
};
use crate::finetuning::methods::AdapterForm;
use crate::graph::Graph;
use crate::peft_plan::{AdapterPlan, Mergeable, PeftPlan, Trained, WholePlan};
use crate::prepared::WholeWeight;

/// Key of the metadata of a model with adapters beside its weights: where in it their tensors are.
pub(crate) const METADATA: &str = "millstream.adapters";

/// What of a program files of adapters hold.
#[derive(Clone, Debug)]
pub(crate) struct TrainedAdapters {
    /// By the names of methods, what files hold of each.
    pub(crate) files: Vec<(String, AdapterForm)>,
    /// Weights of the model itself that are trained.
    pub(crate) whole: Vec<WholeWeight>,
    /// All weights of the model's own layers.
    pub(crate) held: Vec<WholeWeight>,
    /// What stands in front of the paths of modules in the names of all layers.
    pub(crate) wrapper: Option<String>,
    /// Whether statistics of normalizations are trained.
    pub(crate) has_statistics: bool,
}

impl TrainedAdapters {
    /// One for each method; where there is none, one of the normalizations that are trained.
    pub(crate) fn adapters(&self, trained: &Trained, model: Mergeable<'_>) -> Result<Vec<Adapter>, CompilerError> {
        let planned = self.planned().or_else(refuse)?;
        Ok(planned.iter().map(|plan| plan.made(&self.files, trained, model)).collect())
    }

    /// The same apart from the numbers; an error is what cannot be written.
    fn planned(&self) -> Result<Vec<AdapterPlan>, String> {
        let mut adapters = Vec::new();
        let plan =
            |method, biases, file, modules| AdapterPlan { method, biases, file, modules, whole: BTreeMap::new() };
        for (at, (name, form)) in self.files.iter().enumerate() {
            let method = match (form.method, &form.refusal) {
                (_, Some(refusal)) => return Err(format!("`{name}`: {refusal}")),
                // files are for the weights as they were
                (Some(AdapterMethod::Lora { is_rank_stabilized, dropout, .. }), None) if !form.modules.is_empty() => {
                    AdapterMethod::Lora { is_rank_stabilized, dropout, is_principal: false }
                }
                (Some(method), None) if !form.modules.is_empty() || form.prompt.is_some() => method,
                // beside other methods its normalizations are held whole by the first of those
                (Some(AdapterMethod::LnTuning), None) if self.files.len() > 1 => continue,
                (Some(AdapterMethod::LnTuning), None) => AdapterMethod::LnTuning,
                _ => {
                    return Err(format!(
                        "`{name}` has no form in files of adapters; use `lora`, `ia3`, `vera`, `oft`, `boft`, `prompt_tuning`, `p_tuning` or `prefix_tuning`"
                    ));
                }
            };
            let modules = form.modules.iter().enumerate().map(|(place, own)| (self.module(&own.layer), place));
            adapters.push(plan(method, form.biases, Some(at), modules.collect()));
        }
        if self.files.is_empty() && self.trains_norms() {
            adapters.push(plan(AdapterMethod::LnTuning, Biases::None, None, BTreeMap::new()));
        }
        let Some(first) = adapters.first_mut() else {
            let message = "`model.methods` adds nothing, and what is trained is not normalizations alone (with or without the head), so \
                           there is no adapter to write";
            return Err(message.into());
        };
        for own in &self.whole {
            let Some((name, whole)) = self.whole_plan(own, false) else {
                return Err(format!("layer `{}` is trained, and files of adapters cannot hold it", shown(&own.layer)));
            };
            first.whole.insert(name, whole);
        }
        if self.has_statistics {
            return Err("statistics of BatchNormalization are trained, and files of adapters cannot hold them".into());
        }
        Ok(adapters)
    }

    /// A weight of the model under the name that it is held by; nothing where it has no form in files.
    fn whole_plan(&self, own: &WholeWeight, is_merged: bool) -> Option<(String, WholePlan)> {
        let form = own.form.clone()?;
        let name = format!("{}.{}", self.module(&own.layer), form.part);
        Some((name, WholePlan { value: own.value, axes: own.axes, form, is_merged }))
    }

    /// Whether normalizations are trained, and nothing else but the head.
    fn trains_norms(&self) -> bool {
        let is_scale =
            |own: &&WholeWeight| own.form.as_ref().is_some_and(|form| form.part == "weight") && own.axes == 1;
        let norms: BTreeSet<&str> = self.whole.iter().filter(is_scale).map(|own| own.layer.as_str()).collect();
        !norms.is_empty() && self.whole.iter().all(|own| own.is_of_head || norms.contains(own.layer.as_str()))
    }

    /// As [`TrainedAdapters::adapters`], so that PEFT loads them: what PEFT takes for a module that is held whole is held whole too, with all
    /// of its parameters, and what was added to it is merged; an error is what cannot be written.
    pub(crate) fn plan_for_peft(&self, model: Mergeable<'_>) -> Result<PeftPlan, String> {
        let (mut adapters, mut notes) = (self.planned()?, Vec::new());
        let adapted: BTreeSet<String> = adapters.iter().flat_map(|adapter| adapter.modules.keys().cloned()).collect();
        let own: BTreeSet<String> = self.held.iter().map(|own| self.module(&own.layer)).collect();
        let Some(first) = adapters.first_mut() else { return Ok(PeftPlan::default()) };
        // with that PEFT keeps a bias that is trained by itself when it saves the adapter again
        let has_option = matches!(
            first.method,
            AdapterMethod::Lora { .. } | AdapterMethod::Vera { .. } | AdapterMethod::Oft { .. } | AdapterMethod::Boft
        );
        let outline = first.outline();
        let holds_bias = outline.whole.keys().any(|name| outline.whole_module(name).is_none());
        // each with the one that it is taken for
        let mut saved: BTreeMap<String, String> =
            outline.saved_modules().into_iter().map(|module| (module.to_owned(), module.to_owned())).collect();
        if outline.is_of_classifier() {
            saved.extend(HEADS_OF_CLASSIFIERS.map(|head| (head.to_owned(), head.to_owned())));
        }
        if has_option && first.biases == Biases::None && holds_bias {
            first.biases = Biases::All;
        }
        loop {
            let taken = |module: &&String| {
                let for_one = saved.keys().find(|one| is_taken_for(one, module));
                for_one.filter(|_| !saved.contains_key(*module)).map(|one| ((*module).clone(), one.clone()))
            };
            let more: Vec<(String, String)> = own.union(&adapted).filter_map(|module| taken(&module)).collect();
            if more.is_empty() {
                break;
            }
            saved.extend(more);
        }
        for (module, other) in &saved {
            let is_trained = |own: &WholeWeight| self.whole.iter().any(|trained| trained.value == own.value);
            let has_numbers = |own: &WholeWeight| is_trained(own) || model.0.float_constant(own.value).is_some();
            let held = self.held.iter().filter(|own| self.module(&own.layer) == *module && has_numbers(own));
            let held: Vec<&WholeWeight> = held.collect();
            // PEFT looks for each parameter of a module that it holds whole
            let mut all = self.held.iter().filter(|own| self.module(&own.layer) == *module);
            if let Some(other_form) =
                all.find(|own| !has_numbers(own) || own.form.is_none()).filter(|_| module != other)
            {
                return Err(format!(
                    "PEFT takes `{}` for `{}`, which is held whole, and files of adapters cannot hold the weights of layer `{}`; leave the \
                     head out of `train`, or write no `peft`",
                    shown(module),
                    shown(other),
                    shown(&other_form.layer)
                ));
            }
            let is_adapted = adapted.contains(module);
            let is_merged = |own: &&WholeWeight| model.1.iter().any(|merge| merge.weight == own.value);
            if is_adapted && !held.iter().any(is_merged) {
                return Err(format!(
                    "PEFT takes `{}`, to which something is added, for `{}`, which is held whole, and that cannot be merged into the \
                     weights; leave that layer out of the method's `layers`",
                    shown(module),
                    shown(other)
                ));
            }
            for (name, whole) in held.into_iter().filter_map(|own| self.whole_plan(own, true)) {
                if is_adapted || !first.whole.contains_key(&name) {
                    first.whole.insert(name, whole);
                }
            }
            if is_adapted {
                notes.push(format!(
                    "PEFT takes `{}` for `{}`, which is held whole, since it compares the ends of names: its folder holds both whole, \
                     with what methods add merged",
                    shown(module),
                    shown(other)
                ));
            }
        }
        for adapter in &mut adapters {
            let was_empty = adapter.modules.is_empty();
            let removed = adapter.modules.keys().find(|module| saved.contains_key(*module)).cloned();
            adapter.modules.retain(|module, _| !saved.contains_key(module));
            if let (true, false, Some(module)) = (adapter.modules.is_empty(), was_empty, removed) {
                return Err(format!(
                    "PEFT takes `{}`, which alone has something added, for `{}`, which is held whole; train one of both, or let the \
                     method go to other layers too",
                    shown(&module),
                    shown(&saved[&module])
                ));
            }
            if let Some((module, saved)) = adapter.outline().clash() {
                let message = format!("PEFT takes `{}` for `{}`, which is held whole", shown(module), shown(saved));
                return Err(format!("{message}; train one of both"));
            }
        }
        if let Some(refusal) = adapters.iter().find_map(|adapter| self.not_in_peft(adapter)) {
            return Err(refusal);
        }
        notes.extend(self.files.iter().flat_map(|(_, form)| form.peft_notes.iter().cloned()));
        notes.extend(adapters.iter().filter_map(|adapter| self.of_conv1d(adapter)));
        notes.extend(adapters.iter().filter_map(|adapter| self.of_bare_parameters(adapter)));
        Ok(PeftPlan { adapters, notes })
    }

    /// Why PEFT would compute something else at a layer, where that is so, and what to do.
    fn not_in_peft(&self, adapter: &AdapterPlan) -> Option<String> {
        let (name, form) = self.files.get(adapter.file?)?;
        let is_held = |(layer, _): &&(String, String)| adapter.modules.contains_key(&self.module(layer));
        let (layer, reason) = form.not_in_peft.iter().find(is_held)?;
        Some(format!(
            "`{name}` goes to layer `{}`: {reason}; leave that layer out of its `layers`, or give it the rank 0 in `rank_patterns`, \
             or write `onnx_adapter` alone",
            shown(layer)
        ))
    }

    /// That PEFT does not load an adapter, where it is for layers that PEFT turns nothing in front of.
    fn of_conv1d(&self, adapter: &AdapterPlan) -> Option<String> {
        if !matches!(adapter.method, AdapterMethod::Oft { .. } | AdapterMethod::Boft) {
            return None;
        }
        let kind = adapter.method.peft_type();
        let is_adapted = |own: &&WholeWeight| own.is_conv1d && adapter.modules.contains_key(&self.module(&own.layer));
        let first = self.held.iter().find(is_adapted)?;
        Some(format!(
            "layer `{}` is written as Transformers' `Conv1D` is (GPT-2); PEFT has no {kind} for such a layer and refuses the folder, which \
             `peft` and `adapter merge` read",
            shown(&first.layer)
        ))
    }

    /// That PEFT does not load what an adapter has for parameters that are no modules, where it has such.
    fn of_bare_parameters(&self, adapter: &AdapterPlan) -> Option<String> {
        let is_adapted = |own: &&WholeWeight| own.is_bare && adapter.modules.contains_key(&self.module(&own.layer));
        let first = self.held.iter().find(is_adapted)?;
        Some(format!(
            "`{}` is a parameter of its module and no module of its own; PEFT adapts modules alone, so that its model has nothing there or is \
             refused the folder, which `peft` and `adapter merge` read",
            shown(&first.layer)
        ))
    }

    /// Whether an `.onnx_adapter` can be written. `merged`: the graph without what can be merged.
    pub(crate) fn require_inputs(&self, (graph, merged): (&Graph, &Graph)) -> Result<(), CompilerError> {
        let adapters = self.planned().or_else(refuse)?;
        if adapters.len() > 1 {
            return refuse("an .onnx_adapter is of one method, and `model.methods` has several; write `peft`".into());
        }
        if let Some(reason) = adapters.iter().find_map(|adapter| adapter.method.not_as_inputs()) {
            return refuse(format!("{reason}; write `peft`"));
        }
        let is_principal =
            |form: &AdapterForm| matches!(form.method, Some(AdapterMethod::Lora { is_principal: true, .. }));
        if self.files.iter().any(|(_, form)| is_principal(form)) {
            let message = "`start: pissa` takes a part out of the model's own weights, so that the model without the adapter is another \
                           than it was; write `peft`, which is for the model as it was";
            return refuse(message.into());
        }
        let stays =
            |form: &AdapterForm| form.modules.iter().flat_map(|own| &own.trained).any(|value| merged.contains(*value));
        if let Some((name, _)) = self.files.iter().find(|(_, form)| stays(form)) {
            return refuse(format!(
                "what `{name}` adds stays beside the model (see the notes of `check`), so there is no model without it for an \
                 .onnx_adapter; write `peft`"
            ));
        }
        if let Some(stored) = graph.float_type_of_file() {
            return refuse(format!(
                "an .onnx_adapter is for models of 32-bit floats, and this one is stored in {}; write `peft`",
                stored.name()
            ));
        }
        Ok(())
    }

    /// For each method the configuration of PEFT, and by PEFT's keys where in an exported graph a tensor is and whether it is
    /// turned there; nothing where not all of it is in the graph as it is in files, as where it is merged.
    pub(crate) fn metadata(&self, trained: &Trained, graph: &Graph, model: Mergeable<'_>) -> Option<(String, String)> {
        let mut values = self.files.iter().flat_map(|(_, form)| &form.modules).flat_map(|own| &own.trained);
        if !values.all(|value| graph.contains(*value)) {
            return None;
        }
        let adapters = self.adapters(trained, model).ok().filter(|adapters| adapters.len() == self.files.len())?;
        let mut entries: Vec<Value> = Vec::new();
        for (at, ((_, form), adapter)) in self.files.iter().zip(&adapters).enumerate() {
            let mut places = BTreeMap::new();
            for own in &form.modules {
                let module = self.module(&own.layer);
                let tensors = PeftFolder::parts_of(adapter.modules.get(&module)?);
                for (value, (part, tensor)) in own.trained.iter().zip(tensors) {
                    let here = Some(*value).filter(|value| graph.contains(*value));
                    let here = here.and_then(|value| graph.constant_of(value))?;
                    let is_turned = here.shape.len() == 2 && part.starts_with("lora_");
                    // what is spread over a part of a layer's numbers is another tensor in a file
                    if here.shape.iter().product::<usize>() != tensor.values().len() {
                        return None;
                    }
                    places.insert(PeftFolder::key(&module, part), json!([graph.name(*value), is_turned]));
                }
            }
            // matrices that all layers share are not under a name of their own
            if !form.shared.is_empty() || form.prompt.is_some() {
                return None;
            }
            for own in self.whole.iter().filter(|_| at == 0) {
                let form = own.form.as_ref()?;
                let key = PeftFolder::key(&self.module(&own.layer), form.part);
                places.insert(key, json!([graph.name(own.value), form.is_turned]));
            }
            let config: Value = serde_json::from_slice(&PeftFolder::of(adapter).config).ok()?;
            entries.push(json!({"config": config, "tensors": places}));
        }
        Some((METADATA.to_owned(), Value::from(entries).to_string()))
    }

    fn module(&self, layer: &str) -> String {
        ModuleNames::module_of(layer, self.wrapper.as_deref())
    }
}

/// An error for what cannot be written.
pub(crate) fn refuse<T>(message: String) -> Result<T, CompilerError> {
    Err(CompilerError::setting("output.adapter_files", message))
}
