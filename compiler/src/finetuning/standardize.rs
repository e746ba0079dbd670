//! What is learned of columns of numbers, written into a model: it takes raw numbers, and answers in their units.

use millstream_schemas::{Standardization, shown};

use crate::CompilerError;
use crate::graph::{Constant, Graph, ValueId};

const FILL: &str = "missing.fill";
const MEAN: &str = "standardize.mean";
const DEVIATION: &str = "standardize.deviation";
const NEGATIVE_MEAN: &str = "answer.negative_mean";
const INVERSE_DEVIATION: &str = "answer.inverse_deviation";
/// What is written here, and the operators that read it.
const WRITTEN: [(&str, &str); 5] =
    [("Where", FILL), ("Sub", MEAN), ("Div", DEVIATION), ("Sub", NEGATIVE_MEAN), ("Div", INVERSE_DEVIATION)];

/// Whether a constant that this operator reads is one that was learned of columns of numbers, of this training or of the one that wrote the
/// model: what rows are prepared by stays as it is, whatever is trained.
pub(super) fn is_preprocessing(operator: &str, name: &str) -> bool {
    let is_numbered = |rest: &str| {
        rest.is_empty()
            || rest.strip_prefix('_').is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
    };
    WRITTEN.iter().any(|(reader, known)| *reader == operator && name.strip_prefix(known).is_some_and(is_numbered))
}

/// Lets an input be filled and standardized before anything reads it.
///
/// # Errors
/// The model has no such input.
pub(crate) fn standardize_input(
    graph: &mut Graph,
    input: &str,
    learned: &Standardization,
) -> Result<(), CompilerError> {
    let Some(input) = graph.inputs().iter().copied().find(|known| graph.name(*known) == input) else {
        return Err(CompilerError::setting("data.inputs", format!("the model has no input `{}`", shown(input))));
    };
    let before = graph.nodes().len();
    let value = graph.in_front_of(0, |graph| {
        let mut value = input;
        if let Some(fill) = &learned.fill {
            let fill = graph.named_constant(FILL, Constant::f32([fill.len()], fill));
            // NaN alone is not equal to itself.
            let known = graph.append("Equal", &[value, value], &[], "missing.known")?;
            value = graph.append("Where", &[known, value, fill], &[], "missing.filled")?;
        }
        if let Some((mean, deviation)) = &learned.scale {
            let mean = graph.named_constant(MEAN, Constant::f32([mean.len()], mean));
            let deviation = graph.named_constant(DEVIATION, Constant::f32([deviation.len()], deviation));
            let centred = graph.append("Sub", &[value, mean], &[], "standardize.centred")?;
            value = graph.append("Div", &[centred, deviation], &[], "standardize.scaled")?;
        }
        Ok(value)
    })?;
    graph.replace_reads(graph.nodes().len() - before, input, value);
    Ok(())
}

/// Lets an output, which is learned in standard units, answer in those of the column.
///
/// # Errors
/// It is made by no node.
pub(crate) fn undo_output(graph: &mut Graph, output: ValueId, learned: &Standardization) -> Result<(), CompilerError> {
    let Some((mean, deviation)) = &learned.scale else { return Ok(()) };
    // Constants that are multiplied and added would be taken for a layer that can be trained.
    let negative: Vec<f32> = mean.iter().map(|mean| -mean).collect();
    let inverse: Vec<f32> = deviation.iter().map(|deviation| deviation.recip()).collect();
    let mean = graph.named_constant(NEGATIVE_MEAN, Constant::f32([negative.len()], &negative));
    let deviation = graph.named_constant(INVERSE_DEVIATION, Constant::f32([inverse.len()], &inverse));
    let name = shown(graph.name(output));
    let Some(maker) = graph.maker(output) else {
        return Err(CompilerError::setting("model.output", format!("output `{name}` is made by no node")));
    };
    let standard = graph.like("answer.standard", output);
    graph.replace_output(maker, output, standard);
    graph.replace_reads(0, output, standard);
    let scaled = graph.append("Div", &[standard, deviation], &[], "answer.scaled")?;
    let units = graph.append("Sub", &[scaled, mean], &[], "answer.units")?;
    let last = graph.nodes().len() - 1;
    graph.replace_output(last, units, output);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finetuning::frozen_constant::frozen_constants;
    use crate::finetuning::layers::layers;
    use crate::graph::{Length, TensorType};
    use crate::operators::OperatorCatalog;

    #[test]
    fn what_fills_and_standardizes_inputs_is_not_trained_whatever_is() {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let inputs =
            ["x", "z"].map(|name| graph.input(name, TensorType::f32([Length::named("batch"), 2_usize.into()])));
        let both = graph.add("Concat", &inputs, &[("axis", 1.into())]).unwrap();
        let weight = graph.constant("answer.weight", Constant::f32([4, 3], &[0.5; 12]));
        let answer = graph.add("MatMul", &[both, weight], &[]).unwrap();
        graph.output(answer);
        let learned = Standardization { fill: Some(vec![0.5, 1.5]), scale: Some((vec![0.25, 1.0], vec![2.0, 3.0])) };
        for input in ["x", "z"] {
            standardize_input(&mut graph, input, &learned).unwrap();
        }
        let output = graph.outputs()[0];
        undo_output(&mut graph, output, &Standardization { fill: None, scale: Some((vec![1.0; 3], vec![2.0; 3])) })
            .unwrap();
        let catalog = OperatorCatalog::standard();
        let found = layers(&graph, &catalog);
        let names: Vec<&str> = found.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names, ["answer"], "what rows are prepared by is taken for a layer");
        let frozen = frozen_constants(&graph, &found, &catalog);
        assert_eq!(frozen.len(), 8, "{frozen:?}");
        assert!(frozen.iter().all(|one| one.reason.starts_with("learned from the training rows")), "{frozen:?}");
    }

    #[test]
    fn other_constants_by_like_names_are_told_apart() {
        for (operator, name, wanted) in [
            ("Where", "missing.fill", true),
            ("Where", "missing.fill_2", true),
            ("Add", "missing.fill", false),
            ("Where", "missing.filler", false),
            ("Sub", "standardize.mean_x", false),
        ] {
            assert_eq!(is_preprocessing(operator, name), wanted, "{operator} {name}");
        }
    }
}
