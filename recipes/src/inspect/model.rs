use std::path::Path;

use millstream_compiler::finetuning::pattern_matches;
use millstream_compiler::{
    BoxMaps, ExportAdvice, Model, ModelReport, OperatorCatalog, box_maps, describe, export_advice,
};
use millstream_schemas::nearest;
use serde::Serialize;

use super::whole_step::WholeStep;
use crate::RecipeError;

/// What a model consists of.
#[derive(Clone, Debug, Serialize)]
pub struct ModelInspection {
    /// Layers in order, operators and their coverage.
    #[serde(flatten)]
    pub model: ModelReport,
    /// What to change where the model was exported, so that it trains better; empty where nothing was found.
    pub advice: Vec<ExportAdvice>,
    /// Of a model of pictures, which maps behind its outputs the head `boxes` can stand on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub box_maps: Vec<BoxMaps>,
    /// What a step takes that trains all of it.
    pub whole_step: WholeStep,
    /// What each pattern matches.
    pub patterns: Vec<PatternMatch>,
}

/// What an unfreeze pattern matches.
#[derive(Clone, Debug, Serialize)]
pub struct PatternMatch {
    /// As given.
    pub pattern: String,
    /// Names of the layers, in order.
    pub layers: Vec<String>,
    /// Numbers in them.
    pub parameters: usize,
    /// The layer whose name looks most like it, when none matches.
    pub nearest: Option<String>,
}

/// Looks into an ONNX file; says what each pattern of layer names (`*` any run, `?` one character) would unfreeze. `library` names an ONNX
/// Runtime library, as a flag does: it is asked which kernels it has.
///
/// # Errors
/// The file cannot be read or is no model that this build takes.
pub fn inspect_model(
    path: &Path,
    patterns: &[String],
    operators: &OperatorCatalog,
    library: Option<&Path>,
) -> Result<ModelInspection, RecipeError> {
    let file = Model::read(path)?;
    let model = describe(&file, None, operators)?;
    let advice = export_advice(&file, &model, operators)?;
    let box_maps = box_maps(&file, operators)?;
    let matched = |pattern: &String| {
        let layers: Vec<_> = model.layers.iter().filter(|layer| pattern_matches(pattern, &layer.name)).collect();
        let names = model.layers.iter().map(|layer| layer.name.as_str());
        PatternMatch {
            pattern: pattern.clone(),
            nearest: if layers.is_empty() { nearest(pattern, names).map(Into::into) } else { None },
            parameters: layers.iter().map(|layer| layer.parameters).sum(),
            layers: layers.into_iter().map(|layer| layer.name.clone()).collect(),
        }
    };
    let patterns = patterns.iter().map(matched).collect();
    let whole_step = WholeStep::of(&file, &model, operators, library);
    Ok(ModelInspection { model, advice, box_maps, whole_step, patterns })
}
