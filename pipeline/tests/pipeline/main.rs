//! The pipeline as other crates see it, on the corpus and on small datasets made on the spot.
//!
//! Tests that need the corpus read `MILLSTREAM_CORPUS`, and say so when they are left out.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests say that they are left out, and stop at surprises"
)]

mod awkward_images;
mod awkward_parquet;
mod bad_input;
mod corpus;
mod decoded_parts;
mod encodings;
mod joint_batches;
mod json_columns;
mod large_groups;
mod learned;
mod lists;
mod page_damage;
mod rows_of_lists;
mod shards;
mod shared_resources;
mod spans;
mod stores;
mod stream;
mod targets;
mod targets_of_losses;
