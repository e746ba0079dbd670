//! Letters of one width, from a typeface that is built in: the same on every machine.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use millstream_transforms::RgbImage;

/// DejaVu Sans Mono, which has Latin, Greek, Cyrillic, arrows and signs.
static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(dejavu::sans_mono::regular()).expect("the typeface that is built in is whole")
});

/// From the highest to the lowest place of a letter; letters are as wide as [`LETTER_WIDTH`] then.
const SCALE: PxScale = PxScale { x: 15.0, y: 15.0 };

/// Pixels from one letter to the next.
pub(super) const LETTER_WIDTH: u32 = 8;
/// Pixels from one line to the next.
pub(super) const LINE_HEIGHT: u32 = 16;

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
            // behind a sign that joins words, where there is one: names of files have them
            let joint = rest[..width].iter().rposition(|letter| matches!(letter, '-' | '_' | '/' | '.'));
            let after = rest.split_off(joint.map_or(width, |joint| joint + 1));
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
    let baseline = y as f32 + FONT.as_scaled(SCALE).ascent();
    for (place, letter) in (0_u32..).zip(text.chars()) {
        let at = point((x + place * LETTER_WIDTH) as f32, baseline);
        let Some(outline) = FONT.outline_glyph(FONT.glyph_id(letter).with_scale_and_position(SCALE, at)) else {
            continue;
        };
        let bounds = outline.px_bounds();
        outline.draw(|dx, dy, coverage| {
            let (x, y) = (bounds.min.x as i64 + i64::from(dx), bounds.min.y as i64 + i64::from(dy));
            blend(image, x, y, colour, coverage);
        });
    }
}

/// Mixes a share of a colour into a pixel; nothing outside of the image.
fn blend(image: &mut RgbImage, x: i64, y: i64, colour: [u8; 3], share: f32) {
    if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
        && x < image.width
        && y < image.height
    {
        let at = (y as usize * image.width as usize + x as usize) * 3;
        for (pixel, colour) in image.pixels[at..at + 3].iter_mut().zip(colour) {
            let mixed = f32::from(*pixel) + (f32::from(colour) - f32::from(*pixel)) * share.clamp(0.0, 1.0);
            *pixel = mixed.round() as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_inside_long_ones() {
        assert_eq!(wrap("rotate 12.3° and more", 12), ["rotate 12.3°", "and more"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrap("ab-cdefgh.parquet", 8), ["ab-", "cdefgh.", "parquet"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn captions_have_their_letters_and_each_fits_its_place() {
        for letter in "rotate 12.3° ×σ→−…’éßЖ".chars().filter(|letter| *letter != ' ') {
            assert_ne!(FONT.glyph_id(letter), FONT.glyph_id('\u{4e00}'), "{letter}");
            let advance = FONT.as_scaled(SCALE).h_advance(FONT.glyph_id(letter));
            assert!(advance > 7.0 && advance <= LETTER_WIDTH as f32, "{letter}: {advance}");
        }
        assert!(FONT.as_scaled(SCALE).height() <= LINE_HEIGHT as f32);
    }

    #[test]
    fn nothing_is_written_outside() {
        let mut image = RgbImage { width: 10, height: 9, pixels: vec![255; 270] };
        write(&mut image, 4, 2, "WW", [0; 3]);
        assert!(image.pixels.iter().any(|value| *value < 60));
    }
}
