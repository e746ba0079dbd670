//! Parameters that a file stores several times, which are one in the source.

use std::collections::{BTreeMap, HashMap};

use millstream_schemas::{count, shown};

use super::module_path::{is_generated, of_node, without_call};
use super::parameters::may_be_merged;
use crate::graph::{Constant, Graph, ValueId};

/// Lets all that reads one of several equal tensors of a module read the first of them, and says of each copy what stands for it.
///
/// Exporters that fold constants store a matrix in another form each time that its module is called, or once for each operation
/// that its module is made of; trained apart they would no longer be one. What modules of other paths read stays apart, as do scales, biases, and what
/// has names of its own.
pub(crate) fn tie(graph: &mut Graph) -> Vec<(String, String)> {
    let mut groups: BTreeMap<(&[usize], &[u8]), Vec<ValueId>> = BTreeMap::new();
    for value in graph.constants() {
        // what may be merged is untied, and there is much of it that is all alike
        let is_candidate = |constant: &&Constant| is_wide(constant) && !may_be_merged(constant);
        if let Some(constant) = graph.float_constant(value).filter(is_candidate) {
            // most that differ do so at their beginning
            let beginning = &constant.bytes[..constant.bytes.len().min(64)];
            groups.entry((&constant.shape, beginning)).or_default().push(value);
        }
    }
    let groups: Vec<Vec<ValueId>> = groups.into_values().filter(|values| values.len() > 1).collect();
    if groups.is_empty() {
        return Vec::new();
    }
    let modules = modules(graph);
    let mut stands_for: HashMap<ValueId, ValueId> = HashMap::new();
    let mut told = Vec::new();
    for values in groups {
        for (place, copy) in values.iter().enumerate().skip(1) {
            let first = values[..place].iter().find(|first| are_one(graph, &modules, **first, *copy));
            if let Some(first) = first {
                let first = stands_for.get(first).copied().unwrap_or(*first);
                stands_for.insert(*copy, first);
                told.push((graph.name(*copy).to_owned(), graph.name(first).to_owned()));
            }
        }
    }
    graph.replace_all_reads(&stands_for);
    stands_for.keys().for_each(|copy| graph.forget_constant(*copy));
    told
}

/// What there is to say of what was tied, in words.
pub(crate) fn note(tied: &[(String, String)]) -> Option<String> {
    let (copy, first) = tied.first()?;
    let all = count(tied.len() as u64, "tensor");
    Some(format!(
        "the file stores {all} again that a module has once: each stays one parameter with what it is equal to (`{}` with `{}`{})",
        shown(copy),
        shown(first),
        if tied.len() > 1 { ", and others" } else { "" }
    ))
}

/// Whether more than one axis is longer than 1.
fn is_wide(constant: &Constant) -> bool {
    constant.shape.iter().filter(|length| **length > 1).count() > 1
}

/// The paths of the modules that read each constant; nothing where a reader has none, or its output does.
fn modules(graph: &Graph) -> HashMap<ValueId, Option<Vec<String>>> {
    let mut found: HashMap<ValueId, Option<Vec<String>>> = HashMap::new();
    for node in graph.nodes() {
        let path = of_node(graph, node);
        for input in node.inputs.iter().flatten() {
            let own = found.entry(*input).or_insert_with(|| Some(Vec::new()));
            *own = own.take().zip(path.clone()).map(|(mut paths, path)| {
                paths.push(without_call(&path).to_owned());
                paths
            });
        }
    }
    found.extend(graph.outputs().iter().map(|output| (*output, None)));
    found
}

fn are_one(graph: &Graph, modules: &HashMap<ValueId, Option<Vec<String>>>, first: ValueId, copy: ValueId) -> bool {
    let (Some(own), Some(other)) = (graph.float_constant(first), graph.float_constant(copy)) else { return false };
    let names = (graph.name(first), graph.name(copy));
    let paths = |value: ValueId| modules.get(&value).and_then(Option::as_ref).filter(|paths| !paths.is_empty());
    let of_one_module = || {
        let (Some(own), Some(other)) = (paths(first), paths(copy)) else { return false };
        own.iter().chain(other).all(|path| *path == own[0])
    };
    let has_made_up_name = is_generated(names.0) || is_generated(names.1);
    (is_numbered(names.0, names.1) || has_made_up_name && of_one_module())
        && !graph.are_stored_apart(first, copy)
        && own.bytes == other.bytes
        && [first, copy].iter().all(|value| graph.is_own(*value))
}

/// Whether the second name is the first with a number behind it, as exporters tell two tensors of one name apart.
fn is_numbered(first: &str, second: &str) -> bool {
    let number = |name: &str, other: &str| {
        let rest = other.strip_prefix(name).and_then(|rest| rest.strip_prefix('_'));
        rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    number(first, second) || number(second, first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, node, read, reads, untyped, value, weight};
    use crate::model_file::onnx::NodeProto;

    #[test]
    fn a_matrix_that_an_exporter_stores_for_each_call_of_its_module_stays_one_parameter() {
        // names of two nodes, of what they read, and whether it is one afterwards
        for (nodes, names, is_one) in [
            (["/layer/linear/MatMul", "/layer/linear/MatMul_1"], ["val_1", "val_2"], true),
            (["/layer/linear/MatMul", "/layer/linear_1/MatMul"], ["val_1", "val_2"], true),
            (["/layer/linear/MatMul", "/layer/linear/MatMul_1"], ["linear.weight", "val_2"], true),
            (["/layer/linear/MatMul", "/layer/linear/MatMul_1"], ["a.weight", "b.weight"], false),
            (["/layers.0/linear/MatMul", "/layers.1/linear/MatMul"], ["val_1", "val_2"], false),
            (["one", "two"], ["val_1", "val_2"], false),
            (["one", "two"], ["mixed", "mixed_1"], true),
        ] {
            let reading = |at: usize, from: &str, to: &str| NodeProto {
                name: Some(nodes[at].into()),
                ..node("MatMul", &[from, names[at]], &[to])
            };
            let weights = names.map(|name| weight(name, &[4, 4])).to_vec();
            let nodes = vec![reading(0, "x", "h"), reading(1, "h", "y")];
            let mut graph = read(graph(nodes, weights, vec![value("x", &[4, 4])], vec![value("y", &[4, 4])]));
            let tied = tie(&mut graph);
            assert_eq!(tied.len(), usize::from(is_one), "{names:?}");
            assert_eq!(reads(&graph)[1], format!("h {}", names[usize::from(!is_one)]), "{names:?}");
            assert_eq!(note(&tied).is_some(), is_one);
        }
    }

    #[test]
    fn a_copy_that_the_model_gives_out_stays() {
        for (given, is_one) in [(None, true), (Some("mixed"), false), (Some("mixed_1"), false)] {
            let nodes = vec![node("MatMul", &["x", "mixed"], &["h"]), node("MatMul", &["h", "mixed_1"], &["y"])];
            let weights = ["mixed", "mixed_1"].map(|name| weight(name, &[4, 4])).to_vec();
            let outputs = [value("y", &[4, 4])].into_iter().chain(given.map(untyped)).collect();
            let mut graph = read(graph(nodes, weights, vec![value("x", &[4, 4])], outputs));
            assert_eq!(tie(&mut graph).len(), usize::from(is_one), "{given:?}");
            assert!(graph.outputs()[1..].iter().all(|output| graph.constant_of(*output).is_some()), "{given:?}");
        }
    }
}
