//! What a file is that is no ONNX model, by its first bytes, and where a model is cut off or damaged.

/// What is wrong with bytes that do not decode as a model or hold no graph, and what to do.
pub(super) fn diagnosis(bytes: &[u8]) -> String {
    match kind(bytes) {
        Some((what, advice)) => format!("it is {what}; {advice}"),
        None => damage(bytes),
    }
}

fn kind(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const EXPORT: &str = "export the network as ONNX from the framework that made it";
    const AGAIN: &str = "download the file itself again";
    let text = bytes.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let at_4 = bytes.get(4..8).unwrap_or_default();
    let starts: [(&[u8], &str, &str); 13] = [
        (
            b"PK\x03\x04",
            "a ZIP archive, as PyTorch and Keras save networks",
            "export it, for example by `torch.onnx.export`, or unpack the archive",
        ),
        (b"version https://git-lfs", "a Git LFS pointer in place of the model", "fetch the model with `git lfs pull`"),
        (b"\x89HDF", "an HDF5 file, as Keras saves networks", EXPORT),
        (b"GGUF", "a GGUF file", EXPORT),
        (b"\x1f\x8b", "a gzip archive", "unpack it"),
        (b"PAR1", "a Parquet file", "name a model here; data belongs under `data`"),
        (b"\x80\x02", "a Python pickle, as PyTorch saves networks", "export it, for example by `torch.onnx.export`"),
        (b"\x80\x03", "a Python pickle", EXPORT),
        (b"\x80\x04", "a Python pickle", EXPORT),
        (b"\x80\x05", "a Python pickle", EXPORT),
        (b"\x93NUMPY", "a NumPy array", EXPORT),
        (b"\x89PNG", "a PNG image", "name a model here"),
        (b"\xff\xd8\xff", "a JPEG image", "name a model here"),
    ];
    if let Some((_, what, advice)) = starts.iter().find(|(start, ..)| bytes.starts_with(start)) {
        return Some((what, advice));
    }
    let header = bytes.first_chunk::<8>().map(|length| u64::from_le_bytes(*length));
    if bytes.get(8) == Some(&b'{') && header.is_some_and(|length| length < 100 << 20) {
        return Some(("a safetensors file, which holds weights and no graph", EXPORT));
    }
    let page = [&b"<!doctype html"[..], b"<html", b"<head", b"<!--"]
        .iter()
        .any(|start| text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start)));
    match (at_4, text.first()) {
        (b"TFL3", _) => Some(("a TensorFlow Lite model", "convert it with tf2onnx")),
        (b"ORTM", _) => Some(("a model in ONNX Runtime's own format", "take the ONNX file it was converted from")),
        _ if page => Some(("a web page", AGAIN)),
        (_, Some(b'<')) if text.starts_with(b"<?xml") => Some(("an XML file", AGAIN)),
        (_, Some(b'<')) => Some(("a text", "an ONNX model in its textual form has to be converted with `onnx.parser`")),
        (_, Some(b'{' | b'[')) => Some(("a JSON file", AGAIN)),
        _ if !bytes.is_empty() && bytes.iter().all(|byte| *byte == 0) => Some(("nothing but zeros", AGAIN)),
        _ if bytes.iter().take(512).all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~')) => {
            Some(("a text", AGAIN))
        }
        _ => None,
    }
}

/// Follows the outermost fields: where the last one is longer than the file, the file is cut off.
fn damage(bytes: &[u8]) -> String {
    const AGAIN: &str = "copy or download it again";
    let whole = bytes.len();
    let mut at = 0;
    while at < whole {
        let began = at;
        let field = varint(bytes, &mut at).and_then(|key| {
            let skip = match key & 7 {
                0 => varint(bytes, &mut at).map(|_| 0),
                1 => Some(8),
                2 => varint(bytes, &mut at),
                5 => Some(4),
                _ => return Some(Err(())),
            };
            skip.map(Ok)
        });
        match field {
            None if began == 0 && bytes[0] != 0x08 => {
                return format!("its {whole} bytes are of no known format; {AGAIN}");
            }
            None => return format!("it is cut off after {whole} bytes; {AGAIN}"),
            Some(Err(())) if began == 0 => return format!("its {whole} bytes are of no known format; {AGAIN}"),
            Some(Err(())) => return format!("it is damaged at byte {began} of {whole}; {AGAIN}"),
            Some(Ok(length)) => match usize::try_from(length).ok().and_then(|length| at.checked_add(length)) {
                Some(end) if end <= whole => at = end,
                Some(end) if began > 0 || bytes[0] == 0x08 => {
                    return format!(
                        "it is cut off: it has {whole} bytes, and what begins at byte {began} ends at byte {end}; {AGAIN}"
                    );
                }
                _ => return format!("its {whole} bytes are of no known format; {AGAIN}"),
            },
        }
    }
    format!("its {whole} bytes are damaged, or of another format; {AGAIN}")
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    Some(u64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::Model;

    #[test]
    fn a_file_that_is_no_model_is_told_by_its_name_and_never_in_a_librarys_words() {
        let safetensors = [&8u64.to_le_bytes()[..], b"{\"a\":{}}"].concat();
        let rows: [(&[u8], &str); 15] = [
            (b"PK\x03\x04rest", "a ZIP archive, as PyTorch"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "`git lfs pull`"),
            (b"  \n<!DOCTYPE html><html>", "a web page"),
            (b"<html>", "a web page"),
            (b"<!-- saved --><html>", "a web page"),
            (b"<ir_version: 8>", "textual form"),
            (&safetensors, "a safetensors file"),
            (b"\x1c\x00\x00\x00TFL3....", "a TensorFlow Lite model"),
            (b"\x20\x00\x00\x00ORTM....", "ONNX Runtime's own format"),
            (b"\x80\x02\x8a\n", "a Python pickle"),
            (b"PAR1\x15\x04", "a Parquet file"),
            (b"{\"error\": \"not found\"}", "a JSON file"),
            (&[0; 40], "nothing but zeros"),
            (b"Entry not found", "a text"),
            (b"\xfe\xff\xfe\xff\xfe\xff", "of no known format"),
        ];
        for (bytes, wanted) in rows {
            let error = Model::from_bytes(bytes.to_vec()).unwrap_err().to_string();
            assert!(error.contains(wanted), "wanted `{wanted}` in `{error}`");
            for words in ["wire type", "varint", "underflow", "decode", "Protobuf", "invalid"] {
                assert!(!error.contains(words), "`{words}` in `{error}`");
            }
        }
    }
}
