//! Several models as one.

use std::collections::{BTreeMap, HashMap, HashSet};

use millstream_schemas::{ImageLayout, count, shown};

use super::combination::Combination;
use super::combining::combine;
use super::joined::{Joined, MOST_PARTS, Part};
use super::mirrored::{MirroredImages, Reader};
use super::shared_inputs::share;
use crate::CompilerError;
use crate::finetuning::{
    ScoreLayout, chosen_output, ending, find_scores, is_one_score, named, normalize, rows_are_second,
};
use crate::graph::{ElementType, Graph, Length, ValueId};
use crate::losses::PredictionKind;
use crate::model_file::{Header, Model, OnnxFile};
use crate::operators::OperatorCatalog;

/// Members of an ensemble, at most.
pub const MOST_MEMBERS: usize = MOST_PARTS / 2;
/// Nodes of all members together, at most.
const MOST_NODES: usize = 1 << 18;

/// A model of an ensemble.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// The model.
    pub model: &'a Model,
    /// What notes and errors call it; its number, from 1, where it has no name.
    pub name: Option<&'a str>,
    /// The output that its scores lead to; needed when it has several.
    pub output: Option<&'a str>,
}

impl Member<'_> {
    /// As notes and errors call the member at a place.
    pub(super) fn called(&self, at: usize) -> String {
        self.name.map_or_else(|| format!("member {}", at + 1), |name| format!("member `{}`", shown(name)))
    }
}

/// How members become one model.
#[derive(Clone, Debug)]
pub struct FuseOptions {
    /// What their outputs are read as.
    pub reads: PredictionKind,
    /// How many classes or labels there are, where it is known: one score for each place is that of the second of two.
    pub classes: Option<usize>,
    /// How many axes a prediction of all classes has that the members' targets were held against, where it is known.
    pub axes: Option<usize>,
    /// How they are combined.
    pub combination: Combination,
    /// Whether each member also sees its images mirrored, and gives the mean of both: of the probabilities of classes or labels, or of
    /// numbers. Maps of mirrored images are mirrored back before.
    pub flips: bool,
    /// The order of the axes of images, by the names of inputs, where it is known; of others it is seen in the members' files.
    pub layouts: BTreeMap<String, ImageLayout>,
    /// Keys and values for the metadata of the file, beside those that all members have.
    pub metadata: Vec<(String, String)>,
}

/// Several models as one.
#[derive(Clone, Debug)]
pub struct FusedModel {
    /// The model. Its output is called as that of the first member, and read as that is.
    pub file: OnnxFile,
    /// Nodes that each member has for itself, up to its scores.
    pub member_nodes: Vec<usize>,
    /// Nodes of the whole.
    pub nodes: usize,
    /// What is worth knowing, in words.
    pub notes: Vec<String>,
}

