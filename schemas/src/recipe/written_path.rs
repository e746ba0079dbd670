//! A path as a recipe in some folder has it written by us: relative where both belong together.

use std::path::{Component, Path, PathBuf};

/// The line of a recipe that says where its relative paths began when it was written.
pub(super) const WRITTEN_IN: &str = "# written in ";

/// A path or pattern from the folder `from`, both absolute: `../../data/train-*.parquet`. None where they have no folder in common that
/// can be moved with both, which is one below the root and not the home folder or above it.
pub fn relative_path(path: &str, from: &Path, home: Option<&Path>) -> Option<String> {
    let to = Path::new(path);
    if !to.is_absolute() || !from.is_absolute() {
        return None;
    }
    let (to, from): (Vec<Component<'_>>, Vec<Component<'_>>) = (to.components().collect(), from.components().collect());
    let common = to.iter().zip(&from).take_while(|(a, b)| a == b).count();
    let folder: PathBuf = from[..common].iter().collect();
    let is_apart = !from[..common].iter().any(|part| matches!(part, Component::Normal(_)));
    if is_apart || home.is_some_and(|home| home.starts_with(&folder)) {
        return None;
    }
    let up = from[common..].iter().map(|_| "..");
    let down: Option<Vec<&str>> = to[common..].iter().map(|part| part.as_os_str().to_str()).collect();
    let parts: Vec<&str> = up.chain(down?).collect();
    Some(match parts.first() {
        None => ".".to_owned(),
        Some(&"..") => parts.join("/"),
        Some(_) => format!("./{}", parts.join("/")),
    })
}

/// Where relative paths of a text began when it was written, where it says so.
pub(super) fn written_in(text: &str) -> Option<PathBuf> {
    let mut comments = text.lines().take_while(|line| line.starts_with('#'));
    let folder = PathBuf::from(comments.find_map(|line| line.strip_prefix(WRITTEN_IN))?);
    folder.is_absolute().then_some(folder)
}

/// Whether something may lie at a path or pattern: the part of it in front of wildcards is there.
pub(super) fn is_there(pattern: &str) -> bool {
    let is_wild = |part: &Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']);
    let place: PathBuf = Path::new(pattern).components().take_while(|part| !is_wild(part)).collect();
    Path::new(pattern).exists() || place.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_where_a_folder_that_can_be_moved_holds_both() {
        let home = Path::new("/home/me");
        for (path, from, wanted) in [
            ("/home/me/flowers/model.onnx", "/home/me/flowers/runs/one", Some("../../model.onnx")),
            ("/home/me/flowers/data/a-*.parquet", "/home/me/flowers/runs/one", Some("../../data/a-*.parquet")),
            ("/home/me/flowers/runs/one", "/home/me/flowers/runs/one", Some(".")),
            ("/home/me/flowers/runs/one/~x", "/home/me/flowers/runs/one", Some("./~x")),
            ("/home/me/models/model.onnx", "/home/me/flowers/runs/one", None),
            ("/home/you/model.onnx", "/home/me/flowers/runs/one", None),
            ("/mnt/data/a.parquet", "/home/me/flowers/runs/one", None),
            ("/mnt/data/a.parquet", "/mnt/runs/one", Some("../../data/a.parquet")),
            ("model.onnx", "/home/me/flowers", None),
        ] {
            assert_eq!(relative_path(path, Path::new(from), Some(home)).as_deref(), wanted, "{path} from {from}");
        }
        assert_eq!(relative_path("/a/b", Path::new("/a/c"), None).as_deref(), Some("../b"));
    }

    #[test]
    fn a_text_says_where_it_was_written_in_its_first_comments() {
        for (text, wanted) in [
            ("# written in /a b/c\nversion: 1\n", Some("/a b/c")),
            ("# a recipe\n# written in /a\nversion: 1\n", Some("/a")),
            ("version: 1\n# written in /a\n", None),
            ("# written in a\nversion: 1\n", None),
        ] {
            assert_eq!(written_in(text).as_deref(), wanted.map(Path::new), "{text}");
        }
        assert!(is_there("/*.parquet") && is_there("/") && !is_there("/nowhere-at-all/*.parquet"));
    }
}
