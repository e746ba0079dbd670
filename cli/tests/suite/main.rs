//! The real binary, as a user runs it.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests that are left out say so, and one that cannot go on fails"
)]

mod adapter;
mod bad_data;
mod bad_models;
mod bad_recipes;
mod book;
mod class_balance;
mod columns;
mod command_line;
mod compare;
mod compile;
mod corpus;
mod dataset;
mod documents;
mod documents_of_data;
mod emulator;
mod ensemble;
mod errors;
mod evaluation;
mod extending;
mod extension;
mod frozen_prefix;
mod image_layouts;
mod import;
mod import_annotations;
mod import_archives;
mod imported;
mod init;
mod init_places;
mod init_points;
mod input_types;
mod interruption;
mod kill_loop;
mod layers;
mod learning;
mod logs;
mod looping;
mod losses_documented;
mod losses_of_classes;
mod losses_of_labels;
mod losses_of_numbers;
mod losses_of_places;
mod losses_of_sequences;
mod losses_of_vectors;
mod memory;
mod moved;
mod names;
mod onnx;
mod optimizers;
mod predict;
mod predict_and_evaluate;
mod preview;
mod pseudo_terminal;
mod public_validators;
mod reproduce;
mod reviews;
mod run_folder;
mod running;
mod runs;
mod search;
mod search_provenance;
mod search_refused;
mod search_runners;
mod search_sharing;
mod shell;
mod soup_statistics;
mod steering;
mod tables;
mod training;
mod troubleshooting;
mod watch;
mod workplace;
