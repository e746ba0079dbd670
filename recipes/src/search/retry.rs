use millstream_search::{SharedStudy, Sharing, Trial, TrialState};

use super::open_recipe::OpenRecipe;
use super::status::study;
use super::study_folder::StudyFolder;
use super::work;
use crate::{Catalogs, RecipeError};

/// Lets trials of a study that have failed be tried again, each from what it saved last and as often as a new one; of no numbers those
/// that were given up since their processes were lost, and where none was, all that have failed. Gives the numbers. Whoever works on
/// the study has them next.
///
/// # Errors
/// There is no study, a trial of these numbers has not failed, or the journal cannot be written.
pub fn retry(folder: &StudyFolder, trials: &[u64], catalogs: &Catalogs) -> Result<Vec<u64>, RecipeError> {
    let known = study(folder, catalogs)?;
    let failed: Vec<&Trial> = known.trials().iter().filter(|trial| trial.state == TrialState::Failed).collect();
    let is_any_given_up = failed.iter().any(|trial| trial.is_given_up);
    let usual = failed.iter().filter(|trial| trial.is_given_up == is_any_given_up).map(|trial| trial.number);
    let trials: Vec<u64> = if trials.is_empty() { usual.collect() } else { trials.to_vec() };
    if !trials.is_empty() {
        let open = OpenRecipe::load(&folder.text()?, catalogs)?;
        let settings = work::settings(&open, folder)?;
        let mut shared = SharedStudy::open(&folder.journal(), settings, &work::catalogs(catalogs), Sharing::default())?;
        shared.requeue(&trials)?;
    }
    Ok(trials)
}
