//! Fine-tuning methods: what is added to a model and trained in the place of its own weights. Each file holds one.

mod adapted;
mod adapter;
mod adapter_form;
mod boft;
mod dense;
mod ia3;
mod layer_biases;
mod linear_weight;
mod lora;
mod low_rank;
mod method;
mod method_function;
mod method_kind;
mod oft;
mod p_tuning;
mod peft;
mod prefix;
mod prefix_tuning;
mod prompt_tuning;
mod prompts;
mod quantized_weights;
mod rotation;
mod vera;

use std::sync::OnceLock;

use millstream_schemas::choice::Catalog;

pub(crate) use peft::FromAdapter;
pub(crate) use quantized_weights::quantized_weights;

pub use adapted::AdaptedLayers;
pub use adapter_form::{AdapterForm, ModuleForm, ModuleRule, PromptForm, PromptRule};
pub use linear_weight::{LinearMap, LinearPart, LinearWeight};
pub use method::Method;
pub use method_function::{Added, FoldRule, FoldedValue, MergeRule, MergedWeight, MethodFunction, MethodModel};
pub use method_kind::{Build, MethodKind};

/// The methods of this crate. More rows are added by [`Catalog::with`].
pub fn standard() -> &'static Catalog<MethodKind> {
    static CATALOG: OnceLock<Catalog<MethodKind>> = OnceLock::new();
    CATALOG.get_or_init(|| {
        Catalog::new([
            adapter::METHOD,
            boft::METHOD,
            ia3::METHOD,
            lora::METHOD,
            oft::METHOD,
            p_tuning::METHOD,
            peft::METHOD,
            prefix_tuning::METHOD,
            prompt_tuning::METHOD,
            vera::METHOD,
        ])
    })
}
