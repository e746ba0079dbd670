//! Files that a page may not take the place of.

use std::path::{Path, PathBuf};

use millstream::schemas::shown_path;

/// Refuses to write a page over a file of the folders that it tells of; another page may be replaced.
pub(crate) fn require_page(page: &Path, folders: &[PathBuf]) -> anyhow::Result<()> {
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_page_takes_the_place_of_no_file_of_a_run() {
        let place = tempfile::tempdir().unwrap();
        let run = place.path().join("run");
        fs::create_dir(&run).unwrap();
        for name in ["run/metrics.json", "run/errors.html", "other.json"] {
            fs::write(place.path().join(name), "x").unwrap();
        }
        let refused = |name: &str| require_page(&place.path().join(name), std::slice::from_ref(&run)).is_err();
        assert!(refused("run/metrics.json") && refused("run/../run/metrics.json"));
        assert!(!refused("run/errors.html") && !refused("run/new.html") && !refused("other.json"));
    }
}
