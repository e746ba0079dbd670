//! The table of an embedding that a file stores again for the head of a language model.

use std::collections::{BTreeSet, HashSet};

use millstream_schemas::shown;

use super::constant_kind::is_table_of_waves;
use super::{Head, Layer, Weight};
use crate::CompilerError;
use crate::graph::{Attribute, Constant, Graph, Node, ValueId};

/// A table holds at least so many different numbers where an equal matrix is taken for the same parameter: tables of zeros and ones,
/// as of one class a row, are alike without being one.
const DIFFERENT: usize = 32;

/// A matrix of a linear layer that holds the table of an embedding once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableCopy {
    /// The table, `[words, width]`.
    pub(crate) table: ValueId,
    /// The matrix that is equal to it.
    pub(crate) copy: ValueId,
    /// Whether the matrix is `[width, words]`.
    is_turned: bool,
}

/// The matrices of linear layers that are an embedding's table to the bit, as it is or transposed.
///
/// A language model's head that reads the table of its embedding is written by exporters as a matrix of its own, for they fold the
/// transposition. After any training on their own two such matrices differ, so equal ones are one parameter of the source.
pub(crate) fn table_copies(graph: &Graph, layers: &[Layer]) -> Vec<TableCopy> {
    let weights = || layers.iter().flat_map(|layer| &layer.weights).filter(|weight| weight.shape.len() == 2);
    let of = |is_wanted: &dyn Fn(&Weight) -> bool| -> BTreeSet<ValueId> {
        weights().filter(|weight| is_wanted(weight)).map(|weight| weight.value).collect()
    };
    let tables = of(&|weight| is_table(graph, weight));
    let matrices = of(&|weight| is_matrix(graph, weight) && !tables.contains(&weight.value));
    let mut found = Vec::new();
    for copy in matrices.into_iter().filter(|copy| graph.is_own(*copy)) {
        let Some(own) = graph.float_constant(copy) else { continue };
        let candidates =
            tables.iter().copied().filter(|table| graph.is_own(*table) && !graph.are_stored_apart(*table, copy));
        let equal = candidates.filter_map(|table| {
            let constant = graph.float_constant(table).filter(|constant| constant.dtype == own.dtype)?;
            let is_turned = if constant.shape == own.shape && constant.bytes == own.bytes {
                false
            } else if is_transpose(constant, own) {
                true
            } else {
                return None;
            };
            let is_own = has_different_numbers(constant) && !is_table_of_waves(constant);
            is_own.then_some(TableCopy { table, copy, is_turned })
        });
        found.extend(equal.take(1));
    }
    found
}

/// Lets all that reads a copy read the table, and says so; the layers and the head have the table as their weight afterwards.
pub(crate) fn tie_copies(
    graph: &mut Graph,
    copies: &[TableCopy],
    layers: &mut [Layer],
    head: &mut Option<Head>,
) -> Result<Vec<String>, CompilerError> {
    let mut notes = Vec::new();
    for copy in copies {
        let reads = |node: &Node| node.inputs.contains(&Some(copy.copy));
        let Some(first) = graph.nodes().iter().position(reads) else { continue };
        let (table, name) = (copy.table, graph.name(copy.copy).to_owned());
        let mut moves = Moves { from: graph.nodes().len(), copy };
        if copy.is_turned {
            let order = [("perm", Attribute::Ints(vec![1, 0]))];
            let turned = graph
                .in_front_of(first, |graph| graph.append("Transpose", &[table], &order, &format!("{name}.table")))?;
            graph.replace_reads(first + 1, copy.copy, turned);
            moves.from = first;
        } else {
            graph.replace_reads(first, copy.copy, table);
        }
        graph.forget_constant(copy.copy);
        let shape = graph.constant_of(table).expect("it was found as a constant").shape.clone();
        layers.iter_mut().flat_map(|layer| &mut layer.weights).for_each(|weight| moves.weight(weight, &shape));
        head.iter_mut().for_each(|head| moves.head(head));
        notes.push(format!(
            "`{}` holds the table of an embedding again{}, `{}`: the two are one parameter, are trained as one and stay equal",
            shown(&name),
            if copy.is_turned { ", transposed" } else { "" },
            shown(graph.name(table))
        ));
    }
    Ok(notes)
}

/// What becomes of nodes and weights where a table takes the place of its copy.
struct Moves<'a> {
    /// Nodes from this one on stand one further.
    from: usize,
    copy: &'a TableCopy,
}

impl Moves<'_> {
    fn weight(&self, weight: &mut Weight, shape: &[usize]) {
        weight.node += usize::from(weight.node >= self.from);
        if weight.value == self.copy.copy {
            weight.value = self.copy.table;
            weight.shape = shape.to_vec();
        }
    }

    fn head(&self, head: &mut Head) {
        head.node += usize::from(head.node >= self.from);
        if head.weight == self.copy.copy {
            head.weight = self.copy.table;
            head.class_axis = if self.copy.is_turned { 1 - head.class_axis } else { head.class_axis };
        }
        head.others.iter_mut().for_each(|other| self.head(other));
    }
}

/// Whether rows are taken from a weight by their numbers.
fn is_table(graph: &Graph, weight: &Weight) -> bool {
    let node = &graph.nodes()[weight.node];
    let is_read = node.input(weight.input) == Some(weight.value);
    match (node.operator.as_str(), weight.input) {
        ("Gather", 0) => is_read && node.int("axis").unwrap_or(0) == 0,
        ("EmbedLayerNormalization", 2) => is_read,
        _ => false,
    }
}

/// Whether a weight is the matrix of a linear layer.
fn is_matrix(graph: &Graph, weight: &Weight) -> bool {
    let node = &graph.nodes()[weight.node];
    (node.is("MatMul") || node.is("Gemm")) && weight.input == 1
}

fn has_different_numbers(constant: &Constant) -> bool {
    let mut seen = HashSet::new();
    constant.bytes.chunks_exact(constant.dtype.bytes()).any(|number| seen.insert(number) && seen.len() >= DIFFERENT)
}

/// Whether the second matrix is the first transposed, to the bit.
fn is_transpose(first: &Constant, second: &Constant) -> bool {
    const BLOCK: usize = 32;
    let [rows, columns] = *first.shape.as_slice() else { return false };
    let size = first.dtype.bytes();
    if second.shape != [columns, rows] || first.bytes.len() != second.bytes.len() {
        return false;
    }
    let at = |row: usize, column: usize, width: usize| (row * width + column) * size;
    // blocks, since both are read along their rows then
    (0..rows).step_by(BLOCK).all(|top| {
        let block = top..rows.min(top + BLOCK);
        (0..columns).all(|column| {
            block.clone().all(|row| {
                let (own, other) = (at(row, column, columns), at(column, row, rows));
                first.bytes[own..own + size] == second.bytes[other..other + size]
            })
        })
    })
}
