//! What the files of a run hold, and what a run notes of that at its end, for when they are not there any more.

use std::path::PathBuf;
use std::{fs, io};

use millstream_pipeline::{self as pipeline, Dataset};
use millstream_schemas::files::sha256_of_file;
use millstream_schemas::recipe::EvaluationRecipe;
use millstream_schemas::{Feature, count, shown};
use serde::{Deserialize, Serialize};

use crate::class_count::ClassCount;
use crate::data_report::DataReport;
use crate::input_facts::InputFacts;
use crate::made_of::MadeOf;
use crate::run_folder::RunFolder;
use crate::{Opened, RecipeError, RowSource};

/// Files beyond this are not hashed at the end of a run: reading them again would take longer than is worth it.
const MOST_BYTES_OF_FILE: u64 = 64 << 20;
/// The same of all files together.
const MOST_BYTES: u64 = 256 << 20;
/// Of more files without a hash only so many are named.
const MOST_NAMED: usize = 5;

/// One split of the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataFacts {
    /// `train`, `evaluate`, or the name of another set.
    pub split: String,
    /// Files.
    pub files: Vec<DataFile>,
    /// Files beside these: of more than 1000 a run notes when it begins only how many they are.
    #[serde(default)]
    pub not_listed: u64,
    /// Rows.
    pub rows: u64,
    /// Name and type of each column.
    pub columns: Vec<(String, String)>,
    /// Nulls by column, where the files say how many, or all rows were read.
    pub nulls: Vec<(String, u64)>,
    /// What the inputs are like, where they are images or texts.
    pub inputs: Option<InputFacts>,
    /// Column with the class, where there is one.
    pub label: Option<String>,
    /// Rows of each class.
    pub classes: Vec<ClassCount>,
    /// Rows without a class (−1).
    pub unlabelled: u64,
    /// Rows whose label is null or none of the classes.
    pub bad_labels: u64,
}

/// One Parquet file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Name within the split.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// SHA-256 in hexadecimal; none of a file of another store than this machine's, and of a large one that is not there any more.
    pub sha256: Option<String>,
    /// Software that wrote it, as it says itself.
    pub created_by: Option<String>,
}

impl DataFacts {
    /// What files and labels say of a split; its inputs are not looked at.
    fn of_files(split: &str, source: &RowSource, report: &DataReport, files: Vec<DataFile>) -> Self {
        let dataset = &source.dataset;
        let mut nulls = Vec::new();
        for (column, _) in &dataset.features().columns {
            // what cannot be counted is not said
            if let Some(count) = dataset.nulls(column).unwrap_or_default() {
                nulls.push((column.clone(), count));
            }
        }
        let columns = dataset.features().columns.iter();
        Self {
            split: split.to_owned(),
            files,
            not_listed: 0,
            rows: dataset.rows(),
            columns: columns.map(|(name, feature)| (name.clone(), kind_of(feature))).collect(),
            nulls,
            inputs: None,
            label: report.label.clone(),
            classes: report.classes.clone(),
            unlabelled: report.unlabelled,
            bad_labels: report.bad_labels,
        }
    }

    /// All files, also those that are not listed.
    pub(crate) fn file_count(&self) -> u64 {
        self.files.len() as u64 + self.not_listed
    }

    /// The columns whose nulls no file tells.
    fn uncounted(&self) -> Vec<String> {
        let is_counted = |column: &String| self.nulls.iter().any(|(counted, _)| counted == column);
        self.columns.iter().map(|(name, _)| name).filter(|name| !is_counted(name)).cloned().collect()
    }
}

/// The splits of what is open, each with its report, training first.
pub(crate) fn splits(opened: &Opened) -> Result<Vec<(&str, &RowSource, &DataReport)>, RecipeError> {
    let mut splits = vec![("train", &opened.train, opened.train_report()?)];
    if let (Some(source), Some(report)) = (&opened.evaluate, opened.evaluate_report()?) {
        splits.push((EvaluationRecipe::MAIN, source, report));
    }
    for ((name, source), report) in opened.sets.iter().zip(opened.set_reports()?) {
        splits.push((name.as_str(), source, report));
    }
    Ok(splits)
}

/// All that is told of each split: every file is hashed, and inputs are looked at.
///
/// # Errors
/// A file or a row group cannot be read.
pub(crate) fn whole(opened: &Opened) -> Result<Vec<DataFacts>, RecipeError> {
    let of_split = |(split, source, report): (&str, &RowSource, &DataReport)| {
        let mut facts = DataFacts::of_files(split, source, report, files_of(&source.dataset)?);
        let (inputs, nulls) = InputFacts::of(source, opened.recipe.data.transparency, &facts.uncounted())?;
        facts.inputs = inputs;
        facts.nulls.extend(nulls);
        Ok(facts)
    };
    splits(opened)?.into_iter().map(of_split).collect()
}

