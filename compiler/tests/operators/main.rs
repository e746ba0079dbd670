//! Every operator of the table, on its own samples: ONNX Runtime says what shapes and values are true, central
//! differences through it say what gradients are.

#![expect(clippy::print_stdout, reason = "tests that are left out say so")]

mod built;
mod central_differences;
mod float64;
mod hostile;
#[path = "../onnx_runtime/mod.rs"]
mod onnx_runtime;
mod special_points;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use built::Built;
use millstream_compiler::OperatorCatalog;
use millstream_compiler::graph::{ElementType, ValueId};
use millstream_compiler::operators::{Gradient, Operator, Sample};
use onnx_runtime::{run, session};

/// Versions at which forms change: reductions at 18, ScatterND's sum at 16, Gelu at 20.
const OPSETS: [i64; 4] = [13, 17, 20, 25];
/// Operators that run graphs of their own: `forms/kept.rs` holds them, on models.
const OF_GRAPHS: [&str; 3] = ["If", "Loop", "Scan"];
/// Operators on texts, files and sequences, which are no tensors of numbers: `forms/beside_tensors.rs` holds them, on models.
const OF_NO_TENSORS: [&str; 6] =
    ["ImageDecoder", "RegexFullMatch", "SequenceMap", "StringConcat", "StringNormalizer", "StringSplit"];
/// What is as large as this stands for what a mask hides, whatever the inputs are.
const HIDDEN: f32 = 1e30;

#[test]
fn outputs_have_the_stated_types_and_folded_values() {
    check_all(|row, sample, opset| {
        let built = Built::new(row, sample, opset)?;
        if !built.runs && !matches!(row.gradient, Gradient::Expand(_)) {
            return Ok(()); // nothing here says what it is
        }
        types_are_true(&built)?;
        fold_is_true(row, &built)
    });
}

#[test]
fn expansions_compute_what_their_operators_do() {
    check_all(|row, sample, opset| match row.gradient {
        Gradient::Expand(_) => expansion_is_true(&Built::new(row, sample, opset)?),
        _ => Ok(()),
    });
}

#[test]
fn every_fold_rule_folds_a_sample() {
    // their folds are of floats that nodes compute of shapes, which the tests of `simplify` hold
    const OF_COMPUTED_FLOATS: [&str; 4] = ["Ceil", "Floor", "Pow", "Sqrt"];
    let of_samples = |row: &&Operator| row.fold.is_some() && !OF_COMPUTED_FLOATS.contains(&row.name);
    for row in OperatorCatalog::standard().rows().filter(of_samples) {
        let folds = (row.samples)().iter().any(|sample| {
            let opset = *sample.opsets.end().min(row.opsets.end());
            Built::new(row, sample, opset).unwrap().folded(row, 0).unwrap().is_some()
        });
        assert!(folds, "no sample of {} folds", row.name);
    }
}

/// Runs a check on every sample at every opset that knows it, and reports all that fail.
fn check_all(check: impl Fn(&Operator, &Sample, i64) -> Result<(), String>) {
    if !onnx_runtime::available() {
        return;
    }
    let mut failures = BTreeSet::new();
    for row in OperatorCatalog::standard().rows() {
        let samples = (row.samples)();
        let has_none = OF_GRAPHS.contains(&row.name) || OF_NO_TENSORS.contains(&row.name);
        assert!(samples.is_empty() == has_none, "{} has no samples", row.name);
        for sample in &samples {
            let opsets = opsets_of(row, sample);
            assert!(!opsets.is_empty(), "{}, {}: no opset is checked", row.name, sample.name);
            for opset in opsets {
                let panicked = |_| Err("panicked".to_owned());
                let outcome = catch_unwind(AssertUnwindSafe(|| check(row, sample, opset))).unwrap_or_else(panicked);
                if let Err(message) = outcome {
                    failures.insert(format!("{} ({}), opset {opset}: {message}", row.name, sample.name));
                }
            }
        }
    }
    let list: Vec<String> = failures.into_iter().collect();
    assert!(list.is_empty(), "{} failed:\n{}", list.len(), list.join("\n"));
}

/// The opsets that a sample is checked at.
fn opsets_of(row: &Operator, sample: &Sample) -> Vec<i64> {
    OPSETS.into_iter().filter(|opset| is_known(row, *opset) && sample.opsets.contains(opset)).collect()
}

/// Whether a row is of this standard opset; other domains have versions of their own, and are checked at their first.
fn is_known(row: &Operator, opset: i64) -> bool {
    !row.domain.is_empty() || row.opsets.contains(&opset)
}

fn types_are_true(built: &Built) -> Result<(), String> {
    for (index, (value, true_value)) in built.outputs.iter().zip(built.run()).enumerate() {
        let stated = built.graph.known_type(*value).expect("the table knows the operator");
        if *stated != true_value.tensor_type() {
            return Err(format!("output {index} is stated as {stated} and is {}", true_value.tensor_type()));
        }
    }
    Ok(())
}

/// All float outputs of an expanded node are those of the node, nearly.
fn expansion_is_true(built: &Built) -> Result<(), String> {
    if built.varied.is_empty() || !built.runs {
        return Ok(());
    }
    let mut expanded = built.expanded().map_err(|error| error.to_string())?;
    let is_float = |value: &ValueId| expanded.known_type(*value).is_ok_and(|known| known.dtype == ElementType::F32);
    let outputs: Vec<ValueId> = built.outputs.iter().copied().filter(is_float).collect();
    let mut node = built.graph.clone();
    let [got, truth] = [&mut expanded, &mut node].map(|graph| {
        graph.set_outputs(&outputs);
        run(&mut session(&graph.to_onnx("outputs")), built.inputs(graph, &built.values()))
    });
    for (index, (got, truth)) in got.iter().zip(&truth).enumerate() {
        let told = truth.iter().filter(|value| value.abs() < HIDDEN);
        let scale = told.fold(1e-3, |largest: f32, value| largest.max(value.abs()));
        let off = |(a, b): (&f32, &f32)| a != b && ((a - b).is_nan() || (a - b).abs() > 2e-5 * scale);
        if got.len() != truth.len() || got.iter().zip(truth).any(off) {
            return Err(format!("output {index} expands to {got:?}, is {truth:?}"));
        }
    }
    Ok(())
}

fn fold_is_true(row: &Operator, built: &Built) -> Result<(), String> {
    for output in 0..built.outputs.len() {
        let Some(folded) = built.folded(row, output)? else { continue };
        let computed = &built.run()[output];
        if folded != *computed {
            return Err(format!("output {output} folds to {folded:?}, is {computed:?}"));
        }
    }
    Ok(())
}
