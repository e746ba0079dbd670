//! What is learned of columns of numbers, written into a model: it takes raw numbers, and answers in their units.

use millstream_schemas::{Standardization, shown};

use super::nodes::{constant, free_name, node};
use crate::CompilerError;
use crate::graph::Constant;
use crate::model_file::onnx::{GraphProto, NodeProto};

/// Lets an input be filled and standardized before anything reads it.
///
/// # Errors
/// The model has no such input.
pub(crate) fn standardize_input(
    graph: &mut GraphProto,
    input: &str,
    learned: &Standardization,
) -> Result<(), CompilerError> {
    if !graph.input.iter().any(|known| known.name() == input) {
        return Err(CompilerError::setting("data.inputs", format!("the model has no input `{}`", shown(input))));
    }
    let (mut nodes, mut value) = (Vec::new(), input.to_owned());
    if let Some(fill) = &learned.fill {
        let fill = constant(graph, "missing.fill", &Constant::f32([fill.len()], fill));
        let [known, filled] = ["missing.known", "missing.filled"].map(|name| free_name(graph, name));
        // NaN alone is not equal to itself.
        nodes.push(node("Equal", &[&value, &value], &known));
        nodes.push(node("Where", &[&known, &value, &fill], &filled));
        value = filled;
    }
    if let Some((mean, deviation)) = &learned.scale {
        let mean = constant(graph, "standardize.mean", &Constant::f32([mean.len()], mean));
        let deviation = constant(graph, "standardize.deviation", &Constant::f32([deviation.len()], deviation));
        let [centred, scaled] = ["standardize.centred", "standardize.scaled"].map(|name| free_name(graph, name));
        nodes.push(node("Sub", &[&value, &mean], &centred));
        nodes.push(node("Div", &[&centred, &deviation], &scaled));
        value = scaled;
    }
    rename_reads(&mut graph.node, input, &value);
    graph.node.splice(0..0, nodes);
    Ok(())
}

/// Lets an output, which is learned in standard units, answer in those of the column.
pub(crate) fn undo_output(graph: &mut GraphProto, output: &str, learned: &Standardization) {
    let Some((mean, deviation)) = &learned.scale else { return };
    // Constants that are multiplied and added would be taken for a layer that can be trained.
    let negative: Vec<f32> = mean.iter().map(|mean| -mean).collect();
    let inverse: Vec<f32> = deviation.iter().map(|deviation| deviation.recip()).collect();
    let mean = constant(graph, "answer.negative_mean", &Constant::f32([negative.len()], &negative));
    let deviation = constant(graph, "answer.inverse_deviation", &Constant::f32([inverse.len()], &inverse));
    let [standard, scaled] = ["answer.standard", "answer.scaled"].map(|name| free_name(graph, name));
    rename_reads(&mut graph.node, output, &standard);
    for made in graph.node.iter_mut().flat_map(|node| &mut node.output).filter(|made| *made == output) {
        made.clone_from(&standard);
    }
    graph.node.push(node("Div", &[&standard, &deviation], &scaled));
    // The output's name may be that of another node.
    let name = free_name(graph, "answer.units");
    graph.node.push(NodeProto { name: Some(name), ..node("Sub", &[&scaled, &mean], output) });
}

fn rename_reads(nodes: &mut [NodeProto], from: &str, to: &str) {
    for read in nodes.iter_mut().flat_map(|node| &mut node.input).filter(|read| *read == from) {
        to.clone_into(read);
    }
}
