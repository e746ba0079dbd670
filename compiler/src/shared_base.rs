//! One model for several adapters on different layers, each of which is given to it by itself.

use std::collections::BTreeMap;

use millstream_schemas::shown;

use crate::CompilerError;
use crate::adapted_model::{Taken, opened, with_open_ranks};
use crate::adapter_files::{Adapter, AdapterMethod, Biases, ModuleAdapter, OnnxAdapter, Tensor};
use crate::model_file::{Model, OnnxFile};
use crate::operators::OperatorCatalog;

/// A model that any of some adapters is given to, and these.
#[derive(Clone, Debug)]
pub struct SharedBase {
    /// The model, with inputs for all layers that one of the adapters goes to. Without an adapter it computes what it did before, and
    /// an adapter leaves layers alone that are none of its own.
    pub model: OnnxFile,
    /// The adapters under the names of those inputs, in their order. The matrices that all layers of VeRA read are as large as those of the
    /// largest, with zeros in them.
    pub adapters: Vec<OnnxAdapter>,
}

/// As [`taking_adapter`](crate::taking_adapter), one model for several adapters, which may be on different layers and of different ranks.
///
/// # Errors
/// One does not fit the model or cannot be given to any. They are of different methods, do another thing at the same layer, or do not
/// hold the same parameters whole: one model has one of each.
pub fn taking_adapters(
    model: &Model,
    adapters: &[&Adapter],
    catalog: &OperatorCatalog,
) -> Result<SharedBase, CompilerError> {
    let opened = opened(model, catalog)?;
    let each = adapters.iter().map(|adapter| Taken::of(adapter, &opened, catalog));
    let each = each.collect::<Result<Vec<Taken>, CompilerError>>()?;
    let (Some(first), Some(taken)) = (adapters.first().copied(), each.first()) else {
        return Err(CompilerError::Selection("no adapter is named".into()));
    };
    for (at, (other, of_other)) in adapters.iter().copied().zip(&each).enumerate().skip(1) {
        if let Some(reason) = difference((first, taken), (other, of_other)) {
            return Err(CompilerError::Selection(format!(
                "adapters 1 ({}) and {} ({}) cannot be given to one model: {reason}",
                first.in_words(),
                at + 1,
                other.in_words()
            )));
        }
    }
    let (modules, whole, biases) = (all_modules(adapters, &each)?, BTreeMap::new(), Biases::None);
    let widest = widest(&each);
    let shared = widest.map(matrices_of_rank_one).unwrap_or_default();
    let all = Adapter { modules, whole, biases, shared, ..first.clone() };
    let mut shared = Taken::of(&all, &opened, catalog)?;
    for (value, constant) in &taken.whole {
        shared.graph.set_constant(*value, constant.clone());
    }
    let adapters: Vec<OnnxAdapter> =
        each.into_iter().map(|taken| widened(taken.file, widest.unwrap_or_default())).collect();
    let mut names = adapters.iter().flat_map(|adapter| adapter.parameters.keys());
    if let Some(name) = names.find(|name| !shared.file.parameters.contains_key(*name)) {
        let message = format!("two layers would have an input `{}`; write a base for each adapter", shown(name));
        return Err(CompilerError::Selection(message));
    }
    Ok(SharedBase { model: with_open_ranks(model, &shared.graph, &shared.open)?, adapters })
}

/// Why two adapters cannot be given to one model, if so.
fn difference((one, of_one): (&Adapter, &Taken), (other, of_other): (&Adapter, &Taken)) -> Option<String> {
    let methods = [one, other].map(|adapter| adapter.method.peft_type());
    if methods[0] != methods[1] {
        return Some(format!("one is of {} and the other of {}", methods[0], methods[1]));
    }
    let are_exact = [one, other].map(|adapter| matches!(adapter.method, AdapterMethod::Oft { is_exact: true }));
    if are_exact[0] != are_exact[1] {
        return Some(
            "one rotates exactly (`use_cayley_neumann: false`) and the other by a series; write a base for each".into(),
        );
    }
    if one.has_magnitudes() != other.has_magnitudes() {
        return Some("one has magnitudes (DoRA) and the other none".into());
    }
    if of_one.whole != of_other.whole {
        let mut names = one.whole.keys().chain(other.whole.keys());
        let differing = names.find(|name| one.whole.get(*name) != other.whole.get(*name));
        let named = differing.map_or_else(String::new, |name| format!(" (`{}`)", shown(name)));
        return Some(format!(
            "they do not hold the same numbers whole{named}, and those are written into the model; leave them out by `--skip`"
        ));
    }
    None
}

