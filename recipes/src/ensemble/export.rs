use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_compiler::fused::{FuseOptions, Member, fuse};
use millstream_compiler::losses::PredictionKind;
use millstream_compiler::{Model, OnnxFile};
use millstream_schemas::{Choice, ImageLayout, Recipe, ScoresOf, files, grouped, shown, shown_path};
use millstream_training::ensembles::{FittedEnsemble, FittedModel};
use serde::Serialize;
use serde_json::json;

use super::files::EnsembleFolder;
use super::mean_statistics::MeanStatistics;
use super::members::{self, Opened};
use super::soups::averaged;
use crate::calibrated::THRESHOLDS;
use crate::image_inputs::layout_in;
use crate::preprocessing::{JoinedBy, Preprocessing};
use crate::run_folder::RunFolder;
use crate::{Catalogs, RecipeError, Stop, labels_file};

/// Key of the metadata that says what a model was made of.
const ENSEMBLE: &str = "millstream.ensemble";

/// An ensemble to write as one model.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// Where it is.
    pub folder: EnsembleFolder,
    /// The file to write; `ensemble.onnx` in its folder where it is not said.
    pub output: Option<PathBuf>,
    /// Whether the model also sees images mirrored.
    pub flips: bool,
    /// The ONNX Runtime library, instead of the one that would be found.
    pub library: Option<PathBuf>,
    /// What there is to choose among.
    pub catalogs: Catalogs,
}

/// A model that was written.
#[derive(Clone, Debug, Serialize)]
pub struct ExportReport {
    /// The file.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub model: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Nodes that each member has for itself; none of a mean of weights.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub member_nodes: Vec<usize>,
    /// Nodes of the whole; none of a mean of weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<usize>,
    /// What is worth knowing, in words.
    pub notes: Vec<String>,
}

/// Writes an ensemble as one model.
///
/// # Errors
/// A member is not where it was or has changed, or the model cannot be made or written.
pub fn export(options: &ExportOptions) -> Result<ExportReport, RecipeError> {
    let fitted = options.folder.read()?;
    let opened = members::reopen(&fitted, &options.folder, &options.catalogs)?;
    let joined_by = match &fitted.model {
        FittedModel::Combination(_) => JoinedBy::Scores,
        FittedModel::MeanOfWeights(_) => JoinedBy::Weights,
    };
    members::require_alike(&opened, joined_by)?;
    let output = options.output.clone().unwrap_or_else(|| options.folder.model());
    let metadata = metadata(&opened, &fitted.method, &fitted.classes);
    let (recipe, stop) = (recipe_of(options, &opened), Stop::default());
    let library = options.library.as_deref();
    let statistics = recipe.as_ref().map(|recipe| MeanStatistics::new(recipe, &options.catalogs, library, &stop));
    make_model(&fitted, &opened, options.flips, &metadata, (output.as_path(), statistics.as_ref()), &options.catalogs)?
        .write()
}

/// The recipe whose rows the ensemble was fitted with, or else the first of a member; none where it cannot be read any more.
fn recipe_of(options: &ExportOptions, opened: &[Opened]) -> Option<Recipe> {
    // only a mean of weights needs it, and says so where there is none
    let origin = options.folder.read_origin().ok().flatten();
    let named = origin.and_then(|origin| origin.request.recipe).map(|recipe| options.folder.member(&recipe));
    let path = named.or_else(|| opened.iter().find_map(|member| member.recipe.clone().or_else(|| of_run(member))))?;
    members::read_recipe(&path, &options.catalogs).ok()
}

/// The recipe of the run that a member's file lies in.
fn of_run(member: &Opened) -> Option<PathBuf> {
    let run = RunFolder(member.path.parent()?.to_owned());
    (run.model() == member.path && run.recipe().exists()).then(|| run.recipe())
}

/// What the file says of itself.
pub(super) fn metadata(opened: &[Opened], method: &Choice, classes: &[String]) -> Vec<(String, String)> {
    let names: Vec<&str> = opened.iter().map(|member| member.name.as_str()).collect();
    let mut metadata = vec![(ENSEMBLE.to_owned(), json!({ "method": method, "members": names }).to_string())];
    let models: Vec<&Model> = opened.iter().map(|member| &member.model).collect();
    metadata.extend(Preprocessing::of_all(&models));
    if !classes.is_empty() {
        metadata.push((
            labels_file::KEY.to_owned(),
            serde_json::to_string(classes).expect("lists of strings always serialize"),
        ));
    }
    metadata
}

