//! Bad input gives an error that names the place, or is counted under the policy that was asked for.

use std::path::Path;
use std::sync::Arc;

use crate::corpus::{DAMAGED, all, chain, damaged, labels, png, write, write_images};
use arrow_array::{ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, LargeBinaryArray, StringArray};
use millstream_pipeline::encodings::Encoders;
use millstream_pipeline::{Batches, Damage, Dataset, PipelineError, StreamOptions};
use millstream_schemas::RowId;
use millstream_schemas::recipe::{ByteSize, DamagedPolicy, OrderStrength};
use serde_json::json;

const CLASSES: &[&str] = &["cat", "dog"];

fn options(dataset: &Dataset) -> StreamOptions {
    let columns = Encoders::standard(dataset, None, "label").unwrap();
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
        ("rowless.parquet", "the dataset has no rows: 1 file, the first rowless.parquet"),
    ] {
        let message = Dataset::open(pattern, folder.path()).unwrap_err().to_string();
        assert!(message.contains(part), "{pattern}: {message}");
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
    let classes = |label| Encoders::standard(&dataset, Some("body"), label).map(|columns| columns.classes().to_vec());
    assert_eq!(classes("kind").unwrap(), ["cat", "dog"]);
    assert_eq!(classes("good").unwrap(), ["0", "1"]);
    assert_eq!(classes("count").unwrap(), ["0", "1", "2"]);
    assert_eq!(classes("weight").unwrap(), ["0", "1", "2"]);
    assert_eq!(classes("").unwrap(), [""; 0]);
    for (input, label, part) in [
        (None, "kind", "there are several: `title`, `body`"),
        (Some("boddy"), "kind", "no column `boddy`; did you mean `body`?"),
        (Some("body"), "kin", "no column `kin`; did you mean `kind`?"),
        (Some("weight"), "kind", "column `weight` cannot be read as image or text: it is Float64"),
        (Some("body"), "photo", "column `photo` cannot be read as a class"),
    ] {
        let message = Encoders::standard(&dataset, input, label).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    for photo in ["photo", "large"] {
        let columns = Encoders::standard(&dataset, Some(photo), "kind").unwrap();
        let options = StreamOptions::new(chain(json!([])), columns);
        let batches = all(&dataset, &options).unwrap();
        assert_eq!(batches[0].tensors["input"].shape, [16, 3, 3, 3]);
        assert_eq!(batches[0].len(), 2);
        // Two string labels, sorted: dog is 1, cat 0.
        let mut labels = labels(&batches[0]);
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
            assert!(
                message.starts_with("`x.png` (a.parquet, row group 1, row 1): ") && message.contains(part),
                "{message}"
            );
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
    for damaged in [DamagedPolicy::Skip, DamagedPolicy::Quarantine(Some(file.clone()))] {
        let mut batches = Batches::open(&dataset, StreamOptions { damaged, ..options(&dataset) }, None).unwrap();
        let got: Vec<_> = batches.by_ref().map(Result::unwrap).collect();
        let sizes: Vec<_> = got.iter().map(|batch| batch.len()).collect();
        assert_eq!(sizes, [3, 3, 4]);
        assert_eq!((batches.counters().rows, batches.counters().skipped), (10, 2));
        // The empty slot stays where the row would have been: zeros and no weight.
        assert!(got[0].rows[2].is_none());
        let pixels = got[0].tensors["input"].as_f32().unwrap();
        assert!(pixels[2 * 48..3 * 48].iter().all(|&value| value == 0.0));
        assert!(pixels[48..2 * 48].iter().all(|&value| value > 0.0));
        assert_eq!(got[0].tensors["targets"].as_f32().unwrap()[4..6], [0.0, 0.0]);
        // An unlabelled row is there, without weight.
        assert!(got[1].rows[3].is_some());
        assert_eq!((labels(&got[1])[3], &got[1].tensors["targets"].as_f32().unwrap()[6..8]), (-1, &[0.0, 0.0][..]));
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
    let damaged = DamagedPolicy::Quarantine(Some(folder.path().join("no/such/folder.jsonl")));
    let message =
        Batches::open(&dataset, StreamOptions { damaged, ..options(&dataset) }, None).unwrap_err().to_string();
    assert!(message.contains("quarantine file") && message.contains("folder.jsonl"), "{message}");
}

#[test]
fn a_run_that_leaves_nothing_out_makes_no_quarantine_file() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = with_rows(folder.path(), &[]);
    let file = folder.path().join("quarantine.jsonl");
    let damaged = DamagedPolicy::Quarantine(Some(file.clone()));
    assert_eq!(all(&dataset, &StreamOptions { damaged, ..options(&dataset) }).unwrap().len(), 3);
    let names: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["a.parquet"]);
}

#[test]
fn a_file_that_is_no_quarantine_is_refused_and_kept_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = damaged(folder.path());
    let own = [
        ("notes.txt", "my own notes"),
        ("one.json", r#"{"path":"/my/own"}"#),
        ("written.json", "{\n  \"path\": \"/my/own\"\n}\n"),
        ("begun.json", "{\n"),
        ("blank.txt", "\n"),
    ];
    own.iter().for_each(|(name, text)| std::fs::write(folder.path().join(name), text).unwrap());
    for name in own.iter().map(|(name, _)| *name).chain(["a.parquet"]) {
        let file = folder.path().join(name);
        let before = std::fs::read(&file).unwrap();
        let damaged = DamagedPolicy::Quarantine(Some(file.clone()));
        let error = Batches::open(&dataset, StreamOptions { damaged, ..options(&dataset) }, None).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.to_string().contains(name) && source.contains("name another file"), "{error}: {source}");
        assert!(std::fs::read(&file).unwrap() == before, "{name}");
    }
}

