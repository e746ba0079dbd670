//! Two pictures and what a mix of them is, as SVG: the browser does the mixing, so the file is the same wherever it is written.

use std::fs;
use std::path::Path;

use crate::command::root;

/// Width and height of each picture, pixels.
const SIZE: (usize, usize) = (192, 144);
/// Between pictures, and around them.
const GAP: usize = 10;
/// Of the line below a picture.
const CAPTION: usize = 22;

/// A picture of the gallery and its label.
#[derive(Clone, Copy)]
pub(super) struct Labelled {
    /// A JPEG file, from the root of the repository.
    pub(super) file: &'static str,
    pub(super) label: &'static str,
}

/// Both pictures, then for each what it becomes where its own share is `weight` (0 to 1) and the other is its partner.
///
/// # Errors
/// A picture cannot be read.
pub(super) fn svg(pictures: [Labelled; 2], weight: f64) -> Result<String, String> {
    let (width, height) = (4 * (SIZE.0 + GAP) + GAP, SIZE.1 + CAPTION + 2 * GAP);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n<defs>\n"
    );
    for (at, picture) in pictures.iter().enumerate() {
        let path = root().join(picture.file);
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        text += &format!(
            "<image id=\"p{at}\" width=\"{}\" height=\"{}\" href=\"data:image/jpeg;base64,{}\"/>\n",
            SIZE.0,
            SIZE.1,
            base64(&bytes)
        );
    }
    text += "</defs>\n";
    let [first, second] = pictures.map(|picture| picture.label);
    let rest = 1.0 - weight;
    // an opaque picture below and its partner above it with an opacity: λ · above + (1 − λ) · below
    let cells = [
        (0, None, format!("{first} 1.00")),
        (1, None, format!("{second} 1.00")),
        (1, Some(0), format!("{first} {weight:.2}, {second} {rest:.2}")),
        (0, Some(1), format!("{second} {weight:.2}, {first} {rest:.2}")),
    ];
    for (at, (below, above, caption)) in cells.iter().enumerate() {
        let left = GAP + at * (SIZE.0 + GAP);
        text += &format!("<use href=\"#p{below}\" x=\"{left}\" y=\"{GAP}\"/>\n");
        if let Some(above) = above {
            text += &format!("<use href=\"#p{above}\" x=\"{left}\" y=\"{GAP}\" opacity=\"{weight}\"/>\n");
        }
        text += &format!(
            "<text x=\"{left}\" y=\"{}\" font-family=\"sans-serif\" font-size=\"14\" fill=\"#222\">{caption}</text>\n",
            GAP + SIZE.1 + CAPTION - 5
        );
    }
    Ok(text + "</svg>\n")
}

/// Whether a file holds this text.
pub(super) fn holds(path: &Path, text: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|found| found == text)
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_letters_as_rfc_4648_has_them() {
        for (bytes, wanted) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), wanted, "{bytes}");
        }
    }
}
