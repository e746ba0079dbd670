//! Files of adapters: PEFT's folders and ONNX Runtime's `.onnx_adapter`, as plain tensors. What they do to a graph is no part of
//! this folder.

mod adapter;
mod grouped;
mod module_names;
mod numbers;
mod onnx_adapter;
mod peft_config;
mod peft_folder;
mod read;
mod saved_modules;
mod tensor;
mod tensor_names;
mod vera_projections;

pub use adapter::{Adapter, AdapterMethod, Biases, ModuleAdapter};
pub(crate) use grouped::DORA;
pub use module_names::ModuleNames;
pub use onnx_adapter::OnnxAdapter;
pub use peft_folder::PeftFolder;
pub use read::read;
pub(crate) use saved_modules::{HEADS_OF_CLASSIFIERS, Outline, is_taken_for};
pub use tensor::Tensor;
pub(crate) use vera_projections::vera_projections;
