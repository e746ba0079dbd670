//! Nodes that no real model has.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use millstream_compiler::OperatorCatalog;
use millstream_compiler::backward::gradients;
use millstream_compiler::graph::{Attribute, Constant, ValueId};
use millstream_compiler::operators::{Sample, SampleInput};

use crate::built::{Built, sum};
use crate::is_known;

/// Lengths, axes and counts that no real model has.
const EXTREMES: [i64; 8] = [i64::MIN, i64::MIN + 1, -1, 0, 1, 7, 1 << 40, i64::MAX];

#[test]
fn hostile_nodes_are_refused_or_stated_but_never_panic() {
    let mut panics = BTreeSet::new();
    for row in OperatorCatalog::standard().rows() {
        for sample in (row.samples)() {
            let opsets: Vec<i64> = [13, 20].into_iter().filter(|opset| is_known(row, *opset)).collect();
            for (number, (what, hostile)) in distorted(&sample).into_iter().enumerate() {
                // by turns: attributes and inputs have the same forms at both, but for few
                if let Some(opset) = opsets.get(number % opsets.len().max(1)).copied() {
                    let tried = catch_unwind(AssertUnwindSafe(|| {
                        let Ok(built) = Built::new(row, &hostile, opset) else { return };
                        let _ = built.folded(row, 0);
                        let wanted: Vec<ValueId> = built.varied.iter().map(|(id, _)| *id).collect();
                        let mut graph = built.graph.clone();
                        let Ok(loss) = sum(&mut graph, built.outputs[0]) else { return };
                        let _ = gradients(&mut graph, loss, &wanted, &OperatorCatalog::standard());
                    }));
                    if tried.is_err() {
                        panics.insert(format!("{} ({}), opset {opset}: {what}", row.name, sample.name));
                    }
                }
            }
        }
    }
    let list: Vec<String> = panics.into_iter().collect();
    assert!(list.is_empty(), "{} panicked:\n{}", list.len(), list.join("\n"));
}

/// A sample with one thing about it changed to something that does not fit.
fn distorted(sample: &Sample) -> Vec<(String, Sample)> {
    let mut all = vec![("too many outputs".to_owned(), sample.clone().with_outputs(sample.outputs + 7))];
    for index in 0..sample.inputs.len() {
        let mut with = |what: &str, input: SampleInput| {
            let mut changed = sample.clone();
            changed.inputs[index] = input;
            all.push((format!("input {index} {what}"), changed));
        };
        with("left out", SampleInput::Absent);
        for shape in [&[][..], &[0], &[5], &[2, 0, 3], &[1, 1, 1, 1, 1, 1]] {
            with("of another shape", SampleInput::Varied { shape: shape.to_vec(), range: (-1.0, 1.0) });
        }
        for value in EXTREMES {
            with(&format!("is [{value}]"), SampleInput::Fixed(Constant::i64([1], &[value])));
            with(&format!("is [2, {value}]"), SampleInput::Fixed(Constant::i64([2], &[2, value])));
            with(&format!("is four times {value}"), SampleInput::Fixed(Constant::i64([4], &[value; 4])));
        }
    }
    for index in 0..sample.attributes.len() {
        let (name, attribute) = &sample.attributes[index];
        let mut with = |value: Attribute| {
            let mut changed = sample.clone();
            all.push((format!("{name} is {value:?}"), {
                changed.attributes[index].1 = value;
                changed
            }));
        };
        with(Attribute::String("nonsense".into()));
        for value in EXTREMES {
            with(Attribute::Int(value));
            let length = if let Attribute::Ints(values) = attribute { values.len() } else { 2 };
            with(Attribute::Ints(vec![value; length]));
            with(Attribute::Ints(vec![value; length + 1]));
        }
    }
    all
}
