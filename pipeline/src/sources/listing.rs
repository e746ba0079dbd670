//! From paths and patterns to a sorted list of files.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use millstream_schemas::shown;

use crate::PipelineError;

/// Patterns that braces may stand for; more are a slip.
const MOST_ALTERNATIVES: usize = 1000;

/// A file that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// The folder that was named and below which it lies; `None` for a file that was named or matched itself.
    pub(crate) below: Option<PathBuf>,
    /// Whether it was named itself, letter by letter.
    pub(crate) named: bool,
}

/// All files that `patterns` mean: files, every `*.parquet` below a folder, or patterns with `*`, `?`, `[abc]`, `{a,b}`
/// within names and `**` for folders in folders. A name that exists is taken as it is, whatever letters it has. Links are
/// followed; a folder that is reached on several ways counts once, and so does a file that several patterns match. Sorted by
/// path.
pub(crate) fn list(patterns: &[String], base: &Path) -> Result<Vec<Found>, PipelineError> {
    let mut files = Vec::new();
    for pattern in patterns {
        let before = files.len();
        find(pattern, base, &mut files)?;
        debug_assert!(files.len() > before, "a pattern without a file is an error");
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

fn find(pattern: &str, base: &Path, files: &mut Vec<Found>) -> Result<(), PipelineError> {
    let path = base.join(pattern);
    let nothing = |reason: String| PipelineError::NoFiles { pattern: shown(pattern), base: base.to_owned(), reason };
    // A link that leads nowhere is there all the same, so it is not taken for a pattern.
    if path.symlink_metadata().is_ok() {
        let metadata = examine(&path)?;
        if metadata.is_dir() {
            let mut paths = Vec::new();
            below(&path, &mut HashSet::new(), &mut paths)?;
            if paths.is_empty() {
                return Err(nothing("the folder holds no *.parquet file".into()));
            }
            files.extend(paths.into_iter().map(|found| Found { path: found, below: Some(path.clone()), named: false }));
            return Ok(());
        }
        files.push(Found { path: regular(path, &metadata)?, below: None, named: true });
        return Ok(());
    }
    let alternatives = alternatives(pattern).map_err(nothing)?;
    if alternatives == [pattern] && !is_pattern(pattern) {
        return Err(nothing("there is no such file or folder".into()));
    }
    for alternative in alternatives {
        let before = files.len();
        matching(&base.join(&alternative), files, &|reason| nothing(reason))?;
        if files.len() == before {
            let of = if alternative == pattern { String::new() } else { format!(" (as `{}`)", shown(&alternative)) };
            return Err(nothing(format!("the pattern matches no file{of}")));
        }
    }
    Ok(())
}

/// `seen` are the real places of the folders looked into so far: a link that points upwards must not go on for ever.
fn below(folder: &Path, seen: &mut HashSet<PathBuf>, files: &mut Vec<PathBuf>) -> Result<(), PipelineError> {
    if !seen.insert(real(folder)?) {
        return Ok(());
    }
    let before = files.len();
    let mut twice = false;
    for path in entries(folder)? {
        let metadata = match examine(&path) {
            // Something else that leads nowhere cannot be a shard.
            Err(_) if path.extension().is_some() && !is_parquet(&path) => continue,
            examined => examined?,
        };
        if metadata.is_dir() {
            // What a writer was still at, by the convention of Spark and Arrow.
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('_')) {
                continue;
            }
            twice |= seen.contains(&real(&path)?);
            below(&path, seen, files)?;
        } else if is_parquet(&path) {
            files.push(regular(path, &metadata)?);
        }
    }
    if files.len() == before && is_parquet(folder) && !twice {
        let reason = "a folder with the name of a Parquet file, and no *.parquet file in it".into();
        return Err(PipelineError::Entry { path: folder.to_owned(), reason });
    }
    Ok(())
}

/// What lies at a path, links followed.
fn examine(path: &Path) -> Result<Metadata, PipelineError> {
    fs::metadata(path).map_err(|source| {
        let target = fs::read_link(path).ok();
        match (target, source.kind()) {
            (Some(target), ErrorKind::NotFound) => PipelineError::Entry {
                path: path.to_owned(),
                reason: format!(
                    "a link to {}, which is not there; fetch the file or remove the link",
                    millstream_schemas::shown_path(target)
                ),
            },
            (Some(_), _) => PipelineError::Entry {
                path: path.to_owned(),
                reason: format!("a link that cannot be followed ({source}); mend or remove it"),
            },
            _ => PipelineError::Io { path: path.to_owned(), source },
        }
    })
}

/// Refuses pipes, sockets and devices, which reading would wait for.
fn regular(path: PathBuf, metadata: &Metadata) -> Result<PathBuf, PipelineError> {
    match metadata.is_file() {
        true => Ok(path),
        false => Err(PipelineError::Entry { path, reason: "neither a file nor a folder".into() }),
    }
}

/// Sorts, and leaves out files that were found on another, shorter way. (A link to a file is a file of its own: caches
/// keep one blob under several names.)
fn once(mut files: Vec<Found>) -> Result<Vec<Found>, PipelineError> {
    files.sort_by_cached_key(|file| (file.path.components().count(), file.path.clone(), file.below.is_some()));
    let mut seen = HashSet::new();
    let mut kept = Vec::with_capacity(files.len());
    for file in files {
        let folder = real(file.path.parent().unwrap_or(Path::new("/")))?;
        if seen.insert(folder.join(file.path.file_name().unwrap_or_default())) {
            kept.push(file);
        }
    }
    kept.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(kept)
}

fn real(folder: &Path) -> Result<PathBuf, PipelineError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    fs::canonicalize(folder).map_err(|source| PipelineError::Io { path: folder.to_owned(), source })
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The patterns that braces stand for, as a shell has it: `{a,b}-{c,d}` are four. Braces without a comma are letters.
fn alternatives(pattern: &str) -> Result<Vec<String>, String> {
    let (mut done, mut open) = (Vec::new(), vec![pattern.to_owned()]);
    while let Some(text) = open.pop() {
        match first_braces(&text) {
            None => done.push(text),
            Some((start, commas, end)) => {
                let mut edges = vec![start];
                edges.extend(commas);
                edges.push(end);
                let parts = edges.windows(2).map(|edge| &text[edge[0] + 1..edge[1]]);
                let made: Vec<_> = parts.map(|part| format!("{}{part}{}", &text[..start], &text[end + 1..])).collect();
                open.extend(made.into_iter().rev());
            }
        }
        if done.len() + open.len() > MOST_ALTERNATIVES {
            return Err(format!("its braces stand for more than {MOST_ALTERNATIVES} patterns"));
        }
    }
    Ok(done)
}

/// Where the first braces with a comma between them open, part and close.
fn first_braces(text: &str) -> Option<(usize, Vec<usize>, usize)> {
    text.match_indices('{').find_map(|(start, _)| {
        let (mut depth, mut commas) = (0_usize, Vec::new());
        for (at, letter) in text[start..].char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 1 => return (!commas.is_empty()).then_some((start, commas, start + at)),
                '}' => depth -= 1,
                ',' if depth == 1 => commas.push(start + at),
                _ => {}
            }
        }
        None
    })
}

