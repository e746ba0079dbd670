use std::collections::{HashMap, HashSet};

use millstream_schemas::{nearest, shown};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::method_function::MethodModel;
use crate::CompilerError;
use crate::finetuning::pattern_matches;
use crate::graph::{Graph, Node, ValueId};

/// Which layers of the model a method goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdaptedLayers {
    /// Every linear layer (`MatMul`, `Gemm`) but the head.
    #[default]
    Linear,
    /// Every convolution but the head.
    Convolution,
    /// Every linear layer but the head, and every convolution.
    All,
    /// The linear layers and convolutions whose name matches one of these patterns (`*` any run, `?` one character).
    Match(Vec<String>),
}

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
    /// The nodes that multiply with it, as the graph is now.
    pub fn readers(&self, graph: &Graph) -> Vec<usize> {
        let multiplies = |node: &Node| {
            let read = self.reads.iter().find(|(read, _)| node.input(1) == Some(*read));
            read.is_some_and(|(_, is_turned)| linear_map(node, &self.shape, *is_turned).is_some())
        };
        let nodes = graph.nodes().iter().enumerate();
        nodes.filter(|(_, node)| multiplies(node)).map(|(index, _)| index).collect()
    }
}

impl AdaptedLayers {
    /// Refuses an empty list.
    ///
    /// # Errors
    /// What is wrong, beginning with the option's name.
    pub fn validate(&self) -> Result<(), String> {
        match self {
            Self::Match(patterns) if patterns.is_empty() => Err("layers.match: no pattern; name layers".into()),
            _ => Ok(()),
        }
    }

    /// The weights of these layers, from the input to the output.
    ///
    /// # Errors
    /// There are none, or a pattern matches none.
    pub fn weights(&self, model: &MethodModel<'_>) -> Result<Vec<LinearWeight>, CompilerError> {
        let all = linear_weights(model)?;
        let refuse = |message: String| Err(CompilerError::setting("", message));
        let in_head = |weight: &LinearWeight| model.head.is_some_and(|head| head.has(weight.value));
        let is_dense = |weight: &LinearWeight| matches!(weight.map, LinearMap::Dense { .. });
        if let Self::Match(patterns) = self {
            let names = || all.iter().map(|weight| weight.layer.as_str());
            for pattern in patterns {
                if !names().any(|name| pattern_matches(pattern, name)) {
                    let hint = nearest(pattern, names())
                        .map_or_else(String::new, |name| format!("; did you mean `{}`?", shown(name)));
                    return refuse(format!(
                        "layers.match: no linear layer or convolution matches `{}`{hint}; `millstream inspect MODEL` lists \
                         the layers",
                        shown(pattern)
                    ));
                }
            }
        }
        let wanted = |weight: &LinearWeight| match self {
            Self::Linear => is_dense(weight) && !in_head(weight),
            Self::Convolution => !is_dense(weight) && !in_head(weight),
            Self::All => !in_head(weight),
            Self::Match(patterns) => patterns.iter().any(|pattern| pattern_matches(pattern, &weight.layer)),
        };
        let chosen: Vec<LinearWeight> = all.iter().filter(|weight| wanted(weight)).cloned().collect();
        if !chosen.is_empty() {
            return Ok(chosen);
        }
        match self {
            Self::Linear if all.iter().any(|weight| !is_dense(weight)) => {
                refuse("the model has no linear layer but its head; use `layers: convolution`".into())
            }
            Self::Convolution if !all.is_empty() => refuse("the model has no convolution; use `layers: linear`".into()),
            _ => refuse("the model has no linear layer or convolution with float32 weights beside its head".into()),
        }
    }
}

fn linear_weights(model: &MethodModel<'_>) -> Result<Vec<LinearWeight>, CompilerError> {
    let graph = &*model.graph;
    let mut readers: HashMap<ValueId, Vec<(usize, usize)>> = HashMap::new();
    for (index, node) in graph.nodes().iter().enumerate() {
        for (input, value) in node.inputs.iter().enumerate() {
            if let Some(value) = value {
                readers.entry(*value).or_default().push((index, input));
            }
        }
    }
    let mut found: Vec<LinearWeight> = Vec::new();
    let mut seen = HashSet::new();
    for layer in model.layers {
        for weight in layer.weights.iter().filter(|weight| weight.input == 1) {
            if !seen.insert(weight.value) {
                continue; // tied: what is added is tied as well
            }
            let (mut reads, mut map, mut is_shared) = (vec![(weight.value, false)], None, false);
            let mut at = 0;
            while let Some((read, is_turned)) = reads.get(at).copied() {
                at += 1;
                is_shared |= graph.outputs().contains(&read);
                for (index, input) in readers.get(&read).into_iter().flatten() {
                    let node = &graph.nodes()[*index];
                    if let (Some(turns), Some(made)) = (turns(node), node.outputs.first().copied().flatten()) {
                        reads.push((made, is_turned != turns));
                        continue;
                    }
                    let used = if *input == 1 { linear_map(node, &weight.shape, is_turned) } else { None };
                    match (&map, used) {
                        (_, None) => is_shared = true,
                        (None, used) => map = used,
                        (Some(map), Some(used)) if *map != used => {
                            let layer = shown(&layer.name);
                            return Err(CompilerError::unsupported(
                                format!("layer `{layer}`, whose weight {} uses otherwise", graph.label(node)),
                                "name other layers",
                            ));
                        }
                        _ => {}
                    }
                }
            }
            if let Some(map) = map {
                let (layer, shape) = (layer.name.clone(), weight.shape.clone());
                found.push(LinearWeight { layer, value: weight.value, shape, reads, map, is_shared });
            }
        }
    }
    Ok(found)
}

/// Whether a node hands on a matrix transposed; nothing where it makes something else of it.
fn turns(node: &Node) -> Option<bool> {
    match (node.operator.as_str(), node.ints("perm")) {
        _ if !node.domain.is_empty() => None,
        ("Identity", _) => Some(false),
        ("Transpose", None | Some([1, 0])) => Some(true),
        _ => None,
    }
}

/// `is_turned`: whether the node reads the weight transposed.
fn linear_map(node: &Node, shape: &[usize], is_turned: bool) -> Option<LinearMap> {
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
