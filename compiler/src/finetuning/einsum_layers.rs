use std::collections::BTreeMap;

use crate::CompilerError;
use crate::graph::{Constant, Graph, Node, ValueId};

/// Writes sums of products with a constant (`Einsum`) as the linear layers that they are: `ibh,hnd->ibnd` is a product with a matrix
/// `[h, n·d]` whose numbers are divided among heads, `ibnd,hnd->ibh` one of the heads' numbers with a matrix `[h, n·d]`, turned. The
/// constant becomes that matrix; what the model computes stays the same. Constants that anything reads otherwise, and
/// those that whoever runs the model replaces or is given, stay as they are.
///
/// # Errors
/// A node that is added does not fit.
pub(crate) fn write_einsum_layers(graph: &mut Graph) -> Result<(), CompilerError> {
    let mut readers: BTreeMap<ValueId, Vec<Option<Sum>>> = BTreeMap::new();
    for node in graph.nodes() {
        for (at, value) in node.inputs.iter().enumerate() {
            let Some(value) = value.filter(|value| graph.float_constant(*value).is_some()) else { continue };
            readers.entry(value).or_default().push(Sum::of(graph, node).filter(|_| at == 1));
        }
    }
    readers.retain(|value, _| graph.is_own(*value));
    for (weight, sums) in readers {
        let Some(sums) = sums.into_iter().collect::<Option<Vec<Sum>>>() else { continue };
        let Some(first) = sums.first() else { continue };
        if sums.iter().any(|sum| (sum.contracted, sum.is_turned) != (first.contracted, first.is_turned)) {
            continue;
        }
        let Some(constant) = graph.constant_of(weight).cloned() else { continue };
        let Some(values) = constant.to_f32() else { continue };
        let (read, made) = first.parts(&constant.shape);
        let [inputs, outputs] = [read, made].map(|part| part.iter().product::<usize>());
        let shape = if first.is_turned { [outputs, inputs] } else { [inputs, outputs] };
        graph.set_constant(weight, Constant::f32(shape, &values));
        for sum in &sums {
            sum.write(graph, weight, (read, made))?;
        }
    }
    Ok(())
}

/// An `Einsum` that is a linear layer.
struct Sum {
    /// What it makes.
    made: ValueId,
    /// Axes of what it reads in front of those that it sums over.
    rows: usize,
    /// Axes that it sums over, the last ones of what it reads.
    contracted: usize,
    /// Whether the constant has these behind those of what is made.
    is_turned: bool,
}

impl Sum {
    fn of(graph: &Graph, node: &Node) -> Option<Self> {
        let equation: String = node.string("equation").filter(|_| node.is("Einsum"))?.split_whitespace().collect();
        let (operands, made) = equation.split_once("->")?;
        let (x, weight) = operands.split_once(',')?;
        let is_plain = |labels: &str| {
            labels.chars().enumerate().all(|(at, label)| label.is_ascii_alphabetic() && labels.find(label) == Some(at))
        };
        let rows = x.find(|label| weight.contains(label))?;
        let (kept, summed) = x.split_at(rows);
        let own = made.strip_prefix(kept).filter(|own| !own.is_empty() && !kept.is_empty())?;
        let is_turned = match weight {
            weight if weight == format!("{summed}{own}") => false,
            weight if weight == format!("{own}{summed}") => true,
            _ => return None,
        };
        let shape = |at: usize| Some(graph.tensor_type(node.input(at)?)?.shape.as_slice());
        let (read, stored) = (shape(0)?, shape(1)?);
        let fits = [x, weight, made].into_iter().all(is_plain)
            && (read.len(), stored.len()) == (x.len(), weight.len())
            && node.inputs.len() == 2;
        let first_summed = if is_turned { own.len() } else { 0 };
        // runtimes spread axes of length 1 over those of the other side
        let fits = fits
            && read[rows..].iter().zip(&stored[first_summed..]).all(|(length, own)| {
                length.fixed().map_or(own.fixed() != Some(1), |length| own.fixed() == Some(length))
            });
        let made = node.outputs.first().copied().flatten().filter(|_| fits)?;
        Some(Self { made, rows, contracted: summed.len(), is_turned })
    }

