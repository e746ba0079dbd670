use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use millstream_pipeline::file_metadata;
use millstream_schemas::files::{create_folder, sweep};
use millstream_schemas::{shown, shown_path};

use super::shards::Shard;
use crate::RecipeError;
use crate::folder_files::extension;

/// The entry of a file's metadata that says which rows it holds.
pub(super) const KEY: &str = "millstream.import";

/// Makes the folder ready: says of each file whether it is there already, and deletes those of another import where that is
/// wanted.
///
/// # Errors
/// Other files are in the folder, or it cannot be read or written.
pub(super) fn prepare(folder: &Path, shards: &[Shard], overwrite: bool) -> Result<Vec<bool>, RecipeError> {
    let mut kept = vec![false; shards.len()];
    if !folder.exists() {
        create_folder(folder).map_err(RecipeError::io("write", folder))?;
        return Ok(kept);
    }
    let paths: Vec<PathBuf> = shards.iter().map(|shard| folder.join(&shard.file)).collect();
    sweep(&paths).map_err(|(path, error)| RecipeError::io("delete", path)(error))?;
    let known: HashMap<&str, usize> = shards.iter().enumerate().map(|(at, shard)| (shard.file.as_str(), at)).collect();
    let entries = fs::read_dir(folder).map_err(RecipeError::io("read", folder))?;
    let names: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.file_name())).collect();
    let mut names = names.map_err(RecipeError::io("read", folder))?;
    names.sort();
    let (mut others, mut foreign) = (Vec::new(), Vec::new());
    for name in names {
        let path = folder.join(&name);
        let name = name.to_string_lossy().into_owned();
        // of the Hub and of version control
        if name.starts_with('.') || name == "README.md" {
            continue;
        }
        let is_parquet = path.is_file() && extension(&path) == "parquet";
        let entry = if is_parquet { file_metadata(&path, KEY).ok().flatten() } else { None };
        match (entry, known.get(name.as_str())) {
            (Some((fingerprint, rows)), Some(at))
                if fingerprint == shards[*at].fingerprint && rows == shards[*at].rows.len() as u64 =>
            {
                kept[*at] = true;
            }
            (Some(_), _) => others.push(path),
            (None, _) => foreign.push((path, is_parquet)),
        }
    }
    let in_the_way = |path: &Path, what: &str| {
        let file = shown(path.file_name().unwrap_or_default().to_string_lossy());
        RecipeError::mismatch(shown_path(folder), format!("it holds `{file}`, {what}"))
    };
    // what nobody knows the origin of is not deleted, and would be read as a part of the data
    if let Some((path, _)) = foreign.iter().find(|(_, is_parquet)| *is_parquet || !overwrite) {
        return Err(in_the_way(path, "which no import wrote; choose an empty folder, or move it away"));
    }
    if let (Some(path), false) = (others.first(), overwrite) {
        let message = "which an import of other rows wrote; replace it by `--overwrite`, or choose another folder";
        return Err(in_the_way(path, message));
    }
    for path in others {
        fs::remove_file(&path).map_err(RecipeError::io("delete", &path))?;
    }
    Ok(kept)
}
