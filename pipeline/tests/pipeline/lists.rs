//! Columns of lists and structs of them, whichever way they are stored.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int32Array, Int64Array, LargeListArray, ListArray,
    RecordBatch, StringArray, StructArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field};
use millstream_pipeline::{Dataset, Value};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use serde_json::{Value as Json, json};

/// Rows as JSON: their length and content differ, and some are null or empty.
fn boxes(row: usize) -> Option<Vec<[f64; 4]>> {
    let number = |index: usize| [0, 1, 2, 3].map(|part| (row * 100 + index * 10 + part) as f64 / 4.0);
    (row % 7 != 3).then(|| (0..row * row % 5).map(number).collect())
}

fn offsets<T>(lists: &[Option<Vec<T>>]) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
    let lengths = lists.iter().map(|list| list.as_ref().map_or(0, Vec::len));
    (OffsetBuffer::from_lengths(lengths), Some(lists.iter().map(Option::is_some).collect()))
}

fn item(values: &ArrayRef) -> Arc<Field> {
    Arc::new(Field::new("element", values.data_type().clone(), true))
}

fn list<T>(lists: &[Option<Vec<T>>], values: ArrayRef) -> ArrayRef {
    let (offsets, nulls) = offsets(lists);
    Arc::new(ListArray::new(item(&values), offsets, values, nulls))
}

fn columns(rows: usize) -> Vec<(&'static str, ArrayRef)> {
    let lists: Vec<_> = (0..rows).map(boxes).collect();
    let flat: Vec<f64> = lists.iter().flatten().flatten().flatten().copied().collect();
    let count = flat.len() / 4;
    let numbers: ArrayRef = Arc::new(Float32Array::from_iter_values(flat.iter().map(|number| *number as f32)));
    let fours = OffsetBuffer::from_lengths(std::iter::repeat_n(4, count));
    let inner: ArrayRef = Arc::new(ListArray::new(item(&numbers), fours, numbers, None));
    let doubles: ArrayRef = Arc::new(Float64Array::from(flat));
    let fixed: ArrayRef = Arc::new(FixedSizeListArray::new(item(&doubles), 4, doubles, None));
    let classes: ArrayRef =
        Arc::new(Int32Array::from_iter((0..count).map(|index| (index % 9 != 8).then_some(index as i32 % 3))));
    let names: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..count).map(|index| format!("a name that is long {}", index % 3))));
    let nested = list(&lists, Arc::clone(&inner));
    let (of_rows, nulls) = offsets(&lists);
    let large = LargeListArray::new(
        item(&fixed),
        OffsetBuffer::from_lengths(lists.iter().map(|list| list.as_ref().map_or(0, Vec::len))),
        Arc::clone(&fixed),
        nulls.clone(),
    );
    let plain = ListArray::new(item(&classes), of_rows.clone(), Arc::clone(&classes), None);
    let objects = StructArray::from(vec![
        (Arc::new(Field::new("bbox", nested.data_type().clone(), true)), Arc::clone(&nested)),
        (Arc::new(Field::new("category", plain.data_type().clone(), true)), Arc::new(plain) as ArrayRef),
    ]);
    let of_list = StructArray::from(vec![
        (Arc::new(Field::new("bbox", fixed.data_type().clone(), true)), Arc::clone(&fixed)),
        (Arc::new(Field::new("name", DataType::Utf8, true)), Arc::clone(&names)),
    ]);
    vec![
        ("label", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row as i64)))),
        ("nested", nested),
        ("objects", Arc::new(objects)),
        ("structs", list(&lists, Arc::new(of_list))),
        ("large", Arc::new(large)),
        ("names", list(&lists, names)),
    ]
}

/// What each column must hold in a row.
fn wanted(rows: usize) -> Vec<Json> {
    let mut index = 0;
    let row = |row: usize| {
        let list = boxes(row);
        let from = index;
        index += list.as_ref().map_or(0, Vec::len);
        let all = from..index;
        let class = |index: usize| if index % 9 == 8 { Json::Null } else { json!(index % 3) };
        let name = |index: usize| json!(format!("a name that is long {}", index % 3));
        let of = |each: &dyn Fn(usize) -> Json| list.as_ref().map(|_| all.clone().map(each).collect::<Vec<_>>());
        let numbers = |index: usize| json!(list.as_ref().unwrap()[index - from]);
        json!({
            "label": row, "nested": list, "large": list,
            "objects": {"bbox": list, "category": of(&class).unwrap_or_default()},
            "structs": of(&|index| json!({"bbox": numbers(index), "name": name(index)})),
            "names": of(&name),
        })
    };
    (0..rows).map(row).collect()
}

fn as_json(value: Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Text(text) => json!(text),
        Value::Signed(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::List(list) => list.iter().map(as_json).collect(),
        Value::Struct(fields) => {
            Json::Object(fields.iter().map(|(name, value)| (name.to_owned(), as_json(value))).collect())
        }
        other => panic!("{other:?}"),
    }
}

/// How files are written: pages of a few values, so that rows go on in the next.
fn ways() -> Vec<(&'static str, WriterPropertiesBuilder)> {
    let pages = || WriterProperties::builder().set_data_page_size_limit(64).set_write_batch_size(3);
    let v2 = WriterVersion::PARQUET_2_0;
    vec![
        ("plain", WriterProperties::builder()),
        ("pages", pages().set_dictionary_enabled(false)),
        ("no index", pages().set_offset_index_disabled(true)),
        ("version 2", pages().set_writer_version(v2).set_compression(Compression::SNAPPY)),
        (
            "version 2 without index",
            pages().set_writer_version(v2).set_offset_index_disabled(true).set_dictionary_enabled(false),
        ),
        ("groups", pages().set_max_row_group_row_count(Some(37)).set_compression(Compression::SNAPPY)),
    ]
}

fn write(path: &Path, rows: usize, properties: WriterPropertiesBuilder) -> Dataset {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns(rows).into_iter().map(|(name, array)| (name, array, true)))
            .unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    Dataset::open(path.to_str().unwrap(), Path::new("/")).unwrap()
}

#[test]
fn lists_are_read_whichever_way_they_are_stored() {
    const ROWS: usize = 600;
    let folder = tempfile::tempdir().unwrap();
    let wanted = wanted(ROWS);
    let names: Vec<String> = columns(1).iter().map(|(name, _)| (*name).to_owned()).collect();
    for (way, properties) in ways() {
        let dataset = write(&folder.path().join("a.parquet"), ROWS, properties);
        let found = |values: &[Value<'_>]| -> Json {
            Json::Object(names.iter().cloned().zip(values.iter().copied().map(as_json)).collect())
        };
        let mut row = 0;
        dataset
            .each_row(&names, |values| {
                let values: Vec<Value<'_>> = (0..values.len()).map(|column| values.get(column)).collect();
                assert_eq!(found(&values), wanted[row], "{way}: row {row}");
                row += 1;
            })
            .unwrap();
        assert_eq!(row, ROWS, "{way}");
        for row in (0..ROWS).step_by(7).chain([ROWS - 1]) {
            let read = dataset.read_row(&dataset.row_at(row as u64), &names).unwrap();
            let values: Vec<Value<'_>> = names.iter().map(|name| read.get(name).unwrap()).collect();
            assert_eq!(found(&values), wanted[row], "{way}: row {row} alone");
        }
    }
}
