//! What several tests share: the corpus, and small datasets made on the spot.
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field, Fields, Schema};
use millstream_pipeline::{Batches, Dataset, PipelineError, StreamOptions};
use millstream_schemas::Batch;
use millstream_schemas::Choice;
use millstream_transforms::Chain;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};

/// The corpus folder, or a line that says that the test was left out.
pub(crate) fn corpus(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("MILLSTREAM_CORPUS").map(PathBuf::from);
    if folder.is_none() {
        println!("{test}: left out, MILLSTREAM_CORPUS is not set");
    }
    // Tests run in their package's folder, the variable is written for the workspace's.
    folder.map(|folder| if folder.is_dir() { folder } else { Path::new("..").join(folder) })
}

/// The real handwritten digits that come with the repository: 8×8 pixels.
pub(crate) fn digits() -> Dataset {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits/data");
    Dataset::open("digits-pretrain-train-*.parquet", &folder).unwrap()
}

/// Two files of 8×6 images, the second without a page index, and [`DAMAGED`] rows that cannot be used.
pub(crate) fn damaged(folder: &Path) -> Dataset {
    let good: Vec<_> = (0..90).map(|row| png(8, 6, [row, 255 - row, 77])).collect();
    let mut rows: Vec<ImageRow<'_>> = (0..).zip(&good).map(|(row, image)| (Some(&image[..]), Some(row % 2))).collect();
    rows[3].1 = Some(5);
    rows[17].0 = Some(b"GIF89a");
    rows[18].0 = None;
    rows[44].1 = None;
    rows[71].0 = Some(&good[71][..50]);
    rows[89].0 = Some(b"");
    let classes = Some(&["even", "odd"][..]);
    write_images(&folder.join("a.parquet"), &rows[..40], classes, 7);
    let properties = pages_of_four().set_max_row_group_row_count(Some(11)).set_offset_index_disabled(true);
    let properties = properties.set_statistics_enabled(EnabledStatistics::None);
    write_with(&folder.join("b.parquet"), &image_columns(&rows[40..]), classes, properties);
    Dataset::open(".", folder).unwrap()
}

/// Rows of [`damaged`] that cannot be used.
pub(crate) const DAMAGED: u64 = 6;

/// An error with what caused it.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A chain from its JSON.
pub(crate) fn chain(specs: serde_json::Value) -> Chain {
    let specs: Vec<Choice> = serde_json::from_value(specs).unwrap();
    Chain::parse(&specs).unwrap()
}

/// The chain of the performance figures, at this size.
pub(crate) fn augmentation(size: u32) -> Chain {
    chain(serde_json::json!([
        {"random_resized_crop": {"size": size}},
        {"rotate": {"degrees": 15}},
        "horizontal_flip",
        {"gaussian_noise": {"sigma": 0.05}},
        {"normalize": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}},
    ]))
}

/// Image, path, label.
pub(crate) type ImageRow<'a> = (Option<&'a [u8]>, Option<i64>);

/// Writes images and labels in row groups of `group` rows, in the Hugging Face layout.
pub(crate) fn write_images(path: &Path, rows: &[ImageRow<'_>], classes: Option<&[&str]>, group: usize) {
    let columns = image_columns(rows);
    write(path, &columns, classes, group);
}

/// The columns `image` and `label` in the Hugging Face layout.
pub(crate) fn image_columns(rows: &[ImageRow<'_>]) -> [(&'static str, ArrayRef); 2] {
    let fields: Fields =
        vec![Field::new("path", DataType::Utf8, true), Field::new("bytes", DataType::Binary, true)].into();
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter(rows.iter().map(|row| row.0)));
    let paths: ArrayRef = Arc::new(StringArray::from(vec![Some("x.png"); rows.len()]));
    let image: ArrayRef = Arc::new(StructArray::new(fields, vec![paths, bytes], None));
    let labels: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>());
    [("image", image), ("label", labels)]
}

/// Writes columns in row groups of `group` rows; `classes` name the column `label`.
pub(crate) fn write(path: &Path, columns: &[(&str, ArrayRef)], classes: Option<&[&str]>, group: usize) {
    write_with(path, columns, classes, pages_of_four().set_max_row_group_row_count(Some(group)));
}

/// Pages of four rows.
pub(crate) fn pages_of_four() -> WriterPropertiesBuilder {
    WriterProperties::builder().set_data_page_row_count_limit(4).set_write_batch_size(1)
}

/// The same with other properties of the file.
pub(crate) fn write_with(
    path: &Path,
    columns: &[(&str, ArrayRef)],
    classes: Option<&[&str]>,
    properties: WriterPropertiesBuilder,
) {
    let fields: Vec<_> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let metadata = classes.map(|names| {
        let label = serde_json::json!({"names": names, "_type": "ClassLabel"});
        ("huggingface".to_owned(), serde_json::json!({"info": {"features": {"label": label}}}).to_string())
    });
    let schema = Schema::new_with_metadata(fields, metadata.into_iter().collect::<HashMap<_, _>>());
    let arrays = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
    let batch = RecordBatch::try_new(Arc::new(schema), arrays).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// A PNG of one colour.
pub(crate) fn png(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
    let image = image::RgbImage::from_pixel(width, height, image::Rgb(colour));
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// The class of each slot; −1 where it has none.
pub(crate) fn labels(batch: &Batch) -> Vec<i64> {
    (0..batch.capacity()).map(|slot| batch.class("targets", slot).map_or(-1, |class| class as i64)).collect()
}

/// Everything that a stream must reproduce, as comparable text and bits.
pub(crate) fn signature(batch: &Batch) -> (Vec<String>, Vec<u32>) {
    let rows = batch.rows.iter().zip(labels(batch)).map(|(row, label)| format!("{row:?} {label}"));
    let texts = batch.tensors.values().filter_map(|tensor| tensor.as_text()).flatten().cloned();
    let resume = format!("{:?}", batch.resume);
    let tensors = batch.tensors.values().filter_map(|tensor| tensor.as_f32());
    let bits = tensors.flatten().map(|value| value.to_bits()).collect();
    (rows.chain(texts).chain([resume]).collect(), bits)
}

/// Reads a stream to its end.
pub(crate) fn all(dataset: &Dataset, options: &StreamOptions) -> Result<Vec<Batch>, PipelineError> {
    Batches::open(dataset, options.clone(), None)?.collect()
}
