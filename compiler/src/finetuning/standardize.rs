//! What is learned of columns of numbers, written into a model: it takes raw numbers, and answers in their units.

use millstream_schemas::{Standardization, shown};

use super::nodes::producers;
use crate::CompilerError;
use crate::graph::{Constant, Graph, ValueId};

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
            let fill = graph.named_constant("missing.fill", Constant::f32([fill.len()], fill));
            // NaN alone is not equal to itself.
            let known = graph.append("Equal", &[value, value], &[], "missing.known")?;
            value = graph.append("Where", &[known, value, fill], &[], "missing.filled")?;
        }
        if let Some((mean, deviation)) = &learned.scale {
            let mean = graph.named_constant("standardize.mean", Constant::f32([mean.len()], mean));
            let deviation = graph.named_constant("standardize.deviation", Constant::f32([deviation.len()], deviation));
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
    let mean = graph.named_constant("answer.negative_mean", Constant::f32([negative.len()], &negative));
    let deviation = graph.named_constant("answer.inverse_deviation", Constant::f32([inverse.len()], &inverse));
    let name = shown(graph.name(output));
    let Some(maker) = producers(graph).get(&output).copied() else {
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
