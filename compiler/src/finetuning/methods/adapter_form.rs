use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::adapter_files::{AdapterMethod, Biases, ModuleAdapter, Tensor};
use crate::graph::{Constant, ValueId};

/// What a method has added, as files of adapters hold it. A method without modules here has no such form.
#[derive(Clone, Debug, Default)]
pub struct AdapterForm {
    /// What the files call it.
    pub method: Option<AdapterMethod>,
    /// What belongs to each layer.
    pub modules: Vec<ModuleForm>,
    /// The vectors of virtual tokens.
    pub prompt: Option<PromptForm>,
    /// What all layers read.
    pub shared: BTreeMap<String, Tensor>,
    /// Where in the graph that is, each with the axis that is the rank.
    pub shared_values: Vec<(ValueId, usize)>,
    /// Which biases of the model are trained as well.
    pub biases: Biases,
    /// Why there is none, and what to do.
    pub refusal: Option<String>,
    /// Layers that a folder of PEFT cannot hold, each with the reason.
    pub not_in_peft: Vec<(String, String)>,
    /// What is worth knowing of a folder of PEFT, in words.
    pub peft_notes: Vec<String>,
}

/// The vectors of virtual tokens, `[count, width]`, or their keys and values.
#[derive(Clone)]
pub struct PromptForm {
    /// What was trained.
    pub trained: Vec<ValueId>,
    /// The vectors, of the trained values in their order.
    pub rule: PromptRule,
}

/// Trained values to the vectors of virtual tokens.
pub type PromptRule = Arc<dyn Fn(&[&Constant]) -> Tensor + Send + Sync>;

impl fmt::Debug for PromptForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromptForm").field("trained", &self.trained).finish_non_exhaustive()
    }
}

/// Trained values to what files hold of them.
pub type ModuleRule = Arc<dyn Fn(&[&Constant]) -> ModuleAdapter + Send + Sync>;

/// What belongs to a layer.
#[derive(Clone)]
pub struct ModuleForm {
    /// The layer.
    pub layer: String,
    /// What was trained beside it.
    pub trained: Vec<ValueId>,
    /// What that is in a file, the trained values in their order.
    pub rule: ModuleRule,
}

impl fmt::Debug for ModuleForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleForm").field("layer", &self.layer).field("trained", &self.trained).finish_non_exhaustive()
    }
}

/// A constant of floats as a tensor.
pub(super) fn tensor(constant: &Constant) -> Tensor {
    let values = constant.to_f32().expect("what is trained are 32-bit floats");
    Tensor::new(constant.shape.clone(), values).expect("constants have as many numbers as they say")
}