/// Inputs and outputs of the largest matrices that all layers of VeRA read; nothing of another method.
fn widest(each: &[Taken]) -> Option<[usize; 2]> {
    let longest = |name: &str, axis: usize| {
        each.iter().filter_map(|taken| taken.file.parameters.get(name)?.shape().get(axis).copied()).max()
    };
    Some([longest("vera_A", 0)?, longest("vera_B", 1)?])
}

/// `vera_A [1, inputs]` and `vera_B [outputs, 1]`, whose numbers are of no matter: the default of both has no rank.
fn matrices_of_rank_one([inputs, outputs]: [usize; 2]) -> BTreeMap<String, Tensor> {
    let both = [("vera_A", [1, inputs], inputs), ("vera_B", [outputs, 1], outputs)];
    let matrix = |(name, shape, numbers): (&str, [usize; 2], usize)| {
        Some((name.to_owned(), Tensor::new(shape, vec![0.0; numbers])?))
    };
    both.into_iter().filter_map(matrix).collect()
}

/// With zeros behind the rows of `vera_A [inputs, rank]` and the columns of `vera_B [rank, outputs]`, which none of the adapter's layers
/// reads.
fn widened(mut file: OnnxAdapter, [inputs, outputs]: [usize; 2]) -> OnnxAdapter {
    for (name, axis, wanted) in [("vera_A", 0, inputs), ("vera_B", 1, outputs)] {
        let Some(own) = file.parameters.get_mut(name) else { continue };
        let mut shape = own.shape().to_vec();
        shape[axis] = wanted.saturating_sub(shape[axis]);
        if shape[axis] > 0 {
            let numbers: usize = shape.iter().product();
            let zeros = Tensor::new(shape, vec![0.0; numbers]).expect("as many zeros as the shape says");
            *own = own.stacked(&zeros, axis);
        }
    }
    file
}

/// What belongs to all layers, of those that several adapters go to that of the first.
fn all_modules(adapters: &[&Adapter], each: &[Taken]) -> Result<BTreeMap<String, ModuleAdapter>, CompilerError> {
    let has_biases = adapters.iter().any(|adapter| adapter.has_biases_of_b());
    let mut all: BTreeMap<String, ModuleAdapter> = BTreeMap::new();
    for (layer, own) in each.iter().flat_map(|taken| &taken.modules) {
        let own = if has_biases { with_bias(layer, own.clone())? } else { own.clone() };
        let own = match own {
            // of the rank of the matrices that the base is made with
            ModuleAdapter::Vectors { of_outputs, .. } => {
                ModuleAdapter::Vectors { of_rank: Tensor::vector([0.0]), of_outputs }
            }
            own => own,
        };
        match all.get(layer) {
            None => {
                all.insert(layer.clone(), own);
            }
            Some(known) if inputs(known) == inputs(&own) => {}
            Some(_) => {
                let message = format!(
                    "two adapters cannot be given to one model: they have other shapes at layer `{}`",
                    shown(layer)
                );
                return Err(CompilerError::Selection(message));
            }
        }
    }
    Ok(all)
}

/// The ends of the names of a layer's inputs and their shapes; of factors any rank is taken.
fn inputs(own: &ModuleAdapter) -> Vec<(&'static str, Vec<usize>)> {
    let shape = |tensor: &Tensor| match own {
        ModuleAdapter::LowRank { .. } => Vec::new(),
        // of what a layer reads, or of what it makes
        ModuleAdapter::Scales { are_of_inputs, .. } => vec![tensor.values().len(), usize::from(*are_of_inputs)],
        _ => tensor.shape().to_vec(),
    };
    own.in_graphs(1.0).iter().map(|(name, tensor)| (*name, shape(tensor))).collect()
}

