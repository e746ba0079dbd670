//! A model and adapters made elsewhere: merged into its weights, or as inputs of a graph that takes one or another.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use millstream_schemas::shown;
use serde::Deserialize;
use serde_json::Value;

use crate::CompilerError;
use crate::adapter_files::{Adapter, ModuleAdapter, ModuleNames, OnnxAdapter, PeftFolder, Tensor};
use crate::finetuning::methods::{Added, FromAdapter, MethodModel};
use crate::finetuning::stored_form::is_of_channels;
use crate::finetuning::{Layer, layers, normalize, untie, write_einsum_layers};
use crate::graph::{Constant, Graph, ValueId};
use crate::model_file::onnx::tensor_shape_proto::{Dimension, dimension};
use crate::model_file::onnx::{ModelProto, ValueInfoProto, type_proto};
use crate::model_file::{Model, OnnxFile, constant_of};
use crate::operators::OperatorCatalog;
use crate::trained_adapters::METADATA;

/// A model whose adapter is given to it, and one adapter for it.
#[derive(Clone, Debug)]
pub struct AdaptableModel {
    /// The model. What the adapter holds are inputs that need not be given: without them it computes what it did before.
    pub model: OnnxFile,
    /// The adapter under the names of those inputs.
    pub adapter: OnnxAdapter,
    /// What is worth knowing, in words.
    pub notes: Vec<String>,
}

/// The model with adapters merged into its weights, each times a weight, and what is worth knowing, in words.
///
/// # Errors
/// An adapter does not fit the model, something else reads a weight too, one that is no sum has a weight other than 1 or shares
/// a layer with another, or one holds something whole that the model has no place for, or that an earlier one has added to.
pub fn merge_adapters(
    model: &Model,
    adapters: &[(&Adapter, f64)],
    catalog: &OperatorCatalog,
) -> Result<(OnnxFile, Vec<String>), CompilerError> {
    let (base, layers) = opened(model, catalog)?;
    let mut merged = base.clone();
    let mut notes = Vec::new();
    let mut adapted: Vec<(BTreeSet<String>, bool)> = Vec::new();
    let mut whole: HashMap<ValueId, Constant> = HashMap::new();
    let mut written: HashMap<ValueId, usize> = HashMap::new();
    for (at, (adapter, weight)) in adapters.iter().enumerate() {
        let part = adapter.weighted(*weight).map_err(CompilerError::Selection)?;
        let mut graph = base.clone();
        let (added, _) = add(&part, false, (&mut graph, &base, &layers), catalog)?;
        let own: BTreeSet<String> = added.adapted.iter().cloned().collect();
        let is_sum = part.is_sum();
        for (other, other_is_sum) in &adapted {
            if let Some(layer) = own.intersection(other).next().filter(|_| !(is_sum && *other_is_sum)) {
                return Err(CompilerError::Selection(format!(
                    "two adapters go to layer `{}`, and one of them is no sum with the model's weights; merge one of them",
                    shown(layer)
                )));
            }
        }
        adapted.push((own, is_sum));
        if part.method.has_prompt() {
            if adapters.len() > 1 {
                let message = format!(
                    "adapter {} puts virtual tokens in front of rows, and no other goes with it; merge it alone",
                    at + 1
                );
                return Err(CompilerError::Selection(message));
            }
            // virtual tokens are no part of a weight: they stand in the model
            merged = graph;
            notes.extend(added.notes);
            continue;
        }
        let Some(merges) = added.merged else {
            let reason = added.unmerged.unwrap_or_default();
            return Err(CompilerError::Selection(format!("the adapter cannot be merged: {reason}")));
        };
        for merge in merges {
            let constant = |graph: &Graph, value| graph.constant_of(value).cloned().expect("methods merge constants");
            if merge.trained.is_empty() {
                let own = constant(&graph, merge.weight);
                if let Some(earlier) = written.get(&merge.weight) {
                    return Err(CompilerError::Selection(format!(
                        "adapter {} ({}) holds `{}` whole, and would undo what adapter {} ({}) adds to it; name the one that \
                         holds it whole first, or leave it out of one by `--skip`",
                        at + 1,
                        adapter.in_words(),
                        shown(graph.name(merge.weight)),
                        earlier + 1,
                        adapters[*earlier].0.in_words()
                    )));
                }
                if whole.insert(merge.weight, own.clone()).is_some_and(|other| other != own) {
                    return Err(CompilerError::Selection(format!(
                        "two adapters hold `{}` whole, with other numbers; leave it out of one by `--skip`",
                        shown(graph.name(merge.weight))
                    )));
                }
                merged.set_constant(merge.weight, own);
                continue;
            }
            let trained: Vec<Constant> = merge.trained.iter().map(|value| constant(&graph, *value)).collect();
            // of weights that it is for without a part of theirs
            let own =
                if part.is_principal() { constant(&graph, merge.weight) } else { constant(&merged, merge.weight) };
            let result = (merge.rule)(&own, &trained.iter().collect::<Vec<_>>());
            merged.set_constant(merge.weight, result);
            written.insert(merge.weight, at);
        }
        notes.extend(added.notes);
    }
    let file = OnnxFile::new(model.header().signed(&[]).with(&merged.as_stored()?))?;
    Ok((file, notes))
}

