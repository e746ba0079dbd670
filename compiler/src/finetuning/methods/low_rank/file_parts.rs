use std::sync::Arc;

use millstream_schemas::shown;

use super::super::adapter_form::{ModuleForm, tensor};
use super::super::linear_weight::{LinearMap, LinearWeight};
use crate::adapter_files::{DORA, ModuleAdapter, Tensor};
use crate::graph::{Constant, Graph, ValueId};

/// What decides the form of a layer in files, beside what was trained.
pub(in super::super) struct FileParts {
    pub(in super::super) alpha: f64,
    /// What A and B began with, where the weight was left without that: files are for the weight as it was.
    pub(in super::super) taken: Option<[Arc<[f32]>; 2]>,
    pub(in super::super) has_magnitude: bool,
    pub(in super::super) is_rank_stabilized: bool,
    /// Whether it is a table of embeddings, which files call otherwise.
    pub(in super::super) is_table: bool,
}

/// What files hold of a layer: A and B with their outputs first. Where the weight was left without what they began with, that
/// is taken away by as many ranks more.
pub(in super::super) fn in_file(layer: String, trained: Vec<ValueId>, parts: FileParts) -> ModuleForm {
    let rule = Arc::new(move |trained: &[&Constant]| {
        let [mut a, mut b] = [0, 1].map(|at| tensor(trained[at]).turned());
        let mut alpha = parts.alpha;
        if let Some([first_a, first_b]) = &parts.taken {
            let of = |first: &Arc<[f32]>, like: &Constant| {
                let first = Tensor::new(like.shape.clone(), first.to_vec()).expect("as many as were drawn");
                first.turned()
            };
            a = a.stacked(&of(first_a, trained[0]), 0);
            b = b.stacked(&of(first_b, trained[1]).times(-1.0), 1);
            // the scale is that of half the ranks
            alpha *= if parts.is_rank_stabilized { std::f64::consts::SQRT_2 } else { 2.0 };
        }
        let magnitude = trained.get(2).filter(|_| parts.has_magnitude).map(|magnitude| tensor(magnitude));
        let bias = trained.get(2 + usize::from(parts.has_magnitude)).map(|bias| tensor(bias));
        ModuleAdapter::LowRank { a, b, alpha, magnitude, is_table: parts.is_table, bias }
    });
    ModuleForm { layer, trained, rule }
}

/// That the source seems to have a normalization behind a convolution, which PEFT's model applies to what is added too. PyTorch's exporter
/// names weights so that it has folded one into.
pub(in super::super) fn note_of_folded(base: &Graph, weight: &LinearWeight) -> Option<String> {
    let is_folded =
        matches!(weight.map, LinearMap::Convolution { .. }) && base.name(weight.value).starts_with("onnx::Conv_");
    is_folded.then(|| {
        format!(
            "the exporter has folded a BatchNormalization into the weight of `{}`, by its name `{}`; PEFT's model has that one behind the \
             layer and multiplies what is added too, so that the folder computes something else there; export the model with the \
             normalization apart, or leave the layer out of `layers`",
            shown(&weight.layer),
            shown(base.name(weight.value))
        )
    })
}

/// Why no folder of PEFT computes what is added to a layer, where that is so.
pub(in super::super) fn why_not_in_peft(base: &Graph, weight: &LinearWeight, is_dora: bool) -> Option<String> {
    let LinearMap::Convolution { kernel, groups, .. } = &weight.map else { return None };
    if is_dora && *groups > 1 {
        return Some(DORA.to_owned());
    }
    let is_dilated = |node: usize| {
        let dilations = LinearWeight::multiplying_at(base, node).ints("dilations").unwrap_or_default();
        kernel.iter().zip(dilations).any(|(length, dilation)| *length > 1 && *dilation > 1)
    };
    let is_dilated = weight.readers(base).into_iter().any(is_dilated);
    is_dilated.then(|| {
        "it is a dilated convolution, and PEFT's A is none, so that its folder means something else".to_owned()
    })
}