/// With something behind B, nothing where there was none.
fn with_bias(layer: &str, own: ModuleAdapter) -> Result<ModuleAdapter, CompilerError> {
    match own {
        ModuleAdapter::LowRank { a, b, alpha, magnitude, is_table: false, bias: None } if a.shape().len() == 2 => {
            let outputs = b.shape()[0];
            let bias = Tensor::new([outputs], vec![0.0; outputs]);
            Ok(ModuleAdapter::LowRank { a, b, alpha, magnitude, is_table: false, bias })
        }
        ModuleAdapter::LowRank { bias: None, .. } => Err(CompilerError::Selection(format!(
            "two adapters cannot be given to one model: one has biases of B (`lora_bias`), which `{}` has no place for; leave it out \
             by `--skip`",
            shown(layer)
        ))),
        own => Ok(own),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::handmade::{graph, model, node, value, weight};
    use crate::model_file::constant_of;
    use crate::model_file::onnx::ModelProto;

    /// LoRA at `m.q`, with the head `m.head` of these numbers.
    fn lora(head: Option<f32>) -> Adapter {
        let tensor = |shape: [usize; 2], number: f32| Tensor::new(shape, vec![number; shape[0] * shape[1]]).unwrap();
        let own = ModuleAdapter::LowRank {
            a: tensor([1, 4], 0.5),
            b: tensor([4, 1], 0.25),
            alpha: 1.0,
            magnitude: None,
            is_table: false,
            bias: None,
        };
        Adapter {
            method: AdapterMethod::Lora { is_rank_stabilized: false, dropout: 0.0, is_principal: false },
            modules: BTreeMap::from([("m.q".to_owned(), own)]),
            prompt: None,
            shared: BTreeMap::new(),
            whole: head.map(|number| ("m.head.weight".to_owned(), tensor([2, 4], number))).into_iter().collect(),
            biases: Biases::None,
        }
    }

    #[test]
    fn rotations_that_are_exact_and_those_by_a_series_are_told_apart_and_not_taken_for_two_layers() {
        let nodes = vec![node("MatMul", &["x", "m.q.weight"], &["h"]), node("Tanh", &["h"], &["y"])];
        let weights = vec![weight("m.q.weight", &[4, 4])];
        let file = graph(nodes, weights, vec![value("x", &[4])], vec![value("y", &[4])]);
        let (model, catalog) = (model(file), OperatorCatalog::standard());
        let rotated = |is_exact: bool| {
            let triangles = Tensor::new([2, 1], vec![0.25, -0.5]).unwrap();
            let modules = BTreeMap::from([("m.q".to_owned(), ModuleAdapter::Rotations { triangles })]);
            Adapter { method: AdapterMethod::Oft { is_exact }, modules, ..lora(None) }
        };
        for (first, second) in [(true, false), (false, true)] {
            let message =
                taking_adapters(&model, &[&rotated(first), &rotated(second)], &catalog).unwrap_err().to_string();
            assert!(message.contains("one rotates exactly"), "{message}");
        }
    }

    /// Something else reads the weight of `m.q` too, so that what is added stays beside it.
    #[test]
    fn a_head_beside_what_cannot_be_merged_is_in_the_base_and_the_same_of_both() {
        let nodes = vec![
            node("MatMul", &["x", "m.q.weight"], &["h"]),
            node("MatMul", &["h", "m.head.weight"], &["y"]),
            node("Sub", &["z", "m.q.weight"], &["apart"]),
        ];
        let weights = vec![weight("m.q.weight", &[4, 4]), weight("m.head.weight", &[4, 2])];
        let (inputs, outputs) =
            (vec![value("x", &[4]), value("z", &[4, 4])], vec![value("y", &[2]), value("apart", &[4, 4])]);
        let (model, catalog) = (model(graph(nodes, weights, inputs, outputs)), OperatorCatalog::standard());
        let refused = crate::merge_adapters(&model, &[(&lora(None), 1.0)], &catalog).unwrap_err().to_string();
        assert!(refused.contains("something else reads the weight of `m.q` too"), "{refused}");
        let head = |adapters: &[&Adapter]| -> Vec<f32> {
            let shared = taking_adapters(&model, adapters, &catalog).unwrap();
            let file = ModelProto::decode(shared.model.to_vec().as_slice()).unwrap().graph.unwrap();
            let own = file.initializer.iter().find(|tensor| tensor.name() == "m.head.weight").unwrap();
            constant_of(own).unwrap().to_f32().unwrap()
        };
        let (one, bare) = (lora(Some(0.75)), lora(None));
        let itself = head(&[&bare]);
        assert_ne!(itself, [0.75; 8]);
        assert_eq!(head(&[&one]), [0.75; 8], "of one adapter");
        assert_eq!(head(&[&one, &one]), [0.75; 8], "of two with the same head");
        for other in [&lora(Some(0.5)), &bare] {
            let message = taking_adapters(&model, &[&one, other], &catalog).unwrap_err().to_string();
            assert!(message.contains("do not hold the same numbers whole (`m.head.weight`)"), "{message}");
        }
        // numbers that the model has anyway replace nothing
        let as_is = Tensor::new([4, 2], itself.clone()).unwrap().turned();
        let same = Adapter { whole: BTreeMap::from([("m.head.weight".to_owned(), as_is)]), ..bare.clone() };
        assert_eq!(head(&[&bare, &same]), itself);
    }
}
