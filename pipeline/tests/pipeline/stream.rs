//! What a stream promises: order, bytes, resuming, whoever does the work and however often it is interrupted.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::corpus::{DAMAGED, all, augmentation, chain, corpus, damaged, digits, labels, signature};
use futures::StreamExt;
use millstream_pipeline::encodings::Encoders;
use millstream_pipeline::{Batches, Damage, Dataset, PipelineError, StreamOptions};
use millstream_schemas::recipe::{ByteSize, DamagedPolicy, OrderStrength};
use serde_json::json;

const STRENGTHS: [OrderStrength; 3] = [OrderStrength::Sequential, OrderStrength::Windowed, OrderStrength::Global];

fn open(corpus: &Path, set: &str) -> Dataset {
    Dataset::open(&format!("data/{set}/{set}-train-*.parquet"), corpus).unwrap()
}

fn options(dataset: &Dataset, size: u32, batch: usize) -> StreamOptions {
    let columns = Encoders::standard(dataset, None, "label").unwrap();
    StreamOptions { seed: 7, batch, ..StreamOptions::new(augmentation(size), columns) }
}

/// Real digits, and rows some of which are damaged, partly in a file without a page index.
fn always(folder: &Path) -> [(&'static str, Dataset, StreamOptions); 2] {
    let (digits, damaged) = (digits(), damaged(folder));
    let skip = StreamOptions { damaged: DamagedPolicy::Skip, window: 3, ..options(&damaged, 5, 16) };
    let whole = StreamOptions { window: 2, ..options(&digits, 12, 48) };
    [("digits", digits, whole), ("damaged", damaged, skip)]
}

fn same_for_any_number_of_workers(name: &str, dataset: &Dataset, options: &StreamOptions) {
    let run = |workers| {
        let mut batches = Batches::open(dataset, StreamOptions { workers, ..options.clone() }, None).unwrap();
        let signatures: Vec<_> = batches.by_ref().map(|batch| signature(&batch.unwrap())).collect();
        let counters = batches.counters();
        (signatures, counters.rows, counters.skipped, counters.damaged_rows)
    };
    let one = run(1);
    assert_eq!(one.0.len() as u64, dataset.rows().div_ceil(options.batch as u64) * options.epochs, "{name}");
    assert_eq!(one.1 + one.2, dataset.rows() * options.epochs, "{name}");
    assert_eq!(one.2, one.3 * options.epochs, "{name}");
    for workers in [2, 4] {
        assert!(one == run(workers), "{name} with {workers} workers");
    }
}

#[test]
fn the_same_bytes_for_any_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    for (name, dataset, options) in always(folder.path()) {
        for order in STRENGTHS {
            same_for_any_number_of_workers(name, &dataset, &StreamOptions { order, epochs: 2, ..options.clone() });
        }
    }
    let Some(corpus) = corpus("same bytes, on the corpus") else { return };
    for (set, size, batch, epochs) in [("cifar10-mini", 32, 64, 1), ("flowers-mini", 64, 24, 2)] {
        let dataset = open(&corpus, set);
        same_for_any_number_of_workers(set, &dataset, &StreamOptions { epochs, ..options(&dataset, size, batch) });
    }
}

fn resumable_from_any_batch(name: &str, dataset: &Dataset, options: &StreamOptions) {
    let whole: Vec<_> = all(dataset, options).unwrap();
    let signatures: Vec<_> = whole.iter().map(signature).collect();
    for (done, batch) in whole.iter().enumerate() {
        let rest = Batches::open(dataset, options.clone(), Some(&batch.resume)).unwrap();
        let rest: Vec<_> = rest.map(|batch| signature(&batch.unwrap())).collect();
        assert!(rest == signatures[done + 1..], "{name}, {:?}, after batch {done}", options.order);
    }
}

