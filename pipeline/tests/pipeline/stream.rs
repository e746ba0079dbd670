//! What a stream promises: order, bytes, resuming, whoever does the work and however often it is interrupted.

use std::path::Path;

use crate::corpus::{all, augmentation, chain, corpus, signature};
use futures::StreamExt;
use millstream_pipeline::{Batches, Dataset, StreamOptions};
use millstream_schemas::recipe::{ByteSize, OrderStrength};
use serde_json::json;

const STRENGTHS: [OrderStrength; 3] = [OrderStrength::Sequential, OrderStrength::Windowed, OrderStrength::Global];

fn open(corpus: &Path, set: &str) -> Dataset {
    Dataset::open(&format!("data/{set}/{set}-train-*.parquet"), corpus).unwrap()
}

fn options(dataset: &Dataset, size: u32, batch: usize) -> StreamOptions {
    let columns = dataset.resolve_columns(None, "label").unwrap();
    StreamOptions { seed: 7, batch, ..StreamOptions::new(augmentation(size), columns) }
}

#[test]
fn the_same_bytes_for_any_number_of_workers() {
    let Some(corpus) = corpus("same bytes") else { return };
    for (set, size, batch, epochs) in [("cifar10-mini", 32, 64, 1), ("flowers-mini", 64, 24, 2)] {
        let dataset = open(&corpus, set);
        let run = |workers| {
            let options = StreamOptions { workers, epochs, ..options(&dataset, size, batch) };
            all(&dataset, &options).unwrap().iter().map(signature).collect::<Vec<_>>()
        };
        let one = run(1);
        assert_eq!(one.len() as u64, dataset.rows().div_ceil(batch as u64) * epochs);
        for workers in [2, 4] {
            assert!(one == run(workers), "{set} with {workers} workers");
        }
    }
}

#[test]
fn any_batch_can_be_resumed_from() {
    let Some(corpus) = corpus("resume") else { return };
    let dataset = open(&corpus, "flowers-mini");
    for order in STRENGTHS {
        for drop_last in [false, true] {
            let options = StreamOptions { order, drop_last, epochs: 2, ..options(&dataset, 16, 48) };
            let whole: Vec<_> = all(&dataset, &options).unwrap();
            let signatures: Vec<_> = whole.iter().map(signature).collect();
            for (done, batch) in whole.iter().enumerate() {
                let rest = Batches::open(&dataset, options.clone(), Some(&batch.resume)).unwrap();
                let rest: Vec<_> = rest.map(|batch| signature(&batch.unwrap())).collect();
                assert!(rest == signatures[done + 1..], "{order:?}, after batch {done}");
            }
        }
    }
}

#[test]
fn moving_the_dataset_changes_nothing() {
    let Some(corpus) = corpus("moved dataset") else { return };
    let here = open(&corpus, "flowers-mini");
    let folder = tempfile::tempdir().unwrap();
    let moved = folder.path().join("somewhere/else");
    std::fs::create_dir_all(&moved).unwrap();
    for file in here.files() {
        std::fs::copy(&file.path, moved.join(&*file.name)).unwrap();
    }
    let there = Dataset::open("somewhere", folder.path()).unwrap();
    assert_eq!(here.fingerprint(), there.fingerprint());
    let run =
        |dataset: &Dataset| all(dataset, &options(dataset, 16, 48)).unwrap().iter().map(signature).collect::<Vec<_>>();
    assert!(run(&here) == run(&there));
}

