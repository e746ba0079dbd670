//! The opset of a training step.

use crate::graph::{Attribute, Graph, Node};
use crate::operators::OperatorCatalog;

/// From this opset on operators add at indices, which the gradients of embeddings and pools do, and from 17 on all forms are
/// there that they use.
const WANTED: i64 = 17;

/// Lets a graph of an older opset follow a newer one, where all of its operators mean the same there.
pub(crate) fn raise(graph: &mut Graph, catalog: &OperatorCatalog) {
    if graph.opset >= WANTED {
        return;
    }
    let is_other = |node: &Node| {
        let is_known = catalog.find("", &node.operator).is_some_and(|row| row.opsets.contains(&WANTED));
        // with statistics as outputs it is in training mode up to opset 13
        let is_training = node.operator == "BatchNormalization" && node.outputs.iter().flatten().count() > 1;
        node.domain.is_empty() && (!is_known || is_training)
    };
    if !graph.has_node(&is_other) {
        to_wanted(graph);
    }
}

/// The same nodes, also those of graphs in them, in the version that is wanted.
fn to_wanted(graph: &mut Graph) {
    for at in 0..graph.nodes().len() {
        let bodies = graph.nodes()[at].attributes.iter().filter_map(|(name, value)| match value {
            Attribute::Body(body) => Some((name.clone(), body.clone())),
            _ => None,
        });
        for (name, body) in bodies.collect::<Vec<_>>() {
            let raised = body.map(|graph| {
                let mut raised = graph.clone();
                to_wanted(&mut raised);
                Ok::<Graph, std::convert::Infallible>(raised)
            });
            let Ok(raised) = raised;
            graph.set_attribute(at, &name, Attribute::Body(raised));
        }
    }
    if graph.opset < 16 {
        let regions: Vec<usize> = (0..graph.nodes().len()).filter(|at| graph.nodes()[*at].is("RoiAlign")).collect();
        for at in regions {
            graph.set_attribute(at, "coordinate_transformation_mode", Attribute::from("output_half_pixel"));
        }
    }
    graph.opset = WANTED;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Constant, TensorType};

    #[test]
    fn a_graph_is_raised_where_its_operators_mean_the_same() {
        let catalog = OperatorCatalog::standard();
        let raised = |opset: i64, operator: &str, outputs: usize| {
            let mut graph = Graph::new(opset, catalog.clone());
            let x = graph.input("x", TensorType::f32([2, 3, 4, 4]));
            let vector = graph.constant("vector", Constant::f32([3], &[1.0; 3]));
            let regions = graph.constant("regions", Constant::f32([1, 4], &[0.0, 0.0, 2.0, 2.0]));
            let of = graph.integers(&[0]);
            let inputs = match operator {
                "BatchNormalization" => vec![x, vector, vector, vector, vector],
                "RoiAlign" => vec![x, regions, of],
                _ => vec![x],
            };
            let inputs: Vec<_> = inputs.into_iter().map(Some).collect();
            graph.add_with(operator, &inputs, &[], outputs).unwrap();
            raise(&mut graph, &catalog);
            graph
        };
        for (opset, operator, outputs, wanted) in [
            (13, "Relu", 1, 17),
            (16, "Relu", 1, 17),
            (20, "Relu", 1, 20),
            (13, "BatchNormalization", 1, 17),
            (13, "BatchNormalization", 3, 13),
        ] {
            assert_eq!(raised(opset, operator, outputs).opset, wanted, "{operator} of opset {opset}");
        }
        let mode =
            |opset| raised(opset, "RoiAlign", 1).nodes()[0].string("coordinate_transformation_mode").map(str::to_owned);
        assert_eq!((mode(13), mode(16)), (Some("output_half_pixel".to_owned()), None));
    }
}
