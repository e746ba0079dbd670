//! Which run of which model a run goes on from.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use millstream_schemas::Fingerprint;
use millstream_schemas::files::sha256_of_file;

use crate::RecipeError;
use crate::origin::{Origin, Parent};
use crate::run_folder::RunFolder;

/// A chain is no longer in practice, and none goes round.
const LONGEST: usize = 50;

/// The runs that a run with this base model goes back to, the nearest first: as it has noted when it began, or found by the base model's
/// hash among the runs beside it.
///
/// # Errors
/// What a run has noted of its beginning is damaged.
pub(crate) fn ancestors(run: &RunFolder, base: &Fingerprint) -> Result<Vec<Parent>, RecipeError> {
    let (mut found, mut seen) = (Vec::new(), HashSet::from([whole(&run.0)]));
    let (mut folder, mut base) = (run.clone(), base.clone());
    while found.len() < LONGEST {
        let noted = Origin::of_run(&folder)?.and_then(|origin| origin.parent).filter(|parent| parent.model == base);
        let Some(parent) = noted.or_else(|| beside(&folder.0, &base)) else { break };
        if !seen.insert(whole(&parent.folder)) {
            break;
        }
        folder = RunFolder(parent.folder.clone());
        let next = folder.made_of()?.map(|made_of| made_of.model).or_else(|| parent.base.clone());
        found.push(parent);
        match next {
            Some(next) => base = next,
            None => break,
        }
    }
    Ok(found)
}

/// A run in the same folder that has exported this model.
fn beside(run: &Path, base: &Fingerprint) -> Option<Parent> {
    let run = whole(run);
    let mut folders: Vec<PathBuf> =
        fs::read_dir(run.parent()?).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort_unstable();
    let is_it = |folder: &&PathBuf| {
        let model = RunFolder((*folder).clone()).model();
        **folder != run && model.is_file() && sha256_of_file(&model).is_ok_and(|hash| hash == base.0)
    };
    let folder = folders.iter().find(is_it)?.clone();
    let made_of = RunFolder(folder.clone()).made_of().ok().flatten();
    Some(Parent {
        run: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        model: base.clone(),
        base: made_of.map(|made_of| made_of.model),
        folder,
    })
}

fn whole(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
