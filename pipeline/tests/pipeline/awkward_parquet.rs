//! Hostile and unusual Parquet files: the right rows, or an error that names the file; never a crash.

use std::path::Path;

use crate::corpus::corpus;
use millstream_pipeline::encodings::{self, Encoders, View, WantedTensor};
use millstream_pipeline::{Batches, Dataset, StreamOptions};
use millstream_schemas::{Choice, TensorRole};

/// Damaged in columns that can be neither input nor label, so that nothing meets the damage.
const DAMAGED_ELSEWHERE: [&str; 2] = ["ARROW-GH-47662.parquet", "ARROW-RS-GH-6229-LEVELS.parquet"];

/// Opens a file, reads every column that can play a role, through both readers.
fn read_all(path: &Path) -> Result<u64, String> {
    let dataset = Dataset::open(path.to_str().unwrap(), Path::new(".")).map_err(|error| error.to_string())?;
    let names: Vec<_> = dataset.features().columns.iter().map(|(name, _)| name.clone()).collect();
    let mut failure = None;
    for name in &names {
        if let Ok(columns) = Encoders::standard(&dataset, Some(name), "") {
            let options = StreamOptions {
                workers: 1,
                ..StreamOptions::new(crate::corpus::chain(serde_json::json!([])), columns.clone())
            };
            if columns.shown_input().is_some_and(|(_, view)| view == View::Text) {
                let rows = Batches::open(&dataset, options, None).and_then(|batches| {
                    batches.map(|batch| batch.map(|batch| batch.len() as u64)).sum::<Result<u64, _>>()
                });
                // Null texts are damaged rows, not damaged files.
                if let Err(error) = rows
                    && !error.to_string().contains("the input is null")
                {
                    failure.get_or_insert(error.to_string());
                }
            }
            if let Err(error) = dataset.read_row(&dataset.row_at(dataset.rows() - 1), columns.columns()) {
                failure.get_or_insert(error.to_string());
            }
        }
        let class = WantedTensor {
            name: "targets".into(),
            role: TensorRole::Target,
            encoding: Choice::new("class_label", serde_json::json!({ "column": name })),
            place: "data.label".into(),
        };
        let columns = Encoders::open(&dataset, encodings::standard(), &[class], &[]);
        if let Err(error) = columns.and_then(|columns| dataset.class_histogram(&columns))
            && !["cannot be read as", "does not look like a class"].iter().any(|part| error.to_string().contains(part))
        {
            failure.get_or_insert(error.to_string());
        }
    }
    failure.map_or(Ok(dataset.rows()), Err)
}

#[test]
fn every_file_of_the_corpus_is_read_or_refused() {
    let Some(corpus) = corpus("awkward parquet") else { return };
    let manifest = std::fs::read_to_string(corpus.join("awkward/manifest.csv")).unwrap();
    let mut seen = 0;
    let mut wrong = Vec::new();
    for line in manifest.lines().filter(|line| line.starts_with("parquet/")) {
        let fields = split(line);
        let (file, expected, rows) = (&fields[0], &fields[2], fields[7].parse::<u64>().ok());
        seen += 1;
        let got = read_all(&corpus.join("awkward").join(file));
        let name = Path::new(file).file_name().unwrap().to_str().unwrap();
        let fits = match (expected.as_str(), &got) {
            ("decodes", Ok(got)) => rows.is_none_or(|rows| rows == *got),
            ("decodes", Err(_)) => false,
            ("error", Ok(_)) => DAMAGED_ELSEWHERE.contains(&name),
            (_, Err(message)) => message.contains(name) && message.len() < 600,
            (_, Ok(_)) => true,
        };
        if !fits {
            wrong.push(format!("{file}: expected {expected} {rows:?}, got {got:?}"));
        }
    }
    assert_eq!(seen, 27);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn split(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().unwrap().push(c),
        }
    }
    fields
}

/// A true file, damaged at random places: an error that names it, or some rows; never a crash or a hang.
#[test]
fn flipped_bytes_and_cut_files_do_not_crash() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.parquet");
    let image = crate::corpus::png(4, 4, [1, 2, 3]);
    let rows: Vec<_> = (0..40).map(|row| (Some(&image[..]), Some(row % 3))).collect();
    crate::corpus::write_images(&whole, &rows, Some(&["a", "b", "c"]), 16);
    let bytes = std::fs::read(&whole).unwrap();
    let path = folder.path().join("damaged.parquet");
    let mut random = millstream_transforms::DrawKey { seed: 1, epoch: 0, row: 0 }.random("damage", 0);
    for round in 0..600 {
        let mut damaged = bytes.clone();
        if round % 4 == 0 {
            damaged.truncate(random.below(bytes.len() as u32) as usize);
        }
        // Most of the damage goes to the footer, where it hurts.
        for _ in 0..=random.below(4) {
            let back = if round % 3 == 0 { bytes.len() as u32 } else { 1500 };
            let at = bytes.len() - 1 - random.below(back.min(bytes.len() as u32)) as usize;
            if let Some(byte) = damaged.get_mut(at) {
                *byte = random.next_u32() as u8;
            }
        }
        std::fs::write(&path, damaged).unwrap();
        if let Err(message) = read_all(&path) {
            assert!(!message.is_empty() && message.len() < 4000, "{message}");
        }
    }
}