/// With their hashes, where they lie on this machine.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn files_of(dataset: &Dataset) -> Result<Vec<DataFile>, RecipeError> {
    dataset.files().iter().map(|file| hashed(file, file.path.is_file())).collect()
}

fn hashed(file: &pipeline::DataFile, is_read: bool) -> Result<DataFile, RecipeError> {
    let sha256 =
        is_read.then(|| sha256_of_file(&file.path).map_err(RecipeError::io("read", &file.path))).transpose()?;
    Ok(DataFile {
        name: file.name.to_string(),
        bytes: file.bytes,
        rows: file.rows,
        sha256,
        created_by: file.created_by.clone(),
    })
}

fn kind_of(feature: &Feature) -> String {
    match feature {
        Feature::Image(_) => "image".into(),
        Feature::Text => "text".into(),
        Feature::ClassLabel { names } => format!("class of {}", names.len()),
        Feature::Value(kind) => kind.clone(),
        _ => "other".into(),
    }
}

/// What a run has noted of its rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NotedData {
    /// What the model reads, as [`DataReport::kind`]; empty where that is not known.
    pub(crate) kind: String,
    /// Where the first file to train on lay, written with `�` for what is no UTF-8; empty where that is not known.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub(crate) first_file: PathBuf,
    /// The transforms of training, as captions.
    pub(crate) transforms: Vec<String>,
    /// The splits, training first.
    pub(crate) splits: Vec<DataFacts>,
    /// Whether that was noted at the end of the run; otherwise there is only what is noted at its beginning.
    #[serde(skip)]
    pub(crate) is_of_end: bool,
}

impl NotedData {
    /// Of rows that are open: what is known without reading them again, and hashes of small files.
    fn of(opened: &Opened) -> Result<Self, RecipeError> {
        let mut left = MOST_BYTES;
        let mut noted = Vec::new();
        for (split, source, report) in splits(opened)? {
            // a hash of what lies there since would be none of what was read
            let is_same = !source.dataset.has_changed();
            let mut files = Vec::new();
            for file in source.dataset.files() {
                let is_read = is_same && file.bytes <= MOST_BYTES_OF_FILE.min(left) && file.path.is_file();
                if is_read {
                    left -= file.bytes;
                }
                files.push(hashed(file, is_read)?);
            }
            noted.push(DataFacts::of_files(split, source, report, files));
        }
        let (first, of_training) = (opened.train.dataset.files().first(), opened.train_report()?);
        Ok(Self {
            kind: of_training.kind.clone(),
            transforms: of_training.transforms.clone(),
            first_file: first.map(|file| file.path.clone()).unwrap_or_default(),
            splits: noted,
            is_of_end: true,
        })
    }

