//! Files of one dataset: which are taken, which must be there, and in what they may differ.

use std::path::Path;
use std::sync::Arc;

use crate::corpus::{all, chain, png, write, write_images};
use arrow_array::builder::{BinaryDictionaryBuilder, StringDictionaryBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, DictionaryArray, Float32Array, Float64Array,
    Int8Array, Int32Array, Int64Array, NullArray, StringArray, StringViewArray, StructArray, UInt64Array,
};
use arrow_schema::{Field, Fields};
use millstream_pipeline::encodings::Encoders;
use millstream_pipeline::{Batches, Dataset, PipelineError, SplitRole, StreamOptions};
use millstream_schemas::recipe::{DamagedPolicy, OrderStrength};
use serde_json::json;

const CLASSES: &[&str] = &["cat", "dog"];

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn numbers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// Labels of all rows in file order; damaged ones left out.
fn labels(dataset: &Dataset, columns: &Encoders) -> Vec<i64> {
    let options = StreamOptions {
        order: OrderStrength::Sequential,
        damaged: DamagedPolicy::Skip,
        ..StreamOptions::new(chain(json!([])), columns.clone())
    };
    let batches = all(dataset, &options).unwrap();
    let rows = batches.iter().flat_map(|batch| batch.rows.iter().zip(crate::corpus::labels(batch)));
    rows.filter(|(row, _)| row.is_some()).map(|(_, label)| label).collect()
}

fn first_error(dataset: &Dataset, columns: &Encoders) -> String {
    let options = StreamOptions {
        order: OrderStrength::Sequential,
        workers: 1,
        ..StreamOptions::new(chain(json!([])), columns.clone())
    };
    let errors = match Batches::open(dataset, options, None) {
        Ok(mut batches) => batches.find_map(Result::err),
        Err(error) => Some(error),
    };
    errors.map_or_else(String::new, |error| error.to_string())
}

#[test]
fn string_labels_are_not_changed_by_being_shown() {
    let long = |end: &str| format!("{}{end}", "x".repeat(300));
    let names = [
        "bird's nest",
        "a\tb",
        "a\\b",
        "a\\tb",
        "e\u{301}",
        "\u{e9}",
        "\u{1f469}\u{200d}\u{1f692}",
        "\u{e01}\u{e33}",
        "\u{5e9}\u{5c1}",
        "\"quoted\"",
        "line\nbreak",
        "line\r",
        "\u{202e}x",
        "\u{feff}x",
        "",
        " ",
        "\u{0}",
        "`",
        "a",
        &long("1"),
        &long("2"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<&str> = names.iter().chain(&names).copied().collect();
    write(
        &folder.path().join("a.parquet"),
        &[("text", texts(&vec!["t"; rows.len()])), ("label", texts(&rows))],
        None,
        5,
    );
    let dataset = Dataset::open(".", folder.path()).unwrap();
    let columns = Encoders::standard(&dataset, Some("text"), "label").unwrap();
    let mut sorted = names.map(str::to_owned);
    sorted.sort();
    assert_eq!(columns.classes(), sorted);
    let histogram = dataset.class_histogram(&columns).unwrap();
    assert_eq!((histogram.counts, histogram.out_of_range), (vec![2; names.len()], 0));
    let read: Vec<&str> = labels(&dataset, &columns).iter().map(|&class| sorted[class as usize].as_str()).collect();
    assert_eq!(read, rows);
    // Under the classes of other data, an unknown name is shown, and only then cut and escaped.
    let others = columns.relearned(&dataset, &json!({"targets": {"classes": ["a"]}})).unwrap();
    let message = first_error(&dataset, &others);
    assert!(message.contains("row 0: label `bird's nest` is none of the 1 classes"), "{message}");
}

#[test]
fn only_columns_in_use_are_compared_and_numbers_widen() {
    let text = || ("text", texts(&["a", "b"]));
    let int8 = || Arc::new(Int8Array::from(vec![0, 1])) as ArrayRef;
    let float = |values: [f32; 2]| Arc::new(Float32Array::from(values.to_vec())) as ArrayRef;
    let names = || texts(&["cat", "dog"]);
    type Second<'a> = (Vec<(&'a str, ArrayRef)>, Option<&'a [&'a str]>, Option<&'a str>);
    let rows: Vec<Second<'_>> = vec![
        (vec![text(), ("label", numbers(&[0, 1]))], Some(CLASSES), None),
        (vec![("label", int8()), text()], Some(CLASSES), None),
        (vec![("label", int8()), text()], None, None),
        (vec![text(), ("label", float([0.0, 1.0]))], None, None),
        (vec![text(), ("label", Arc::new(BooleanArray::from(vec![false, true])) as ArrayRef)], None, None),
        (vec![text(), ("label", numbers(&[0, 1])), ("more", int8())], Some(CLASSES), None),
        (
            vec![("extra", names()), ("text", Arc::new(StringViewArray::from(vec!["a", "b"]))), ("label", int8())],
            None,
            None,
        ),
        (
            vec![text(), ("label", names())],
            None,
            Some("`label` differs between files: a.parquet has numbers (Int64), b.parquet has strings (Utf8)"),
        ),
        (vec![text()], None, Some("b.parquet: no column `label`")),
        (vec![("label", int8())], None, Some("b.parquet: no column `text`")),
        (
            vec![text(), ("label", numbers(&[0, 1]))],
            Some(&["cat", "bird"]),
            Some("`label` differs between files: a.parquet has class 1 `dog`, b.parquet has class 1 `bird`"),
        ),
        (
            vec![text(), ("label", numbers(&[0, 1]))],
            Some(&["cat", "dog", "x"]),
            Some("a.parquet has 2 classes, b.parquet has class 2 `x`"),
        ),
    ];
    for (second, classes, wanted) in rows {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("a.parquet"), &[text(), ("label", numbers(&[0, 1]))], Some(CLASSES), 5);
        write(&folder.path().join("b.parquet"), &second, classes, 5);
        let dataset = Dataset::open(".", folder.path()).unwrap();
        match (Encoders::standard(&dataset, Some("text"), "label"), wanted) {
            (Ok(columns), None) => {
                assert_eq!(columns.classes(), CLASSES);
                assert_eq!(labels(&dataset, &columns), [0, 1, 0, 1]);
            }
            (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{error}"),
            (got, wanted) => panic!("{wanted:?}: {got:?}"),
        }
    }
}

