//! A training program cut in two where the frozen part of the model ends.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use millstream_schemas::{AxisLength, TensorEntry, shown};

use crate::batch_axis::{OTHERS, RowsApart, rows_apart};
use crate::binding::{bind, length_of};
use crate::graph::{ElementType, Graph, Node, ValueId};
use crate::model_file::OnnxFile;
use crate::prepared::prepare;
use crate::raised_opset::raise;
use crate::run_graph::{Provider, RunGraph};
use crate::tensor_entry::tensor_entry;
use crate::{CompilerError, FineTuning, Model, OperatorCatalog, TrainingProgram};

/// Rows are followed with this many of them: a prime that no other axis has by accident.
const ROWS: usize = 97;
/// What the graph is called.
const PREFIX: &str = "frozen_prefix";

/// The part of a model that no training changes, apart from the rest. For each row of a batch it gives the tensors at the
/// border, which follow from that row alone; a [program](FrozenPrefix::program) that begins there takes them as its inputs.
#[derive(Clone, Debug)]
pub struct FrozenPrefix {
    graph: Graph,
    inputs: Vec<TensorEntry>,
    /// Nodes that are run.
    nodes: usize,
    program: TrainingProgram,
    /// How many of the program's inputs lie at the border; behind them come those of the model, where batches have them.
    at_border: usize,
}

/// Why a program cannot be cut: for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoFrozenPrefix {
    /// The reason, lower case, no final stop.
    pub reason: String,
}

impl fmt::Display for NoFrozenPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

fn no(reason: impl Into<String>) -> NoFrozenPrefix {
    NoFrozenPrefix { reason: reason.into() }
}

impl FrozenPrefix {
    /// Cuts a program that was compiled of this model as is `wanted`, as late as rows stay apart. Behind the border batches need no input
    /// of the model.
    ///
    /// # Errors
    /// There is nothing in front of what is trained, or nothing of it that keeps rows apart; rows have lengths of their own; it
    /// computes in 16 bits.
    pub fn of(
        program: &TrainingProgram,
        model: &Model,
        wanted: &FineTuning,
        catalog: &OperatorCatalog,
    ) -> Result<Self, NoFrozenPrefix> {
        let is_open = |entry: &TensorEntry| entry.shape.iter().skip(1).any(|length| length.fixed().is_none());
        if let Some(input) = program.manifest.inputs.iter().find(|entry| is_open(entry)) {
            let name = shown(&input.name);
            return Err(no(format!(
                "rows of input `{name}` have lengths of their own, and are filled up to those beside them"
            )));
        }
        if program.manifest.lengths.is_some() {
            return Err(no("the loss takes the lengths of rows in the inputs"));
        }
        Self::cut(program, model, wanted, catalog, false)
    }

    /// As [`FrozenPrefix::of`], for batches that hold the inputs of the model too: rows may have lengths of their own then, and what a row
    /// gives follows from that row as it is filled up in its batch. The inputs follow the tensors at the border in those of the program.
    ///
    /// # Errors
    /// There is nothing in front of what is trained, or nothing of it that keeps rows apart; it computes in 16 bits.
    pub fn beside_inputs(
        program: &TrainingProgram,
        model: &Model,
        wanted: &FineTuning,
        catalog: &OperatorCatalog,
    ) -> Result<Self, NoFrozenPrefix> {
        Self::cut(program, model, wanted, catalog, true)
    }

    fn cut(
        program: &TrainingProgram,
        model: &Model,
        wanted: &FineTuning,
        catalog: &OperatorCatalog,
        has_inputs: bool,
    ) -> Result<Self, NoFrozenPrefix> {
        if program.mixed.is_some() {
            return Err(no("the precision computes in 16 bits, and what is kept are 32-bit floats"));
        }
        let apart = apart(model, wanted, catalog).map_err(|error| no(format!("rows cannot be followed: {error}")))?;
        let graphs: Vec<&Graph> = program.graphs().into_iter().collect();
        let border = Border::of(&program.manifest.batch, &program.data_names(), &graphs, &apart, has_inputs)?;
        let cut = |graph: &Graph| {
            let mut cut = graph.clone();
            let find =
                |names: &[String]| -> Vec<ValueId> { names.iter().filter_map(|name| graph.find(name)).collect() };
            let gone = if has_inputs { Vec::new() } else { find(&program.data_names()) };
            cut.give_instead(&gone, &find(&border.names));
            cut
        };
        let mut graph = program.graphs()[1].clone();
        let find = |name: &String| graph.find(name).expect("the border lies in all graphs");
        let (outputs, data): (Vec<ValueId>, Vec<ValueId>) = (
            border.computed.iter().map(find).collect(),
            program.data_names().iter().filter_map(|name| graph.find(name)).collect(),
        );
        graph.set_outputs(&outputs);
        graph.keep_inputs(&data);
        let nodes = graph.live_nodes().len();
        if nodes == 0 {
            return Err(no("nothing is computed in front of what is trained"));
        }
        let mut manifest = program.manifest.clone();
        let inputs = std::mem::take(&mut manifest.inputs);
        manifest.inputs = border.names.iter().map(|name| tensor_entry(&graph, find_in(&graph, name))).collect();
        let at_border = manifest.inputs.len();
        manifest.inputs.extend(inputs.iter().filter(|_| has_inputs).cloned());
        Ok(Self { graph, inputs, nodes, program: program.mapped(manifest, cut), at_border })
    }

