//! New weights in the place of a head's.

use std::collections::HashMap;

use super::head::Head;
use super::score_effects::{ScoreEffect, score_effect};
use crate::CompilerError;
use crate::graph::{Constant, Graph, Node, TensorType, ValueId};
use crate::inference::infer_behind;
use crate::initializers::{Fans, Initializer};
use crate::model_file::MOST_ENCODED;
use crate::operators::OperatorCatalog;
use millstream_schemas::shown;

/// Puts fresh weights for `classes` classes in the head's place; its bias starts at zero.
pub(crate) fn replace_head(
    graph: &mut Graph,
    head: &mut Head,
    classes: usize,
    how: &Initializer,
    seed: u64,
    catalog: &OperatorCatalog,
) -> Result<(), CompilerError> {
    let reads = |value: &ValueId| {
        graph.nodes().iter().flat_map(|node| node.inputs.iter().flatten()).filter(|read| *read == value).count()
    };
    // the weight, too, as its node reads it, which may be a matrix that is made of it
    let of_head = |head: &Head| [Some(head.weight), graph.nodes()[head.node].input(1), head.bias];
    let own: Vec<ValueId> = head.all().flat_map(of_head).flatten().collect();
    if let Some(shared) = own.iter().copied().find(|value| reads(value) > 1) {
        return Err(CompilerError::setting(
            "model.head",
            format!(
                "the head's weight `{}` is shared with another node, so it cannot be replaced; use `head: keep`",
                shown(graph.name(shared))
            ),
        ));
    }
    draw(graph, head, classes, how, seed)?;
    for other in &mut head.others {
        draw(graph, other, classes, how, seed)?;
    }
    restate(graph, head, classes, catalog);
    Ok(())
}

fn draw(graph: &mut Graph, head: &mut Head, classes: usize, how: &Initializer, seed: u64) -> Result<(), CompilerError> {
    let mut shape = graph.constant_of(head.weight).expect("find_head saw it").shape.clone();
    shape[head.class_axis] = classes;
    let others = shape.iter().enumerate().filter(|(axis, _)| *axis != head.class_axis).map(|(_, length)| *length);
    let features = others.fold(1, usize::saturating_mul);
    let words = format!("a head of {features} features and {classes} classes");
    require_size(&shape, &words, "use `head: keep`, or data of fewer classes")?;
    let weight = how.draw(&shape, Fans::of_dense(features, classes), seed, graph.name(head.weight));
    graph.set_constant(head.weight, weight);
    if let Some(bias) = head.bias {
        graph.set_constant(bias, Constant::f32([classes], &vec![0.0; classes]));
    }
    head.classes = classes;
    Ok(())
}

/// Refuses the weight of a new head's layer, called so in words, before it is made.
///
/// # Errors
/// It holds no number, or more than an ONNX file in one piece takes.
pub(crate) fn require_size(shape: &[usize], words: &str, advice: &str) -> Result<(), CompilerError> {
    let bytes = shape.iter().fold(size_of::<f32>(), |bytes, length| bytes.saturating_mul(*length));
    let problem = match bytes {
        0 => "holds no number".to_owned(),
        bytes if bytes > MOST_ENCODED => format!("holds more than {MOST_ENCODED} bytes; {advice}"),
        _ => return Ok(()),
    };
    Err(CompilerError::setting("model.head", format!("{words} {problem}")))
}

/// Types behind the head speak of the old classes: where the rules cannot tell them, those whose axis still counts classes,
/// the last one or that of a convolution's channels, are restated, the others are not known any more.
fn restate(graph: &mut Graph, head: &Head, classes: usize, catalog: &OperatorCatalog) {
    use ScoreEffect::{Chances, Keeps, Resizes};
    let keeps_axes = |node: &Node| node.is("Add") || matches!(score_effect(node), Some(Chances | Keeps | Resizes));
    let is_channel = graph.nodes()[head.node].is("Conv");
    let heads: Vec<usize> = head.all().map(|head| head.node).collect();
    let mut of_classes: HashMap<ValueId, Option<TensorType>> = HashMap::new();
    for (at, node) in graph.nodes().iter().enumerate() {
        let reads_classes = node.inputs.iter().flatten().any(|input| of_classes.contains_key(input));
        if heads.contains(&at) || reads_classes && keeps_axes(node) {
            for made in node.outputs.iter().flatten() {
                let mut known = graph.tensor_type(*made).cloned();
                let shape = known.as_mut().map(|known| known.shape.as_mut_slice());
                if let Some(counts) =
                    shape.and_then(|shape| if is_channel { shape.get_mut(1) } else { shape.last_mut() })
                {
                    *counts = classes.into();
                }
                of_classes.insert(*made, known);
            }
        }
    }
    let changed: Vec<ValueId> = head.all().flat_map(|head| [Some(head.weight), head.bias]).flatten().collect();
    infer_behind(graph, changed, catalog, &|value| of_classes.get(&value).cloned().flatten());
}