/// The model with the tensors of an adapter as inputs, which have defaults: factors of low rank one of rank 0, so that any other
/// rank can be given; of a convolution, which cannot be of none, one of rank 1 that is zero. The scale of LoRA is in B. The matrices
/// that all layers of VeRA share are inputs too. What the adapter holds whole is written into the model.
///
/// # Errors
/// The adapter does not fit the model, is of a method that no model takes as inputs, or holds something whole that the model has no
/// place for.
pub fn taking_adapter(
    model: &Model,
    adapter: &Adapter,
    catalog: &OperatorCatalog,
) -> Result<AdaptableModel, CompilerError> {
    let opened = opened(model, catalog)?;
    let Taken { graph, file, open, notes, .. } = Taken::of(adapter, &opened, catalog)?;
    Ok(AdaptableModel { model: with_open_ranks(model, &graph, &open)?, adapter: file, notes })
}

/// A graph that takes an adapter, and the adapter for it.
pub(crate) struct Taken {
    pub(crate) graph: Graph,
    /// The adapter under the names of inputs.
    pub(crate) file: OnnxAdapter,
    /// What belongs to each layer, by the layers' names.
    pub(crate) modules: BTreeMap<String, ModuleAdapter>,
    /// What was written into the model in the place of other numbers.
    pub(crate) whole: HashMap<ValueId, Constant>,
    /// Of inputs whose rank is open: name, axis, and what that is called.
    pub(crate) open: Vec<OpenRank>,
    notes: Vec<String>,
}

type OpenRank = (String, usize, String);

/// What the rank of VeRA, which all layers share, is called.
const VERA_RANK: &str = "vera.rank";

