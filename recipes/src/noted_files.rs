//! The files of a dataset as a run began with them, so that what is another one when it goes on can be named.

use std::collections::BTreeMap;

use millstream_pipeline::Dataset;
use millstream_schemas::{Fingerprint, count, shown};
use serde::{Deserialize, Serialize};

/// Of more files only their number is noted.
const MOST: usize = 1000;
/// Of more files only so many are named.
const MOST_NAMED: usize = 5;
/// Letters of a fingerprint.
const SHORT: usize = 12;

/// The files of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotedFiles {
    files: u64,
    rows: u64,
    /// Empty where they are too many.
    listed: BTreeMap<String, NotedFile>,
    /// Of the names of these in order; none in runs of older builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order: Option<Fingerprint>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct NotedFile {
    rows: u64,
    bytes: u64,
    footer: Fingerprint,
}

impl NotedFiles {
    pub(crate) fn of(dataset: &Dataset) -> Self {
        let files = dataset.files();
        let noted = files.iter().filter(|_| files.len() <= MOST).map(|file| {
            let (rows, bytes, footer) = (file.rows, file.bytes, file.footer().clone());
            (file.name.to_string(), NotedFile { rows, bytes, footer })
        });
        Self::listing(files.len() as u64, dataset.rows(), &noted.collect::<Vec<_>>())
    }

    /// Name, rows and bytes of each file, by name; of too many files none.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.listed.iter().map(|(name, file)| (name.as_str(), file.rows, file.bytes))
    }

    /// Files that are not listed.
    pub(crate) fn not_listed(&self) -> u64 {
        self.files.saturating_sub(self.listed.len() as u64)
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    fn listing(files: u64, rows: u64, noted: &[(String, NotedFile)]) -> Self {
        let names: Vec<&String> = noted.iter().map(|(name, _)| name).collect();
        let order = (!names.is_empty()).then(|| Fingerprint::of(&names));
        Self { files, rows, listed: noted.iter().cloned().collect(), order }
    }

    /// What files were and are that are others now, in words.
    pub(crate) fn changed(then: &Self, now: &Self) -> (String, String) {
        if (then.files, then.rows, &then.listed) == (now.files, now.rows, &now.listed) {
            let (other, same) = match (&then.order, &now.order) {
                _ if then.listed.is_empty() => ("with other contents", "as many files and rows"),
                (Some(one), Some(other)) if one == other => ("with other targets", "as many files and rows"),
                (Some(_), Some(_)) => ("in another order", "the same files"),
                _ => ("with other targets, or in another order", "as many files and rows"),
            };
            return (format!("{} {other}", then.counts()), same.into());
        }
        (then.apart_from(now), now.apart_from(then))
    }

    fn counts(&self) -> String {
        format!("{} of {}", count(self.files, "file"), count(self.rows, "row"))
    }

    fn apart_from(&self, other: &Self) -> String {
        if self.listed.is_empty() || other.listed.is_empty() {
            return self.counts();
        }
        let differs = |(name, file): &(&String, &NotedFile)| other.listed.get(*name) != Some(*file);
        let differing: Vec<(&String, &NotedFile)> = self.listed.iter().filter(differs).collect();
        let named = differing.iter().take(MOST_NAMED).map(|(name, file)| {
            let has_as_many =
                |other: &NotedFile| (other.rows, other.bytes) == (file.rows, file.bytes) && other.footer != file.footer;
            let footer = match other.listed.get(*name).is_some_and(has_as_many) {
                true => format!(", footer {}", file.footer.0.get(..SHORT).unwrap_or(&file.footer.0)),
                false => String::new(),
            };
            format!("{} ({}, {}{footer})", shown(name), count(file.rows, "row"), count(file.bytes, "byte"))
        });
        let mut named: Vec<String> = named.collect();
        if differing.len() > MOST_NAMED {
            named.push(format!("{} more", differing.len() - MOST_NAMED));
        }
        if named.is_empty() { self.counts() } else { format!("{}, {}", self.counts(), named.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(files: &[(&str, u64, u64, &str)]) -> NotedFiles {
        let file = |&(name, rows, bytes, footer): &(&str, u64, u64, &str)| {
            (name.to_owned(), NotedFile { rows, bytes, footer: Fingerprint(footer.repeat(20)) })
        };
        let rows = files.iter().map(|(_, rows, ..)| rows).sum();
        NotedFiles::listing(files.len() as u64, rows, &files.iter().map(file).collect::<Vec<_>>())
    }

    #[test]
    fn files_that_are_others_are_named_with_their_rows() {
        let then = noted(&[("a", 36, 5210, "1"), ("b", 30, 4000, "2")]);
        for (now, wanted_then, wanted_now) in [
            (
                noted(&[("a", 40, 5600, "3"), ("b", 30, 4000, "2")]),
                "2 files of 66 rows, a (36 rows, 5,210 bytes)",
                "2 files of 70 rows, a (40 rows, 5,600 bytes)",
            ),
            (
                noted(&[("a", 36, 5210, "1"), ("b", 30, 4000, "2"), ("c", 1, 900, "4")]),
                "2 files of 66 rows",
                "3 files of 67 rows, c (1 row, 900 bytes)",
            ),
            (
                noted(&[("a", 36, 5210, "9"), ("b", 30, 4000, "2")]),
                "2 files of 66 rows, a (36 rows, 5,210 bytes, footer 111111111111)",
                "2 files of 66 rows, a (36 rows, 5,210 bytes, footer 999999999999)",
            ),
            (then.clone(), "2 files of 66 rows with other targets", "as many files and rows"),
            (
                noted(&[("b", 30, 4000, "2"), ("a", 36, 5210, "1")]),
                "2 files of 66 rows in another order",
                "the same files",
            ),
            (
                NotedFiles { order: None, ..then.clone() },
                "2 files of 66 rows with other targets, or in another order",
                "as many files and rows",
            ),
        ] {
            assert_eq!(NotedFiles::changed(&then, &now), (wanted_then.to_owned(), wanted_now.to_owned()));
        }
        let many: Vec<(String, u64)> = (0..8).map(|at| (format!("f{at}"), at)).collect();
        let many: Vec<(&str, u64, u64, &str)> =
            many.iter().map(|(name, rows)| (name.as_str(), *rows, 1, "5")).collect();
        let (_, now) = NotedFiles::changed(&then, &noted(&many));
        assert!(now.ends_with("f4 (4 rows, 1 byte), 3 more"), "{now}");
    }
}
