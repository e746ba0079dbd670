use std::collections::{HashMap, HashSet};

use millstream_schemas::shown;

use super::super::method_function::MethodModel;
use super::super::quantized_weights::{behind, layer_name};
use super::rounding::{Rounding, is_of_bytes};
use crate::CompilerError;
use crate::finetuning::attention::Edges;
use crate::finetuning::nodes::{named, picks_rows, producers};
use crate::graph::{Graph, Node, ValueId};
use crate::model_file::InputKind;

/// Where a model looks up the vectors of the tokens that it is given.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct WordEmbeddings {
    /// The layer of the table.
    pub(in super::super) layer: String,
    /// The table, a constant `[rows, width]` of floats or bytes.
    pub(in super::super) table: ValueId,
    /// Its rows.
    pub(in super::super) rows: usize,
    /// Numbers of a vector.
    pub(in super::super) width: usize,
    /// The input with the tokens, `[batch, sequence]`.
    pub(in super::super) tokens: ValueId,
    /// What is looked up, `[batch, sequence, width]`: once by each node that does.
    pub(in super::super) vectors: Vec<ValueId>,
    /// How the bytes of the table become floats, where it has bytes.
    rounding: Option<Rounding>,
}

/// Tables of no more rows are of kinds of tokens, where another input is looked up in a longer one.
const MOST_KINDS: usize = 16;

impl WordEmbeddings {
    /// Those of a model; `input` names its tokens where several inputs are looked up.
    ///
    /// # Errors
    /// No input is looked up in a table, or it cannot be told which one holds the tokens.
    pub(in super::super) fn find(model: &MethodModel<'_>, input: Option<&str>) -> Result<Self, CompilerError> {
        let base = model.base;
        let found = lookups(model);
        let name = |one: &Self| format!("`{}`", shown(base.name(one.tokens)));
        let refuse = |message: String| Err(CompilerError::setting("", message));
        if found.is_empty() {
            return refuse(none_found(base));
        }
        let mut chosen: Vec<&Self> = match input {
            Some(wanted) => found.iter().filter(|one| base.name(one.tokens) == wanted).collect(),
            None => found.iter().filter(|one| InputKind::of_name(base.name(one.tokens)).is_none()).collect(),
        };
        if input.is_none() && chosen.iter().any(|one| one.rows > MOST_KINDS) {
            chosen.retain(|one| one.rows > MOST_KINDS);
        }
        let mut names: Vec<String> = found.iter().map(name).collect();
        names.sort_unstable();
        names.dedup();
        match (chosen.as_slice(), input) {
            ([only], _) => Ok((*only).clone()),
            ([], Some(wanted)) => refuse(format!(
                "input: `{}` is looked up in no table of embeddings; those that are: {}",
                shown(wanted),
                names.join(", ")
            )),
            ([first, others @ ..], _) if others.iter().all(|other| other.tokens == first.tokens) => {
                let layers: Vec<String> = chosen.iter().map(|one| format!("`{}`", shown(&one.layer))).collect();
                refuse(format!(
                    "{} is looked up in several tables, {}, and virtual tokens are vectors of one; use another method, \
                     `lora` for example",
                    name(first),
                    layers.join(", ")
                ))
            }
            _ => refuse(format!(
                "several inputs are looked up in tables of embeddings: {}; say by `input` which of them holds the tokens",
                names.join(", ")
            )),
        }
    }
}

/// All tables in which an input of whole numbers is looked up on the way to the prediction.
fn lookups(model: &MethodModel<'_>) -> Vec<WordEmbeddings> {
    let base = model.base;
    let makers = producers(base);
    let leads = model.prediction.map(|prediction| behind(base, &Edges::new(base), prediction));
    let mut found: Vec<WordEmbeddings> = Vec::new();
    for (index, node) in base.nodes().iter().enumerate().filter(|(_, node)| picks_rows(node)) {
        let through = ["Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"];
        let tokens = source(base, &makers, node.input(1), &through);
        let tokens = tokens.filter(|tokens| base.inputs().contains(tokens));
        let (Some(table), Some(tokens)) = (table_of(base, &makers, node), tokens) else { continue };
        let Table { value, shape: [rows, width], vectors, rounding } = table;
        if let Some(known) = found.iter_mut().find(|known| known.table == value && known.tokens == tokens) {
            known.vectors.push(vectors);
            continue;
        }
        let of = |layer: &&crate::finetuning::Layer| layer.weights.iter().any(|weight| weight.value == value);
        let layer = match rounding {
            None => model.layers.iter().find(of).map(|layer| layer.name.clone()),
            Some(_) if leads.as_ref().is_some_and(|leads| !leads.contains(&index)) => None,
            Some(_) => Some(layer_name(base, node, value, None)),
        };
        let Some(layer) = layer else { continue };
        found.push(WordEmbeddings { layer, table: value, rows, width, tokens, vectors: vec![vectors], rounding });
    }
    found
}