#[test]
fn two_runs_that_share_a_quarantine_file_note_each_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = damaged(folder.path());
    let file = folder.path().join("shared.jsonl");
    let options = StreamOptions { damaged: DamagedPolicy::Quarantine(Some(file.clone())), ..options(&dataset) };
    let run = || Batches::open(&dataset, options.clone(), None).unwrap();
    let (mut one, mut other) = (run(), run());
    while let (Some(mine), Some(theirs)) = (one.next(), other.next()) {
        drop((mine.unwrap(), theirs.unwrap()));
    }
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| run().for_each(|batch| drop(batch.unwrap())));
        }
    });
    let mut rows = quarantined(&file);
    rows.sort();
    rows.dedup();
    assert_eq!((rows.len() as u64, quarantined(&file).len() as u64), (DAMAGED, DAMAGED));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_while_rows_are_noted_ends_the_stream_with_the_file_named() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = damaged(folder.path());
    let damaged = DamagedPolicy::Quarantine(Some("/dev/full".into()));
    let message = all(&dataset, &StreamOptions { damaged, ..options(&dataset) }).unwrap_err().to_string();
    assert_eq!(message, "cannot write the quarantine file /dev/full");
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
    let error = all(&dataset, &options).unwrap_err();
    let message = error.to_string();
    assert!(
        message.starts_with("`x.png` (a.parquet, row group 0, row 3): an image of 3000×2000 pixels needs"),
        "{message}"
    );
    let PipelineError::Damaged { damage: Damage::Memory { enough, .. }, .. } = error else { panic!("{message}") };
    assert!(all(&dataset, &StreamOptions { memory: enough, ..options }).is_ok());
}

