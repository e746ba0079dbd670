//! What is said of a run, a model or a recipe of the command line that is not there: what lies beside it.

use std::fs;
use std::path::{Path, PathBuf};

use millstream::recipes::ensemble::EnsembleFolder;
use millstream::recipes::runs::{FINGERPRINTS_FILE, METRICS_FILE, RECIPE_FILE, is_run_folder};
use millstream::recipes::search::StudyFolder;
use millstream::schemas::{nearest, shell_path, shown, shown_path};

/// Names that are told.
const MOST: usize = 8;
/// Bytes of a recipe at most; data are larger.
const LARGEST_RECIPE: u64 = 1 << 20;

/// What is looked for, by how it is called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Run,
    Model,
    /// A recipe; where it is called like JSON, one in JSON too.
    Recipe {
        in_json: bool,
    },
}

impl Wanted {
    fn of(path: &Path) -> Self {
        match ending(path).as_str() {
            "onnx" => Self::Model,
            "yaml" | "yml" => Self::Recipe { in_json: false },
            "json" => Self::Recipe { in_json: true },
            _ => Self::Run,
        }
    }

    fn is(self, path: &Path) -> bool {
        let ending = ending(path);
        match self {
            Self::Run => is_run_folder(path),
            Self::Model => ending == "onnx" && path.is_file(),
            Self::Recipe { in_json } => {
                let is_one =
                    matches!(ending.as_str(), "yaml" | "yml") || (in_json && ending == "json" && has_data(path));
                is_one && path.is_file()
            }
        }
    }
}

fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Whether a JSON file names data, as each recipe does; most others are none.
fn has_data(path: &Path) -> bool {
    let is_small = fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() <= LARGEST_RECIPE);
    let read = || serde_json::from_slice::<serde_json::Value>(&fs::read(path).ok()?).ok();
    is_small && read().is_some_and(|recipe| recipe.get("data").is_some())
}

/// Refuses what is not there, and says what could be meant and which command lists what there is.
pub(crate) fn require(path: &Path) -> anyhow::Result<()> {
    // what cannot be looked at is told by whoever reads it
    let is_there = path.as_os_str().is_empty() || path.try_exists().unwrap_or(true);
    anyhow::ensure!(is_there, "cannot read {}: No such file or folder; {}", shown_path(path), advice(path));
    Ok(())
}

/// As [`require`]; a file, and a folder without a run, are refused with the runs that lie in the folder.
pub(crate) fn require_run(path: &Path) -> anyhow::Result<()> {
    require(path)?;
    anyhow::ensure!(!path.is_file(), "{} is a file, and the output folder of a run is wanted here", shown_path(path));
    // what is left of one is told by whoever reads it
    let may_be_one = is_run_folder(path) || [RECIPE_FILE, METRICS_FILE].iter().any(|name| path.join(name).exists());
    anyhow::ensure!(
        may_be_one,
        "{} holds no run; name the output folder of one{}",
        shown_path(path),
        runs_inside(path).map_or_else(String::new, |inside| format!("; {inside}"))
    );
    Ok(())
}

/// As [`require_run`]; the folder of several runs is refused too.
pub(crate) fn require_one_run(path: &Path) -> anyhow::Result<()> {
    require_run(path)?;
    require_not_several(path)
}

/// Refuses the folder of a search, of an ensemble or of its members where that of one run is wanted, and says which runs lie in it.
pub(crate) fn require_not_several(path: &Path) -> anyhow::Result<()> {
    let is_one = [FINGERPRINTS_FILE, METRICS_FILE].iter().any(|name| path.join(name).exists());
    if is_one || !is_run_folder(path) {
        return Ok(());
    }
    if StudyFolder::new(path).holds_study() {
        let inside = runs_inside(&path.join("trials"));
        let inside = inside.map_or_else(|| "its runs lie in `trials`".into(), |inside| format!("{inside}: name one"));
        anyhow::bail!(
            "{} is the folder of a search, and that of one run is wanted here; {inside}. The page of the search is its `search.html`, and \
             `millstream search status {}` tells how far it is",
            shown_path(path),
            shell_path(path)
        );
    }
    if is_ensemble(path) {
        anyhow::bail!(
            "{} is the folder of an ensemble, and that of one run is wanted here; name the folder of a member, which its `ensemble.json` \
             lists. The page of the ensemble is its `report.html`, and `millstream document {}` writes its card",
            shown_path(path),
            shell_path(path)
        );
    }
    anyhow::bail!(
        "{} is the folder of several runs, and that of one is wanted here{}",
        shown_path(path),
        runs_inside(path).map_or_else(String::new, |inside| format!("; {inside}: name one"))
    )
}

