//! Folds of the training rows for cross-validation: which row lies in which, and the files that they are written into.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_pipeline::{DataFile, Dataset, SplitRole};
use millstream_schemas::files::sha256_of_file;
use millstream_schemas::recipe::FoldsRecipe;
use millstream_schemas::{FileLock, Recipe, count, files, shown};
use millstream_search::Random;
use serde::{Deserialize, Serialize};

use super::open_recipe::OpenRecipe;
use super::study_folder::{StudyFolder, write};
use crate::RecipeError;
use crate::imported::NamedRows;
use crate::slices::reading;

/// Says that the files are whole, and of which rows.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    folds: FoldsRecipe,
    rows: u64,
    fingerprint: String,
    /// Where those rows came from; none in a note of an older build.
    #[serde(default)]
    sources: Vec<FoldSource>,
}

/// A file whose rows were divided into folds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldSource {
    /// Where it lay.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub path: PathBuf,
    /// Bytes.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// SHA-256 in hexadecimal; none of a file of another store than this machine's.
    pub sha256: Option<String>,
}

impl Written {
    fn are_of_same(&self, other: &Self) -> bool {
        (&self.folds, self.rows, &self.fingerprint) == (&other.folds, other.rows, &other.fingerprint)
    }
}

fn sources_of(dataset: &Dataset) -> Result<Vec<FoldSource>, RecipeError> {
    let of = |file: &DataFile| {
        let read = RecipeError::io("read", &file.path);
        let sha256 = file.path.is_file().then(|| sha256_of_file(&file.path).map_err(read)).transpose()?;
        Ok(FoldSource { path: file.path.clone(), bytes: file.bytes, rows: file.rows, sha256 })
    };
    dataset.files().iter().map(of).collect()
}

/// The files whose rows lie in the folds of a study; none without folds, or where an older build wrote them.
pub(crate) fn sources(folder: &StudyFolder) -> Vec<FoldSource> {
    let note = std::fs::read(folder.folds().join(NOTE)).ok();
    let written = note.and_then(|bytes| serde_json::from_slice::<Written>(&bytes).ok());
    written.map(|written| written.sources).unwrap_or_default()
}

/// What says that the files are whole.
const NOTE: &str = "folds.json";

/// The files of the folds, written where they are not there yet; none without folds. All processes of a study have the same. `first` is the
/// recipe with the first values, whose rows are imported. Rows that have changed are divided anew where `is_free`: nothing came of those
/// that were there.
///
/// # Errors
/// The training rows or the columns cannot be read, there are fewer rows or groups than folds, or the files cannot be written.
pub(crate) fn of_study(
    folder: &StudyFolder,
    open: &OpenRecipe,
    first: &Recipe,
    is_free: impl FnOnce() -> Result<bool, RecipeError>,
) -> Result<Vec<PathBuf>, RecipeError> {
    let Some(folds) = &open.search().folds else { return Ok(Vec::new()) };
    let varies = |parameter: &millstream_search::spaces::Parameter| parameter.name.starts_with("data.train");
    if open.space().parameters().iter().any(varies) {
        let message = "all trials have the same folds, and `data.train` is left open; write one value there";
        return Err(RecipeError::mismatch("search.folds", message));
    }
    let Recipe { data, output, .. } = first;
    let rows = NamedRows::of(data, &data.train, &output.folder);
    let (dataset, _) = rows.open(SplitRole::Train).map_err(RecipeError::at("data.train"))?;
    written(&folder.folds(), &dataset, folds, is_free, || fold_of_rows(&dataset, folds))
}