#[test]
fn changed_data_or_settings_are_not_resumed() {
    let Some(corpus) = corpus("changed data") else { return };
    let dataset = open(&corpus, "flowers-mini");
    let options = options(&dataset, 16, 48);
    let point = Batches::open(&dataset, options.clone(), None).unwrap().next().unwrap().unwrap().resume;
    let other = open(&corpus, "flowers-photos");
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

#[test]
fn the_stream_stays_under_its_ceiling_and_says_when_it_cannot() {
    let Some(corpus) = corpus("ceiling") else { return };
    let dataset = open(&corpus, "flowers-photos");
    let options = options(&dataset, 64, 8);
    let reference: Vec<_> = all(&dataset, &options).unwrap().iter().map(signature).collect();
    for (order, mib) in [
        (OrderStrength::Windowed, 120), // two row groups of 23 MB and little more
        (OrderStrength::Windowed, 400),
        (OrderStrength::Sequential, 64),
        (OrderStrength::Global, 64),
    ] {
        let memory = ByteSize(mib << 20);
        let options = StreamOptions { order, window: 2, memory, workers: 2, ..options.clone() };
        let mut batches = Batches::open(&dataset, options, None).unwrap();
        let rows: usize = batches.by_ref().map(|batch| batch.unwrap().len()).sum();
        let counters = batches.counters();
        assert_eq!(rows as u64, dataset.rows(), "{order:?}");
        assert!(counters.bytes_peak <= memory.0, "{order:?}: {counters:?}");
        assert!(counters.bytes_peak > memory.0 / 20, "{order:?}: {counters:?}");
    }
    // A ceiling changes no bytes.
    let tight = StreamOptions { memory: ByteSize(160 << 20), ..options.clone() };
    assert!(all(&dataset, &tight).unwrap().iter().map(signature).eq(reference));
    let small = StreamOptions { memory: ByteSize(20 << 20), ..options };
    let message = Batches::open(&dataset, small, None).unwrap_err().to_string();
    assert!(message.contains("too small") && message.contains("set `memory` to at least"), "{message}");
}

#[test]
fn the_ceiling_that_an_error_asks_for_is_enough() {
    let Some(corpus) = corpus("enough memory") else { return };
    let dataset = open(&corpus, "flowers-photos");
    for order in STRENGTHS {
        let mut options = StreamOptions { order, memory: ByteSize(1), ..options(&dataset, 32, 8) };
        let mut raised = 0;
        loop {
            let error = match Batches::open(&dataset, options.clone(), None)
                .and_then(|batches| batches.collect::<Result<Vec<_>, _>>())
            {
                Ok(_) => break,
                Err(millstream_pipeline::PipelineError::Memory { enough, .. }) => enough,
                Err(error) => panic!("{error}"),
            };
            assert!(error > options.memory, "{order:?}");
            options.memory = error;
            raised += 1;
            assert!(raised <= 3, "{order:?}: still not enough");
        }
    }
}

#[test]
fn every_row_comes_once_an_epoch_in_a_new_order() {
    let Some(corpus) = corpus("every row once") else { return };
    let dataset = open(&corpus, "sst2");
    for order in STRENGTHS {
        let columns = dataset.resolve_columns(None, "label").unwrap();
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
            let texts = batch.inputs["input"].as_text().unwrap();
            let row = dataset.read_row(batch.rows[0].as_ref().unwrap(), &options.columns).unwrap();
            assert_eq!(row.input, millstream_pipeline::RowInput::Text(texts[0].clone()));
            assert_eq!(row.label, batch.labels[0]);
        }
    }
}

#[test]
fn a_stream_gives_what_the_iterator_gives() {
    let Some(corpus) = corpus("async stream") else { return };
    let dataset = open(&corpus, "cifar10-mini");
    let options = options(&dataset, 32, 250);
    let blocking: Vec<_> = all(&dataset, &options).unwrap().iter().map(signature).collect();
    let batches = Batches::open(&dataset, options, None).unwrap();
    let monitor = batches.monitor();
    let polled = futures::executor::block_on(
        batches
            .into_stream()
            .map(|batch| {
                let batch = batch.unwrap();
                let signature = signature(&batch);
                monitor.recycle(batch);
                signature
            })
            .collect::<Vec<_>>(),
    );
    assert!(polled == blocking);
    assert_eq!(monitor.counters().rows, dataset.rows());
}

#[test]
fn dropping_a_stream_early_ends_its_threads() {
    let Some(corpus) = corpus("early drop") else { return };
    let dataset = open(&corpus, "flowers-mini");
    let threads = || std::fs::read_dir("/proc/self/task").map(|tasks| tasks.count()).ok();
    let before = threads();
    for taken in [0, 1, 3] {
        let options = StreamOptions { epochs: 1000, workers: 3, ..options(&dataset, 64, 8) };
        let mut batches = Batches::open(&dataset, options, None).unwrap();
        (0..taken).for_each(|_| drop(batches.next()));
    }
    assert_eq!(threads(), before);
}

#[test]
fn mixed_batches_do_not_depend_on_workers_either() {
    let Some(corpus) = corpus("mix up") else { return };
    let dataset = open(&corpus, "cifar10-mini");
    let mixing = chain(json!([{"random_resized_crop": {"size": 32}}, {"mix_up": {"alpha": 0.4}}]));
    let run = |workers| {
        let options = StreamOptions { workers, chain: mixing.clone(), ..options(&dataset, 32, 64) };
        all(&dataset, &options).unwrap()
    };
    let one = run(1);
    assert!(one.iter().map(signature).eq(run(3).iter().map(signature)));
    let targets = one[0].targets.as_f32().unwrap();
    assert!(targets.iter().any(|&target| target > 0.0 && target < 1.0), "nothing was mixed");
    for row in targets.chunks(10) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}