impl Taken {
    pub(crate) fn of(
        adapter: &Adapter,
        (base, layers): &(Graph, Vec<Layer>),
        catalog: &OperatorCatalog,
    ) -> Result<Self, CompilerError> {
        if let Some(reason) = adapter.method.not_as_inputs() {
            return Err(CompilerError::Selection(format!("{reason}; merge it, or keep PEFT's folder")));
        }
        if let Some(stored) = base.float_type_of_file() {
            return Err(CompilerError::unsupported(
                format!("an .onnx_adapter for a model of {}", stored.name()),
                "merge the adapter, or take the model in float32",
            ));
        }
        let mut graph = base.clone();
        let (added, starts) = add(adapter, true, (&mut graph, base, layers), catalog)?;
        let is_other = |value: &&ValueId| graph.constant_of(**value) != base.constant_of(**value);
        let replaced = added.replaced.iter().filter(is_other);
        let whole = replaced.filter_map(|value| Some((*value, graph.constant_of(*value)?.clone()))).collect();
        let mut file = OnnxAdapter::default();
        let (mut modules, mut open) = (BTreeMap::new(), Vec::new());
        for form in &added.file.modules {
            let constants: Vec<Constant> =
                form.trained.iter().filter_map(|value| graph.constant_of(*value).cloned()).collect();
            let own = (form.rule)(&constants.iter().collect::<Vec<_>>());
            let parts = own.in_graphs(1.0).into_iter().map(|(part, _)| part);
            for (at, ((value, constant), part)) in form.trained.iter().zip(&constants).zip(parts).enumerate() {
                let end = OnnxAdapter::end(adapter.method, &own, part);
                if end != part {
                    let name = graph.free_name(&format!("{}.{end}", form.layer));
                    graph.rename(*value, &name)?;
                }
                let name = graph.name(*value).to_owned();
                let values = constant.to_f32().expect("what is trained are 32-bit floats");
                let tensor = Tensor::new(constant.shape.clone(), values);
                file.parameters.extend(tensor.map(|tensor| (name.clone(), tensor)));
                let mut first = starts[value].clone();
                if let (ModuleAdapter::LowRank { a, .. }, 0 | 1) = (&own, at) {
                    let is_matrix = a.shape().len() == 2;
                    // A and B of a matrix have their rank inside of the product, of a convolution A has it first
                    let axis = usize::from(is_matrix == (at == 0));
                    let mut shape = constant.shape.clone();
                    let in_a_group = form_rank(&own);
                    shape[axis] = if is_matrix { 0 } else { shape[axis] / in_a_group.max(1) };
                    let numbers = shape.iter().product();
                    first = Constant::f32(shape, &vec![0.0; numbers]);
                    let symbol = if at == 0 { "lora_A.rank" } else { "lora_B.rank" };
                    let symbol = if is_matrix { "lora_r" } else { symbol };
                    open.push((name.clone(), axis, format!("{}.{symbol}", form.layer)));
                }
                if let (ModuleAdapter::Vectors { .. }, 0) = (&own, at) {
                    // one number goes with the matrices of an adapter, of whatever rank, that leaves this layer alone
                    first = Constant::f32([1], &[0.0]);
                    open.push((name.clone(), 0, format!("{}.{VERA_RANK}", form.layer)));
                }
                graph.set_constant(*value, first);
                graph.set_overridable(*value);
            }
            modules.insert(form.layer.clone(), own);
        }
        for (value, axis) in &added.file.shared_values {
            let constant = graph.constant_of(*value).cloned().expect("what layers share is a constant");
            let (name, mut shape) = (graph.name(*value).to_owned(), constant.shape.clone());
            let values = constant.to_f32().expect("what layers share are 32-bit floats");
            let tensor = Tensor::new(shape.clone(), values);
            file.parameters.extend(tensor.map(|tensor| (name.clone(), tensor)));
            shape[*axis] = 0;
            graph.set_constant(*value, Constant::f32(shape, &[]));
            graph.set_overridable(*value);
            open.push((name, *axis, VERA_RANK.to_owned()));
        }
        Ok(Self { graph, file, modules, whole, open, notes: added.notes })
    }
}

/// The file of a graph whose inputs of some axes can have any length.
pub(crate) fn with_open_ranks(model: &Model, graph: &Graph, open: &[OpenRank]) -> Result<OnnxFile, CompilerError> {
    let mut proto = model.header().signed(&[]).with(&graph.as_stored()?);
    open.iter().for_each(|(input, axis, symbol)| leave_open(&mut proto, input, *axis, symbol));
    OnnxFile::new(proto)
}

/// What the names of all layers of a model begin with, in front of the paths of the source's modules, where something is.
///
/// # Errors
/// The model cannot be read as a graph.
pub fn wrapper(model: &Model, catalog: &OperatorCatalog) -> Result<Option<String>, CompilerError> {
    let (_, layers) = opened(model, catalog)?;
    Ok(ModuleNames::wrapper(layers.iter().map(|layer| layer.name.as_str())))
}

