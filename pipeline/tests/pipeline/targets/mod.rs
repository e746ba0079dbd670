//! Boxes and points in images, through streams.

mod boxes;
mod damage;
mod followed;
mod key_points;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema};
use millstream_pipeline::encodings::{self, Encoders, StreamFacts, WantedTensor};
use millstream_pipeline::{Batches, Dataset, Drawn, MarkReader, PipelineError, StreamOptions};
use millstream_schemas::recipe::{DamagedPolicy, OrderStrength};
use millstream_schemas::{Batch, Choice, TensorRole};
use millstream_transforms::{Chain, DrawKey, ImageDrawing, ImageFacts, Kind, Target, table};
use serde_json::{Value as Json, json};

use crate::corpus::{chain, image_columns, png, with_causes};
use crate::json_columns::{column, fields, fixed, list};

/// Width and height of the images of all rows.
const SIZE: (u32, u32) = (60, 44);

/// Rows with an image and a column `marks` of this type.
fn marked(of: &DataType, rows: &[Json], features: Option<Json>) -> Dataset {
    let images: Vec<_> = (0..rows.len()).map(|row| png(SIZE.0, SIZE.1, [row as u8, 100, 200])).collect();
    let images: Vec<_> = images.iter().map(|bytes| (Some(&bytes[..]), Some(0))).collect();
    let [(_, image), _] = image_columns(&images);
    let columns = [("image", image), ("marks", column(of, rows))];
    let schema: Vec<_> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let metadata = features.map(|of| ("huggingface".into(), json!({"info": {"features": {"marks": of}}}).to_string()));
    let schema = Schema::new_with_metadata(schema, metadata.into_iter().collect::<HashMap<_, _>>());
    let rows = RecordBatch::try_new(Arc::new(schema), columns.map(|(_, array)| array).to_vec()).unwrap();
    Dataset::from_batches("marks", &[rows], 7).unwrap()
}

fn open(dataset: &Dataset, kind: &str, mut options: Json) -> Result<Encoders, PipelineError> {
    let wanted = |name: &str, role, encoding: Choice| WantedTensor {
        name: name.into(),
        role,
        encoding,
        place: format!("data.{name}"),
    };
    options["column"] = "marks".into();
    let wanted = [
        wanted("pixels", TensorRole::Input, Choice::new("image", json!({"column": "image"}))),
        wanted("targets", TensorRole::Target, Choice::new(kind, options)),
    ];
    Encoders::open(dataset, encodings::standard(), &wanted, &[])
}

fn options(encoders: Encoders, chain: Chain, batch: usize) -> StreamOptions {
    let order = OrderStrength::Sequential;
    StreamOptions { batch, order, workers: 2, seed: 9, ..StreamOptions::new(chain, encoders) }
}

/// All rows as one batch.
fn only(dataset: &Dataset, kind: &str, wanted: Json, transforms: Json) -> Result<Batch, PipelineError> {
    let encoders = open(dataset, kind, wanted)?;
    Batches::open(dataset, options(encoders, chain(transforms), dataset.rows() as usize), None)?
        .next()
        .expect("a batch")
}

fn f32s<'a>(batch: &'a Batch, tensor: &str) -> &'a [f32] {
    batch.tensors[tensor].as_f32().unwrap()
}

fn i64s<'a>(batch: &'a Batch, tensor: &str) -> &'a [i64] {
    batch.tensors[tensor].as_i64().unwrap()
}
