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
        let settings = work::settings_of_begun(&open, folder)?;
        let mut shared = SharedStudy::open(&folder.journal(), settings, &work::catalogs(catalogs), Sharing::default())?;
        shared.requeue(&trials)?;
    }
    Ok(trials)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use millstream_schemas::recipe::RecipeText;
    use millstream_search::{Asked, Outcome};

    use super::*;

    const OPEN: &str = "version: 1\nmodel: {path: m.onnx}\ndata: {train: a.parquet, evaluate: b.parquet}\n\
                        training: {epochs: 1, optimizer: {choose: [sgd, adamw]}}\n";

    /// A study in this folder, whose first trial has failed.
    fn failed(folder: &StudyFolder, search: &str, catalogs: &Catalogs) {
        let place = folder.path().parent().unwrap();
        let text = RecipeText::new(OPEN, Path::new("r.yaml"), place, &[search.to_owned()]).unwrap();
        folder.begin(&text, &[search.to_owned()], BTreeMap::new()).unwrap();
        let open = OpenRecipe::load(&text, catalogs).unwrap();
        let settings = work::settings_of_begun(&open, folder).unwrap();
        let searched = work::catalogs(catalogs);
        let mut shared = SharedStudy::open(&folder.journal(), settings, &searched, Sharing::default()).unwrap();
        let Asked::Trial(trial) = shared.ask().unwrap() else { panic!("there is no trial") };
        shared.tell(trial.number, Outcome::Failed { reason: "the disk is full".into() }).unwrap();
    }

    #[test]
    fn trials_of_a_study_whose_folder_is_renamed_are_tried_again() {
        let (place, catalogs) = (tempfile::tempdir().unwrap(), Catalogs::default());
        for (search, name) in [("search={objective: loss}", "study"), ("search={objective: loss, name: own}", "own")] {
            let before = StudyFolder::new(place.path().join("study"));
            failed(&before, search, &catalogs);
            let after = StudyFolder::new(place.path().join(format!("moved of {name}")));
            fs::rename(before.path(), after.path()).unwrap();
            assert_eq!(retry(&after, &[], &catalogs).unwrap(), [0], "{search}");
            let study = study(&after, &catalogs).unwrap();
            assert_eq!(study.settings().name, name);
            assert_eq!(study.trials()[0].state, TrialState::Waiting);
        }
    }
}
