//! Transposed convolutions as cuDNN takes them: with as much padding behind an axis as in front of it.

use crate::graph::{Attribute, Graph, Length, Node, TensorType};

/// Lets transposed convolutions cut the same on both sides of an axis, and a slice the rest. Those over open axes stay.
pub(crate) fn even_padding(graph: &mut Graph) {
    for mut node in graph.take_nodes() {
        match uneven(graph, &node) {
            Some(cut) => {
                let wide = graph.typed_value("wide", cut.wide);
                let made = std::mem::replace(&mut node.outputs, vec![Some(wide)]);
                node.attributes.insert("pads".into(), Attribute::Ints(cut.even));
                let bounds = [cut.starts, cut.ends, cut.axes].map(|numbers| Some(graph.integers(&numbers)));
                let slice = Node {
                    name: format!("{}.cut", node.name),
                    operator: "Slice".into(),
                    domain: String::new(),
                    inputs: std::iter::once(Some(wide)).chain(bounds).collect(),
                    outputs: made,
                    attributes: Default::default(),
                    metadata: Vec::new(),
                };
                graph.push_node(node);
                graph.push_node(slice);
            }
            None => graph.push_node(node),
        }
    }
}

struct Cut {
    even: Vec<i64>,
    wide: TensorType,
    starts: Vec<i64>,
    ends: Vec<i64>,
    axes: Vec<i64>,
}

fn uneven(graph: &Graph, node: &Node) -> Option<Cut> {
    if !node.is("ConvTranspose") || node.ints("output_shape").is_some() {
        return None;
    }
    let pads = node.ints("pads")?;
    let rank = pads.len() / 2;
    let (before, after) = pads.split_at(rank);
    let made = graph.tensor_type(node.outputs.first().copied().flatten()?)?;
    let lengths = made.fixed_shape()?;
    if before == after || lengths.len() != rank + 2 {
        return None;
    }
    let common: Vec<i64> = before.iter().zip(after).map(|(before, after)| *before.min(after)).collect();
    let mut cut = Cut {
        even: [common.clone(), common.clone()].concat(),
        wide: made.clone(),
        starts: Vec::new(),
        ends: Vec::new(),
        axes: Vec::new(),
    };
    for axis in 0..rank {
        let extra = before[axis] + after[axis] - 2 * common[axis];
        if extra > 0 {
            let length = i64::try_from(lengths[axis + 2]).ok()?;
            let start = before[axis] - common[axis];
            cut.wide.shape[axis + 2] = Length::number(length + extra);
            cut.starts.push(start);
            cut.ends.push(start + length);
            cut.axes.push(axis as i64 + 2);
        }
    }
    Some(cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Constant, ElementType};
    use crate::operators::OperatorCatalog;

    #[test]
    fn pads_become_the_smaller_of_both_sides_and_the_rest_is_cut() {
        [ElementType::F32, ElementType::F16].into_iter().for_each(is_cut);
    }

    #[track_caller]
    fn is_cut(dtype: ElementType) {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType { dtype, ..TensorType::f32([1, 2, 5, 5]) });
        let kernel = graph.input("kernel", TensorType { dtype, ..TensorType::f32([2, 3, 3, 3]) });
        let attributes = [("strides", vec![2, 2].into()), ("pads", vec![0, 1, 1, 0].into())];
        let made = graph.add("ConvTranspose", &[x, kernel], &attributes).unwrap();
        graph.set_outputs(&[made]);
        even_padding(&mut graph);
        let [wide, cut] = graph.nodes() else { panic!("{} nodes", graph.nodes().len()) };
        assert_eq!(wide.ints("pads"), Some(&[0, 0, 0, 0][..]));
        let shape = |value| graph.tensor_type(value).and_then(TensorType::fixed_shape);
        assert_eq!(graph.tensor_type(wide.outputs[0].unwrap()).unwrap().dtype, dtype);
        assert_eq!(shape(wide.outputs[0].unwrap()), Some(vec![1, 3, 11, 11]));
        assert_eq!((shape(made), cut.outputs[0]), (Some(vec![1, 3, 10, 10]), Some(made)));
        let bound = |at: usize| graph.constant_of(cut.inputs[at].unwrap()).and_then(Constant::to_i64).unwrap();
        assert_eq!([bound(1), bound(2), bound(3)], [vec![0, 1], vec![10, 11], vec![2, 3]]);
    }
}