    /// The training program behind the border: its inputs are the tensors there, all else is as it was, what it exports too.
    pub fn program(&self) -> &TrainingProgram {
        &self.program
    }

    /// What it reads: the inputs of the model.
    pub fn inputs(&self) -> &[TensorEntry] {
        &self.inputs
    }

    /// The tensors at the border, each `[batch, …]` of 32-bit floats. One that an input of the model is itself is no output of
    /// [`FrozenPrefix::graph`].
    pub fn border(&self) -> &[TensorEntry] {
        &self.program.manifest.inputs[..self.at_border]
    }

    /// Numbers that the tensors at the border hold of a row, as far as their lengths are known.
    pub fn numbers_per_row(&self) -> usize {
        let of_row = |entry: &TensorEntry| entry.shape.iter().skip(1).filter_map(AxisLength::fixed).product::<usize>();
        self.border().iter().map(of_row).sum()
    }

    /// Bytes that the tensors at the border take of a row where the named axes have these lengths.
    ///
    /// # Errors
    /// A named axis has no length there.
    pub fn bytes_per_row(&self, lengths: &BTreeMap<String, usize>) -> Result<u64, CompilerError> {
        let of_row = |entry: &TensorEntry| -> Result<u64, CompilerError> {
            let rows = match entry.shape.first() {
                Some(AxisLength::Fixed(rows)) => *rows,
                Some(AxisLength::Named(name)) => lengths.get(name).copied().unwrap_or(1),
                None => 1,
            };
            let bytes = self.graph.bytes_of(find_in(&self.graph, &entry.name), lengths)?;
            Ok(bytes / rows.max(1) as u64)
        };
        self.border().iter().map(of_row).sum()
    }

    /// Bytes of computed values at the fullest moment of a batch, where the named axes have these lengths.
    ///
    /// # Errors
    /// A named axis has no length there.
    pub fn activation_bytes(&self, lengths: &BTreeMap<String, usize>) -> Result<u64, CompilerError> {
        self.graph.activation_bytes(lengths)
    }

    /// Nodes that are run once a row, and not at each step.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// The graph with all weights inside. Inputs: those of the model; outputs: the tensors at the border.
    ///
    /// # Errors
    /// As [`TrainingProgram::step`].
    pub fn graph(&self) -> Result<OnnxFile, CompilerError> {
        OnnxFile::new(self.graph.model_proto(PREFIX))
    }

    /// The same as a session of a provider takes it.
    ///
    /// # Errors
    /// As [`TrainingProgram::step`].
    pub fn run_graph(&self, provider: Provider) -> Result<RunGraph, CompilerError> {
        let [graph] = RunGraph::folded([(&self.graph, PREFIX)], provider)?;
        Ok(graph)
    }
}

fn find_in(graph: &Graph, name: &str) -> ValueId {
    graph.find(name).expect("the border lies in all graphs")
}

/// Follows the rows of the model as it is prepared for training; lengths of rows that are open are made up for it, the first that the
/// model takes.
fn apart(model: &Model, wanted: &FineTuning, catalog: &OperatorCatalog) -> Result<RowsApart, CompilerError> {
    let mut lengths = wanted.inputs.values().flat_map(|shape| shape.iter().skip(1));
    if lengths.all(|length| length.fixed().is_some()) {
        return apart_at(model, wanted, None, catalog);
    }
    let [first, others @ ..] = OTHERS;
    let found = apart_at(model, wanted, Some(first), catalog);
    others.into_iter().fold(found, |found, other| found.or_else(|_| apart_at(model, wanted, Some(other), catalog)))
}

/// With this length for axes that stay open.
fn apart_at(
    model: &Model,
    wanted: &FineTuning,
    other: Option<usize>,
    catalog: &OperatorCatalog,
) -> Result<RowsApart, CompilerError> {
    let mut wanted = FineTuning { batch: ROWS.into(), ..wanted.clone() };
    for shape in wanted.inputs.values_mut() {
        shape.first_mut().into_iter().for_each(|rows| *rows = ROWS.into());
        let open = shape.iter_mut().skip(1).filter(|length| length.fixed().is_none());
        open.zip(other.into_iter().cycle()).for_each(|(length, other)| *length = other.into());
    }
    let prepared = prepare(model, &wanted, catalog)?;
    let mut graph = bind(&prepared.graph, &prepared.bindings(&wanted), catalog)?;
    raise(&mut graph, catalog);
    Ok(rows_apart(&graph, ROWS))
}

