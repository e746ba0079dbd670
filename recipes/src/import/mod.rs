//! Folders and tables made into Parquet, in the layout of the Hugging Face Hub.

mod class_folders;
mod column;
mod columns_seen;
mod division;
mod duplicates;
mod finding;
mod import_options;
mod import_report;
mod importing;
mod layout;
mod output_folder;
mod row_reader;
mod scan;
mod shards;
mod source_files;
mod tables;
mod values;
mod writing;

pub use import_options::{ImportOptions, SplitShare};
pub use import_report::{
    ClassRows, ColumnReport, DuplicateReport, ImportReport, LeftOut, LeftOutReport, ShardReport, SplitReport,
};
pub use importing::import;
