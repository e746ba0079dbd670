//! Graphs as sessions take them: frozen matrices lie beside, where all sessions read the same memory.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;

use crate::CompilerError;
use crate::even_padding::even_padding;
use crate::exact_scatters::scatters_as_integers;
use crate::graph::{Constant, ElementType, Graph, Node, ValueId};
use crate::large_kernels::large_kernels_as_products;
use crate::matrix_sums::sums_as_products;
use crate::model_file::{Header, OnnxFile};
use crate::strided_transposes::strided_transposes;

/// Which matrices lie beside graphs, by their bytes.
#[derive(Clone, Copy)]
struct Limits {
    /// Smaller ones stay constants.
    least: usize,
    /// Where the others come to less, they do too.
    least_of_all: usize,
}

/// Of graphs that a run opens several of: each session would hold its own copy of a constant, and another one that is packed.
/// Packing a matrix at each run costs nothing that can be measured where some hundred rows are multiplied by it, as tokens of a
/// batch are. Fewer feel it: with 32 the product takes up to 1.6 times as long, with 8, by the largest matrices, up to 5
/// times. Smaller matrices come to little, all of them together. A matrix goes by its own size alone: a part of a graph, as a
/// frozen prefix is, multiplies by the same kernels as the whole, and so to the same bits. Kernels of convolutions stay
/// constants, since the runtime lays them out anew only where it knows them; each session holds them once, so laid out.
const SHARED: Limits = Limits { least: 64 << 10, least_of_all: 0 };
/// Of a model that one session alone answers with, at times one row at a time: a matrix that is packed at each run takes 1.7
/// times as long there, which is worth more than a second copy of a small model.
const ALONE: Limits = Limits { least: 1 << 20, least_of_all: 64 << 20 };

/// Operators beside the standard ones that read matrices from outside as well. Others may want constants: those that read
/// blocks of integers pack them with their scales.
const OF_OTHER_DOMAINS: [&str; 4] = ["Attention", "FusedMatMul", "FusedGemm", "EmbedLayerNormalization"];

/// What runs a graph. Each of ONNX Runtime's has kernels of its own, which take some operators in some forms alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// The CPU, which takes all forms.
    Cpu,
    /// CUDA.
    Cuda,
}

/// A matrix of 32-bit floats that is not trained, beside the graphs that read it.
#[derive(Clone, Debug)]
pub struct FrozenWeight {
    /// The graph's input of this name takes it.
    pub name: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The elements, little-endian and row-major, aligned for 32-bit floats.
    pub bytes: Bytes,
}

/// A graph to be run. Frozen weights of which a second copy would be felt are inputs of it and lie beside it.
#[derive(Clone, Debug)]
pub struct RunGraph {
    file: OnnxFile,
    weights: Vec<FrozenWeight>,
    float_nodes: HashSet<String>,
}

impl RunGraph {
    /// Graphs in which known constants are given, under these names. They share what lies beside them.
    pub(crate) fn folded<const N: usize>(
        graphs: [(&Graph, &str); N],
        provider: Provider,
    ) -> Result<[Self; N], CompilerError> {
        let all: Vec<(&Graph, Vec<&Node>)> = graphs.iter().map(|(graph, _)| (*graph, graph.live_nodes())).collect();
        let beside = Beside::of(&all, SHARED);
        let made = graphs.iter().zip(&all).map(|((graph, name), (_, nodes))| {
            let mut open = (*graph).clone();
            let weights = beside.take_from(&mut open, nodes);
            if provider == Provider::Cuda {
                strided_transposes(&mut open)?;
                even_padding(&mut open);
                large_kernels_as_products(&mut open)?;
                scatters_as_integers(&mut open)?;
                sums_as_products(&mut open)?;
            }
            let float_nodes = float_nodes(&open, &open.live_nodes());
            Ok(Self { file: OnnxFile::new(open.model_proto(name))?, weights, float_nodes })
        });
        let made: Vec<Self> = made.collect::<Result<_, CompilerError>>()?;
        Ok(made.try_into().expect("one for each graph"))
    }

    /// The graph of a model's file with all nodes that its outputs need.
    pub(crate) fn unfolded(header: &Header, graph: &Graph) -> Result<Self, CompilerError> {
        let nodes = graph.needed_nodes();
        let beside = Beside::of(&[(graph, nodes.clone())], ALONE);
        let mut open = graph.clone();
        let weights = beside.take_from(&mut open, &nodes);
        let float_nodes = float_nodes(&open, &nodes);
        Ok(Self { file: OnnxFile::new(header.with(&open))?, weights, float_nodes })
    }

