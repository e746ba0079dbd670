use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A lock file that one process holds at a time. The system frees it when the process ends, however that comes about; it
/// names the process, and is deleted when it is let go.
///
/// Where the file system has no locks, the process that the file names is looked for instead, as far as the system tells
/// (Linux does): that is said by [`FileLock::is_advisory_only`].
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
    unsupported: Option<Unsupported>,
}

/// A lock where the file system has none.
#[derive(Debug)]
struct Unsupported {
    reason: String,
    /// Keeps out the rest of this process; given back after the file is deleted.
    _held: Held,
}

/// Lock files that this process holds where the file system has no locks: the number in the file does not tell its parts
/// apart.
static HELD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// An entry of [`HELD`].
#[derive(Debug)]
struct Held(PathBuf);

impl Held {
    /// None where this process holds it already.
    fn enter(path: &Path) -> io::Result<Option<Self>> {
        let key = Self::key(path)?;
        // Made only where it is ours: dropping it gives it back.
        Ok(held().insert(key.clone()).then(|| Self(key)))
    }

    fn is_entered(path: &Path) -> io::Result<bool> {
        Ok(held().contains(&Self::key(path)?))
    }

    /// The same however the folder is named, and whether the file is there or not.
    fn key(path: &Path) -> io::Result<PathBuf> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().ok_or_else(|| io::Error::other("the path has no file name"))?;
        Ok(folder.canonicalize()?.join(name))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        held().remove(&self.0);
    }
}

fn held() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    // A set is whole whoever panicked beside it.
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came of asking for a lock.
#[derive(Debug)]
pub enum LockAttempt {
    /// It is ours until it is dropped.
    Taken(FileLock),
    /// Another process holds it; its number, where it is known.
    Busy(Option<u32>),
}

/// Holders that are about to let go are waited out this often.
const ATTEMPTS: u32 = 10;
/// And so often who only looks whether the lock is held: it is no process that the file names, and may not get on on a busy machine.
const ATTEMPTS_AT_LOOKS: u32 = 250;
const PAUSE: Duration = Duration::from_millis(20);

impl FileLock {
    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub fn try_take(path: &Path) -> io::Result<LockAttempt> {
        Self::take_within(path, ATTEMPTS_AT_LOOKS)
    }

    fn take_within(path: &Path, attempts_at_looks: u32) -> io::Result<LockAttempt> {
        let mut holder = None;
        for attempt in 0..attempts_at_looks {
            if attempt >= ATTEMPTS && holder.is_some_and(may_be_alive) {
                break;
            }
            if attempt > 0 {
                std::thread::sleep(PAUSE);
            }
            let mut file = open(path)?;
            match file.try_lock() {
                // Its holder may have deleted it between opening and locking: then it is nobody's lock any more.
                Ok(()) if is_at(&file, path) => return Self::signed(file, path, None).map(LockAttempt::Taken),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => holder = process_in(&mut file),
                Err(TryLockError::Error(error)) => match Self::take_without_locks(file, path, &error)? {
                    LockAttempt::Busy(process) => holder = process,
                    taken @ LockAttempt::Taken(_) => return Ok(taken),
                },
            }
        }
        Ok(LockAttempt::Busy(holder))
    }

    /// Takes the lock where the file system has none, unless a process that lives has signed it.
    fn take_without_locks(mut file: File, path: &Path, error: &io::Error) -> io::Result<LockAttempt> {
        let us = std::process::id();
        let Some(held) = Held::enter(path)? else { return Ok(LockAttempt::Busy(Some(us))) };
        // What says our number and is not held is of a process that had it before us.
        let other = process_in(&mut file).filter(|id| *id != us && is_alive(*id));
        if other.is_some() || !is_at(&file, path) {
            return Ok(LockAttempt::Busy(other));
        }
        let unsupported = Unsupported { reason: error.to_string(), _held: held };
        Self::signed(file, path, Some(unsupported)).map(LockAttempt::Taken)
    }

