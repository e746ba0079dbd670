//! Tasks around the code: `cargo xtask book`, `cargo demo`, `cargo check-all`, `cargo xtask docs`, `cargo xtask examples`,
//! `cargo xtask exports`, `cargo xtask legible`, `cargo xtask pages`, `cargo xtask release`, `cargo xtask sbom`, `cargo xtask setup`.
//!
//! The standard library and a JSON parser, so that it starts in seconds on a fresh clone. What the product can do is left to its
//! command line; here commands are only put in order, timed and summed up.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task is watched by the one who started it")]

mod bill;
mod book;
mod check_all;
mod command;
mod demo;
mod docs;
mod examples;
mod exports;
mod legible;
mod pages;
mod pictures;
mod release;
mod runtime;
mod stages;
mod streaming_alone;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask TASK

  book        carry out the commands on the pages of the book as a reader would, in target/book-run; `--list` says which are
              left out and why, names of pages run these alone
  demo        pretrain a small network on handwritten digits, fine-tune it with and without augmentation, show the result
              (also: cargo demo)
  check-all   formatting, lints, documentation and every test (also: cargo check-all)
  docs        write the pages of the book that say what the program says itself (recipe, catalogs, commands, gallery); with
              `--check` only say which are out of date
  examples    run the examples of examples/README.md from nothing to their figures, and hold these against the page;
              `--debug` with a build that is made sooner, `--page` only writes the page
  exports     write some 200 public architectures as ONNX by several exporters, train each by one step and compare its
              gradients with float64 autograd; an hour or so on two cores, and 5 GB of Python packages. `exports --help`
              says how to do a part (tests/exports/README.md)
  legible     make a small run and a small study, and look with Chromium at the report, the study's page and the page of all runs
              at 400, 800 and 1400 pixels and as on paper: nothing is wider than its window, no letters are too small; names
              of pages look at these instead
  pages       the book as web pages in target/book, built by mdBook, every link followed
  pictures    carry out docs/first-steps.md and take the pictures of it (docs/images/first-steps-*.png), with Chromium
  release     one archive for this platform in target/release/archives: the program, completions, manual pages, licences,
              a bill of its crates, and its checksum; on Linux also what it needs, and a training of two steps in a folder with
              nothing around it
  sbom        the crates that the program is made of, with licences and checksums, as CycloneDX 1.6; `sbom FILE` writes it
  setup       get the ONNX Runtime library, for tests and tools that are started by hand

check-all also runs the tests on real data sets and models when MILLSTREAM_CORPUS names their folder.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["demo"] => demo::demo(),
        ["book", ref rest @ ..] => book::book(rest),
        ["check-all"] => check_all::check_all(),
        ["docs", ref rest @ ..] => docs::docs(rest),
        ["examples", ref rest @ ..] => examples::examples(rest),
        ["exports", ref rest @ ..] => exports::exports(rest),
        ["legible", ref rest @ ..] => legible::legible(rest),
        ["pages", ref rest @ ..] => pages::pages(rest),
        ["pictures", ref rest @ ..] => pictures::pictures(rest),
        ["release"] => release::release(),
        ["sbom", ref rest @ ..] => release::host().and_then(|host| bill::sbom(rest, &host)),
        ["setup"] => runtime::setup(),
        [] | ["help" | "-h" | "--help"] => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => Err(format!("no task `{}`\n\n{HELP}", arguments.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("\nerror: {problem}");
            ExitCode::FAILURE
        }
    }
}
