//! The members of an ensemble: models, and what they gave for rows.

use std::path::{Path, PathBuf};

use millstream_compiler::Model;
use millstream_compiler::fused::Member;
use millstream_compiler::losses::PredictionKind;
use millstream_pipeline::read_predictions;
use millstream_schemas::recipe::{ByteSize, RecipeText};
use millstream_schemas::{Predictions, Recipe, shell_path, shown, shown_path};
use millstream_training::ensembles::{EnsembleMember, FittedEnsemble};

use super::files::EnsembleFolder;
use super::members_folder::{MembersFolder, NOT_ALL_TRAINED};
use crate::kept_predictions::require_kept;
use crate::preprocessing::{self, JoinedBy, Preprocessing};
use crate::run_folder::RunFolder;
use crate::search::StudyFolder;
use crate::{Catalogs, RecipeError, labels_file, load};

/// A member, opened.
pub(super) struct Opened {
    /// What it is called.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) model: Model,
    /// The output that its scores lead to, where a recipe says it.
    pub(super) output: Option<String>,
    /// The recipe of its run, where it is one.
    pub(super) recipe: Option<PathBuf>,
}

impl Opened {
    /// Opens a run's folder or a model.
    ///
    /// # Errors
    /// It is neither, or damaged.
    pub(super) fn open(path: &Path, output: Option<&str>, catalogs: &Catalogs) -> Result<Self, RecipeError> {
        let run = RunFolder(path.to_owned());
        let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !path.is_dir() {
            let model = Model::read(path)?;
            let own = Self {
                name: name(path),
                path: path.to_owned(),
                model,
                output: output.map(str::to_owned),
                recipe: None,
            };
            return Ok(own);
        }
        if !run.model().exists() {
            return Err(RecipeError::ensemble(path, without_model(path)));
        }
        let model = Model::read(&run.model())?;
        let recipe = Some(run.recipe()).filter(|recipe| recipe.exists());
        let output = match (output, &recipe) {
            (Some(output), _) => Some(output.to_owned()),
            // only a model of several outputs needs one
            (None, Some(recipe)) if model.outputs().len() > 1 => {
                read_recipe(recipe, catalogs)?.model.and_then(|model| model.output)
            }
            (None, _) => None,
        };
        let name = path.file_name().map_or_else(|| name(&run.model()), |name| name.to_string_lossy().into_owned());
        Ok(Self { name, path: run.model(), model, output, recipe })
    }

    /// Where its predictions lie where nobody says it.
    pub(super) fn usual_predictions(&self, given: &Path) -> PathBuf {
        if given.is_dir() {
            return RunFolder(given.to_owned()).predictions();
        }
        given.with_extension("predictions.parquet")
    }

    /// What it gave for rows.
    ///
    /// # Errors
    /// There is no such file, it is damaged, of another model, or too large.
    pub(super) fn predictions(&self, path: &Path, most: ByteSize) -> Result<Predictions, RecipeError> {
        if !path.exists() {
            let recipe = self.recipe.as_deref().map_or_else(|| "RECIPE".to_owned(), shell_path);
            let message = format!(
                "there are no predictions of {}; `millstream evaluate {recipe} --model {} --predictions {}` writes them",
                shown(&self.name),
                shell_path(&self.path),
                shell_path(path)
            );
            return Err(RecipeError::ensemble(path, message));
        }
        let found = read_predictions(path, most.0)?;
        if found.header.model != *self.model.fingerprint() {
            let message = format!(
                "it is of another model than {}, which has changed since or is another; predict anew by `millstream evaluate … --model {} \
                 --predictions {}`",
                shown_path(&self.path),
                shell_path(&self.path),
                shell_path(path)
            );
            return Err(RecipeError::ensemble(path, message));
        }
        Ok(found)
    }

    /// As it becomes a part of one model.
    pub(super) fn as_member(&self) -> Member<'_> {
        Member { model: &self.model, name: Some(&self.name), output: self.output.as_deref() }
    }

    pub(super) fn described(&self, folder: &EnsembleFolder) -> EnsembleMember {
        let (name, fingerprint) = (self.name.clone(), self.model.fingerprint().clone());
        EnsembleMember { name, model: folder.relative(&self.path), output: self.output.clone(), fingerprint }
    }
}

/// What to name instead of a folder without a `model.onnx`.
fn without_model(folder: &Path) -> String {
    let (ensemble, study) = (EnsembleFolder(folder.to_owned()), StudyFolder::new(folder));
    if ensemble.description().exists() {
        return format!("it holds an ensemble; name its model, {}", shown_path(ensemble.model()));
    }
    if study.journal().exists() {
        return format!(
            "it holds a search; name a run of it, for example {}, or what `millstream search best --refit` trains",
            shown_path(study.trial(0))
        );
    }
    match MembersFolder::is_one(folder) {
        true => NOT_ALL_TRAINED.into(),
        false => "it holds no model.onnx; name the folder of a finished run, or an .onnx file".into(),
    }
}