/// The adapters that a model holds beside its weights, as a run exports it with `output.adapters: unmerged`.
///
/// # Errors
/// It holds none that can be taken out, or what it says of them is damaged.
pub fn adapters_in(model: &Model) -> Result<Vec<Adapter>, CompilerError> {
    let wrong = |message: String| CompilerError::AdapterFile { path: model.path().to_owned(), message };
    let Some(text) = model.metadata(METADATA) else {
        let message = "it does not say where in it an adapter is; a run with `output.adapters: unmerged` and `lora` (without \
                       `start: pissa`), `ia3`, `oft` or `boft` exports such a model; of another run name its folder, from which `adapter \
                       extract` writes what it has trained";
        return Err(wrong(message.into()));
    };
    let damaged = || wrong(format!("what its metadata `{METADATA}` says is damaged"));
    let entries: Vec<InModel> = serde_json::from_str(text).map_err(|_| damaged())?;
    let tensors = model.file_graph().initializer.iter();
    let held: HashMap<&str, _> = tensors.map(|tensor| (tensor.name(), tensor)).collect();
    let mut seen: HashSet<String> = HashSet::new();
    let adapter = |entry: InModel| {
        let mut tensors = BTreeMap::new();
        for (key, (name, is_turned)) in entry.tensors {
            if !seen.insert(name.clone()) {
                return Err(wrong(format!("its metadata `{METADATA}` names the tensor `{}` twice", shown(&name))));
            }
            let constant = held.get(name.as_str()).and_then(|tensor| constant_of(tensor).ok()).ok_or_else(damaged)?;
            let no_floats = || wrong(format!("`{}` in it is no tensor of 32-bit floats", shown(&name)));
            let values = constant.to_f32().ok_or_else(no_floats)?;
            // of scales the shape of a convolution's, so that the configuration says of what they are
            let is_of_scales = key.ends_with(".ia3_l");
            let is_vector = key.ends_with(".bias") && is_of_channels(&name, &constant.shape);
            let shape = match (is_of_scales, is_vector) {
                (true, _) => vec![1, values.len(), 1, 1],
                (false, true) => vec![values.len()],
                (false, false) => constant.shape,
            };
            let tensor = Tensor::new(shape, values).ok_or_else(damaged)?;
            tensors.insert(key, if is_turned { tensor.turned() } else { tensor });
        }
        PeftFolder::adapter_of(entry.config.to_string().into_bytes(), &tensors).map_err(wrong)
    };
    entries.into_iter().map(adapter).collect()
}

/// What a model says of an adapter in it.
#[derive(Deserialize)]
struct InModel {
    config: Value,
    tensors: BTreeMap<String, (String, bool)>,
}

/// Rank of the factors in each group of a convolution.
fn form_rank(own: &ModuleAdapter) -> usize {
    match own {
        ModuleAdapter::LowRank { b, .. } => b.shape()[1],
        _ => 1,
    }
}

/// The graph of the file with a tensor for each parameter, and its layers.
pub(crate) fn opened(model: &Model, catalog: &OperatorCatalog) -> Result<(Graph, Vec<Layer>), CompilerError> {
    let mut graph = model.graph(&BTreeMap::new(), catalog)?;
    normalize(&mut graph);
    write_einsum_layers(&mut graph)?;
    untie(&mut graph, catalog);
    let found = layers(&graph, catalog);
    Ok((graph, found))
}

type Starts = HashMap<ValueId, Constant>;

fn add(
    adapter: &Adapter,
    is_bare: bool,
    (graph, base, layers): (&mut Graph, &Graph, &[Layer]),
    operators: &OperatorCatalog,
) -> Result<(Added, Starts), CompilerError> {
    let (head, prediction, tokens) = (None, None, None);
    let mut model = MethodModel { graph, base, layers, head, prediction, operators, tokens, seed: 0 };
    let from = FromAdapter { adapter, dropout: Some(0.0), is_bare };
    let (added, starts) = from.add(&mut model).map_err(|error| match error {
        CompilerError::Setting { message, .. } => CompilerError::Selection(message),
        error => error,
    })?;
    match added.whole_left_out.first() {
        None => Ok((added, starts)),
        Some(first) => Err(CompilerError::Selection(format!(
            "the adapter holds `{}` whole, and the model has no layer of that name and shape; leave it out by `--skip`",
            shown(first)
        ))),
    }
}

/// Gives an axis of an input a name in the place of its length.
fn leave_open(proto: &mut ModelProto, input: &str, axis: usize, symbol: &str) {
    let inputs = proto.graph.iter_mut().flat_map(|graph| &mut graph.input);
    for info in inputs.filter(|info| info.name() == input) {
        if let Some(dimension) = dimension_of(info, axis) {
            dimension.value = Some(dimension::Value::DimParam(symbol.to_owned()));
        }
    }
}

