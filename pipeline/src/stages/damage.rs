//! Rows that were left out: each is noted once, in the order in which batches are taken.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_schemas::RowId;
use millstream_schemas::recipe::DamagedPolicy;
use serde::{Deserialize, Serialize};

use crate::error::Damage;
use crate::{Dataset, PipelineError};

/// A row that was left out of its batch, and why.
#[derive(Debug)]
pub(crate) struct DamagedRow {
    /// Where it would have been.
    pub(crate) slot: usize,
    pub(crate) id: RowId,
    pub(crate) damage: Damage,
}

/// The rows that a stream left out, whatever the epoch.
#[derive(Debug)]
pub(crate) struct LeftOut {
    /// Whether this stream met the row; otherwise only the quarantine file knows it.
    rows: HashMap<RowId, bool>,
    /// The first row that this stream met, and why it was left out.
    first: Option<(RowId, String)>,
    quarantine: Option<Quarantine>,
}

#[derive(Debug)]
struct Quarantine {
    path: PathBuf,
    file: File,
    /// Where the dataset's files lie, by name.
    places: HashMap<Arc<str>, String>,
}

/// A line of the quarantine file.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    /// Where the file lies: two datasets may each have a file of one name.
    path: &'a str,
    file: &'a str,
    row_group: u32,
    row: u32,
    reason: String,
}

impl LeftOut {
    /// Opens the quarantine file, if there is one, and reads which of this dataset's rows it has.
    pub(crate) fn new(policy: &DamagedPolicy, dataset: &Dataset) -> Result<Self, PipelineError> {
        let policy = policy.with_file_in(Path::new(""));
        let DamagedPolicy::Quarantine(Some(path)) = &policy else {
            return Ok(Self { rows: HashMap::new(), first: None, quarantine: None });
        };
        let place = |path: &Path| std::path::absolute(path).unwrap_or(path.to_owned()).to_string_lossy().into_owned();
        let places = dataset.files().iter().map(|file| (Arc::clone(&file.name), place(&file.path))).collect();
        let failed = |source| PipelineError::Quarantine { path: path.clone(), source };
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path).map_err(failed)?;
        let rows = rows_in(&mut file, &places).map_err(failed)?;
        Ok(Self { rows, first: None, quarantine: Some(Quarantine { path: path.clone(), file, places }) })
    }

    /// Notes rows in the order given; returns how many of them this stream had not met before.
    pub(crate) fn note(&mut self, damaged: Vec<DamagedRow>) -> Result<u64, PipelineError> {
        let (mut new, mut lines) = (0, String::new());
        for DamagedRow { id, damage, .. } in damaged {
            let known = self.rows.insert(id.clone(), true);
            if known == Some(true) {
                continue;
            }
            new += 1;
            self.first.get_or_insert_with(|| (id.clone(), damage.to_string()));
            match &self.quarantine {
                None => tracing::warn!(row = %id, %damage, "row left out"),
                Some(quarantine) if known.is_none() => lines.push_str(&quarantine.line(&id, &damage)),
                Some(_) => {}
            }
        }
        match &mut self.quarantine {
            // One write: whoever reads meanwhile sees whole lines.
            Some(Quarantine { path, file, .. }) if !lines.is_empty() => file
                .write_all(lines.as_bytes())
                .map_err(|source| PipelineError::Quarantine { path: path.clone(), source })?,
            _ => {}
        }
        Ok(new)
    }
}

impl LeftOut {
    /// The first row that this stream met, and why it was left out.
    pub(crate) fn first(&self) -> Option<&(RowId, String)> {
        self.first.as_ref()
    }
}

impl Quarantine {
    fn line(&self, id: &RowId, damage: &Damage) -> String {
        let path = self.places.get(&id.file).map_or("", String::as_str);
        let (row_group, row) = (id.row_group, id.row);
        let entry = Entry { path, file: &id.file, row_group, row, reason: damage.to_string() };
        let mut line = serde_json::to_string(&entry).expect("an entry has string keys, so it always serializes");
        line.push('\n');
        line
    }
}

/// The rows of these files that a quarantine file has. A last line that was cut off is ended, so that the next one
/// stands alone; lines of anything else are passed over.
fn rows_in(file: &mut File, places: &HashMap<Arc<str>, String>) -> std::io::Result<HashMap<RowId, bool>> {
    let mut rows = HashMap::new();
    // A pipe or device has nothing to be read again.
    if !file.metadata()?.is_file() {
        return Ok(rows);
    }
    file.seek(SeekFrom::Start(0))?;
    let (mut reader, mut line) = (BufReader::new(&*file), Vec::new());
    let mut whole = true;
    while reader.read_until(b'\n', &mut line)? > 0 {
        whole = line.ends_with(b"\n");
        if let Ok(known) = serde_json::from_slice::<KnownRow>(&line)
            && let Some((name, place)) = places.get_key_value(&*known.file)
            && *place == known.path
        {
            rows.insert(RowId { file: Arc::clone(name), row_group: known.row_group, row: known.row }, false);
        }
        line.clear();
    }
    if !whole {
        file.write_all(b"\n")?;
    }
    Ok(rows)
}

/// What identifies the row of an [`Entry`].
#[derive(Debug, Deserialize)]
struct KnownRow {
    path: String,
    file: String,
    row_group: u32,
    row: u32,
}
