//! The pipeline as other crates see it, on the corpus and on small datasets made on the spot.
//!
//! Tests that need the corpus read `MILLSTREAM_CORPUS`, and say so when they are left out.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod awkward_images;
mod awkward_parquet;
mod bad_input;
mod corpus;
mod decoded_parts;
mod stream;
