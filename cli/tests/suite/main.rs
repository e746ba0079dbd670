//! The real binary, as a user runs it.

mod bad_data;
mod bad_models;
mod bad_recipes;
mod command_line;
mod corpus;
mod dataset;
mod interruption;
mod onnx;
mod preview;
mod training;
mod workplace;
