use std::collections::{BTreeSet, HashMap, HashSet};

use millstream_schemas::{count, nearest, shown};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::linear_weight::{LinearMap, LinearPart, LinearWeight, linear_map, turns};
use super::method_function::MethodModel;
use super::quantized_weights::quantized_weights;
use crate::CompilerError;
use crate::finetuning::attention::{Attentions, Role};
use crate::finetuning::{find_attentions, pattern_matches};
use crate::graph::ValueId;

/// Which layers of the model a method goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdaptedLayers {
    /// Every linear layer (`MatMul`, `Gemm`) but the head.
    #[default]
    Linear,
    /// The same as `linear`, as PEFT calls it.
    AllLinear,
    /// Every convolution but the head.
    Convolution,
    /// Every linear layer but the head, and every convolution.
    All,
    /// The linear layers and convolutions whose name matches one of these patterns (`*` any run, `?` one character).
    Match(#[schemars(length(min = 1))] Vec<String>),
    /// The linear layers that do this in the attentions of the model and in the feed-forward parts behind them, found by
    /// how values flow, whatever they are called.
    Roles(#[schemars(length(min = 1))] Vec<Role>),
}

impl AdaptedLayers {
    /// The layers of these roles.
    pub fn of_roles(roles: impl IntoIterator<Item = Role>) -> Self {
        Self::Roles(roles.into_iter().collect())
    }

    /// Refuses an empty list.
    ///
    /// # Errors
    /// What is wrong, beginning with the option's name.
    pub fn validate(&self) -> Result<(), String> {
        match self {
            Self::Match(patterns) if patterns.is_empty() => Err("layers.match: no pattern; name layers".into()),
            Self::Roles(roles) if roles.is_empty() => Err(format!("layers.roles: no role; there are {}", all_roles())),
            _ => Ok(()),
        }
    }

    /// The weights of these layers, from the input to the output. A layer that makes queries, keys and values in one has each
    /// of these roles, as a whole: see [`AdaptedLayers::parts`].
    ///
    /// # Errors
    /// There are none, a pattern matches none, no layer has one of the roles, or one has quantized weights.
    pub fn weights(&self, model: &MethodModel<'_>) -> Result<Vec<LinearWeight>, CompilerError> {
        Ok(self.parts(model)?.into_iter().map(|part| part.weight).collect())
    }

    /// As [`AdaptedLayers::weights`], for a method that needs to know no weight: those that are quantized are among them.
    ///
    /// # Errors
    /// As [`AdaptedLayers::weights`], but for quantized weights.
    pub fn weights_of_any_form(&self, model: &MethodModel<'_>) -> Result<Vec<LinearWeight>, CompilerError> {
        Ok(self.found(model)?.into_iter().map(|part| part.weight).collect())
    }

    /// As [`AdaptedLayers::weights`]; of a layer that makes queries, keys and values in one, with which of its numbers have the
    /// roles that are asked for.
    ///
    /// # Errors
    /// As [`AdaptedLayers::weights`].
    pub fn parts(&self, model: &MethodModel<'_>) -> Result<Vec<LinearPart>, CompilerError> {
        let found = self.found(model)?;
        match found.iter().find(|part| part.weight.is_quantized) {
            None => Ok(found),
            Some(first) => Err(CompilerError::setting(
                "",
                format!(
                    "the weights of `{}` are quantized: `lora`, `vera` and `adapter` go beside those, and this method does not; \
                     name other layers with `layers: {{match: […]}}`",
                    shown(&first.weight.layer)
                ),
            )),
        }
    }

    /// That layers make more than the roles that are asked for, of a method that goes to all that a layer makes; in words.
    pub(super) fn note_of_fused(&self, model: &MethodModel<'_>, method: &str) -> Option<String> {
        let Self::Roles(roles) = self else { return None };
        let fused: Vec<LinearPart> =
            self.found(model).ok()?.into_iter().filter(|part| part.columns.is_some()).collect();
        let first = shown(&fused.first()?.weight.layer);
        let roles: Vec<&str> = roles.iter().map(|role| role.name()).collect();
        let make = match fused.len() - 1 {
            0 => " makes".to_owned(),
            others => format!(" and {} make", count(others as u64, "other layer")),
        };
        Some(format!(
            "`{first}`{make} queries, keys and values in one: `{method}` goes to all of that, not only to {}",
            roles.join(", ")
        ))
    }

    fn found(&self, model: &MethodModel<'_>) -> Result<Vec<LinearPart>, CompilerError> {
        let mut all = linear_weights(model)?;
        all.extend(quantized_weights(model.base, model.prediction));
        if all.iter().any(|weight| weight.is_quantized) {
            all.sort_by_cached_key(|weight| weight.readers(model.base).first().copied());
        }
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
        let (roles, attentions) = match self {
            Self::Roles(roles) => (roles.as_slice(), find_attentions(model.base)),
            _ => ([].as_slice(), Attentions::default()),
        };
        let of_roles = weights_of(roles, &attentions, &all)?;
        let wanted = |weight: &LinearWeight| match self {
            Self::Linear | Self::AllLinear => is_dense(weight) && !in_head(weight),
            Self::Convolution => !is_dense(weight) && !in_head(weight),
            Self::All => !in_head(weight),
            Self::Match(patterns) => patterns.iter().any(|pattern| pattern_matches(pattern, &weight.layer)),
            Self::Roles(_) => of_roles.contains(&weight.value),
        };
        let part = |weight: &LinearWeight| {
            let columns = columns_of(roles, &attentions, weight.value);
            LinearPart { weight: weight.clone(), columns }
        };
        let chosen: Vec<LinearPart> = all.iter().filter(|weight| wanted(weight)).map(part).collect();
        if !chosen.is_empty() {
            return Ok(chosen);
        }
        match self {
            Self::Linear | Self::AllLinear if all.iter().any(|weight| !is_dense(weight)) => {
                refuse("the model has no linear layer but its head; use `layers: convolution`".into())
            }
            Self::Convolution if !all.is_empty() => refuse("the model has no convolution; use `layers: linear`".into()),
            _ => refuse("the model has no linear layer or convolution beside its head".into()),
        }
    }
}

/// Which of the numbers that a layer makes have one of these roles, where only some have.
fn columns_of(roles: &[Role], attentions: &Attentions, weight: ValueId) -> Option<Vec<usize>> {
    let mut columns = BTreeSet::new();
    for attention in &attentions.found {
        for role in roles {
            let projection = match role {
                Role::Query => &attention.query,
                Role::Key => &attention.key,
                Role::Value => &attention.value,
                _ if attention.linears(*role).iter().any(|linear| linear.weight == weight) => return None,
                _ => continue,
            };
            if projection.linear.weight == weight {
                columns.extend(projection.columns.iter().copied());
            }
        }
    }
    let mut linears =
        attentions.found.iter().flat_map(|attention| Role::ALL.into_iter().flat_map(|role| attention.linears(role)));
    let all = linears.find(|linear| linear.weight == weight)?.outputs;
    (!columns.is_empty() && columns.len() < all).then(|| columns.into_iter().collect())
}

fn all_roles() -> String {
    Role::ALL.map(Role::name).join(", ")
}

/// The weights of these roles, of which each has at least one that is among `all`.
fn weights_of(
    roles: &[Role],
    attentions: &Attentions,
    all: &[LinearWeight],
) -> Result<BTreeSet<ValueId>, CompilerError> {
    let mut chosen = BTreeSet::new();
    for role in roles {
        let (own, name) = (attentions.weights(*role), role.name());
        let adaptable: Vec<ValueId> =
            all.iter().map(|weight| weight.value).filter(|value| own.contains(value)).collect();
        let message = match (own.is_empty(), adaptable.is_empty()) {
            (_, false) => {
                chosen.extend(adaptable);
                continue;
            }
            (true, _) => format!("layers.roles: no layer is `{name}`; found: {}", attentions.summary()),
            (false, _) => format!(
                "layers.roles: the layers that are `{name}` have no weights beside which something can be added: they are \
                 fused into one node with the attention, or do not lead to the prediction; found: {}",
                attentions.summary()
            ),
        };
        return Err(CompilerError::setting("", format!("{message}. Name layers with `layers: {{match: […]}}`")));
    }
    Ok(chosen)
}

fn linear_weights(model: &MethodModel<'_>) -> Result<Vec<LinearWeight>, CompilerError> {
    // what an earlier method adds may read a weight too, and changes nothing of what it is
    let graph = model.base;
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
                found.push(LinearWeight {
                    layer,
                    value: weight.value,
                    shape,
                    reads,
                    map,
                    is_shared,
                    is_quantized: false,
                });
            }
        }
    }
    Ok(found)
}