#[test]
fn one_image_that_is_too_large_does_not_end_a_stream_that_skips() {
    let large = png(3000, 2000, [1, 2, 3]);
    let wide = png(millstream_transforms::LARGEST_SIDE + 1, 1, [1, 2, 3]);
    let first = [(0, (Some(&wide[..]), Some(0)))];
    let folder = tempfile::tempdir().unwrap();
    let dataset = with_rows(folder.path(), &[(3, (Some(&large), Some(0))), (7, (Some(&wide), Some(1)))]);
    for workers in [1, 2, 4] {
        let options =
            StreamOptions { memory: ByteSize(8 << 20), damaged: DamagedPolicy::Skip, workers, ..options(&dataset) };
        let mut batches = Batches::open(&dataset, options.clone(), None).unwrap();
        assert_eq!(batches.by_ref().map(|batch| batch.unwrap().len()).collect::<Vec<_>>(), [3, 3, 4]);
        assert_eq!(batches.counters().damaged_rows, 2);
        let fail = StreamOptions { memory: ByteSize(1 << 30), damaged: DamagedPolicy::Fail, ..options };
        let message = all(&dataset, &fail).unwrap_err().to_string();
        assert!(
            message.starts_with("`x.png` (a.parquet, row group 1, row 2): an image of 16385×1 pixels"),
            "{message}"
        );
    }
    // Nor does it decide the size of the others.
    let dataset = with_rows(folder.path(), &first);
    let options =
        StreamOptions { damaged: DamagedPolicy::Skip, chain: chain(json!(["horizontal_flip"])), ..options(&dataset) };
    assert_eq!(all(&dataset, &options).unwrap()[0].tensors["input"].shape, [4, 3, 6, 8]);
}

/// The lines of a quarantine file, without the reasons.
fn quarantined(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let row = |line: &str| {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(entry["path"].as_str().unwrap().ends_with(entry["file"].as_str().unwrap()));
        assert!(!entry["reason"].as_str().unwrap().is_empty());
        format!("{} {} {}", entry["file"].as_str().unwrap(), entry["row_group"], entry["row"])
    };
    text.lines().map(row).collect()
}

#[test]
fn what_the_image_of_a_row_is_called_is_read_from_beside_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = with_rows(folder.path(), &[]);
    let row = dataset.row_at(7);
    assert_eq!(dataset.image_name(&row).as_deref(), Some("x.png"));
    assert_eq!(dataset.image_name(&RowId { row: 5, ..row.clone() }), None);
    assert_eq!(dataset.image_name(&RowId { row_group: 9, ..row.clone() }), None);
    assert_eq!(dataset.image_name(&RowId { file: "b.parquet".into(), ..row }), None);
    // there is nothing but texts
    let columns = [("text", texts(&[Some("a")])), ("label", Arc::new(Int64Array::from(vec![0])) as ArrayRef)];
    write(&folder.path().join("texts.parquet"), &columns, None, 5);
    let dataset = Dataset::open("texts.parquet", folder.path()).unwrap();
    assert_eq!(dataset.image_name(&dataset.row_at(0)), None);
}

#[test]
fn a_damaged_row_is_quarantined_once_in_an_order_that_does_not_depend_on_workers() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = damaged(folder.path());
    let run = |workers: usize| {
        let file = folder.path().join(format!("{workers}.jsonl"));
        let options = StreamOptions {
            damaged: DamagedPolicy::Quarantine(Some(file.clone())),
            order: OrderStrength::Windowed,
            epochs: 2,
            workers,
            ..options(&dataset)
        };
        let mut batches = Batches::open(&dataset, options.clone(), None).unwrap();
        let half = dataset.rows().div_ceil(4) as usize;
        let middle = batches.by_ref().take(half).last().unwrap().unwrap().resume;
        let counters = batches.counters();
        assert_eq!((counters.skipped, counters.damaged_rows), (DAMAGED, DAMAGED));
        let after_one_epoch = quarantined(&file);
        batches.by_ref().for_each(|batch| drop(batch.unwrap()));
        let counters = batches.counters();
        assert_eq!((counters.skipped, counters.damaged_rows), (2 * DAMAGED, DAMAGED));
        // A resumed run, and one that is started again, meet the same rows.
        for from in [Some(&middle), None] {
            Batches::open(&dataset, options.clone(), from).unwrap().for_each(|batch| drop(batch.unwrap()));
        }
        assert_eq!(quarantined(&file), after_one_epoch);
        after_one_epoch
    };
    let one = run(1);
    assert_eq!(one.len() as u64, DAMAGED);
    assert_eq!(one, run(2));
    assert_eq!(one, run(4));
}