#[test]
fn any_batch_can_be_resumed_from() {
    let folder = tempfile::tempdir().unwrap();
    let sets = always(folder.path());
    for order in STRENGTHS {
        for drop_last in [false, true] {
            for (name, dataset, options) in &sets {
                let options = StreamOptions { order, drop_last, epochs: 2, ..options.clone() };
                resumable_from_any_batch(name, dataset, &options);
            }
        }
    }
    let Some(corpus) = corpus("resume, on the corpus") else { return };
    let dataset = open(&corpus, "flowers-mini");
    for order in STRENGTHS {
        let options = StreamOptions { order, epochs: 2, ..options(&dataset, 16, 96) };
        resumable_from_any_batch("flowers-mini", &dataset, &options);
    }
}

#[test]
fn moving_the_dataset_changes_nothing() {
    let here = digits();
    let folder = tempfile::tempdir().unwrap();
    let moved = folder.path().join("somewhere/else");
    std::fs::create_dir_all(&moved).unwrap();
    for file in here.files() {
        std::fs::copy(&file.path, moved.join(&*file.name)).unwrap();
    }
    let there = Dataset::open("somewhere", folder.path()).unwrap();
    assert_eq!(here.fingerprint(), there.fingerprint());
    let labelled = |dataset: &Dataset| dataset.fingerprint_with(&["label".to_owned()]).unwrap();
    assert_eq!(labelled(&here), labelled(&there));
    assert_ne!(&labelled(&here), here.fingerprint());
    let run =
        |dataset: &Dataset| all(dataset, &options(dataset, 16, 48)).unwrap().iter().map(signature).collect::<Vec<_>>();
    assert!(run(&here) == run(&there));
}

#[test]
fn draws_of_so_many_epochs_come_again_and_are_those_of_the_first_epochs() {
    let dataset = digits();
    let of = |draws: Option<u64>, epochs: u64| {
        let order = OrderStrength::Sequential;
        let options = StreamOptions { draws, epochs, order, ..options(&dataset, 16, 48) };
        let batches = all(&dataset, &options).unwrap();
        let epochs = batches.chunks(batches.len() / epochs as usize);
        epochs.map(|epoch| epoch.iter().map(|batch| batch.tensors.clone()).collect()).collect::<Vec<Vec<_>>>()
    };
    let (own, again) = (of(None, 4), of(Some(2), 4));
    assert!(again[..2] == own[..2] && again[2..] == own[..2], "the draws of two epochs, twice");
    assert!(own[2] != own[0], "draws are others in each epoch");
    let options = options(&dataset, 16, 48);
    let point = Batches::open(&dataset, options.clone(), None).unwrap().next().unwrap().unwrap().resume;
    let other = StreamOptions { draws: Some(2), ..options };
    let message = Batches::open(&dataset, other, Some(&point)).unwrap_err().to_string();
    assert!(message.contains("transforms"), "{message}");
}

#[test]
fn changed_data_or_settings_are_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = digits();
    let options = options(&dataset, 16, 48);
    let point = Batches::open(&dataset, options.clone(), None).unwrap().next().unwrap().unwrap().resume;
    let other = damaged(folder.path());
    let refused = |dataset: &Dataset, options: &StreamOptions, part: &str| {
        let message = Batches::open(dataset, options.clone(), Some(&point)).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    };
    refused(&other, &options, "the dataset changed");
    refused(&dataset, &StreamOptions { seed: 8, ..options.clone() }, "the seed changed");
    refused(&dataset, &StreamOptions { batch: 47, ..options.clone() }, "batch size changed");
    refused(&dataset, &StreamOptions { chain: augmentation(17), ..options.clone() }, "transforms");
    // Workers and memory decide no bytes.
    let same = StreamOptions { workers: 3, memory: ByteSize(512 << 20), ..options };
    assert!(Batches::open(&dataset, same, Some(&point)).is_ok());
}