    /// Keeps what is known of the rows of a run in its folder.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(crate) fn note(folder: &RunFolder, opened: &Opened) -> Result<(), RecipeError> {
        let file = folder.data_facts();
        let noted = Self::of(opened)?.to_json().map_err(RecipeError::io("write", &file))?;
        folder.write(&file, &noted)
    }

    fn to_json(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(self)?)
    }

    /// What the run in a folder has noted; of one that has not ended, or of an older build, what it noted when it began. None where that
    /// is nothing.
    ///
    /// # Errors
    /// What was noted cannot be read.
    pub(crate) fn read(folder: &RunFolder) -> Result<Option<Self>, RecipeError> {
        let file = folder.data_facts();
        if file.exists() {
            let text = fs::read(&file).map_err(RecipeError::io("read", &file))?;
            let noted = serde_json::from_slice::<Self>(&text);
            let noted = noted.map_err(|_| RecipeError::RecordDamaged { path: file })?;
            return Ok(Some(Self { is_of_end: true, ..noted }));
        }
        Ok(folder.made_of()?.map(|made_of| Self::of_beginning(&made_of)))
    }

    /// Which files have no hash, where the run has noted hashes; none where all have one.
    pub(crate) fn unhashed_in_words(&self) -> Option<String> {
        let files = || self.splits.iter().flat_map(|split| &split.files).filter(|_| self.is_of_end);
        let without: Vec<String> = files().filter(|file| file.sha256.is_none()).map(|file| shown(&file.name)).collect();
        let named = without.get(..MOST_NAMED).unwrap_or(&without).join(", ");
        let more = without.len().saturating_sub(MOST_NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        (!without.is_empty()).then(|| {
            format!(
                "of {} of {} no SHA-256 was noted ({named}{more}): a run reads files of up to {} MiB for it, and {} MiB in all, and none \
                 that lies in another store or has changed since",
                without.len(),
                count(files().count() as u64, "file"),
                MOST_BYTES_OF_FILE >> 20,
                MOST_BYTES >> 20
            )
        })
    }

    fn of_beginning(made_of: &MadeOf) -> Self {
        let main = [("train", "data.train".to_owned()), (EvaluationRecipe::MAIN, "data.evaluate".to_owned())];
        let sets = made_of.sets.keys().map(|name| (name.as_str(), format!("evaluation.sets.{name}")));
        let of_split = |(split, place): (&str, String)| {
            let noted = made_of.files.get(&place)?;
            let file = |(name, rows, bytes): (&str, u64, u64)| DataFile {
                name: name.to_owned(),
                bytes,
                rows,
                sha256: None,
                created_by: None,
            };
            Some(DataFacts {
                split: split.to_owned(),
                files: noted.listed().map(file).collect(),
                not_listed: noted.not_listed(),
                rows: noted.rows(),
                columns: Vec::new(),
                nulls: Vec::new(),
                inputs: None,
                label: None,
                classes: Vec::new(),
                unlabelled: 0,
                bad_labels: 0,
            })
        };
        Self {
            kind: String::new(),
            first_file: PathBuf::new(),
            transforms: Vec::new(),
            splits: main.into_iter().chain(sets).filter_map(of_split).collect(),
            is_of_end: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_file_whose_name_is_no_utf_8_is_noted_and_does_not_end_the_program() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;

        let path = PathBuf::from(OsStr::from_bytes(b"/sets/caf\xe9.parquet"));
        let noted = NotedData { first_file: path, ..NotedData::default() }.to_json();
        let text = String::from_utf8(noted.unwrap()).unwrap();
        assert!(text.contains("/sets/caf\u{fffd}.parquet"), "{text}");
    }

    #[test]
    fn what_was_noted_at_the_end_of_a_run_is_read_and_otherwise_what_was_noted_when_it_began() {
        let place = tempfile::tempdir().unwrap();
        let folder = RunFolder(place.path().to_owned());
        assert!(NotedData::read(&folder).unwrap().is_none(), "nothing is noted");
        let files = json!({"files": 1, "rows": 8, "listed": {"a.parquet": {"rows": 8, "bytes": 90, "footer": "00"}}});
        let begun = json!({
            "model.path": "11", "data.train": "22", "data.evaluate": null,
            "evaluation.sets": {"night": "33"},
            "files": {"data.train": files, "evaluation.sets.night": files},
        });
        fs::write(folder.fingerprints(), begun.to_string()).unwrap();
        let noted = NotedData::read(&folder).unwrap().unwrap();
        let splits: Vec<&str> = noted.splits.iter().map(|facts| facts.split.as_str()).collect();
        assert_eq!((splits, noted.is_of_end), (vec!["train", "night"], false));
        let file = &noted.splits[0].files[0];
        assert_eq!((file.name.as_str(), file.bytes, file.rows, &file.sha256), ("a.parquet", 90, 8, &None));
        assert!(noted.unhashed_in_words().is_none(), "a run that has not ended has hashed nothing");
        let ended = NotedData { kind: "image".into(), is_of_end: true, ..noted };
        let said = ended.unhashed_in_words().unwrap();
        assert!(said.starts_with("of 2 of 2 files no SHA-256 was noted (a.parquet, a.parquet): "), "{said}");
        assert!(said.contains("64 MiB") && said.contains("256 MiB"), "{said}");
        fs::write(folder.data_facts(), serde_json::to_vec(&ended).unwrap()).unwrap();
        assert_eq!(NotedData::read(&folder).unwrap().unwrap(), ended);
        fs::write(folder.data_facts(), "{").unwrap();
        assert!(matches!(NotedData::read(&folder), Err(RecipeError::RecordDamaged { .. })));
        // of too many files there is their number
        let many = json!({"files": 1500, "rows": 8, "listed": {}});
        let begun =
            json!({"model.path": "11", "data.train": "22", "data.evaluate": null, "files": {"data.train": many}});
        let noted = NotedData::of_beginning(&serde_json::from_value(begun).unwrap());
        assert_eq!((noted.splits[0].file_count(), noted.splits[0].files.len()), (1500, 0));
        // of a build that noted no files there is nothing to tell but that
        let bare = MadeOf { files: BTreeMap::new(), ..folder.made_of().unwrap().unwrap() };
        assert!(NotedData::of_beginning(&bare).splits.is_empty());
    }
}