    /// The axes of the constant that are summed over, and those of what is made.
    fn parts<'a>(&self, shape: &'a [usize]) -> (&'a [usize], &'a [usize]) {
        match self.is_turned {
            false => shape.split_at(self.contracted),
            true => {
                let (made, read) = shape.split_at(shape.len() - self.contracted);
                (read, made)
            }
        }
    }

    fn write(
        &self,
        graph: &mut Graph,
        weight: ValueId,
        (read, made): (&[usize], &[usize]),
    ) -> Result<(), CompilerError> {
        let is_own = |node: &Node| node.outputs.first().copied().flatten() == Some(self.made);
        let at = graph.nodes().iter().position(is_own).expect("it was just seen");
        let node = &graph.nodes()[at];
        let (x, name) = (node.input(0).expect("it has two"), graph.label(node));
        let before = graph.nodes().len();
        let last = graph.in_front_of(at, |graph| {
            // the axes in front are as long as they are
            let apart = |graph: &mut Graph, value: ValueId, lengths: &[usize], part: &str| {
                let lengths = lengths.iter().map(|length| *length as i64);
                let shape: Vec<i64> = std::iter::repeat_n(0, self.rows).chain(lengths).collect();
                let shape = graph.named_constant(&format!("{name}.{part}_shape"), Constant::i64([shape.len()], &shape));
                graph.append("Reshape", &[value, shape], &[], &format!("{name}.{part}"))
            };
            let x = match read {
                [_] => x,
                read => apart(graph, x, &[read.iter().product()], "joined")?,
            };
            let matrix = match self.is_turned {
                false => weight,
                true => {
                    graph.append("Transpose", &[weight], &[("perm", vec![1, 0].into())], &format!("{name}.turned"))?
                }
            };
            let product = graph.append("MatMul", &[x, matrix], &[], &format!("{name}.product"))?;
            match made {
                [_] => Ok(product),
                made => apart(graph, product, made, "apart"),
            }
        })?;
        let added = graph.nodes().len() - before;
        let is_sum = |node: &Node| node.is("Einsum") && is_own(node);
        graph.retain_nodes(|node| !is_sum(node));
        graph.replace_output(at + added - 1, last, self.made);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, node, proto, read, untyped, value, weight};

    fn einsum(inputs: &[&str], made: &str, equation: &str) -> crate::model_file::onnx::NodeProto {
        use crate::model_file::onnx::{AttributeProto, attribute_proto::AttributeType};
        let mut node = node("Einsum", inputs, &[made]);
        node.attribute.push(AttributeProto {
            name: Some("equation".into()),
            r#type: Some(AttributeType::String.into()),
            s: Some(equation.as_bytes().to_vec().into()),
            ..AttributeProto::default()
        });
        node
    }

    fn written(nodes: Vec<crate::model_file::onnx::NodeProto>, weights: &[(&str, &[usize])]) -> Graph {
        let weights = weights.iter().map(|(name, shape)| weight(name, shape)).collect();
        let mut found = read(graph(nodes, weights, vec![value("x", &[2, 6])], vec![value("y", &[])]));
        write_einsum_layers(&mut found).unwrap();
        found
    }

    fn operators(graph: &Graph) -> Vec<&str> {
        graph.nodes().iter().map(|node| node.operator.as_str()).collect()
    }

    #[test]
    fn projections_by_einsum_are_products_with_matrices() {
        let nodes = vec![einsum(&["x", "q"], "h", "ibh,hnd->ibnd"), einsum(&["h", "o"], "y", "ibnd,hnd->ibh")];
        let found = written(nodes, &[("q", &[6, 2, 4]), ("o", &[6, 2, 4])]);
        assert_eq!(operators(&found), ["MatMul", "Reshape", "Reshape", "Transpose", "MatMul"]);
        let shape = |name: &str| found.constant_of(found.find(name).unwrap()).unwrap().shape.clone();
        assert_eq!((shape("q"), shape("o")), (vec![6, 8], vec![6, 8]));
        let made = |name: &str| found.tensor_type(found.find(name).unwrap()).unwrap().to_string();
        assert_eq!((made("h"), made("y")), ("float32 [batch, 2, 2, 4]".into(), "float32 [batch, 2, 6]".into()));
        let y = found.find("y").unwrap();
        assert!(found.outputs().contains(&y) && found.producer(y).unwrap().is("MatMul"));
    }

    #[test]
    fn other_sums_and_constants_that_something_else_reads_stay() {
        for (nodes, weights) in [
            // axes in another order
            (vec![einsum(&["x", "w"], "y", "ibh,nhd->ibnd")], vec![("w", [2, 6, 4].as_slice())]),
            (vec![einsum(&["x", "w"], "y", "ibh,hnd->bind")], vec![("w", &[6, 2, 4])]),
            // the constant stands first, or is summed away
            (vec![einsum(&["w", "x"], "y", "hnd,ibh->ibnd")], vec![("w", &[6, 2, 4])]),
            (vec![einsum(&["x", "w"], "y", "ibh,h->ib")], vec![("w", &[6])]),
            (vec![einsum(&["x", "w"], "y", "ibh,ibh->ibh")], vec![("w", &[1, 2, 6])]),
            // an axis of length 1 is spread over the other side's
            (vec![einsum(&["x", "w"], "y", "ibh,hnd->ibnd")], vec![("w", &[1, 2, 4])]),
            (vec![einsum(&["x", "w"], "y", "ibh,ndh->ibnd")], vec![("w", &[2, 4, 1])]),
            (vec![einsum(&["x", "w"], "y", "nbh,bhd->nd")], vec![("w", &[1, 6, 4])]),
            (
                vec![einsum(&["x", "w"], "h", "ibh,hnd->ibnd"), node("Add", &["h", "w"], &["y"])],
                vec![("w", &[6, 1, 4])],
            ),
        ] {
            let count = nodes.len();
            let found = written(nodes, &weights);
            assert!(operators(&found).contains(&"Einsum") && found.nodes().len() == count, "{weights:?}");
        }
    }

    #[test]
    fn a_constant_that_the_model_gives_out_or_takes_keeps_its_shape() {
        use prost::Message;
        let shape_of = |inputs: &[&str], outputs: &[&str]| {
            let values = |names: &[&str]| -> Vec<_> { names.iter().map(|name| untyped(name)).collect() };
            let inputs = [vec![value("x", &[2, 6])], values(inputs)].concat();
            let outputs = [vec![value("y", &[2, 2, 4])], values(outputs)].concat();
            let nodes = vec![einsum(&["x", "w"], "y", "ibh,hnd->ibnd")];
            let file = proto(graph(nodes, vec![weight("w", &[6, 2, 4])], inputs, outputs));
            let model = crate::Model::from_bytes(file.encode_to_vec()).unwrap();
            let mut found = model.graph(&BTreeMap::new(), &crate::OperatorCatalog::standard()).unwrap();
            write_einsum_layers(&mut found).unwrap();
            found.constant_of(found.find("w").unwrap()).unwrap().shape.clone()
        };
        assert_eq!(shape_of(&[], &[]), [6, 8]);
        assert_eq!(shape_of(&["w"], &[]), [6, 2, 4]);
        assert_eq!(shape_of(&[], &["w"]), [6, 2, 4]);
    }
}