/// Opens the members of an ensemble again.
///
/// # Errors
/// One is not where it was, or has changed.
pub(super) fn reopen(
    fitted: &FittedEnsemble,
    folder: &EnsembleFolder,
    catalogs: &Catalogs,
) -> Result<Vec<Opened>, RecipeError> {
    let mut members = Vec::with_capacity(fitted.members.len());
    for wanted in &fitted.members {
        let mut own = Opened::open(&folder.member(&wanted.model), wanted.output.as_deref(), catalogs)?;
        if *own.model.fingerprint() != wanted.fingerprint {
            return Err(RecipeError::ensemble(&own.path, "it has changed since the ensemble was fitted; fit it anew"));
        }
        own.name.clone_from(&wanted.name);
        members.push(own);
    }
    Ok(members)
}

/// Opens members, which are called by names of their own.
pub(super) fn open(paths: &[PathBuf], output: Option<&str>, catalogs: &Catalogs) -> Result<Vec<Opened>, RecipeError> {
    let mut members = Vec::with_capacity(paths.len());
    for path in paths {
        members.push(Opened::open(path, output, catalogs)?);
    }
    let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
    for (at, member) in members.iter_mut().enumerate() {
        if names.iter().filter(|name| **name == names[at]).count() > 1 {
            member.name = format!("{} ({})", names[at], at + 1);
        }
    }
    Ok(members)
}

/// What members say of how their rows are to be prepared, and of their classes.
///
/// # Errors
/// They are to be prepared otherwise, or are of other classes: one graph could not be right for all.
pub(super) fn require_alike(members: &[Opened], by: JoinedBy) -> Result<Vec<String>, RecipeError> {
    let Some((first, others)) = members.split_first() else { return Ok(Vec::new()) };
    let mut notes = Vec::new();
    let labels = labels_file::of_model(&first.model, &first.path)?;
    for member in others {
        if let Some(difference) = Preprocessing::difference(&first.model, &member.model, by) {
            let message = format!("its rows are prepared otherwise than those of {}: {difference}", shown(&first.name));
            return Err(RecipeError::ensemble(&member.path, message));
        }
        let own = labels_file::of_model(&member.model, &member.path)?;
        if let (Some(labels), Some(own)) = (&labels, &own)
            && labels != own
        {
            let at = labels.iter().zip(own).position(|(a, b)| a != b);
            let what = match at {
                Some(at) => format!(
                    "class {at} is `{}`, and `{}` in {}",
                    shown(&own[at]),
                    shown(&labels[at]),
                    shown(&first.name)
                ),
                None => format!("it has {} classes, and {} has {}", own.len(), shown(&first.name), labels.len()),
            };
            return Err(RecipeError::ensemble(&member.path, what));
        }
    }
    let unknown: Vec<String> = members
        .iter()
        .filter(|member| preprocessing::is_unknown(&member.model))
        .map(|member| shown(&member.name))
        .collect();
    if !unknown.is_empty() {
        notes.push(format!(
            "the files of {} do not say how rows are prepared for them; that is taken to be alike",
            unknown.join(", ")
        ));
    }
    Ok(notes)
}

/// Refuses members whose answers are not kept, and so cannot be brought together.
///
/// # Errors
/// The file of one says that it gives something else than classes, labels or numbers.
pub(super) fn require_answers(members: &[Opened]) -> Result<(), RecipeError> {
    for member in members {
        // what cannot be read of it is told where it is needed
        let Ok(Some(own)) = Preprocessing::read(&member.model) else { continue };
        let classes = labels_file::of_model(&member.model, &member.path)?.unwrap_or_default();
        require_kept(own.reads(&classes), &member.path)
            .map_err(|why| RecipeError::ensemble(&member.path, why + ONE_RUN))?;
    }
    Ok(())
}

/// What there is for a single run in place of an ensemble.
pub(super) const ONE_RUN: &str = "; of one run the mean of several states is `training.average: {last: 5}`";

/// How many axes the members' outputs have where each token or pixel has an answer of its own, as their files say alike.
pub(super) fn axes_of_places(members: &[Opened], reads: PredictionKind) -> Option<usize> {
    // a file whose words are not read says nothing of it
    let axes = |member: &Opened| Preprocessing::read(&member.model).ok().flatten()?.prediction_axes(reads);
    let first = axes(members.first()?).filter(|first| *first > 2)?;
    members.iter().all(|member| axes(member) == Some(first)).then_some(first)
}

pub(super) fn read_recipe(path: &Path, catalogs: &Catalogs) -> Result<Recipe, RecipeError> {
    load(&RecipeText::read(path, &[])?, catalogs)
}