fn stays_under(name: &str, dataset: &Dataset, at_least: u64, options: &StreamOptions) {
    let StreamOptions { order, memory, .. } = options;
    let mut batches = Batches::open(dataset, options.clone(), None).unwrap();
    let rows: usize = batches.by_ref().map(|batch| batch.unwrap().len()).sum();
    let counters = batches.counters();
    assert_eq!(rows as u64 + counters.skipped, dataset.rows(), "{name}, {order:?}");
    assert!(counters.bytes_peak <= memory.0, "{name}, {order:?}: {counters:?}");
    assert!(counters.bytes_peak >= at_least, "{name}, {order:?}: {counters:?}");
}

fn refused_under(dataset: &Dataset, options: &StreamOptions, memory: ByteSize) {
    let small = StreamOptions { memory, ..options.clone() };
    let message = Batches::open(dataset, small, None).unwrap_err().to_string();
    assert!(message.contains("too small") && message.contains("set `data.memory` to at least"), "{message}");
}

#[test]
fn the_stream_stays_under_its_ceiling_and_says_when_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    for (name, dataset, options) in always(folder.path()) {
        for order in STRENGTHS {
            for kib in [600, 2000] {
                let memory = ByteSize(kib << 10);
                stays_under(name, &dataset, 20 << 10, &StreamOptions { order, memory, workers: 2, ..options.clone() });
            }
        }
        refused_under(&dataset, &options, ByteSize(10 << 10));
    }
    let Some(corpus) = corpus("ceiling, on the corpus") else { return };
    let dataset = open(&corpus, "flowers-photos");
    let options = StreamOptions { window: 2, workers: 2, ..options(&dataset, 64, 8) };
    let reference: Vec<_> = all(&dataset, &options).unwrap().iter().map(signature).collect();
    for (order, mib) in [
        (OrderStrength::Windowed, 120), // two row groups of 23 MB and little more
        (OrderStrength::Sequential, 64),
        (OrderStrength::Global, 64),
    ] {
        let memory = ByteSize(mib << 20);
        stays_under("flowers-photos", &dataset, memory.0 / 20, &StreamOptions { order, memory, ..options.clone() });
    }
    // A ceiling changes no bytes.
    for mib in [160, 90] {
        let tight = StreamOptions { memory: ByteSize(mib << 20), ..options.clone() };
        assert!(all(&dataset, &tight).unwrap().iter().map(signature).eq(reference.iter().cloned()), "{mib} MiB");
    }
    // The pages of these files are as large as their row groups.
    refused_under(&dataset, &options, ByteSize(20 << 20));
}

fn enough_is_enough(name: &str, dataset: &Dataset, options: StreamOptions) {
    let mut options = StreamOptions { memory: ByteSize(1), damaged: DamagedPolicy::Fail, ..options };
    let mut raised = 0;
    loop {
        let batches = Batches::open(dataset, options.clone(), None);
        let enough = match batches.and_then(|batches| batches.collect::<Result<Vec<_>, _>>()) {
            Err(PipelineError::Memory { enough, .. }) => enough,
            Err(PipelineError::Damaged { damage: Damage::Memory { enough, .. }, .. }) => enough,
            // Rows that are damaged at any ceiling.
            Ok(_) | Err(PipelineError::Damaged { .. }) => break,
            Err(error) => panic!("{error}"),
        };
        assert!(enough > options.memory, "{name}, {:?}", options.order);
        options.memory = enough;
        raised += 1;
        assert!(raised <= 5, "{name}, {:?}: still not enough", options.order);
    }
}

#[test]
fn the_ceiling_that_an_error_asks_for_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let sets = always(folder.path());
    for order in STRENGTHS {
        for (name, dataset, options) in &sets {
            enough_is_enough(name, dataset, StreamOptions { order, ..options.clone() });
        }
    }
    let Some(corpus) = corpus("enough memory, on the corpus") else { return };
    let dataset = open(&corpus, "flowers-photos");
    for order in STRENGTHS {
        enough_is_enough("flowers-photos", &dataset, StreamOptions { order, ..options(&dataset, 32, 8) });
    }
}

