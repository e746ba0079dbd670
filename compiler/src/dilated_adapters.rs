//! LoRA at dilated convolutions, which PEFT computes otherwise: its A is not dilated.

use std::collections::{BTreeMap, HashMap};

use millstream_schemas::shown;
use serde::Deserialize;

use crate::CompilerError;
use crate::adapted_model::opened;
use crate::adapter_files::{Adapter, ModuleAdapter, ModuleNames};
use crate::model_file::Model;
use crate::operators::OperatorCatalog;
use crate::trained_adapters::METADATA;

/// Why a folder of PEFT would compute something else than an adapter does in this model, where a module of it is a dilated convolution
/// there.
///
/// # Errors
/// The adapter has convolutions, and the model cannot be read as a graph or lacks a module of it.
pub fn dilated_in(
    model: &Model,
    adapter: &Adapter,
    catalog: &OperatorCatalog,
) -> Result<Option<String>, CompilerError> {
    let convolutions: Vec<(&String, &[usize])> = adapter.modules.iter().filter_map(kernel).collect();
    if convolutions.is_empty() {
        return Ok(None);
    }
    let (graph, layers) = opened(model, catalog)?;
    let names = || layers.iter().map(|layer| layer.name.as_str());
    let found = ModuleNames::between(adapter.modules.keys().map(String::as_str), names());
    let found = found.map_err(|message| CompilerError::Selection(format!("the adapter: {message}")))?;
    let is_dilated_there = |module: &str, kernel: &[usize]| {
        let own = found.find(module, names());
        let weights = layers.iter().filter(|layer| own == Some(layer.name.as_str())).flat_map(|layer| &layer.weights);
        let mut nodes = weights.filter(|weight| weight.input == 1).map(|weight| &graph.nodes()[weight.node]);
        nodes.any(|node| node.is("Conv") && is_dilated(kernel, node.ints("dilations").unwrap_or_default()))
    };
    let first = convolutions.into_iter().find(|(module, kernel)| is_dilated_there(module, kernel));
    Ok(first.map(|(module, _)| reason(module)))
}

/// As [`dilated_in`], of the adapters that a model holds beside its weights.
pub fn dilated_beside(model: &Model) -> Option<String> {
    let entries: Vec<Places> = serde_json::from_str(model.metadata(METADATA)?).ok()?;
    let tensors = entries.iter().flat_map(|entry| &entry.tensors);
    let factors = tensors.filter_map(|(key, (name, _))| {
        let key = key.strip_suffix(".lora_A.weight")?;
        Some((name.as_str(), key.strip_prefix("base_model.model.").unwrap_or(key)))
    });
    let factors: HashMap<&str, &str> = factors.collect();
    let graph = model.file_graph();
    let lengths = |name: &str| -> Vec<usize> {
        let tensor = graph.initializer.iter().find(|tensor| tensor.name() == name);
        let lengths = tensor.and_then(|tensor| tensor.dims.get(2..)).unwrap_or_default();
        lengths.iter().map(|length| usize::try_from(*length).unwrap_or(0)).collect()
    };
    graph.node.iter().filter(|node| node.op_type() == "Conv").find_map(|node| {
        let factor = node.input.get(1)?;
        let module = factors.get(factor.as_str())?;
        let dilations = node.attribute.iter().find(|attribute| attribute.name() == "dilations")?;
        is_dilated(&lengths(factor), &dilations.ints).then(|| reason(module))
    })
}

/// What metadata say of an adapter: its tensors by PEFT's keys, each with whether it is turned.
#[derive(Deserialize)]
struct Places {
    tensors: BTreeMap<String, (String, bool)>,
}

/// The kernel of a module that is a convolution.
fn kernel<'a>((module, own): (&'a String, &'a ModuleAdapter)) -> Option<(&'a String, &'a [usize])> {
    match own {
        ModuleAdapter::LowRank { a, .. } => Some((module, a.shape().get(2..).filter(|kernel| !kernel.is_empty())?)),
        _ => None,
    }
}

/// Of one number along an axis dilation changes nothing.
fn is_dilated(kernel: &[usize], dilations: &[i64]) -> bool {
    kernel.iter().zip(dilations).any(|(length, dilation)| *length > 1 && *dilation > 1)
}

fn reason(module: &str) -> String {
    format!("module `{}` is a dilated convolution, and PEFT's A is none", shown(module))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter_files::{AdapterMethod, Biases, Tensor};
    use crate::graph::{Attribute, Constant, Graph, TensorType};

    fn convolution(dilation: i64, kernel: usize) -> Model {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([2, 4, 6, 6]));
        let shape = [8, 4, kernel, kernel];
        let numbers = vec![0.5_f32; shape.iter().product()];
        let weight = graph.constant("conv.weight", Constant::f32(shape, &numbers));
        let made = graph.add("Conv", &[x, weight], &[("dilations", Attribute::Ints(vec![dilation; 2]))]).unwrap();
        graph.set_outputs(&[made]);
        Model::from_bytes(graph.to_onnx("convolution")).unwrap()
    }

    fn beside(module: &str, kernel: usize) -> Adapter {
        let tensor = |shape: Vec<usize>| {
            let numbers = vec![0.5_f32; shape.iter().product()];
            Tensor::new(shape, numbers).unwrap()
        };
        let own = ModuleAdapter::LowRank {
            a: tensor(vec![1, 4, kernel, kernel]),
            b: tensor(vec![8, 1, 1, 1]),
            alpha: 1.0,
            magnitude: None,
            is_table: false,
            bias: None,
        };
        Adapter {
            method: AdapterMethod::Lora { is_rank_stabilized: false, dropout: 0.0, is_principal: false },
            modules: [(module.to_owned(), own)].into(),
            prompt: None,
            shared: BTreeMap::new(),
            whole: BTreeMap::new(),
            biases: Biases::None,
        }
    }

    #[test]
    fn a_folder_of_peft_for_a_dilated_convolution_is_refused_where_the_model_is_known() {
        let catalog = OperatorCatalog::standard();
        let said = |dilation, kernel| dilated_in(&convolution(dilation, kernel), &beside("conv", kernel), &catalog);
        let refused = said(2, 3).unwrap().unwrap();
        assert!(refused.starts_with("module `conv` is a dilated convolution"), "{refused}");
        assert_eq!((said(1, 3).unwrap(), said(2, 1).unwrap()), (None, None));
        let error = dilated_in(&convolution(2, 3), &beside("other", 3), &catalog).unwrap_err().to_string();
        assert!(error.contains("`other`"), "{error}");
        assert_eq!(dilated_beside(&convolution(2, 3)), None);
    }
}
