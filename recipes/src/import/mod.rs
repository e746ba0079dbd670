//! Folders, archives and tables made into Parquet, in the layout of the Hugging Face Hub.

mod archive;
mod archive_members;
mod boxes_in_json;
mod boxes_outside;
mod cell_number;
mod class_folders;
mod class_values;
mod coco;
mod coco_values;
mod column;
mod columns_seen;
mod decimals_seen;
mod division;
mod duplicates;
mod finding;
mod image_columns;
mod import_options;
mod import_report;
mod importing;
mod layout;
mod mask_folders;
mod member;
mod objects;
mod output_folder;
mod path_below;
mod row_reader;
mod samples;
mod scan;
mod shards;
mod source_files;
mod source_patterns;
mod tables;
mod unpacked;
mod values;
mod writing;
mod yolo;
mod yolo_lines;

pub use boxes_outside::BoxesOutside;
pub use import_options::{ImportOptions, SplitShare};
pub use import_report::{
    ClassRows, ColumnReport, DuplicateReport, ImportReport, LeftOut, LeftOutReport, ShardReport, SplitReport,
};
pub use importing::import;

pub(crate) use archive::archive_stem;
pub(crate) use archive_members::ArchiveMembers;
pub(crate) use cell_number::CellNumber;
pub(crate) use class_values::{are_classes, likeliest_label};
pub(crate) use column::BOX_CONVENTIONS;
pub(crate) use columns_seen::Seen;
pub(crate) use decimals_seen::{Decimals, DecimalsSeen};
pub(crate) use image_columns::images_beside;
pub(crate) use mask_folders::masks_among;
pub(crate) use source_files::ReadSeek;
pub(crate) use source_patterns::expanded;
