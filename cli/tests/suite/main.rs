//! The real binary, as a user runs it.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests that are left out say so, and one that cannot go on fails"
)]

mod bad_data;
mod bad_models;
mod bad_recipes;
mod command_line;
mod compile;
mod corpus;
mod dataset;
mod emulator;
mod extension;
mod interruption;
mod looping;
mod memory;
mod names;
mod onnx;
mod preview;
mod pseudo_terminal;
mod reviews;
mod run_folder;
mod tables;
mod training;
mod workplace;
