//! Letters of 8×8 pixels: enough to caption a picture, the same on every machine.

use font8x8::{BASIC_FONTS, GREEK_FONTS, LATIN_FONTS, UnicodeFonts};
use millstream_transforms::RgbImage;

/// Pixels from one letter to the next.
pub(super) const LETTER_WIDTH: u32 = 8;
/// Pixels from one line to the next.
pub(super) const LINE_HEIGHT: u32 = 11;

/// A paragraph under a picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) text: String,
    /// A square of a colour that the text explains.
    pub(super) swatch: Option<[u8; 3]>,
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self { text, swatch: None }
    }
}

impl Line {
    /// Lines of at most so many letters; those beside and below a square stand in a little.
    pub(super) fn wrapped(&self, letters: usize) -> Vec<Self> {
        let indent = if self.swatch.is_some() { 2 } else { 0 };
        let lines = wrap(&self.text, letters.saturating_sub(indent).max(1)).into_iter();
        let line = |(index, text): (usize, String)| {
            let swatch = self.swatch.filter(|_| index == 0);
            Self { text: format!("{:indent$}{text}", ""), swatch }
        };
        lines.enumerate().map(line).collect()
    }
}

/// Breaks a text into lines of at most `width` letters, between words where it can.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut rest: Vec<char> = word.chars().collect();
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + 1 + rest.len() > width {
            lines.push(String::new());
        }
        while rest.len() > width {
            let after = rest.split_off(width);
            push(&mut lines, &rest);
            lines.push(String::new());
            rest = after;
        }
        push(&mut lines, &rest);
    }
    lines
}

fn push(lines: &mut [String], word: &[char]) {
    let line = lines.last_mut().expect("there is always one line");
    if !line.is_empty() {
        line.push(' ');
    }
    line.extend(word);
}

/// One pixel; nothing outside of the image.
pub(super) fn dot(image: &mut RgbImage, x: i64, y: i64, colour: [u8; 3]) {
    if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
        && x < image.width
        && y < image.height
    {
        let at = (y as usize * image.width as usize + x as usize) * 3;
        image.pixels[at..at + 3].copy_from_slice(&colour);
    }
}

/// Writes one line with its top left corner at (x, y); what falls outside the image is left out.
pub(super) fn write(image: &mut RgbImage, x: u32, y: u32, text: &str, colour: [u8; 3]) {
    let mut left = i64::from(x);
    for letter in text.chars().flat_map(plain) {
        for (row, bits) in (0..).zip(glyph(letter)) {
            for column in (0..8).filter(|column| bits >> column & 1 == 1) {
                dot(image, left + column, i64::from(y) + row, colour);
            }
        }
        left += i64::from(LETTER_WIDTH);
    }
}

/// Letters that the font lacks, by others.
fn plain(letter: char) -> impl Iterator<Item = char> {
    let text: &[char] = match letter {
        '→' => &['-', '>'],
        '…' => &['.', '.', '.'],
        '−' | '–' => &['-'],
        '’' | '‘' => &['\''],
        _ => &[],
    };
    let own = text.is_empty().then_some(letter);
    text.iter().copied().chain(own)
}

fn glyph(letter: char) -> [u8; 8] {
    let found = BASIC_FONTS.get(letter).or_else(|| LATIN_FONTS.get(letter)).or_else(|| GREEK_FONTS.get(letter));
    found.or_else(|| BASIC_FONTS.get('?')).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_inside_long_ones() {
        assert_eq!(wrap("rotate 12.3° and more", 12), ["rotate 12.3°", "and more"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn captions_have_their_letters() {
        let missing = glyph('\u{4e00}');
        for letter in "rotate 12.3° ×σ->".chars().filter(|letter| *letter != ' ') {
            assert_ne!(glyph(letter), missing, "{letter}");
        }
    }

    #[test]
    fn nothing_is_written_outside() {
        let mut image = RgbImage { width: 10, height: 5, pixels: vec![255; 150] };
        write(&mut image, 4, 2, "WW", [0; 3]);
        assert!(image.pixels.contains(&0));
    }
}
