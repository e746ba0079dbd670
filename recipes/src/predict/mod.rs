//! What a model says of rows that nobody has labelled: files of images, texts, tables, Parquet.

mod answers;
mod box_form;
mod first_line;
mod input_columns;
mod input_files;
mod mask_files;
mod open_input;
mod picture_space;
mod predict_options;
mod predict_report;
mod predicted_as;
mod predicted_row;
mod predictions;
mod reads;
mod row_format;
mod row_names;
mod table_rows;
mod writers;

pub use input_files::PredictInput;
pub(crate) use picture_space::PictureSpace;
pub use predict_options::PredictOptions;
pub use predict_report::{PredictReport, PredictedBy};
pub use predicted_as::PredictedAs;
pub use predicted_row::{ClassProbability, ClassShare, PredictedRow, PredictedThing, RowAnswer};
pub use predictions::{Predictions, predict};
pub use row_format::RowFormat;
pub use writers::{PredictionFormat, PredictionRows};
