//! The words every Millstream crate uses.
//!
//! Plain data: dataset [features], [batches](Batch), [recipes](Recipe), [resume points](ResumePoint) and the
//! [training manifest](TrainingManifest), what [cells] of text tables say, and how [files] are written so that none is ever half there.
//! Nothing here reads files of data, draws random numbers or knows ONNX Runtime.

mod batch;
mod buffer;
pub mod cells;
pub mod choice;
mod counted;
mod error;
pub mod features;
mod file_lock;
mod file_state;
pub mod files;
mod fingerprint;
mod image_layout;
mod manifest;
mod mixing;
mod numbers;
mod predictions;
pub mod recipe;
mod resume;
mod row_id;
mod shell_word;
mod shown;
mod standardization;
mod suggestion;
mod wording;
mod written_paths;
#[cfg(feature = "yaml")]
pub mod yaml;

pub use batch::{Batch, BatchSpec, CROWD, ElementType, TARGETS, Tensor, TensorData, TensorRole, TensorSpec};
pub use buffer::{ALIGNMENT, Buffer, BufferPart, BufferPool, Element};
pub use choice::{Choice, ChoiceError};
pub use counted::{count, plural};
pub use error::SchemaError;
pub use features::{Feature, Features, ImageStorage};
pub use file_lock::{FileLock, LockAttempt};
pub use file_state::FileState;
pub use fingerprint::{Fingerprint, FingerprintWriter};
pub use image_layout::ImageLayout;
pub use manifest::{AxisLength, MaskEntry, ParameterEntry, TensorEntry, TrainingManifest};
pub use mixing::{GOLDEN, mix};
pub use numbers::{decimal, grouped, percent};
pub use predictions::{PredictionTargets, Predictions, PredictionsHeader, ScoresOf};
pub use recipe::Recipe;
pub use resume::ResumePoint;
pub use row_id::RowId;
pub use shell_word::{shell_path, shell_word};
pub use shown::{escaped, shown, shown_path, shown_sentences, shown_up_to};
pub use standardization::Standardization;
pub use suggestion::nearest;
pub use wording::plain;
pub use written_paths::{written_path, written_path_if_any, written_paths};