    /// The graph as an ONNX model whose inputs are those of the graph, then the weights beside it.
    pub fn file(&self) -> &OnnxFile {
        &self.file
    }

    /// Whether a node of this name makes floats, and not lengths, indices or conditions alone.
    pub fn makes_floats(&self, node: &str) -> bool {
        self.float_nodes.contains(node)
    }

    /// What is given to each run beside the graph's own inputs.
    pub fn weights(&self) -> &[FrozenWeight] {
        &self.weights
    }
}

fn float_nodes(graph: &Graph, nodes: &[&Node]) -> HashSet<String> {
    let is_float = |value: &ValueId| graph.tensor_type(*value).is_none_or(|known| known.dtype.is_float());
    let makes_floats = nodes.iter().filter(|node| node.outputs.iter().flatten().any(is_float));
    makes_floats.map(|node| node.name.clone()).collect()
}

/// Which constants lie beside some graphs, by name.
struct Beside(BTreeMap<String, Bytes>);

impl Beside {
    fn of(graphs: &[(&Graph, Vec<&Node>)], limits: Limits) -> Self {
        let mut refused: HashSet<&str> = HashSet::new();
        let mut candidates: BTreeMap<&str, &Constant> = BTreeMap::new();
        for (graph, nodes) in graphs {
            for (value, is_fit) in matrices(graph, nodes, limits.least) {
                let name = graph.name(value);
                match graph.constant_of(value).filter(|_| is_fit) {
                    Some(constant) => _ = candidates.insert(name, constant),
                    None => _ = refused.insert(name),
                }
            }
        }
        candidates.retain(|name, _| !refused.contains(name));
        let distinct: HashMap<usize, usize> =
            candidates.values().map(|constant| (constant.bytes.as_ptr() as usize, constant.bytes.len())).collect();
        if distinct.values().sum::<usize>() < limits.least_of_all {
            return Self(BTreeMap::new());
        }
        let mut aligned: HashMap<usize, Bytes> = HashMap::new();
        let mut kept = BTreeMap::new();
        for (name, constant) in candidates {
            let bytes =
                aligned.entry(constant.bytes.as_ptr() as usize).or_insert_with(|| aligned_for_f32(&constant.bytes));
            kept.insert(name.to_owned(), bytes.clone());
        }
        Self(kept)
    }

    /// Makes the constants of a graph that lie beside it its inputs.
    fn take_from(&self, graph: &mut Graph, nodes: &[&Node]) -> Vec<FrozenWeight> {
        let mut weights = Vec::new();
        for (value, _) in matrices(graph, nodes, 0) {
            let Some(bytes) = self.0.get(graph.name(value)) else { continue };
            let constant = graph.constant_of(value).expect("the matrices found are constants");
            let (name, shape) = (graph.name(value).to_owned(), constant.shape.clone());
            weights.push(FrozenWeight { name, shape, bytes: bytes.clone() });
            graph.constant_to_input(value);
        }
        weights
    }
}

/// Matrices of 32-bit floats of at least so many bytes that these nodes of a graph read, in the order in which they are read;
/// and whether they may be inputs: a node that reads nothing else would be computed at each run instead of once.
fn matrices(graph: &Graph, nodes: &[&Node], least: usize) -> Vec<(ValueId, bool)> {
    let made: HashSet<ValueId> = nodes.iter().flat_map(|node| node.outputs.iter().flatten().copied()).collect();
    let outputs: HashSet<ValueId> = graph.outputs().iter().copied().collect();
    let mut found: Vec<(ValueId, bool)> = Vec::new();
    let mut places: HashMap<ValueId, usize> = HashMap::new();
    for node in nodes {
        let reads_data = node.inputs.iter().flatten().any(|input| graph.constant_of(*input).is_none());
        let takes_inputs = node.domain.is_empty() || OF_OTHER_DOMAINS.contains(&node.operator.as_str());
        for input in node.inputs.iter().flatten() {
            let matrix = |constant: &&Constant| {
                constant.dtype == ElementType::F32 && constant.shape.len() == 2 && constant.bytes.len() >= least
            };
            if graph.constant_of(*input).filter(matrix).is_none() || made.contains(input) {
                continue;
            }
            let place = *places.entry(*input).or_insert_with(|| {
                found.push((*input, !outputs.contains(input) && !graph.is_overridable(*input)));
                found.len() - 1
            });
            found[place].1 &= reads_data && takes_inputs;
        }
    }
    found
}

/// The same memory where it is aligned, as it is where a file was read; else a copy.
fn aligned_for_f32(bytes: &Bytes) -> Bytes {
    if bytes.as_ptr().addr().is_multiple_of(align_of::<f32>()) { bytes.clone() } else { bytes.to_vec().into() }
}
