//! Images a second from the corpus' photographs, and of each part alone: reading Parquet, decoding, the whole stream.
//!
//! `MILLSTREAM_CORPUS=../shared cargo bench -p millstream-pipeline --bench stream`
//!
//! Every line is the median of several runs after one that does not count, with the slowest and the fastest. The files
//! are in the page cache by then.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and stops at the first surprise")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use millstream_pipeline::decode::{DecodeScratch, Header, decode_into, header};
use millstream_pipeline::encodings::Encoders;
use millstream_pipeline::{Batches, Dataset, StreamOptions, Value};
use millstream_schemas::Choice;
use millstream_schemas::recipe::{ByteSize, TransparencyPolicy};
use millstream_transforms::{Chain, DecodeRequest, DrawKey, Raster};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const RUNS: usize = 5;
/// Epochs in one run of the stream, and different draws of one image in one run of the decoder.
const EPOCHS: u64 = 5;
const PHOTOGRAPHS: &str = "data/flowers-photos/flowers-photos-train-*.parquet";
const CROP: &str = r#"{"random_resized_crop": {"size": 224}}"#;
const NORMALIZE: &str = r#"{"normalize": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}"#;

fn main() {
    let Some(corpus) = std::env::var_os("MILLSTREAM_CORPUS").map(PathBuf::from) else {
        println!("left out: MILLSTREAM_CORPUS is not set");
        return;
    };
    let corpus = if corpus.is_dir() { corpus } else { Path::new("..").join(corpus) };
    let start = Instant::now();
    let dataset = Dataset::open(PHOTOGRAPHS, &corpus).unwrap();
    println!("opened in {:.1} ms: {} photographs", start.elapsed().as_secs_f64() * 1e3, dataset.rows());

    let noise = r#""horizontal_flip", {"gaussian_noise": {"sigma": 0.05}}"#;
    let full = chain(&format!(r#"[{CROP}, {{"rotate": {{"degrees": 15}}}}, {noise}, {NORMALIZE}]"#));
    let light = chain(&format!(r#"[{CROP}, "horizontal_flip", {NORMALIZE}]"#));

    measure("reading Parquet alone", || read_parquet(&dataset));
    let images = images(&dataset);
    for (name, tasks) in [("whole", decodings(&images, None)), ("as requested", decodings(&images, Some(&full)))] {
        for threads in [1, 2] {
            measure(&format!("decoding alone, {name}, {threads} thread(s)"), || decode_all(&tasks, threads));
        }
    }
    for (name, chain) in [("crop, rotate, flip, noise, normalize", &full), ("crop, flip, normalize", &light)] {
        for workers in [1, 2] {
            let mut last = String::new();
            measure(&format!("stream, {name}, {workers} worker(s)"), || {
                let (images, report) = stream(&dataset, chain, workers);
                last = report;
                images
            });
            println!("    {last}");
        }
    }
}

fn chain(json: &str) -> Chain {
    let specs: Vec<Choice> = serde_json::from_str(json).unwrap();
    Chain::parse(&specs).unwrap()
}

/// Prints how many images a second `work` gets through; it says how many there were.
fn measure(name: &str, mut work: impl FnMut() -> usize) {
    work();
    let mut rates = [0.0; RUNS].map(|_: f64| {
        let start = Instant::now();
        work() as f64 / start.elapsed().as_secs_f64()
    });
    rates.sort_by(f64::total_cmp);
    println!("{name}: {:.0} images/s ({:.0} to {:.0})", rates[RUNS / 2], rates[0], rates[RUNS - 1]);
}

fn read_parquet(dataset: &Dataset) -> usize {
    let rows = dataset.files().iter().map(|file| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&file.path).unwrap()).unwrap();
        reader.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum::<usize>()
    });
    rows.sum()
}

fn images(dataset: &Dataset) -> Vec<Bytes> {
    let columns = Encoders::standard(dataset, None, "label").unwrap();
    let image = |index| match dataset.read_row(&dataset.row_at(index), columns.columns()).unwrap().get("image") {
        Some(Value::Bytes(bytes)) => Bytes::copy_from_slice(bytes),
        _ => unreachable!("the column holds images"),
    };
    (0..dataset.rows()).map(image).collect()
}

/// Each image as often as there are epochs: whole, or what draws of this chain use of it.
fn decodings<'a>(images: &'a [Bytes], chain: Option<&Chain>) -> Vec<(&'a Bytes, Header, DecodeRequest)> {
    let task = |epoch, (row, bytes): (usize, &'a Bytes)| {
        let header = header(bytes).unwrap();
        let key = DrawKey { seed: 0, epoch, row: row as u64 };
        let drawn = chain.map(|chain| chain.draw_image(&header.facts, &key).unwrap());
        let request = drawn.map(|drawing| drawing.decode_request(&header.facts).unwrap());
        let request = request.unwrap_or_else(|| DecodeRequest::whole(&header.facts));
        (bytes, header, request)
    };
    (0..EPOCHS).flat_map(|epoch| images.iter().enumerate().map(move |image| task(epoch, image))).collect()
}

fn decode_all(tasks: &[(&Bytes, Header, DecodeRequest)], threads: usize) -> usize {
    let work = |thread: usize| {
        let (mut scratch, mut image) = (DecodeScratch::default(), Raster::default());
        for (bytes, header, request) in tasks.iter().skip(thread).step_by(threads) {
            decode_into(bytes, header, request, TransparencyPolicy::Drop, &mut scratch, &mut image).unwrap();
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|thread| drop(scope.spawn(move || work(thread)))));
    tasks.len()
}

/// How many images came, and where the time went.
fn stream(dataset: &Dataset, chain: &Chain, workers: usize) -> (usize, String) {
    let columns = Encoders::standard(dataset, None, "label").unwrap();
    let options = StreamOptions {
        epochs: EPOCHS,
        batch: 64,
        workers,
        drop_last: true,
        memory: ByteSize(1 << 30),
        ..StreamOptions::new(chain.clone(), columns)
    };
    let opened = Instant::now();
    let mut batches = Batches::open(dataset, options, None).unwrap();
    let mut first = None;
    let mut images = 0;
    for batch in batches.by_ref() {
        let batch = batch.unwrap();
        first.get_or_insert_with(|| opened.elapsed());
        images += batch.len();
    }
    let counters = batches.counters();
    let share = |seconds: f64| seconds / counters.worker_seconds * 100.0;
    let (decode, transform) = (share(counters.decode_seconds), share(counters.transform_seconds));
    let report = format!(
        "last run: first batch after {:.0} ms; decode {decode:.0} %, transform {transform:.0} %, rest {:.1} % of the \
         workers' time; at most {} MiB held",
        first.unwrap().as_secs_f64() * 1e3,
        100.0 - decode - transform,
        counters.bytes_peak >> 20,
    );
    (images, report)
}
