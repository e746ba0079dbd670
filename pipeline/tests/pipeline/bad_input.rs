//! Bad input gives an error that names the place, or is counted under the policy that was asked for.

use std::path::Path;
use std::sync::Arc;

use crate::corpus::{all, chain, png, write, write_images};
use arrow_array::{ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, LargeBinaryArray, StringArray};
use millstream_pipeline::{Batches, Dataset, PipelineError, StreamOptions};
use millstream_schemas::recipe::{ByteSize, DamagedPolicy, OrderStrength};
use serde_json::json;

const CLASSES: &[&str] = &["cat", "dog"];

fn options(dataset: &Dataset) -> StreamOptions {
    let columns = dataset.resolve_columns(None, "label").unwrap();
    let chain = chain(json!([{"resize": {"width": 4, "height": 4}}]));
    StreamOptions { batch: 4, order: OrderStrength::Sequential, workers: 2, ..StreamOptions::new(chain, columns) }
}

/// Twelve good rows in row groups of 5, with some replaced.
fn with_rows(folder: &Path, replaced: &[(usize, crate::corpus::ImageRow<'_>)]) -> Dataset {
    let good = png(8, 6, [10, 20, 30]);
    let mut rows: Vec<crate::corpus::ImageRow<'_>> = (0..12).map(|row| (Some(&good[..]), Some(row % 2))).collect();
    replaced.iter().for_each(|(row, content)| rows[*row] = *content);
    write_images(&folder.join("a.parquet"), &rows, Some(CLASSES), 5);
    Dataset::open("a.parquet", folder).unwrap()
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn nothing_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    std::fs::write(folder.path().join("zero.parquet"), "").unwrap();
    write(
        &folder.path().join("rowless.parquet"),
        &[("text", texts(&[])), ("label", Arc::new(Int64Array::from(Vec::<i64>::new())))],
        None,
        5,
    );
    for (pattern, part) in [
        ("missing.parquet", "no Parquet file matches `missing.parquet`"),
        ("empty", "holds no *.parquet file"),
        ("no-*.parquet", "the pattern matches no file"),
        ("zero.parquet", "zero.parquet: not a readable Parquet file: 0 bytes"),
        ("rowless.parquet", "the dataset has no rows: 1 file(s), the first rowless.parquet"),
    ] {
        let message = Dataset::open(pattern, folder.path()).unwrap_err().to_string();
        assert!(message.contains(part), "{pattern}: {message}");
    }
}

#[test]
fn drift_between_files_names_both_and_the_column() {
    let text = || texts(&[Some("a"), Some("b")]);
    let label = || Arc::new(Int64Array::from(vec![0, 1])) as ArrayRef;
    let other = || Arc::new(Float64Array::from(vec![0.0, 1.0])) as ArrayRef;
    let first: Vec<(&str, ArrayRef)> = vec![("text", text()), ("label", label())];
    type Second<'a> = (Vec<(&'a str, ArrayRef)>, Option<&'a [&'a str]>, Option<&'a str>);
    let rows: Vec<Second<'_>> = vec![
        (vec![("text", text()), ("label", label())], Some(CLASSES), None),
        (vec![("label", label()), ("text", text())], Some(CLASSES), None),
        (
            vec![("text", text()), ("label", other())],
            None,
            Some("`label` differs between files: a.parquet has Int64, b.parquet has Float64"),
        ),
        (vec![("text", text())], None, Some("`label` differs")),
        (
            vec![("text", text()), ("label", label()), ("more", label())],
            Some(CLASSES),
            Some("`more` differs between files: a.parquet has no such column, b.parquet has Int64"),
        ),
        (vec![("text", text()), ("label", label())], Some(&["dog", "cat"]), Some("`label` differs")),
    ];
    for (second, classes, wanted) in rows {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("a.parquet"), &first, Some(CLASSES), 5);
        write(&folder.path().join("b.parquet"), &second, classes, 5);
        match (Dataset::open(".", folder.path()), wanted) {
            (Ok(_), None) => {}
            (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{error}"),
            (got, wanted) => panic!("{wanted:?}: {got:?}"),
        }
    }
}