/// The files of the folds of a dataset in a folder, written where they are not there yet; `fold_of` says the fold of each row where that is
/// wanted, and `is_free` whether files of other rows or folds are replaced.
///
/// # Errors
/// As those of a study, or the files are of other rows or folds and are not free.
pub(crate) fn written<N: AsRef<[u16]>>(
    lies_in: &Path,
    dataset: &Dataset,
    folds: &FoldsRecipe,
    is_free: impl FnOnce() -> Result<bool, RecipeError>,
    fold_of: impl FnOnce() -> Result<N, RecipeError>,
) -> Result<Vec<PathBuf>, RecipeError> {
    files::create_folder(lies_in).map_err(RecipeError::io("make", lies_in))?;
    let lock = lies_in.join(".lock");
    let _lock = FileLock::wait(&lock).map_err(RecipeError::io("write", &lock))?;
    let paths: Vec<PathBuf> = (1..=folds.count).map(|fold| lies_in.join(format!("fold-{fold}.parquet"))).collect();
    let note = lies_in.join(NOTE);
    let fingerprint = dataset.fingerprint().to_string();
    let mut written = Written { folds: folds.clone(), rows: dataset.rows(), fingerprint, sources: Vec::new() };
    let known = std::fs::read(&note).ok().and_then(|bytes| serde_json::from_slice::<Written>(&bytes).ok());
    let is_divided = match known {
        Some(known) if known.are_of_same(&written) && !known.sources.is_empty() => return Ok(paths),
        // an older build has not said where they came from
        Some(known) if known.are_of_same(&written) => true,
        Some(_) => {
            if !is_free()? {
                let message = "the training rows are not those that the folds were made of, or these are other folds";
                return Err(RecipeError::mismatch("data.train", message));
            }
            // until they are whole nothing says of which rows they are
            std::fs::remove_file(&note).map_err(RecipeError::io("delete", &note))?;
            false
        }
        None => false,
    };
    if !is_divided {
        dataset.divide(fold_of()?.as_ref(), &paths)?;
    }
    written.sources = sources_of(dataset)?;
    write(&note, &serde_json::to_vec_pretty(&written).expect("our own types have string keys"))?;
    Ok(paths)
}

/// The fold of each row, from 0.
///
/// # Errors
/// A column cannot be read, or there are fewer rows or groups than folds.
pub(crate) fn fold_of_rows(dataset: &Dataset, folds: &FoldsRecipe) -> Result<Vec<u16>, RecipeError> {
    let rows = dataset.rows() as usize;
    let classes = folds.stratify.as_ref().map(|name| texts(dataset, name, "search.folds.stratify")).transpose()?;
    let groups = folds.group.as_ref().map(|name| texts(dataset, name, "search.folds.group")).transpose()?;
    let classes = numbered(classes.unwrap_or_else(|| vec![None; rows]));
    let refused = |found: usize, what: &str| {
        let message = format!("{} cannot be in {}", count(found as u64, what), count(folds.count as u64, "fold"));
        Err(RecipeError::mismatch("search.folds.count", message))
    };
    match groups {
        None if rows < folds.count => refused(rows, "row"),
        None => Ok(of_rows(&classes, folds.count, folds.seed)),
        Some(groups) => {
            let groups = numbered(groups);
            match groups.iter().max().map_or(0, |last| last + 1) {
                found if found < folds.count => refused(found, "group"),
                _ => Ok(of_groups(&classes, &groups, folds.count, folds.seed)),
            }
        }
    }
}

/// The values of a column in words.
fn texts(dataset: &Dataset, name: &str, place: &str) -> Result<Vec<Option<String>>, RecipeError> {
    let reading =
        reading(dataset, name, "the training rows").map_err(|message| RecipeError::mismatch(place, message))?;
    let mut found = Vec::new();
    dataset.each_row(&[name.to_owned()], |row| found.push(reading.text(row.get(0))))?;
    match found.len() as u64 == dataset.rows() {
        true => Ok(found),
        false => {
            Err(RecipeError::mismatch(place, format!("column `{}` does not have a value for each row", shown(name))))
        }
    }
}

/// Values as numbers from 0, in the order of the values; what is missing is a value too.
fn numbered(values: Vec<Option<String>>) -> Vec<usize> {
    let mut numbers: BTreeMap<Option<String>, usize> = values.iter().map(|value| (value.clone(), 0)).collect();
    numbers.values_mut().enumerate().for_each(|(at, number)| *number = at);
    values.iter().map(|value| numbers[value]).collect()
}

