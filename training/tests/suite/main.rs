//! This crate as its users see it, on ONNX Runtime's CPU provider.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod checkpoints;
mod prediction;
mod report;
mod runtime;
mod support;
mod training;
