//! The rows that each member is trained on, and those that it has not seen.

use std::path::{Path, PathBuf};

use millstream_pipeline::Dataset;
use millstream_schemas::recipe::FoldsRecipe;
use millstream_schemas::{FileLock, count, files, shown};
use millstream_search::Random;
use serde::{Deserialize, Serialize};

use crate::RecipeError;
use crate::search::folds;

/// Members that are trained on parts of the rows, at most.
pub(super) const MOST: usize = 64;

/// How members come to differ: by the rows that they are trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Sampling {
    /// Each on all folds but one, as in cross-validation.
    Folds(FoldsRecipe),
    /// Each on as many rows as there are, drawn with replacement (bagging, Breiman 1996).
    Bags {
        /// How many members.
        count: usize,
        /// Of which rows are drawn.
        seed: u64,
    },
}

/// Of one member.
pub(super) struct MemberRows {
    /// What its folder is called.
    pub(super) name: String,
    /// The files that it is trained on.
    pub(super) train: Vec<PathBuf>,
    /// The file with the rows that it has not seen.
    pub(super) held_out: PathBuf,
    /// Which of all rows these are, in the order of that file, by their index in file order.
    pub(super) places: Vec<usize>,
}

impl Sampling {
    /// How many members.
    pub fn members(&self) -> usize {
        match self {
            Self::Folds(folds) => folds.count,
            Self::Bags { count, .. } => *count,
        }
    }

    /// `each is trained on all but one of 3 folds, which are drawn by the seed 0`.
    pub fn in_words(&self) -> String {
        match self {
            Self::Folds(FoldsRecipe { count, stratify, group, seed }) => {
                let alike =
                    stratify.as_ref().map(|column| format!(", with the values of {} spread alike", shown(column)));
                let together = group.as_ref().map(|column| format!(", with rows of one {} together", shown(column)));
                format!(
                    "each is trained on all but one of {count} folds, which are drawn by the seed {seed}{}{}",
                    alike.unwrap_or_default(),
                    together.unwrap_or_default()
                )
            }
            Self::Bags { seed, .. } => {
                format!("each is trained on as many rows as there are, drawn with replacement by the seed {seed}")
            }
        }
    }

    /// As options of `ensemble members`.
    pub fn options(&self) -> Vec<String> {
        let mut options = Vec::new();
        let mut say = |name: &str, value: String| options.extend([format!("--{name}"), value]);
        match self {
            Self::Folds(FoldsRecipe { count, stratify, group, seed }) => {
                say("folds", count.to_string());
                for (name, column) in [("stratify", stratify), ("group", group)] {
                    if let Some(column) = column {
                        say(name, column.clone());
                    }
                }
                say("seed", seed.to_string());
            }
            Self::Bags { count, seed } => {
                say("bags", count.to_string());
                say("seed", seed.to_string());
            }
        }
        options
    }

    /// The rows of each member as files in a folder, written where they are not there yet.
    ///
    /// # Errors
    /// There are too few or too many members, fewer rows than members, rows cannot be read or files written, or those that are there are
    /// of other rows.
    pub(super) fn rows(&self, dataset: &Dataset, folder: &Path) -> Result<Vec<MemberRows>, RecipeError> {
        let members = self.members();
        if !(2..=MOST).contains(&members) {
            let (place, message) = match self {
                Self::Folds(_) => ("--folds", format!("wanted 2 to {MOST}, got {members}")),
                Self::Bags { .. } => ("--bags", format!("wanted 2 to {MOST}, got {members}")),
            };
            return Err(RecipeError::mismatch(place, message));
        }
        match self {
            Self::Folds(wanted) => of_folds(wanted, dataset, folder),
            Self::Bags { count, seed } => of_bags(*count, *seed, dataset, folder),
        }
    }
}

fn of_folds(wanted: &FoldsRecipe, dataset: &Dataset, folder: &Path) -> Result<Vec<MemberRows>, RecipeError> {
    let fold_of = folds::fold_of_rows(dataset, wanted)?;
    let paths = folds::written(folder, dataset, wanted, || Ok(false), || Ok(&fold_of))?;
    let of_fold = |(fold, held_out): (usize, &PathBuf)| MemberRows {
        name: format!("fold-{}", fold + 1),
        train: paths.iter().filter(|path| *path != held_out).cloned().collect(),
        held_out: held_out.clone(),
        places: (0..fold_of.len()).filter(|row| usize::from(fold_of[*row]) == fold).collect(),
    };
    Ok(paths.iter().enumerate().map(of_fold).collect())
}

