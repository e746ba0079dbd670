use millstream_schemas::shown;

use super::import_options::ImportOptions;
use super::import_report::LeftOut;
use super::layout::Layout;
use super::source_files::SourceFiles;
use super::{class_folders, coco, mask_folders, samples, tables, yolo};
use crate::{RecipeError, Stop};

/// Finds out what a source is; `None` where it was stopped before.
///
/// # Errors
/// It is nothing that can be imported, or a table of it cannot be read.
pub(super) fn find(files: &SourceFiles, options: &ImportOptions, stop: &Stop) -> Result<Option<Layout>, RecipeError> {
    let of_coco = if tables::has_metadata(files) { Vec::new() } else { coco::annotation_files(files, stop) };
    if stop.is_requested() {
        return Ok(None);
    }
    let found = if tables::has_metadata(files) {
        tables::metadata(files, options)?
    } else if !of_coco.is_empty() {
        coco::read(files, &of_coco, options)?
    } else if yolo::has_boxes(files) {
        yolo::read(files, options)?
    } else if mask_folders::has_masks(files) {
        mask_folders::read(files, options)?
    } else if samples::has_samples(files) {
        samples::read(files, options)?
    } else if class_folders::has_images(files) {
        class_folders::read(files, options)?
    } else if tables::has_tables(files) {
        tables::tables(files, options)?
    } else {
        let first = files.files().iter().take(3).map(|file| format!("`{}`", shown(&file.name)));
        let first: Vec<String> = first.collect();
        let there = if first.is_empty() { "no file".to_owned() } else { first.join(", ") };
        let message = format!(
            "it holds {there}{}; what is imported are images in folders, with boxes, masks or tables, CSV, TSV and JSON Lines, and \
             archives of them (Parquet is read as it is)",
            first_of(&files.left_out)
        );
        return Err(RecipeError::mismatch(options.sources_in_words(), message));
    };
    if found.rows.is_empty() {
        let left_out: Vec<LeftOut> = files.left_out.iter().chain(&found.left_out).cloned().collect();
        return Err(RecipeError::mismatch(
            options.sources_in_words(),
            format!("it holds no row{}", first_of(&left_out)),
        ));
    }
    Ok(Some(found))
}

/// Why there may be too little.
fn first_of(left_out: &[LeftOut]) -> String {
    left_out.first().map_or_else(String::new, |first| {
        format!("; of {}, the first left out is `{}`: {}", left_out.len(), shown(&first.name), first.reason)
    })
}