/// Whether a folder holds an ensemble: beside a run a file of that name is of another program.
fn is_ensemble(path: &Path) -> bool {
    let description = EnsembleFolder(path.to_owned()).description();
    description.exists() && ![FINGERPRINTS_FILE, METRICS_FILE].iter().any(|name| path.join(name).exists())
}

/// Refuses the folder of an ensemble where that of a run with a recipe is wanted, and says how the ensemble is measured.
pub(crate) fn require_recipe_of_run(path: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        !is_ensemble(path),
        "{} is the folder of an ensemble, which has no recipe; name the recipe that a member was trained by; its `ensemble.json` lists \
         their models. `millstream evaluate RECIPE --model {}` measures the ensemble",
        shown_path(path),
        shell_path(EnsembleFolder(path.to_owned()).model())
    );
    Ok(())
}

/// Which runs lie in a folder, where there are some: `in runs lie the runs flowers, leaves`.
pub(crate) fn runs_inside(folder: &Path) -> Option<String> {
    let names = beside(folder, Wanted::Run);
    (!names.is_empty()).then(|| format!("in {}", lie(folder, &names, "runs")))
}

fn lie(folder: &Path, names: &[String], kind: &str) -> String {
    let told: Vec<String> = names.iter().take(MOST).map(shown).collect();
    let (folder, told) = (shown_path(folder), told.join(", "));
    match names.len() {
        count if count > MOST => format!("{folder} lie {told} and {} more {kind}", count - MOST),
        _ => format!("{folder} lie the {kind} {told}"),
    }
}

fn advice(path: &Path) -> String {
    let above = match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above.to_owned(),
        _ => PathBuf::from("."),
    };
    if !above.is_dir() {
        return format!(
            "there is no folder {} either; `millstream runs FOLDER` lists the runs below a folder",
            shown_path(above)
        );
    }
    // of runs in folders beside it
    let is_above_runs = |folder: &Path| !beside(folder, Wanted::Run).is_empty();
    let folders = fs::read_dir(&above).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let has_runs = is_above_runs(&above) || folders.filter(|path| path.is_dir()).any(|folder| is_above_runs(&folder));
    let lists = match has_runs {
        true => format!("; `millstream runs {}` lists the runs in its folders", shell_path(&above)),
        false => String::new(),
    };
    let kind = Wanted::of(path);
    let beside = beside(&above, kind);
    let wanted = path.file_name().unwrap_or_default().to_string_lossy();
    let near = nearest(&wanted, beside.iter().map(String::as_str));
    let near = near.map_or_else(|| "in".into(), |near| format!("did you mean `{}`? In", shown_path(above.join(near))));
    let (kind, otherwise) = match kind {
        Wanted::Run => ("runs", lists),
        Wanted::Model => ("models", lists),
        Wanted::Recipe { .. } => {
            ("recipes", format!("; of data and a model, `millstream init DATA MODEL` makes a recipe{lists}"))
        }
    };
    match beside.is_empty() {
        true => format!("no {kind} lie in {}{otherwise}", shown_path(&above)),
        false => format!("{near} {}", lie(&above, &beside, kind)),
    }
}