#[test]
fn class_names_that_only_a_later_shard_declares_are_found() {
    let folder = tempfile::tempdir().unwrap();
    for (name, classes) in [("a", None), ("b", Some(CLASSES)), ("c", None)] {
        let columns = [("text", texts(&["a", "b"])), ("label", numbers(&[0, 1]))];
        write(&folder.path().join(format!("{name}.parquet")), &columns, classes, 5);
    }
    let dataset = Dataset::open(".", folder.path()).unwrap();
    assert_eq!(Encoders::standard(&dataset, None, "label").unwrap().classes(), CLASSES);
    assert!(format!("{:?}", dataset.features()).contains("cat"), "{:?}", dataset.features());
}

#[test]
fn two_columns_of_one_name_are_refused_where_they_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let twice = [("text", texts(&["a"])), ("label", numbers(&[0])), ("label", numbers(&[1])), ("kind", numbers(&[0]))];
    write(&folder.path().join("a.parquet"), &twice, None, 5);
    let dataset = Dataset::open(".", folder.path()).unwrap();
    let message = Encoders::standard(&dataset, None, "label").unwrap_err().to_string();
    assert!(message.starts_with("a.parquet: column `label` occurs twice"), "{message}");
    assert!(Encoders::standard(&dataset, None, "kind").is_ok());
}

