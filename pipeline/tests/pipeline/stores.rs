//! Rows that lie elsewhere than in files of this machine.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use millstream_pipeline::encodings::{self, Encoders, WantedTensor};
use millstream_pipeline::stores::{InMemory, OpenStore, Store};
use millstream_pipeline::{Batches, Dataset, StreamOptions};
use millstream_schemas::recipe::OrderStrength;
use millstream_schemas::{Choice, TensorRole};
use serde_json::json;

use crate::corpus::{all, chain, image_columns, labels, png, signature, write};

fn rows(range: Range<i64>) -> RecordBatch {
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(range.clone().map(|row| format!("row {row}"))));
    let classes: ArrayRef = Arc::new(Int64Array::from_iter_values(range.map(|row| row % 3)));
    RecordBatch::try_from_iter([("text", texts), ("label", classes)]).unwrap()
}

fn options(dataset: &Dataset) -> StreamOptions {
    let encoders = Encoders::standard(dataset, None, "label").unwrap();
    StreamOptions { batch: 7, epochs: 2, seed: 3, window: 2, ..StreamOptions::new(chain(json!([])), encoders) }
}

#[test]
fn rows_in_memory_stream_as_those_of_a_file_do() {
    let folder = tempfile::tempdir().unwrap();
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..100).map(|row| format!("row {row}"))));
    let classes: ArrayRef = Arc::new(Int64Array::from_iter_values((0..100).map(|row| row % 3)));
    write(&folder.path().join("rows"), &[("text", texts), ("label", classes)], None, 20);
    std::fs::rename(folder.path().join("rows"), folder.path().join("rows.parquet")).unwrap();
    let file = Dataset::open("rows.parquet", folder.path()).unwrap();
    let memory = Dataset::from_batches("rows.parquet", &[rows(0..40), rows(40..100)], 20).unwrap();
    assert_eq!(memory.files()[0].row_groups.len(), 5);
    for order in [OrderStrength::Sequential, OrderStrength::Windowed, OrderStrength::Global] {
        let stream = |dataset: &Dataset| all(dataset, &StreamOptions { order, ..options(dataset) }).unwrap();
        let (ours, theirs) = (stream(&memory), stream(&file));
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!((&ours.tensors, &ours.rows, labels(ours)), (&theirs.tensors, &theirs.rows, labels(theirs)));
        }
        // A resume point is good for the same rows again.
        let rest = Batches::open(&memory, StreamOptions { order, ..options(&memory) }, Some(&ours[4].resume)).unwrap();
        let rest: Vec<_> = rest.map(|batch| signature(&batch.unwrap())).collect();
        assert_eq!(rest, ours[5..].iter().map(signature).collect::<Vec<_>>());
    }
}

/// A store of one's own, that counts, and fails where it is told to.
#[derive(Clone, Debug)]
struct Counting {
    file: InMemory,
    read: Arc<AtomicU64>,
    gone: Arc<Mutex<bool>>,
}

impl Store for Counting {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn open(&self) -> io::Result<Box<dyn OpenStore>> {
        Ok(Box::new(self.clone()))
    }
}

impl OpenStore for Counting {
    fn read(&mut self, range: &Range<u64>) -> io::Result<Bytes> {
        if *self.gone.lock().unwrap() {
            return Err(io::Error::other("the line is dead"));
        }
        self.read.fetch_add(range.end - range.start, Ordering::Relaxed);
        OpenStore::read(&mut self.file, range)
    }
}

