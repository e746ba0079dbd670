//! What a file is that was taken for Parquet and is none.

/// Bytes of a file's beginning that are looked at.
pub(super) const BEGINNING: u64 = 512;

/// In words, with what to do, from the first bytes of a file that does not end as Parquet does.
pub(super) fn describe(beginning: &[u8]) -> String {
    let text = String::from_utf8_lossy(beginning);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let tag = |tag: &str| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
    let known: &[(&[u8], &str)] = &[
        (b"PAR1", "it begins as Parquet and does not end so: cut off, or still being written; fetch or write it again"),
        (b"PARE", "its footer is encrypted; encrypted files are not read"),
        (b"ARROW1", "an Arrow IPC (Feather) file; write it as Parquet"),
        (b"PK\x03\x04", "a ZIP archive; unpack it"),
        (b"\x1f\x8b", "a gzip archive; unpack it"),
        (b"\x28\xb5\x2f\xfd", "a Zstandard archive; unpack it"),
        (b"BZh", "a bzip2 archive; unpack it"),
        (b"\x89HDF\r\n", "an HDF5 file; write it as Parquet"),
        (b"\x93NUMPY", "a NumPy array; write it as Parquet"),
        (b"SQLite format 3", "an SQLite database; write its table as Parquet"),
        (b"Obj\x01", "an Avro file; write it as Parquet"),
        (b"ORC", "an ORC file; write it as Parquet"),
        (b"\x89PNG", "an image; pictures are read from a column of a Parquet file"),
        (b"\xff\xd8\xff", "an image; pictures are read from a column of a Parquet file"),
        (
            b"version https://git-lfs",
            "a Git LFS pointer, not the data it stands for; run `git lfs pull` where it came from",
        ),
        (b"oid sha256:", "a Git LFS pointer, not the data it stands for; run `git lfs pull` where it came from"),
    ];
    if let Some((_, words)) = known.iter().find(|(start, _)| beginning.starts_with(start)) {
        return (*words).into();
    }
    if beginning.is_empty() {
        return "it is empty; fetch or write it again".into();
    }
    if beginning.iter().all(|byte| *byte == 0) {
        return "it holds zeros: a download that did not go through; fetch it again".into();
    }
    if ["<!doctype html", "<html", "<head", "<!--"].into_iter().any(tag) {
        return "an HTML page under this name, perhaps of a login or an error; fetch the file itself".into();
    }
    if tag("<?xml") || tag("<error") {
        return "an XML answer under this name, perhaps an error of the store; fetch the file itself".into();
    }
    let is_text = std::str::from_utf8(beginning)
        .is_ok_and(|text| !text.contains(|letter: char| letter.is_control() && !"\n\r\t".contains(letter)));
    match text.chars().next() {
        Some('{' | '[') if is_text => "JSON; write it as Parquet".into(),
        _ if is_text && text.lines().next().is_some_and(|line| line.contains([',', '\t', ';'])) => {
            "text, perhaps CSV; write it as Parquet".into()
        }
        _ if is_text => "plain text, not Parquet".into(),
        _ => "it neither begins nor ends as Parquet does (`PAR1`)".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_parquet_is_named_as_what_it_is() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        for (beginning, wanted) in [
            (pointer.as_bytes(), "Git LFS pointer"),
            (b"\n<!DOCTYPE html><html>", "an HTML page"),
            (b"<!-- saved --><html>", "an HTML page"),
            (b"<HTML lang=en>", "an HTML page"),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>", "an XML answer"),
            (b"PAR1\x15\x04", "begins as Parquet and does not end so"),
            (b"ARROW1\0\0", "Arrow IPC"),
            (b"PK\x03\x04\x14", "ZIP"),
            (b"{\"a\": 1}\n", "JSON"),
            (b"text,label\nhello,1\n", "CSV"),
            (b"Not Found", "plain text"),
            (b"\0\0\0\0", "zeros"),
            (b"", "empty"),
            (b"\x01\x02\x03", "neither begins nor ends"),
        ] {
            let words = describe(beginning);
            assert!(words.contains(wanted), "{words}");
        }
    }
}
