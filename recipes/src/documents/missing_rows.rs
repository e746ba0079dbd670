//! Whether the rows of a run are still where they were.

use std::path::{Path, PathBuf};

use millstream_pipeline::Dataset;
use millstream_schemas::{Recipe, shown_path};

use crate::data_facts::NotedData;
use crate::folder_files::FolderFiles;
use crate::import::expanded;

/// What of the rows is not there any more, in words: a file, folder or pattern that the recipe names, or a file to train on that the run has
/// noted. None where all of them lie there, so that whatever else is wrong is to be mended.
pub(super) fn missing_rows(recipe: &Recipe, noted: Option<&NotedData>) -> Option<String> {
    let all = std::iter::once(&recipe.data.train).chain(&recipe.data.evaluate).chain(recipe.evaluation.sets.values());
    let mut named = all.flat_map(|patterns| patterns.iter());
    named.find_map(|pattern| missing(pattern)).or_else(|| missing_file(recipe, noted?))
}

fn missing(pattern: &str) -> Option<String> {
    // what lies in another store than this machine's is not looked for
    if pattern.contains("://") {
        return None;
    }
    let path = Path::new(pattern);
    if path.is_dir() {
        let is_empty = FolderFiles::below(path).is_ok_and(|found| found.files.is_empty());
        return is_empty.then(|| format!("{} holds no files any more", shown_path(path)));
    }
    let is_there = path.exists()
        || expanded(&[path.to_owned()]).is_ok_and(|found| found.iter().all(|path| path.exists()))
        || Dataset::files_of(&[pattern.to_owned()], Path::new("/")).is_ok_and(|found| !found.is_empty());
    (!is_there).then(|| format!("there is no {} any more", shown_path(path)))
}

/// A file to train on that the run has noted and that is not there. Files that rows were imported to are not looked for: they are made
/// again.
fn missing_file(recipe: &Recipe, noted: &NotedData) -> Option<String> {
    let files = &noted.splits.first()?.files;
    let depth = Path::new(&files.first()?.name).components().count();
    let folder = noted.first_file.ancestors().nth(depth).filter(|folder| !folder.as_os_str().is_empty())?;
    let is_named = recipe.data.train.iter().any(|pattern| {
        let fixed = before_pattern(pattern);
        folder.starts_with(&fixed) || fixed.starts_with(folder)
    });
    let mut paths = files.iter().filter(|_| is_named).map(|file| folder.join(&file.name));
    // a name that was no UTF-8 is noted with other letters
    let is_gone = |path: &PathBuf| !path.to_string_lossy().contains(char::REPLACEMENT_CHARACTER) && !path.exists();
    paths.find(is_gone).map(|path| format!("there is no {} any more", shown_path(path)))
}

/// The folders in front of the first part of a path that is a pattern; of any other the path.
fn before_pattern(pattern: &str) -> PathBuf {
    let is_fixed = |part: &std::path::Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']);
    Path::new(pattern).components().take_while(is_fixed).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    #[test]
    fn rows_of_any_kind_that_are_gone_are_told_apart_from_rows_that_are_there() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for folder in ["photos/cats", "emptied/cats"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["rows.csv", "rows.jsonl", "all.zip", "a-0.parquet", "photos/cats/one.png"] {
            fs::write(at(file), "x").unwrap();
        }
        let found = |train: &str, evaluate: &str| {
            let text =
                format!("version: 1\nmodel: {{path: m.onnx}}\ndata: {{train: '{train}', evaluate: '{evaluate}'}}\n");
            missing_rows(&Recipe::from_text(&text, Path::new("r.yaml"), place.path(), &[]).unwrap(), None)
        };
        for (named, gone) in [
            ("rows.csv", "other.csv"),
            ("rows.jsonl", "other.jsonl"),
            ("all.zip", "other.zip"),
            ("a-0.parquet", "b-0.parquet"),
            ("a-*.parquet", "b-*.parquet"),
            ("photos", "emptied"),
            ("photos", "nowhere"),
        ] {
            assert_eq!(found(named, "rows.csv"), None, "{named}");
            for said in [found(gone, "rows.csv"), found("rows.csv", gone)] {
                assert!(said.as_ref().is_some_and(|said| said.contains(gone)), "{gone}: {said:?}");
            }
        }
    }

    #[test]
    fn a_noted_file_that_is_gone_is_missing_and_one_that_rows_were_imported_to_is_not() {
        let place = tempfile::tempdir().unwrap();
        for file in ["rows.csv", "0.parquet", "2.parquet"] {
            fs::write(place.path().join(file), "x").unwrap();
        }
        let found = |train: &str, folder: &str, names: [&str; 2]| {
            let text = format!("version: 1\nmodel: {{path: m.onnx}}\ndata: {{train: '{train}'}}\n");
            let recipe = Recipe::from_text(&text, Path::new("r.yaml"), place.path(), &[]).unwrap();
            let file = |name: &str| json!({"name": name, "bytes": 1, "rows": 1, "sha256": null, "created_by": null});
            let noted = json!({
                "kind": "image", "first_file": place.path().join(folder).join(names[0]), "transforms": [],
                "splits": [{
                    "split": "train", "files": names.map(file), "rows": 2, "columns": [], "nulls": [], "inputs": null,
                    "label": null, "classes": [], "unlabelled": 0, "bad_labels": 0,
                }],
            });
            missing_rows(&recipe, Some(&serde_json::from_value(noted).unwrap()))
        };
        assert_eq!(found("*.parquet", "", ["0.parquet", "2.parquet"]), None);
        let said = found("*.parquet", "", ["0.parquet", "1.parquet"]).unwrap();
        assert!(said.contains("1.parquet"), "{said}");
        assert_eq!(found("rows.csv", "imported/rows-0", ["train.parquet", "validation.parquet"]), None);
    }
}