fn matching(
    pattern: &Path,
    files: &mut Vec<Found>,
    nothing: &dyn Fn(String) -> PipelineError,
) -> Result<(), PipelineError> {
    let mut found = vec![PathBuf::new()];
    let mut components = pattern.components().peekable();
    while let Some(component) = components.next() {
        let last = components.peek().is_none();
        let part = component.as_os_str().to_string_lossy();
        if !matches!(component, Component::Normal(_)) || !is_pattern(&part) {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        }
        let mut next = Vec::new();
        if part == "**" {
            let mut seen = HashSet::new();
            for folder in &found {
                folders_below(folder, &mut seen, &mut next)?;
            }
        } else {
            let matcher = matcher(&part).map_err(nothing)?;
            for folder in found.iter().filter(|folder| folder.is_dir()) {
                let fits = |path: &PathBuf| path.file_name().is_some_and(|name| matcher.is_match(name));
                next.extend(entries(folder)?.into_iter().filter(fits));
            }
            if !last {
                next.retain(|path| path.is_dir());
            }
        }
        found = next;
    }
    let mut seen = HashSet::new();
    for path in found {
        if path.symlink_metadata().is_err() {
            // The rest of the pattern, after its last wildcard, is not in this folder.
            continue;
        }
        let metadata = examine(&path)?;
        if metadata.is_dir() {
            let mut paths = Vec::new();
            below(&path, &mut seen, &mut paths)?;
            files.extend(paths.into_iter().map(|found| Found { path: found, below: Some(path.clone()), named: false }));
        } else {
            files.push(Found { path: regular(path, &metadata)?, below: None, named: false });
        }
    }
    Ok(())
}

/// One component of a pattern.
fn matcher(part: &str) -> Result<GlobMatcher, String> {
    // Braces that are left were no alternatives.
    let part = part.replace('{', "[{]").replace('}', "[}]");
    let glob = GlobBuilder::new(&part).literal_separator(true).build();
    let wrong = |_| format!("`{}` is no pattern: an opening `[` wants its `]`, and ranges run upwards", shown(&part));
    glob.map(|glob| glob.compile_matcher()).map_err(wrong)
}

