//! Rows that were left out: each is noted once, in the order in which batches are taken.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_schemas::recipe::DamagedPolicy;
use millstream_schemas::{RowId, shown};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::error::{Damage, row_in_words};
use crate::{Dataset, PipelineError};

/// Bytes of a line of a quarantine file that are looked at together.
const LONGEST_LINE: u64 = 1 << 20;

/// Rows that are told one by one where there is no quarantine file.
const MOST_TOLD: usize = 10;

/// Rows of which it is looked up what their images are called: each is read once more for it.
const MOST_NAMED: usize = 1000;

/// Rows that are kept until somebody asks for them.
const MOST_UNTAKEN: usize = 4096;

/// A row that was left out of its batch, and why.
#[derive(Clone, Debug)]
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
    /// The first row that this stream met whose input cannot be used, and why.
    first_unreadable: Option<(RowId, String)>,
    /// Those that nobody has asked for yet.
    untaken: Vec<(RowId, Damage)>,
    /// Rows that were told one by one; none where nothing is told.
    told: Option<usize>,
    quarantine: Option<Quarantine>,
    /// Whether damaged rows are left out at all.
    asked: bool,
    /// The rows' own, which says what images are called.
    dataset: Dataset,
    /// Rows of which that was looked up for those who asked for them.
    named: usize,
}

#[derive(Debug)]
struct Quarantine {
    path: PathBuf,
    /// Made when the first row is noted: a run that leaves nothing out leaves no empty file.
    file: Option<File>,
    /// Where the dataset's files lie, by name.
    places: HashMap<Arc<str>, String>,
    /// Bytes of the file that were read or written here; what follows another process wrote.
    known: u64,
    /// Whether its last line is whole.
    ended: bool,
}

/// A line of the quarantine file.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    /// Where the file lies: two datasets may each have a file of one name.
    path: &'a str,
    file: &'a str,
    row_group: u32,
    row: u32,
    /// What its image is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
    reason: String,
}

/// A row that is to be written.
struct Noted {
    id: RowId,
    image: Option<String>,
    damage: Damage,
}

