use std::fs;
use std::path::PathBuf;

use millstream_schemas::count;
use millstream_training::RunRecord;
use millstream_training::report::Page;

use crate::run_folder::RunFolder;
use crate::{RecipeError, decisions, run_about};

/// One HTML page that compares runs by the `metrics.json` in their folders.
///
/// # Errors
/// A folder holds no run, or its `metrics.json` does not parse.
pub fn compare_runs(folders: &[PathBuf]) -> Result<String, RecipeError> {
    let mut records = Vec::new();
    for folder in folders {
        let mut record = read_record(&RunFolder(folder.clone()))?;
        record.notes.extend(decisions::in_words(folder)?.into_iter().map(|noted| format!("noted {noted}")));
        records.push(record);
    }
    let titles = titles(&records, folders);
    for (record, title) in records.iter_mut().zip(titles) {
        record.title = title;
    }
    let title = if let [record] = records.as_slice() { record.title.clone() } else { count(records.len(), "run") };
    let about: Vec<_> = folders.iter().map(|folder| run_about::of_folder(&RunFolder(folder.clone()))).collect();
    Ok(Page { title: &title, runs: &records, about: &about, ..Page::default() }.render()?)
}

/// What runs are called: after their folders; where two are called alike, their paths tell them apart.
pub(crate) fn titles(records: &[RunRecord], folders: &[PathBuf]) -> Vec<String> {
    let alike = |title: &String| records.iter().filter(|record| record.title == *title).count() > 1;
    let named = records.iter().zip(folders);
    named
        .map(|(record, folder)| match alike(&record.title) {
            true => folder.to_string_lossy().into_owned(),
            false => record.title.clone(),
        })
        .collect()
}

/// The record of the run in a folder.
///
/// # Errors
/// There is none, or it does not parse.
pub(crate) fn read_record(folder: &RunFolder) -> Result<RunRecord, RecipeError> {
    let file = folder.metrics();
    let text = fs::read(&file).map_err(RecipeError::io("read", &file))?;
    let record: RunRecord =
        serde_json::from_slice(&text).map_err(|_| RecipeError::RecordDamaged { path: file.clone() })?;
    match record.version {
        RunRecord::VERSION => Ok(record),
        got => Err(RecipeError::RecordVersion { path: file, wanted: RunRecord::VERSION, got }),
    }
}