/// The order of the axes of images as the members' files say it: their recipes may have stated it otherwise than it is seen in the model.
fn layouts(opened: &[Opened]) -> BTreeMap<String, ImageLayout> {
    let mut found = BTreeMap::new();
    // a file whose words are not read says nothing of it: then the order is seen in the model
    for own in opened.iter().filter_map(|member| Preprocessing::read(&member.model).ok().flatten()) {
        let images = own.encodings().filter(|(_, encoding)| encoding.name == "image");
        found.extend(images.filter_map(|(name, encoding)| Some((name.to_owned(), layout_in(encoding)?))));
    }
    found
}

/// An ensemble as one model that is not written yet.
pub(super) struct MadeModel {
    output: PathBuf,
    file: OnnxFile,
    member_nodes: Vec<usize>,
    nodes: Option<usize>,
    notes: Vec<String>,
}

impl MadeModel {
    /// Writes it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(self) -> Result<ExportReport, RecipeError> {
        let Self { output: model, file, member_nodes, nodes, notes } = self;
        files::replace_file_by(&model, |out| file.write_to(out)).map_err(RecipeError::io("write", &model))?;
        Ok(ExportReport { model, bytes: file.length() as u64, member_nodes, nodes, notes })
    }
}

/// Makes an ensemble one model, for a file that is no member; of a mean of weights with what its statistics are computed from.
pub(super) fn make_model(
    fitted: &FittedEnsemble,
    opened: &[Opened],
    flips: bool,
    metadata: &[(String, String)],
    (output, statistics): (&Path, Option<&MeanStatistics<'_>>),
    catalogs: &Catalogs,
) -> Result<MadeModel, RecipeError> {
    if opened
        .iter()
        .any(|member| member.path.canonicalize().ok().is_some_and(|own| output.canonicalize().ok() == Some(own)))
    {
        return Err(RecipeError::ensemble(output, "it is a member, and would be replaced; choose another file"));
    }
    let (file, member_nodes, nodes, mut notes) = match &fitted.model {
        FittedModel::Combination(combination) => {
            let members: Vec<Member<'_>> = opened.iter().map(Opened::as_member).collect();
            let reads = match fitted.scores_of {
                ScoresOf::Classes => PredictionKind::ClassScores,
                ScoresOf::Labels => PredictionKind::LabelScores,
                _ => PredictionKind::Numbers,
            };
            let (layouts, combination) = (layouts(opened), combination.clone());
            let classes = Some(fitted.classes.len()).filter(|classes| *classes > 0);
            let axes = members::axes_of_places(opened, reads);
            let wanted = FuseOptions { reads, classes, axes, combination, flips, layouts, metadata: metadata.to_vec() };
            let fused = fuse(&members, &wanted, &catalogs.operators)?;
            (fused.file, fused.member_nodes, Some(fused.nodes), fused.notes)
        }
        FittedModel::MeanOfWeights(_) if flips => {
            let message = "a mean of weights is one model; mirrored images are for members that are combined";
            return Err(RecipeError::mismatch("--flips", message));
        }
        FittedModel::MeanOfWeights(chosen) => {
            if let Some(wrong) = chosen.iter().find(|at| **at >= opened.len()) {
                let message = format!("it names member {}, and there are {}", wrong + 1, opened.len());
                return Err(RecipeError::ensemble(output, message));
            }
            let mean = averaged(opened, chosen, metadata, catalogs, statistics)?;
            let note = match (chosen.as_slice(), mean.averaged) {
                ([one], _) => {
                    Some(format!("the model is {} alone: no weights are averaged", shown(&opened[*one].name)))
                }
                // that all weights are the same is said by the mean
                (_, 0) => None,
                (_, numbers) => Some(format!("{} numbers are means", grouped(numbers as u64))),
            };
            (mean.file, Vec::new(), None, note.into_iter().chain(mean.notes).collect())
        }
    };
    if flips {
        notes.push("the model sees each image mirrored too, which the figures are without".into());
    }
    let noted = opened.iter().filter(|member| member.model.metadata(THRESHOLDS).is_some());
    let noted: Vec<String> = noted.map(|member| shown_path(&member.path)).collect();
    if !noted.is_empty() {
        notes.push(format!("thresholds that {} notes are not those of the ensemble, which has none", noted.join(", ")));
    }
    Ok(MadeModel { output: output.to_owned(), file, member_nodes, nodes, notes })
}