impl LeftOut {
    /// Opens the quarantine file, if there is one, and reads which of this dataset's rows it has.
    pub(crate) fn new(policy: &DamagedPolicy, dataset: &Dataset) -> Result<Self, PipelineError> {
        let asked = *policy != DamagedPolicy::Fail;
        let policy = policy.with_file_in(Path::new(""));
        let DamagedPolicy::Quarantine(Some(path)) = &policy else {
            let (rows, untaken) = Default::default();
            let dataset = dataset.clone();
            return Ok(Self {
                rows,
                first_unreadable: None,
                untaken,
                told: Some(0),
                quarantine: None,
                asked,
                dataset,
                named: 0,
            });
        };
        let place = |path: &Path| std::path::absolute(path).unwrap_or(path.to_owned()).to_string_lossy().into_owned();
        let places = dataset.files().iter().map(|file| (Arc::clone(&file.name), place(&file.path))).collect();
        let failed = |source| PipelineError::Quarantine { path: path.clone(), source };
        let mut quarantine = Quarantine { path: path.clone(), file: None, places, known: 0, ended: true };
        let mut rows = HashMap::new();
        match open(path, false) {
            Ok(file) => {
                quarantine.file = Some(file);
                quarantine.read(&mut rows).map_err(failed)?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => can_be_made(path).map_err(failed)?,
            Err(error) => return Err(failed(error)),
        }
        Ok(Self {
            rows,
            first_unreadable: None,
            untaken: Vec::new(),
            told: Some(0),
            quarantine: Some(quarantine),
            asked,
            dataset: dataset.clone(),
            named: 0,
        })
    }

    /// Notes rows in the order given; returns how many of them this stream had not met before.
    pub(crate) fn note(&mut self, damaged: Vec<DamagedRow>) -> Result<u64, PipelineError> {
        let (mut new, mut unwritten) = (0, Vec::new());
        for DamagedRow { id, damage, .. } in damaged {
            let known = self.rows.insert(id.clone(), true);
            if known == Some(true) {
                continue;
            }
            new += 1;
            let is_told = self.quarantine.is_none() && self.told.is_some_and(|told| told < MOST_TOLD);
            let is_first = self.first_unreadable.is_none() && !damage.is_of_label();
            // by what the file has, so that a run that is gone on with names as many
            let is_named = self.quarantine.is_some() && known.is_none() && self.rows.len() <= MOST_NAMED;
            let image = if is_told || is_first || is_named { self.dataset.image_name(&id) } else { None };
            // whoever is not warned takes them after each batch
            if self.told.is_none() || self.untaken.len() < MOST_UNTAKEN {
                self.untaken.push((id.clone(), damage.clone()));
            }
            if is_first {
                self.first_unreadable = Some((id.clone(), reason(image.as_deref(), &damage)));
            }
            match &self.quarantine {
                None => {
                    match self.told {
                        Some(told) if told < MOST_TOLD => {
                            tracing::warn!("{} is left out: {damage}", row_in_words(&id, image.as_deref()));
                        }
                        Some(MOST_TOLD) => tracing::warn!("further rows that are left out are counted and not named"),
                        _ => {}
                    }
                    self.told = self.told.map(|told| told + 1);
                }
                Some(_) if known.is_none() => {
                    let image = image.filter(|_| is_named);
                    unwritten.push(Noted { id, image, damage });
                }
                Some(_) => {}
            }
        }
        if let Some(quarantine) = self.quarantine.as_mut().filter(|_| !unwritten.is_empty()) {
            let path = quarantine.path.clone();
            quarantine.write(&unwritten).map_err(|source| PipelineError::Quarantine { path, source })?;
        }
        Ok(new)
    }
}

/// Why a row is left out, with what its image is called where that is known.
fn reason(image: Option<&str>, damage: &Damage) -> String {
    image.map_or_else(|| damage.to_string(), |image| format!("`{}`: {damage}", shown(image)))
}

/// Refuses a quarantine file that cannot be used for these rows, without making it.
///
/// # Errors
/// It cannot be made or written, or holds something else.
pub fn check_quarantine(policy: &DamagedPolicy, dataset: &Dataset) -> Result<(), PipelineError> {
    LeftOut::new(policy, dataset).map(drop)
}

fn open(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new().create(create).read(true).append(true).open(path)
}

/// Whether a file could be made there: a run should not learn hours later that it cannot.
fn can_be_made(path: &Path) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let probe = path.with_file_name(name);
    File::create(&probe)?;
    std::fs::remove_file(&probe)
}

impl LeftOut {
    /// An error that ends the stream, with why nothing was left out instead.
    pub(crate) fn explained(&self, error: PipelineError) -> PipelineError {
        match error {
            PipelineError::RowGroup { .. } if self.asked => PipelineError::DamagedPart(Box::new(error)),
            PipelineError::Damaged { row, image: None, damage } => {
                PipelineError::Damaged { image: self.dataset.image_name(&row), row, damage }
            }
            error => error,
        }
    }

    /// The first row that this stream met whose input cannot be used, and why.
    pub(crate) fn first_unreadable(&self) -> Option<&(RowId, String)> {
        self.first_unreadable.as_ref()
    }

    pub(crate) fn warn_of_none(&mut self) {
        self.told = None;
    }

    pub(crate) fn take(&mut self) -> Vec<(RowId, String)> {
        let untaken = std::mem::take(&mut self.untaken).into_iter();
        let told = untaken.map(|(id, damage)| {
            let image = if self.named < MOST_NAMED { self.dataset.image_name(&id) } else { None };
            self.named += 1;
            let reason = reason(image.as_deref(), &damage);
            (id, reason)
        });
        told.collect()
    }
}

