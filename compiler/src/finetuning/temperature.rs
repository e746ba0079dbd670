//! The temperature of a model's scores (Guo et al., "On calibration of modern neural networks", 2017).

use millstream_schemas::shown;

use crate::CompilerError;
use crate::graph::{Constant, Graph};

/// Lets all that reads the value `scores` read it divided by a number above 0; an output of this name is that, too.
///
/// # Errors
/// The number is none above 0, or no node makes the value.
pub(crate) fn divide_scores(graph: &mut Graph, scores: &str, temperature: f32) -> Result<(), CompilerError> {
    if !(temperature.is_finite() && temperature > 0.0) {
        return Err(refused(format!("wanted a finite number above 0, got {temperature}")));
    }
    let maker = maker_of_scores(graph, scores)?;
    // by this name it is no parameter where the file is trained again
    let temperature = graph.named_constant("scores.temperature", Constant::f32([], &[temperature]));
    graph.replace_result(maker, "scores.uncalibrated", |graph, scores| {
        graph.append("Div", &[scores, temperature], &[], "scores.calibrated")
    })
}

/// The number of the node whose first output the scores are.
///
/// # Errors
/// No node makes them.
pub(crate) fn maker_of_scores(graph: &Graph, scores: &str) -> Result<usize, CompilerError> {
    let maker = graph.find(scores).and_then(|value| {
        let at = graph.maker(value)?;
        (graph.nodes()[at].outputs.first() == Some(&Some(value))).then_some(at)
    });
    maker.ok_or_else(|| {
        let scores = shown(scores);
        refused(format!(
            "the scores `{scores}` are the first output of no node, so nothing can divide them; leave it out"
        ))
    })
}

fn refused(message: String) -> CompilerError {
    CompilerError::setting("evaluation.calibrate.temperature", message)
}

#[cfg(test)]
mod tests {
    use crate::handmade::{graph, model, node, value, weight};
    use crate::model_file::Model;
    use crate::{FineTuning, HeadChoice, OperatorCatalog, compile};
    use millstream_schemas::recipe::{AdaptersOutput, TrainSelection};

    #[test]
    fn the_temperature_of_a_calibrated_file_is_no_parameter_when_it_is_trained_again() {
        let nodes = vec![node("Gemm", &["x", "head.weight", "head.bias"], &["y"])];
        let weights = vec![weight("head.weight", &[4, 3]), weight("head.bias", &[3])];
        let model = model(graph(nodes, weights, vec![value("x", &[4])], vec![value("y", &[3])]));
        let all = FineTuning { head: HeadChoice::keep(), train: TrainSelection::All, ..FineTuning::head(2, 3) };
        let trained = |model: &Model| -> Vec<String> {
            let program = compile(model, &all, &OperatorCatalog::standard()).unwrap();
            program.manifest.parameters.iter().map(|entry| entry.name.clone()).collect()
        };
        let program = compile(&model, &all, &OperatorCatalog::standard()).unwrap();
        let exported = program.export_calibrated(&program.parameters, AdaptersOutput::Merged, 2.37, &[]).unwrap();
        let calibrated = Model::from_bytes(exported.to_vec()).unwrap();
        assert_eq!(trained(&calibrated), trained(&model));
    }

    #[test]
    fn scores_are_divided_before_a_softmax_and_where_they_are_the_output() {
        for tail in [Some("Softmax"), None] {
            let scores = if tail.is_some() { "s" } else { "y" };
            let mut nodes = vec![node("Gemm", &["x", "head.weight", "head.bias"], &[scores])];
            nodes.extend(tail.map(|operator| node(operator, &["s"], &["y"])));
            let weights = vec![weight("head.weight", &[4, 3]), weight("head.bias", &[3])];
            let model = model(graph(nodes, weights, vec![value("x", &[4])], vec![value("y", &[3])]));
            let program = compile(&model, &FineTuning::head(2, 3), &OperatorCatalog::standard()).unwrap();
            let exported =
                |temperature| program.export_calibrated(&program.parameters, AdaptersOutput::Merged, temperature, &[]);
            let calibrated = Model::from_bytes(exported(2.5).unwrap().to_vec()).unwrap();
            let graph = calibrated.graph(&Default::default(), &OperatorCatalog::standard()).unwrap();
            let operators: Vec<&str> = graph.nodes().iter().map(|node| node.operator.as_str()).collect();
            assert_eq!(operators, ["Gemm", "Div"].into_iter().chain(tail).collect::<Vec<_>>());
            let [_, division, ..] = graph.nodes() else { panic!() };
            assert_eq!(graph.constant_of(division.input(1).unwrap()).unwrap().to_f32().unwrap(), [2.5]);
            assert_eq!(graph.name(division.outputs[0].unwrap()), scores);
            for adapters in [AdaptersOutput::Merged, AdaptersOutput::Unmerged] {
                program.require_temperature(adapters).unwrap();
            }
            for no_result in ["x", "head.bias", "nothing"] {
                let message = super::maker_of_scores(&graph, no_result).unwrap_err().to_string();
                assert!(message.contains("are the first output of no node"), "{message}");
            }
            for wrong in [0.0, -1.0, f32::NAN, f32::INFINITY] {
                let message = exported(wrong).unwrap_err().to_string();
                assert!(message.contains("wanted a finite number above 0"), "{message}");
            }
        }
    }
}