/// Names of images are looked up for the first thousand lines.
#[test]
fn a_run_that_is_gone_on_with_writes_the_quarantine_lines_of_one_that_never_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let good = png(8, 6, [10, 20, 30]);
    let bad: crate::corpus::ImageRow<'_> = (Some(b"GIF89a"), Some(0));
    let mut rows = vec![bad; 1020];
    rows[0].0 = Some(&good);
    write_images(&folder.path().join("a.parquet"), &rows, Some(CLASSES), 200);
    let dataset = Dataset::open("a.parquet", folder.path()).unwrap();
    let written = |before: &str| {
        let file = folder.path().join("bad.jsonl");
        std::fs::write(&file, before).unwrap();
        let damaged = DamagedPolicy::Quarantine(Some(file.clone()));
        let mut batches = Batches::open(&dataset, StreamOptions { damaged, ..options(&dataset) }, None).unwrap();
        batches.by_ref().for_each(|batch| drop(batch.unwrap()));
        let first = batches.first_unreadable().unwrap();
        assert!(first.0.row == 1 && first.1.starts_with("`x.png`: "), "{first:?}");
        std::fs::read_to_string(file).unwrap()
    };
    let whole = written("");
    let lines: Vec<&str> = whole.lines().collect();
    let is_named = |line: &&&str| line.contains("\"image\":\"x.png\"");
    assert_eq!((lines.len(), lines.iter().filter(is_named).count()), (1019, 1000));
    for stopped_after in [400, 1010] {
        let before = lines[..stopped_after].join("\n") + "\n";
        assert!(written(&before) == whole, "{stopped_after}");
    }
}

#[test]
fn a_quarantine_file_may_hold_other_things_and_end_in_half_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = damaged(folder.path());
    let file = folder.path().join("bad.jsonl");
    let elsewhere = r#"{"path":"/other/a.parquet","file":"a.parquet","row_group":0,"row":3,"reason":"as it was"}"#;
    std::fs::write(&file, format!("{elsewhere}\n{{}}\n\nnote\n{}", &elsewhere[..40])).unwrap();
    let options = StreamOptions { damaged: DamagedPolicy::Quarantine(Some(file.clone())), ..options(&dataset) };
    all(&dataset, &options).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count() as u64, 5 + DAMAGED);
    assert_eq!(text.lines().nth(4).unwrap(), &elsewhere[..40]);
    all(&dataset, &options).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn a_quarantine_file_whose_first_line_was_cut_off_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = damaged(folder.path());
    let file = folder.path().join("bad.jsonl");
    let entry = r#"{"path":"/other/a.parquet","file":"a.parquet","row_group":0,"row":3,"reason":"as it was"}"#;
    let options = StreamOptions { damaged: DamagedPolicy::Quarantine(Some(file.clone())), ..options(&dataset) };
    for cut in [1, 4, 9, 30, entry.len() - 1] {
        std::fs::write(&file, &entry[..cut]).unwrap();
        all(&dataset, &options).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().next(), Some(&entry[..cut]));
        assert_eq!(text.lines().count() as u64, 1 + DAMAGED, "{cut}");
        all(&dataset, &options).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "{cut}");
    }
}

