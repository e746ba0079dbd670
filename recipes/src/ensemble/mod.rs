//! One model of several: fitted to saved predictions, exported as one ONNX file, measured on rows that it was not fitted to.

mod chosen_by;
mod ensemble_origin;
mod evaluate;
mod export;
mod files;
mod fit;
mod mean_statistics;
mod member_rows;
mod members;
mod members_folder;
mod members_report;
mod out_of_fold;
mod snapshots;
mod soups;
mod train_members;

pub use ensemble_origin::{EnsembleOrigin, FitRequest, RequestedMember};
pub use evaluate::{EvaluateOptions, evaluate};
pub use export::{ExportOptions, ExportReport, export};
pub use files::EnsembleFolder;
pub(crate) use files::MEMBERS;
pub use fit::{FitOptions, FitReport, fit};

pub use member_rows::Sampling;
pub(crate) use members_folder::{MembersFolder, require_one_run};
pub use members_report::{MembersReport, TrainedMember};
pub(crate) use snapshots::Snapshot;
pub use snapshots::snapshots;
pub use train_members::{MembersOptions, train_members};