#[test]
fn columns_by_name_and_by_type() {
    let folder = tempfile::tempdir().unwrap();
    let image = png(3, 3, [1, 1, 1]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("title", texts(&[Some("x"), Some("y")])),
        ("body", texts(&[Some("x"), Some("y")])),
        ("photo", Arc::new(BinaryArray::from_vec(vec![&image, &image]))),
        ("large", Arc::new(LargeBinaryArray::from_vec(vec![&image, &image]))),
        ("kind", texts(&[Some("dog"), Some("cat")])),
        ("good", Arc::new(BooleanArray::from(vec![true, false]))),
        ("count", Arc::new(Int64Array::from(vec![2, -1]))),
        ("weight", Arc::new(Float64Array::from(vec![2.0, 1.0]))),
    ];
    write(&folder.path().join("a.parquet"), &columns, None, 5);
    let dataset = Dataset::open("a.parquet", folder.path()).unwrap();
    let classes = |label| dataset.resolve_columns(Some("body"), label).map(|columns| columns.classes);
    assert_eq!(classes("kind").unwrap(), ["cat", "dog"]);
    assert_eq!(classes("good").unwrap(), ["0", "1"]);
    assert_eq!(classes("count").unwrap(), ["0", "1", "2"]);
    assert_eq!(classes("").unwrap(), [""; 0]);
    for (input, label, part) in [
        (None, "kind", "there are several: `title`, `body`"),
        (Some("boddy"), "kind", "no column `boddy`; did you mean `body`?"),
        (Some("body"), "kin", "no column `kin`; did you mean `kind`?"),
        (Some("weight"), "kind", "column `weight` cannot be read as image or text: it is Float64"),
        (Some("body"), "weight", "column `weight` cannot be read as a class"),
    ] {
        let message = dataset.resolve_columns(input, label).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    for photo in ["photo", "large"] {
        let columns = dataset.resolve_columns(Some(photo), "kind").unwrap();
        let options = StreamOptions::new(chain(json!([])), columns);
        let batches = all(&dataset, &options).unwrap();
        assert_eq!(batches[0].inputs["input"].shape, [16, 3, 3, 3]);
        assert_eq!(batches[0].len(), 2);
        // Two string labels, sorted: dog is 1, cat 0.
        let mut labels = batches[0].labels.clone();
        labels.sort();
        assert_eq!(labels[14..], [0, 1]);
    }
}

#[test]
fn damaged_rows_stop_the_stream_with_their_identity() {
    let good = png(8, 6, [10, 20, 30]);
    let cut = &good[..good.len() / 2];
    let rows: [(crate::corpus::ImageRow<'_>, &str); 6] = [
        ((Some(cut), Some(0)), "PNG"),
        ((Some(b"<html>"), Some(0)), "unknown or unsupported format"),
        ((Some(b""), Some(0)), "the image is empty (0 bytes)"),
        ((None, Some(0)), "the input is null"),
        ((Some(&good), None), "the label is null"),
        ((Some(&good), Some(2)), "label 2 is out of range: there are 2 classes"),
    ];
    for (row, part) in rows {
        let folder = tempfile::tempdir().unwrap();
        let dataset = with_rows(folder.path(), &[(6, row), (7, row)]);
        for workers in [1, 3] {
            let options = StreamOptions { workers, ..options(&dataset) };
            let mut batches = Batches::open(&dataset, options, None).unwrap();
            assert_eq!(batches.next().unwrap().unwrap().len(), 4);
            let message = batches.next().unwrap().unwrap_err().to_string();
            assert!(message.starts_with("a.parquet, row group 1, row 1: ") && message.contains(part), "{message}");
            assert!(batches.next().is_none());
        }
    }
}

#[test]
fn damaged_rows_are_skipped_or_quarantined_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let good = png(8, 6, [10, 20, 30]);
    let replaced: [(usize, crate::corpus::ImageRow<'_>); 3] =
        [(2, (Some(b"GIF89a"), Some(0))), (6, (Some(&good), Some(-7))), (7, (Some(&good), Some(-1)))];
    let dataset = with_rows(folder.path(), &replaced);
    let file = folder.path().join("quarantine.jsonl");
    for damaged in [DamagedPolicy::Skip, DamagedPolicy::Quarantine(file.clone())] {
        let mut batches = Batches::open(&dataset, StreamOptions { damaged, ..options(&dataset) }, None).unwrap();
        let got: Vec<_> = batches.by_ref().map(Result::unwrap).collect();
        let sizes: Vec<_> = got.iter().map(|batch| batch.len()).collect();
        assert_eq!(sizes, [3, 3, 4]);
        assert_eq!((batches.counters().rows, batches.counters().skipped), (10, 2));
        // The empty slot stays where the row would have been: zeros and no weight.
        assert!(got[0].rows[2].is_none());
        let pixels = got[0].inputs["input"].as_f32().unwrap();
        assert!(pixels[2 * 48..3 * 48].iter().all(|&value| value == 0.0));
        assert!(pixels[48..2 * 48].iter().all(|&value| value > 0.0));
        assert_eq!(got[0].targets.as_f32().unwrap()[4..6], [0.0, 0.0]);
        // An unlabelled row is there, without weight.
        assert!(got[1].rows[3].is_some());
        assert_eq!((got[1].labels[3], &got[1].targets.as_f32().unwrap()[6..8]), (-1, &[0.0, 0.0][..]));
    }
    let lines = std::fs::read_to_string(&file).unwrap();
    let mut lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["row_group"].as_u64());
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["file"], &lines[0]["row_group"], &lines[0]["row"]),
        (&json!("a.parquet"), &json!(0), &json!(2))
    );
    assert!(lines[1]["reason"].as_str().unwrap().contains("label -7 is out of range"));
}