impl Quarantine {
    /// Appends the rows that nobody has noted meanwhile.
    fn write(&mut self, rows: &[Noted]) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(open(&self.path, true)?);
        }
        let file = self.file.as_ref().expect("it was just opened").try_clone()?;
        // Pipes and devices have no lock, and some places for files have none either: there a row may be noted twice.
        let _lock = file.metadata()?.is_file().then(|| Locked::new(&file));
        let mut of_others = HashMap::new();
        self.read(&mut of_others)?;
        let new = rows.iter().filter(|row| !of_others.contains_key(&row.id));
        // A last line that was cut off is ended, so that the next one stands alone.
        let mut lines = if self.ended { String::new() } else { "\n".to_owned() };
        new.for_each(|row| lines.push_str(&self.line(row)));
        // One write: whoever reads meanwhile sees whole lines.
        (&file).write_all(lines.as_bytes())?;
        self.known += lines.len() as u64;
        self.ended = true;
        Ok(())
    }

    fn line(&self, Noted { id, image, damage }: &Noted) -> String {
        let path = self.places.get(&id.file).map_or("", String::as_str);
        let (row_group, row) = (id.row_group, id.row);
        let image = image.as_deref();
        let entry = Entry { path, file: &id.file, row_group, row, image, reason: damage.to_string() };
        let mut line = serde_json::to_string(&entry).expect("an entry has string keys, so it always serializes");
        line.push('\n');
        line
    }

    /// Reads the rows of these files from where it is not known yet; lines of anything else are passed over. A file that
    /// does not begin with such a line, or with the first part of one that nothing or such a line follows, is somebody's own, and
    /// refused.
    fn read(&mut self, rows: &mut HashMap<RowId, bool>) -> io::Result<()> {
        let Some(file) = self.file.as_mut() else { return Ok(()) };
        // A pipe or device has nothing to be read again.
        if !file.metadata()?.is_file() {
            return Ok(());
        }
        file.seek(SeekFrom::Start(self.known))?;
        let others = || Err(io::Error::other("it holds something else already; name another file"));
        let (mut reader, mut line) = (BufReader::new(&*file), Vec::new());
        // whether the first line was cut off and ended since, as only who wrote another behind it has done
        let mut follows_a_part = false;
        while reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? > 0 {
            let known = serde_json::from_slice::<KnownRow>(&line).ok();
            if known.is_none() && (follows_a_part || self.known == 0 && !is_first_part(&line)) {
                return others();
            }
            follows_a_part = known.is_none() && self.known == 0 && line.ends_with(b"\n");
            self.known += line.len() as u64;
            self.ended = line.ends_with(b"\n");
            if let Some(known) = known
                && let Some((name, place)) = self.places.get_key_value(&*known.file)
                && *place == known.path
            {
                rows.insert(RowId { file: Arc::clone(name), row_group: known.row_group, row: known.row }, false);
            }
            line.clear();
        }
        if follows_a_part { others() } else { Ok(()) }
    }
}

/// Whether a line is the first part of an [`Entry`]: the process was ended, or the disk full, while it was written.
fn is_first_part(line: &[u8]) -> bool {
    const START: &[u8] = b"{\"path\":\"";
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let begins_so = text.starts_with(START) || START.starts_with(text) && !text.is_empty();
    let is_cut_off = || serde_json::from_slice::<IgnoredAny>(text).is_err_and(|error| error.is_eof());
    begins_so && (line.len() as u64) < LONGEST_LINE && is_cut_off()
}

/// A file that other processes wait for.
struct Locked<'a>(&'a File);

impl<'a> Locked<'a> {
    fn new(file: &'a File) -> Option<Self> {
        file.lock().ok().map(|()| Self(file))
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Closing the file would do it too.
        let _ = self.0.unlock();
    }
}

/// What identifies the row of an [`Entry`].
#[derive(Debug, Deserialize)]
struct KnownRow {
    path: String,
    file: String,
    row_group: u32,
    row: u32,
}