/// The names of what is of this kind in a folder, in order.
fn beside(folder: &Path, kind: Wanted) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let alike = entries.filter(|path| kind.is(path));
    let mut names: Vec<String> =
        alike.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_told_with_what_lies_beside_it() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let said = |name: &str| require(&at(name)).unwrap_err().to_string();
        assert!(
            said("runs/coco").contains("there is no folder") && said("runs/coco").contains("`millstream runs FOLDER`")
        );
        // there are none to list
        assert!(
            said("coco").contains("no runs lie in") && !said("coco").contains("`millstream runs "),
            "{}",
            said("coco")
        );
        for name in [
            "runs/flowers/recipe.yaml",
            "runs/flowers/metrics.json",
            // not yet at its end
            "runs/leaves/recipe.yaml",
            "runs/leaves/fingerprints.json",
            // of several runs
            "runs/trees/ensemble.json",
            "runs/weeds/study.json",
            // a project, and files of another program
            "runs/project/recipe.yaml",
            "runs/other/metrics.json",
            "flower.yaml",
        ] {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), "").unwrap();
        }
        let told = said("runs/flower");
        assert!(
            told.contains("did you mean") && told.ends_with("lie the runs flowers, leaves, trees, weeds"),
            "{told}"
        );
        assert!(said("coco").contains("no runs lie in") && said("coco").contains("`millstream runs "));
        let told = said("flowers.yaml");
        assert!(told.contains("No such file") && told.ends_with("lie the recipes flower.yaml"), "{told}");
        assert!(said("other.onnx").contains("no models lie in"));
        require(&at("runs/flowers")).unwrap();
        require_run(&at("runs/flowers")).unwrap();
        let told = require_run(&at("runs")).unwrap_err().to_string();
        assert!(
            told.contains("holds no run") && told.ends_with("lie the runs flowers, leaves, trees, weeds"),
            "{told}"
        );
        assert!(require_run(&at("flower.yaml")).unwrap_err().to_string().contains("is a file"));
    }

    #[test]
    fn the_folder_of_a_search_or_an_ensemble_is_not_taken_for_a_run_whose_record_is_missing() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for name in [
            "weeds/study.json",
            "weeds/recipe.yaml",
            "weeds/trials/0000/recipe.yaml",
            "weeds/trials/0000/metrics.json",
            "trees/ensemble.json",
            // one that has begun
            "leaves/recipe.yaml",
            "leaves/fingerprints.json",
        ] {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), "").unwrap();
        }
        let told = require_one_run(&at("weeds")).unwrap_err().to_string();
        for wanted in ["is the folder of a search", "lie the runs 0000: name one", "`millstream search status "] {
            assert!(told.contains(wanted), "{told}");
        }
        let told = require_one_run(&at("trees")).unwrap_err().to_string();
        for wanted in
            ["is the folder of an ensemble", "`ensemble.json` lists", "`report.html`", "`millstream document "]
        {
            assert!(told.contains(wanted), "{told}");
        }
        let told = require_recipe_of_run(&at("trees")).unwrap_err().to_string();
        assert!(told.contains("has no recipe") && told.contains("ensemble.onnx` measures the ensemble"), "{told}");
        require_recipe_of_run(&at("leaves")).unwrap();
        for one in ["leaves", "weeds/trials/0000"] {
            require_one_run(&at(one)).unwrap();
        }
        // what is not there yet can be watched
        require_not_several(&at("new")).unwrap();
    }

    #[test]
    fn a_recipe_or_model_is_found_beside_whatever_its_ending_and_a_file_of_others_is_none() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let written =
            [("package.json", "{\"version\": \"1.0\"}"), ("own.json", "{\"data\": {}}"), ("flowers.yaml", "")];
        written.iter().for_each(|(name, text)| fs::write(at(name), text).unwrap());
        for (name, wanted) in [
            ("flowers.yml", "lie the recipes flowers.yaml"),
            ("x.json", "lie the recipes flowers.yaml, own.json"),
            ("X.ONNX", "no models lie in"),
        ] {
            let told = require(&at(name)).unwrap_err().to_string();
            assert!(told.contains(wanted) && !told.contains("package.json"), "{name}: {told}");
        }
        assert!(require(&at("flowers.yml")).unwrap_err().to_string().contains("did you mean"));
        fs::write(at("flowers.ONNX"), "").unwrap();
        assert!(require(&at("flower.onnx")).unwrap_err().to_string().ends_with("lie the models flowers.ONNX"));
    }

    #[test]
    fn of_many_some_are_named_and_the_rest_counted() {
        let place = tempfile::tempdir().unwrap();
        for at in 0..12 {
            let run = place.path().join(format!("run-{at:02}"));
            fs::create_dir(&run).unwrap();
            ["recipe.yaml", "metrics.json"].iter().for_each(|name| fs::write(run.join(name), "").unwrap());
        }
        let told = require(&place.path().join("none at all")).unwrap_err().to_string();
        assert!(
            told.ends_with("lie run-00, run-01, run-02, run-03, run-04, run-05, run-06, run-07 and 4 more runs"),
            "{told}"
        );
    }
}
