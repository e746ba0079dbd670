//! Matrices that a file stores again: the table of an embedding for the head of a language model, and what an exporter has transposed.

use std::collections::{BTreeSet, HashSet};

use millstream_schemas::shown;

use super::constant_kind::is_table_of_waves;
use super::module_path::{is_generated, may_be_result};
use super::{Head, Layer, Weight};
use crate::CompilerError;
use crate::graph::{Attribute, Constant, Graph, Node, ValueId};

/// A table holds at least so many different numbers where an equal matrix is taken for the same parameter: tables of zeros and ones,
/// as of one class a row, are alike without being one.
const DIFFERENT: usize = 32;

/// As [`DIFFERENT`], of two matrices of linear layers, of which one has a name that the exporter made up.
const DIFFERENT_OF_MATRIX: usize = 8;

/// A matrix of a linear layer that holds the table of an embedding, or the matrix of another layer, once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableCopy {
    /// The table, `[words, width]`, or the matrix.
    pub(crate) table: ValueId,
    /// The matrix that is equal to it.
    pub(crate) copy: ValueId,
    /// Whether the copy is `[width, words]`.
    is_turned: bool,
    /// Whether it is a copy of an embedding's table.
    is_of_table: bool,
}

/// The matrices of linear layers that are an embedding's table to the bit, as it is or transposed.
///
/// A language model's head that reads the table of its embedding is written by exporters as a matrix of its own, for they fold the
/// transposition. After any training on their own two such matrices differ, so equal ones are one parameter of the source. So are two
/// matrices of linear layers of which the exporter has named one itself, as the transposed weight of an encoder that its decoder reads.
/// Two that both have a name of the source are two.
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
            let is_turned = turned(constant, own)?;
            let is_own = has_different_numbers(constant, DIFFERENT) && !is_table_of_waves(constant);
            is_own.then_some(TableCopy { table, copy, is_turned, is_of_table: true })
        });
        found.extend(equal.take(1));
    }
    let known: HashSet<ValueId> = tables.into_iter().chain(found.iter().map(|own| own.copy)).collect();
    found.extend(matrix_copies(graph, layers, &known));
    found
}

/// The matrices with names of the exporter's that are another matrix of a linear layer to the bit, as it is or transposed; none of `known`.
fn matrix_copies(graph: &Graph, layers: &[Layer], known: &HashSet<ValueId>) -> Vec<TableCopy> {
    let is_multiplied = |weight: &&Weight| {
        let node = &graph.nodes()[weight.node];
        weight.shape.len() == 2 && weight.input < 2 && (node.is("MatMul") || node.is("Gemm"))
    };
    let weights = layers.iter().flat_map(|layer| &layer.weights).filter(is_multiplied).map(|weight| weight.value);
    let all: BTreeSet<ValueId> = weights.filter(|value| graph.is_own(*value) && !known.contains(value)).collect();
    let is_anonymous = |value: &ValueId| {
        let name = graph.name(*value);
        is_generated(name) || may_be_result(name)
    };
    let (anonymous, named): (Vec<ValueId>, Vec<ValueId>) = all.into_iter().partition(is_anonymous);
    let is_copy = |table: ValueId, copy: ValueId| {
        let (constant, own) = (graph.float_constant(table)?, graph.float_constant(copy)?);
        let is_turned = turned(constant, own)?;
        let is_one = !graph.are_stored_apart(table, copy) && has_different_numbers(constant, DIFFERENT_OF_MATRIX);
        is_one.then_some(TableCopy { table, copy, is_turned, is_of_table: false })
    };
    // those of which the exporter has named both: as it is, a second one may be of a module that began as a copy
    let mut firsts: Vec<ValueId> = Vec::new();
    let mut found = Vec::new();
    for copy in anonymous {
        let of_source = named.iter().find_map(|table| is_copy(*table, copy));
        let of_exporter = || firsts.iter().filter_map(|table| is_copy(*table, copy)).find(|own| own.is_turned);
        match of_source.or_else(of_exporter) {
            Some(own) => found.push(own),
            None => firsts.push(copy),
        }
    }
    found
}

