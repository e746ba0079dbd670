//! This crate as its users see it, on ONNX Runtime's CPU provider.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests that are left out say so, and one that cannot go on fails"
)]

mod architectures;
mod around_steps;
mod averages;
mod checkpoints;
mod failures;
mod looping;
mod measures;
mod precision;
mod prediction;
mod reestimation;
mod references;
mod report;
mod runs;
mod steering;
mod support;
mod training;