#[test]
fn a_store_of_ones_own_is_read_by_ranges_and_its_failures_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut files: Vec<(String, Arc<dyn Store>)> = Vec::new();
    let (read, gone) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(false)));
    let mut bytes = BTreeMap::new();
    for part in 0..20 {
        let path = folder.path().join(format!("{part:02}.parquet"));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..10).map(|row| format!("row {part} {row}"))));
        let classes: ArrayRef = Arc::new(Int64Array::from_iter_values((0..10).map(|row| row % 2)));
        write(&path, &[("text", texts), ("label", classes)], None, 5);
        bytes.insert(part, std::fs::read(&path).unwrap());
        let file = InMemory(bytes[&part].clone().into());
        files.push((
            format!("part {part}"),
            Arc::new(Counting { file, read: Arc::clone(&read), gone: Arc::clone(&gone) }),
        ));
    }
    let dataset = Dataset::from_stores(files.clone()).unwrap();
    let names: Vec<_> = dataset.files().iter().map(|file| file.name.to_string()).collect();
    assert_eq!(names, (0..20).map(|part| format!("part {part}")).collect::<Vec<_>>());
    let options = options(&dataset);
    let batches = all(&dataset, &options).unwrap();
    assert_eq!(batches.iter().map(|batch| batch.len()).sum::<usize>(), 400);
    assert!(read.load(Ordering::Relaxed) > 0);
    *gone.lock().unwrap() = true;
    let error = all(&dataset, &options).unwrap_err();
    let causes = format!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string));
    assert!(causes.contains("part ") && causes.contains("the line is dead"), "{causes}");
    // The first file in order is named, whichever thread comes first.
    let error = Dataset::from_stores(files.clone()).unwrap_err().to_string();
    assert!(error.contains("part 0"), "{error}");
    *gone.lock().unwrap() = false;
    files.push(files[0].clone());
    let error = Dataset::from_stores(files).unwrap_err().to_string();
    assert!(error.contains("part 0: two files have this name"), "{error}");
}

#[test]
fn lengths_are_learned_once_of_the_text_alone_and_not_for_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let images: Vec<_> = (0..100).map(|row| png(40, 40, [row, 2 * row, 7])).collect();
    let of_images = images.iter().map(Vec::len).sum::<usize>() as u64;
    let images: Vec<_> = images.iter().map(|bytes| (Some(&bytes[..]), Some(0))).collect();
    let [image, label] = image_columns(&images);
    let texts: Vec<String> = (0..100).map(|row| "a".repeat(1 + row * 37 % 100 * 10)).collect();
    let of_texts = texts.iter().map(String::len).sum::<usize>() as u64;
    let texts: ArrayRef = Arc::new(StringArray::from(texts));
    let path = folder.path().join("rows.parquet");
    write(&path, &[("text", texts), image, label], None, 25);
    let (read, gone) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(false)));
    let file = InMemory(std::fs::read(&path).unwrap().into());
    let store: Arc<dyn Store> = Arc::new(Counting { file, read: Arc::clone(&read), gone });
    let dataset = Dataset::from_stores(vec![("rows".to_owned(), store)]).unwrap();
    let wanted = |name: &str, role, kind: &str, column: &str| WantedTensor {
        name: name.into(),
        role,
        encoding: Choice::new(kind, json!({ "column": column })),
        place: format!("data.{name}"),
    };
    let all = [
        wanted("pixels", TensorRole::Input, "image", "image"),
        wanted("words", TensorRole::Input, "text", "text"),
        wanted("targets", TensorRole::Target, "class_label", "label"),
    ];
    let encoders = Encoders::open(&dataset, encodings::standard(), &all, &[]).unwrap();
    let options = StreamOptions {
        batch: 10,
        group_by_length: Some(true),
        workers: 2,
        ..StreamOptions::new(chain(json!([])), encoders)
    };
    // The labels' bytes and the first image are looked at, once.
    let taken = |work: &dyn Fn()| {
        let before = read.load(Ordering::Relaxed);
        work();
        read.load(Ordering::Relaxed) - before
    };
    let look = || drop(options.warnings(&dataset).unwrap());
    look();
    let looked = taken(&look);
    assert_eq!(taken(&|| assert!(options.least_memory(&dataset).unwrap().0 > 0)), looked);
    let stream = || assert_eq!(Batches::open(&dataset, options.clone(), None).unwrap().map(Result::unwrap).count(), 10);
    let (first, second) = (taken(&stream), taken(&stream));
    let measuring = first - second;
    assert!(looked < of_texts, "{looked}");
    assert!((of_texts..of_texts + of_images).contains(&measuring), "{measuring} of {of_texts} and {of_images}");
}
