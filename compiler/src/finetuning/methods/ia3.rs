//! Scales of what a frozen layer makes or reads.

use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::shown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adapted::AdaptedLayers;
use super::adapter_form::{AdapterForm, ModuleForm};
use super::layer_biases::{biases, distinct};
use super::linear_weight::{LinearMap, LinearPart, LinearWeight};
use super::method_function::{Added, MergedWeight, MethodFunction, MethodModel};
use super::method_kind::{Build, MethodKind};
use crate::CompilerError;
use crate::adapter_files::{AdapterMethod, ModuleAdapter, Tensor};
use crate::finetuning::attention::{Edges, Role};
use crate::finetuning::{Layer, Weight};
use crate::graph::{Constant, Graph, ValueId};

pub(super) const METHOD: MethodKind = MethodKind {
    name: "ia3",
    summary: "Scales keys, values and what the second feed-forward layer reads; the weights themselves stay frozen.",
    documentation: "H. Liu et al., \"Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning\" (2022), \
        (IA)³: a layer of `layers` gives y = l ⊙ (x·W + b), l a number for each that it makes; a layer of `feed_forward` reads \
        l ⊙ x in the place of x. All l are 1 at first, so that the first step is that of the model itself. Where one layer makes \
        queries, keys and values, only the numbers of the roles that are asked for are scaled. Merged, the columns of W and b are \
        multiplied by l, or the rows of W, of a convolution its channels. A bias that something else reads too is left as it is, and the scales stay beside the model.",
    samples: &[
        "{}",
        r#"{"layers": {"roles": ["query", "value"]}, "feed_forward": null}"#,
        r#"{"layers": "all", "feed_forward": "all"}"#,
    ],
    build: Build::of::<Ia3>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ia3 {
    /// Which layers have what they make scaled; `null` for none.
    pub(super) layers: Option<AdaptedLayers>,
    /// Which layers have what they read scaled; `null` for none.
    pub(super) feed_forward: Option<AdaptedLayers>,
}

impl Default for Ia3 {
    fn default() -> Self {
        Self {
            layers: Some(AdaptedLayers::of_roles([Role::Key, Role::Value])),
            feed_forward: Some(AdaptedLayers::of_roles([Role::FeedForwardOut])),
        }
    }
}

impl Options for Ia3 {
    fn validate(&self) -> Result<(), String> {
        if self.layers.is_none() && self.feed_forward.is_none() {
            return Err("layers and feed_forward are null, so nothing is scaled; name layers in one of them".into());
        }
        self.layers.iter().try_for_each(AdaptedLayers::validate)?;
        self.feed_forward
            .iter()
            .try_for_each(|layers| layers.validate().map_err(|message| format!("feed_forward: {message}")))
    }
}

impl MethodFunction for Ia3 {
    fn add(&self, model: &mut MethodModel<'_>) -> Result<Added, CompilerError> {
        let file = AdapterForm { method: Some(AdapterMethod::Ia3), ..AdapterForm::default() };
        let mut added = Added { merged: Some(Vec::new()), file, ..Added::default() };
        let (mut apart, mut parts) = (Vec::new(), Vec::new());
        let edges = Edges::new(model.base);
        if let Some(layers) = &self.layers {
            for LinearPart { weight, columns } in layers.parts(model)? {
                parts.extend(columns.is_some().then(|| weight.layer.clone()));
                apart.extend(scale_outputs(model, &edges, (&weight, columns), &mut added)?);
            }
        }
        if let Some(layers) = &self.feed_forward {
            for weight in layers.weights(model)? {
                apart.extend(scale_inputs(model, &weight, &mut added)?);
            }
        }
        if let Some(first) = parts.first() {
            let count = parts.len();
            added.notes.push(format!(
                "{count} layer(s), `{}` first, make queries, keys and values in one: `ia3` scales the part of them that `layers` \
                 asks for",
                shown(first)
            ));
        }
        if let Some(first) = apart.first() {
            added.stays_beside(first, "ia3");
        }
        Ok(added)
    }
}

/// Multiplies what a layer makes. Returns why that cannot be written into its weights, where it cannot.
fn scale_outputs(
    model: &mut MethodModel<'_>,
    edges: &Edges<'_>,
    (weight, columns): (&LinearWeight, Option<Vec<usize>>),
    added: &mut Added,
) -> Result<Option<String>, CompilerError> {
    let outputs = match weight.map {
        LinearMap::Dense { outputs, .. } | LinearMap::Convolution { outputs, .. } => outputs,
    };
    let biases = biases(edges, weight);
    let (scale, wide) = scale(model, weight, outputs, columns.as_deref())?;
    let shape = match &weight.map {
        LinearMap::Dense { .. } => None,
        LinearMap::Convolution { kernel, .. } => Some([&[1, -1], vec![1; kernel.len()].as_slice()].concat()),
    };
    let name = &weight.layer;
    for at in weight.readers(model.graph).into_iter().rev() {
        model.graph.replace_result(at, &format!("{name}.unscaled"), |graph, own| {
            let wide = shaped(graph, wide, shape.as_deref(), name)?;
            graph.append("Mul", &[own, wide], &[], &format!("{name}.scaled"))
        })?;
    }
    // from the last on, so that the places of the others stay
    let sums: Vec<ValueId> = biases.iter().filter_map(|bias| bias.sum_of).collect();
    let reads = |graph: &Graph, at: usize| {
        let node = &graph.nodes()[at];
        let addend = node.inputs.iter().position(|input| input.is_some_and(|input| sums.contains(&input)));
        addend.filter(|_| node.is("Add")).map(|addend| 1 - addend)
    };
    for at in (0..model.graph.nodes().len()).rev() {
        let Some(place) = reads(model.graph, at) else { continue };
        let Some(bias) = model.graph.nodes()[at].input(place) else { continue };
        let scaled = model
            .graph
            .in_front_of(at, |graph| graph.append("Mul", &[bias, wide], &[], &format!("{name}.scaled_bias")))?;
        model.graph.set_input(at + 1, place, scaled);
    }
    register(model, weight, scale, columns.as_ref().map_or(outputs, Vec::len), added);
    let full = move |trained: &Constant| spread(trained, outputs, columns.as_deref());
    in_file(weight, scale, false, full.clone(), added);
    let map = weight.map.clone();
    let of_rows = full.clone();
    let rule = Arc::new(move |own: &Constant, trained: &[&Constant]| scaled_outputs(&map, own, &of_rows(trained[0])));
    let merged = added.merged.get_or_insert_default();
    merged.push(MergedWeight { weight: weight.value, trained: vec![scale], rule });
    for value in distinct(&biases) {
        let full = full.clone();
        let rule = Arc::new(move |own: &Constant, trained: &[&Constant]| {
            let scales = full(trained[0]);
            let values = floats(own).into_iter().zip(&scales).map(|(value, scale)| value * scale);
            Constant::f32(own.shape.clone(), &values.collect::<Vec<f32>>())
        });
        merged.push(MergedWeight { weight: value, trained: vec![scale], rule });
    }
    let layer = shown(&weight.layer);
    if weight.is_shared {
        return Ok(Some(format!("something else reads the weight of `{layer}` too")));
    }
    let obstacle = biases.iter().find_map(|bias| bias.obstacle);
    Ok(obstacle.map(|obstacle| format!("the bias of `{layer}` {obstacle}")))
}

/// Multiplies what a layer reads. Returns why that cannot be written into its weights, where it cannot.
fn scale_inputs(
    model: &mut MethodModel<'_>,
    weight: &LinearWeight,
    added: &mut Added,
) -> Result<Option<String>, CompilerError> {
    let inputs = match &weight.map {
        LinearMap::Dense { inputs, .. } => *inputs,
        LinearMap::Convolution { inputs_in_a_group, groups, .. } => inputs_in_a_group * groups,
    };
    let (scale, wide) = scale(model, weight, inputs, None)?;
    let name = &weight.layer;
    for at in weight.readers(model.graph).into_iter().rev() {
        let node = &model.graph.nodes()[at];
        let is_turned = node.is("Gemm") && node.int("transA").unwrap_or(0) != 0;
        let shape = match &weight.map {
            LinearMap::Dense { .. } if is_turned => Some(vec![-1, 1]),
            LinearMap::Dense { .. } => None,
            LinearMap::Convolution { kernel, .. } => Some([&[1, -1], vec![1; kernel.len()].as_slice()].concat()),
        };
        let Some(x) = node.input(0) else { continue };
        let before = model.graph.nodes().len();
        let scaled = model.graph.in_front_of(at, |graph| {
            let wide = shaped(graph, wide, shape.as_deref(), name)?;
            graph.append("Mul", &[x, wide], &[], &format!("{name}.scaled_input"))
        })?;
        model.graph.set_input(at + model.graph.nodes().len() - before, 0, scaled);
    }
    register(model, weight, scale, inputs, added);
    in_file(weight, scale, true, floats, added);
    let map = weight.map.clone();
    let rule = Arc::new(move |own: &Constant, trained: &[&Constant]| scaled_inputs(&map, own, &floats(trained[0])));
    added.merged.get_or_insert_default().push(MergedWeight { weight: weight.value, trained: vec![scale], rule });
    let obstacle =
        weight.is_shared.then(|| format!("something else reads the weight of `{}` too", shown(&weight.layer)));
    Ok(obstacle)
}

/// A vector of ones, and the same with ones in between where only some columns are scaled.
fn scale(
    model: &mut MethodModel<'_>,
    weight: &LinearWeight,
    length: usize,
    columns: Option<&[usize]>,
) -> Result<(ValueId, ValueId), CompilerError> {
    let (graph, name) = (&mut *model.graph, format!("{}.ia3_l", weight.layer));
    let count = columns.map_or(length, <[usize]>::len);
    let scale = graph.named_constant(&name, Constant::f32([count], &vec![1.0; count]));
    let Some(columns) = columns else { return Ok((scale, scale)) };
    let mut places = vec![count as i64; length];
    columns.iter().enumerate().for_each(|(place, column)| places[*column] = place as i64);
    let one = graph.named_constant(&format!("{name}.one"), Constant::f32([1], &[1.0]));
    let places = graph.named_constant(&format!("{name}.places"), Constant::i64([length], &places));
    let wide = graph.in_front_of(0, |graph| {
        let all = graph.append("Concat", &[scale, one], &[("axis", 0.into())], &format!("{name}.and_one"))?;
        graph.append("Gather", &[all, places], &[("axis", 0.into())], &format!("{name}.all"))
    })?;
    Ok((scale, wide))
}

fn shaped(graph: &mut Graph, scale: ValueId, shape: Option<&[i64]>, name: &str) -> Result<ValueId, CompilerError> {
    let Some(shape) = shape else { return Ok(scale) };
    let target = graph.named_constant(&format!("{name}.ia3_shape"), Constant::i64([shape.len()], shape));
    graph.append("Reshape", &[scale, target], &[], &format!("{name}.ia3_wide"))
}

fn register(model: &MethodModel<'_>, weight: &LinearWeight, scale: ValueId, length: usize, added: &mut Added) {
    let graph = &*model.graph;
    let (own, operator) = Weight::added(graph, scale, vec![length]);
    let weights = vec![own];
    let (name, beside) = (graph.name(scale).to_owned(), Some(weight.layer.clone()));
    added.layers.push(Layer { name, operator, weights, learning_rate_multiplier: 1.0, beside });
    if !added.adapted.contains(&weight.layer) {
        added.adapted.push(weight.layer.clone());
    }
}

fn in_file(
    weight: &LinearWeight,
    scale: ValueId,
    are_of_inputs: bool,
    full: impl Fn(&Constant) -> Vec<f32> + Send + Sync + 'static,
    added: &mut Added,
) {
    let layer = shown(&weight.layer);
    if matches!(weight.map, LinearMap::Convolution { .. }) {
        added.file.refusal = Some(format!("`{layer}` is a convolution, and files hold scales of linear layers"));
    }
    if added.file.modules.iter().any(|module| module.layer == weight.layer) {
        added.file.refusal =
            Some(format!("`{layer}` has what it makes and what it reads scaled, and files hold one of both"));
    }
    let rule = Arc::new(move |trained: &[&Constant]| ModuleAdapter::Scales {
        scales: Tensor::vector(full(trained[0])),
        are_of_inputs,
    });
    added.file.modules.push(ModuleForm { layer: weight.layer.clone(), trained: vec![scale], rule });
}

fn floats(constant: &Constant) -> Vec<f32> {
    constant.to_f32().expect("weights of layers are 32-bit floats")
}

/// The trained scales, with ones in between.
fn spread(trained: &Constant, length: usize, columns: Option<&[usize]>) -> Vec<f32> {
    let own = floats(trained);
    let Some(columns) = columns else { return own };
    let mut all = vec![1.0; length];
    columns.iter().zip(own).for_each(|(column, scale)| all[*column] = scale);
    all
}

fn scaled_outputs(map: &LinearMap, own: &Constant, scales: &[f32]) -> Constant {
    let mut values = floats(own);
    let outputs = scales.len().max(1);
    let in_an_output = values.len() / outputs;
    let is_first = match map {
        LinearMap::Dense { is_transposed, .. } => *is_transposed,
        LinearMap::Convolution { .. } => true,
    };
    for (at, value) in values.iter_mut().enumerate() {
        let output = if is_first { at / in_an_output } else { at % outputs };
        *value *= scales[output];
    }
    Constant::f32(own.shape.clone(), &values)
}

fn scaled_inputs(map: &LinearMap, own: &Constant, scales: &[f32]) -> Constant {
    let mut values = floats(own);
    match map {
        LinearMap::Dense { inputs, outputs, is_transposed, .. } => {
            for (at, value) in values.iter_mut().enumerate() {
                let input = if *is_transposed { at % inputs } else { at / outputs };
                *value *= scales[input];
            }
        }
        LinearMap::Convolution { outputs, inputs_in_a_group, kernel, groups } => {
            let window: usize = kernel.iter().product();
            let in_a_group = (outputs / groups).max(1);
            for (at, value) in values.iter_mut().enumerate() {
                let (output, input) = (at / (window * inputs_in_a_group), at / window % inputs_in_a_group);
                *value *= scales[output / in_a_group * inputs_in_a_group + input];
            }
        }
    }
    Constant::f32(own.shape.clone(), &values)
}