#[test]
fn a_quarantine_that_cannot_be_written_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = with_rows(folder.path(), &[]);
    let damaged = DamagedPolicy::Quarantine(folder.path().join("no/such/folder.jsonl"));
    let message =
        Batches::open(&dataset, StreamOptions { damaged, ..options(&dataset) }, None).unwrap_err().to_string();
    assert!(message.contains("quarantine file") && message.contains("folder.jsonl"), "{message}");
}

#[test]
fn images_of_other_sizes_are_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let other = png(9, 6, [1, 2, 3]);
    let dataset = with_rows(folder.path(), &[(3, (Some(&other), Some(0)))]);
    let options =
        StreamOptions { chain: chain(json!(["horizontal_flip"])), damaged: DamagedPolicy::Skip, ..options(&dataset) };
    let message = all(&dataset, &options).unwrap_err().to_string();
    assert!(
        message.contains("row group 0, row 3: the image ends at 9×6 pixels, the batch is made for 8×6"),
        "{message}"
    );
    assert!(message.contains("resize"), "{message}");
}

#[test]
fn an_image_beyond_the_ceiling_says_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let large = png(3000, 2000, [1, 2, 3]);
    let dataset = with_rows(folder.path(), &[(3, (Some(&large), Some(0)))]);
    let options = StreamOptions { memory: ByteSize(8 << 20), ..options(&dataset) };
    let Err(PipelineError::Memory { enough, what, .. }) = all(&dataset, &options) else { panic!("it did not fail") };
    assert!(what.contains("3000×2000"), "{what}");
    assert!(all(&dataset, &StreamOptions { memory: enough, ..options }).is_ok());
}

#[test]
fn options_that_make_no_sense() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = with_rows(folder.path(), &[]);
    for (wrong, part) in [
        (StreamOptions { batch: 0, ..options(&dataset) }, "batch: "),
        (StreamOptions { window: 0, ..options(&dataset) }, "window: "),
        (StreamOptions { batch: 13, drop_last: true, ..options(&dataset) }, "12 rows make no batch of 13"),
        (StreamOptions { memory: ByteSize(100), ..options(&dataset) }, "the memory ceiling of 100 B is too small"),
    ] {
        let message = Batches::open(&dataset, wrong, None).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn the_last_batch_is_padded_or_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = with_rows(folder.path(), &[]);
    for (drop_last, wanted) in [(false, vec![5, 5, 2, 5, 5, 2]), (true, vec![5, 5, 5, 5])] {
        let options = StreamOptions { batch: 5, epochs: 2, drop_last, ..options(&dataset) };
        let batches = all(&dataset, &options).unwrap();
        assert_eq!(batches.iter().map(|batch| batch.len()).collect::<Vec<_>>(), wanted);
        assert!(batches.iter().all(|batch| batch.capacity() == 5 && batch.inputs["input"].shape == [5, 3, 4, 4]));
        let last = batches.last().unwrap();
        assert_eq!((last.resume.epoch, last.resume.position), (2, 0));
        assert_eq!((batches[0].resume.epoch, batches[0].resume.position), (0, 5));
        assert!(Batches::open(&dataset, options, Some(&last.resume)).unwrap().next().is_none());
    }
}

#[test]
fn rows_that_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = with_rows(folder.path(), &[]);
    let columns = dataset.resolve_columns(None, "label").unwrap();
    let mut id = dataset.row_at(11);
    assert_eq!(id.to_string(), "a.parquet, row group 2, row 1");
    assert!(dataset.read_row(&id, &columns).is_ok());
    id.row = 2;
    let message = dataset.read_row(&id, &columns).unwrap_err().to_string();
    assert_eq!(message, "a.parquet, row group 2, row 2: there is no such row in the dataset");
    let histogram = dataset.class_histogram(&columns).unwrap();
    assert_eq!((histogram.counts, histogram.unlabelled), (vec![6, 6], 0));
}
