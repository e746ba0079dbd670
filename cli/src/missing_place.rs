//! What is said of a run, a model or a recipe of the command line that is not there: what lies beside it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use millstream::schemas::{nearest, shown, shown_path};

/// Files of which one lies in the folder of every run and every study.
const OF_RUNS: [&str; 4] = ["fingerprints.json", "metrics.json", "recipe.yaml", "study.json"];
/// Names that are told.
const MOST: usize = 8;

/// Refuses what is not there, and says what could be meant and which command lists what there is.
pub(crate) fn require(path: &Path) -> anyhow::Result<()> {
    // what cannot be looked at is told by whoever reads it
    let is_there = path.as_os_str().is_empty() || path.try_exists().unwrap_or(true);
    anyhow::ensure!(is_there, "cannot read {}: No such file or folder; {}", shown_path(path), advice(path));
    Ok(())
}

/// Whether something of a run lies in a folder.
pub(crate) fn holds_run(folder: &Path) -> bool {
    OF_RUNS.iter().any(|name| folder.join(name).exists())
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
    let lists = format!("`millstream runs {}` lists the runs below {}", shown_path(&above), shown_path(&above));
    let ending = path.extension().filter(|ending| ["json", "onnx", "yaml", "yml"].iter().any(|own| ending == own));
    let beside = beside(&above, ending);
    let wanted = path.file_name().unwrap_or_default().to_string_lossy();
    let near = nearest(&wanted, beside.iter().map(String::as_str));
    let near = near.map_or_else(|| "in".into(), |near| format!("did you mean `{}`? In", shown_path(above.join(near))));
    let (kind, otherwise) = match ending {
        None => ("runs", lists),
        Some(ending) if ending == "onnx" => ("models", lists),
        Some(_) => ("recipes", format!("of data and a model, `millstream init DATA MODEL` makes a recipe; {lists}")),
    };
    let names: Vec<String> = beside.iter().take(MOST).map(shown).collect();
    match beside.len() {
        0 => format!("no {kind} lie in {}; {otherwise}", shown_path(&above)),
        count if count > MOST => {
            format!("{near} {} lie {} and {} more {kind}", shown_path(&above), names.join(", "), count - MOST)
        }
        _ => format!("{near} {} lie the {kind} {}", shown_path(&above), names.join(", ")),
    }
}

/// The names of the runs in a folder, or of the files with this ending, in order.
fn beside(folder: &Path, ending: Option<&OsStr>) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let is_alike = |path: &PathBuf| match ending {
        Some(ending) => path.is_file() && path.extension() == Some(ending),
        None => holds_run(path),
    };
    let mut names: Vec<String> =
        entries.filter(is_alike).filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_not_there_is_told_with_what_lies_beside_it() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let said = |name: &str| require(&at(name)).unwrap_err().to_string();
        assert!(
            said("runs/coco").contains("there is no folder") && said("runs/coco").contains("`millstream runs FOLDER`")
        );
        assert!(
            said("coco").contains("no runs lie in") && said("coco").contains("`millstream runs "),
            "{}",
            said("coco")
        );
        for name in ["runs/flowers", "runs/leaves", "runs/not one"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        for name in ["runs/flowers/metrics.json", "runs/leaves/recipe.yaml", "runs/not one/a.txt", "flower.yaml"] {
            fs::write(at(name), "").unwrap();
        }
        let told = said("runs/flower");
        assert!(told.contains("did you mean") && told.ends_with("lie the runs flowers, leaves"), "{told}");
        let told = said("flowers.yaml");
        assert!(told.contains("No such file") && told.ends_with("lie the recipes flower.yaml"), "{told}");
        assert!(said("other.onnx").contains("no models lie in"));
        require(&at("runs/flowers")).unwrap();
    }

    #[test]
    fn of_many_some_are_named_and_the_rest_counted() {
        let place = tempfile::tempdir().unwrap();
        for at in 0..12 {
            let run = place.path().join(format!("run-{at:02}"));
            fs::create_dir(&run).unwrap();
            fs::write(run.join("recipe.yaml"), "").unwrap();
        }
        let told = require(&place.path().join("none at all")).unwrap_err().to_string();
        assert!(
            told.ends_with("lie run-00, run-01, run-02, run-03, run-04, run-05, run-06, run-07 and 4 more runs"),
            "{told}"
        );
    }
}
