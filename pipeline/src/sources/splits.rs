//! Splits told by the names of files and folders, as the Hugging Face Hub tells them.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use millstream_schemas::{count, shown_path};

use super::listing::Found;
use super::shards::Shard;
use crate::PipelineError;

/// What rows are read for; decides which files of a folder with several splits are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SplitRole {
    /// To be trained on: the split `train`.
    Train,
    /// To be measured on: the split `validation`, or else `test`.
    Evaluate,
}

/// A part of a dataset with a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// To be trained on.
    Train,
    /// To be measured on while a model is made.
    Validation,
    /// To be measured on in the end.
    Test,
}

/// Words that name a split, as the Hub has them.
const WORDS: &[(&str, Split)] = &[
    ("train", Split::Train),
    ("training", Split::Train),
    ("validation", Split::Validation),
    ("valid", Split::Validation),
    ("val", Split::Validation),
    ("dev", Split::Validation),
    ("test", Split::Test),
    ("testing", Split::Test),
    ("eval", Split::Test),
    ("evaluation", Split::Test),
];

impl Split {
    /// As the Hub writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The split that a word names: `val`, `Testing` and their like are known.
    pub fn named(word: &str) -> Option<Self> {
        WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, split)| *split)
    }

    /// Of a file below a folder: by its own name where that counts shards, or else by the nearest folder, or else by its
    /// own name.
    fn of(file: &Path, folder: &Path) -> Option<Self> {
        let below = file.strip_prefix(folder).unwrap_or(file);
        let names: Vec<_> =
            below.components().rev().map(|part: Component<'_>| part.as_os_str().to_string_lossy()).collect();
        let (own, folders) = names.split_first()?;
        let counted = Shard::parse(own).and_then(|shard| Self::in_name(shard.set));
        counted.or_else(|| folders.iter().find_map(|name| Self::of_folder(name))).or_else(|| Self::in_name(stem(own)))
    }

    /// The last word that names one; words end where letters do. A folder that names several is of none.
    fn in_name(name: &str) -> Option<Self> {
        Self::all_in_name(name).next_back()
    }

    fn of_folder(name: &str) -> Option<Self> {
        let mut splits = Self::all_in_name(name);
        splits.next().filter(|first| splits.all(|split| split == *first))
    }

    fn all_in_name(name: &str) -> impl DoubleEndedIterator<Item = Self> {
        let words = name.split(|letter: char| !letter.is_alphabetic());
        words.filter_map(Self::named)
    }
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Of each folder that holds several splits, the files of the one that fits the role; says what was taken and left.
///
/// Files that were named or matched themselves are all taken: whoever wrote the pattern chose them.
pub(crate) fn choose(files: Vec<Found>, role: SplitRole, notes: &mut Vec<String>) -> Result<Vec<Found>, PipelineError> {
    let mut folders: BTreeMap<_, BTreeMap<Option<Split>, usize>> = BTreeMap::new();
    let split = |file: &Found| Split::of(&file.path, file.below.as_deref().unwrap_or(Path::new("")));
    for file in &files {
        if let Some(folder) = &file.below {
            *folders.entry(folder.clone()).or_default().entry(split(file)).or_default() += 1;
        }
    }
    let mut chosen = BTreeMap::new();
    // One word alone may be part of a name that means something else.
    for (folder, splits) in folders.into_iter().filter(|(_, splits)| splits.keys().flatten().count() > 1) {
        let wanted: &[Split] = match role {
            SplitRole::Train => &[Split::Train],
            SplitRole::Evaluate => &[Split::Validation, Split::Test],
        };
        let Some(taken) = wanted.iter().find(|split| splits.contains_key(&Some(**split))) else {
            return Err(PipelineError::NoSplit { folder, wanted: names(wanted), there: listed(&splits) });
        };
        let total: usize = splits.values().sum();
        let others = splits.iter().filter(|(split, _)| **split != Some(*taken)).map(|(split, files)| (*split, *files));
        notes.push(format!(
            "of {} the split `{}` is taken, {} of {}; left: {}",
            shown_path(&folder),
            taken.name(),
            splits[&Some(*taken)],
            count(total as u64, "file"),
            listed(&others.collect())
        ));
        chosen.insert(folder, *taken);
    }
    let keep = |file: &Found| match file.below.as_ref().and_then(|folder| chosen.get(folder)) {
        Some(taken) => split(file) == Some(*taken),
        None => true,
    };
    let kept: Vec<Found> = files.into_iter().filter(keep).collect();
    let mixed: BTreeMap<_, _> =
        kept.iter().filter(|file| file.below.is_none()).fold(BTreeMap::new(), |mut splits, file| {
            *splits
                .entry(file.path.file_name().and_then(|_| Split::of(&file.path, file.path.parent()?)))
                .or_default() += 1;
            splits
        });
    if mixed.keys().flatten().count() > 1 {
        notes.push(format!("files of several splits are read together: {}", listed(&mixed)));
    }
    Ok(kept)
}

fn names(splits: &[Split]) -> String {
    splits.iter().map(|split| format!("`{}`", split.name())).collect::<Vec<_>>().join(" or ")
}

/// `test` (1 file), `train` (2 files), no split (1 file).
fn listed(splits: &BTreeMap<Option<Split>, usize>) -> String {
    let one = |(split, files): (&Option<Split>, &usize)| {
        let name = split.map_or_else(|| "no split".to_owned(), |split| format!("`{}`", split.name()));
        format!("{name} ({})", count(*files as u64, "file"))
    };
    splits.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_by_name() {
        for (file, wanted) in [
            ("data/train-00000-of-00002.parquet", Some(Split::Train)),
            ("flowers-mini-test-00000-of-00001.parquet", Some(Split::Test)),
            ("default/validation/0000.parquet", Some(Split::Validation)),
            ("train/0000.parquet", Some(Split::Train)),
            ("train/test_images.parquet", Some(Split::Train)),
            ("my_dev_set.parquet", Some(Split::Validation)),
            ("Training.parquet", Some(Split::Train)),
            ("eval2.parquet", Some(Split::Test)),
            ("train_test_split/train.parquet", Some(Split::Train)),
            ("train_test_split/test.parquet", Some(Split::Test)),
            ("trains.parquet", None),
            ("contest.parquet", None),
            ("part-0.parquet", None),
        ] {
            assert_eq!(Split::of(&Path::new("/x/train").join(file), Path::new("/x/train")), wanted, "{file}");
        }
    }

    #[test]
    fn of_a_folder_the_split_that_fits_is_taken_and_said() {
        type Row<'a> = (&'a [&'a str], SplitRole, Result<&'a [usize], &'a str>, usize);
        let hub = ["train-0-of-2", "train-1-of-2", "validation-0-of-1", "test-0-of-1"];
        let rows: [Row<'_>; 7] = [
            (&hub, SplitRole::Train, Ok(&[0, 1]), 1),
            (&hub, SplitRole::Evaluate, Ok(&[2]), 1),
            (&["train/0", "test/0"], SplitRole::Evaluate, Ok(&[1]), 1),
            (&["a", "b"], SplitRole::Evaluate, Ok(&[0, 1]), 0),
            (&["test-0-of-1", "test-b"], SplitRole::Train, Ok(&[0, 1]), 0),
            (
                &["test-a", "val-b"],
                SplitRole::Train,
                Err("no split `train` for it: it has `validation` (1 file), `test` (1 file)"),
                0,
            ),
            (&["crash_test_1", "highway_1"], SplitRole::Train, Ok(&[0, 1]), 0),
        ];
        for (names, role, wanted, notes_wanted) in rows {
            let found = |name: &&str| Found {
                path: Path::new("/d").join(format!("{name}.parquet")),
                below: Some("/d".into()),
                named: false,
            };
            let files: Vec<_> = names.iter().map(found).collect();
            let mut notes = Vec::new();
            match (choose(files.clone(), role, &mut notes), wanted) {
                (Ok(got), Ok(wanted)) => {
                    let wanted: Vec<_> = wanted.iter().map(|&index| files[index].clone()).collect();
                    assert_eq!(got, wanted);
                    assert_eq!(notes.len(), notes_wanted, "{notes:?}");
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (got, wanted) => panic!("{names:?}: {got:?}, wanted {wanted:?}"),
            }
        }
    }

    #[test]
    fn a_pattern_that_takes_several_splits_is_told() {
        let files = ["/d/train-a.parquet", "/d/test-a.parquet"].map(|path| Found {
            path: path.into(),
            below: None,
            named: false,
        });
        let mut notes = Vec::new();
        assert_eq!(choose(files.to_vec(), SplitRole::Train, &mut notes).unwrap().len(), 2);
        assert_eq!(notes, ["files of several splits are read together: `train` (1 file), `test` (1 file)"]);
    }
}