/// Whether the second matrix is the first (`false`) or the first transposed (`true`), to the bit.
fn turned(first: &Constant, second: &Constant) -> Option<bool> {
    if first.shape == second.shape && first.bytes == second.bytes {
        return Some(false);
    }
    is_transpose(first, second).then_some(true)
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
            "`{}` holds the {} again{}, `{}`: the two are one parameter, are trained as one and stay equal",
            shown(&name),
            if copy.is_of_table { "table of an embedding" } else { "matrix of a layer" },
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

fn has_different_numbers(constant: &Constant, wanted: usize) -> bool {
    let mut seen = HashSet::new();
    constant.bytes.chunks_exact(constant.dtype.bytes()).any(|number| seen.insert(number) && seen.len() >= wanted)
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

#[cfg(test)]
mod tests {
    use crate::handmade::{graph, model, node, value, with};
    use crate::model_file::onnx::TensorProto;
    use crate::{FineTuning, OperatorCatalog, compile};
    use millstream_schemas::recipe::TrainSelection;

    fn matrix(name: &str, shape: [usize; 2], value: &dyn Fn(usize, usize) -> f32) -> TensorProto {
        let places = (0..shape[0]).flat_map(|row| (0..shape[1]).map(move |column| (row, column)));
        let float_data = places.map(|(row, column)| value(row, column)).collect();
        TensorProto { float_data, ..crate::handmade::weight(name, &shape) }
    }

    #[test]
    fn a_decoder_that_reads_the_transposed_weight_of_its_encoder_trains_one_parameter_with_it() {
        let own = |row: usize, column: usize| (row * 4 + column) as f32 / 10.0 - 0.35;
        let other = |row: usize, column: usize| own(row, column) + f32::from(u8::from(row == 2)) * 1e-6;
        let alike = |row: usize, column: usize| f32::from(u8::from(row == column));
        type Values<'a> = &'a dyn Fn(usize, usize) -> f32;
        // what the encoder's and the decoder's matrices are called, their values, and whether they are one
        let rows: [(&str, &str, Values<'_>, Values<'_>, bool); 6] = [
            ("e1.weight", "t_1", &own, &own, true),
            ("e1.weight", "t", &own, &own, true),
            ("val_3", "val_9", &own, &own, true),
            ("e1.weight", "d1.weight", &own, &own, false),
            ("e1.weight", "t", &own, &other, false),
            ("e1.weight", "t", &alike, &alike, false),
        ];
        for (encoder, decoder, first, second, is_one) in rows {
            // [3, 4], read transposed, and [4, 3] likewise
            let turned = |column: usize, row: usize| second(row, column);
            let weights = vec![matrix(encoder, [3, 4], first), matrix(decoder, [4, 3], &turned)];
            let nodes = vec![
                with(node("Gemm", &["x", encoder], &["h"]), "transB", &[1]),
                node("Tanh", &["h"], &["z"]),
                with(node("Gemm", &["z", decoder], &["y"]), "transB", &[1]),
            ];
            let model = model(graph(nodes, weights, vec![value("x", &[4])], vec![value("y", &[4])]));
            let head = crate::HeadChoice::keep();
            let wanted = FineTuning { train: TrainSelection::All, head, ..FineTuning::head(2, 4) };
            let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
            let expected = if is_one { 12 } else { 24 };
            assert_eq!(program.trained, expected, "{encoder}, {decoder}");
            let notes = crate::describe(&model, Some(&wanted), &OperatorCatalog::standard()).unwrap().notes;
            let tells = notes.iter().any(|note| note.contains("holds the matrix of a layer again, transposed"));
            assert_eq!(tells, is_one, "{encoder}, {decoder}: {notes:?}");
        }
    }
}