/// The values at which a program is cut.
struct Border {
    names: Vec<String>,
    /// Those that are no input of the model.
    computed: Vec<String>,
}

impl Border {
    /// Of graphs of which the first holds all that a step draws. Where batches have the inputs too, none of these lies at it.
    fn of(
        batch: &AxisLength,
        data: &[String],
        graphs: &[&Graph],
        apart: &RowsApart,
        has_inputs: bool,
    ) -> Result<Self, NoFrozenPrefix> {
        let step = graphs[0];
        let frozen = Frozen::of(step, data);
        let is_candidate = |value: &ValueId| {
            let known = step.tensor_type(*value).filter(|known| known.dtype == ElementType::F32);
            let of_rows = |known: &&crate::graph::TensorType| match known.shape.split_first() {
                Some((rows, others)) => {
                    *rows == length_of(batch) && (has_inputs || others.iter().all(|length| length.fixed().is_some()))
                }
                None => false,
            };
            let is_given = has_inputs && step.inputs().contains(value);
            let is_apart = !is_given && apart.values.contains(step.name(*value));
            is_apart && known.filter(|known| of_rows(known)).is_some()
        };
        let candidates: HashSet<&str> =
            frozen.values.iter().filter(|value| is_candidate(value)).map(|value| step.name(*value)).collect();
        let (mut names, mut computed) = (Vec::new(), Vec::new());
        for graph in graphs {
            for value in wanted_of(graph, data, &candidates, apart, has_inputs)? {
                let name = graph.name(value).to_owned();
                if names.contains(&name) {
                    continue;
                }
                if !data.contains(&name) {
                    computed.push(name.clone());
                }
                names.push(name);
            }
        }
        if computed.is_empty() {
            let because = apart.obstacle.as_ref().map_or_else(String::new, |obstacle| format!("; {obstacle}"));
            return Err(no(format!("nothing in front of what is trained keeps rows apart{because}")));
        }
        Ok(Self { names, computed })
    }
}

/// What follows from the data of a graph and from nothing else that is given to a run.
struct Frozen {
    values: HashSet<ValueId>,
    /// What is computed from the data, and from more.
    data: HashSet<ValueId>,
}

impl Frozen {
    fn of(graph: &Graph, data: &[String]) -> Self {
        let (mut of_data, mut of_others): (HashSet<ValueId>, HashSet<ValueId>) =
            graph.inputs().iter().partition(|input| data.iter().any(|name| name == graph.name(**input)));
        for node in graph.nodes() {
            let reads = |from: &HashSet<ValueId>| node.inputs.iter().flatten().any(|input| from.contains(input));
            let (data, others) = (reads(&of_data), reads(&of_others));
            let outputs = || node.outputs.iter().flatten().filter(|output| graph.constant_of(**output).is_none());
            of_data.extend(outputs().filter(|_| data));
            of_others.extend(outputs().filter(|_| others));
        }
        Self { values: of_data.difference(&of_others).copied().collect(), data: of_data }
    }
}

/// The candidates that the rest of a graph reads. What is frozen and none is computed in the rest, from inputs where batches have them.
fn wanted_of(
    graph: &Graph,
    data: &[String],
    candidates: &HashSet<&str>,
    apart: &RowsApart,
    has_inputs: bool,
) -> Result<Vec<ValueId>, NoFrozenPrefix> {
    let frozen = Frozen::of(graph, data);
    let makers: HashMap<ValueId, &Node> = graph
        .nodes()
        .iter()
        .flat_map(|node| node.outputs.iter().flatten().map(move |output| (*output, node)))
        .collect();
    let is_rest = |node: &&&Node| node.outputs.iter().flatten().any(|output| !frozen.values.contains(output));
    let live = graph.live_nodes();
    let read = live.iter().filter(is_rest).flat_map(|node| node.inputs.iter().flatten().copied());
    let mut open: Vec<ValueId> = read.chain(graph.outputs().iter().copied()).collect();
    open.reverse();
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    while let Some(value) = open.pop() {
        if !frozen.data.contains(&value) || !frozen.values.contains(&value) || !seen.insert(value) {
            continue;
        }
        let name = graph.name(value);
        if candidates.contains(name) {
            found.push(value);
            continue;
        }
        let Some(maker) = makers.get(&value) else {
            if has_inputs {
                continue;
            }
            let because = apart.obstacle.as_ref().map_or_else(String::new, |obstacle| format!("; {obstacle}"));
            return Err(no(format!(
                "what is trained reads input `{}`, which is no row of 32-bit floats for each row{because}",
                shown(name)
            )));
        };
        open.extend(maker.inputs.iter().rev().flatten());
    }
    Ok(found)
}
