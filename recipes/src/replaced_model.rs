//! Whether the base model of a run is still the file that the run began with.

use std::path::Path;

use millstream_schemas::files::sha256_of_file;
use millstream_schemas::{Fingerprint, shown_path};

use crate::RecipeError;
use crate::run_folder::RunFolder;

/// What a run has noted of its base model, and in words that another file lies at this place now, or none; nothing where it is the one that
/// the run began with, or where the run has noted nothing.
///
/// # Errors
/// What the run has noted, or the file, cannot be read.
pub(crate) fn replaced_model(folder: &RunFolder, path: &Path) -> Result<Option<(Fingerprint, String)>, RecipeError> {
    let Some(noted) = folder.made_of()?.map(|made_of| made_of.model) else { return Ok(None) };
    let shown = shown_path(path);
    if !path.exists() {
        let said = format!("there is no {shown} any more, the model that the run began with (SHA-256 {noted})");
        return Ok(Some((noted, said)));
    }
    let now = sha256_of_file(path).map_err(RecipeError::io("read", path))?;
    if now == noted.0 {
        return Ok(None);
    }
    let said =
        format!("{shown} is another model now than the one that the run began with (SHA-256 {noted} then, {now} now)");
    Ok(Some((noted, said)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::made_of::MadeOf;

    #[test]
    fn a_base_model_that_was_replaced_is_told_from_the_one_that_the_run_began_with() {
        let place = tempfile::tempdir().unwrap();
        let (folder, path) = (RunFolder(place.path().to_owned()), place.path().join("base.onnx"));
        assert!(replaced_model(&folder, &path).unwrap().is_none(), "nothing is noted");
        let noted = Fingerprint::of_bytes(b"first");
        let made_of = MadeOf {
            model: noted.clone(),
            train: noted.clone(),
            evaluate: None,
            adapters: None,
            sets: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        std::fs::write(folder.fingerprints(), serde_json::to_vec(&made_of).unwrap()).unwrap();
        let (then, said) = replaced_model(&folder, &path).unwrap().unwrap();
        assert!(then == noted && said.contains("there is no") && said.contains(&noted.0), "{said}");
        std::fs::write(&path, "first").unwrap();
        assert!(replaced_model(&folder, &path).unwrap().is_none());
        std::fs::write(&path, "second").unwrap();
        let (then, said) = replaced_model(&folder, &path).unwrap().unwrap();
        assert!(then == noted && said.contains("another model now") && said.contains(&noted.0), "{said}");
    }
}
