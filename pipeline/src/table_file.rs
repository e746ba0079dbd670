use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use millstream_schemas::features::image_storage;
use millstream_schemas::files::NewFile;
use millstream_schemas::shown_up_to;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use crate::PipelineError;
use crate::sources::read_footer;
use crate::stores::Storage;

/// Rows in a row group.
const ROWS_A_GROUP: usize = 1 << 16;

/// How a Parquet file is laid out.
#[derive(Clone, Debug)]
pub struct TableSettings {
    /// Rows of a row group at most.
    pub rows_a_group: usize,
    /// Entries of the file's own metadata, beside those of the schema.
    pub metadata: Vec<(String, String)>,
}

impl Default for TableSettings {
    fn default() -> Self {
        Self { rows_a_group: ROWS_A_GROUP, metadata: Vec::new() }
    }
}

/// Writes a Parquet file, batch after batch; the file is there when it is finished, and not before.
///
/// Every file has the page index. Encoded images are stored as they are: they are compressed already.
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
        Self::create_with(path, schema, &TableSettings::default())
    }

    /// Begins a file that is laid out so.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create_with(path: &Path, schema: SchemaRef, settings: &TableSettings) -> Result<Self, PipelineError> {
        let of_schema = schema.metadata().iter().map(|(key, value)| (key.clone(), value.clone()));
        let mut entries: Vec<(String, String)> = of_schema.chain(settings.metadata.iter().cloned()).collect();
        entries.sort();
        let entries: Vec<KeyValue> = entries.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(settings.rows_a_group.max(1)))
            .set_key_value_metadata(Some(entries));
        for column in image_columns(&schema) {
            properties = properties
                .set_column_compression(column.clone(), Compression::UNCOMPRESSED)
                .set_column_dictionary_enabled(column, false);
        }
        let file = NewFile::create(path).map_err(|error| not_written(path, &error))?;
        let writer =
            ArrowWriter::try_new(file, schema, Some(properties.build())).map_err(|error| not_written(path, &error))?;
        Ok(Self { writer, path: path.to_owned() })
    }

    /// Adds rows, of the schema that it was begun with.
    ///
    /// # Errors
    /// They are of another schema, or cannot be written.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<(), PipelineError> {
        self.writer.write(rows).map_err(|error| not_written(&self.path, &error))
    }

    /// Ends the row group: rows that are added after this are in another one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end_group(&mut self) -> Result<(), PipelineError> {
        self.writer.flush().map_err(|error| not_written(&self.path, &error))
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

/// The encoded images among the columns of a file.
fn image_columns(schema: &Schema) -> Vec<ColumnPath> {
    let column = |field: &Field| match field.data_type() {
        DataType::Struct(_) => {
            image_storage(field.data_type()).map(|_| ColumnPath::new(vec![field.name().clone(), "bytes".to_owned()]))
        }
        _ => None,
    };
    schema.fields().iter().filter_map(|field| column(field)).collect()
}

/// The entry with this key of a Parquet file's own metadata, and the number of its rows; none where it has no such entry.
///
/// # Errors
/// It is no whole Parquet file.
pub fn file_metadata(path: &Path, key: &str) -> Result<Option<(String, u64)>, PipelineError> {
    let footer = read_footer(&Storage::local(path), &path.to_string_lossy())?;
    let file = footer.metadata.file_metadata();
    let mut entries = file.key_value_metadata().into_iter().flatten();
    let value = entries.find(|entry| entry.key == key).and_then(|entry| entry.value.clone());
    Ok(value.map(|value| (value, u64::try_from(file.num_rows()).unwrap_or(0))))
}

fn not_written(path: &Path, error: &dyn std::fmt::Display) -> PipelineError {
    let reason = format!("rows cannot be written: {}", shown_up_to(error.to_string(), 200));
    PipelineError::Entry { path: path.to_owned(), reason }
}
