//! A dataset that never was a file: rows of a `Vec`, streamed in a new order each epoch.
//!
//! ```text
//! cargo run --example rows_in_memory
//! ```
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;

use millstream::pipeline::arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use millstream::{Batches, Chain, Dataset, Encoders, StreamOptions};

/// One row, as a program has it.
struct Review {
    text: &'static str,
    stars: i64,
}

fn main() -> anyhow::Result<()> {
    let reviews = vec![
        Review { text: "a delight from beginning to end", stars: 4 },
        Review { text: "long, and longer than that", stars: 1 },
        Review { text: "worth a second look", stars: 3 },
        Review { text: "the popcorn was good", stars: 0 },
        Review { text: "nothing wrong with it", stars: 2 },
    ];
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(reviews.iter().map(|review| review.text)));
    let stars: ArrayRef = Arc::new(Int64Array::from_iter_values(reviews.iter().map(|review| review.stars)));
    let rows = RecordBatch::try_from_iter([("text", texts), ("label", stars)])?;

    let dataset = Dataset::from_batches("reviews", &[rows], 1024)?;
    let encoders = Encoders::standard(&dataset, Some("text"), "label")?;
    let options = StreamOptions { epochs: 2, batch: 3, seed: 1, ..StreamOptions::new(Chain::parse(&[])?, encoders) };
    for batch in Batches::open(&dataset, options, None)? {
        let batch = batch?;
        let texts = batch.tensors["input"].as_text().unwrap_or_default();
        for (slot, row) in batch.rows.iter().enumerate() {
            if let (Some(row), Some(stars)) = (row, batch.class("targets", slot)) {
                println!("{row}: {stars} stars: {}", texts[slot]);
            }
        }
    }
    Ok(())
}