/// Rows of each class in turn, drawn, are dealt out one after the other: folds differ by one row at most, in all and in each class.
fn of_rows(classes: &[usize], folds: usize, seed: u64) -> Vec<u16> {
    let mut of_class: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    classes.iter().enumerate().for_each(|(row, class)| of_class.entry(*class).or_default().push(row));
    let mut random = Random::of(seed, 0, "folds");
    let (mut found, mut dealt) = (vec![0; classes.len()], 0);
    for rows in of_class.values_mut() {
        random.shuffle(rows);
        for row in rows {
            found[*row] = (dealt % folds) as u16;
            dealt += 1;
        }
    }
    found
}

/// Groups, drawn and then the largest first, each go where the shares of its classes are the least so far.
fn of_groups(classes: &[usize], groups: &[usize], folds: usize, seed: u64) -> Vec<u16> {
    let last = |numbers: &[usize]| numbers.iter().max().map_or(0, |last| last + 1);
    let (class_count, group_count) = (last(classes), last(groups));
    let mut counts = vec![vec![0_u64; class_count]; group_count];
    let mut totals = vec![0_u64; class_count];
    for (class, group) in classes.iter().zip(groups) {
        counts[*group][*class] += 1;
        totals[*class] += 1;
    }
    let mut order: Vec<usize> = (0..group_count).collect();
    Random::of(seed, 0, "folds").shuffle(&mut order);
    order.sort_by_key(|group| std::cmp::Reverse(counts[*group].iter().sum::<u64>()));
    let mut held = vec![vec![0_u64; class_count]; folds];
    let mut fold_of = vec![0; group_count];
    for group in order {
        let cost = |fold: usize| -> f64 {
            let share = |class: usize| {
                let (own, held) = (counts[group][class] as f64, held[fold][class] as f64);
                // What the sum of squares of shares grows by.
                (own * own + 2.0 * own * held) / (totals[class] as f64).powi(2)
            };
            (0..class_count).map(share).sum()
        };
        let rows = |fold: usize| held[fold].iter().sum::<u64>();
        let best = (0..folds).min_by(|a, b| cost(*a).total_cmp(&cost(*b)).then(rows(*a).cmp(&rows(*b))));
        let fold = best.expect("there are two folds or more");
        fold_of[group] = fold as u16;
        held[fold].iter_mut().zip(&counts[group]).for_each(|(held, own)| *held += own);
    }
    groups.iter().map(|group| fold_of[*group]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(folds: &[u16], count: usize, is_counted: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..count)
            .map(|fold| (0..folds.len()).filter(|row| usize::from(folds[*row]) == fold && is_counted(*row)).count())
            .collect()
    }

    #[test]
    fn folds_differ_by_one_row_in_all_and_in_each_class_and_are_drawn() {
        let classes: Vec<usize> = (0..103).map(|row| usize::from(row % 7 == 0) + usize::from(row % 20 == 0)).collect();
        let folds = of_rows(&classes, 5, 3);
        let differ = |counts: &[usize]| counts.iter().max().unwrap() - counts.iter().min().unwrap();
        assert!(differ(&counts(&folds, 5, |_| true)) <= 1);
        for class in 0..3 {
            assert!(differ(&counts(&folds, 5, |row| classes[row] == class)) <= 1, "{class}");
        }
        assert_eq!(folds, of_rows(&classes, 5, 3));
        assert_ne!(folds, of_rows(&classes, 5, 4));
        assert!(!folds.is_sorted());
    }

    #[test]
    fn a_group_stays_together_and_folds_have_much_the_same_of_each_class() {
        let groups: Vec<usize> = (0..400).map(|row| row * row % 41).collect();
        let classes: Vec<usize> = groups.iter().map(|group| usize::from(group % 4 == 0)).collect();
        let folds = of_groups(&classes, &groups, 4, 1);
        for group in 0..41 {
            let mut of_group: Vec<u16> = (0..400).filter(|row| groups[*row] == group).map(|row| folds[row]).collect();
            of_group.dedup();
            assert!(of_group.len() <= 1, "{group}: {of_group:?}");
        }
        for class in [0, 1] {
            let all = classes.iter().filter(|other| **other == class).count();
            for count in counts(&folds, 4, |row| classes[row] == class) {
                assert!((count as f64 - all as f64 / 4.0).abs() < all as f64 * 0.1, "{class}: {count} of {all}");
            }
        }
    }
}
