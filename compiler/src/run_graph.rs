//! Graphs as sessions take them: large matrices lie beside, where all sessions read the same memory.

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

/// Smaller matrices stay constants: as such the runtime packs them for its kernels, which is worth more than their memory.
const LEAST_BYTES: usize = 1 << 20;
/// Below this many bytes of large matrices all of them do.
const LEAST_BYTES_OF_ALL: usize = 64 << 20;

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
        let beside = Beside::of(&all);
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
        let beside = Beside::of(&[(graph, nodes.clone())]);
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
    fn of(graphs: &[(&Graph, Vec<&Node>)]) -> Self {
        let mut refused: HashSet<&str> = HashSet::new();
        let mut candidates: BTreeMap<&str, &Constant> = BTreeMap::new();
        for (graph, nodes) in graphs {
            for (value, is_fit) in large_matrices(graph, nodes) {
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
        if distinct.values().sum::<usize>() < LEAST_BYTES_OF_ALL {
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
        for (value, _) in large_matrices(graph, nodes) {
            let Some(bytes) = self.0.get(graph.name(value)) else { continue };
            let constant = graph.constant_of(value).expect("large matrices are constants");
            let (name, shape) = (graph.name(value).to_owned(), constant.shape.clone());
            weights.push(FrozenWeight { name, shape, bytes: bytes.clone() });
            graph.constant_to_input(value);
        }
        weights
    }
}

/// Large matrices of 32-bit floats that these nodes of a graph read, in the order in which they are read; and whether they may
/// be inputs: a node that reads nothing else would be computed at each run instead of once.
fn large_matrices(graph: &Graph, nodes: &[&Node]) -> Vec<(ValueId, bool)> {
    let made: HashSet<ValueId> = nodes.iter().flat_map(|node| node.outputs.iter().flatten().copied()).collect();
    let outputs: HashSet<ValueId> = graph.outputs().iter().copied().collect();
    let mut found: Vec<(ValueId, bool)> = Vec::new();
    let mut places: HashMap<ValueId, usize> = HashMap::new();
    for node in nodes {
        let reads_data = node.inputs.iter().flatten().any(|input| graph.constant_of(*input).is_none());
        for input in node.inputs.iter().flatten() {
            let matrix = |constant: &&Constant| {
                constant.dtype == ElementType::F32 && constant.shape.len() == 2 && constant.bytes.len() >= LEAST_BYTES
            };
            if graph.constant_of(*input).filter(matrix).is_none() || made.contains(input) {
                continue;
            }
            let place = *places.entry(*input).or_insert_with(|| {
                found.push((*input, !outputs.contains(input) && !graph.is_overridable(*input)));
                found.len() - 1
            });
            found[place].1 &= reads_data;
        }
    }
    found
}

/// The same memory where it is aligned, as it is where a file was read; else a copy.
fn aligned_for_f32(bytes: &Bytes) -> Bytes {
    if bytes.as_ptr().addr().is_multiple_of(align_of::<f32>()) { bytes.clone() } else { bytes.to_vec().into() }
}