/// Equal in size, schema, statistics and row counts: only the labels themselves tell.
#[test]
fn a_relabelled_file_of_equal_size_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let image = png(4, 4, [1, 2, 3]);
    let open = |swapped: i64| {
        let rows: Vec<_> = (0..12).map(|row| (Some(&image[..]), Some((row + swapped) % 2))).collect();
        crate::corpus::write_images(&folder.path().join("a.parquet"), &rows, Some(CLASSES), 5);
        Dataset::open("a.parquet", folder.path()).unwrap()
    };
    let (then, now) = (open(0), open(1));
    assert_eq!(then.files()[0].bytes, now.files()[0].bytes);
    assert_eq!(then.fingerprint(), now.fingerprint());
    let then = open(0);
    let point = Batches::open(&then, options(&then), None).unwrap().next().unwrap().unwrap().resume;
    let now = open(1);
    let message = Batches::open(&now, options(&now), Some(&point)).unwrap_err().to_string();
    assert!(message.contains("the dataset changed"), "{message}");
}

/// Each page's header used to be looked for in all the rest of the file.
#[cfg(target_os = "linux")]
#[test]
fn a_file_without_page_index_is_not_read_once_for_each_page() {
    let read = || {
        let text = std::fs::read_to_string("/proc/thread-self/io").unwrap();
        text.lines().next().unwrap().rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let texts: Vec<_> = (0..400).map(|row| format!("{row} {}", "words ".repeat(2000 + row))).collect();
    let labels: Vec<_> = (0..400).map(|row| format!("class {}", row % 3)).collect();
    let column = |values: &[String]| Arc::new(StringArray::from_iter_values(values)) as ArrayRef;
    let properties = crate::corpus::pages_of_four().set_offset_index_disabled(true).set_dictionary_enabled(false);
    let properties = properties.set_statistics_enabled(parquet::file::properties::EnabledStatistics::None);
    crate::corpus::write_with(&path, &[("text", column(&texts)), ("label", column(&labels))], None, properties);
    let dataset = Dataset::open("a.parquet", folder.path()).unwrap();
    let before = read();
    let columns = Encoders::standard(&dataset, None, "label").unwrap();
    for index in [0, 200, 399] {
        dataset.read_row(&dataset.row_at(index), columns.columns()).unwrap();
    }
    let (read, size) = (read() - before, dataset.files()[0].bytes);
    // Hundred pages each, a buffer read ahead for each of their headers.
    assert!(read < 2 * size, "{read} bytes of a file of {size}");
}

#[test]
fn long_texts_count_in_full() {
    let folder = tempfile::tempdir().unwrap();
    let long = "word ".repeat(20_000);
    write(&folder.path().join("a.parquet"), &[("text", texts(&[Some(&long[..]); 64]))], None, 8);
    let dataset = Dataset::open("a.parquet", folder.path()).unwrap();
    let columns = Encoders::standard(&dataset, None, "").unwrap();
    let options = StreamOptions { batch: 16, workers: 1, ..StreamOptions::new(chain(json!([])), columns) };
    let mut batches = Batches::open(&dataset, options, None).unwrap();
    while batches.counters().batches_waiting == 0 {
        std::thread::yield_now();
    }
    assert!(batches.counters().bytes_held >= 16 * long.len() as u64, "{:?}", batches.counters());
    assert_eq!(batches.by_ref().map(|batch| batch.unwrap().len()).sum::<usize>(), 64);
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
        assert!(batches.iter().all(|batch| batch.capacity() == 5 && batch.tensors["input"].shape == [5, 3, 4, 4]));
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
    let columns = Encoders::standard(&dataset, None, "label").unwrap();
    let mut id = dataset.row_at(11);
    assert_eq!(id.to_string(), "a.parquet, row group 2, row 1");
    assert!(dataset.read_row(&id, columns.columns()).is_ok());
    id.row = 2;
    let message = dataset.read_row(&id, columns.columns()).unwrap_err().to_string();
    assert_eq!(message, "a.parquet, row group 2, row 2: there is no such row in the dataset");
    let histogram = dataset.class_histogram(&columns).unwrap();
    assert_eq!((histogram.counts, histogram.unlabelled), (vec![6, 6], 0));
}