#[test]
fn every_row_comes_once_an_epoch_in_a_new_order() {
    let Some(corpus) = corpus("every row once") else { return };
    let dataset = open(&corpus, "sst2");
    for order in STRENGTHS {
        let columns = Encoders::standard(&dataset, None, "label").unwrap();
        let options =
            StreamOptions { order, epochs: 2, batch: 100, seed: 3, ..StreamOptions::new(chain(json!([])), columns) };
        let batches = all(&dataset, &options).unwrap();
        let rows = |from: usize| -> Vec<_> {
            let half = batches.len() / 2;
            batches[from * half..(from + 1) * half]
                .iter()
                .flat_map(|batch| batch.rows.iter().flatten())
                .cloned()
                .collect()
        };
        let (first, second) = (rows(0), rows(1));
        assert_eq!(first.len() as u64, dataset.rows());
        assert_eq!(first == second, order == OrderStrength::Sequential);
        let set = |rows: &[millstream_schemas::RowId]| rows.iter().cloned().collect::<std::collections::HashSet<_>>();
        assert_eq!(set(&first).len() as u64, dataset.rows());
        assert_eq!(set(&first), set(&second));
        // Each text and label is that of its row.
        for batch in batches.iter().step_by(17) {
            let texts = batch.tensors["input"].as_text().unwrap();
            let row = dataset.read_row(batch.rows[0].as_ref().unwrap(), options.encoders.columns()).unwrap();
            assert_eq!(row.get("text"), Some(millstream_pipeline::Value::Text(&texts[0])));
            assert_eq!(options.encoders.class(row.values()).unwrap(), labels(batch)[0]);
        }
    }
}

#[test]
fn a_stream_gives_what_the_iterator_gives() {
    let folder = tempfile::tempdir().unwrap();
    for (name, dataset, options) in always(folder.path()) {
        let blocking: Vec<_> = all(&dataset, &options).unwrap().iter().map(signature).collect();
        let batches = Batches::open(&dataset, options, None).unwrap();
        let monitor = batches.monitor();
        let polled = futures::executor::block_on(
            batches.into_stream().map(|batch| signature(&batch.unwrap())).collect::<Vec<_>>(),
        );
        assert!(polled == blocking, "{name}");
        let counters = monitor.counters();
        assert_eq!(counters.rows + counters.skipped, dataset.rows());
        assert_eq!(counters.damaged_rows, if name == "damaged" { DAMAGED } else { 0 });
    }
}

/// Threads are counted in a process that runs nothing else.
#[test]
fn dropping_a_stream_early_ends_its_threads() {
    const ALONE: &str = "MILLSTREAM_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        alone.args(["--exact", "stream::dropping_a_stream_early_ends_its_threads", "--test-threads=1"]);
        let output = alone.env(ALONE, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let threads = || std::fs::read_dir("/proc/self/task").map(|tasks| tasks.count()).ok();
    // before any that open the files, and may still be listed when they are done
    let before = threads();
    let dataset = digits();
    for taken in [0, 1, 3] {
        let options = StreamOptions { epochs: 1000, workers: 3, ..options(&dataset, 64, 8) };
        let mut batches = Batches::open(&dataset, options, None).unwrap();
        (0..taken).for_each(|_| drop(batches.next()));
    }
    // one that has ended and was waited for is listed until the system has cleared it up
    let began = Instant::now();
    while threads() != before && began.elapsed() < Duration::from_secs(240) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(threads(), before);
}

#[test]
fn mixed_batches_do_not_depend_on_workers_either() {
    let dataset = digits();
    let mixing = chain(json!([{"random_resized_crop": {"size": 32}}, {"mix_up": {"alpha": 0.4}}]));
    let run = |workers| {
        let options = StreamOptions { workers, chain: mixing.clone(), ..options(&dataset, 32, 64) };
        all(&dataset, &options).unwrap()
    };
    let one = run(1);
    assert!(one.iter().map(signature).eq(run(3).iter().map(signature)));
    let targets = one[0].tensors["targets"].as_f32().unwrap();
    assert!(targets.iter().any(|&target| target > 0.0 && target < 1.0), "nothing was mixed");
    for row in targets.chunks(one[0].tensors["targets"].shape[1]) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}