fn folders_below(folder: &Path, seen: &mut HashSet<PathBuf>, found: &mut Vec<PathBuf>) -> Result<(), PipelineError> {
    if !folder.is_dir() || !seen.insert(real(folder)?) {
        return Ok(());
    }
    found.push(folder.to_owned());
    for entry in entries(folder)? {
        folders_below(&entry, seen, found)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    fn found(pattern: &str, base: &Path) -> Result<Vec<String>, PipelineError> {
        let listing = list(&[pattern.to_owned()], base)?;
        Ok(names(&listing.into_iter().map(|file| file.path).collect::<Vec<_>>()))
    }

    #[test]
    fn braces_stand_for_alternatives() {
        for (pattern, wanted) in [
            ("a", vec!["a"]),
            ("{a,b}.x", vec!["a.x", "b.x"]),
            ("{a,b{c,d}}-{e,f}", vec!["a-e", "a-f", "bc-e", "bc-f", "bd-e", "bd-f"]),
            ("{a}", vec!["{a}"]),
            ("{a,b", vec!["{a,b"]),
            ("x{,y}", vec!["x", "xy"]),
        ] {
            assert_eq!(alternatives(pattern).unwrap(), wanted, "{pattern}");
        }
        assert!(alternatives(&"{a,b}".repeat(12)).is_err());
    }

    #[test]
    fn files_folders_and_patterns_are_found_in_order() {
        let folder = tree(&[
            "b/x-1.parquet",
            "a/x-0.parquet",
            "a/notes.txt",
            ".hidden/x.parquet",
            "c/d/e/x-2.parquet",
            "[z]/q.parquet",
        ]);
        for (pattern, wanted) in [
            ("a", vec!["x-0.parquet"]),
            ("a/x-0.parquet", vec!["x-0.parquet"]),
            ("[ab]/x-?.parquet", vec!["a/x-0.parquet", "b/x-1.parquet"]),
            ("?/x-*.parquet", vec!["a/x-0.parquet", "b/x-1.parquet"]),
            ("{a,b}/x-*.parquet", vec!["a/x-0.parquet", "b/x-1.parquet"]),
            ("{a/x-0,b/x-1}.parquet", vec!["a/x-0.parquet", "b/x-1.parquet"]),
            ("*/x-[!1].parquet", vec!["x-0.parquet"]),
            ("**/x-[12].parquet", vec!["b/x-1.parquet", "c/d/e/x-2.parquet"]),
            ("c/**/*.parquet", vec!["x-2.parquet"]),
            ("[ab]", vec!["a/x-0.parquet", "b/x-1.parquet"]),
            // It exists, so it is no pattern.
            ("[z]", vec!["q.parquet"]),
        ] {
            assert_eq!(found(pattern, folder.path()).unwrap(), wanted, "{pattern}");
        }
        for missing in
            ["q", "q/*.parquet", "a/*.arrow", "a/x-9.parquet", "{a,q}/x-?.parquet", "[a/x.parquet", "a/[9-0].parquet"]
        {
            let message = found(missing, folder.path()).unwrap_err().to_string();
            assert!(message.contains(missing), "{message}");
        }
        let both = list(&["a".into(), "{a,b}/*.parquet".into()], folder.path()).unwrap();
        assert_eq!(both.len(), 2, "each file once");
    }

    #[cfg(unix)]
    #[test]
    fn links_that_point_upwards_neither_hang_nor_repeat_rows() {
        use std::os::unix::fs::symlink;
        let folder = tree(&["blobs/5f3a", "data/deep/x-1.parquet", "data/deep/er/notes.txt"]);
        let root = folder.path();
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
            ("data/**/x-1.parquet", vec!["x-1.parquet"]),
        ] {
            assert_eq!(found(pattern, root).unwrap(), wanted, "{pattern}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_shard_that_cannot_be_read_is_named_and_not_passed_over() {
        use std::os::unix::fs::symlink;
        type Broken = fn(&Path);
        let rows: [(&str, Broken, &str); 6] = [
            (
                "x-1.parquet",
                |path| symlink("gone.parquet", path).unwrap(),
                "a link to gone.parquet, which is not there",
            ),
            (
                "x-1.parquet",
                |path| symlink("x-1.parquet", path).unwrap(),
                "a link that cannot be followed (Too many levels",
            ),
            ("more", |path| symlink("/nowhere/at/all", path).unwrap(), "a link to /nowhere/at/all"),
            ("x-1.parquet", |path| fs::create_dir(path).unwrap(), "a folder with the name of a Parquet file"),
            (
                "x-1.parquet",
                |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
                "neither a file nor a folder",
            ),
            ("x\u{1b}.parquet", |path| symlink("y\n", path).unwrap(), "x\\u{1b}.parquet: a link to y\\n, which"),
        ];
        for (name, breaks, wanted) in rows {
            let folder = tree(&["x-0.parquet", "readme.md"]);
            breaks(&folder.path().join(name));
            for pattern in [".", "*[!d]", name] {
                let message = found(pattern, folder.path()).unwrap_err().to_string();
                assert!(message.contains(wanted) || pattern == "more" || pattern == name, "{pattern}: {message}");
            }
        }
        // What is no shard may lead nowhere.
        let folder = tree(&["x-0.parquet"]);
        symlink("gone", folder.path().join("notes.txt")).unwrap();
        assert_eq!(found(".", folder.path()).unwrap(), ["x-0.parquet"]);
        // As some writers have it: a folder of parts.
        let folder =
            tree(&["all.parquet/part-0.parquet", "all.parquet/_SUCCESS", "all.parquet/_temporary/0/part-0.parquet"]);
        assert_eq!(found(".", folder.path()).unwrap(), ["part-0.parquet"]);
    }
}