/// Says that the files are whole, and of which rows.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Written {
    bags: usize,
    seed: u64,
    rows: u64,
    fingerprint: String,
}

fn of_bags(bags: usize, seed: u64, dataset: &Dataset, folder: &Path) -> Result<Vec<MemberRows>, RecipeError> {
    files::create_folder(folder).map_err(RecipeError::io("make", folder))?;
    let lock = folder.join(".lock");
    let _lock = FileLock::wait(&lock).map_err(RecipeError::io("write", &lock))?;
    let note = folder.join("bags.json");
    let written = Written { bags, seed, rows: dataset.rows(), fingerprint: dataset.fingerprint().to_string() };
    let known = std::fs::read(&note).ok().and_then(|bytes| serde_json::from_slice::<Written>(&bytes).ok());
    if known.as_ref().is_some_and(|known| *known != written) {
        let message = "the training rows are not those that the bags were drawn from, or these are other bags";
        return Err(RecipeError::mismatch("data.train", message));
    }
    let mut members = Vec::with_capacity(bags);
    for bag in 0..bags {
        let times = drawn(dataset.rows() as usize, seed, bag);
        let places: Vec<usize> = (0..times.len()).filter(|row| times[*row] == 0).collect();
        if places.is_empty() {
            let message =
                format!("of {} each is in bag {}; there are too few", count(dataset.rows(), "training row"), bag + 1);
            return Err(RecipeError::mismatch("--bags", message));
        }
        let file = |what: &str| folder.join(format!("{what}-{}.parquet", bag + 1));
        let (train, held_out) = (file("bag"), file("out-of-bag"));
        if known.is_none() {
            dataset.write_rows(&times, &train)?;
            let outside: Vec<u32> = times.iter().map(|times| u32::from(*times == 0)).collect();
            dataset.write_rows(&outside, &held_out)?;
        }
        members.push(MemberRows { name: format!("bag-{}", bag + 1), train: vec![train], held_out, places });
    }
    let text = serde_json::to_vec_pretty(&written).expect("our own types have string keys");
    files::replace_file(&note, &text).map_err(RecipeError::io("write", &note))?;
    Ok(members)
}

/// How often each row is in a bag.
fn drawn(rows: usize, seed: u64, bag: usize) -> Vec<u32> {
    let (mut random, mut times) = (Random::of(seed, bag as u64, "bags"), vec![0; rows]);
    (0..rows).for_each(|_| times[random.below(rows)] += 1);
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_rows_were_divided_is_told_in_words_and_as_options() {
        let folds = FoldsRecipe { count: 3, stratify: Some("label".into()), group: None, seed: 4 };
        let of = |sampling: Sampling| (sampling.in_words(), sampling.options().join(" "));
        let (words, options) = of(Sampling::Folds(folds));
        assert!(words.contains("3 folds") && words.contains("label spread alike"), "{words}");
        assert_eq!(options, "--folds 3 --stratify label --seed 4");
        let (words, options) = of(Sampling::Bags { count: 5, seed: 0 });
        assert!(words.contains("with replacement"), "{words}");
        assert_eq!(options, "--bags 5 --seed 0");
    }

    #[test]
    fn a_bag_has_as_many_rows_as_there_are_and_leaves_out_about_a_third_of_them() {
        let times = drawn(10_000, 3, 0);
        assert_eq!(times.iter().sum::<u32>(), 10_000);
        // (1 − 1/n)ⁿ
        let outside = times.iter().filter(|times| **times == 0).count() as f64 / 10_000.0;
        assert!((outside - (-1.0_f64).exp()).abs() < 0.015, "{outside}");
        assert_eq!(times, drawn(10_000, 3, 0));
        assert!(times != drawn(10_000, 3, 1) && times != drawn(10_000, 4, 0));
    }
}
