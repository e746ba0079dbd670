use std::path::Path;

use millstream_pipeline::arrow_schema::SchemaRef;
use millstream_pipeline::{TableFile, TableSettings};
use millstream_schemas::shown;

use super::layout::Layout;
use super::output_folder::KEY;
use super::row_reader::{RowFault, RowReader};
use super::scan::{Progress, ScannedRow};
use super::shards::Shard;
use super::source_files::SourceFiles;
use super::values::{Value, record_batch};
use crate::{RecipeError, Stop};

/// Of a row group: rows, of images and of others, and bytes.
const IMAGES_A_GROUP: usize = 256;
const ROWS_A_GROUP: usize = 1 << 16;
const BYTES_A_GROUP: u64 = 32 << 20;

/// What files are made of.
pub(super) struct Written<'a> {
    pub(super) layout: &'a Layout,
    pub(super) files: &'a SourceFiles,
    /// All rows that are used, by their places in the layout, with what was found of them.
    pub(super) rows: &'a [(usize, ScannedRow)],
    pub(super) schema: &'a SchemaRef,
}

impl Written<'_> {
    /// Writes a file; rows are read when it is their turn. False where it was stopped, and nothing of it is there.
    ///
    /// # Errors
    /// A row is not any more what it was, or the file cannot be written.
    pub(super) fn write(
        &self,
        reader: &mut RowReader<'_>,
        shard: &Shard,
        folder: &Path,
        told: &mut (u64, u64),
        progress: &mut Progress<'_>,
        stop: &Stop,
    ) -> Result<bool, RecipeError> {
        let rows_a_group = if self.layout.has_images() { IMAGES_A_GROUP } else { ROWS_A_GROUP };
        let metadata = vec![(KEY.to_owned(), shard.fingerprint.clone())];
        let settings = TableSettings { rows_a_group, metadata };
        let path = folder.join(&shard.file);
        let mut file = TableFile::create_with(&path, self.schema.clone(), &settings)?;
        let (mut waiting, mut bytes): (Vec<Vec<Value>>, u64) = (Vec::new(), 0);
        for at in &shard.rows {
            if stop.is_requested() {
                return Ok(false);
            }
            let (place, scanned) = &self.rows[*at];
            let row = &self.layout.rows[*place];
            if !waiting.is_empty() && (waiting.len() == rows_a_group || bytes + scanned.bytes > BYTES_A_GROUP) {
                self.group(&mut file, &mut waiting)?;
                bytes = 0;
            }
            let changed = |reason: &str| {
                let name = shown(self.layout.row_name(row, self.files));
                RecipeError::mismatch(name, format!("it changed while it was imported ({reason}); import it again"))
            };
            let mut cells = match reader.read(row) {
                Ok(cells) => cells,
                Err(RowFault::LeftOut(reason)) => return Err(changed(&reason)),
                Err(RowFault::Failed(error)) => return Err(error),
            };
            self.layout.boxes.apply(&mut cells).map_err(|reason| changed(&reason))?;
            if ScannedRow::of(&cells, self.layout.divided_by.as_ref()) != *scanned {
                return Err(changed("other content"));
            }
            waiting.push(cells);
            bytes += scanned.bytes;
            told.0 += 1;
            told.1 += scanned.bytes;
            progress.tell(told.0, told.1);
        }
        self.group(&mut file, &mut waiting)?;
        file.finish()?;
        Ok(true)
    }

    fn group(&self, file: &mut TableFile, waiting: &mut Vec<Vec<Value>>) -> Result<(), RecipeError> {
        if !waiting.is_empty() {
            file.add(&record_batch(waiting, &self.layout.columns, self.schema)?)?;
            waiting.clear();
        }
        Ok(file.end_group()?)
    }
}
