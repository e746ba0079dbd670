//! What a program trains, as files of adapters hold it.

use std::collections::{BTreeMap, HashMap};

use millstream_schemas::shown;
use serde_json::{Value, json};

use crate::CompilerError;
use crate::adapter_files::{Adapter, AdapterMethod, ModuleNames, PeftFolder, Tensor};
use crate::finetuning::methods::AdapterForm;
use crate::graph::{Constant, Graph, ValueId};
use crate::prepared::WholeWeight;

/// Key of the metadata of a model with adapters beside its weights: where in it their tensors are.
pub(crate) const METADATA: &str = "millstream.adapters";

/// Trained parameters as constants of the model.
pub(crate) type Trained = HashMap<ValueId, Constant>;

/// What of a program files of adapters hold.
#[derive(Clone, Debug)]
pub(crate) struct TrainedAdapters {
    /// By the names of methods, what files hold of each.
    pub(crate) files: Vec<(String, AdapterForm)>,
    /// Weights of the model itself that are trained.
    pub(crate) whole: Vec<WholeWeight>,
    /// What stands in front of the paths of modules in the names of all layers.
    pub(crate) wrapper: Option<String>,
    /// Whether statistics of normalizations are trained.
    pub(crate) has_statistics: bool,
}

impl TrainedAdapters {
    /// One for each method.
    pub(crate) fn adapters(&self, trained: &Trained) -> Result<Vec<Adapter>, CompilerError> {
        let mut adapters = Vec::new();
        for (name, form) in &self.files {
            let method = match (form.method, &form.refusal) {
                (_, Some(refusal)) => return refuse(format!("`{name}`: {refusal}")),
                // files are for the weights as they were
                (Some(AdapterMethod::Lora { is_rank_stabilized, dropout, .. }), None) if !form.modules.is_empty() => {
                    AdapterMethod::Lora { is_rank_stabilized, dropout, is_principal: false }
                }
                (Some(method), None) if !form.modules.is_empty() || form.prompt.is_some() => method,
                _ => {
                    return refuse(format!(
                        "`{name}` has no form in files of adapters; use `lora`, `ia3`, `vera`, `oft`, `boft`, `prompt_tuning`, `p_tuning` or `prefix_tuning`"
                    ));
                }
            };
            let modules = form.modules.iter().map(|own| {
                let values: Vec<&Constant> = own.trained.iter().map(|value| &trained[value]).collect();
                (self.module(&own.layer), (own.rule)(&values))
            });
            let (modules, shared, whole) = (modules.collect(), form.shared.clone(), BTreeMap::new());
            let prompt = form.prompt.as_ref().map(|own| {
                let values: Vec<&Constant> = own.trained.iter().map(|value| &trained[value]).collect();
                (own.rule)(&values)
            });
            adapters.push(Adapter { method, modules, prompt, shared, whole, biases: form.biases });
        }
        let Some(first) = adapters.first_mut() else {
            return refuse("`model.methods` adds nothing, so there is no adapter to write".into());
        };
        for own in &self.whole {
            let Some(form) = &own.form else {
                let layer = shown(&own.layer);
                return refuse(format!("layer `{layer}` is trained, and files of adapters cannot hold it"));
            };
            let constant = &trained[&own.value];
            let values = constant.to_f32().expect("parameters are 32-bit floats");
            let tensor = Tensor::new(constant.shape.clone(), values).expect("parameters fit their shapes");
            let tensor = if form.is_turned { tensor.turned() } else { tensor };
            first.whole.insert(format!("{}.{}", self.module(&own.layer), form.part), tensor);
        }
        if self.has_statistics {
            return refuse(
                "statistics of BatchNormalization are trained, and files of adapters cannot hold them".into(),
            );
        }
        Ok(adapters)
    }

    /// Whether they can be written; `as_inputs`: as an `.onnx_adapter`. `merged`: the graph without what can be merged.
    pub(crate) fn require(
        &self,
        trained: &Trained,
        (graph, merged): (&Graph, &Graph),
        as_inputs: bool,
    ) -> Result<(), CompilerError> {
        let adapters = self.adapters(trained)?;
        if !as_inputs {
            return Ok(());
        }
        if adapters.len() > 1 {
            return refuse("an .onnx_adapter is of one method, and `model.methods` has several; write `peft`".into());
        }
        if let Some(reason) = adapters.iter().find_map(Adapter::not_as_inputs) {
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
        if graph.narrow_type().is_some() {
            let message = "an .onnx_adapter is for models of 32-bit floats, and this one is stored in 16; write `peft`";
            return refuse(message.into());
        }
        Ok(())
    }

    /// For each method the configuration of PEFT, and by PEFT's keys where in an exported graph a tensor is and whether it is
    /// turned there; nothing where not all of it is in the graph as it is in files, as where it is merged.
    pub(crate) fn metadata(&self, trained: &Trained, graph: &Graph) -> Option<(String, String)> {
        let mut values = self.files.iter().flat_map(|(_, form)| &form.modules).flat_map(|own| &own.trained);
        if !values.all(|value| graph.contains(*value)) {
            return None;
        }
        let adapters = self.adapters(trained).ok()?;
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

fn refuse<T>(message: String) -> Result<T, CompilerError> {
    Err(CompilerError::setting("output.adapter_files", message))
}
