use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use millstream_schemas::{FileLock, LockAttempt, files, shown_up_to};

use crate::SearchError;
use crate::study::Event;

/// The file of a journal, as far as it was read.
#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    file: File,
    /// Bytes that were read; the end of a line.
    read: u64,
    lines: u64,
    /// Where the file system has no locks, the file is this process' alone as long as it is open.
    alone: Option<FileLock>,
}

impl JournalFile {
    /// Opens a journal, and makes an empty one where there is none.
    pub(super) fn open(path: &Path) -> Result<Self, SearchError> {
        let failed = |source| SearchError::File { path: path.into(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            files::create_folder(folder).map_err(failed)?;
        }
        let is_new = !path.exists();
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        if is_new {
            files::sync_folder(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
                .map_err(failed)?;
        }
        let mut journal = Self { path: path.into(), file, read: 0, lines: 0, alone: None };
        match journal.file.try_lock() {
            Ok(()) => journal.file.unlock().map_err(failed)?,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => journal.alone = Some(journal.alone(&error)?),
        }
        Ok(journal)
    }

    /// Opens a journal to look at it.
    pub(super) fn open_to_read(path: &Path) -> Result<Self, SearchError> {
        let file = File::open(path).map_err(|source| SearchError::File { path: path.into(), source })?;
        Ok(Self { path: path.into(), file, read: 0, lines: 0, alone: None })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nobody else can open it meanwhile.
    pub(super) fn is_alone(&self) -> bool {
        self.alone.is_some()
    }

    fn alone(&self, error: &io::Error) -> Result<FileLock, SearchError> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        match FileLock::try_take(&self.path.with_file_name(name)).map_err(|source| self.failed(source))? {
            LockAttempt::Taken(lock) => Ok(lock),
            LockAttempt::Busy(by) => Err(SearchError::Held { path: self.path.clone(), by, reason: error.to_string() }),
        }
    }

    /// Does something while nobody else writes.
    pub(super) fn locked<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, SearchError>,
    ) -> Result<T, SearchError> {
        if self.alone.is_some() {
            return work(self);
        }
        self.file.lock().map_err(|source| self.failed(source))?;
        let done = work(self);
        let unlocked = self.file.unlock().map_err(|source| self.failed(source));
        done.and_then(|done| unlocked.map(|()| done))
    }

    /// The events since it was read last, with their lines. A line that is not whole is left out: whoever wrote it was killed
    /// there, or is writing it now.
    pub(super) fn news(&mut self) -> Result<Vec<(u64, Event)>, SearchError> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(self.read)).map_err(|source| self.failed(source))?;
        (&self.file).read_to_end(&mut bytes).map_err(|source| self.failed(source))?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut events = Vec::new();
        for line in bytes[..whole].split_inclusive(|byte| *byte == b'\n') {
            let number = self.lines + events.len() as u64 + 1;
            let event = serde_json::from_slice(line).map_err(|error| {
                let text = shown_up_to(String::from_utf8_lossy(line).trim_end(), 80);
                self.damaged(
                    number,
                    format!("no event of a study, as far as this version knows: {error}; it is `{text}`"),
                )
            })?;
            events.push((number, event));
        }
        self.read += whole as u64;
        self.lines += events.len() as u64;
        Ok(events)
    }

    /// Reads from the beginning again.
    pub(super) fn rewind(&mut self) {
        (self.read, self.lines) = (0, 0);
    }

    /// Cuts off a line that is not whole. All before it was read, and nobody else writes.
    pub(super) fn mend(&mut self) -> Result<(), SearchError> {
        let length = self.file.metadata().map_err(|source| self.failed(source))?.len();
        if length > self.read {
            self.file.set_len(self.read).map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    /// Appends an event and, if it must last, waits until it is on the disk. All before it was read, and nobody else writes.
    pub(super) fn append(&mut self, event: &Event, lasts: bool) -> Result<(), SearchError> {
        self.mend()?;
        let mut line = serde_json::to_vec(event).expect("events have string keys, so they always serialize");
        line.push(b'\n');
        self.file.write_all(&line).map_err(|source| self.failed(source))?;
        if lasts {
            self.file.sync_data().map_err(|source| self.failed(source))?;
        }
        self.read += line.len() as u64;
        self.lines += 1;
        Ok(())
    }

    pub(super) fn damaged(&self, line: u64, message: String) -> SearchError {
        SearchError::Journal { path: self.path.clone(), line, message }
    }

    fn failed(&self, source: io::Error) -> SearchError {
        SearchError::File { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive(worker: &str) -> Event {
        Event::Alive { worker: worker.into(), time: 1.0 }
    }

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn what_one_appends_another_reads_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/study.jsonl");
        let (mut first, mut second) = (JournalFile::open(&path).unwrap(), JournalFile::open(&path).unwrap());
        assert!(first.news().unwrap().is_empty());
        first.locked(|file| file.append(&alive("a"), true)).unwrap();
        assert_eq!(second.news().unwrap(), [(1, alive("a"))]);
        assert!(second.news().unwrap().is_empty() && first.news().unwrap().is_empty());
        second.locked(|file| file.append(&alive("b"), false)).unwrap();
        assert_eq!(first.news().unwrap(), [(2, alive("b"))]);
    }

    #[test]
    fn a_line_that_is_torn_at_any_byte_is_left_out_and_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.jsonl");
        let mut file = JournalFile::open(&path).unwrap();
        file.append(&alive("a"), false).unwrap();
        let first = text(&path);
        for end in 0..first.len() {
            std::fs::write(&path, format!("{first}{}", &first[..end])).unwrap();
            let mut file = JournalFile::open(&path).unwrap();
            assert_eq!(file.news().unwrap(), [(1, alive("a"))], "{end}");
            file.append(&alive("b"), false).unwrap();
            assert_eq!(text(&path), first.clone() + &first.replace("\"a\"", "\"b\""));
        }
    }

    #[test]
    fn a_damaged_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.jsonl");
        let good = serde_json::to_string(&alive("a")).unwrap();
        for (bad, message) in [
            ("{\"event\":\"alive\"}", "missing field"),
            ("\u{0}\u{0}", "expected value"),
            ("{\"event\":\"x\"}", "unknown variant"),
        ] {
            std::fs::write(&path, format!("{good}\n{bad}\n{good}\n")).unwrap();
            let error = JournalFile::open(&path).unwrap().news().unwrap_err().to_string();
            assert!(error.contains("study.jsonl:2: no event of a study") && error.contains(message), "{error}");
        }
    }
}
