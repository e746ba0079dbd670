//! From a path or pattern to a sorted list of files.

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::PipelineError;

/// All files that the patterns mean together, sorted, each once.
pub(crate) fn list_all(patterns: &[String], base: &Path) -> Result<Vec<PathBuf>, PipelineError> {
    let mut files = Vec::new();
    for pattern in patterns {
        files.extend(list(pattern, base)?);
    }
    if files.is_empty() {
        let reason = "no path or pattern is given".to_owned();
        return Err(PipelineError::NoFiles { pattern: String::new(), base: base.to_owned(), reason });
    }
    once(files)
}

/// All files that `pattern` means, sorted: a file, every `*.parquet` below a folder, or a pattern whose components may
/// hold `*` and `?`. Links are followed; a folder that is reached on several ways counts once.
fn list(pattern: &str, base: &Path) -> Result<Vec<PathBuf>, PipelineError> {
    let path = base.join(pattern);
    let nothing = |reason: &str| PipelineError::NoFiles {
        pattern: millstream_schemas::shown(pattern),
        base: base.to_owned(),
        reason: reason.into(),
    };
    let mut files = Vec::new();
    if path.is_file() {
        files.push(path);
    } else if path.is_dir() {
        below(&path, &mut HashSet::new(), &mut files)?;
        if files.is_empty() {
            return Err(nothing("the folder holds no *.parquet file"));
        }
    } else if pattern.contains(['*', '?']) {
        matching(&path, &mut files)?;
        if files.is_empty() {
            return Err(nothing("the pattern matches no file"));
        }
    } else {
        return Err(nothing("there is no such file or folder"));
    }
    once(files)
}

/// Each file's name inside the dataset: its path below the folder that all files share, with `/` between components.
pub(crate) fn names(files: &[PathBuf]) -> Vec<String> {
    let folder = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
    let mut shared = files.first().map(|path| folder(path)).unwrap_or_default();
    for file in files {
        while !file.starts_with(&shared) {
            if !shared.pop() {
                break;
            }
        }
    }
    let name = |file: &PathBuf| {
        let below = file.strip_prefix(&shared).unwrap_or(file);
        let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
        parts.join("/")
    };
    files.iter().map(name).collect()
}

/// `seen` are the real places of the folders looked into so far: a link that points upwards must not go on for ever.
fn below(folder: &Path, seen: &mut HashSet<PathBuf>, files: &mut Vec<PathBuf>) -> Result<(), PipelineError> {
    if !seen.insert(real(folder)?) {
        return Ok(());
    }
    for entry in entries(folder)? {
        if entry.is_dir() {
            below(&entry, seen, files)?;
        } else if is_parquet(&entry) && entry.is_file() {
            files.push(entry);
        }
    }
    Ok(())
}

/// Sorts, and leaves out files that were found on another, shorter way. (A link to a file is a file of its own: caches
/// keep one blob under several names.)
fn once(mut files: Vec<PathBuf>) -> Result<Vec<PathBuf>, PipelineError> {
    files.sort_by_cached_key(|file| (file.components().count(), file.clone()));
    let mut seen = HashSet::new();
    let mut kept = Vec::with_capacity(files.len());
    for file in files {
        let folder = real(file.parent().unwrap_or(Path::new("/")))?;
        if seen.insert(folder.join(file.file_name().unwrap_or_default())) {
            kept.push(file);
        }
    }
    kept.sort();
    Ok(kept)
}

fn real(folder: &Path) -> Result<PathBuf, PipelineError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    fs::canonicalize(folder).map_err(|source| PipelineError::Io { path: folder.to_owned(), source })
}

fn matching(pattern: &Path, files: &mut Vec<PathBuf>) -> Result<(), PipelineError> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let Component::Normal(part) = component else {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        };
        let part = part.to_string_lossy();
        if !part.contains(['*', '?']) {
            found.iter_mut().for_each(|path| path.push(part.as_ref()));
            continue;
        }
        let mut next = Vec::new();
        for folder in found.iter().filter(|folder| folder.is_dir()) {
            let fits = |path: &PathBuf| path.file_name().is_some_and(|name| fits(&part, &name.to_string_lossy()));
            next.extend(entries(folder)?.into_iter().filter(fits));
        }
        found = next;
    }
    let mut seen = HashSet::new();
    for path in found {
        if path.is_dir() {
            below(&path, &mut seen, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// What lies in a folder, hidden names left out; links last, so that a folder is known by its own name where it has one.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, PipelineError> {
    let failed = |source| PipelineError::Io { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort_by_cached_key(|path| (path.is_symlink(), path.clone()));
    Ok(paths)
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
}

/// Whether a name fits a pattern of `*` (any run) and `?` (one character); time is at most their lengths' product.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    p = star + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, wanted) in [
            ("*.parquet", "a.parquet", true),
            ("a-*-of-?.parquet", "a-1-of-2.parquet", true),
            ("a-*-of-?.parquet", "a-1-of-22.parquet", false),
            ("*", "", true),
            ("?", "", false),
            ("**a*", "bba", true),
            ("a*b*c", "a--b--b", false),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn files_folders_and_patterns_are_found_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b/x-1.parquet", "a/x-0.parquet", "a/notes.txt", ".hidden/x.parquet"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = |pattern: &str| list(pattern, folder.path()).map(|files| names(&files));
        assert_eq!(found(".").unwrap(), ["a/x-0.parquet", "b/x-1.parquet"]);
        assert_eq!(found("*/x-*.parquet").unwrap(), ["a/x-0.parquet", "b/x-1.parquet"]);
        assert_eq!(found("a").unwrap(), ["x-0.parquet"]);
        assert_eq!(found("a/x-0.parquet").unwrap(), ["x-0.parquet"]);
        assert_eq!(found("?").unwrap(), ["a/x-0.parquet", "b/x-1.parquet"]);
        for missing in ["c", "c/*.parquet", "a/*.arrow", "a/x-9.parquet"] {
            let message = found(missing).unwrap_err().to_string();
            assert!(message.contains(missing), "{message}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_that_point_upwards_neither_hang_nor_repeat_rows() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("data/deep/er")).unwrap();
        fs::create_dir_all(root.join("blobs")).unwrap();
        fs::write(root.join("blobs/5f3a"), "").unwrap();
        fs::write(root.join("data/deep/x-1.parquet"), "").unwrap();
        // A cache: names are links to blobs, one of them under two names.
        symlink("../blobs/5f3a", root.join("data/x-0.parquet")).unwrap();
        symlink("../blobs/5f3a", root.join("data/x-2.parquet")).unwrap();
        symlink("..", root.join("data/deep/er/up")).unwrap();
        symlink(root.join("data"), root.join("data/deep/loop")).unwrap();
        symlink("deep", root.join("data/again")).unwrap();
        for (pattern, wanted) in [
            ("data", vec!["deep/x-1.parquet", "x-0.parquet", "x-2.parquet"]),
            ("data/deep", vec!["loop/x-0.parquet", "loop/x-2.parquet", "x-1.parquet"]),
            ("data/*", vec!["deep/x-1.parquet", "x-0.parquet", "x-2.parquet"]),
            ("data/*/x-1.parquet", vec!["x-1.parquet"]),
        ] {
            assert_eq!(names(&list(pattern, root).unwrap()), wanted, "{pattern}");
        }
    }
}
