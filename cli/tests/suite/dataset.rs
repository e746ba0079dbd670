//! Small Parquet datasets in the Hugging Face convention.

use std::collections::HashMap;
use std::fs::File;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field, Fields, Schema};
use image::{ImageFormat, Rgb, RgbImage};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

pub(crate) const CLASSES: [&str; 3] = ["red", "green", "blue"];

/// One row: an encoded image and its label.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) image: Option<Vec<u8>>,
    pub(crate) label: i64,
}

/// Pictures whose strongest colour is their class.
pub(crate) fn rows(first: usize, count: usize) -> Vec<Row> {
    (first..first + count).map(|number| Row { image: Some(picture(number)), label: (number % 3) as i64 }).collect()
}

fn picture(number: usize) -> Vec<u8> {
    let class = number % 3;
    let image = RgbImage::from_fn(20, 24, |x, y| {
        let grain = (x as usize * 7 + y as usize * 13 + number * 29) % 90;
        let mut pixel = [60 + grain as u8; 3];
        pixel[class] = 130 + grain as u8;
        Rgb(pixel)
    });
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Writes the first rows of a file of the corpus in one row group.
pub(crate) fn write_first(source: &Path, rows: usize, path: &Path) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(source).unwrap()).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), reader.schema().clone(), None).unwrap();
    for batch in reader.with_limit(rows).build().unwrap() {
        writer.write(&batch.unwrap()).unwrap();
    }
    writer.close().unwrap();
}

/// Writes rows in row groups of 8.
pub(crate) fn write(path: &Path, rows: &[Row]) {
    write_columns(path, &columns(rows), true);
}

/// The columns `image` and `label` of these rows.
pub(crate) fn columns(rows: &[Row]) -> Vec<(&'static str, ArrayRef)> {
    let bytes: BinaryArray = rows.iter().map(|row| row.image.as_deref()).collect();
    let path: StringArray = rows.iter().map(|_| None::<&str>).collect();
    let fields: Fields =
        vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)].into();
    let image = StructArray::new(fields, vec![Arc::new(bytes), Arc::new(path)], None);
    let label: Int64Array = rows.iter().map(|row| Some(row.label)).collect();
    vec![("image", Arc::new(image)), ("label", Arc::new(label))]
}

/// The same labels in a narrower type: a shard that another program wrote.
pub(crate) fn narrow_labels(rows: &[Row]) -> ArrayRef {
    let labels: Int32Array = rows.iter().map(|row| i32::try_from(row.label).ok()).collect();
    Arc::new(labels)
}

/// Writes rows of the columns `image` and `label` in one row group, uncompressed.
pub(crate) fn write_one_group(path: &Path, rows: &[Row]) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(rows.len())).build();
    write_table_as(path, &columns(rows), Some(&CLASSES), properties);
}

/// Writes rows with other class names.
pub(crate) fn write_named(path: &Path, rows: &[Row], classes: &[&str]) {
    write_table(path, &columns(rows), Some(classes));
}

/// Writes any columns; with class names in the metadata or without.
pub(crate) fn write_columns(path: &Path, columns: &[(&str, ArrayRef)], named: bool) {
    write_table(path, columns, named.then_some(&CLASSES));
}

/// Writes any columns as a program does that notes nothing of what is in them.
pub(crate) fn write_without_statistics(path: &Path, columns: &[(&str, ArrayRef)]) {
    let properties = WriterProperties::builder().set_statistics_enabled(EnabledStatistics::None).build();
    write_table_as(path, columns, Some(&CLASSES), properties);
}

fn write_table(path: &Path, columns: &[(&str, ArrayRef)], classes: Option<&[&str]>) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(8)).build();
    write_table_as(path, columns, classes, properties);
}

fn write_table_as(path: &Path, columns: &[(&str, ArrayRef)], classes: Option<&[&str]>, properties: WriterProperties) {
    let fields: Vec<_> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let features = classes.map(|classes| {
        let label = format!(r#"{{"names": {classes:?}, "_type": "ClassLabel"}}"#);
        let features = format!(r#"{{"info": {{"features": {{"image": {{"_type": "Image"}}, "label": {label}}}}}}}"#);
        ("huggingface".to_owned(), features)
    });
    let metadata = features.into_iter().collect::<HashMap<_, _>>();
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    let batch = RecordBatch::try_new(schema.clone(), columns.iter().map(|(_, array)| array.clone()).collect()).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), schema, Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}
