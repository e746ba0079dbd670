use crate::finetuning::attention::Edges;
use crate::graph::{Graph, Node, ValueId};

/// A weight that a linear map or a convolution multiplies with.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearWeight {
    /// Name of its layer.
    pub layer: String,
    /// The constant.
    pub value: ValueId,
    /// Length of each of its axes.
    pub shape: Vec<usize>,
    /// What the nodes read: the constant, and whatever is it transposed, each with whether it is.
    pub reads: Vec<(ValueId, bool)>,
    /// What it is used for, in the form that the constant is stored in.
    pub map: LinearMap,
    /// Whether something else reads it too, an embedding for example: what is written into the constant changes that as well.
    pub is_shared: bool,
    /// Whether the constant holds integers, which stay as they are: `shape`, `reads` and `map` are then those of the floats that
    /// they stand for.
    pub is_quantized: bool,
}

/// A weight, and which of the numbers that it makes are meant.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearPart {
    /// The weight.
    pub weight: LinearWeight,
    /// Some of the numbers that its layer makes, ascending; nothing where all are meant.
    pub columns: Option<Vec<usize>>,
}

/// How a weight is used.
#[derive(Clone, Debug, PartialEq)]
pub enum LinearMap {
    /// y = `factor`·x·W, x `[…, inputs]`.
    Dense {
        /// Numbers that it reads.
        inputs: usize,
        /// Numbers that it makes.
        outputs: usize,
        /// Whether W is stored `[outputs, inputs]` instead of `[inputs, outputs]`.
        is_transposed: bool,
        /// `alpha` of a `Gemm`; else 1.
        factor: f32,
    },
    /// A convolution with a weight `[outputs, inputs / groups, kernel…]`.
    Convolution {
        /// Channels that it makes.
        outputs: usize,
        /// Channels that a group reads.
        inputs_in_a_group: usize,
        /// Lengths of the kernel.
        kernel: Vec<usize>,
        /// Groups.
        groups: usize,
    },
}

impl LinearWeight {
    /// The nodes that multiply with it, as the graph is now: those that give the product in floats.
    pub fn readers(&self, graph: &Graph) -> Vec<usize> {
        let multiplies = |node: &Node| {
            let read = self.reads.iter().find(|(read, _)| node.input(1) == Some(*read));
            read.is_some_and(|(_, is_turned)| linear_map(node, &self.shape, *is_turned).is_some())
        };
        let nodes = graph.nodes().iter().enumerate();
        let mut found: Vec<usize> = nodes.filter(|(_, node)| multiplies(node)).map(|(index, _)| index).collect();
        if self.is_quantized {
            found
                .extend(Edges::new(graph).integers().filter(|product| product.packed == self.value).map(|own| own.end));
            found.sort_unstable();
        }
        found
    }

    /// What the node `at`, one of its readers, multiplies with it, in floats.
    pub(crate) fn float_input_at(graph: &Graph, at: usize) -> Option<ValueId> {
        let node = &graph.nodes()[at];
        if multiplies_floats(node) {
            return node.input(0);
        }
        let edges = Edges::new(graph);
        let whole = edges.integers().find(|product| product.end == at).map(|product| product.input);
        whole.or_else(|| node.input(0))
    }

    /// The node that multiplies in front of the node `at`, one of its readers: where those multiply integers, not the one that gives
    /// the floats.
    pub(crate) fn multiplying_at(graph: &Graph, at: usize) -> &Node {
        let node = &graph.nodes()[at];
        if multiplies_floats(node) {
            return node;
        }
        let edges = Edges::new(graph);
        let product = edges.integers().find(|product| product.end == at);
        product.map_or(node, |product| &graph.nodes()[product.multiplies])
    }
}

/// Whether a node that multiplies a weight gives floats itself.
fn multiplies_floats(node: &Node) -> bool {
    ["MatMul", "Gemm", "Conv", "Gather"].iter().any(|operator| node.is(operator))
}

/// Whether a node hands on a matrix transposed; nothing where it makes something else of it.
pub(super) fn turns(node: &Node) -> Option<bool> {
    match (node.operator.as_str(), node.ints("perm")) {
        _ if !node.domain.is_empty() => None,
        ("Identity", _) => Some(false),
        ("Transpose", None | Some([1, 0])) => Some(true),
        _ => None,
    }
}

/// `is_turned`: whether the node reads the weight transposed.
pub(super) fn linear_map(node: &Node, shape: &[usize], is_turned: bool) -> Option<LinearMap> {
    let dense = |is_transposed: bool, factor: f32| match shape {
        [rows, columns] => {
            let is_transposed = is_transposed != is_turned;
            let (inputs, outputs) = if is_transposed { (*columns, *rows) } else { (*rows, *columns) };
            Some(LinearMap::Dense { inputs, outputs, is_transposed, factor })
        }
        _ => None,
    };
    match (node.domain.as_str(), node.operator.as_str()) {
        ("", "MatMul") => dense(false, 1.0),
        ("", "Gemm") => {
            let alpha = node.float("alpha").unwrap_or(1.0);
            dense(node.int("transB").unwrap_or(0) != 0, alpha).filter(|_| alpha != 0.0)
        }
        ("", "Conv") if !is_turned => match shape {
            [outputs, inputs_in_a_group, kernel @ ..] if !kernel.is_empty() => Some(LinearMap::Convolution {
                outputs: *outputs,
                inputs_in_a_group: *inputs_in_a_group,
                kernel: kernel.to_vec(),
                groups: usize::try_from(node.int("group").unwrap_or(1)).ok().filter(|groups| *groups > 0)?,
            }),
            _ => None,
        },
        _ => None,
    }
}
