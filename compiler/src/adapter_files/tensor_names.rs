//! What the tensors of modules are called in files.

use super::AdapterMethod;

/// Of which the scale is in B.
pub(super) const LORA: AdapterMethod =
    AdapterMethod::Lora { is_rank_stabilized: false, dropout: 0.0, is_principal: false };

/// Whose matrices are inputs too.
pub(super) const VERA: AdapterMethod = AdapterMethod::Vera { key: None };

/// Ends of the names of a module's tensor.
pub(super) struct TensorName {
    /// In an `.onnx_adapter`, where it tells what the layer does with it.
    pub(super) end: &'static str,
    /// In a folder of PEFT, whose configuration tells that, and in [`ModuleAdapter::in_graphs`](super::ModuleAdapter::in_graphs).
    pub(super) part: &'static str,
    /// The method that it is of, as an `.onnx_adapter` tells it.
    pub(super) method: AdapterMethod,
}

const fn named(end: &'static str, part: &'static str, method: AdapterMethod) -> TensorName {
    TensorName { end, part, method }
}

const fn same(end: &'static str, method: AdapterMethod) -> TensorName {
    named(end, end, method)
}

/// All that are read and written.
pub(super) const TENSOR_NAMES: [TensorName; 14] = [
    same("lora_A.weight", LORA),
    same("lora_B.weight", LORA),
    same("lora_B.bias", LORA),
    same("lora_embedding_A", LORA),
    same("lora_embedding_B", LORA),
    same("lora_magnitude_vector", LORA),
    named("ia3_l.inputs", "ia3_l", AdapterMethod::Ia3),
    named("ia3_l.outputs", "ia3_l", AdapterMethod::Ia3),
    same("vera_lambda_d", VERA),
    same("vera_lambda_b", VERA),
    same("oft_R.weight", AdapterMethod::Oft { is_exact: false }),
    named("oft_R.exact", "oft_R.weight", AdapterMethod::Oft { is_exact: true }),
    same("boft_R", AdapterMethod::Boft),
    same("boft_s", AdapterMethod::Boft),
];
