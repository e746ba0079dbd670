use std::collections::{BTreeMap, HashMap};

use crate::adapter_files::{Adapter, AdapterMethod, Biases, Outline, Tensor};
use crate::finetuning::methods::{AdapterForm, MergedWeight};
use crate::finetuning::stored_form::StoredForm;
use crate::graph::{Constant, Graph, ValueId};

/// Trained parameters as constants of the model.
pub(crate) type Trained = HashMap<ValueId, Constant>;

/// A model without what methods have added and can be merged, and how that is merged.
pub(crate) type Mergeable<'a> = (&'a Graph, &'a [MergedWeight]);

/// What folders of PEFT hold of a program, apart from the numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeftPlan {
    /// One for each folder.
    pub(crate) adapters: Vec<AdapterPlan>,
    /// What is other in them than it was trained, in words.
    pub(crate) notes: Vec<String>,
}

/// An adapter apart from its numbers.
#[derive(Clone, Debug)]
pub(crate) struct AdapterPlan {
    pub(crate) method: AdapterMethod,
    pub(crate) biases: Biases,
    /// Of which method of the program it is, counted from 0; none of normalizations that are trained alone.
    pub(crate) file: Option<usize>,
    /// Each module with its place among those of the method.
    pub(crate) modules: BTreeMap<String, usize>,
    /// What is held whole, by PEFT's names.
    pub(crate) whole: BTreeMap<String, WholePlan>,
}

/// A parameter of the model that is held whole.
#[derive(Clone, Debug)]
pub(crate) struct WholePlan {
    pub(crate) value: ValueId,
    pub(crate) axes: usize,
    pub(crate) form: StoredForm,
    /// Whether what methods add to it is merged.
    pub(crate) is_merged: bool,
}

impl AdapterPlan {
    pub(crate) fn outline(&self) -> Outline<'_> {
        Outline {
            method: self.method,
            modules: self.modules.keys().map(String::as_str).collect(),
            whole: self.whole.iter().map(|(name, own)| (name.as_str(), own.axes)).collect(),
        }
    }

    /// The adapter with these numbers; `files`: what files hold of each method.
    pub(crate) fn made(&self, files: &[(String, AdapterForm)], trained: &Trained, model: Mergeable<'_>) -> Adapter {
        let values = |own: &[ValueId]| own.iter().map(|value| &trained[value]).collect::<Vec<&Constant>>();
        let form = self.file.and_then(|at| files.get(at)).map(|(_, form)| form);
        let modules = self.modules.iter().map(|(module, at)| {
            let own = form.and_then(|form| form.modules.get(*at)).expect("modules are planned by the method's own");
            (module.clone(), (own.rule)(&values(&own.trained)))
        });
        let whole = self.whole.iter().map(|(name, own)| {
            let merges = if own.is_merged { model.1 } else { &[] };
            (name.clone(), own.form.stored(whole_tensor(own.value, trained, (model.0, merges))))
        });
        Adapter {
            method: self.method,
            modules: modules.collect(),
            prompt: form.and_then(|form| form.prompt.as_ref()).map(|own| (own.rule)(&values(&own.trained))),
            shared: form.map(|form| form.shared.clone()).unwrap_or_default(),
            whole: whole.collect(),
            biases: self.biases,
        }
    }
}

/// A weight of the model as it was trained, with what was added to it.
fn whole_tensor(value: ValueId, trained: &Trained, (graph, merges): Mergeable<'_>) -> Tensor {
    let own = trained.get(&value).or_else(|| graph.float_constant(value));
    let mut own = own.expect("what is planned is trained or a constant of the model").clone();
    for merge in merges.iter().filter(|merge| merge.weight == value) {
        let beside: Vec<&Constant> = merge.trained.iter().map(|value| &trained[value]).collect();
        own = (merge.rule)(&own, &beside);
    }
    let numbers = own.to_f32().expect("weights are of 32-bit floats");
    Tensor::new(own.shape, numbers).expect("a constant has the numbers of its shape")
}
