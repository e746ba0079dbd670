//! Tables whose transposed copy scores the entries of an output: one parameter in the source, which an exporter that folds
//! constants stores twice.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::module_path::is_generated;
use super::parameters::may_be_merged;
use crate::graph::{Constant, Graph, Node, ValueId};

/// Lets what multiplies by a matrix that is a table of embeddings transposed read that table, through a `Transpose`. Says of each
/// copy what stands for it.
pub(crate) fn tie_transposed(graph: &mut Graph) -> Vec<(String, String)> {
    let mut first_readers: HashMap<ValueId, Vec<(&str, usize)>> = HashMap::new();
    for node in graph.nodes() {
        for (place, input) in node.inputs.iter().enumerate() {
            let operator = if node.domain.is_empty() { node.operator.as_str() } else { "" };
            first_readers.extend(input.filter(|input| !first_readers.contains_key(input)).map(|input| (input, vec![])));
            if let Some(readers) = input.and_then(|input| first_readers.get_mut(&input)) {
                readers.push((operator, place));
            }
        }
    }
    let outputs: HashSet<ValueId> = graph.outputs().iter().copied().collect();
    let is_read = |value: &ValueId, by: &dyn Fn(&(&str, usize)) -> bool| {
        first_readers.get(value).is_some_and(|readers| readers.iter().any(by))
    };
    let constants: Vec<ValueId> =
        graph.constants().into_iter().filter(|value| graph.float_constant(*value).is_some_and(is_matrix)).collect();
    let tables: Vec<ValueId> =
        constants.iter().copied().filter(|value| is_read(value, &|reader| *reader == ("Gather", 0))).collect();
    if tables.is_empty() {
        return Vec::new();
    }
    let mut found: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for copy in constants {
        let is_factor = is_read(&copy, &|reader| matches!(reader, ("MatMul" | "Gemm", 1)))
            && !is_read(&copy, &|reader| !matches!(reader, ("MatMul" | "Gemm", 1)));
        if !is_factor || !is_generated(graph.name(copy)) || outputs.contains(&copy) || graph.is_overridable(copy) {
            continue;
        }
        let table = tables.iter().find(|table| are_one(graph, **table, copy));
        found.extend(table.map(|table| (copy, *table)));
    }
    let told = found.iter().map(|(copy, table)| (graph.name(*copy).to_owned(), graph.name(*table).to_owned()));
    let told: Vec<(String, String)> = told.collect();
    let mut turned = Vec::new();
    let mut stands_for = HashMap::new();
    for (copy, table) in found {
        let name = graph.free_name(&format!("{}.transposed", graph.name(table)));
        let known = graph.tensor_type(copy).cloned().expect("a constant has a type");
        let made = graph.typed_value(&name, known);
        turned.push(Node {
            name,
            operator: "Transpose".into(),
            inputs: vec![Some(table)],
            outputs: vec![Some(made)],
            attributes: [("perm".to_owned(), vec![1, 0].into())].into(),
            ..Node::default()
        });
        stands_for.insert(copy, made);
    }
    graph.replace_all_reads(&stands_for);
    let nodes = graph.take_nodes();
    turned.into_iter().chain(nodes).for_each(|node| graph.push_node(node));
    told
}

fn is_matrix(constant: &Constant) -> bool {
    constant.shape.len() == 2 && constant.shape.iter().all(|length| *length > 1)
}

/// Whether a matrix is a table transposed, number by number.
fn are_one(graph: &Graph, table: ValueId, copy: ValueId) -> bool {
    let (Some(own), Some(other)) = (graph.float_constant(table), graph.float_constant(copy)) else { return false };
    if [own.shape[1], own.shape[0]] != *other.shape || graph.are_stored_apart(table, copy) || may_be_merged(own) {
        return false;
    }
    let (rows, columns) = (own.shape[0], own.shape[1]);
    let number = |constant: &Constant, at: usize| <[u8; 4]>::try_from(&constant.bytes[at * 4..at * 4 + 4]).ok();
    (0..rows)
        .all(|row| (0..columns).all(|column| number(own, row * columns + column) == number(other, column * rows + row)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, integers, node, read, reads, value};
    use crate::model_file::onnx::TensorProto;

    fn matrix(name: &str, shape: [usize; 2], at: impl Fn(usize, usize) -> f32) -> TensorProto {
        let numbers = (0..shape[0]).flat_map(|row| (0..shape[1]).map(move |column| (row, column)));
        let float_data = numbers.map(|(row, column)| at(row, column)).collect();
        TensorProto {
            name: Some(name.into()),
            dims: shape.map(|length| length as i64).to_vec(),
            data_type: Some(1),
            float_data,
            ..TensorProto::default()
        }
    }

    #[test]
    fn a_head_that_is_the_table_of_words_transposed_is_that_table() {
        let number = |row: usize, column: usize| (row * 3 + column) as f32;
        for (name, other, is_one) in
            [("val_7", 0.0, true), ("onnx::MatMul_7", 0.0, true), ("head.weight", 0.0, false), ("val_7", 1.0, false)]
        {
            let table = matrix("words.weight", [5, 3], number);
            let head = matrix(name, [3, 5], |row, column| number(column, row) + other * (row * column) as f32);
            let nodes = vec![node("Gather", &["words.weight", "x"], &["h"]), node("MatMul", &["h", name], &["y"])];
            let mut graph = read(graph(nodes, vec![table, head], vec![integers("x", &[4])], vec![value("y", &[4, 5])]));
            let tied = tie_transposed(&mut graph);
            assert_eq!(tied.len(), usize::from(is_one), "{name} {other}");
            let factor = if is_one { "words.weight.transposed" } else { name };
            assert!(reads(&graph).contains(&format!("h {factor}")), "{:?}", reads(&graph));
            assert_eq!(graph.nodes().len(), 2 + usize::from(is_one));
        }
    }
}