/// Joins models, whose scores, before any softmax or sigmoid, are combined by nodes. Inputs of one name and type are one; what several
/// members do alike to the same values runs once, and equal weights are stored once. The file follows the newest version of the standard
/// operators of its members.
///
/// # Errors
/// Members differ in their classes, an operator is not known to mean the same in the version that another needs, the combination does not
/// fit them, or they are too many or too large.
pub fn fuse(
    members: &[Member<'_>],
    options: &FuseOptions,
    catalog: &OperatorCatalog,
) -> Result<FusedModel, CompilerError> {
    let refused = |message: String| Err(CompilerError::Selection(message));
    let [first, others @ ..] = members else { return refused("an ensemble has members; name some".into()) };
    if members.len() > MOST_MEMBERS {
        return refused(format!("{} members; an ensemble has at most {MOST_MEMBERS}", members.len()));
    }
    let opset = members.iter().map(|member| member.model.read_as()).max().unwrap_or(0);
    let mut notes = Vec::new();
    let mut opened = Vec::with_capacity(members.len());
    for (at, member) in members.iter().enumerate() {
        let called = member.called(at);
        let one =
            Opened::open(member, called.clone(), options, opset, catalog).map_err(|error| of_member(&called, error))?;
        notes.extend(one.notes.iter().map(|note| format!("{called}: {note}")));
        opened.push(one);
    }
    let columns = same_columns(&opened, options)?;
    options.combination.check(options.reads, members.len(), columns)?;
    let member_nodes: Vec<usize> = opened.iter().map(|member| member.graph.needed_nodes().len()).collect();
    let total: usize = member_nodes.iter().sum();
    if total > MOST_NODES {
        return refused(format!("the members have {total} nodes together; at most {MOST_NODES} are joined"));
    }
    for (at, member) in members.iter().enumerate() {
        if !options.combination.counts(at, members.len()) {
            notes.push(format!("{} has no weight, and is left out of the model", member.called(at)));
        }
    }
    let header =
        Header::of_several(&first.model.proto, &others.iter().map(|other| &other.model.proto).collect::<Vec<_>>());
    let mut graph = joined((members, &opened), options, columns, catalog, &mut notes)?;
    let made = graph.outputs()[0];
    claim(&mut graph, made, &opened[0].output)?;
    let nodes = graph.needed_nodes().len();
    let file = OnnxFile::new(header.signed(&options.metadata).with(&graph))?;
    Ok(FusedModel { file, member_nodes, nodes, notes })
}

/// A member, read in the opset of all.
struct Opened {
    /// What notes and errors call it.
    called: String,
    graph: Graph,
    scores: ValueId,
    /// What its output is called.
    output: String,
    notes: Vec<String>,
}

impl Opened {
    fn open(
        member: &Member<'_>,
        called: String,
        options: &FuseOptions,
        opset: i64,
        catalog: &OperatorCatalog,
    ) -> Result<Self, CompilerError> {
        let reads = options.reads;
        let mut graph = member.model.graph_in(opset, catalog)?;
        // what is found there has the same number here
        let mut normalized = graph.clone();
        normalize(&mut normalized);
        let output = chosen_output(&normalized, member.output)?;
        let mut notes = Vec::new();
        let axes = is_of_rows(&options.combination).then_some(2).or(options.axes);
        let shape = graph.tensor_type(output).map_or(&[][..], |known| known.shape.as_slice());
        let is_one_score = is_one_score(reads, options.classes, axes, shape);
        let scores = match reads {
            PredictionKind::Numbers => output,
            _ if is_one_score => find_scores(&normalized, output, PredictionKind::LabelScores),
            _ => find_scores(&normalized, output, reads),
        };
        if let Some(node) = ending(&normalized, scores).filter(|_| reads != PredictionKind::Numbers) {
            notes.push(format!(
                "it ends in {}; what it gives is read as scores before a softmax as it is",
                named(&normalized, node)
            ));
        }
        let rows_are_second = rows_are_second(&graph, scores, output);
        let layout = ScoreLayout { reads, classes: is_one_score.then_some(2), axes, rows_are_second };
        let scores = layout.lay_out(&mut graph, scores, Some(output))?;
        let known = graph.known_type(scores)?;
        if !known.dtype.is_float() || known.shape.len() < 2 {
            let message = format!("its scores are {known}; wanted floats [batch, classes, …]");
            return Err(CompilerError::Selection(message));
        }
        let defaults = graph.constants().into_iter().filter(|value| graph.is_overridable(*value)).count();
        if defaults > 0 {
            notes.push(format!(
                "{} with a default can no longer be given; the default stands",
                count(defaults as u64, "input")
            ));
        }
        let output = graph.name(output).to_owned();
        graph.set_outputs(&[scores]);
        Ok(Self { called, graph, scores, output, notes })
    }
}

fn of_member(called: &str, error: CompilerError) -> CompilerError {
    match error {
        CompilerError::Selection(message) | CompilerError::Setting { message, .. } => {
            CompilerError::Selection(format!("{called}: {message}"))
        }
        error => error,
    }
}

/// Whether a combination is of one answer a row.
fn is_of_rows(combination: &Combination) -> bool {
    matches!(combination, Combination::Linear { .. } | Combination::Ranks { .. })
}

/// How many classes, labels or numbers all members give.
fn same_columns(opened: &[Opened], options: &FuseOptions) -> Result<usize, CompilerError> {
    let mut columns = None;
    for member in opened {
        let (known, called) = (member.graph.known_type(member.scores)?, &member.called);
        let Some(own) = known.shape[1].fixed() else {
            let message = format!("{called}: how many scores it gives is not known before the run ({known})");
            return Err(CompilerError::Selection(message));
        };
        if *columns.get_or_insert(own) != own {
            let message = format!("{called} gives {own} scores, and the first {}", columns.unwrap_or(0));
            return Err(CompilerError::Selection(message));
        }
        let first = opened[0].graph.known_type(opened[0].scores)?;
        let fits = |(a, b): (&Length, &Length)| a.as_number().zip(b.as_number()).is_none_or(|(a, b)| a == b);
        if known.shape.len() != first.shape.len() || !known.shape.iter().zip(&first.shape).all(fits) {
            let message = format!("{called} gives {known}, and the first {first}");
            return Err(CompilerError::Selection(message));
        }
        if is_of_rows(&options.combination) && known.shape.len() != 2 {
            let message = format!("{called} gives {known}, and ranks and linear functions are of one answer a row");
            return Err(CompilerError::Selection(message));
        }
    }
    Ok(columns.unwrap_or(0))
}

fn joined(
    (members, opened): (&[Member<'_>], &[Opened]),
    options: &FuseOptions,
    columns: usize,
    catalog: &OperatorCatalog,
    notes: &mut Vec<String>,
) -> Result<Graph, CompilerError> {
    let graphs: Vec<Graph> = opened.iter().map(|member| member.graph.clone()).collect();
    let mut graph = Graph::new(opened[0].graph.opset, catalog.clone());
    graph.other_opsets = other_opsets(&graphs, catalog)?;
    let called: Vec<&str> = opened.iter().map(|member| member.called.as_str()).collect();
    let shared = share(&graphs, &called, &mut graph)?;
    notes.extend(shared.notes);
    let has_weight = |at: usize| options.combination.counts(at, opened.len());
    let reader = |at: usize| Reader {
        called: called[at],
        model: members[at].model,
        graph: &graphs[at],
        inputs: &shared.inputs[at],
        scores: opened[at].scores,
    };
    let readers: Vec<Reader<'_>> = (0..opened.len()).map(reader).collect();
    let mirrored = match options.flips {
        true => MirroredImages::add(&mut graph, &readers, &options.layouts)?,
        false => MirroredImages::default(),
    };
    let mut joined = Joined::new(graph, catalog);
    let (mut views, mut labels): (Vec<Vec<ValueId>>, Vec<String>) = (Vec::new(), Vec::new());
    for (at, member) in graphs.iter().enumerate() {
        let mut own = Vec::new();
        for is_mirrored in [false, true] {
            let number = labels.len();
            labels.push(if is_mirrored { format!("m{at}.flipped") } else { format!("m{at}") });
            if !has_weight(at) || is_mirrored && !options.flips {
                continue;
            }
            let seen = |value: &ValueId| if is_mirrored { mirrored.seen(*value) } else { *value };
            let inputs: HashMap<ValueId, ValueId> =
                shared.inputs[at].iter().map(|(own, there)| (*own, seen(there))).collect();
            let part = Part {
                graph: member,
                inputs: &inputs,
                lengths: &shared.lengths[at],
                number,
                label: labels[number].clone(),
            };
            own.extend(joined.add(&part));
        }
        views.push(own);
    }
    joined.name(&labels);
    let mut graph = joined.graph;
    let mut scores = Vec::with_capacity(views.len());
    for (reader, views) in readers.iter().zip(views) {
        let mut floats = Vec::with_capacity(views.len());
        for value in &views {
            let own = as_floats(&mut graph, *value)?;
            // what does not depend on an image is the same in both views
            let is_of_mirrored = !floats.is_empty() && *value != views[0];
            let reads = options.reads;
            floats.push(if is_of_mirrored { mirrored.turned_back(&mut graph, reader, reads, own)? } else { own });
        }
        scores.push(match floats[..] {
            [] => None,
            [only] => Some(only),
            _ => {
                let weights = vec![1.0 / floats.len() as f64; floats.len()];
                let of_views = match options.reads {
                    PredictionKind::Numbers => Combination::Scores { weights },
                    _ => Combination::Probabilities { weights },
                };
                Some(combine(&mut graph, &of_views, options.reads, columns, &floats)?)
            }
        });
    }
    // what has no weight is read by none
    let Some(any) = scores.iter().flatten().next().copied() else {
        return Err(CompilerError::Selection("no member has weight".into()));
    };
    let scores: Vec<ValueId> = scores.into_iter().map(|scores| scores.unwrap_or(any)).collect();
    let made = combine(&mut graph, &options.combination, options.reads, columns, &scores)?;
    graph.set_outputs(&[made]);
    Ok(graph)
}

/// Versions of other domains, the newest of all members.
fn other_opsets(graphs: &[Graph], catalog: &OperatorCatalog) -> Result<BTreeMap<String, i64>, CompilerError> {
    let mut found: BTreeMap<String, i64> = BTreeMap::new();
    for graph in graphs {
        let used: HashSet<&str> = graph.needed_nodes().iter().map(|node| node.domain.as_str()).collect();
        for (domain, version) in graph.other_opsets.iter().filter(|(domain, _)| used.contains(domain.as_str())) {
            let newest = found.entry(domain.clone()).or_insert(*version);
            *newest = (*newest).max(*version);
        }
    }
    for graph in graphs {
        for node in graph.needed_nodes() {
            let Some(newest) = found.get(&node.domain).filter(|newest| **newest != graph.opset_of(&node.domain)) else {
                continue;
            };
            if catalog.find(&node.domain, &node.operator).is_none_or(|row| !row.opsets.contains(newest)) {
                return Err(CompilerError::Node {
                    node: graph.label(node),
                    operator: node.qualified_operator(),
                    message: format!(
                        "it is of version {} of its domain, and not known to mean the same in version {newest}, which another member needs",
                        graph.opset_of(&node.domain)
                    ),
                });
            }
        }
    }
    Ok(found)
}

/// As 32-bit floats.
fn as_floats(graph: &mut Graph, value: ValueId) -> Result<ValueId, CompilerError> {
    if graph.known_type(value)?.dtype == ElementType::F32 {
        return Ok(value);
    }
    let float = i64::from(ElementType::F32.to_onnx());
    graph.append("Cast", &[value], &[("to", float.into())], "ensemble.scores_as_floats")
}

/// Gives a value a name, which another one gives up for it.
fn claim(graph: &mut Graph, value: ValueId, name: &str) -> Result<(), CompilerError> {
    if graph.name(value) == name {
        return Ok(());
    }
    if let Some(other) = graph.find(name) {
        if graph.inputs().contains(&other) {
            let message = format!(
                "input and output of the ensemble would both be called `{}`; rename one in the members",
                shown(name)
            );
            return Err(CompilerError::Selection(message));
        }
        let free = graph.free_name(&format!("{name}.of_member"));
        graph.rename(other, &free)?;
    }
    graph.rename(value, name)
}
