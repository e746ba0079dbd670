//! Files that grow by lines and are cut back to where a run goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// What a record of a file is for the run that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays.
    Keep,
    /// It goes, and all behind it.
    Cut,
}

/// Where the first record ends that a text begins with; `None` where it is torn.
pub(super) type RecordEnd = fn(&[u8]) -> Option<usize>;

/// The first line, its line feed included.
pub(super) fn line_end(text: &[u8]) -> Option<usize> {
    text.iter().position(|&byte| byte == b'\n').map(|at| at + 1)
}

/// Opens a file to append to, cut at the first record that `judge` does not keep or that is torn; makes an empty one where
/// there is none.
pub(super) fn open(
    path: &Path,
    record_end: RecordEnd,
    mut judge: impl FnMut(&[u8]) -> io::Result<Verdict>,
) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let mut kept = 0;
    while let Some(end) = record_end(&text[kept..]) {
        if judge(&text[kept..kept + end])? == Verdict::Cut {
            break;
        }
        kept += end;
    }
    if kept < text.len() {
        file.set_len(kept as u64)?;
    }
    file.seek(SeekFrom::Start(kept as u64))?;
    Ok(file)
}

/// Makes a file anew, empty.
pub(super) fn begin(path: &Path) -> io::Result<File> {
    File::create(path)
}

/// Appends a line in one piece.
pub(super) fn append(file: &mut File, mut line: Vec<u8>) -> io::Result<()> {
    line.push(b'\n');
    file.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_at_the_first_line_that_goes_and_at_a_torn_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for (text, wanted) in [("", ""), ("1\n2\n", "1\n2\n"), ("1\n2\n3\n1\n", "1\n2\n"), ("1\n2", "1\n"), ("1", "")] {
            std::fs::write(&path, text).unwrap();
            let keep = |line: &[u8]| Ok(if line == b"3\n" { Verdict::Cut } else { Verdict::Keep });
            let mut file = open(&path, line_end, keep).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), wanted, "{text:?}");
            append(&mut file, b"4".to_vec()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{wanted}4\n"));
        }
    }
}
