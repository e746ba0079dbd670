//! Images a second of the stream alone, and of decoding alone, from the corpus' photographs.
//!
//! `MILLSTREAM_CORPUS=../shared cargo bench -p millstream-pipeline`
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use millstream_pipeline::decode::{DecodeScratch, decode_into, header};
use millstream_pipeline::{Batches, Dataset, RowInput, StreamOptions};
use millstream_schemas::recipe::{ByteSize, TransformSpec, TransparencyPolicy};
use millstream_transforms::{Chain, DecodeRequest, RgbImage};

fn main() {
    let Some(corpus) = std::env::var_os("MILLSTREAM_CORPUS").map(PathBuf::from) else {
        println!("left out: MILLSTREAM_CORPUS is not set");
        return;
    };
    let corpus = if corpus.is_dir() { corpus } else { Path::new("..").join(corpus) };
    let start = Instant::now();
    let dataset = Dataset::open("data/flowers-photos/flowers-photos-train-*.parquet", &corpus).unwrap();
    println!("opened in {:.1} ms: {} photographs", start.elapsed().as_secs_f64() * 1e3, dataset.rows());
    for threads in [1, 2] {
        decoding(&dataset, threads);
    }
    let normalize = r#"{"normalize": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}"#;
    let crop = r#"{"random_resized_crop": {"size": 224}}"#;
    let rotate = r#"{"rotate": {"degrees": 15}}"#;
    let noise = r#"{"gaussian_noise": {"sigma": 0.05}}"#;
    let full = format!(r#"[{crop}, {rotate}, "horizontal_flip", {noise}, {normalize}]"#);
    let light = format!(r#"[{crop}, "horizontal_flip", {normalize}]"#);
    for (name, chain) in [("crop, rotate, flip, noise, normalize", &full), ("crop, flip, normalize", &light)] {
        let specs: Vec<TransformSpec> = serde_json::from_str(chain).unwrap();
        for workers in [1, 2] {
            stream(&dataset, name, &Chain::parse(&specs).unwrap(), workers);
        }
    }
}

fn decoding(dataset: &Dataset, threads: usize) {
    let columns = dataset.resolve_columns(None, "label").unwrap();
    let images: Vec<_> = (0..dataset.rows())
        .map(|index| match dataset.read_row(&dataset.row_at(index), &columns).unwrap().input {
            RowInput::Image(bytes) => bytes,
            _ => unreachable!("the column holds images"),
        })
        .collect();
    let work = |thread: usize| {
        let (mut scratch, mut image) = (DecodeScratch::default(), RgbImage::default());
        for bytes in images.iter().skip(thread).step_by(threads) {
            let header = header(bytes).unwrap();
            let whole = DecodeRequest::whole(&header.facts);
            decode_into(bytes, &header, &whole, TransparencyPolicy::Drop, &mut scratch, &mut image).unwrap();
        }
    };
    let rounds = 3;
    let start = Instant::now();
    for _ in 0..rounds {
        std::thread::scope(|scope| (0..threads).for_each(|thread| drop(scope.spawn(move || work(thread)))));
    }
    let rate = (images.len() * rounds) as f64 / start.elapsed().as_secs_f64();
    println!("decoding alone, {threads} thread(s): {rate:.0} images/s");
}

fn stream(dataset: &Dataset, name: &str, chain: &Chain, workers: usize) {
    let columns = dataset.resolve_columns(None, "label").unwrap();
    let options = StreamOptions {
        epochs: 6,
        batch: 64,
        workers,
        drop_last: true,
        memory: ByteSize(1 << 30),
        ..StreamOptions::new(chain.clone(), columns)
    };
    let opened = Instant::now();
    let mut batches = Batches::open(dataset, options, None).unwrap();
    batches.next().unwrap().unwrap();
    let first = opened.elapsed();
    let (start, mut images) = (Instant::now(), 0);
    while let Some(batch) = batches.next() {
        let batch = batch.unwrap();
        images += batch.len();
        batches.recycle(batch);
    }
    let seconds = start.elapsed().as_secs_f64();
    let counters = batches.counters();
    let useful = counters.decode_seconds + counters.transform_seconds;
    println!(
        "{name}, {workers} worker(s): {:.0} images/s; first batch {:.0} ms; decode {:.0} %, transform {:.0} %, rest {:.1} % of \
         the workers' time; at most {} MiB held",
        images as f64 / seconds,
        first.as_secs_f64() * 1e3,
        counters.decode_seconds / counters.worker_seconds * 100.0,
        counters.transform_seconds / counters.worker_seconds * 100.0,
        (1.0 - useful / counters.worker_seconds) * 100.0,
        counters.bytes_peak >> 20,
    );
}