#[test]
fn labels_as_any_whole_numbers_and_what_is_none_names_its_row() {
    let dictionary = |values: ArrayRef| {
        let keys = Int32Array::from(vec![Some(1), Some(0), None]);
        Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values).unwrap()) as ArrayRef
    };
    let mut strings = StringDictionaryBuilder::<Int32Type>::new();
    ["dog", "cat", "dog"].iter().for_each(|name| drop(strings.append(name)));
    let float = |values: [f64; 3]| Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
    let large = |values: [u64; 3]| Arc::new(UInt64Array::from(values.to_vec())) as ArrayRef;
    type Row<'a> = (&'a str, ArrayRef, Vec<i64>, &'a str);
    let rows: Vec<Row<'_>> = vec![
        ("whole floats", float([1.0, 0.0, 1.0]), vec![1, 0, 1], ""),
        ("a missing value", float([1.0, f64::NAN, 0.0]), vec![1, 0], "row 1: the label is null"),
        ("a fraction", float([1.0, 0.5, 0.0]), vec![1, 0], "row 1: label 0.5 is no class: wanted a whole number"),
        ("no number", float([1.0, f64::INFINITY, 0.0]), vec![1, 0], "row 1: label inf is no class"),
        ("booleans", Arc::new(BooleanArray::from(vec![true, false, true])), vec![1, 0, 1], ""),
        ("a dictionary of numbers", dictionary(numbers(&[0, 1])), vec![1, 0], "row 2: the label is null"),
        ("a dictionary of strings", Arc::new(strings.finish()), vec![1, 0, 1], ""),
        (
            "the largest number",
            large([1, u64::MAX, 0]),
            vec![1, 0],
            "row 1: label 18446744073709551615 is out of range",
        ),
        ("a large number", numbers(&[0, 1, 4_000_000_000]), vec![0, 1], "row 2: label 4000000000 is out of range"),
        ("a negative number", numbers(&[0, 1, -2]), vec![0, 1], "row 2: label -2 is out of range"),
    ];
    for (name, label, wanted, damage) in rows {
        let folder = tempfile::tempdir().unwrap();
        let columns = [("text", texts(&["a", "b", "c"])), ("label", label)];
        write(&folder.path().join("a.parquet"), &columns, None, 5);
        let dataset = Dataset::open(".", folder.path()).unwrap();
        let columns = Encoders::standard(&dataset, Some("text"), "label").unwrap();
        assert_eq!(columns.classes().len(), 2, "{name}: {:?}", columns.classes());
        assert_eq!(labels(&dataset, &columns), wanted, "{name}");
        let message = first_error(&dataset, &columns);
        assert!(message.contains(damage) && message.is_empty() == damage.is_empty(), "{name}: {message}");
        let histogram = dataset.class_histogram(&columns).unwrap();
        assert_eq!(histogram.counts.iter().sum::<u64>(), wanted.len() as u64, "{name}");
    }
    // Mostly strange numbers are no classes.
    for label in [float([0.1, 0.2, 1.0]), numbers(&[1_700_000_000, 1_700_000_001, 0])] {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("a.parquet"), &[("text", texts(&["a", "b", "c"])), ("label", label)], None, 5);
        let message =
            Encoders::standard(&Dataset::open(".", folder.path()).unwrap(), None, "label").unwrap_err().to_string();
        assert!(message.contains("does not look like a class"), "{message}");
    }
}

#[test]
fn images_in_structs_of_every_kind_are_read_and_shards_may_differ_in_it() {
    let image = png(4, 3, [9, 8, 7]);
    let fields = |columns: Vec<(&str, ArrayRef)>| -> ArrayRef {
        let fields: Fields =
            columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
        Arc::new(StructArray::new(fields, columns.into_iter().map(|column| column.1).collect(), None))
    };
    let mut repeated = BinaryDictionaryBuilder::<Int32Type>::new();
    [&image, &image].iter().for_each(|image| drop(repeated.append(image)));
    let binary = || Arc::new(BinaryArray::from_vec(vec![&image[..], &image])) as ArrayRef;
    let paths = || texts(&["a.png", "b.png"]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("path-of-type-null", fields(vec![("bytes", binary()), ("path", Arc::new(NullArray::new(2)))])),
        ("path-first", fields(vec![("path", paths()), ("bytes", binary())])),
        ("more-fields", fields(vec![("width", numbers(&[4, 4])), ("bytes", binary()), ("caption", paths())])),
        ("views", fields(vec![("bytes", Arc::new(BinaryViewArray::from_iter_values([&image, &image])) as ArrayRef)])),
        ("plain", binary()),
        ("repeated", Arc::new(repeated.finish())),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, column) in &columns {
        let path = folder.path().join(format!("{name}.parquet"));
        write(&path, &[("image", Arc::clone(column)), ("label", numbers(&[0, 1]))], Some(CLASSES), 5);
    }
    let dataset = Dataset::open(".", folder.path()).unwrap();
    let columns = Encoders::standard(&dataset, Some("image"), "label").unwrap();
    let batches = all(&dataset, &StreamOptions::new(chain(json!([])), columns)).unwrap();
    let pixels = batches[0].tensors["input"].as_f32().unwrap();
    assert_eq!(batches[0].len(), 12);
    assert!(pixels[..12 * 36].chunks(36).all(|one| *one == pixels[..36]));
}