fn dimension_of(info: &mut ValueInfoProto, axis: usize) -> Option<&mut Dimension> {
    match info.r#type.as_mut()?.value.as_mut()? {
        type_proto::Value::TensorType(tensor) => tensor.shape.as_mut()?.dim.get_mut(axis),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::adapter_files::{AdapterMethod, Biases};
    use crate::handmade::{graph, node, proto, value, weight};
    use crate::model_file::onnx::StringStringEntryProto;

    #[test]
    fn a_tensor_that_metadata_names_twice_is_not_copied_for_each() {
        let nodes = vec![node("Gemm", &["x", "a"], &["y"])];
        let mut file = proto(graph(nodes, vec![weight("a", &[4, 4])], vec![value("x", &[4])], vec![value("y", &[4])]));
        let parts = ["A", "B"].map(|part| format!(r#""base_model.model.q.lora_{part}.weight": ["a", false]"#));
        let text = format!(r#"[{{"config": {{"peft_type": "LORA"}}, "tensors": {{{}}}}}]"#, parts.join(", "));
        file.metadata_props.push(StringStringEntryProto { key: Some(METADATA.into()), value: Some(text) });
        let error = adapters_in(&Model::from_bytes(file.encode_to_vec()).unwrap()).unwrap_err().to_string();
        assert!(error.contains("names the tensor `a` twice"), "{error}");
    }

    /// A GroupNorm that TorchScript's exporter writes as `Mul` and `Add` of `[16, 1, 1]`; PEFT's folder with `bias: all` has `[16]`.
    #[test]
    fn a_bias_of_a_group_norm_is_the_same_vector_where_an_exporter_gives_it_axes_of_length_one() {
        let nodes = vec![
            node("Conv", &["x", "net.q.weight"], &["/net/q/Conv"]),
            node("Mul", &["/net/q/Conv", "onnx::Mul_1"], &["/net/gn/Mul"]),
            node("Add", &["/net/gn/Mul", "onnx::Add_2"], &["/net/gn/Add"]),
        ];
        let weights = vec![
            weight("net.q.weight", &[4, 4, 1, 1]),
            weight("onnx::Mul_1", &[4, 1, 1]),
            weight("onnx::Add_2", &[4, 1, 1]),
        ];
        let file = graph(nodes, weights, vec![value("x", &[4, 3, 3])], vec![value("/net/gn/Add", &[4, 3, 3])]);
        let model = Model::from_bytes(proto(file).encode_to_vec()).unwrap();
        let own = ModuleAdapter::LowRank {
            a: Tensor::new([1, 4, 1, 1], [1.0; 4]).unwrap(),
            b: Tensor::new([4, 1, 1, 1], [1.0; 4]).unwrap(),
            alpha: 1.0,
            magnitude: None,
            is_table: false,
            bias: None,
        };
        let mut adapter = Adapter {
            method: AdapterMethod::Lora { is_rank_stabilized: false, dropout: 0.0, is_principal: false },
            modules: BTreeMap::from([("q".to_owned(), own)]),
            prompt: None,
            shared: BTreeMap::new(),
            whole: BTreeMap::from([("gn.bias".to_owned(), Tensor::vector([1.0, 2.0, 3.0, 4.0]))]),
            biases: Biases::All,
        };
        let catalog = OperatorCatalog::standard();
        let (merged, _) = merge_adapters(&model, &[(&adapter, 1.0)], &catalog).unwrap();
        let merged = Model::from_bytes(merged.to_vec()).unwrap();
        let bias = merged.file_graph().initializer.iter().find(|tensor| tensor.name() == "onnx::Add_2").unwrap();
        let bias = constant_of(bias).unwrap();
        assert_eq!((bias.shape.as_slice(), bias.to_f32().unwrap()), (&[4, 1, 1][..], vec![1.0, 2.0, 3.0, 4.0]));
        // of another length it is another bias
        adapter.whole.insert("gn.bias".to_owned(), Tensor::vector([1.0, 2.0]));
        let error = merge_adapters(&model, &[(&adapter, 1.0)], &catalog).unwrap_err().to_string();
        assert!(error.contains("holds `gn.bias` whole, and the model has no layer of that name and shape"), "{error}");
    }
}
