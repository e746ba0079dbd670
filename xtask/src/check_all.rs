//! `cargo check-all`: everything that must hold before a change is handed in.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::book;
use crate::command::{Stream, ask, built, cargo, run, target, watch};
use crate::docs;
use crate::examples;
use crate::runtime::{self, Library};
use crate::stages::Stages;
use crate::streaming_alone;

const CORPUS: &str = "MILLSTREAM_CORPUS";
/// What a test prints when it does nothing because something is missing.
const LEFT_OUT: &str = "left out";

/// Runs all stages, also after one that failed, and sums up.
pub(crate) fn check_all() -> Result<(), String> {
    let mut stages = Stages::new(10);
    stages.run("formatting", || {
        run(&mut cargo(&["fmt", "--all", "--check"]))
            .map(|()| ((), String::new()))
            .map_err(|problem| format!("{problem}; `cargo fmt --all` mends it"))
    });
    let is_built =
        stages.run("build", || done(run(&mut cargo(&["build", "--workspace", "--all-targets", "--locked"]))));
    if is_built.is_none() {
        return stages.sum_up();
    }
    let library = stages.run("ONNX Runtime", || {
        let library = runtime::get(&built("debug", "millstream")?)?;
        let described = library.described();
        Ok((library, described))
    });
    stages.run("lints", || {
        done(run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"])))
    });
    stages.run("documentation", || {
        let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
        done(run(doc.env("RUSTDOCFLAGS", "--deny warnings")))
    });
    stages.run("pages of the book", || {
        done(docs::check(built("debug", "millstream")?).and_then(|()| examples::check()).and_then(|()| book::check()))
    });
    let mut left_out = BTreeSet::new();
    stages.run("examples in the documentation", || {
        let mut test = with_library(&["test", "--workspace", "--doc", "--locked"], library.as_ref());
        done(run(&mut test))
    });
    stages.run("tests", || {
        let summary = if ask(&mut cargo(&["nextest", "--version"])).is_some() {
            nextest(library.as_ref(), &mut left_out)?
        } else {
            println!("cargo-nextest is not installed; `cargo test` runs the same tests, more slowly");
            cargo_test(library.as_ref(), &mut left_out)?
        };
        Ok(((), summary))
    });
    stages.run("a program of its own", || {
        let target = target()?;
        let folder = target.join("extension");
        let arguments = ["run", "--quiet", "--manifest-path", "tests/extension/Cargo.toml", "--target-dir"];
        let mut run_it = with_library(&arguments, library.as_ref());
        run_it.arg(&target).args(["--", "examples/digits/data"]).arg(folder);
        done(run(&mut run_it))
    });
    stages.run("streaming alone", || Ok(((), streaming_alone::check()?)));
    say_what_was_left_out(&left_out);
    stages.sum_up()
}

fn done(outcome: Result<(), String>) -> Result<((), String), String> {
    outcome.map(|()| ((), String::new()))
}

fn with_library(arguments: &[&str], library: Option<&Library>) -> std::process::Command {
    let mut command = cargo(arguments);
    // tests of crates that do not look for the library themselves are told where it is
    if let Some(library) = library {
        command.env("ORT_DYLIB_PATH", &library.path);
    }
    if let Some(folder) = corpus() {
        command.env(CORPUS, folder);
    }
    command
}

/// The folder of real data sets and models, absolute: tests run in the folder of their crate.
fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os(CORPUS).filter(|folder| !folder.is_empty())?;
    Some(std::env::current_dir().map_or_else(|_| PathBuf::from(&folder), |here| here.join(&folder)))
}

/// Runs the tests with nextest; returns its own summary line.
fn nextest(library: Option<&Library>, left_out: &mut BTreeSet<String>) -> Result<String, String> {
    let record = target()?.join("nextest/check-all/junit.xml");
    // a record of an earlier run must not speak for this one
    let _ = fs::remove_file(&record);
    let mut command = with_library(&["nextest", "run", "--workspace", "--locked", "--profile", "check-all"], library);
    let mut summary = String::new();
    let outcome = watch(&mut command, Stream::Errors, |line| {
        if line.trim_start().starts_with("Summary [") {
            summary = line.trim().to_owned();
        }
    });
    if let Ok(text) = fs::read_to_string(&record) {
        left_out.extend(left_out_in_record(&text));
    }
    outcome.map(|()| summary.clone()).map_err(|problem| if summary.is_empty() { problem } else { summary })
}

/// Names of tests that said they were left out, with what they said, from nextest's JUnit record.
fn left_out_in_record(record: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut test = "";
    for line in record.lines() {
        if let Some((_, rest)) = line.split_once("<testcase name=\"") {
            test = rest.split('"').next().unwrap_or(rest);
        }
        if line.contains(LEFT_OUT) && !line.contains("<testcase") {
            let said = line.split('>').next_back().unwrap_or(line);
            found.push(format!(
                "{test}: {}",
                said.split(LEFT_OUT).nth(1).unwrap_or(said).trim_start_matches([',', ':', ' '])
            ));
        }
    }
    found
}

/// Runs the tests with cargo; returns how many passed.
fn cargo_test(library: Option<&Library>, left_out: &mut BTreeSet<String>) -> Result<String, String> {
    let arguments = ["test", "--workspace", "--lib", "--bins", "--tests", "--examples", "--no-fail-fast", "--locked"];
    let mut command = with_library(&[&arguments[..], &["--", "--show-output"]].concat(), library);
    let (mut passed, mut failed) = (0, 0);
    let mut test = String::new();
    let outcome = watch(&mut command, Stream::Output, |line| {
        let count = |what: &str| -> u64 {
            let before = line.split(what).next().unwrap_or_default();
            before.split_whitespace().next_back().and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        if line.starts_with("test result: ") {
            passed += count(" passed");
            failed += count(" failed");
        }
        if let Some(name) = line.strip_prefix("---- ") {
            test = name.trim_end_matches(" stdout ----").to_owned();
        }
        if line.contains(LEFT_OUT) && !test.is_empty() {
            let said = line.split(LEFT_OUT).nth(1).unwrap_or(line);
            left_out.insert(format!("{test}: {}", said.trim_start_matches([',', ':', ' '])));
        }
    });
    let summary = format!("{passed} passed, {failed} failed");
    outcome.map(|()| summary.clone()).map_err(|problem| format!("{summary}: {problem}"))
}

fn say_what_was_left_out(left_out: &BTreeSet<String>) {
    match corpus() {
        Some(folder) => println!("\nReal data sets and models: {} ({CORPUS})", folder.display()),
        None => println!("\n{CORPUS} is not set, so tests on real data sets and models were left out."),
    }
    if !left_out.is_empty() {
        println!("{} tests passed without doing anything:", left_out.len());
    }
    for test in left_out {
        println!("   {test}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_were_left_out_are_found_in_the_record() {
        let record = r#"<?xml version="1.0"?>
            <testcase name="photos::decode" classname="millstream-pipeline::corpus" time="0.1">
                <system-out>
running 1 test
photos::decode: left out, MILLSTREAM_CORPUS is not set
test photos::decode ... ok
</system-out>
            </testcase>
            <testcase name="left out: a name only"/>
            <testcase name="gradients">
                <system-out>left out: MILLSTREAM_CORPUS is not set
                </system-out>
            </testcase>"#;
        let reason = "MILLSTREAM_CORPUS is not set";
        assert_eq!(left_out_in_record(record), [format!("photos::decode: {reason}"), format!("gradients: {reason}")]);
    }
}