    /// Takes the lock, however long its holder keeps it. None where the file system has no locks.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub fn wait(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = open(path)?;
            if file.lock().is_err() {
                return Ok(None);
            }
            if is_at(&file, path) {
                return Self::signed(file, path, None).map(Some);
            }
        }
    }

    /// Whether another process, or another part of this one, holds the lock; its number, where it is known.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn holder(path: &Path) -> io::Result<Option<Option<u32>>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(match file.try_lock_shared() {
            Ok(()) => None,
            Err(TryLockError::WouldBlock) => Some(process_in(&mut file)),
            Err(TryLockError::Error(_)) => match process_in(&mut file).filter(|id| is_alive(*id)) {
                Some(id) if id == std::process::id() && !Held::is_entered(path)? => None,
                id => id.map(Some),
            },
        })
    }

    /// Why the file system does not lock, if it does not: then only a process of this machine that can be seen keeps
    /// others out.
    pub fn is_advisory_only(&self) -> Option<&str> {
        self.unsupported.as_ref().map(|unsupported| unsupported.reason.as_str())
    }

    fn signed(mut file: File, path: &Path, unsupported: Option<Unsupported>) -> io::Result<Self> {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { file, path: path.to_owned(), unsupported })
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // While it is still locked, so that nobody else's is deleted. One that cannot be deleted is free all the same.
        if is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn process_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).and_then(|_| file.take(20).read_to_string(&mut text)).ok()?;
    text.trim().parse().ok()
}

/// Whether a process runs on this machine; none does where the system does not tell.
fn is_alive(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}

/// Whether a process may run on this machine, as far as the system tells.
pub(crate) fn may_be_alive(process: u32) -> bool {
    !cfg!(target_os = "linux") || is_alive(process)
}

/// Whether the file of this name is the one that is open.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata().map(identity), fs::metadata(path).map(identity)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    // A file that is open cannot be deleted there.
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_names_its_process_and_is_free_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        assert_eq!(FileLock::holder(&path).unwrap(), None);
        let LockAttempt::Taken(first) = FileLock::try_take(&path).unwrap() else { panic!("it is free") };
        let us = Some(std::process::id());
        assert_eq!(FileLock::holder(&path).unwrap(), Some(us));
        assert!(matches!(FileLock::try_take(&path).unwrap(), LockAttempt::Busy(holder) if holder == us));
        drop(first);
        assert!(!path.exists() && FileLock::holder(&path).unwrap().is_none());
        // A process that was killed leaves its file behind, and that keeps nobody out.
        fs::write(&path, "1\n").unwrap();
        assert_eq!(FileLock::holder(&path).unwrap(), None);
        assert!(matches!(FileLock::try_take(&path).unwrap(), LockAttempt::Taken(_)));
    }

    #[test]
    fn whoever_only_looks_at_a_lock_and_is_held_up_there_keeps_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        // new, and of a process that died
        for text in ["", "4294967295\n"] {
            fs::write(&path, text).unwrap();
            let looks = File::open(&path).unwrap();
            looks.try_lock_shared().unwrap();
            let looking = std::thread::spawn(move || {
                std::thread::sleep(2 * ATTEMPTS * PAUSE);
                drop(looks);
            });
            // however long that takes here
            let took = FileLock::take_within(&path, u32::MAX).unwrap();
            assert!(matches!(took, LockAttempt::Taken(_)), "{text:?}");
            looking.join().unwrap();
        }
    }

    #[test]
    fn without_locks_two_parts_of_one_process_do_not_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        let take = |path: &Path| {
            let error = io::Error::from(io::ErrorKind::Unsupported);
            FileLock::take_without_locks(open(path).unwrap(), path, &error).unwrap()
        };
        let us = std::process::id();
        // Of an earlier process with our number.
        fs::write(&path, format!("{us}\n")).unwrap();
        let LockAttempt::Taken(first) = take(&path) else { panic!("nobody holds it") };
        assert!(first.is_advisory_only().is_some());
        for same in [path.clone(), folder.path().join(".").join(".lock")] {
            assert!(matches!(take(&same), LockAttempt::Busy(holder) if holder == Some(us)), "{}", same.display());
        }
        assert!(matches!(take(&folder.path().join("other.lock")), LockAttempt::Taken(_)));
        drop(first);
        assert!(!path.exists() && matches!(take(&path), LockAttempt::Taken(_)));
    }

    #[test]
    fn of_many_who_want_a_lock_at_once_one_has_it_at_a_time() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let (path, inside) = (folder.path().join(".lock"), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let lock = FileLock::wait(&path).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
    }
}
