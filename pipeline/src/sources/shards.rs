//! Files that count themselves: `train-00000-of-00002.parquet`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use millstream_schemas::{shown, shown_path};

use super::listing::Found;
use crate::PipelineError;

/// Missing names that a message lists.
const MOST_LISTED: usize = 5;

/// Hexadecimal digits that are taken for a hash.
const SHORTEST_HASH: usize = 6;

/// What the name of a shard says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shard<'a> {
    /// What stands before the numbers.
    pub(super) set: &'a str,
    /// What stands behind them, its extension included, but for a hash of its own that some writers give each shard.
    kind: &'a str,
    index: u32,
    of: u32,
    /// Digits of the numbers.
    width: usize,
    /// What stands between the parts: `-` or `_`.
    joint: char,
}

impl<'a> Shard<'a> {
    /// `…-K-of-N` or `…_K_of_N` at the end of a name, before its extension or a hash that some writers put behind it.
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let at = ["-of-", "_of_"].iter().filter_map(|of| lower.rfind(of)).max()?;
        let (before, joint, after) =
            (&name[..at], if name[at..].starts_with('-') { '-' } else { '_' }, &name[at + 4..]);
        let (set, index) = before.rsplit_once(['-', '_']).unwrap_or(("", before));
        let of = &after[..after.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(after.len())];
        let rest = &after[of.len()..];
        let number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?;
        let ends = rest.is_empty() || rest.starts_with(['.', '-', '_']);
        ends.then_some(())?;
        let hash =
            rest.strip_prefix('-').map_or(0, |rest| rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len()));
        let kind = if hash >= SHORTEST_HASH { &rest[hash + 1..] } else { rest };
        Some(Self { set, kind, index: number(index)?, of: number(of)?, width: index.len(), joint })
    }
}

/// One set of shards, in one folder.
#[derive(Default)]
struct Set {
    /// Number of shards that names speak of, and a file that says so.
    totals: BTreeMap<u32, PathBuf>,
    width: usize,
    joint: Option<char>,
    here: BTreeMap<u32, PathBuf>,
}

/// Refuses sets of which a shard is missing, though the names of the others count it. A shard that lies in the folder
/// and was not asked for is not missing, and whoever names files letter by letter chose them.
pub(crate) fn require_whole(files: &[Found]) -> Result<(), PipelineError> {
    let mut sets: BTreeMap<(PathBuf, String, String), Set> = BTreeMap::new();
    for file in files.iter().filter(|file| !file.named) {
        let (Some(folder), Some(name)) = (file.path.parent(), file.path.file_name()) else { continue };
        let name = name.to_string_lossy();
        let Some(shard) = Shard::parse(&name) else { continue };
        let set = sets.entry((folder.to_owned(), shard.set.to_owned(), shard.kind.to_owned())).or_default();
        (set.width, set.joint) = (shard.width, Some(shard.joint));
        set.totals.entry(shard.of).or_insert_with(|| file.path.clone());
        if let Some(other) = set.here.insert(shard.index, file.path.clone())
            && set.totals.len() == 1
        {
            let refused =
                format!("the same shard as {}: two versions of one set? name the files of one", name_of(&other));
            return Err(PipelineError::Entry { path: file.path.clone(), reason: refused });
        }
    }
    sets.iter().try_for_each(|((folder, name, kind), set)| require(folder, name, kind, set))
}

fn require(folder: &Path, name: &str, kind: &str, set: &Set) -> Result<(), PipelineError> {
    let refuse = |path: &Path, reason: String| Err(PipelineError::Entry { path: path.to_owned(), reason });
    let mut totals = set.totals.iter();
    let (&of, first) = totals.next().expect("a set is made of a file");
    if let Some((other, path)) = totals.next() {
        let reason = format!(
            "one of {other} shards, and {} one of {of}: two versions of one set? name the files of one",
            name_of(first)
        );
        return refuse(path, reason);
    }
    // Some count from 1.
    let start = u32::from(!set.here.contains_key(&0) && set.here.contains_key(&of));
    let last = of.saturating_add(start);
    if let Some((index, path)) = set.here.iter().find(|(index, _)| **index >= last) {
        return refuse(path, format!("shard {index} of {of}: its name counts beyond the set"));
    }
    let mut there = shards_in(folder, name, kind, of);
    there.extend(set.here.keys());
    let is_missing = |index: &u32| !there.contains(index);
    let count = (of as usize).saturating_sub(there.len());
    let missing: Vec<u32> = (start..last).filter(is_missing).take(MOST_LISTED).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let width = set.width;
    let joint = set.joint.unwrap_or('-').to_string();
    let before = if name.is_empty() { "" } else { &joint };
    let numbers = |index: &u32| format!("{index:0width$}{joint}of{joint}{of:0width$}");
    let listed = missing.iter().map(|index| format!("{}{before}{}", shown(name), numbers(index)));
    let listed: Vec<String> = listed.collect();
    let more = if count > missing.len() { format!(" and {} more", count - missing.len()) } else { String::new() };
    Err(PipelineError::MissingShards {
        folder: folder.to_owned(),
        missing: format!("{}{more}", listed.join(", ")),
        here: set.here.len(),
        of,
    })
}