/// What a value is, but for nodes that hand it on.
fn source(base: &Graph, makers: &HashMap<ValueId, usize>, value: Option<ValueId>, through: &[&str]) -> Option<ValueId> {
    let mut value = value?;
    while let Some(maker) = makers.get(&value).map(|index| &base.nodes()[*index]) {
        value = maker.input(0).filter(|_| through.iter().any(|operator| maker.is(operator)))?;
    }
    Some(value)
}

/// A table that a node picks rows of.
struct Table {
    value: ValueId,
    shape: [usize; 2],
    /// The rows as floats.
    vectors: ValueId,
    rounding: Option<Rounding>,
}

/// The table of a node: floats, bytes that become floats in front of it, or bytes that do behind it.
fn table_of(base: &Graph, makers: &HashMap<ValueId, usize>, node: &Node) -> Option<Table> {
    let made = node.outputs.first().copied().flatten()?;
    let matrix = |value: ValueId| match base.constant_of(value)?.shape.as_slice() {
        [rows, width] => Some([*rows, *width]),
        _ => None,
    };
    if let Some(value) = source(base, makers, node.input(0), &["Identity"]) {
        let shape = matrix(value)?;
        if base.float_constant(value).is_some() {
            return Some(Table { value, shape, vectors: made, rounding: None });
        }
        let mut readers = base.nodes().iter().filter(|reader| reader.inputs.contains(&Some(made)));
        let only = readers.next().filter(|only| only.input(0) == Some(made) && !base.outputs().contains(&made))?;
        let rank = base.tensor_type(made)?.shape.len();
        let is_read_once = readers.next().is_none() && base.constant_of(value).is_some_and(is_of_bytes);
        let rounding = Rounding::of(base, only, shape, Some(rank)).filter(|_| is_read_once)?;
        let vectors = only.outputs.first().copied().flatten()?;
        return Some(Table { value, shape, vectors, rounding: Some(rounding) });
    }
    let mut back = base.nodes().get(*makers.get(&node.input(0)?)?)?;
    while back.is("Identity") {
        back = base.nodes().get(*makers.get(&back.input(0)?)?)?;
    }
    let value = source(base, makers, back.input(0), &["Identity"])?;
    let shape = matrix(value).filter(|_| base.constant_of(value).is_some_and(is_of_bytes))?;
    let rounding = Some(Rounding::of(base, back, shape, None)?);
    Some(Table { value, shape, vectors: made, rounding })
}

fn none_found(base: &Graph) -> String {
    let joined = base.nodes().iter().find(|node| node.operator.ends_with("EmbedLayerNormalization"));
    match joined {
        Some(node) => format!(
            "{} adds the vectors of tokens, places and kinds as one, so that none can be put between them; take the file that \
             ONNX Runtime made this one from",
            named(base, node)
        ),
        None => "virtual tokens go in front of those that a model looks up in a table of embeddings, and no input is looked up \
                 in one (a `Gather` of a constant matrix of 32-bit floats, or of bytes behind or in front of a `DequantizeLinear` with \
                 constants); use another method, `prefix_tuning` or `lora` for example"
            .into(),
    }
}

impl WordEmbeddings {
    /// The vector of a token that is in the table.
    pub(super) fn vector(&self, graph: &Graph, token: usize) -> Vec<f32> {
        let table = graph.constant_of(self.table).expect("a table is a constant");
        if let Some(rounding) = &self.rounding {
            return rounding.row(table, token, self.width);
        }
        let row = size_of::<f32>() * self.width;
        let own = table.bytes[token * row..(token + 1) * row].chunks_exact(size_of::<f32>());
        own.map(|bytes| f32::from_le_bytes(bytes.try_into().expect("chunks of 4"))).collect()
    }

    /// A token that may stand where virtual ones are put in: an ordinary one, and none that the model looks for in its rows,
    /// as for padding or for the end.
    pub(super) fn filler(&self, base: &Graph) -> i64 {
        const HANDED_ON: [&str; 6] = ["Cast", "Identity", "Reshape", "Slice", "Squeeze", "Unsqueeze"];
        let mut rows = HashSet::from([self.tokens]);
        let mut sought: Vec<i64> = Vec::new();
        for node in base.nodes() {
            let reads = node.inputs.iter().flatten().any(|value| rows.contains(value));
            if !reads {
                continue;
            }
            if HANDED_ON.iter().any(|operator| node.is(operator)) {
                rows.extend(node.outputs.iter().flatten());
            } else if node.is("Equal") {
                let constants = node.inputs.iter().flatten().filter_map(|value| base.integers_of(*value));
                sought.extend(constants.flat_map(|known| known.elements).filter_map(|element| element.as_number()));
            }
        }
        let rows = self.rows as i64;
        // special ones stand at the ends of vocabularies
        let mut ordinary = (0..rows).map(|at| (rows / 2 + at) % rows.max(1));
        ordinary.find(|token| !sought.contains(token)).unwrap_or(0)
    }
}
