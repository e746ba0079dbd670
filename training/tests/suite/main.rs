//! This crate as its users see it, on ONNX Runtime's CPU provider.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests that are left out say so, and one that cannot go on fails"
)]

mod checkpoints;
mod failures;
mod looping;
mod measures;
mod prediction;
mod references;
mod report;
mod runs;
mod support;
mod training;