/// Shards of the set that lie in the folder, asked for or not.
fn shards_in(folder: &Path, set: &str, kind: &str, of: u32) -> BTreeSet<u32> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let index = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let shard = Shard::parse(&name)?;
        (shard.set == set && shard.kind == kind && shard.of == of && entry.path().is_file()).then_some(shard.index)
    };
    entries.filter_map(index).collect()
}

fn name_of(path: &Path) -> String {
    shown_path(path.file_name().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_count_themselves() {
        let shard = |set, index, of, width| Some(Shard { set, kind: ".parquet", index, of, width, joint: '-' });
        for (name, wanted) in [
            ("train-00000-of-00002.parquet", shard("train", 0, 2, 5)),
            ("train-00001-of-00002-5f3ab2.parquet", shard("train", 1, 2, 5)),
            ("my-set-3-of-12.parquet", shard("my-set", 3, 12, 1)),
            ("00000-of-00002.parquet", shard("", 0, 2, 5)),
            ("train-00000-OF-00002.parquet", shard("train", 0, 2, 5)),
            ("train_00000_of_00002.parquet", shard("train", 0, 2, 5).map(|shard| Shard { joint: '_', ..shard })),
            ("best-of-2.parquet", None),
            ("1-of-2nd.parquet", None),
            ("train-a-of-b.parquet", None),
            ("train-99999999999-of-2.parquet", None),
            ("train.parquet", None),
        ] {
            assert_eq!(Shard::parse(name), wanted, "{name}");
        }
    }

    #[test]
    fn a_set_whose_names_count_themselves_is_whole_or_refused() {
        type Row<'a> = (&'a [&'a str], &'a [&'a str], Option<&'a str>);
        let rows: [Row<'_>; 12] = [
            (&["a-0-of-2", "a-1-of-2", "b"], &[], None),
            (&["a-0-of-2"], &[], Some("a-1-of-2 is missing: the names count 2 files and 1 is here")),
            (
                &["a-00000-of-00009", "a-00004-of-00009"],
                &[],
                Some(
                    "a-00001-of-00009, a-00002-of-00009, a-00003-of-00009, a-00005-of-00009, a-00006-of-00009 and 2 more are missing",
                ),
            ),
            // Left out on purpose: it is there.
            (&["a_0_of_2"], &[], Some("a_1_of_2 is missing: the names count 2 files and 1 is here")),
            (&["a-0-of-2"], &["a-1-of-2"], None),
            (&["a-1-of-2", "a-2-of-2"], &[], None),
            (
                &["a-0-of-2", "a-1-of-2", "a-0-of-3", "a-1-of-3", "a-2-of-3"],
                &[],
                Some("one of 3 shards, and a-0-of-2.parquet one of 2"),
            ),
            (&["a-0-of-1-5f3ab2", "a-0-of-1-5f3ab3"], &[], Some("the same shard as a-0-of-1-5f3ab2.parquet")),
            (&["a-0-of-1-x", "a-0-of-1-y"], &[], None),
            // What a download has left is no shard.
            (&["a-0-of-2"], &["a-1-of-2.parquet.part"], Some("a-1-of-2 is missing")),
            (&["a-7-of-2"], &[], Some("counts beyond the set")),
            (&["a-0-of-4294967295"], &[], Some("and 4294967289 more")),
        ];
        for (asked, others, wanted) in rows {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &&str| match name.ends_with(".part") {
                true => folder.path().join(name),
                false => folder.path().join(format!("{name}.parquet")),
            };
            asked.iter().chain(others).for_each(|name| std::fs::write(path(name), "").unwrap());
            let files: Vec<_> =
                asked.iter().map(|name| Found { path: path(name), below: None, named: false }).collect();
            let got = require_whole(&files).map_err(|error| error.to_string());
            match (got, wanted) {
                (Ok(()), None) => {}
                (Err(message), Some(part)) => assert!(message.contains(part), "{message}"),
                (got, wanted) => panic!("{asked:?}: {got:?}, wanted {wanted:?}"),
            }
        }
    }
}