#[test]
fn a_column_of_paths_alone_says_that_they_are_not_followed() {
    let fields: Fields = vec![Field::new("path", arrow_schema::DataType::Utf8, true)].into();
    let paths: ArrayRef = Arc::new(StructArray::new(fields, vec![texts(&["a.png", "b.png"])], None));
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a.parquet"), &[("image", paths), ("label", numbers(&[0, 1]))], Some(CLASSES), 5);
    let dataset = Dataset::open(".", folder.path()).unwrap();
    for input in [None, Some("image")] {
        let message = Encoders::standard(&dataset, input, "label").unwrap_err().to_string();
        assert!(
            message.starts_with("a.parquet: column `image` holds paths of image files, and paths are not followed"),
            "{message}"
        );
    }
    // Bytes that are all null are the same in other words.
    let rows = [(None, Some(0)), (None, Some(1))];
    write_images(&folder.path().join("a.parquet"), &rows, Some(CLASSES), 5);
    let dataset = Dataset::open(".", folder.path()).unwrap();
    let columns = Encoders::standard(&dataset, None, "label").unwrap();
    let error = first_error(&dataset, &columns);
    assert!(error.contains("a path alone is not followed"), "{error}");
}

fn write_split(folder: &Path, name: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    write(&path, &[("text", texts(&["a", "b"])), ("label", numbers(&[0, 1]))], Some(CLASSES), 5);
}

#[test]
fn of_a_folder_with_splits_the_one_for_the_role_is_taken_and_said() {
    let folder = tempfile::tempdir().unwrap();
    ["d/train-00000-of-00002.parquet", "d/train-00001-of-00002.parquet", "d/test-00000-of-00001.parquet"]
        .iter()
        .for_each(|name| write_split(folder.path(), name));
    let open = |role| Dataset::open_split(&["d".into()], folder.path(), role).unwrap();
    let train = open(SplitRole::Train);
    assert_eq!(
        train.files().iter().map(|file| &*file.name).collect::<Vec<_>>(),
        ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    );
    let [note] = train.notes() else { panic!("{:?}", train.notes()) };
    assert!(note.contains("the split `train` is taken, 2 of 3 files; left: `test` (1 file)"), "{note}");
    assert_eq!(open(SplitRole::Evaluate).files().len(), 1);
    assert_eq!(Dataset::open("d", folder.path()).unwrap().files().len(), 3);
    // A shard that is gone is missed, whatever else is there.
    std::fs::remove_file(folder.path().join("d/train-00001-of-00002.parquet")).unwrap();
    for pattern in ["d", "d/*.parquet", "d/train-*"] {
        let error = Dataset::open_split(&[pattern.into()], folder.path(), SplitRole::Train).unwrap_err();
        assert!(matches!(error, PipelineError::MissingShards { .. }), "{error}");
        assert!(error.to_string().contains("train-00001-of-00002 is missing"), "{error}");
    }
    assert!(Dataset::open("d/train-00000-of-00002.parquet", folder.path()).is_ok(), "one file by its name");
}

#[test]
fn a_shard_without_rows_decides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let full: [(&str, ArrayRef); 2] = [("text", texts(&["a", "b"])), ("label", numbers(&[0, 1]))];
    // What pandas writes of a frame without rows: columns of no type.
    let empty: [(&str, ArrayRef); 2] = [("text", Arc::new(NullArray::new(0))), ("label", Arc::new(NullArray::new(0)))];
    for names in [["a", "b"], ["b", "a"]] {
        let folder = folder.path().join(names[0]);
        std::fs::create_dir(&folder).unwrap();
        write(&folder.join(format!("{}.parquet", names[0])), &full, Some(CLASSES), 2);
        write(&folder.join(format!("{}.parquet", names[1])), &empty, None, 2);
        let dataset = Dataset::open(".", &folder).unwrap();
        let columns = Encoders::standard(&dataset, None, "label").unwrap();
        assert_eq!((columns.shown_input().unwrap().0, labels(&dataset, &columns)), ("text", vec![0, 1]));
    }
}

#[test]
#[cfg(unix)]
fn a_file_under_several_names_and_copies_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(&path("a.parquet"), &[("text", texts(&["a", "b"])), ("label", numbers(&[0, 1]))], Some(CLASSES), 2);
    std::os::unix::fs::symlink("a.parquet", path("b.parquet")).unwrap();
    std::fs::hard_link(path("a.parquet"), path("c.parquet")).unwrap();
    std::fs::copy(path("a.parquet"), path("d.parquet")).unwrap();
    let dataset = Dataset::open(".", folder.path()).unwrap();
    let names: Vec<_> = dataset.files().iter().map(|file| &*file.name).collect();
    assert_eq!((names, dataset.rows()), (vec!["a.parquet", "b.parquet", "c.parquet", "d.parquet"], 8));
    let copies: Vec<_> = dataset.copies().unwrap().into_iter().map(|file| (file.second, file.first)).collect();
    let of_first = ["b.parquet", "c.parquet", "d.parquet"].map(|name| (name.into(), "a.parquet".into()));
    assert_eq!(copies, of_first);
}
