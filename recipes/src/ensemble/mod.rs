//! One model of several: fitted to saved predictions, exported as one ONNX file, measured on rows that it was not fitted to.

mod evaluate;
mod export;
mod files;
mod fit;
mod members;
mod snapshots;
mod soups;

pub use evaluate::{EvaluateOptions, evaluate};
pub use export::{ExportOptions, ExportReport, export};
pub use files::EnsembleFolder;
pub use fit::{FitOptions, FitReport, fit};
pub use snapshots::snapshots;
