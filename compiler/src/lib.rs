//! A pretrained ONNX model in, a training graph in plain ONNX out.
//!
//! [`compile`] picks what is trained, adds the loss and reverse-mode gradients, and writes standard operators that any
//! ONNX Runtime build can run. It knows operators through the [`OperatorCatalog`] that it is given. It reads and writes bytes; it never
//! runs a graph.
#![forbid(unsafe_code)]

mod adapted_model;
pub mod adapter_files;
pub mod backward;
mod batch_axis;
mod binding;
mod box_maps;
mod describe;
mod dilated_adapters;
mod error;
mod even_padding;
mod exact_scatters;
mod export_advice;
pub mod finetuning;
mod frozen_prefix;
pub mod fused;
pub mod graph;
#[cfg(test)]
mod handmade;
mod inference;
mod inference_memory;
pub mod initializers;
mod kinds_of_nodes;
mod known_operators;
mod large_kernels;
pub mod losses;
mod matrix_sums;
mod mixed_precision;
pub mod model_file;
pub mod operators;
mod peft_plan;
mod prepared;
mod program;
mod raised_opset;
mod row_places;
mod run_graph;
mod scoring;
mod shared_base;
mod simplify;
mod straight_through;
mod strided_transposes;
mod suffix;
mod tensor_entry;
mod traced_lengths;
mod trained_adapters;
mod unsound_fusions;
mod weights_file;

pub use adapted_model::{AdaptableModel, adapters_in, merge_adapters, taking_adapter, wrapper};
pub use box_maps::{BoxMap, BoxMaps, box_maps};
pub use describe::{LayerReport, ModelReport, OperatorCoverage, SharedWeight, describe};
pub use dilated_adapters::{dilated_beside, dilated_in};
pub use error::CompilerError;
pub use export_advice::{ExportAdvice, export_advice};
pub use finetuning::{
    FeatureHead, FineTuning, FrozenConstant, HeadChoice, LayerInitializer, Method, MethodReport, SelectedPart,
};
pub use frozen_prefix::{FrozenPrefix, NoFrozenPrefix};
pub use inference_memory::InferenceMemory;
pub use initializers::Initializer;
pub use known_operators::{KnownOperator, KnownOperators, Passage, known_operators};
pub use losses::Loss;
pub use mixed_precision::{InFloat32, MixedPrecision};
pub use model_file::{ImageInput, Model, ModelDifferences, OnnxFile, TensorDifference};
pub use operators::OperatorCatalog;
pub use program::{FoldedBytes, TrainingProgram, compile};
pub use row_places::RowPlaces;
pub use run_graph::{FrozenWeight, Provider, RunGraph};
pub use scoring::{Chances, Scoring};
pub use shared_base::{SharedBase, taking_adapters};
pub use traced_lengths::{TracedLength, traced_lengths};
pub use unsound_fusions::unsound_fusions;
pub use weights_file::{ProgramFiles, WeightsFile};
