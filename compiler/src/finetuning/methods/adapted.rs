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
    /// What the nodes read: the constant, or what transposes it.
    pub read: ValueId,
    /// What it is used for, in the form that the constant is stored in.
    pub map: LinearMap,
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
        let nodes = graph.nodes().iter().enumerate();
        nodes.filter(|(_, node)| node.input(1) == Some(self.read)).map(|(index, _)| index).collect()
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
        let in_head = |weight: &LinearWeight| model.head.is_some_and(|head| head.weight == weight.value);
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
    let mut found: Vec<LinearWeight> = Vec::new();
    for layer in model.layers {
        for weight in layer.weights.iter().filter(|weight| weight.input == 1) {
            if found.iter().any(|known| known.value == weight.value) {
                continue; // tied: what is added is tied as well
            }
            let Some(read) = model.graph.nodes()[weight.node].input(1) else { continue };
            let Some(is_turned) = is_turned(model.graph, read, weight.value) else { continue };
            let readers = model.graph.nodes().iter().filter(|node| node.input(1) == Some(read));
            let mut maps: Vec<(LinearMap, &Node)> =
                readers.filter_map(|node| Some((linear_map(node, &weight.shape, is_turned)?, node))).collect();
            let Some((map, _)) = maps.pop() else { continue };
            if let Some((_, other)) = maps.iter().find(|(other, _)| *other != map) {
                return Err(CompilerError::unsupported(
                    format!("layer `{}`, whose weight {} uses otherwise", shown(&layer.name), model.graph.label(other)),
                    "name other layers",
                ));
            }
            found.push(LinearWeight { layer: layer.name.clone(), value: weight.value, read, map });
        }
    }
    Ok(found)
}

/// Whether a value is a matrix transposed, or the matrix itself; nothing where it is something else made of it.
fn is_turned(graph: &Graph, mut read: ValueId, stored: ValueId) -> Option<bool> {
    let mut is_turned = false;
    while read != stored {
        let node = graph.producer(read)?;
        match (node.operator.as_str(), node.ints("perm")) {
            ("Identity", _) => {}
            ("Transpose", None | Some([1, 0])) => is_turned = !is_turned,
            _ => return None,
        }
        read = node.input(0)?;
    }
    Some(is_turned)
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
