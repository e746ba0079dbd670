//! Files that a page or a schema may not take the place of.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use millstream::schemas::shown_path;
use serde_json::Value;

/// Bytes by which a page is known.
const BEGINNING: u64 = 64;

/// Refuses to write a page over a file of the folders that it tells of, or over a model, rows or whatever else is no page; another page may
/// be replaced. One in a folder that is not there is refused too, before anything is read.
pub(crate) fn require_page(page: &Path, folders: &[PathBuf]) -> anyhow::Result<()> {
    if let Some(above) = page.parent().filter(|above| !above.as_os_str().is_empty()) {
        anyhow::ensure!(
            above.try_exists().unwrap_or(true),
            "cannot write {}: there is no folder {}; make it, or choose another place",
            shown_path(page),
            shown_path(above)
        );
    }
    // what is not there replaces nothing
    let Ok(place) = page.canonicalize() else { return Ok(()) };
    let is_page = place.extension().is_some_and(|end| end.eq_ignore_ascii_case("html"));
    let is_inside = |folder: &&PathBuf| folder.canonicalize().is_ok_and(|folder| place.starts_with(folder));
    if let Some(folder) = folders.iter().find(is_inside).filter(|_| !is_page) {
        anyhow::bail!(
            "{} is a file of {}, and a page would take its place; choose another name, which ends in `.html`",
            shown_path(page),
            shown_path(folder)
        );
    }
    anyhow::ensure!(
        is_page || !place.is_file() || begins_as_page(&place),
        "{} is there and is no page, and a page would take its place; choose another name, which ends in `.html`",
        shown_path(page)
    );
    Ok(())
}

/// Refuses to write a JSON Schema over a file that is none.
pub(crate) fn require_schema(file: &Path) -> anyhow::Result<()> {
    let is_schema = |bytes: Vec<u8>| {
        bytes.is_empty() || serde_json::from_slice::<Value>(&bytes).is_ok_and(|own| own.get("properties").is_some())
    };
    anyhow::ensure!(
        !file.is_file() || fs::read(file).is_ok_and(is_schema),
        "{} is there and is no JSON Schema, and one would take its place; choose another name",
        shown_path(file)
    );
    Ok(())
}

/// Whether a file begins as pages do, or holds nothing.
fn begins_as_page(file: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(file).and_then(|file| file.take(BEGINNING).read_to_end(&mut start));
    let start = start.trim_ascii().to_ascii_lowercase();
    read.is_ok_and(|length| length == 0 || start.starts_with(b"<!doctype html") || start.starts_with(b"<html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_takes_the_place_of_no_file_of_a_run() {
        let place = tempfile::tempdir().unwrap();
        let run = place.path().join("run");
        fs::create_dir(&run).unwrap();
        for name in ["run/metrics.json", "run/errors.html", "other.html"] {
            fs::write(place.path().join(name), "x").unwrap();
        }
        let refused = |name: &str| require_page(&place.path().join(name), std::slice::from_ref(&run)).is_err();
        assert!(refused("run/metrics.json") && refused("run/../run/metrics.json"));
        assert!(!refused("run/errors.html") && !refused("run/new.html") && !refused("other.html"));
    }

    #[test]
    fn a_page_takes_the_place_of_no_model_recipe_or_rows() {
        let place = tempfile::tempdir().unwrap();
        for (name, text, wanted) in [
            ("model.onnx", "\u{8}\u{8}", true),
            ("recipe.yaml", "version: 1", true),
            ("rows.parquet", "PAR1", true),
            ("page.txt", "\n<!DOCTYPE html>\n<html>", false),
            ("empty", "", false),
        ] {
            let file = place.path().join(name);
            fs::write(&file, text).unwrap();
            assert_eq!(require_page(&file, &[]).is_err(), wanted, "{name}");
        }
        assert!(require_page(place.path(), &[]).is_ok(), "a folder is told by whoever writes");
    }

    #[test]
    fn a_schema_takes_the_place_of_no_recipe() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("recipe.yaml");
        assert!(require_schema(&file).is_ok());
        for (text, wanted) in
            [("version: 1", true), (r#"{"version": 1}"#, true), (r#"{"properties": {}}"#, false), ("", false)]
        {
            fs::write(&file, text).unwrap();
            assert_eq!(require_schema(&file).is_err(), wanted, "{text}");
        }
    }
}
