use std::collections::HashMap;

use millstream_schemas::{nearest, recipe::TrainSelection};

use super::{Head, Layer, layers, pattern_matches};
use crate::CompilerError;
use crate::model_file::onnx::GraphProto;

/// Which layers are trained, by index.
pub(crate) fn select(
    layers: &[Layer],
    head: Option<&Head>,
    train: &TrainSelection,
) -> Result<Vec<usize>, CompilerError> {
    if layers.is_empty() {
        return Err(CompilerError::Selection("the model has no layer with float32 weights to train".into()));
    }
    let in_head = |layer: &Layer| {
        let names = head.map(|head| (&head.weight, head.bias.as_ref()));
        names.is_some_and(|(weight, bias)| {
            layer.weights.iter().any(|own| own.initializer == *weight || Some(&own.initializer) == bias)
        })
    };
    let is_head = |index: &usize| in_head(&layers[*index]);
    match train {
        TrainSelection::All => Ok((0..layers.len()).collect()),
        TrainSelection::Head if head.is_none() => {
            Err(CompilerError::Selection("`train: head` needs a linear head, and the model has none".into()))
        }
        TrainSelection::Head => Ok((0..layers.len()).filter(is_head).collect()),
        TrainSelection::Last(count) if *count == 0 || *count > layers.len() => Err(CompilerError::Selection(format!(
            "model.train.last: the model has {} layers with weights, so 1 to {} can be trained, got {count}",
            layers.len(),
            layers.len()
        ))),
        TrainSelection::Last(count) => {
            Ok((0..layers.len()).filter(|index| *index >= layers.len() - count || is_head(index)).collect())
        }
        TrainSelection::Match(patterns) => {
            for pattern in patterns {
                if !layers.iter().any(|layer| pattern_matches(pattern, &layer.name)) {
                    let hint = nearest(pattern, layers.iter().map(|layer| layer.name.as_str()))
                        .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
                    return Err(CompilerError::Selection(format!(
                        "model.train.match: no layer matches `{pattern}`{hint}; `millstream inspect MODEL` lists the layers"
                    )));
                }
            }
            let matched = |index: &usize| patterns.iter().any(|pattern| pattern_matches(pattern, &layers[*index].name));
            Ok((0..layers.len()).filter(|index| matched(index) || is_head(index)).collect())
        }
    }
}

/// Gives each node its own copy of a bias or scale that several nodes share.
///
/// Exporters store equal tensors once (all fresh LayerNorm weights, all zero biases), and training would then tie
/// them. Weights of two axes and more stay tied: an embedding used twice is meant to be.
pub(crate) fn untie(graph: &mut GraphProto) {
    let mut readers: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
    for weight in layers(graph).into_iter().flat_map(|layer| layer.weights) {
        if weight.shape.len() <= 1 {
            readers.entry(weight.initializer).or_default().push((weight.node, weight.input));
        }
    }
    let mut shared: Vec<(String, Vec<(usize, usize)>)> =
        readers.into_iter().filter(|(_, uses)| uses.len() > 1).collect();
    shared.sort();
    for (name, uses) in shared {
        let tensor = graph.initializer.iter().find(|tensor| tensor.name() == name).cloned();
        let mut tensor = tensor.expect("layers() lists initializers only");
        for (node, input) in uses.into_iter().skip(1) {
            let own = format!("{name}.{}", graph.node[node].output[0]);
            tensor.name = Some(own.clone());
            graph.initializer.push(tensor.clone());
            graph.node[node].input[input] = own;
        }
    }
}
