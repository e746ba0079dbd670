use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use millstream_schemas::files::NewFile;
use millstream_schemas::shown_up_to;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::PipelineError;

/// Rows in a row group.
const ROWS_A_GROUP: usize = 1 << 16;

/// Writes a Parquet file, batch after batch; the file is there when it is finished, and not before.
pub struct TableFile {
    writer: ArrowWriter<NewFile>,
    path: PathBuf,
}

impl TableFile {
    /// Begins a file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: &Path, schema: SchemaRef) -> Result<Self, PipelineError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROWS_A_GROUP))
            .build();
        let file = NewFile::create(path).map_err(|error| not_written(path, &error))?;
        let writer = ArrowWriter::try_new(file, schema, Some(properties)).map_err(|error| not_written(path, &error))?;
        Ok(Self { writer, path: path.to_owned() })
    }

    /// Adds rows, of the schema that it was begun with.
    ///
    /// # Errors
    /// They are of another schema, or cannot be written.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<(), PipelineError> {
        self.writer.write(rows).map_err(|error| not_written(&self.path, &error))
    }

    /// Lets the file take its name.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> Result<(), PipelineError> {
        let Self { writer, path } = self;
        let file = writer.into_inner().map_err(|error| not_written(&path, &error))?;
        file.commit().map_err(|error| not_written(&path, &error))
    }
}

fn not_written(path: &Path, error: &dyn std::fmt::Display) -> PipelineError {
    let reason = format!("rows cannot be written: {}", shown_up_to(error.to_string(), 200));
    PipelineError::Entry { path: path.to_owned(), reason }
}
